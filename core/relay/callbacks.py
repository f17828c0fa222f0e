"""Answers told to peers at their callbacks: signed, tried again for long, one peer never in the way of another.

A message whose peer is still to be told is untold in the ledger, from the commit that ends it until its peer has it or
it is given up; what came of each attempt stands in the message.
"""

import heapq
from collections import deque
from collections.abc import Callable

from core.api.base import Mark
from core.api.errors import ConfigError, HermesError, NotFound
from core.api.relay_tasks import (
    AttemptResult,
    RelayAttempt,
    RelayAttemptFailed,
    RelayDelivered,
    RelayDirection,
)
from core.clock import Clock, mark
from core.relay import callback, signing
from core.relay.ledger import Change, Ledger
from core.relay.message import write_response
from core.relay.outcome import GONE, is_terminal, result_of
from core.relay.peers import Credentials, Peers
from core.relay.task import RelayTask
from core.relay.web import CallError, Web
from core.relay.wire import Reply
from core.relay_settings import RelaySettings
from core.supervisor import Supervisor
from core.waits import CutShort, Waits

ANSWER_BYTES = 2_048
_PAUSED_S = 5.0
_STORE_S = 30.0
_ERROR_LIMIT = 500


class _Line:
    """Answers that one peer is to be told."""

    def __init__(self) -> None:
        self.ready: deque[str] = deque()
        self.later: list[tuple[float, str]] = []
        self.known: set[str] = set()
        self.waits = Waits()
        self.is_served = False

    def next(self, now: float) -> str | None:
        """One whose time has come."""
        while self.later and self.later[0][0] <= now:
            self.ready.append(heapq.heappop(self.later)[1])
        return self.ready.popleft() if self.ready else None


