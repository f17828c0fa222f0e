"""One hook at work: its queue, its process, its counts, and when it is paused."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from core.api.base import Mark
from core.api.hooks import HookState, HookTrial, HookView
from core.clock import Clock, mark
from core.gateway.hook import HOOK, HookEvent, Times
from core.gateway.hook_child import Answer, GoneError, HookChild
from core.gateway.hook_facts import context_of
from core.gateway.hook_files import HookFolder
from core.gateway.hook_payload import Payload

_ERROR_LIMIT = 300


class HookRow(msgspec.Struct, frozen=True):
    """What is kept of a hook over a restart."""

    is_paused: bool = False
    paused_by: str = ""
    paused_reason: str = ""
    failures_in_row: int = 0


class _Waiting(NamedTuple):
    event_type: str
    payload: Payload
    trial: asyncio.Future[HookTrial] | None


class HookWorker:
    """Runs as a service of its own, so that no hook waits for another.

    on_answer: told after each call with whether it failed. Nothing here raises into whoever tells of an event.
    stored: the row as it was last given to the store.
    """

    def __init__(
        self,
        folder: HookFolder,
        row: HookRow,
        *,
        is_on: bool,
        timeout_s: float,
        queue_limit: int,
        clock: Clock,
        on_answer: Callable[["HookWorker", bool], None],
    ) -> None:
        self.folder = folder
        self.row = self.stored = row
        self.version = 1
        self._clock = clock
        self._on_answer = on_answer
        manifest = folder.manifest
        self.timeout_s = (manifest.timeout_s if manifest else None) or timeout_s
        self.state = HookState.READY
        if manifest is None:
            self.state = HOOK.step(self.state, HookEvent.BREAK)
        elif not is_on:
            self.state = HOOK.step(self.state, HookEvent.SWITCH_OFF)
        elif row.is_paused:
            self.state = HOOK.step(self.state, HookEvent.PAUSE)
        self._queue: deque[_Waiting] = deque()
        self._queue_limit = queue_limit
        self._has_more = asyncio.Event()
        self._times = Times()
        self._child: HookChild | None = None
        self._count = self._failure_count = self._timeout_count = self._dropped_count = 0
        self._last: Mark | None = None
        self._last_event = self._last_error = self._output = ""
        self._failed: Mark | None = None

    @property
    def name(self) -> str:
        """Of the hook."""
        return self.folder.name

    @property
    def events(self) -> tuple[str, ...]:
        """What it wants to be told."""
        return self.folder.manifest.events if self.folder.manifest else ()

    @property
    def pid(self) -> int:
        """Of its process; 0 when there is none."""
        return self._child.pid if self._child is not None and self._child.is_alive else 0

    def tell(self, event_type: str, payload: Payload) -> None:
        """Have it told of an event, after those that wait; the oldest is dropped when too many do."""
        if self.state is not HookState.READY:
            return
        if len(self._queue) >= self._queue_limit:
            self._drop_oldest()
        self._queue.append(_Waiting(event_type, payload, None))
        self._has_more.set()

    def _drop_oldest(self) -> None:
        for place, waiting in enumerate(self._queue):
            if waiting.trial is None:
                del self._queue[place]
                self._dropped_count += 1
                return

    def try_out(self, event_type: str, payload: Payload) -> asyncio.Future[HookTrial]:
        """The same with a made-up event, before all others, in whatever state; the future ends with what it did."""
        trial: asyncio.Future[HookTrial] = asyncio.get_running_loop().create_future()
        self._queue.appendleft(_Waiting(event_type, payload, trial))
        self._has_more.set()
        return trial

    def pause(self, by: str, reason: str) -> None:
        """Tell it nothing from now on; what waits is let go."""
        self.state = HOOK.step(self.state, HookEvent.PAUSE)
        self.row = HookRow(is_paused=True, paused_by=by, paused_reason=reason, failures_in_row=self.row.failures_in_row)
        self._queue = deque(waiting for waiting in self._queue if waiting.trial is not None)

    def resume(self) -> None:
        """Tell it again."""
        self.state = HOOK.step(self.state, HookEvent.RESUME)
        self.row = HookRow()

    def view(self) -> HookView:
        """As operators see it."""
        manifest = self.folder.manifest
        return HookView(
            name=self.name,
            version=self.version,
            state=self.state,
            folder=str(self.folder.folder),
            is_builtin=self.folder.is_builtin,
            description=manifest.description if manifest else "",
            events=self.events,
            order=manifest.order if manifest else 0,
            timeout_s=self.timeout_s,
            count=self._count,
            failure_count=self._failure_count,
            timeout_count=self._timeout_count,
            failures_in_row=self.row.failures_in_row,
            dropped_count=self._dropped_count,
            waiting_count=len(self._queue),
            last=self._last,
            last_event=self._last_event,
            last_s=self._times.last_s,
            p95_s=self._times.p95_s,
            last_error=self._last_error,
            failed=self._failed,
            output=self._output,
            paused_by=self.row.paused_by,
            paused_reason=self.row.paused_reason,
            problem=self.folder.problem,
        )

    async def run(self) -> None:
        """Hand it event after event, until cancelled; then its process is gone."""
        try:
            while True:
                # First, since a run that failed may have left something.
                while self._queue:
                    await self._hand(self._queue.popleft())
                self._has_more.clear()
                await self._has_more.wait()
        finally:
            child, self._child = self._child, None
            for waiting in self._queue:
                if waiting.trial is not None:
                    waiting.trial.cancel()
            if child is not None:
                await child.close()

    async def _hand(self, waiting: _Waiting) -> None:
        if waiting.trial is not None and waiting.trial.done():
            # Whoever asked was told that it did not come to it.
            return
        context = context_of(waiting.payload)
        began = self._clock.monotonic()
        try:
            answer = await self._call(waiting.event_type, context)
        except BaseException:
            if waiting.trial is not None:
                waiting.trial.cancel()
            raise
        took_s = self._clock.monotonic() - began
        output = self._child.output if self._child is not None else ""
        error = _worded(answer)
        if waiting.trial is not None:
            self._end_trial(waiting, waiting.trial, error, took_s, output)
            return
        self._count += 1
        self._times.add(took_s)
        self._last = mark(self._clock)
        self._last_event = waiting.event_type
        self._output = output
        if error:
            self._failure_count += 1
            self._timeout_count += answer.is_timeout
            self._last_error = error
            self._failed = self._last
            self.row = msgspec.structs.replace(self.row, failures_in_row=self.row.failures_in_row + 1)
        elif self.row.failures_in_row:
            self.row = msgspec.structs.replace(self.row, failures_in_row=0)
        self._on_answer(self, bool(error))

    async def _call(self, event_type: str, context: dict[str, object]) -> Answer:
        try:
            if self._child is None or not self._child.is_alive:
                self._child = await HookChild.start(self.folder.handler)
            return await self._child.call(event_type, context, self.timeout_s)
        except GoneError as error:
            return Answer(str(error), error.line)
        except OSError as error:
            return Answer(f"its process cannot be started: {error.strerror}")

    def _end_trial(
        self, waiting: _Waiting, trial: asyncio.Future[HookTrial], error: str, took_s: float, output: str
    ) -> None:
        if trial.done():
            return
        trial.set_result(
            HookTrial(
                name=self.name,
                event_type=waiting.event_type,
                payload=msgspec.json.encode(waiting.payload).decode(),
                is_ok=not error,
                duration_s=took_s,
                error=error,
                output=output,
            )
        )


def _worded(answer: Answer) -> str:
    if not answer.error:
        return ""
    return (f"handler.py:{answer.line}: " if answer.line else "") + answer.error[:_ERROR_LIMIT]
