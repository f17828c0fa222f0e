"""Reading the stream: what becomes an item, filters, waiting for the next, and what a run could do with an input."""

import asyncio
from typing import Any

import msgspec
import pytest

from core.agents.tasks.stream import ITEMS, MERGED_BYTES, STARTS, TEXT_LIMIT, Filter, Piece, Ring, find_piece
from core.api.approvals import ApprovalDecided, ApprovalState
from core.api.base import ApprovalId, RunId, TaskId
from core.api.errors import InvalidInput, NotFound
from core.api.policies import ExecutionPolicy, RetryPolicy
from core.api.runs import Phase, Stop
from core.api.sessions import RunOutput
from core.api.streams import GetInteraction, InteractionState, ReadStream, StreamKind
from core.api.tasks import SendInput, TaskView
from tests.support.task_rig import HOME, TaskRig, task_rig
from tests.support.views import approval

ALL = Filter()


def say(rig: TaskRig, task: TaskView, text: str) -> None:
    """The run of a task writes."""
    assert task.target_run_id is not None
    rig.journal.publish(
        task.session_id, RunOutput(session_id=task.session_id, run_id=task.target_run_id, offset=0, text=text)
    )


def test_pieces_of_a_text_are_one_item_until_somebody_has_read_it() -> None:
    """Text that was read does not change any more."""
    ring = Ring(1)
    for text in ("a", "b"):
        ring.push(Piece(StreamKind.TEXT, HOME, text, RunId("r")), 1.0)
    first = ring.read(0, ALL, 10)
    assert [item.text for item in first.items] == ["ab"]
    for text in ("c", "d"):
        ring.push(Piece(StreamKind.TEXT, HOME, text, RunId("r")), 2.0)
    assert [item.text for item in ring.read(first.next_after, ALL, 10).items] == ["cd"]


def test_an_item_of_text_grows_to_two_kilobytes() -> None:
    """Then another begins; a tool call between keeps the order."""
    ring = Ring(1)
    for _ in range(3):
        ring.push(Piece(StreamKind.TEXT, HOME, "x" * 1_000, RunId("r")), 1.0)
    ring.push(Piece(StreamKind.TOOL, HOME, "ls", RunId("r")), 1.0)
    ring.push(Piece(StreamKind.TEXT, HOME, "y", RunId("r")), 1.0)
    found = [(item.kind, len(item.text)) for item in ring.read(0, ALL, 10).items]
    assert found == [(StreamKind.TEXT, 2_000), (StreamKind.TEXT, 1_000), (StreamKind.TOOL, 2), (StreamKind.TEXT, 1)]
    assert MERGED_BYTES == 2_048


def test_a_single_text_is_bounded() -> None:
    """The whole of it is in the transcript."""
    ring = Ring(1)
    ring.push(Piece(StreamKind.TOOL, HOME, "x" * 100_000, RunId("r")), 1.0)
    assert len(ring.read(0, ALL, 1).items[0].text) == TEXT_LIMIT


def test_a_limit_leaves_the_rest_for_the_next_question() -> None:
    """next_after is that of the last item that was given."""
    ring = Ring(2)
    for place in range(5):
        ring.push(Piece(StreamKind.LOG, HOME, str(place)), 1.0)
    first = ring.read(0, ALL, 2)
    assert (first.next_after, [item.text for item in first.items]) == (2 * STARTS + 2, ["0", "1"])
    assert [item.text for item in ring.read(first.next_after, ALL, 10).items] == ["2", "3", "4"]


def test_who_fell_behind_is_told() -> None:
    """Also when the number is of an earlier start."""
    ring = Ring(2, items=2)
    for place in range(4):
        ring.push(Piece(StreamKind.LOG, HOME, str(place)), 1.0)
    behind = ring.read(2 * STARTS + 1, ALL, 10)
    assert (behind.has_gap, [item.text for item in behind.items]) == (True, ["2", "3"])
    assert not ring.read(2 * STARTS + 2, ALL, 10).has_gap
    assert ring.read(STARTS + 3, ALL, 10).has_gap
    assert not ring.read(0, ALL, 10).has_gap


async def test_a_task_is_followed_from_its_beginning_to_its_end() -> None:
    """Output of its runs belongs to it, and the batch shows task, run and what could be said to it."""
    async with task_rig() as rig:
        task = await rig.started()
        await rig.started("apart")
        say(rig, task, "he")
        say(rig, task, "llo")
        batch = await rig.ask(ReadStream(task_id=task.id))
        found = [(item.kind, item.what or item.text) for item in batch.items]
        assert found == [(StreamKind.STATE, "task_running"), (StreamKind.TEXT, "hello")]
        assert batch.task == task
        assert batch.run is not None
        assert batch.interaction is not None
        assert batch.interaction.state is InteractionState.WORKING
        await rig.conversations.end(task.session_id)
        after = await rig.ask(ReadStream(task_id=task.id, after=batch.next_after))
        assert [item.what for item in after.items] == ["task_done"]
        assert after.interaction is not None
        assert after.interaction.state is InteractionState.CLOSED


async def test_a_reader_is_woken_by_what_it_waits_for_and_by_nothing_else() -> None:
    """It gets the first item that fits, at once."""
    async with task_rig() as rig:
        task = await rig.started()
        other = await rig.started("apart")
        head = (await rig.ask(ReadStream())).next_after
        reading = asyncio.ensure_future(rig.ask(ReadStream(run_id=task.target_run_id, after=head, wait_s=30.0)))
        await rig.settled()
        say(rig, other, "no")
        await rig.settled()
        assert not reading.done()
        say(rig, task, "yes")
        batch = await asyncio.wait_for(reading, 5)
        assert [item.text for item in batch.items] == ["yes"]


