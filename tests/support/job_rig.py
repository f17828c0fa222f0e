"""Jobs of the clock over a store, with an office that takes tasks and ends them when a test says so."""

import asyncio
from collections.abc import Iterable

import msgspec

from core.api.base import SYSTEM, AgentName, DeliveryId, Mark, Seq, SessionId, TaskId
from core.api.errors import HermesError, NotFound
from core.api.jobs import JobSpec, JobView, ListJobs
from core.api.tasks import StartTask, TaskDetail, TaskEnded, TaskKind, TaskReceipt, TaskState, TaskView
from core.clock import Clock
from core.gateway.jobs import Jobs
from core.ids import IdSource
from core.journal import Journal
from core.store.base import Batch, Put, Store
from tests.support.clocks import FakeClock

NOON = 1_700_000_000.0 - 1_700_000_000.0 % 86_400 + 43_200
"""A day's noon, UTC."""


class FakeOffice:
    """Tasks as a core keeps them: one for each key. busy: sessions in which something goes on."""

    def __init__(self) -> None:
        self.orders: list[StartTask] = []
        self.tasks: dict[str, TaskView] = {}
        self.begun_anew: list[SessionId] = []
        self.busy: set[SessionId] = set()
        self.buried: dict[DeliveryId, str] = {}
        self.errors: list[HermesError] = []
        self.came = asyncio.Event()

    async def start(self, order: StartTask, /) -> TaskReceipt:
        """Accept a task, or the one that was accepted under this key."""
        self.came.set()
        if self.errors:
            raise self.errors.pop(0)
        known = self.tasks.get(order.idempotency_key)
        if known is not None:
            return TaskReceipt(task=known, is_duplicate=True)
        self.orders.append(order)
        task = TaskView(
            id=TaskId(f"t{len(self.orders)}"),
            version=1,
            agent=AgentName("main"),
            kind=TaskKind.AGENT_COMMAND,
            state=TaskState.RUNNING,
            session_id=SessionId(order.session_id or "tasks:dm:1"),
            text=order.text,
            accepted=Mark(0.0, 0.0),
            parent_id=order.parent_id,
        )
        self.tasks[order.idempotency_key] = task
        return TaskReceipt(task=task)

    async def find(self, task_id: TaskId, /) -> TaskDetail:
        """A task with what was made below it."""
        found = next((task for task in self.tasks.values() if task.id == task_id), None)
        if found is None:
            raise NotFound("no such task", noun="task", id=task_id)
        below = tuple(task for task in self.tasks.values() if task.parent_id == task_id)
        return TaskDetail(task=found, runs=(), attempts=(), children=below, seq=Seq(1))

    async def anew(self, session_id: SessionId, /) -> bool:
        """Note it."""
        if session_id in self.busy:
            return False
        self.begun_anew.append(session_id)
        return True

    async def dead(self) -> dict[DeliveryId, str]:
        """As a test says."""
        return self.buried

    def end(self, key: str, *, answer: str = "", error: str = "", state: TaskState | None = None) -> TaskView:
        """The task under a key is over."""
        state = state or (TaskState.ERROR if error else TaskState.DONE)
        self.tasks[key] = msgspec.structs.replace(self.tasks[key], state=state, answer=answer, error=error)
        return self.tasks[key]


class FakePost:
    """Takes answers. errors: raised one after another first."""

    def __init__(self) -> None:
        self.sent: dict[str, tuple[str, str]] = {}
        self.errors: list[HermesError] = []

    def check(self, target: str) -> None:
        """Anything goes."""

    async def send(self, target: str, text: str, *, key: str) -> None:
        """Keep it, once for each key."""
        if self.errors:
            raise self.errors.pop(0)
        self.sent.setdefault(key, (target, text))

    def tag(self, key: str) -> str:
        """The key without what would end it."""
        return key.replace("-", "_")


class JobRig:
    """One core's jobs. office and store may be shared with another rig."""

    def __init__(
        self,
        store: Store,
        clock: FakeClock,
        office: FakeOffice,
        *,
        agents: Iterable[str] = ("main",),
        post: FakePost | None = None,
        is_alone: bool = True,
        seed: float = 0.0,
    ) -> None:
        self._store = store
        self.clock = clock
        self.office = office
        self.faults: list[str] = []
        self.journal = Journal(store, clock)
        own: Clock = clock
        self.jobs = Jobs(
            store=store,
            journal=self.journal,
            clock=own,
            ids=IdSource(clock, floor_at=clock.now() + seed),
            office=office,
            agents=lambda: agents,
            is_alone=is_alone,
            on_fault=lambda what, error: self.faults.append(f"{what}: {error}"),
            post=post,
        )
        self._running: asyncio.Task[None] | None = None

    async def start(self, **specs: JobSpec) -> "JobRig":
        """Open with these jobs in the configuration, and begin to keep the time."""
        await self.jobs.open({name: (spec, True) for name, spec in specs.items()})
        self._running = asyncio.ensure_future(self.jobs.run())
        await self.settle()
        return self

    async def stop(self) -> None:
        """End it as a stop of the core does."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
            self._running = None

    async def settle(self, rounds: int = 10) -> None:
        """Let everything run until it waits for the clock: also what is read and written on other threads."""
        for _ in range(rounds):
            for _ in range(8):
                await asyncio.sleep(0)
            # Commits end in their order, so all that were asked for before this one are over.
            await self._store.commit(Batch([Put("test/turn", b"")]))
            await self._store.get("test/turn")
            await asyncio.to_thread(lambda: None)
            # A look that goes on, however long it takes to find what went by.
            async with self.jobs._rows.lock:
                pass

    async def advance(self, delta_s: float, step_s: float = 30.0) -> None:
        """Move the clocks in steps, and let everything run after each."""
        left = delta_s
        while left > 0:
            self.clock.step(min(step_s, left))
            left -= step_s
            await self.settle()

    async def end(self, key: str, *, answer: str = "", error: str = "", state: TaskState | None = None) -> None:
        """End a task, and tell of it."""
        task = self.office.end(key, answer=answer, error=error, state=state)
        self.journal.publish(task.session_id, TaskEnded(task=task), actor=SYSTEM)
        await self.settle()

    async def view(self, name: str) -> JobView:
        """A job as operators see it."""
        return next(job for job in (await self.jobs.orders.list_jobs(ListJobs())).jobs if job.name == name)

    @property
    def keys(self) -> list[str]:
        """Of all tasks that were started, in order."""
        return [order.idempotency_key for order in self.office.orders]
