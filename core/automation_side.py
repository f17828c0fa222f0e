"""What begins by itself, put together: hooks that are told what happens, and jobs of the clock."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from core.api.base import SYSTEM, Actor, Command, DeliveryId, Query, R, SessionId, TaskId, V
from core.api.deliveries import DeliveryState, ListDeliveries
from core.api.errors import NotFound
from core.api.jobs import JobSpec
from core.api.sessions import GetSession, ResetSession
from core.api.tasks import GetTask, StartTask, TaskDetail, TaskReceipt
from core.automation_settings import JobSettings
from core.clock import Clock
from core.gateway.hooks import Hooks
from core.gateway.job_ports import MAKER, Post
from core.gateway.jobs import Jobs
from core.handlers import CommandHandlers, QueryHandlers
from core.ids import IdSource
from core.journal import Journal
from core.settings import Settings
from core.store.base import Store
from core.supervisor import Supervisor

_OWN_STORES = ("sqlite:", "memory:")
"""A store of these kinds is open in one core alone."""


class Facade(Protocol):
    """Orders and questions, as any client gives them."""

    async def execute(self, command: Command[R], *, actor: Actor) -> R:
        """Carry out an order."""
        ...

    async def query(self, query: Query[V]) -> V:
        """Answer a question."""
        ...


class TaskOffice:
    """The Office of jobs: tasks are started and sessions begun anew as any client does it."""

    def __init__(self, facade: Facade) -> None:
        self._facade = facade

    async def start(self, order: StartTask, /) -> TaskReceipt:
        """Store a task."""
        return await self._facade.execute(order, actor=SYSTEM)

    async def find(self, task_id: TaskId, /) -> TaskDetail:
        """A task with its children."""
        return await self._facade.query(GetTask(task_id=task_id))

    async def dead(self) -> dict[DeliveryId, str]:
        """Deliveries that are dead now, with why."""
        found = (await self._facade.query(ListDeliveries(limit=1000))).deliveries
        return {view.id: view.error for view in found if view.state is DeliveryState.DEAD}

    async def anew(self, session_id: SessionId, /) -> bool:
        """Begin a new epoch, unless the session has never been, or something goes on in it."""
        try:
            session = (await self._facade.query(GetSession(session_id=session_id))).session
        except NotFound:
            return True
        if session.run is not None or session.queue_depth:
            return False
        if session.entry_count:
            await self._facade.execute(ResetSession(session_id=session_id, reason="a new run of the job"), actor=SYSTEM)
        return True


class AutomationSide:
    """Hooks and jobs of a core. agents: names of all that there are. post: the way of answers; None until there is.
    boot: number of this start.
    """

    def __init__(
        self,
        *,
        home: Path,
        settings: Settings,
        store: Store,
        journal: Journal,
        clock: Clock,
        ids: IdSource,
        supervisor: Supervisor,
        boot: int,
        facade: Facade,
        agents: Callable[[], Iterable[str]],
        on_fault: Callable[[str, Exception], None],
        post: Post | None = None,
    ) -> None:
        self._settings = settings
        self._supervisor = supervisor
        self.hooks = Hooks(
            home=home,
            settings=settings.hooks,
            store=store,
            journal=journal,
            clock=clock,
            supervisor=supervisor,
            boot=boot,
            on_fault=on_fault,
        )
        self.jobs = Jobs(
            store=store,
            journal=journal,
            clock=clock,
            ids=ids,
            office=TaskOffice(facade),
            agents=agents,
            is_alone=settings.store.url.startswith(_OWN_STORES),
            on_fault=on_fault,
            post=post,
        )

    @property
    def commands(self) -> CommandHandlers:
        """Who carries out which command."""
        return {**self.hooks.commands, **self.jobs.orders.commands}

    @property
    def queries(self) -> QueryHandlers:
        """Who answers which question."""
        return {**self.hooks.queries, **self.jobs.orders.queries}

    async def listen(self, version: str) -> None:
        """Begin to tell hooks. Comes before connections receive anything."""
        await self.hooks.start(platforms=tuple(self._settings.platforms), version=version)

    async def start(self) -> None:
        """Begin to keep the time. Comes when tasks can be started."""
        await self.jobs.open({name: (spec_of(job), job.enabled) for name, job in self._settings.cron.items()})
        self._supervisor.start(MAKER, self.jobs.run)


def spec_of(job: JobSettings) -> JobSpec:
    """A job of the configuration."""
    return JobSpec(
        schedule=job.schedule,
        text=job.text,
        timezone=job.timezone,
        first_s=job.first_s,
        agent=job.agent or "",
        deliver=job.deliver,
        misfire=job.misfire,
        misfire_grace_s=job.misfire_grace_s,
        overlap=job.overlap,
        lane=job.lane,
        label=job.label,
        parts=job.parts,
    )
