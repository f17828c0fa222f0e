"""Each promise broken on purpose: the check that guards it must say so."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from core.api.base import MailId
from core.api.errors import HermesError
from core.mailbox.giving import Giving
from core.mailbox.mailbox import Mailbox
from core.mailbox.maillog import MailLog
from core.mailbox.message import Draft, Mail
from core.mailbox.office import Office
from core.mailbox.queue import Queue
from core.mailbox.replay import Replay
from core.store.base import Put
from tests.support.mail_checks import Accounts
from tests.support.mail_machine import DurableMailboxAgrees, MailboxAgrees
from tests.support.mail_stage import MailStage, rounds

QUICK = settings(
    max_examples=500,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    print_blob=False,
)

Patch = Callable[[pytest.MonkeyPatch], None]


def no_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever once held a message may settle it."""
    settle = Queue.settle
    monkeypatch.setattr(Queue, "settle", lambda self, mail: settle(self, self.leases.get(mail.id, mail)))
    monkeypatch.setattr(Queue, "check_held", lambda _self, _mail: None)


def no_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease never ends."""
    monkeypatch.setattr(Queue, "overdue", lambda _self, _now: [])


def no_dedupe(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key is ever known."""
    monkeypatch.setattr(Mailbox, "find_known", lambda _self, _key: None)


def no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody is first in line."""
    monkeypatch.setattr(Queue, "_line_up", lambda _self: None)


def no_wakeup(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits is not told."""
    monkeypatch.setattr(Giving, "_serve", lambda _self: None)


def ids_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids come round again."""
    numbers = count()
    monkeypatch.setattr(Office, "new_id", lambda _self: MailId(1 + next(numbers) % 3))


def no_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is dropped is not counted."""
    drop = Queue.drop

    def uncounted(self: Queue, mail: Mail) -> None:
        drop(self, mail)
        self.dropped -= 1

    monkeypatch.setattr(Queue, "drop", uncounted)


def no_crash_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message in flight at a crash counts as one that was never given out."""
    apply = Replay.apply

    def forgetful(self: Replay, pack: Any) -> None:
        apply(self, pack)
        self.in_flight.clear()

    monkeypatch.setattr(Replay, "apply", forgetful)


@pytest.mark.parametrize(
    ("machine", "mutate"),
    [
        (MailboxAgrees, no_fence),
        (MailboxAgrees, no_lease),
        (MailboxAgrees, no_dedupe),
        (MailboxAgrees, no_line),
        (MailboxAgrees, no_wakeup),
        (MailboxAgrees, ids_again),
        (MailboxAgrees, no_count),
        (DurableMailboxAgrees, no_crash_noticed),
    ],
    ids=lambda value: value.__name__,
)
def test_the_machine_finds_a_broken_promise(
    machine: type[RuleBasedStateMachine], mutate: Patch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever promise of a mailbox is broken, the comparison with the oracle fails."""
    mutate(monkeypatch)
    with pytest.raises((AssertionError, HermesError)):
        run_state_machine_as_test(machine, settings=QUICK)


Step = Callable[[MailStage, Mail, int], Awaitable[None]]


async def in_one_commit(stage: MailStage, mail: Mail, number: int) -> None:
    """As it should be: ack and effect together."""
    transaction = stage.boxes.transaction()
    transaction.ack(mail)
    await transaction.commit([_effect(mail, number)])


async def ack_first(stage: MailStage, mail: Mail, number: int) -> None:
    """Wrong: whoever dies in between leaves no effect."""
    stage.boxes.get("box").ack(mail)
    await stage.settle()
    await stage.journal.commit([_effect(mail, number)], ())


async def effect_first(stage: MailStage, mail: Mail, number: int) -> None:
    """Wrong: whoever dies in between has the effect again."""
    await stage.journal.commit([_effect(mail, number)], ())
    await stage.settle()
    stage.boxes.get("box").ack(mail)


def _effect(mail: Mail, number: int) -> Put:
    return Put(f"effect/{number:04}", f"{mail.sender} {mail.payload}".encode())


async def accounted(step: Step) -> Accounts:
    """Ten messages, and a consumer that is killed at each of its first batches in turn."""
    stage = MailStage()
    await stage.open()
    accounts = Accounts()
    box = await stage.box(max_deliveries=1000)
    for number in range(1, 11):
        accounts.sent.add(("ana", number))
        await box.post(Draft(payload=number, sender="ana", key=f"k{number}"))
        accounts.acked.add(("ana", number))
    numbers = count()
    for blow in range(1, 30):
        await _worked_until(stage, step, numbers, blow)
        await stage.crash()
    rows = await stage.store.scan("effect/")
    accounts.effects = [(sender, int(number)) for sender, number in (row.body.decode().split() for row in rows)]
    accounts.dead = {(mail.sender, mail.payload) for mail in (stage.boxes.get("box").dead or {}).values()}
    await stage.end()
    return accounts


async def _worked_until(stage: MailStage, step: Step, numbers: "count[int]", blow: int) -> None:
    """Work until that many batches of this start were written; the next ones never are."""
    written = 0

    def cut(_batch: object) -> None:
        nonlocal written
        written += 1
        stage.store.is_cut = written > blow

    stage.store.fault = cut
    box = stage.boxes.get("box")

    async def consume() -> None:
        while (mail := box.try_receive()) is not None:
            await step(stage, mail, next(numbers))

    task = asyncio.get_running_loop().create_task(consume())
    await rounds(300)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_ack_and_effect_in_one_commit_lose_and_double_nothing() -> None:
    """Whenever the consumer dies, the sets agree."""
    accounts = await accounted(in_one_commit)
    assert accounts.faults() == []
    assert len(accounts.effects) > 5


@pytest.mark.parametrize(("step", "word"), [(ack_first, "lost"), (effect_first, "twice")])
async def test_the_accounts_find_two_commits_instead_of_one(step: Step, word: str) -> None:
    """Whatever comes first, a death in between is seen in the sets."""
    assert any(fault.startswith(word) for fault in (await accounted(step)).faults())


async def test_the_accounts_find_a_message_that_was_confirmed_before_it_was_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A post that does not wait for the store is found out by a crash."""
    post = MailLog.post

    def hasty(self: MailLog, box: Any, mail: Mail) -> "asyncio.Future[None]":
        post(self, box, mail)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def sent() -> Accounts:
        stage = MailStage()
        await stage.open()
        box = await stage.box()
        accounts = Accounts(sent={("ana", 1)})
        stage.store.is_held = True
        task = asyncio.get_running_loop().create_task(box.post(Draft(payload=1, sender="ana")))
        await rounds(5)
        if task.done():
            accounts.acked.add(("ana", 1))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stage.crash()
        accounts.received.append([(mail.sender, mail.payload) for mail in stage.boxes.get("box").live()])
        await stage.end()
        return accounts

    assert (await sent()).faults() == []
    monkeypatch.setattr(MailLog, "post", hasty)
    assert (await sent()).faults() == ["lost: [('ana', 1)]"]
