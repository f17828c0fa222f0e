"""Messages of peers: each is done once, whatever comes twice, ends early, or dies in between."""

import asyncio

import pytest

from core.api.base import TaskId
from core.api.errors import Overloaded, Refused
from core.api.relay_targets import PeerActive
from core.api.relay_tasks import (
    RelayEnded,
    RelayReason,
    RelayReceived,
    RelayRefused,
    RelayRepeated,
    RelayState,
)
from core.relay.inbound import Message, RefusedMessage
from core.relay.ports import Work, WorkState
from core.relay.wire import Trail
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock
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


async def test_a_message_is_kept_then_given_to_the_agent_of_its_peer() -> None:
    """Its session and the agent's task are known; the peer's own agent answers, else the default one."""
    async with receiving() as rig:
        taken = await rig.inbound.take(a_message(sender="claims to be root"))
        await rig.inbound.take(a_message("bob"))
        await until_idle()
        assert (taken.task.id, taken.task.state, taken.is_repeated) == ("ana/m-1", WORKING, False)
        assert [(work.peer, work.agent, work.text) for work in rig.workers.works.values()] == [
            ("ana", "main", "hello"),
            ("bob", "coder", "hello"),
        ]
        task = await rig.task()
        assert (task.task_id, task.session_id) == ("work relay:ana/m-1", "relay:dm:ana@main:t=talk")
        assert task.sender == "claims to be root"
        told = [
            (item.durable, item.event.task.task_id) for item in rig.records if isinstance(item.event, RelayReceived)
        ]
        assert sorted(told, key=str) == [
            (False, "work relay:ana/m-1"),
            (False, "work relay:bob/m-1"),
            (True, None),
            (True, None),
        ]
        assert rig.trails.bound == {
            "relay:dm:ana@main:t=talk": Trail(conversation="ana/talk"),
            "relay:dm:bob@coder:t=talk": Trail(conversation="bob/talk"),
        }


async def test_the_end_of_the_work_is_the_answer() -> None:
    """Told once, with the answer; the place in flight is free again."""
    async with receiving() as rig:
        await rig.inbound.take(a_message())
        await until_idle()
        assert rig.inbound.peer_views()[0].in_flight == 1
        await rig.workers.end("42")
        task = await rig.task()
        assert (task.state, task.answer, task.reason) == (COMPLETED, "42", RelayReason.NONE)
        assert len(rig.events(RelayEnded)) == 1
        assert rig.inbound.peer_views()[0].in_flight == 0


async def test_an_agent_that_fails_is_a_message_that_failed() -> None:
    """With why, and nothing that looks like an answer."""
    async with receiving() as rig:
        await rig.inbound.take(a_message())
        await until_idle()
        await rig.workers.end("", state=FAILED, error="no model")
        task = await rig.task()
        assert (task.state, task.reason, task.error, task.answer) == (FAILED, RelayReason.AGENT, "no model", "")


async def test_the_same_message_again_is_answered_with_what_is_known_of_it() -> None:
    """While it is worked on and after; no agent does it twice, and the repeats are counted."""
    async with receiving() as rig:
        await rig.inbound.take(a_message())
        await until_idle()
        again = await rig.inbound.take(a_message())
        assert (again.task.state, again.is_repeated) == (WORKING, True)
        await rig.workers.end("42")
        after = await rig.inbound.take(a_message())
        assert (after.task.state, after.task.answer, after.task.repeats) == (COMPLETED, "42", 2)
        assert rig.workers.starts == 1
        assert len(rig.events(RelayRepeated)) == 2
        [view] = [view for view in rig.inbound.peer_views() if view.name == "ana"]
        assert (view.taken, view.repeated) == (1, 2)


async def test_ten_copies_at_once_are_one_message() -> None:
    """One is taken and nine are repeats."""
    async with receiving() as rig:
        found = await asyncio.gather(*[rig.inbound.take(a_message()) for _ in range(10)])
        await until_idle()
        assert sorted(item.is_repeated for item in found) == [False] + [True] * 9
        assert rig.workers.starts == 1


async def test_another_message_under_a_used_id_is_refused() -> None:
    """And changes nothing; the same id of another peer is another message."""
    async with receiving() as rig:
        await rig.inbound.take(a_message())
        refusal = await refused(rig, a_message(text="something else"))
        assert (refusal.status, refusal.code) == (422, "id_reused")
        assert (await rig.task()).text == "hello"
        other = await rig.inbound.take(a_message("bob", text="something else"))
        assert not other.is_repeated


@pytest.mark.parametrize(
    ("message", "status", "code"),
    [
        (a_message(text=""), 400, "no_text"),
        (a_message(text=" \n\t"), 400, "no_text"),
        (a_message(wire_id=""), 400, "bad_id"),
        (a_message(wire_id="a b"), 400, "bad_id"),
        (a_message(wire_id="é"), 400, "bad_id"),
        (a_message(wire_id="x" * 201), 400, "bad_id"),
        (a_message(text="x" * 101), 413, "text_too_long"),
        (a_message(context="x" * 401), 400, "bad_context"),
        (a_message("bob", to="main"), 404, "unknown_agent"),
    ],
)
async def test_what_can_never_be_taken_leaves_nothing_behind(message: Message, status: int, code: str) -> None:
    """Neither a row nor work."""
    async with receiving(text_limit=100) as rig:
        refusal = await refused(rig, message)
        assert (refusal.status, refusal.code) == (status, code)
        await until_idle()
        assert list(rig.ledger.live()) == []
        assert rig.workers.starts == 0


