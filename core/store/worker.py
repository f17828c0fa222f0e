"""A thread that takes all that waits, does it in one go, and wakes the loop once for all of it."""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from core.api.errors import StoreError

_AT_A_TIME = 4096


class Job:
    """Something to be done elsewhere. The thread sets `result` or `error`, the loop tells the future."""

    __slots__ = ("asked_at", "error", "future", "result", "work")

    def __init__(self, work: Any, future: asyncio.Future[Any], asked_at: float) -> None:
        self.work = work
        self.future = future
        self.asked_at = asked_at
        self.result: Any = None
        self.error: Exception | None = None


class Worker:
    """Serves jobs in the order in which they were asked for.

    serve: does a list of jobs, on the thread. end: the last thing that the thread does.
    rest: what it does between jobs, before it waits; gives the seconds after which it wants to be called again.
    """

    def __init__(
        self,
        name: str,
        serve: Callable[[list[Job]], None],
        end: Callable[[], None],
        rest: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._serve = serve
        self._end = end
        self._rest = rest
        self._jobs: deque[Job] = deque()
        self._calls: SimpleQueue[bool] = SimpleQueue()
        self._is_calling = False
        self._is_closing = False
        self._ended: asyncio.Future[None] = self._loop.create_future()
        # A daemon, so that a program that fails before close() can still end; the medium survives that.
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def ask(self, work: Any, asked_at: float) -> asyncio.Future[Any]:
        """Queue a job; its future ends on the loop."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._jobs.append(Job(work, future, asked_at))
        if not self._is_calling:
            # Called at the end of this round of the loop: what else is asked for in it goes into the same group.
            self._is_calling = True
            self._loop.call_soon(self._call)
        return future

    async def close(self) -> None:
        """Do what was asked for, then end. May be called twice. Raises StoreError when `end` failed."""
        if not self._is_closing:
            self._is_closing = True
            self._calls.put(False)
        await asyncio.shield(self._ended)

    def _call(self) -> None:
        self._is_calling = False
        self._calls.put(True)

    def _run(self) -> None:
        is_open = True
        while is_open:
            is_open = self._next_call()
            while self._jobs:
                self._serve_some()
                if self._jobs:
                    # Never so busy that what must be done now and then is not done at all.
                    self._take_rest()
        error: StoreError | None = None
        try:
            self._end()
        except Exception as found:  # noqa: BLE001 -- the one who closes must hear of any fault, and not wait for ever
            error = StoreError(f"the store did not close well: {found!r}", cause="unreadable", fix="look at the disk")
        self._tell(self._finish_ended, error)

    def _next_call(self) -> bool:
        while True:
            with contextlib.suppress(Empty):
                return self._calls.get(timeout=self._take_rest())

    def _take_rest(self) -> float | None:
        try:
            return self._rest()
        except Exception:  # noqa: BLE001 -- nobody asked for it, and the thread must outlive any fault
            return None

    def _serve_some(self) -> None:
        taken: list[Job] = []
        while self._jobs and len(taken) < _AT_A_TIME:
            taken.append(self._jobs.popleft())
        try:
            self._serve(taken)
        except Exception as error:  # noqa: BLE001 -- the thread must outlive any fault
            for job in taken:
                job.error = StoreError(f"the store failed: {error!r}", cause="unreadable", fix="report this fault")
        self._tell(self._finish, taken)

    def _tell(self, act: Callable[..., None], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: there is nobody left to tell
            self._loop.call_soon_threadsafe(act, *args)

    def _finish(self, jobs: list[Job]) -> None:
        for job in jobs:
            if job.future.done():  # its caller was cancelled
                continue
            if job.error is None:
                job.future.set_result(job.result)
            else:
                job.future.set_exception(job.error)

    def _finish_ended(self, error: StoreError | None) -> None:
        if self._ended.done():
            return
        if error is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(error)
