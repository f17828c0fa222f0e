"""Which sessions are in memory: one copy of each, for as long as anybody is at it or wants to be."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from core.agents.ports import Handover
from core.api.base import SessionId, TaskId
from core.api.errors import InvalidInput, NotFound, StoreError
from core.api.sessions import Mode, RunEnded, SendReceipt
from core.conversations import SessionConversations
from core.gateway import rows
from core.pages import Pages
from core.store.base import Row
from core.store.memory import MemoryStore
from tests.support.fake_agents import FakeAgents
from tests.support.gateway import SESSION, Gateway, gateway, inbound
from tests.support.outbox import OPERATOR

OTHER = SessionId("local:dm:8842")


class HeldStore(MemoryStore):
    """A store that tells of a session only when it is let. looks: those who asked, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: list[asyncio.Event] = []
        self.is_open = False
        self.error: StoreError | None = None

    async def get(self, key: str) -> Row | None:
        """Wait, as for the thread of a disk."""
        if key.startswith(rows.SESSIONS):
            look = asyncio.Event()
            self.looks.append(look)
            if not self.is_open:
                await look.wait()
            if self.error is not None:
                raise self.error
        return await super().get(key)

    def open(self) -> None:
        """Let everybody look from now on."""
        self.is_open = True
        for look in self.looks:
            look.set()


def begun(job: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
    """A job beside the test."""
    return asyncio.get_running_loop().create_task(job)


async def as_far_as_they_come() -> None:
    """Let every job run until it waits for the store, or for another job."""
    for _ in range(20):
        await asyncio.sleep(0)


def handed_over(built: Gateway, text: str, agent: str = "main") -> "asyncio.Task[SendReceipt]":
    """A task that is put into the session."""
    talks = SessionConversations(
        lanes=built.lanes, sessions=built.sessions, operations=built.operations, sends_to=built.turns.sends_to
    )
    handover = Handover(
        session_id=SESSION, agent=agent, text=text, sender="ana", mode=Mode.QUEUE, task_id=TaskId(text),
        actor=OPERATOR, pages=lambda _: Pages(),
    )  # fmt: skip
    return begun(talks.hand_over(handover))


async def test_who_looks_for_a_session_that_is_not_there_takes_it_from_nobody_who_makes_it() -> None:
    """The message that waited for the look is in the session that the next message finds: one run, and one waits."""
    store = HeldStore()
    async with gateway(store) as built:
        look = begun(built.lanes.existing(SESSION))
        await as_far_as_they_come()
        first = begun(built.sessions.receive(inbound("one")))
        await as_far_as_they_come()
        store.open()
        with pytest.raises(NotFound):
            await look
        assert (await first).position == 0
        assert (await built.sessions.receive(inbound("two"))).position == 1
        await as_far_as_they_come()
        (run,) = built.agents.runs
        run.answer("1")
        (await built.agents.begun(2)).answer("2")
        await built.until(RunEnded, 2)
        await built.settled()


async def test_two_tasks_that_make_the_same_session_at_once_are_answered_one_after_the_other() -> None:
    """Also when the second looks for it between the look of the first and its message; the store is asked once."""
    store = HeldStore()
    async with gateway(store) as built:
        first = handed_over(built, "one")
        await as_far_as_they_come()
        store.looks[0].set()
        second = handed_over(built, "two")
        await as_far_as_they_come()
        store.open()
        assert [(await job).position for job in (first, second)] == [0, 1]
        await as_far_as_they_come()
        (run,) = built.agents.runs
        run.answer("1")
        (await built.agents.begun(2)).answer("2")
        await built.until(RunEnded, 2)
        await built.settled()
        assert len(store.looks) == 1


async def test_of_two_agents_that_make_the_same_session_at_once_the_second_is_refused() -> None:
    """What is for one agent is never done by another; nothing of it is kept."""
    store = HeldStore()
    async with gateway(store, FakeAgents(instant=True)) as built:
        first, second = handed_over(built, "one"), handed_over(built, "two", "other")
        await as_far_as_they_come()
        store.open()
        assert (await first).position == 0
        with pytest.raises(InvalidInput, match="is main's and not other's"):
            await second
        await built.settled()
        assert not built.lanes.lane(SESSION).waiting


async def test_a_session_that_somebody_waits_for_stays_in_memory_while_it_changes_hands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between the one who gave its lock back and the one who has not got it yet, nobody holds it."""
    async with gateway(agents=FakeAgents(instant=True)) as built:
        await built.sessions.receive(inbound("one"))
        await built.sent()
        monkeypatch.setattr("core.gateway.lanes._KEPT", 1)
        lane = await built.lanes.existing(SESSION)
        assert not lane.is_busy
        async with lane.lock:
            waits = begun(built.lanes.existing(SESSION))
            await as_far_as_they_come()
        built.lanes.lane(OTHER)
        assert built.lanes.find(SESSION) is lane
        assert await waits is lane
        built.lanes.lane(OTHER)
        built.lanes.lane(SessionId("local:dm:8843"))
        assert built.lanes.find(SESSION) is None


async def test_a_session_that_is_new_in_memory_stays_there_when_all_others_are_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would be the only one to let go, before its message has even come."""
    monkeypatch.setattr("core.gateway.lanes._KEPT", 1)
    async with gateway() as built:
        await built.sessions.receive(inbound("one"))
        await built.agents.begun(1)
        await built.sessions.receive(inbound("two", chat="8842"))
        assert (await built.sessions.receive(inbound("three", chat="8842"))).position == 1
        await built.agents.begun(2)
        await as_far_as_they_come()
        assert [[message.session_id for message in run.messages] for run in built.agents.runs] == [[SESSION], [OTHER]]


async def test_a_session_that_was_never_written_is_forgotten_by_the_last_who_wanted_it() -> None:
    """Whether he found nothing, gave up while he waited, or could not read the store."""
    store = HeldStore()
    async with gateway(store) as built:
        look, waits = begun(built.lanes.existing(SESSION)), begun(built.lanes.existing(SESSION))
        fails = begun(built.lanes.existing(OTHER))
        await as_far_as_they_come()
        waits.cancel()
        store.looks[0].set()
        found = await asyncio.gather(look, waits, return_exceptions=True)
        store.error = StoreError("the disk is gone", path="x", cause="gone", fix="bring it back")
        store.open()
        found += await asyncio.gather(fails, return_exceptions=True)
        assert [type(error) for error in found] == [NotFound, asyncio.CancelledError, StoreError]
        assert [built.lanes.find(session_id) for session_id in (SESSION, OTHER)] == [None, None]
