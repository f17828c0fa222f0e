"""What happened lately, as one numbered sequence with an end (pure): a reader goes on from a number, and knows a gap.

Numbers grow over starts of the core: the upper part is the start, the lower one counts. What a run writes piece by
piece is one item until somebody has read so far.
"""

from collections.abc import Callable, Collection
from typing import Any

import msgspec

from core.api.approvals import ApprovalAsked, ApprovalDecided, ApprovalExpired, ApprovalOrphaned, ApprovalWithdrawn
from core.api.base import ApprovalId, Event, RunId, SessionId, TaskId
from core.api.session_queue import MessageDropped
from core.api.sessions import EntryAdded, MessageQueued, MessageSteered, RunEnded, RunOutput, RunStarted
from core.api.streams import StreamItem, StreamKind
from core.api.tasks import TaskEnded, TaskQueued, TaskStarted, TaskState, TaskWaiting
from core.api.transcripts import EntryKind

STARTS = 2**40
"""Numbers of one start of the core."""

ITEMS = 4_096
SIZE_BYTES = 8 * 1_048_576
MERGED_BYTES = 2_048
TEXT_LIMIT = 16_384
_ITEM_BYTES = 200
_FLOWING = frozenset({StreamKind.TEXT, StreamKind.THOUGHT})


class Piece(msgspec.Struct, gc=False):
    """A thing that happened, without its number. at: UTC seconds, known once it is in the ring."""

    kind: StreamKind
    session_id: SessionId
    text: str
    run_id: RunId | None = None
    task_id: TaskId | None = None
    what: str = ""
    approval_id: ApprovalId | None = None
    at: float = 0.0


class Filter(msgspec.Struct, frozen=True, gc=False):
    """What a reader wants. run_ids: of the task, whose items count too. Nothing given is everything."""

    task_id: TaskId | None = None
    run_id: RunId | None = None
    session_id: SessionId | None = None
    run_ids: Collection[RunId] = ()

    def fits(self, item: Piece) -> bool:
        """Whether an item is wanted."""
        if self.run_id is not None and item.run_id != self.run_id:
            return False
        if self.session_id is not None and item.session_id != self.session_id:
            return False
        return self.task_id is None or item.task_id == self.task_id or item.run_id in self.run_ids


class Read(msgspec.Struct, frozen=True, gc=False):
    """What a reader gets. next_after: to go on from. has_gap: there was more in between, which is gone."""

    items: tuple[StreamItem, ...]
    next_after: int
    has_gap: bool


class Ring:
    """The newest items. boot: number of this start of the core."""

    def __init__(self, boot: int, *, items: int = ITEMS, size_bytes: int = SIZE_BYTES) -> None:
        self._limit = items
        self._limit_bytes = size_bytes
        self._base = boot * STARTS
        self._items: dict[int, Piece] = {}
        self._first = self._next = self._base + 1
        self._bytes = 0
        self._read_until = self._base
        self._open: dict[RunId, int] = {}

    def __len__(self) -> int:
        return len(self._items)

    @property
    def head(self) -> int:
        """Number of the last item; of none yet, the one before the first."""
        return self._next - 1

    @property
    def size_bytes(self) -> int:
        """About what it takes."""
        return self._bytes

    def push(self, piece: Piece, at: float) -> None:
        """Add what happened, which is the ring's from then on. at: UTC seconds."""
        run_id = piece.run_id
        flows = piece.kind in _FLOWING
        if run_id is not None and (place := self._open.get(run_id)) is not None:
            before = self._items.get(place)
            if flows and before is not None and before.kind is piece.kind and self._merge(place, before, piece):
                return
            del self._open[run_id]
        number = self._next
        self._next = number + 1
        piece.at = at
        if len(piece.text) > TEXT_LIMIT:
            piece.text = piece.text[:TEXT_LIMIT]
        self._items[number] = piece
        self._bytes += _size(piece.text) + _ITEM_BYTES
        if flows and run_id is not None:
            self._open[run_id] = number
        while len(self._items) > self._limit or (self._bytes > self._limit_bytes and len(self._items) > 1):
            self._let_go()

    def keeps(self, after: int) -> bool:
        """Whether all that came after a number is still there."""
        return self._first - 1 <= after < self._next

    def read(self, after: int, only: Filter, limit: int) -> Read:
        """What came after a number: 0 is the oldest that is kept. Raises nothing: a strange number has a gap."""
        has_gap = after != 0 and not self.keeps(after)
        begin = self._first if has_gap else max(after + 1, self._first)
        found: list[StreamItem] = []
        next_after = self._next - 1
        for number in range(begin, self._next):
            item = self._items[number]
            if only.fits(item):
                found.append(_item(number, item))
                if len(found) >= limit:
                    next_after = number
                    break
        # What was given or passed over may no more change.
        self._read_until = max(self._read_until, next_after)
        return Read(tuple(found), next_after, has_gap)

    def _merge(self, place: int, before: Piece, piece: Piece) -> bool:
        if place <= self._read_until:
            return False
        text = before.text + piece.text
        if _size(text) > MERGED_BYTES:
            return False
        self._bytes += _size(text) - _size(before.text)
        before.text = text
        return True

    def _let_go(self) -> None:
        item = self._items.pop(self._first)
        self._bytes -= _size(item.text) + _ITEM_BYTES
        if item.run_id is not None and self._open.get(item.run_id) == self._first:
            del self._open[item.run_id]
        self._first += 1


