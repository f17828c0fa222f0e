"""Calls: the reply finds its caller, time runs out when it should, and a late reply is kept and never delivered."""

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.api.errors import DeadlineExceeded, InvalidInput, MailboxFull, NotFound, Unavailable
from core.api.mail import DeadReason, MailKind
from core.api.mailboxes import MailboxPolicy, Overflow
from core.mailbox.calls import ReplyOutcome
from core.mailbox.message import Mail
from tests.support.journals import until_idle
from tests.support.routing import DURABLE, MEMORY, Routing, routing

LONG_S = 30.0
SHORT_S = 0.02


@pytest.fixture(params=["memory", "durable"])
def policy(request: pytest.FixtureRequest) -> MailboxPolicy:
    """Mailboxes in memory, and stored ones."""
    return MEMORY if request.param == "memory" else DURABLE


@pytest.fixture
async def rig(tmp_path: Path, policy: MailboxPolicy) -> AsyncIterator[Routing]:
    """A caller `ana` and a callee `worker`."""
    async with routing(tmp_path) as opened:
        await opened.agents("ana", "worker", policy=policy)
        yield opened


def calling(rig: Routing, payload: Any = "q", *, to: str = "worker", timeout_s: float = LONG_S) -> "asyncio.Task[Any]":
    """A call on its way."""
    return asyncio.ensure_future(rig.calls.call(to, payload, caller="ana", timeout_s=timeout_s))


async def taken(rig: Routing, name: str = "worker") -> Mail:
    """The call as the callee gets it, not settled."""
    return await rig.box(name).receive(timeout_s=LONG_S)


async def test_a_reply_goes_to_its_caller(rig: Routing) -> None:
    """As a copy, and the call names its caller and what joins the two."""
    call = calling(rig, {"n": 1})
    mail = await taken(rig)
    assert (mail.kind, mail.payload, mail.sender) == (MailKind.CALL, {"n": 1}, "ana")
    answer = {"sum": [1, 2]}
    assert await rig.calls.reply(mail, answer) is ReplyOutcome.DELIVERED
    rig.box("worker").ack(mail)
    got = await call
    assert got == answer
    assert got is not answer
    assert rig.box("ana").depth == 0


async def test_replies_out_of_order_find_their_own_callers(rig: Routing) -> None:
    """A hundred calls at once, answered from the last to the first."""
    calls = [asyncio.ensure_future(rig.calls.call("worker", number, caller=f"c{number}", timeout_s=LONG_S))
             for number in range(100)]  # fmt: skip
    mails = [await taken(rig) for _ in calls]
    for mail in reversed(mails):
        await rig.calls.reply(mail, mail.payload * 2)
        rig.box("worker").ack(mail)
    assert await asyncio.gather(*calls) == [number * 2 for number in range(100)]
    assert (rig.calls.stats().waiting, rig.calls._of_callee) == (0, {})


async def test_a_reply_does_not_queue_behind_other_mail(rig: Routing) -> None:
    """The caller has it while its mailbox is full of something else."""
    for number in range(50):
        await rig.send("ana", number)
    call = calling(rig)
    await rig.calls.reply(await taken(rig), "at once")
    assert await call == "at once"
    assert rig.box("ana").depth == 50


@pytest.mark.parametrize(("to", "reason"), [("nobody", "unknown"), ("gone", "ended"), ("group:none", "unknown")])
async def test_a_call_to_nobody_fails_at_once(rig: Routing, to: str, reason: str) -> None:
    """Unknown or dead: the caller does not wait for its deadline, and nothing is left in a mailbox."""
    await rig.agents("gone")
    await rig.router.stop("gone", "boom")
    with pytest.raises(NotFound) as caught:
        await rig.calls.call(to, "q", caller="ana", timeout_s=3600)
    assert caught.value.facts["reason"] == reason
    assert rig.box("gone").depth == 0
    assert rig.calls.stats().refused == 1


async def test_a_call_that_is_not_answered_in_time_names_what_and_how_long(rig: Routing) -> None:
    """And takes its message back, so that nobody works for nothing."""
    with pytest.raises(DeadlineExceeded) as caught:
        await rig.calls.call("worker", "q", caller="ana", timeout_s=SHORT_S)
    assert caught.value.facts["limit_s"] == SHORT_S
    assert "worker#" in str(caught.value.facts["what"])
    tally = rig.box("worker").tally()
    assert (tally.queued, tally.in_flight, tally.difference) == (0, 0, 0)
    assert rig.box("worker").try_receive() is None


async def test_the_message_of_a_call_goes_out_of_date_with_it(rig: Routing) -> None:
    """So that also after a crash of the caller nobody handles it."""
    call = calling(rig, timeout_s=LONG_S)
    mail = await taken(rig)
    assert mail.expires - mail.posted == pytest.approx(LONG_S)
    call.cancel()


