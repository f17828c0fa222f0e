"""What operators and chats order about jobs of the clock, and what they ask about them."""

import asyncio
from collections.abc import Callable, Iterable

from core.api.base import Actor
from core.api.errors import ConflictError, InvalidInput, Refused
from core.api.jobs import (
    AddJob,
    JobChanged,
    JobList,
    JobRemoved,
    JobView,
    ListJobs,
    PauseJob,
    PreviewSchedule,
    RemoveJob,
    ResumeJob,
    RunJob,
    ScheduleView,
)
from core.clock import Clock, mark
from core.gateway import job as rules
from core.gateway.job_check import checked_name, checked_spec, previewed
from core.gateway.job_rows import Held, JobRows
from core.handlers import CommandHandlers, QueryHandlers
from core.ids import IdSource
from core.journal import Journal
from core.schedule import parsed


class JobOrders:
    """Changes rows; whoever keeps the time acts on them. check: of a target. wake: have the time looked at now."""

    def __init__(
        self,
        *,
        rows: JobRows,
        journal: Journal,
        clock: Clock,
        ids: IdSource,
        agents: Callable[[], Iterable[str]],
        check: Callable[[str], None],
        wake: Callable[[], None],
    ) -> None:
        self._rows = rows
        self._journal = journal
        self._clock = clock
        self._ids = ids
        self._agents = agents
        self._check = check
        self._wake = wake

    @property
    def commands(self) -> CommandHandlers:
        """Who carries out which command."""
        return {
            AddJob: self.add_job,
            RemoveJob: self.remove_job,
            PauseJob: self.pause_job,
            ResumeJob: self.resume_job,
            RunJob: self.run_job,
        }

    @property
    def queries(self) -> QueryHandlers:
        """Who answers which question."""
        return {ListJobs: self.list_jobs, PreviewSchedule: self.preview_schedule}

    async def add_job(self, command: AddJob, actor: Actor) -> JobView:
        """Keep a new job."""
        name = checked_name(command.name)
        # A zone is read from the disk at first.
        schedule = await asyncio.to_thread(parsed, command.spec.schedule, command.spec.timezone)
        spec = checked_spec(command.spec, self._agents(), self._check)
        async with self._rows.lock:
            await self._rows.load()
            if self._rows.find(name) is not None:
                raise ConflictError(f"a job is called {name} already", key="name", expected="", found=name)
            row = rules.made(name, spec, self._clock.now())
            if rules.is_over(row, schedule):
                raise InvalidInput(
                    f"{spec.schedule!r} is in the past", field="schedule", value=spec.schedule, fix="name a later time"
                )
            view = await self._rows.keep(name, row, lambda view: [JobChanged(job=view)], actor)
        self._wake()
        return view

    async def remove_job(self, command: RemoveJob, actor: Actor) -> JobView:
        """Let a job go."""
        async with self._rows.lock:
            held = await self._known(command.name)
            if held.row.is_configured:
                raise Refused(
                    f"{command.name} is written in config.yaml",
                    rule="configured",
                    fix="remove it there, or pause it here",
                )
            view = self._rows.view(held)
            await self._rows.remove(command.name, [JobRemoved(name=command.name)], actor)
        return view

    async def pause_job(self, command: PauseJob, actor: Actor) -> JobView:
        """Let its times go by."""
        async with self._rows.lock:
            held = await self._known(command.name)
            row = rules.paused(held.row, actor.name, command.reason)
            return await self._rows.keep(command.name, row, lambda view: [JobChanged(job=view)], actor)

    async def resume_job(self, command: ResumeJob, actor: Actor) -> JobView:
        """Go on."""
        async with self._rows.lock:
            held = await self._known(command.name)
            if not held.row.is_enabled:
                key = f"cron.{command.name}.enabled"
                raise Refused(f"{key} is false", rule="configured", fix=f"set {key} to true in config.yaml")
            row = rules.resumed(held.row, self._clock.now())
            view = await self._rows.keep(command.name, row, lambda view: [JobChanged(job=view)], actor)
        self._wake()
        return view

    async def run_job(self, command: RunJob, actor: Actor) -> JobView:
        """Run it now, or after the present run."""
        async with self._rows.lock:
            held = await self._known(command.name)
            row = rules.ordered(held.row, mark(self._clock), self._ids.new_id())
            view = await self._rows.keep(command.name, row, lambda view: [JobChanged(job=view)], actor)
            self._rows.claimed.add(row.queue[-1].key)
        self._wake()
        return view

    async def list_jobs(self, _query: ListJobs) -> JobList:
        """All jobs."""
        seq = await self._journal.head()
        return JobList(jobs=tuple(self._rows.view(held) for held in self._rows.all()), seq=seq)

    async def preview_schedule(self, query: PreviewSchedule) -> ScheduleView:
        """When it would come round."""
        return await asyncio.to_thread(previewed, query, self._clock.now())

    async def _known(self, name: str) -> Held:
        """The job as it is stored now. The lock is held."""
        await self._rows.load()
        return self._rows.get(name)
