"""At most once, at least once, exactly once: what each promises when deliveries fail and cores die."""

import asyncio

import pytest

from core.api.base import SYSTEM
from core.api.errors import ConflictError, NotFound, StaleLease, StoreError
from core.api.mail import DeadReason, MailState
from core.api.mailboxes import Guarantee
from core.mailbox.message import Draft
from core.store.base import Put
from tests.support.journals import said, text_of
from tests.support.mail_stage import BROKEN, FULL, MailStage, on_stage, rounds

ONE = Draft(payload="one", sender="ana")


async def test_at_most_once_is_never_given_out_again() -> None:
    """A failure, a lease that ends, and a crash each let it go for good."""
    async with on_stage() as stage:
        box = await stage.box(guarantee=Guarantee.AT_MOST_ONCE, visibility_s=1.0)
        await box.post(ONE)
        box.nack(await box.receive(), error="no")
        await box.post(ONE)
        await box.receive()
        await stage.advance(2.0)
        assert (box.depth, box.tally().dropped) == (0, 2)
        await box.post(ONE)
        await box.receive()
        await stage.settle()
        await stage.crash()
        assert stage.boxes.get("box").tally().accepted == 0


async def test_at_least_once_is_given_out_until_it_is_settled() -> None:
    """A failure, a lease that ends and a crash lead to another delivery, each with its number."""
    async with on_stage() as stage:
        box = await stage.box(visibility_s=2.0)
        await box.post(ONE)
        box.nack(await box.receive(), error="no", delay_s=0)
        assert (await box.receive()).attempt == 2
        await stage.advance(3.0)
        await stage.advance(5.0)
        assert (await box.receive()).attempt == 3
        await stage.settle()
        await stage.crash()
        box = stage.boxes.get("box")
        mail = await box.receive()
        assert (mail.attempt, mail.crashes) == (4, 1)
        assert [attempt.number for attempt in mail.attempts or ()] == [1, 2, 3]
        box.ack(mail)
        await stage.settle()
        await stage.crash()
        assert stage.boxes.get("box").depth == 0


async def test_a_commit_does_all_of_it() -> None:
    """Ack, result row, follow-up message and event: all there afterwards, also for the next start."""
    async with on_stage() as stage:
        box, after = await stage.box("in"), await stage.box("out")
        await box.post(ONE)
        mail = await box.receive()
        transaction = stage.boxes.transaction()
        transaction.ack(mail)
        transaction.post("out", Draft(payload="two", sender="in", causation=mail.id, key=f"m-{mail.id}"))
        await transaction.commit([Put("result/1", b"done")], [("s", said("done"))])
        assert (box.depth, after.depth, box.tally().done) == (0, 1, 1)
        await stage.crash()
        assert stage.boxes.get("in").depth == 0
        assert (await stage.boxes.get("out").receive()).payload == "two"
        assert await stage.store.get("result/1") is not None
        assert text_of((await stage.journal.read())[-1]) == "done"


@pytest.mark.parametrize("way", ["conflict", "full", "io"])
async def test_a_commit_that_fails_changes_nothing(way: str) -> None:
    """The ack is not done, the follow-up not there, its key free, the message still on the same lease."""
    async with on_stage() as stage:
        box, after = await stage.box("in"), await stage.box("out", capacity=1)
        await box.post(ONE)
        mail = await box.receive()
        await stage.settle()
        transaction = stage.boxes.transaction()
        transaction.ack(mail)
        transaction.post("out", Draft(payload="two", key="k"))
        if way != "conflict":
            error = FULL if way == "full" else BROKEN
            stage.store.fault = lambda _batch: error
        with pytest.raises(ConflictError if way == "conflict" else StoreError):
            await transaction.commit([Put("row", b"", expect=7)])
        stage.store.fault = lambda _batch: None
        assert (box.tally().in_flight, after.depth, mail.state) == (1, 0, MailState.IN_FLIGHT)
        assert not (await after.post(Draft(payload="two", key="k"))).is_duplicate
        box.ack(mail)
        await stage.settle()
        await stage.crash()
        assert (stage.boxes.get("in").depth, stage.boxes.get("out").depth) == (0, 1)


