"""The whole interface of a mailbox as a state machine: everything is asked of a mailbox and of the oracle."""

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from core.api.base import SYSTEM, MailId
from core.api.errors import MailboxFull, StaleLease
from core.api.mail import DeadReason
from core.api.mailboxes import MailboxPolicy, MailboxState
from core.mailbox import cleaning
from core.mailbox.mailbox import Mailbox
from core.mailbox.message import Draft, Mail
from tests.support.mail_drafts import DRAFTS, MATCHES, RULES
from tests.support.mail_oracle import Match, Oracle, insist
from tests.support.mail_stage import MailStage, rounds

NAME = "box"
_WAYS = ("ack", "ack", "commit", "nack", "reject", "put off", "release", "extend")


class Receiving:
    """Somebody who waits for a message."""

    def __init__(self, match: Match | None, task: "asyncio.Task[Mail]") -> None:
        self.match = match
        self.task = task


class MailboxAgrees(RuleBasedStateMachine):
    """A mailbox in memory and the oracle."""

    kind = "memory"
    durable = False

    @initialize(rules=st.fixed_dictionaries(RULES))
    def begin(self, rules: dict[str, Any]) -> None:
        """An empty mailbox."""
        policy = MailboxPolicy(
            durable=self.durable, visibility_s=4.7, retry_base_s=1.0, retry_cap_s=3.0, dedupe_s=7.9, **rules
        )
        # The log is cleaned all the time, so that each example sees it.
        self.often = mock.patch.object(cleaning, "_KEPT_PACKS", 1)
        self.often.start()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.stage = MailStage(self.kind, Path(self.folder.name))
        self.oracle = Oracle(policy)
        self.held: list[Mail] = []
        self.stale: list[Mail] = []
        self.receiving: list[Receiving] = []
        self.mails: dict[int, Mail] = {}
        self.run(self.stage.open())
        self.run(self.stage.boxes.ensure(NAME, policy))

    @property
    def box(self) -> Mailbox:
        """The mailbox of this start."""
        return self.stage.boxes.get(NAME)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run on the loop of this example; then let everything come to rest, and note who was served."""

        async def whole() -> Any:
            try:
                return await work
            finally:
                await self.stage.settle()

        try:
            return self.runner.run(whole())
        finally:
            self.notice()

    def do(self, act: Any) -> Any:
        """Call something that does not wait."""

        async def calling() -> Any:
            return act()

        return self.run(calling())

    # -- in

    @rule(drafts=st.lists(DRAFTS, min_size=1, max_size=4))
    def post_some(self, drafts: list[Draft]) -> None:
        """A few messages, one after another."""
        for draft in drafts:
            self.post(draft)

    def post(self, draft: Draft) -> None:
        """One message."""
        duplicate_of = self.oracle.duplicate_of(draft)
        if duplicate_of:
            receipt = self.run(self.box.post(draft))
            self.oracle.count["duplicates"] += 1
            assert (receipt.mail_id, receipt.is_duplicate) == (duplicate_of, True)
        elif self.oracle.refuses():
            self.oracle.count["rejected"] += 1
            assert self.refused(self.box.post(draft))
        else:
            receipt = self.run(self.posted(draft))
            assert not receipt.is_duplicate

    async def posted(self, draft: Draft) -> Any:
        """Post it, and tell the oracle before anybody else can run."""
        receipt = await self.box.post(draft)
        self.came(receipt.mail_id)
        self.oracle.post(receipt.mail_id, draft)
        return receipt

    def came(self, mail_id: int) -> None:
        """A message is in."""
        mail = self.box.find_mail(MailId(mail_id))
        if mail is not None:
            self.mails[mail_id] = mail

    def refused(self, work: Coroutine[Any, Any, Any]) -> bool:
        """Whether it is refused for want of room."""
        try:
            self.run(work)
        except MailboxFull:
            return True
        return False

    # -- out

    @rule(matches=st.lists(MATCHES, min_size=1, max_size=3))
    def take_some(self, matches: list[Match | None]) -> None:
        """Take a few without waiting."""
        for match in matches:
            self.take(match)

    def take(self, match: Match | None) -> None:
        """Take one without waiting."""
        ready = self.oracle.ready(match, self.mails)
        mail = self.do(lambda: self.box.try_receive(match))
        if mail is None:
            insist(not ready, f"one of {ready} could have been taken")
        else:
            self.took(mail, match)

    @rule(match=MATCHES)
    @precondition(lambda self: len(self.receiving) < 4)
    def receive(self, match: Match | None) -> None:
        """Begin to wait for one."""

        async def begin() -> Receiving:
            return Receiving(match, asyncio.get_running_loop().create_task(self.box.receive(match)))

        receiving = self.run(begin())
        self.receiving.append(receiving)
        self.notice()

    @rule(data=st.data())
    @precondition(lambda self: self.receiving)
    def leave(self, data: st.DataObject) -> None:
        """Wait no longer."""
        receiving = self.receiving.pop(data.draw(st.integers(0, len(self.receiving) - 1)))
        self.run(cancelled(receiving))

    def notice(self) -> None:
        """Tell the oracle which receivers were served, in the order of delivery."""
        served = [receiving for receiving in self.receiving if receiving.task.done()]
        self.receiving = [receiving for receiving in self.receiving if receiving not in served]
        # Those who take any message were served in the order in which they came; lines do not depend on it.
        for receiving in served:
            self.took(receiving.task.result(), receiving.match)

    def took(self, mail: Mail, match: Match | None) -> None:
        """A message is held."""
        insist(all(other.id != mail.id for other in self.held), f"m-{mail.id} is held once")
        self.mails[mail.id] = mail
        self.oracle.take(mail, match, self.mails)
        self.held.append(mail)

    # -- settled

    @rule(data=st.data(), way=st.sampled_from(_WAYS))
    @precondition(lambda self: self.held)
    def settle(self, data: st.DataObject, way: str) -> None:
        """Say what came of a message that is held."""
        mail = data.draw(st.sampled_from(self.held))
        if way == "extend":
            self.oracle.extend(mail.id, 9.8)
            self.do(lambda: self.box.extend(mail, 9.8))
            return
        self.held.remove(mail)
        self.stale.append(mail)
        if way == "commit":
            self.oracle.ack(mail.id)
            self.run(self.committed(mail))
        elif way == "ack":
            self.oracle.ack(mail.id)
            self.do(lambda: self.box.ack(mail))
        elif way == "nack":
            delay_s = data.draw(st.sampled_from([None, None, 0.0, 1.3]))
            self.oracle.fail(mail.id, delay_s)
            self.do(lambda: self.box.nack(mail, error="no", delay_s=delay_s))
        elif way == "reject":
            self.oracle.bury(mail.id, DeadReason.REJECTED)
            self.do(lambda: self.box.reject(mail, error="never"))
        elif way == "put off":
            delay_s = data.draw(st.sampled_from([0.0, 1.3, 4.4]))
            self.oracle.put_off(mail.id, delay_s)
            self.do(lambda: self.box.put_off(mail, delay_s=delay_s))
        else:
            self.oracle.release(mail.id)
            self.do(lambda: self.box.release(mail))

    async def committed(self, mail: Mail) -> None:
        """Settle it by a commit."""
        transaction = self.stage.boxes.transaction()
        transaction.ack(mail)
        await transaction.commit()

    @rule(data=st.data(), way=st.sampled_from(["ack", "nack", "reject", "release", "extend"]))
    @precondition(lambda self: self.stale)
    def settle_late(self, data: st.DataObject, way: str) -> None:
        """What is not held any more cannot be settled."""
        mail = data.draw(st.sampled_from(self.stale))
        error = {"error": "late"} if way in {"nack", "reject"} else {}
        self.oracle.count["stale"] += 1
        try:
            self.do(lambda: getattr(self.box, way)(mail, **error))
        except StaleLease:
            return
        raise AssertionError(f"a late {way} was taken")

    # -- time, operators

    @rule(delta_s=st.sampled_from([1.0, 1.0, 2.0, 5.0, 9.0]))
    def advance(self, delta_s: float) -> None:
        """Time goes by."""
        # One second after another: what is due in between happens in its order.
        for _ in range(int(delta_s)):
            self.oracle.advance(1.0)
            self.sort_out()
            self.run(self.stage.advance(1.0))

    def sort_out(self) -> None:
        """Leases that are over are held no more."""
        for mail in list(self.held):
            letter = self.oracle.live.get(mail.id)
            if letter is None or letter.state != "out":
                self.held.remove(mail)
                self.stale.append(mail)

    @rule(data=st.data(), what=st.sampled_from(["pause", "resume", "drop", "redrive", "rules"]))
    def operate(self, data: st.DataObject, what: str) -> None:
        """An operator's order, when there is something that it can be given for."""
        if what == "pause":
            for_s = data.draw(st.sampled_from([0.0, 3.6]))
            self.oracle.is_paused = True
            self.oracle.paused_until = self.oracle.now + for_s if for_s else 0.0
            self.run(self.stage.boxes.pause(NAME, actor=SYSTEM, for_s=for_s))
        elif what == "resume":
            self.oracle.is_paused, self.oracle.paused_until = False, 0.0
            self.run(self.stage.boxes.resume(NAME, actor=SYSTEM))
        elif what == "drop":
            self.drop(data)
        elif what == "redrive":
            self.redrive(data)
        else:
            rules = data.draw(st.fixed_dictionaries({}, optional=RULES))
            policy = msgspec.structs.replace(self.oracle.policy, **rules)
            self.oracle.set_policy(policy)
            self.run(self.stage.boxes.set_policy(NAME, policy, actor=SYSTEM))

    def drop(self, data: st.DataObject) -> None:
        """Let go of one that waits or is dead."""
        waiting = [mail_id for mail_id, letter in self.oracle.live.items() if letter.state != "out"]
        if waiting or self.oracle.dead:
            mail_id = data.draw(st.sampled_from([*waiting, *self.oracle.dead]))
            mail = self.box.find_mail(MailId(mail_id))
            assert mail is not None
            self.oracle.drop(mail_id)
            self.do(lambda: self.box.drop_now(mail))

    def redrive(self, data: st.DataObject) -> None:
        """Send a dead letter once more."""
        if not self.oracle.dead or self.oracle.is_full:
            return
        mail_id = data.draw(st.sampled_from(sorted(self.oracle.dead)))

        async def commit() -> None:
            transaction = self.stage.boxes.transaction()
            assert self.box.dead is not None
            new_id = transaction.redrive(self.box.dead[MailId(mail_id)], NAME)
            await transaction.commit()
            self.came(new_id)
            self.oracle.redrive(mail_id, new_id)

        self.run(commit())

    # -- always

    @invariant()
    def counts_agree(self) -> None:
        """Everything is accounted for, and where the oracle has it."""
        oracle, tally = self.oracle, self.box.tally()
        counts: dict[str, int] = oracle.count
        states = [letter.state for letter in oracle.live.values()]
        assert tally.difference == 0
        assert msgspec.structs.asdict(tally) == {
            **counts,
            "queued": states.count("queued"),
            "delayed": states.count("delayed"),
            "in_flight": states.count("out"),
            "dead": len(oracle.dead),
            "difference": 0,
        }
        assert self.box.depth == len(oracle.live)
        assert [mail.id for mail in self.box.live()] == sorted(oracle.live)
        assert {mail_id: mail.reason for mail_id, mail in (self.box.dead or {}).items()} == {
            mail_id: letter.reason for mail_id, letter in oracle.dead.items()
        }

    @invariant()
    def nobody_waits_in_vain(self) -> None:
        """A receiver waits only while nothing that it wants may go out."""
        for receiving in self.receiving:
            ready = self.oracle.ready(receiving.match, self.mails)
            insist(not ready, f"somebody waits for one of {ready}")

    @invariant()
    def nothing_failed(self) -> None:
        """No service fell over, and the state shown is the one it has."""
        assert self.stage.faults == []
        assert (self.box.state is MailboxState.PAUSED) == self.oracle.is_paused

    def teardown(self) -> None:
        """Stop in order."""
        if not hasattr(self, "runner"):
            return
        try:
            for receiving in self.receiving:
                self.runner.run(cancelled(receiving))
            self.runner.run(self.stage.end())
        finally:
            self.runner.close()
            self.often.stop()
            self.folder.cleanup()


class DurableMailboxAgrees(MailboxAgrees):
    """A durable mailbox on a store in memory, which survives each crash of the core."""

    durable = True

    @rule(data=st.data(), is_ack_lost=st.booleans())
    def crash(self, data: st.DataObject, *, is_ack_lost: bool) -> None:
        """The core dies, and starts again. An ack that was not stored yet only means another delivery."""
        acked = data.draw(st.sampled_from(self.held)) if is_ack_lost and self.held else None
        for receiving in self.receiving:
            self.runner.run(cancelled(receiving))
        self.receiving = []

        async def whole() -> None:
            if acked is not None:
                self.box.ack(acked)
            await self.stage.crash()

        self.run(whole())
        self.oracle.crash()
        # Of another start, and so none of its messages.
        self.stale = [*self.stale, *self.held]
        self.held = []


async def cancelled(receiving: Receiving) -> None:
    """End a wait that was not over."""
    receiving.task.cancel()
    await asyncio.gather(receiving.task, return_exceptions=True)
    await rounds(3)
