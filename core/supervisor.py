"""Long-lived tasks: started here and nowhere else, restarted with backoff, stopped in order with a report."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from core.api.base import Mark
from core.api.errors import HermesError
from core.api.system import ServiceView
from core.backoff import ceiling_s
from core.clock import Clock, mark
from core.waits import is_cancelled

_BASE_S = 0.5
_CAP_S = 30.0
_STEADY_S = 60.0
_END_LIMIT_S = 10.0


class Supervisor:
    """Runs services (restarted when they fail) and jobs (run once).

    on_change(service, error): called on the loop whenever a service changes state;
    error is one line, "" unless it failed. on_job_error: a job that raised, by name.
    """

    def __init__(
        self,
        clock: Clock,
        on_change: Callable[[ServiceView, str], None],
        on_job_error: Callable[[str, Exception], None],
    ) -> None:
        self._clock = clock
        self._on_change = on_change
        self._on_job_error = on_job_error
        self._services: dict[str, asyncio.Task[None]] = {}
        self._views: dict[str, ServiceView] = {}
        self._jobs: set[asyncio.Task[Any]] = set()
        self._outliving: asyncio.Task[Any] | None = None
        self._is_stopping = False

    def start(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run a service until stop(). A normal return ends it; an exception restarts it."""
        if name in self._services:
            raise ValueError(f"service {name} runs already")
        self._set(name, "starting")
        self._services[name] = asyncio.create_task(self._keep(name, run), name=name)

    def spawn(self, name: str, job: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a job once. It is cancelled at stop(); what it raises is reported, errors of the facade
        excepted, which belong to whoever waits for the job.
        """
        task = asyncio.create_task(job, name=name)
        self._jobs.add(task)
        task.add_done_callback(self._job_done)
        return task

    def outlive(self, name: str, job: Coroutine[Any, Any, Any]) -> None:
        """Run a job that stop() leaves alone: the one that carries out the stop."""
        self._outliving = asyncio.create_task(job, name=name)

    @property
    def services(self) -> tuple[ServiceView, ...]:
        """All services in the order of their start."""
        return tuple(self._views.values())

    @property
    def job_count(self) -> int:
        """Jobs that have not ended."""
        return len(self._jobs)

    async def stop_service(self, name: str) -> None:
        """Stop one service and wait for its end, ten seconds at most: one that hangs then is shown as failed."""
        task = self._services.pop(name, None)
        if task is not None:
            if await self._end({task}, _END_LIMIT_S):
                self._set(name, "failed", f"did not end within {_END_LIMIT_S:g} s")
            else:
                self._set(name, "stopped")

    async def stop(self, *, deadline_s: float) -> list[str]:
        """Stop services in reverse order, then jobs. Returns the names of those that did not end in time."""
        self._is_stopping = True
        left: list[str] = []
        for name in reversed(list(self._services)):
            left += await self._end({self._services.pop(name)}, deadline_s)
            self._set(name, "stopped")
        left += await self._end(set(self._jobs), deadline_s)
        return left

    async def _end(self, tasks: set[asyncio.Task[Any]], deadline_s: float) -> list[str]:
        if not tasks:
            return []
        for task in tasks:
            task.cancel()
        _, pending = await asyncio.wait(tasks, timeout=deadline_s)
        return [task.get_name() for task in pending]

    async def _keep(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        failures = 0
        while not self._is_stopping:
            started = self._clock.monotonic()
            self._set(name, "running")
            try:
                await run()
            except (Exception, asyncio.CancelledError) as error:
                if is_cancelled():
                    # What its cleaning up raised may hide that it was told to end.
                    raise asyncio.CancelledError from error
                failures = 1 if self._clock.monotonic() - started > _STEADY_S else failures + 1
                is_stray = isinstance(error, asyncio.CancelledError)
                words = "it was cancelled, and not by the core" if is_stray else str(error)
                self._set(name, "restarting", f"{type(error).__name__}: {words}".splitlines()[0][:300])
                await self._clock.sleep(ceiling_s(failures, base_s=_BASE_S, cap_s=_CAP_S))
            else:
                self._set(name, "stopped")
                return

    def _set(self, name: str, state: str, error: str = "") -> None:
        before = self._views.get(name)
        restarts = before.restart_count if before else 0
        view = ServiceView(
            name=name,
            state=state,
            since=self._mark(),
            restart_count=restarts + (state == "restarting"),
            last_error=error or (before.last_error if before else ""),
        )
        self._views[name] = view
        self._on_change(view, error)

    def _mark(self) -> Mark:
        return mark(self._clock)

    def _job_done(self, task: asyncio.Task[Any]) -> None:
        self._jobs.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception) and not isinstance(error, HermesError):
            self._on_job_error(task.get_name(), error)