async def test_a_late_reply_is_kept_as_a_dead_letter_of_the_caller_and_never_delivered(rig: Routing) -> None:
    """With the reason and what became of the call; it is counted."""
    call = calling(rig, timeout_s=SHORT_S)
    mail = await taken(rig)
    with pytest.raises(DeadlineExceeded):
        await call
    assert await rig.calls.reply(mail, {"late": True}) is ReplyOutcome.LATE
    (dead,) = rig.dead("ana", DeadReason.LATE_REPLY)
    assert (dead.payload, dead.kind, dead.causation, dead.sender) == ({"late": True}, MailKind.REPLY, mail.id, "worker")
    assert dead.correlation == mail.correlation
    assert "given up after" in dead.error
    assert rig.box("ana").try_receive() is None
    assert rig.box("ana").tally().difference == 0
    assert rig.calls.stats().late == 1


async def test_a_late_reply_outlives_a_restart_in_a_durable_mailbox(tmp_path: Path) -> None:
    """It is there as a dead letter, and nobody gets it as a message."""
    async with routing(tmp_path, "sqlite") as rig:
        await rig.agents("ana", "worker", policy=DURABLE)
        call = calling(rig, timeout_s=SHORT_S)
        mail = await taken(rig)
        with pytest.raises(DeadlineExceeded):
            await call
        await rig.calls.reply(mail, "late")
        rig.box("worker").ack(mail)
    async with routing(tmp_path, "sqlite") as rig:
        await rig.boxes.indexed()
        assert [mail.payload for mail in rig.dead("ana", DeadReason.LATE_REPLY)] == ["late"]
        assert (rig.box("ana").depth, rig.box("worker").depth) == (0, 0)


async def test_a_late_reply_is_kept_also_when_the_callers_mailbox_is_full(tmp_path: Path) -> None:
    """It takes no room of live mail and pushes nothing out."""
    async with routing(tmp_path) as rig:
        await rig.agents("ana", policy=MailboxPolicy(durable=False, capacity=1))
        await rig.agents("worker")
        await rig.send("ana", "work")
        call = calling(rig, timeout_s=SHORT_S)
        mail = await taken(rig)
        with pytest.raises(DeadlineExceeded):
            await call
        assert await rig.calls.reply(mail, "late") is ReplyOutcome.LATE
        with pytest.raises(MailboxFull):
            await rig.send("ana", "more")
        assert rig.payloads("ana") == ["work"]


async def test_a_late_reply_to_a_caller_without_mailbox_is_counted_as_lost(rig: Routing) -> None:
    """There is no place to keep it, and no error for the callee."""
    call = asyncio.ensure_future(rig.calls.call("worker", "q", caller="operator", timeout_s=SHORT_S))
    mail = await taken(rig)
    with pytest.raises(DeadlineExceeded):
        await call
    assert await rig.calls.reply(mail, "late") is ReplyOutcome.LOST
    assert rig.calls.stats().lost == 1


async def test_a_second_reply_is_late(rig: Routing) -> None:
    """The first one counts; the second says that the call was answered already."""
    call = calling(rig)
    mail = await taken(rig)
    assert await rig.calls.reply(mail, 1) is ReplyOutcome.DELIVERED
    assert await rig.calls.reply(mail, 2) is ReplyOutcome.LATE
    assert await call == 1
    assert await rig.calls.reply(mail, 3) is ReplyOutcome.LATE
    assert [dead.payload for dead in rig.dead("ana", DeadReason.LATE_REPLY)] == [2, 3]


async def test_the_end_of_the_callee_ends_the_call_at_once(rig: Routing) -> None:
    """With its reason, and the message does not wait for the next run."""
    call = calling(rig, timeout_s=3600)
    await until_idle()
    await rig.router.stop("worker", "out of memory")
    with pytest.raises(Unavailable) as caught:
        await call
    assert caught.value.facts["reason"] == "out of memory"
    assert rig.box("worker").depth == 0
    assert rig.calls.stats().callee_down == 1


async def test_the_end_of_the_callee_ends_also_a_call_that_waits_for_room(tmp_path: Path) -> None:
    """Its message never came into the mailbox, and does not come later."""
    full = MailboxPolicy(durable=False, capacity=1, overflow=Overflow.BLOCK, block_s=3600)
    async with routing(tmp_path) as rig:
        await rig.agents("ana")
        await rig.agents("worker", policy=full)
        await rig.send("worker", "work")
        call = calling(rig, timeout_s=3600)
        await until_idle()
        await rig.router.stop("worker", "boom")
        with pytest.raises(Unavailable) as caught:
            await call
        assert (caught.value.facts["reason"], rig.calls.stats().callee_down) == ("boom", 1)
        assert rig.payloads("worker") == ["work"]
        await until_idle()
        assert rig.payloads("worker") == []


