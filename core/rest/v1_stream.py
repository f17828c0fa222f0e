"""Events of a run as they come, for one reader: pulled, so that a slow one keeps nobody waiting but itself."""

import asyncio
import contextlib
from collections.abc import Sequence

import msgspec

from core.api.approvals import ApprovalView, GetApproval, ListApprovals
from core.api.base import SessionId, TaskId
from core.api.errors import HermesError, NotFound
from core.api.port import Hermes
from core.api.streams import ReadStream, StreamBatch, StreamItem, StreamKind
from core.api.tasks import ANSWER_LIMIT, GetTask, TaskDetail
from core.api.transcripts import EntryKind, ReadTranscript
from core.clock import Clock
from core.http.asgi import Receive, Send, chunk, start
from core.http.leaving import while_there
from core.http.refusal import one_line
from core.rest.v1_events import RunTeller
from core.rest.v1_status import of_task, run_status, status_of
from core.rest.v1_words import OVER, RunEvent, RunStatus, run_id_of

EVENTS_TYPE = "text/event-stream; charset=utf-8"
APPROVALS = 1_000

_ITEMS = 200
_LOOK_S = 2.0
_WRITE_LIMIT_S = 30.0
_FAREWELL_S = 0.5
_CLOSED = b": stream closed\n\n"
_KEEPALIVE = b": keepalive\n\n"


class Follower:
    """Writes the events of one run to one reader. after: number of the last one that it has seen, 0 for none."""

    def __init__(
        self, hermes: Hermes, *, clock: Clock, task_id: TaskId, after: int, send: Send, keepalive_s: float
    ) -> None:
        self._hermes = hermes
        self._clock = clock
        self._task_id = task_id
        self._after = after
        self._send = send
        self._keepalive_s = keepalive_s
        self._written_at = clock.monotonic()
        self._teller = RunTeller(run_id_of(task_id))

    async def serve(self, receive: Receive) -> None:
        """Write until the run is over, the reader is gone, or too slow. Raises ClientGone."""
        await start(self._send, 200, [("content-type", EVENTS_TYPE)])
        try:
            await while_there(receive, self._follow())
        except asyncio.CancelledError:
            # The server stops; a reader that is still there learns why there is no more.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FAREWELL_S):
                    await self._break_off("stopping", "the server is stopping; the run may go on")
            raise

    async def _follow(self) -> None:
        try:
            await self._write(b": stream open\n\n")
            await self._tell_all()
        except HermesError as error:
            await self._break_off(error.code, one_line(error.message))
        except TimeoutError:
            # It reads nothing: to say so would take as long again.
            return

    async def _tell_all(self) -> None:
        is_first, is_over = True, False
        while True:
            batch = await self._hermes.query(
                ReadStream(
                    after=self._after,
                    task_id=self._task_id,
                    limit=_ITEMS,
                    wait_s=0.0 if is_first or is_over else min(_LOOK_S, self._keepalive_s),
                )
            )
            if batch.has_gap and not is_first:
                # What is still kept of this batch is told to the reader that comes back, after a word about the gap.
                await self._break_off("lagged", "this reader is too slow: events were let go; take them up again")
                return
            pieces: list[bytes] = []
            if is_first and (batch.has_gap or (not self._after and _is_cut(batch.items))):
                pieces.append(_line(self._teller.gap(self._clock.now())))
            pieces += await self._pieces(batch.items)
            self._after = batch.next_after
            if is_over and not batch.items:
                await self._end()
                return
            is_first, is_over = False, _is_over(batch)
            await self._pass_on(pieces)

    async def _pieces(self, items: Sequence[StreamItem]) -> list[bytes]:
        pieces: list[bytes] = []
        for item in items:
            events = self._teller.tell(item, await self._approval(item))
            # A reader that comes back gets an item whole: only its last event says that it is there.
            pieces += [_line(event) for event in events[:-1]]
            pieces += [_line(event, item.number) for event in events[-1:]]
        return pieces

    async def _approval(self, item: StreamItem) -> ApprovalView | None:
        """The decision that an item is about, as it stands by now; None when it was forgotten since."""
        if item.approval_id is None:
            return None
        try:
            return await self._hermes.query(GetApproval(approval_id=item.approval_id))
        except NotFound:
            return None

    async def _pass_on(self, pieces: list[bytes]) -> None:
        if pieces:
            await self._write(b"".join(pieces))
        elif self._clock.monotonic() - self._written_at >= self._keepalive_s:
            await self._write(_KEEPALIVE)

    async def _end(self) -> None:
        status = await read_status(self._hermes, await self._detail())
        await self._write(_line(self._teller.end(status), self._after) + _CLOSED, more=False)

    async def _break_off(self, code: str, message: str) -> None:
        event = self._teller.broken(self._clock.now(), code, message)
        await self._write(_line(event, self._after) + _CLOSED, more=False)

    async def _write(self, piece: bytes, *, more: bool = True) -> None:
        async with asyncio.timeout(_WRITE_LIMIT_S):
            await chunk(self._send, piece, more=more)
        self._written_at = self._clock.monotonic()

    async def _detail(self) -> TaskDetail:
        return await self._hermes.query(GetTask(task_id=self._task_id))


async def read_approvals(hermes: Hermes, detail: TaskDetail) -> list[ApprovalView]:
    """Decisions that a task waits for, the oldest first."""
    found = await hermes.query(ListApprovals(open_only=True, limit=APPROVALS))
    return of_task(found.approvals, detail)


async def read_status(hermes: Hermes, detail: TaskDetail) -> RunStatus:
    """How a run stands, with its whole answer."""
    approvals: list[ApprovalView] = []
    if detail.task.ended is None:
        approvals = await read_approvals(hermes, detail)
    output = ""
    if len(detail.task.answer) >= ANSWER_LIMIT and detail.runs:
        # The task keeps no more of it; the transcript does.
        output = await _whole_answer(hermes, detail)
    return run_status(detail, approvals, output=output)


async def _whole_answer(hermes: Hermes, detail: TaskDetail) -> str:
    run = detail.runs[0]
    page = await hermes.query(ReadTranscript(session_id=SessionId(run.session_id), limit=APPROVALS))
    said = [entry.text for entry in page.entries if entry.run_id == run.id and entry.kind is EntryKind.AGENT]
    found = "\n\n".join(said)
    return found if found.startswith(detail.task.answer) else ""


def _is_over(batch: StreamBatch) -> bool:
    return batch.task is not None and status_of(batch.task, batch.run, is_asking=False) in OVER


def _is_cut(items: Sequence[StreamItem]) -> bool:
    """Whether the oldest item that is kept is not the first of a task."""
    return bool(items) and items[0].kind not in {StreamKind.STATE, StreamKind.INPUT}


def _line(event: RunEvent, number: int | None = None) -> bytes:
    place = b"" if number is None else b"id: %d\n" % number
    return place + b"data: " + msgspec.json.encode(event) + b"\n\n"
