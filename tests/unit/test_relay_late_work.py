"""Work for peers that ends late, again, or for another message, and conversations of peers that meet nobody else's."""

import asyncio
from typing import Any

import msgspec
import pytest

from core.api.base import TaskId
from core.api.errors import NotFound
from core.api.relay_tasks import (
    RelayAnsweredLate,
    RelayState,
)
from core.relay.callback import response_of
from core.relay.inbound import Message, RefusedMessage
from core.relay.incoming import trail_of
from core.relay.ports import WorkState
from core.relay.trail import read_trail, trail_text
from core.relay.trails import Trails
from core.relay.wire import Trail
from tests.support.journals import until_idle
from tests.support.relay_inbound import Rig, a_message, receiving

WORKING, COMPLETED, FAILED, CANCELED = (
    RelayState.WORKING,
    RelayState.COMPLETED,
    RelayState.FAILED,
    RelayState.CANCELED,
)


async def refused(rig: Rig, message: Message) -> RefusedMessage:
    """The refusal of a message."""
    with pytest.raises(RefusedMessage) as found:
        await rig.inbound.take(message)
    return found.value


async def test_what_failed_and_is_done_after_all_has_a_late_answer() -> None:
    """An operator had the agent try again: it stays failed, and the peer that looks sees the answer, the first one."""
    async with receiving() as rig:
        await rig.inbound.take(a_message())
        await until_idle()
        await rig.workers.end("", state=FAILED, error="no model")
        await rig.workers.end("42")
        task = await rig.task()
        assert (task.state, task.answer, task.is_late, task.is_untold) == (FAILED, "42", True, False)
        assert len(rig.events(RelayAnsweredLate)) == 1
        said = response_of(task)
        assert (said.status, said.content, said.error) == ("completed", "42", "")
        await rig.workers.end("43")
        await rig.workers.end("", state=FAILED, error="no model")
        assert (await rig.task()).answer == "42"
        assert rig.inbound.peer_views()[0].in_flight == 0


async def test_what_was_taken_back_or_answered_has_no_late_answer() -> None:
    """Whatever its agent does then."""
    async with receiving() as rig:
        for wire_id in ("m-1", "m-2"):
            await rig.inbound.take(a_message(wire_id=wire_id))
        await until_idle()
        await rig.inbound.cancel("ana", "m-1", "")
        await rig.workers.end("42", wire_id="m-1")
        await rig.workers.end("42", wire_id="m-2")
        await rig.workers.end("43", wire_id="m-2")
        found = [await rig.task(wire_id=wire_id) for wire_id in ("m-1", "m-2")]
        assert [(task.state, task.answer, task.is_late) for task in found] == [
            (CANCELED, "", False),
            (COMPLETED, "42", False),
        ]


async def test_a_message_that_is_taken_back_while_its_work_becomes_known_stops_that_work() -> None:
    """Between the start of the work and the row that says so."""
    async with receiving() as rig:
        inside, go_on = asyncio.Event(), asyncio.Event()
        commit = rig.journal.commit

        async def slow(*args: Any, **kwargs: Any) -> Any:
            if rig.workers.works and not go_on.is_set():
                inside.set()
                await go_on.wait()
            return await commit(*args, **kwargs)

        rig.journal.commit = slow  # type: ignore[method-assign]
        await rig.inbound.take(a_message())
        await inside.wait()
        canceling = asyncio.ensure_future(rig.inbound.cancel("ana", "m-1", "no"))
        await until_idle()
        go_on.set()
        async with asyncio.timeout(5):
            assert (await canceling).state is CANCELED
        await until_idle()
        assert rig.workers.canceled == ["work relay:ana/m-1"]


async def test_work_that_only_says_that_it_is_for_a_message_does_not_end_it() -> None:
    """Anybody may write whose work it is into a task."""
    async with receiving() as rig:
        await rig.inbound.take(a_message())
        await until_idle()
        [(task_id, work)] = rig.workers.works.items()
        other = TaskId("other work")
        rig.workers.works = {other: work}
        rig.workers.states[other] = WorkState(state=COMPLETED, answer="nonsense")
        await rig.workers.end("nonsense")
        assert (await rig.task()).state is WORKING
        rig.workers.works = {task_id: work}
        await rig.workers.end("42")
        assert (await rig.task()).answer == "42"


async def test_conversations_of_two_peers_never_share_a_limit_whatever_they_are_called() -> None:
    """Turns are counted by the name that a peer gives, and nobody can use up those of another."""
    async with receiving() as rig:
        trails = Trails(msgspec.structs.replace(rig.rules, turn_limit=2), rig.clock)
        rig.inbound._trails = trails
        for number in range(2):
            await rig.inbound.take(a_message("ana", f"m-{number}"))
        assert (await refused(rig, a_message("ana", "m-2"))).status == 508
        assert not (await rig.inbound.take(a_message("bob"))).is_repeated


@pytest.mark.parametrize("name", ["x" * 400, "a\nb", "\ud800"])
def test_a_conversation_with_an_odd_name_has_one_that_comes_back(name: str) -> None:
    """Bots read names of two hundred printable letters at most."""
    trail = trail_of(a_message(trail=Trail(conversation=name)))
    assert read_trail(trail_text(trail), "other") == trail
    onward = Trail(conversation=name, hops=1, path=("far",))
    assert trail_of(a_message(trail=onward)) == onward


async def test_who_asks_for_a_message_before_it_comes_does_not_keep_it_out() -> None:
    """Such as another peer that says it has the answer to it."""
    async with receiving() as rig:
        inside, go_on = asyncio.Event(), asyncio.Event()
        row = rig.ledger._row

        async def slow(task_id: str) -> Any:
            asker = asyncio.current_task()
            if asker is asking:
                inside.set()
                await go_on.wait()
            return await row(task_id)

        rig.ledger._row = slow  # type: ignore[method-assign]
        asking = asyncio.ensure_future(rig.ledger.change("ana/m-1", lambda _: None))
        await inside.wait()
        taking = asyncio.ensure_future(rig.inbound.take(a_message()))
        await until_idle()
        go_on.set()
        async with asyncio.timeout(5):
            assert (await taking).task.state is WORKING
        with pytest.raises(NotFound):
            await asking