async def test_the_end_of_the_callee_and_a_refusal_at_one_moment_are_one_error(tmp_path: Path) -> None:
    """Nobody is left to hear of the other, and no warning comes of it."""
    full = MailboxPolicy(durable=False, capacity=1, overflow=Overflow.BLOCK, block_s=3600)
    async with routing(tmp_path) as rig:
        await rig.agents("ana")
        await rig.agents("worker", policy=full)
        await rig.send("worker", "work")
        call = calling(rig, timeout_s=3600)
        await until_idle()
        await rig.router.stop("worker", "boom")
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        del call
        gc.collect()


async def test_the_end_of_the_callee_and_the_deadline_at_one_moment_are_one_error(tmp_path: Path) -> None:
    """Stopping an agent does not fail because a caller's time is over."""
    full = MailboxPolicy(durable=False, capacity=1, overflow=Overflow.BLOCK, block_s=3600)
    async with routing(tmp_path) as rig:
        await rig.agents("ana")
        await rig.agents("worker", policy=full)
        await rig.send("worker", "work")
        call = calling(rig, timeout_s=3600)
        await until_idle()
        (waiting,) = rig.calls._waiting.values()
        waiting.scope.reschedule(0.0)
        await asyncio.sleep(0)
        assert waiting.scope.expired()
        await rig.router.stop("worker", "boom")
        with pytest.raises(Unavailable, match="boom"):
            await call


async def test_a_reply_at_the_very_moment_of_the_deadline_counts(rig: Routing) -> None:
    """Whoever replied was told that it was delivered."""
    call = calling(rig)
    mail = await taken(rig)
    (waiting,) = rig.calls._waiting.values()
    waiting.scope.reschedule(0.0)
    assert await rig.calls.reply(mail, "just in time") is ReplyOutcome.DELIVERED
    assert await call == "just in time"


async def test_a_reply_given_before_the_end_of_the_callee_counts(rig: Routing) -> None:
    """Its end never overtakes it."""
    call = calling(rig, timeout_s=3600)
    mail = await taken(rig)
    await rig.calls.reply(mail, "just in time")
    await rig.router.stop("worker", "boom")
    assert await call == "just in time"


async def test_cancelling_a_call_takes_its_message_back(rig: Routing) -> None:
    """And a reply to it is late."""
    call = calling(rig)
    mail = await taken(rig)
    waiting = calling(rig, "second")
    await until_idle()
    assert rig.box("worker").depth == 2
    for task in (call, waiting):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert rig.box("worker").depth == 1
    assert await rig.calls.reply(mail, "late") is ReplyOutcome.LATE
    assert "withdrawn" in rig.dead("ana", DeadReason.LATE_REPLY)[0].error
    assert rig.calls.stats().withdrawn == 2


async def test_a_call_to_a_group_goes_to_one_member(rig: Routing, policy: MailboxPolicy) -> None:
    """And ends when that member does."""
    await rig.agents("helper", policy=policy)
    rig.router.join("crew", "helper")
    call = calling(rig, to="group:crew")
    await rig.calls.reply(await taken(rig, "helper"), "done")
    assert await call == "done"
    call = calling(rig, to="group:crew")
    await until_idle()
    await rig.router.stop("helper", "boom")
    with pytest.raises(Unavailable):
        await call


async def test_only_a_call_can_be_answered(rig: Routing) -> None:
    """Nobody waits for a reply to a cast; a payload that cannot be sent leaves the call open."""
    await rig.send("worker", "cast")
    mail = await taken(rig)
    with pytest.raises(InvalidInput):
        await rig.calls.reply(mail, "?")
    rig.box("worker").ack(mail)
    call = calling(rig)
    mail = await taken(rig)
    with pytest.raises(InvalidInput):
        await rig.calls.reply(mail, object())
    assert await rig.calls.reply(mail, "ok") is ReplyOutcome.DELIVERED
    assert await call == "ok"


async def test_a_call_needs_time(rig: Routing) -> None:
    """No waiting for nothing."""
    with pytest.raises(InvalidInput):
        await rig.calls.call("worker", "q", caller="ana", timeout_s=0)


async def test_the_figures_of_calls_add_up(rig: Routing) -> None:
    """Each call made ends in one way."""
    answered = calling(rig)
    await rig.calls.reply(await taken(rig), 1)
    await answered
    with pytest.raises(NotFound):
        await rig.calls.call("nobody", 1, caller="ana")
    with pytest.raises(DeadlineExceeded):
        await rig.calls.call("worker", 1, caller="ana", timeout_s=SHORT_S)
    waiting = calling(rig)
    await until_idle()
    stats = rig.calls.stats()
    ended = stats.answered + stats.timed_out + stats.withdrawn + stats.callee_down + stats.refused
    assert (stats.made, stats.waiting, ended) == (4, 1, 3)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