async def test_a_lease_does_not_end_while_its_ack_is_being_committed() -> None:
    """Nobody else gets the message meanwhile; once the commit fails, its time goes on."""
    async with on_stage() as stage:
        box = await stage.box(visibility_s=2.0)
        await box.post(ONE)
        mail = await box.receive()
        await stage.settle()
        transaction = stage.boxes.transaction()
        transaction.ack(mail)
        stage.store.is_held = True
        async with asyncio.TaskGroup() as group:
            commit = group.create_task(_refused(transaction.commit()))
            await rounds(5)
            await stage.clock.advance(60.0)
            assert box.tally().in_flight == 1
            assert box.try_receive() is None
            stage.store.let_go(FULL)
        assert commit.result()
        await stage.advance(1.0)
        await stage.advance(1.0)
        assert (await box.receive()).attempt == 2


async def _refused(commit: object) -> bool:
    with pytest.raises(StoreError):
        await commit  # type: ignore[misc] # a coroutine
    return True


async def test_a_commit_whose_caller_is_cancelled_happens_all_the_same() -> None:
    """It was asked for: memory agrees with the store, and the message is not given out twice."""
    async with on_stage() as stage:
        box, after = await stage.box("in"), await stage.box("out")
        await box.post(ONE)
        mail = await box.receive()
        await stage.settle()
        transaction = stage.boxes.transaction()
        transaction.ack(mail)
        transaction.post("out", ONE)
        stage.store.is_held = True
        commit = asyncio.get_running_loop().create_task(transaction.commit([Put("effect", b"1")]))
        await rounds(5)
        commit.cancel()
        await asyncio.gather(commit, return_exceptions=True)
        stage.store.let_go()
        await stage.settle()
        assert await stage.store.get("effect") is not None
        assert (box.depth, after.depth) == (0, 1)


async def test_a_consumer_that_dies_during_its_commit_does_not_give_the_message_back() -> None:
    """Its lease is the commit's by then: release and nack are refused, and the commit stands."""
    async with on_stage() as stage:
        box = await stage.box("in")
        await box.post(ONE)
        mail = await box.receive()
        await stage.settle()
        transaction = stage.boxes.transaction()
        transaction.ack(mail)
        stage.store.is_held = True
        async with asyncio.TaskGroup() as group:
            group.create_task(transaction.commit([Put("effect", b"1")]))
            await rounds(5)
            for settle in (box.release, box.ack, box.extend):
                with pytest.raises(StaleLease):
                    settle(mail)
            with pytest.raises(StaleLease):
                box.nack(mail, error="late")
            stage.store.let_go()
        assert (box.depth, box.tally().done) == (0, 1)


async def test_a_commit_with_a_lost_lease_is_refused_whole() -> None:
    """The effect of a consumer that was too slow is not written."""
    async with on_stage() as stage:
        box = await stage.box(visibility_s=1.0)
        await box.post(ONE)
        mail = await box.receive()
        await stage.advance(2.0)
        with pytest.raises(StaleLease):
            stage.boxes.transaction().ack(mail)
        assert await stage.store.get("effect") is None


@pytest.mark.parametrize("way", ["ack", "nack", "reject", "release", "extend"])
async def test_a_late_settlement_changes_nothing(way: str) -> None:
    """The lease ended and somebody else holds the message: refused, counted, and the other's lease stands."""
    async with on_stage() as stage:
        box = await stage.box(visibility_s=2.0, retry_base_s=0.0)
        await box.post(ONE)
        late = await box.receive()
        await stage.advance(3.0)
        held = await box.receive()
        before = box.tally()
        with pytest.raises(StaleLease) as caught:
            getattr(box, way)(late, **({"error": "late"} if way in {"nack", "reject"} else {}))
        assert (caught.value.facts["mail_id"], caught.value.facts["attempt"]) == (late.id, 1)
        assert box.tally().stale == before.stale + 1
        assert box.tally().in_flight == 1
        box.ack(held)
        assert box.tally().done == 1


async def test_a_heartbeat_keeps_a_lease() -> None:
    """Extended in time, the message is not given out again."""
    async with on_stage() as stage:
        box = await stage.box(visibility_s=2.0)
        await box.post(ONE)
        mail = await box.receive()
        for _ in range(5):
            await stage.advance(1.5)
            box.extend(mail)
        box.extend(mail, 100.0)
        await stage.advance(99.0)
        box.ack(mail)
        assert box.tally().done == 1


