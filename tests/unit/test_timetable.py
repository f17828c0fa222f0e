"""Tasks that begin by the clock: each at its time, with its parts, and never on top of one that is not over."""

import asyncio
from collections.abc import Mapping

import msgspec
import pytest

from core.api.base import AgentName, Mark, Seq, SessionId, TaskId
from core.api.errors import HermesError, NotFound, Unavailable
from core.api.tasks import GetTask, StartTask, TaskDetail, TaskKind, TaskReceipt, TaskState, TaskView
from core.settings import TimetableEntry
from core.timetable import MAKER, Timetable
from tests.support.clocks import FakeClock

DAILY = TimetableEntry(text="report", every_s=60.0, first_s=10.0, agent="ops", parts=("east", "west"))


class Office:
    """Takes tasks, and says of each what it is told to say."""

    def __init__(self) -> None:
        self.orders: list[StartTask] = []
        self.faults: list[str] = []
        self.states: dict[TaskId, TaskState] = {}
        self.error: HermesError | None = None
        self.came = asyncio.Event()

    async def start(self, order: StartTask) -> TaskReceipt:
        """Accept a task, or fail once."""
        self.came.set()
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        self.orders.append(order)
        return TaskReceipt(task=self._view(TaskId(f"t{len(self.orders)}"), order.parent_id))

    async def find(self, query: GetTask) -> TaskDetail:
        """A task with what was made below it."""
        if self.states.get(query.task_id) is TaskState.DROPPED:
            raise NotFound("it was let go", noun="task", id=query.task_id)
        below = [
            self._view(TaskId(f"t{number}"), order.parent_id)
            for number, order in enumerate(self.orders, 1)
            if order.parent_id == query.task_id
        ]
        return TaskDetail(task=self._view(query.task_id, None), runs=(), attempts=(), children=tuple(below), seq=Seq(1))

    def end_all(self) -> None:
        """Everything that was begun is done."""
        self.states = {TaskId(f"t{number}"): TaskState.DONE for number in range(1, len(self.orders) + 1)}

    def _view(self, task_id: TaskId, parent_id: TaskId | None) -> TaskView:
        return TaskView(
            id=task_id,
            version=1,
            agent=AgentName("ops"),
            kind=TaskKind.AGENT_COMMAND,
            state=self.states.get(task_id, TaskState.QUEUED),
            session_id=SessionId("tasks:dm:1"),
            text="",
            accepted=Mark(0.0, 0.0),
            parent_id=parent_id,
        )


@pytest.fixture
def office() -> Office:
    """Where the tasks go."""
    return Office()


@pytest.fixture
def clock() -> FakeClock:
    """Stands until it is moved."""
    return FakeClock()


def timetable(office: Office, clock: FakeClock, entries: Mapping[str, TimetableEntry]) -> Timetable:
    """A timetable of the third start of a core."""
    return Timetable(
        entries,
        start=office.start,
        find=office.find,
        clock=clock,
        boot=3,
        on_fault=lambda what, error: office.faults.append(f"{what}: {error}"),
    )


async def test_an_entry_is_started_with_its_parts_below_it(office: Office, clock: FakeClock) -> None:
    """One order for the whole, one for each part with the whole as its parent; each has a key of its own."""
    assert await timetable(office, clock, {"daily": DAILY}).begin("daily")
    whole, east, west = office.orders
    assert (whole.text, east.text, west.text) == ("report", "east", "west")
    assert (whole.parent_id, east.parent_id, west.parent_id) == (None, TaskId("t1"), TaskId("t1"))
    assert {(order.agent, order.lane, order.label, order.spawned_by) for order in office.orders} == {
        ("ops", "cron", "daily", MAKER)
    }
    assert [order.idempotency_key for order in office.orders] == ["timetable-3-1", "timetable-3-2", "timetable-3-3"]


@pytest.mark.parametrize("busy", ["t1", "t3"], ids=["the whole", "a part"])
async def test_an_entry_is_left_out_while_the_last_one_is_not_over(office: Office, clock: FakeClock, busy: str) -> None:
    """The whole or one of its parts that waits or runs is reason enough; once all is over it begins again."""
    table = timetable(office, clock, {"daily": DAILY})
    await table.begin("daily")
    office.end_all()
    office.states[TaskId(busy)] = TaskState.WAITING
    assert not await table.begin("daily")
    office.end_all()
    assert await table.begin("daily")
    assert len(office.orders) == 6


async def test_a_task_that_was_let_go_holds_nothing_up(office: Office, clock: FakeClock) -> None:
    """What is no longer kept is over."""
    table = timetable(office, clock, {"daily": DAILY})
    await table.begin("daily")
    office.states[TaskId("t1")] = TaskState.DROPPED
    assert await table.begin("daily")


async def test_each_entry_begins_at_its_time(office: Office, clock: FakeClock) -> None:
    """The first after first_s, or after every_s where nothing is said; a fault is told, and the next time counts."""
    hourly = TimetableEntry(text="count", every_s=25.0)
    running = asyncio.ensure_future(timetable(office, clock, {"daily": DAILY, "hourly": hourly}).run())
    try:
        assert await begun_at(office, clock) == 10.0
        office.error = Unavailable("the store is full")
        assert await begun_at(office, clock) == 25.0
        assert office.faults == ["timetable hourly: the store is full"]
        assert await begun_at(office, clock) == 50.0
        assert [order.text for order in office.orders] == ["report", "east", "west", "count"]
    finally:
        running.cancel()
        await asyncio.wait([running])


async def begun_at(office: Office, clock: FakeClock) -> float:
    """Let time pass until something is begun; seconds since the beginning."""
    office.came.clear()
    # The service has to be asleep before the clock moves.
    await clock.advance(0.0)
    async with asyncio.timeout(10):
        while not office.came.is_set():
            await clock.advance(1.0)
    return clock.monotonic() - 1000.0


def test_a_time_of_nothing_is_refused() -> None:
    """An entry that would begin without end is no entry."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"text": "x", "every_s": 0}, TimetableEntry)