async def test_a_peer_may_call_us_as_it_likes() -> None:
    """A name that no agent has is only its name for us."""
    async with receiving() as rig:
        await rig.inbound.take(a_message(to="security-bot"))
        await rig.inbound.take(a_message(wire_id="m-2", to="main"))
        await until_idle()
        assert [work.agent for work in rig.workers.works.values()] == ["main", "main"]


async def test_a_peer_whose_agent_is_not_there_is_told_so() -> None:
    """404, until the configuration is mended."""
    async with receiving() as rig:
        rig.workers.agents.discard("coder")
        assert (await refused(rig, a_message("bob"))).status == 404


async def test_no_more_messages_of_a_peer_are_in_flight_than_it_may_have() -> None:
    """A repeat needs no place; the end of one makes room; other peers have their own."""
    async with receiving() as rig:
        for number in range(3):
            await rig.inbound.take(a_message(wire_id=f"m-{number}"))
        await until_idle()
        refusal = await refused(rig, a_message(wire_id="m-3"))
        assert (refusal.status, refusal.code) == (429, "in_flight")
        assert refusal.retry_after_s is not None
        assert (await rig.inbound.take(a_message(wire_id="m-0"))).is_repeated
        assert not (await rig.inbound.take(a_message("bob"))).is_repeated
        await until_idle()
        await rig.workers.end(wire_id="ana/m-1")
        assert not (await rig.inbound.take(a_message(wire_id="m-3"))).is_repeated


async def test_a_rate_is_kept_for_each_peer_and_says_when_to_come_again() -> None:
    """Questions have a bound of their own."""
    async with receiving() as rig:
        for _ in range(60):
            rig.inbound.admit("ana")
        with pytest.raises(RefusedMessage) as found:
            rig.inbound.admit("ana")
        assert (found.value.status, found.value.code) == (429, "rate")
        assert found.value.retry_after_s == pytest.approx(1.0)
        rig.inbound.admit("ana", is_read=True)
        rig.inbound.admit("bob")
        await rig.clock.advance(1.0)
        rig.inbound.admit("ana")


async def test_nothing_is_taken_while_the_relay_is_paused() -> None:
    """503 with the time to come again; questions are answered."""
    async with receiving() as rig:
        rig.is_paused = True
        with pytest.raises(RefusedMessage) as found:
            rig.inbound.admit("ana")
        assert (found.value.status, found.value.retry_after_s) == (503, 30.0)
        rig.inbound.admit("ana", is_read=True)


async def test_a_loop_ends_here_and_is_kept_as_dead_with_its_path() -> None:
    """No agent sees it; sent again it is the same loop."""
    async with receiving() as rig:
        rig.trails.why = "a > b > home > a: 5 hops are the most"
        message = a_message(trail=Trail(conversation="talk", hops=6, path=("a", "b", "home")))
        for _ in range(2):
            refusal = await refused(rig, message)
            assert (refusal.status, refusal.code) == (508, "loop")
        await until_idle()
        task = await rig.task()
        assert (task.state, task.reason, task.error) == (RelayState.DEAD, RelayReason.LOOP, rig.trails.why)
        assert task.trail.path == ("a", "b", "home")
        assert rig.workers.starts == 0
        assert rig.trails.edges == [("ana", "home", True, rig.trails.why)]


async def test_messages_of_other_peers_are_not_found() -> None:
    """Neither to look at nor to stop."""
    async with receiving() as rig:
        await rig.inbound.take(a_message())
        for what in (rig.inbound.find("bob", "m-1"), rig.inbound.cancel("bob", "m-1", "")):
            with pytest.raises(RefusedMessage) as found:
                await what
            assert found.value.status == 404


async def test_a_peer_can_take_its_message_back() -> None:
    """The agent is told to stop; a second time there is nothing to stop."""
    async with receiving() as rig:
        await rig.inbound.take(a_message())
        await until_idle()
        task = await rig.inbound.cancel("ana", "m-1", "changed my mind")
        assert (task.state, task.error) == (CANCELED, "changed my mind")
        assert rig.workers.canceled == ["work relay:ana/m-1"]
        with pytest.raises(RefusedMessage) as found:
            await rig.inbound.cancel("ana", "m-1", "")
        assert found.value.status == 409


async def test_an_answer_that_is_there_already_is_not_lost_by_taking_it_back() -> None:
    """Work that ended meanwhile stays ended."""
    async with receiving() as rig:
        await rig.inbound.take(a_message())
        await until_idle()
        [task_id] = rig.workers.works
        rig.workers.states[task_id] = WorkState(state=COMPLETED, answer="42")
        task = await rig.inbound.cancel("ana", "m-1", "")
        assert (task.state, task.answer) == (COMPLETED, "42")