def _item(number: int, piece: Piece) -> StreamItem:
    return StreamItem(
        number=number,
        at=piece.at,
        kind=piece.kind,
        session_id=piece.session_id,
        text=piece.text,
        run_id=piece.run_id,
        task_id=piece.task_id,
        what=piece.what,
        approval_id=piece.approval_id,
    )


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


# -- what an event of the core is in the stream


def _output(event: RunOutput) -> Piece:
    kind = StreamKind.THOUGHT if event.is_thought else StreamKind.TEXT
    return Piece(kind, event.session_id, event.text, event.run_id)


def _entry(event: EntryAdded) -> Piece:
    entry = event.entry
    if entry.kind is EntryKind.TOOL and entry.tool is not None:
        text = "\n".join(part for part in (entry.tool.title, entry.tool.output) if part)
        return Piece(StreamKind.TOOL, event.session.id, text, entry.run_id, what=entry.tool.status.value)
    return Piece(StreamKind.LOG, event.session.id, entry.text, entry.run_id, what=entry.kind.value)


def _message(event: MessageQueued | MessageSteered | MessageDropped) -> Piece:
    message = event.message
    what = {MessageQueued: "queued", MessageSteered: "steered", MessageDropped: "dropped"}[type(event)]
    return Piece(StreamKind.INPUT, event.session.id, message.text, message.run_id, message.task_id, what)


def _run_started(event: RunStarted) -> Piece:
    run = event.session.run
    task_id = None if run is None else run.task_id
    return Piece(StreamKind.STATE, event.session.id, "", event.session.lane_holder, task_id, "run_started")


def _run_ended(event: RunEnded) -> Piece:
    outcome = event.outcome
    return Piece(StreamKind.STATE, event.session.id, outcome.error, outcome.run_id, what=f"run_{outcome.stop.value}")


def _task(event: TaskQueued | TaskStarted | TaskWaiting | TaskEnded) -> Piece:
    task = event.task
    return Piece(StreamKind.STATE, task.session_id, task.error, task.target_run_id, task.id, _TASK_WORDS[task.state])


def _approval(
    event: ApprovalAsked | ApprovalDecided | ApprovalExpired | ApprovalWithdrawn | ApprovalOrphaned,
) -> Piece | None:
    view = event.approval
    # Told again once its answer arrived, what it let happen is over, or it was asked again: it ended only once.
    if view.delivery or view.result or view.replaced_by is not None or view.reasked is not None:
        return None
    what = view.state.value
    return Piece(StreamKind.APPROVAL, view.session_id, view.title, view.run_id, view.task_id, what, view.id)


_TASK_WORDS = {state: f"task_{state.value}" for state in TaskState}

_PIECES: dict[type[Event], Callable[[Any], Piece | None]] = {
    RunOutput: _output,
    EntryAdded: _entry,
    MessageQueued: _message,
    MessageSteered: _message,
    MessageDropped: _message,
    RunStarted: _run_started,
    RunEnded: _run_ended,
    TaskQueued: _task,
    TaskStarted: _task,
    TaskWaiting: _task,
    TaskEnded: _task,
    ApprovalAsked: _approval,
    ApprovalDecided: _approval,
    ApprovalExpired: _approval,
    ApprovalWithdrawn: _approval,
    ApprovalOrphaned: _approval,
}

SHOWN = frozenset(_PIECES)
"""Kinds of events that are shown in the stream; most are not."""


def find_piece(event: Event) -> Piece | None:
    """What an event is in the stream; None for one that is not shown there."""
    make = _PIECES.get(type(event))
    return None if make is None else make(event)