async def test_one_dead_letter_is_redriven_by_one_of_two_at_once() -> None:
    """The other commit is refused with StaleLease, and there is one new message."""
    async with on_stage() as stage:
        box = await stage.box()
        await box.post(ONE)
        box.reject(await box.receive(), error="no")
        assert box.dead is not None
        (dead,) = box.dead.values()
        first, second = stage.boxes.transaction(), stage.boxes.transaction()
        for transaction in (first, second):
            transaction.redrive(dead, "box")
        ends = await asyncio.gather(first.commit(), second.commit(), return_exceptions=True)
        assert [type(end) for end in ends if isinstance(end, Exception)] == [StaleLease]
        assert (box.depth, len(box.dead or {})) == (1, 0)
        await stage.crash()
        assert stage.boxes.get("box").depth == 1


async def test_a_redrive_is_a_new_message_that_names_the_old_one() -> None:
    """Counts begin anew, the replay is counted, and the old letter is dropped with it."""
    async with on_stage() as stage:
        box, other = await stage.box(max_deliveries=1), await stage.box("other")
        await box.post(Draft(payload="one", sender="ana", correlation="c", priority="high"))  # type: ignore[arg-type] # a StrEnum
        box.nack(await box.receive(), error="no")
        (dead,) = (box.dead or {}).values()
        transaction = stage.boxes.transaction()
        new_id = transaction.redrive(dead, "other")
        await transaction.commit(actor=SYSTEM)
        assert (box.tally().dead, box.tally().dropped) == (0, 1)
        await stage.crash()
        mail = await stage.boxes.get("other").receive()
        assert (mail.id, mail.redriven_from, mail.replays, mail.attempt) == (new_id, dead.id, 1, 1)
        assert (mail.reason, mail.error, mail.correlation) == (None, "", "c")
        assert other.name == mail.mailbox


async def test_a_post_to_nobody_is_refused_before_anything_is_written() -> None:
    """A transaction names the mailbox that is not there."""
    async with on_stage() as stage:
        with pytest.raises(NotFound):
            stage.boxes.transaction().post("nobody", ONE)


async def test_the_last_failure_is_in_the_history_of_a_dead_letter() -> None:
    """After its last delivery a message is dead, with every attempt and the last error, also after a restart."""
    async with on_stage() as stage:
        box = await stage.box(max_deliveries=3)
        await box.post(ONE)
        for number in range(1, 4):
            box.nack(await box.receive(), error=f"no {number}", delay_s=0)
        await stage.settle()
        await _is_dead(stage)
        await stage.crash()
        await _is_dead(stage)


async def _is_dead(stage: MailStage) -> None:
    (dead,) = (stage.boxes.get("box").dead or {}).values()
    assert (dead.reason, dead.error, dead.attempt) == (DeadReason.MAX_DELIVERIES, "no 3", 3)
    assert [(attempt.number, attempt.error) for attempt in dead.attempts or ()] == [
        (1, "no 1"),
        (2, "no 2"),
        (3, "no 3"),
    ]


async def test_a_message_in_flight_at_two_crashes_is_poison() -> None:
    """It is not given out a third time; its history tells of both."""
    async with on_stage() as stage:
        await stage.box(max_deliveries=10)
        await stage.boxes.get("box").post(ONE)
        for _ in range(2):
            await stage.boxes.get("box").receive()
            await stage.settle()
            await stage.crash()
        box = stage.boxes.get("box")
        (dead,) = (box.dead or {}).values()
        assert (dead.reason, dead.crashes, box.depth) == (DeadReason.POISON, 2, 0)
        await stage.settle()
        await stage.crash()
        (again,) = (stage.boxes.get("box").dead or {}).values()
        assert (again.reason, again.attempts) == (dead.reason, dead.attempts)


async def test_a_message_that_was_in_flight_at_a_crash_is_noted_before_it_is_given_out_again() -> None:
    """So that it cannot kill the core again and again unseen: with the store held, nobody gets it."""
    async with on_stage() as stage:
        await stage.box()
        await stage.boxes.get("box").post(ONE)
        await stage.boxes.get("box").receive()
        await stage.settle()
        await stage.crash()
        await stage.settle()
        stage.store.is_held = True
        receiver = asyncio.get_running_loop().create_task(stage.boxes.get("box").receive())
        await rounds(5)
        assert not receiver.done()
        stage.store.let_go()
        assert (await receiver).attempt == 2