async def test_an_agent_that_is_busy_is_asked_again_until_it_takes_the_message() -> None:
    """The peer has its 202 long before."""
    clock = FakeClock()
    async with receiving(clock=clock) as rig:
        rig.workers.errors = [Overloaded("full", bound="tasks")] * 2
        taken = await rig.inbound.take(a_message())
        assert taken.task.state is WORKING
        await until_idle()
        for _ in range(2):
            await clock.advance(1.0)
        await until_idle()
        assert (rig.workers.starts, len(rig.workers.works)) == (3, 1)


async def test_an_agent_that_refuses_ends_the_message() -> None:
    """With its words."""
    async with receiving() as rig:
        rig.workers.errors = [Refused("agent main is disabled", rule="agent")]
        await rig.inbound.take(a_message())
        await until_idle()
        task = await rig.task()
        assert (task.state, task.error) == (FAILED, "agent main is disabled")
        assert rig.inbound.peer_views()[0].in_flight == 0


async def test_a_start_gives_agents_what_they_had_not_been_given() -> None:
    """Killed between the row and the work: it is done once, by the next start."""
    store, clock = MemoryStore(), FakeClock()
    async with receiving(store, clock) as first:
        first.workers.errors = [Overloaded("full", bound="tasks")]
        await first.inbound.take(a_message())
        await until_idle()
    async with receiving(store, clock) as second:
        assert second.workers.starts == 1
        assert second.inbound.peer_views()[0].in_flight == 1
        await second.workers.end("42")
        assert (await second.task()).answer == "42"


async def test_a_start_finds_the_end_that_nobody_wrote_down() -> None:
    """Killed between the end of the work and the row: the answer is there after the next start."""
    store, clock = MemoryStore(), FakeClock()
    async with receiving(store, clock) as first:
        await first.inbound.take(a_message())
        await until_idle()

    def ended(rig: Rig) -> None:
        rig.workers.works = first.workers.works
        [task_id] = first.workers.works
        rig.workers.states[task_id] = WorkState(state=COMPLETED, answer="42")

    async with receiving(store, clock, before=ended) as second:
        assert (await second.task()).answer == "42"
        assert second.workers.starts == 0


async def test_work_that_is_not_kept_any_more_is_no_work() -> None:
    """It failed, and is not waited for for ever."""
    store, clock = MemoryStore(), FakeClock()
    async with receiving(store, clock) as first:
        await first.inbound.take(a_message())
        await until_idle()
    async with receiving(store, clock) as second:
        assert (await second.task()).state is FAILED


async def test_who_follows_a_message_sees_each_change_until_its_end() -> None:
    """Now, then the end; of one that is over only that."""
    async with receiving() as rig:
        taken = await rig.inbound.take(a_message())

        async def followed() -> list[RelayState]:
            return [task.state async for task in rig.inbound.changes(taken.task, limit_s=10.0)]

        watching = asyncio.ensure_future(followed())
        await until_idle()
        await rig.workers.end("42")
        async with asyncio.timeout(5):
            seen = await watching
        assert seen[0] is WORKING
        assert seen[-1] is COMPLETED
        assert await followed() == [COMPLETED]


async def test_refusals_and_counts_are_told_at_most_once_a_second_for_each_cause() -> None:
    """The second time with how many gathered, then silence."""
    async with receiving() as rig:
        for _ in range(1_000):
            rig.inbound.callers.refused("", 401, "unauthorised", "no signature")
        rig.inbound.callers.refused("ana", 415, "media", "no JSON")
        assert [(event.peer, event.count) for event in rig.events(RelayRefused) if isinstance(event, RelayRefused)] == [
            ("", 1),
            ("ana", 1),
        ]
        await rig.clock.advance(1.0)
        await rig.clock.advance(1.0)
        await rig.clock.advance(1.0)
        told = [event for event in rig.events(RelayRefused) if isinstance(event, RelayRefused)]
        assert sum(event.count for event in told) == 1_001
        assert len(told) == 3
        active = [event.peer for event in rig.events(PeerActive) if isinstance(event, PeerActive)]
        assert [(view.name, view.refused) for view in active] == [("ana", 1)]


async def test_work_that_ends_before_anybody_knows_whose_it_is_still_ends_its_message() -> None:
    """An agent may be quicker than the one that started it; nobody tells of that end again."""
    async with receiving() as rig:
        inside, go_on = asyncio.Event(), asyncio.Event()
        start = rig.workers.start

        async def slow(work: Work) -> TaskId:
            task_id = await start(work)
            inside.set()
            await go_on.wait()
            return task_id

        rig.workers.start = slow  # type: ignore[method-assign]
        await rig.inbound.take(a_message())
        await inside.wait()
        await rig.workers.end("42")
        assert (await rig.task()).state is WORKING
        go_on.set()
        await until_idle()
        assert (await rig.task()).answer == "42"
