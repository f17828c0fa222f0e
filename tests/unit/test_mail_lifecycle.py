"""Mailboxes are made, changed, paused and removed while they are in use."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from core.api.base import SYSTEM, Actor, ActorKind, Record
from core.api.errors import ConflictError, InvalidInput, NotFound, StoreError
from core.api.mailboxes import (
    MailboxChanged,
    MailboxCreated,
    MailboxDeleted,
    MailboxPaused,
    MailboxPolicy,
    MailboxResumed,
    MailboxState,
)
from core.mailbox.message import Draft
from tests.support.mail_stage import FULL, MailStage, on_stage, rounds

ANA = Actor(ActorKind.OPERATOR, "ana")
ONE = Draft(payload="one", sender="ana")
POLICY = MailboxPolicy()


async def ends_of(*acts: Coroutine[Any, Any, Any]) -> list[Any]:
    """What several acts at once came to."""
    return await asyncio.gather(*acts, return_exceptions=True)


async def cancelled(stage: MailStage, act: Coroutine[Any, Any, Any]) -> None:
    """Begin an act, cancel its caller while the store works, then let the store finish."""
    stage.store.is_held = True
    task = asyncio.get_running_loop().create_task(act)
    await rounds(5)
    assert stage.store.held_count == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    stage.store.let_go()
    await stage.settle()


async def test_many_who_need_a_mailbox_at_once_get_the_same() -> None:
    """It is made once; whoever asks later gets it with the rules it has."""
    async with on_stage() as stage:
        boxes = await asyncio.gather(*(stage.box(capacity=number) for number in range(1, 20)))
        assert len({id(box) for box in boxes}) == 1
        assert boxes[0].policy.capacity == 1
        assert (await stage.box(capacity=77)).policy.capacity == 1


async def test_a_mailbox_survives_the_caller_who_made_it() -> None:
    """Cancelled while it is being stored, it is there all the same, and others who wait for it get it."""
    async with on_stage() as stage:
        stage.store.is_held = True
        create_task = asyncio.get_running_loop().create_task
        first, second = create_task(stage.box()), create_task(stage.box())
        await rounds(5)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        stage.store.let_go()
        box = await second
        assert stage.boxes.get("box") is box
        assert await stage.box() is box


async def test_a_creation_whose_caller_is_cancelled_happens_all_the_same() -> None:
    """Its name is not blocked by a row without a mailbox."""
    async with on_stage() as stage:
        await cancelled(stage, stage.boxes.create("box", POLICY, actor=ANA))
        await stage.boxes.get("box").post(ONE)


async def test_of_two_who_create_one_mailbox_one_is_refused() -> None:
    """ConflictError for the other, also when both asked at once; ensure is content with either."""
    async with on_stage() as stage:
        create = stage.boxes.create
        ends = await ends_of(create("box", POLICY, actor=ANA), create("box", POLICY, actor=ANA), stage.box())
        assert [type(end) for end in ends if isinstance(end, Exception)] == [ConflictError]
        assert stage.boxes.get("box") in ends
        with pytest.raises(ConflictError):
            await create("box", POLICY, actor=ANA)


async def test_who_asks_between_the_store_and_the_word_of_it_lets_the_loop_turn() -> None:
    """That a mailbox is stored is known a moment before the mailbox is: nobody waits for that without giving way."""
    async with on_stage() as stage:
        asked: list[Coroutine[Any, Any, Any]] = []

        def ask(record: Record) -> None:
            if isinstance(record.event, MailboxCreated):
                asked.append(stage.boxes.ensure("box", POLICY))
                asked[0].send(None)

        stage.journal.on_record(ask)
        box = await stage.boxes.create("box", POLICY, actor=ANA)
        with pytest.raises(StopIteration) as found:
            asked[0].send(None)
        assert found.value.value is box


async def test_a_mailbox_with_mail_is_not_deleted() -> None:
    """Neither with live messages, nor dead letters, nor one that is just being stored."""
    async with on_stage() as stage:
        box = await stage.box()
        stage.store.is_held = True
        posting = asyncio.get_running_loop().create_task(box.post(ONE))
        await rounds(5)
        with pytest.raises(ConflictError):
            await stage.boxes.delete("box", actor=ANA)
        stage.store.let_go()
        await posting
        with pytest.raises(ConflictError):
            await stage.boxes.delete("box", actor=ANA)
        box.reject(await box.receive(), error="no")
        with pytest.raises(ConflictError):
            await stage.boxes.delete("box", actor=ANA)
        box.drop_now(next(iter((box.dead or {}).values())))
        await stage.boxes.delete("box", actor=ANA)
        assert stage.boxes.find("box") is None
        await stage.crash()
        assert stage.boxes.find("box") is None


async def test_a_deletion_that_cannot_be_stored_leaves_the_mailbox_as_it_was() -> None:
    """It takes and gives on."""
    async with on_stage() as stage:
        box = await stage.box()
        stage.store.fault = lambda _batch: FULL
        with pytest.raises(StoreError):
            await stage.boxes.delete("box", actor=ANA)
        stage.store.fault = lambda _batch: None
        assert stage.boxes.get("box") is box
        await box.post(ONE)


async def test_a_mailbox_can_be_made_again() -> None:
    """After its deletion the name is free, and nothing of the old one is in it."""
    async with on_stage() as stage:
        await stage.box(capacity=1)
        await stage.boxes.delete("box", actor=ANA)
        box = await stage.box(capacity=2)
        assert (box.policy.capacity, box.depth) == (2, 0)
        with pytest.raises(NotFound):
            stage.boxes.get("other")


async def test_a_paused_mailbox_takes_and_gives_nothing_out() -> None:
    """Also over a restart; resumed, it serves who waits."""
    async with on_stage() as stage:
        box = await stage.box()
        await stage.boxes.pause("box", actor=ANA, reason="lunch")
        await box.post(ONE)
        assert box.try_receive() is None
        await stage.crash()
        box = stage.boxes.get("box")
        view = box.view()
        assert (view.state, view.paused_by, view.paused_reason) == (MailboxState.PAUSED, "ana", "lunch")
        receiver = asyncio.get_running_loop().create_task(box.receive())
        await rounds(5)
        assert not receiver.done()
        await stage.boxes.resume("box", actor=ANA)
        assert (await receiver).payload == "one"
        await stage.crash()
        assert stage.boxes.get("box").state is MailboxState.OPEN


@pytest.mark.parametrize("over_a_restart", [False, True])
async def test_a_pause_with_an_end_ends_by_itself(over_a_restart: bool) -> None:
    """At its time, whoever waits is served."""
    async with on_stage() as stage:
        box = await stage.box()
        await stage.boxes.pause("box", actor=ANA, for_s=60.0)
        await box.post(ONE)
        await stage.advance(30.0)
        if over_a_restart:
            await stage.crash(wall_s=10.0)
            box = stage.boxes.get("box")
        receiver = asyncio.get_running_loop().create_task(box.receive())
        await stage.advance(15.0)
        assert not receiver.done()
        await stage.advance(16.0)
        assert receiver.done()
        assert box.state is MailboxState.OPEN


async def test_a_pause_that_ran_out_while_the_core_was_down_is_over() -> None:
    """Nobody need resume it."""
    async with on_stage() as stage:
        await stage.box()
        await stage.boxes.pause("box", actor=ANA, for_s=60.0)
        await stage.crash(wall_s=61.0)
        assert stage.boxes.get("box").state is MailboxState.OPEN


async def test_a_pause_that_cannot_be_stored_is_taken_back() -> None:
    """It gives out as before."""
    async with on_stage() as stage:
        box = await stage.box()
        stage.store.fault = lambda _batch: FULL
        with pytest.raises(StoreError):
            await stage.boxes.pause("box", actor=ANA)
        stage.store.fault = lambda _batch: None
        await box.post(ONE)
        assert box.try_receive() is not None


async def test_orders_of_a_caller_who_is_cancelled_are_carried_out() -> None:
    """The state that is stored is the state it has, for pause, resume, other rules and deletion."""
    async with on_stage() as stage:
        box = await stage.box()
        states: list[MailboxState] = []
        for order in (stage.boxes.pause, stage.boxes.resume):
            await cancelled(stage, order("box", actor=ANA))
            states.append(box.state)
        assert states == [MailboxState.PAUSED, MailboxState.OPEN]
        await cancelled(stage, stage.boxes.set_policy("box", MailboxPolicy(capacity=9), actor=ANA))
        assert box.policy.capacity == 9
        await stage.boxes.set_policy("box", MailboxPolicy(capacity=10), actor=ANA)
        await cancelled(stage, stage.boxes.delete("box", actor=ANA))
        assert stage.boxes.find("box") is None
        await stage.box()


async def test_each_change_is_told_with_who_did_it() -> None:
    """One event each, with the mailbox as it is afterwards."""
    async with on_stage() as stage:
        await stage.boxes.create("box", POLICY, actor=ANA)
        await stage.boxes.set_policy("box", MailboxPolicy(capacity=3), actor=ANA)
        await stage.boxes.pause("box", actor=ANA)
        await stage.boxes.resume("box", actor=ANA)
        await stage.boxes.delete("box", actor=ANA)
        records = await stage.journal.read()
        assert [type(record.event) for record in records] == [
            MailboxCreated,
            MailboxChanged,
            MailboxPaused,
            MailboxResumed,
            MailboxDeleted,
        ]
        assert {record.actor for record in records} == {ANA}
        changed = records[1].event
        assert isinstance(changed, MailboxChanged)
        assert changed.mailbox.policy.capacity == 3


async def test_rules_are_kept_over_a_restart() -> None:
    """Those that it had last."""
    async with on_stage() as stage:
        await stage.box()
        policy = MailboxPolicy(capacity=3, ordered=False, visibility_s=7.0)
        await stage.boxes.set_policy("box", policy, actor=ANA)
        await stage.crash()
        assert stage.boxes.get("box").policy == policy


async def test_a_durable_mailbox_stays_durable() -> None:
    """Another durability is refused and names the field."""
    async with on_stage() as stage:
        await stage.box()
        with pytest.raises(InvalidInput) as caught:
            await stage.boxes.set_policy("box", MailboxPolicy(durable=False), actor=SYSTEM)
        assert caught.value.facts["field"] == "durable"


async def test_another_order_forms_the_lines_anew() -> None:
    """Unordered, what waited in line goes out; ordered again, only the first of each line does."""
    async with on_stage() as stage:
        box = await stage.box()
        for _ in range(4):
            await box.post(ONE)
        first = await box.receive()
        assert box.try_receive() is None
        await stage.boxes.set_policy("box", MailboxPolicy(ordered=False), actor=ANA)
        second = box.try_receive()
        assert second is not None
        await stage.boxes.set_policy("box", MailboxPolicy(), actor=ANA)
        assert box.try_receive() is None
        box.ack(second)
        assert box.try_receive() is None
        box.ack(first)
        assert box.try_receive() is not None


async def test_a_mailbox_in_memory_ends_with_the_core() -> None:
    """Neither it nor its messages are there at the next start."""
    async with on_stage() as stage:
        box = stage.boxes.in_memory("here", MailboxPolicy(durable=False))
        await box.post(ONE)
        await stage.crash()
        assert stage.boxes.find("here") is None


async def test_figures_of_all_mailboxes_add_up() -> None:
    """The total is the sum, and explains everything."""
    async with on_stage() as stage:
        for name in ("a", "b"):
            box = await stage.box(name)
            await box.post(ONE)
            await box.post(ONE)
            box.ack(await box.receive())
        total = stage.boxes.tally()
        assert (total.accepted, total.done, total.queued, total.difference) == (4, 2, 2, 0)