class Callbacks:
    """All of them. is_paused: nothing may go out. on_fault(what, error): of ours."""

    def __init__(
        self,
        *,
        clock: Clock,
        supervisor: Supervisor,
        settings: RelaySettings,
        peers: Peers,
        ledger: Ledger,
        web: Web,
        is_paused: Callable[[], bool],
        random: Callable[[], float],
        on_fault: Callable[[str, Exception], None],
    ) -> None:
        self._clock = clock
        self._supervisor = supervisor
        self._settings = settings
        self._peers = peers
        self._ledger = ledger
        self._web = web
        self._is_paused = is_paused
        self._random = random
        self._on_fault = on_fault
        self._lines: dict[str, _Line] = {}

    def start(self) -> None:
        """Go on telling what an earlier start of the core had not told."""
        for task in list(self._ledger.live()):
            if task.direction is RelayDirection.IN and task.is_untold:
                self.begin(task)

    def is_wanted(self, peer: str) -> bool:
        """Whether a peer wants to be told."""
        return bool(self._url(peer))

    def begin(self, task: RelayTask) -> None:
        """A message is over, and stored so: tell its peer."""
        line = self._lines.setdefault(task.peer, _Line())
        if task.id not in line.known:
            line.known.add(task.id)
            line.ready.append(task.id)
        self._serve(task.peer, line)

    # -- inside

    def _url(self, peer: str) -> str:
        try:
            return self._peers.settings_of(peer).callback or ""
        except NotFound:
            return ""

    def _serve(self, peer: str, line: _Line) -> None:
        if line.is_served:
            line.waits.cut()
            return
        line.is_served = True
        self._supervisor.spawn(f"relay callback:{peer}", self._work(peer, line))

    async def _work(self, peer: str, line: _Line) -> None:
        try:
            while line.ready or line.later:
                now = self._clock.monotonic()
                task_id = None if self._is_paused() else line.next(now)
                if task_id is not None:
                    await self._guarded(line, task_id)
                    continue
                rest_s = _PAUSED_S if self._is_paused() or not line.later else max(0.0, line.later[0][0] - now)
                try:
                    await line.waits.wait(self._clock.sleep(rest_s))
                except CutShort:
                    continue
        finally:
            line.is_served = False
            if not line.ready and not line.later:
                self._lines.pop(peer, None)

    async def _guarded(self, line: _Line, task_id: str) -> None:
        try:
            due = await self._tell(task_id)
        except HermesError:
            due = self._clock.monotonic() + _STORE_S
        except Exception as error:  # noqa: BLE001 - one that cannot be told keeps no other from it
            self._on_fault(f"callback {task_id}", error)
            due = None
        if due is not None:
            heapq.heappush(line.later, (due, task_id))
        else:
            line.known.discard(task_id)

    async def _tell(self, task_id: str) -> float | None:
        """Try once; when to try again, in monotonic seconds, None when that is over. Raises StoreError."""
        task = self._ledger.find_live(task_id)
        if task is None or not task.is_untold:
            return None
        url, began = self._url(task.peer), mark(self._clock)
        was_late, reply = task.is_late, await self._post(task, url)
        now = mark(self._clock)

        def decide(task: RelayTask) -> Change:
            number = task.attempt_count + 1
            attempt = RelayAttempt(
                number=number,
                began=began,
                url=url,
                result=reply.result,
                trigger=callback.trigger_of(number),
                status=reply.status,
                latency_s=now.mono - began.mono,
                error=reply.error[:_ERROR_LIMIT],
            )
            due = None if self._is_last(task, reply, now) else self._due(number, reply, now)
            if task.is_late != was_late:
                # What was told is not what is so by now.
                due = now
            kind = RelayDelivered if reply.result is AttemptResult.DELIVERED else RelayAttemptFailed
            return Change(callback.told(task, attempt, due, now), lambda view: kind(task=view))

        stored = await self._ledger.change(task_id, decide)
        return None if stored.due is None else stored.due.mono

    def _is_last(self, task: RelayTask, reply: Reply, now: Mark) -> bool:
        if is_terminal(reply) or not self._url(task.peer):
            return True
        since = task.answered or task.ended
        return since is not None and now.mono - since.mono >= self._settings.deadline_s

    def _due(self, failures: int, reply: Reply, now: Mark) -> Mark:
        wait_s = callback.wait_s(failures, reply.retry_after_s, self._random())
        return Mark(now.at + wait_s, now.mono + wait_s)

    async def _post(self, task: RelayTask, url: str) -> Reply:
        if not url:
            return Reply(result=AttemptResult.REFUSED, error="the peer has no callback any more")
        body = write_response(callback.response_of(task))
        try:
            headers = self._headers(self._peers.outgoing(task.peer), task, body)
        except (ConfigError, NotFound) as error:
            return Reply(result=AttemptResult.UNDELIVERED, error=error.message)
        settings = self._peers.settings_of(task.peer)
        try:
            answer = await self._web.call(
                "POST",
                url,
                headers=headers,
                body=body,
                networks=settings.callback_networks,
                limit_s=self._settings.attempt_limit_s,
                limit_bytes=ANSWER_BYTES,
            )
        except CallError as error:
            # An address that may not be called today may be allowed after the next start.
            result = AttemptResult.UNDELIVERED if error.is_ours else error.result
            return Reply(result=result, error=str(error))
        result = result_of(answer.status)
        return Reply(
            result=result,
            status=answer.status,
            error="" if result is AttemptResult.DELIVERED else f"it answered {answer.status}",
            retry_after_s=answer.retry_after_s,
            is_gone=answer.status == GONE,
        )

    def _headers(self, credentials: Credentials, task: RelayTask, body: bytes) -> dict[str, str]:
        headers = {"content-type": "application/json"}
        if credentials.keys:
            named = callback.signed_id(task.wire_id)
            headers |= signing.signed_headers(credentials.keys, named, self._clock.now(), body)
        if credentials.token is not None:
            headers["authorization"] = f"Bearer {credentials.token.reveal()}"
        return headers