async def test_a_reader_gives_up_after_its_time() -> None:
    """It gets an empty batch, from which it can go on."""
    async with task_rig() as rig:
        task = await rig.started()
        head = (await rig.ask(ReadStream())).next_after
        reading = asyncio.ensure_future(rig.ask(ReadStream(task_id=task.id, after=head, wait_s=30.0)))
        await rig.settled()
        await rig.pass_s(29.0)
        assert not reading.done()
        await rig.pass_s(2.0)
        batch = await asyncio.wait_for(reading, 5)
        assert (batch.items, batch.next_after, batch.has_gap) == ((), head, False)


@pytest.mark.parametrize("comes", [True, False])
async def test_a_reader_that_waits_misses_nothing_where_others_fill_the_stream(comes: bool) -> None:
    """What was let go meanwhile was not for it: no gap, whether its item comes or its time is over."""
    async with task_rig() as rig:
        task = await rig.started()
        other = await rig.started("apart")
        head = (await rig.ask(ReadStream())).next_after
        reading = asyncio.ensure_future(rig.ask(ReadStream(run_id=task.target_run_id, after=head, wait_s=30.0)))
        await rig.settled()
        for number in range(ITEMS + 1):
            say(rig, other, f"{number}{'x' * MERGED_BYTES}")
        if comes:
            say(rig, task, "yes")
        await rig.pass_s(31.0)
        batch = await asyncio.wait_for(reading, 5)
        assert [item.text for item in batch.items] == (["yes"] if comes else [])
        assert (batch.has_gap, batch.next_after > head + ITEMS) == (False, True)
        again = await rig.ask(ReadStream(run_id=task.target_run_id, after=batch.next_after))
        assert (again.items, again.has_gap) == ((), False)


def test_a_decision_ends_once_in_the_stream() -> None:
    """That its answer arrived, what came of it, and that it was asked again are no further ends."""
    view = msgspec.structs.replace(approval("a-1"), state=ApprovalState.DENIED)
    piece = find_piece(ApprovalDecided(approval=view))
    assert piece is not None
    assert (piece.what, piece.approval_id) == ("denied", "a-1")
    again: list[dict[str, Any]] = [{"delivery": "sent"}, {"result": "done"}, {"replaced_by": ApprovalId("a-2")}]
    for fields in again:
        assert find_piece(ApprovalDecided(approval=msgspec.structs.replace(view, **fields))) is None


async def test_a_cancelled_reader_leaves_nothing_behind() -> None:
    """What comes later finds nobody to wake."""
    async with task_rig() as rig:
        task = await rig.started()
        head = (await rig.ask(ReadStream())).next_after
        reading = asyncio.ensure_future(rig.ask(ReadStream(after=head, wait_s=30.0)))
        await rig.settled()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert not rig.tasking.streams._readers
        say(rig, task, "nobody")


async def test_a_number_of_an_earlier_core_has_a_gap() -> None:
    """The reader looks anew, and is not made to wait."""
    async with task_rig() as rig:
        await rig.started()
        before = (await rig.ask(ReadStream())).next_after
        await rig.restart()
        batch = await asyncio.wait_for(rig.ask(ReadStream(after=before, wait_s=30.0)), 5)
        assert batch.has_gap
        assert batch.next_after > before


BAD: list[tuple[dict[str, Any], str]] = [
    ({"wait_s": 61.0}, "wait_s"),
    ({"wait_s": -1.0}, "wait_s"),
    ({"wait_s": float("nan")}, "wait_s"),
    ({"limit": 0}, "limit"),
    ({"limit": 1_001}, "limit"),
    ({"after": -1}, "after"),
]


@pytest.mark.parametrize(("fields", "field"), BAD)
async def test_a_question_that_cannot_be_is_refused(fields: dict[str, Any], field: str) -> None:
    """By the name of its field."""
    async with task_rig() as rig:
        with pytest.raises(InvalidInput) as raised:
            await rig.ask(ReadStream(**fields))
        assert raised.value.facts["field"] == field
        with pytest.raises(NotFound):
            await rig.ask(ReadStream(task_id=TaskId("no-such")))
        with pytest.raises(NotFound):
            await rig.ask(GetInteraction(run_id=RunId("no-such")))


async def test_an_interaction_says_what_a_run_could_do_with_an_input() -> None:
    """Working, waiting for words, or closed; and what waits in its session."""
    async with task_rig() as rig:
        task = await rig.started(policy=ExecutionPolicy(retry=RetryPolicy(max_attempts=1)))
        run_id = task.target_run_id
        assert run_id is not None
        states = []
        for phase in (Phase.MODEL, Phase.APPROVAL, Phase.CLARIFY):
            rig.tasking.ledger.note_phase(run_id, phase)
            states.append((await rig.ask(GetInteraction(run_id=run_id))).state.value)
        assert states == ["working", "working", "waiting_for_input"]
        await rig.do(SendInput(run_id=run_id, text="more"))
        assert [item.text for item in (await rig.ask(GetInteraction(run_id=run_id))).pending] == ["more"]
        await rig.conversations.end(task.session_id, Stop.ERROR)
        assert (await rig.ask(GetInteraction(run_id=run_id))).state is InteractionState.CLOSED
