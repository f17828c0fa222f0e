"""Approvals as they are kept: in memory and in the store alike, one writer at a time for each, none forgotten early."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

import msgspec

from core.agents.approvals.approval import APPROVAL, Ending
from core.agents.runner import Decision
from core.api.approvals import (
    ApprovalAsked,
    ApprovalDecided,
    ApprovalExpired,
    ApprovalOrphaned,
    ApprovalState,
    ApprovalView,
    ApprovalWithdrawn,
)
from core.api.base import SYSTEM, Actor, ApprovalId, Event, RunId, SessionId
from core.api.errors import NotFound, Overloaded
from core.clock import Clock, rebased, rebased_ahead
from core.journal import Journal
from core.pages import Pages
from core.store.base import MUST_NOT_EXIST, Committed, Put, Store
from core.store.rows import decoded

KEPT_S = 86_400.0
"""A decided one stays listed for at least so long."""
KEPT = 5_000
"""Beyond that age, so many of the latest stay."""
COUNT_LIMIT = 20_000
BYTES_LIMIT = 268_435_456
SESSION_LIMIT = 100
"""What bounds an agent that asks without end: it is refused then, since no decision of the last day is forgotten."""

PREFIX = "approval/"
_FORGOTTEN_AT_ONCE = 100

Deliver = Callable[[Decision, ApprovalView], Awaitable[bool]]
"""Passes a decision to the agent, with the approval behind it. False when it no longer waits."""

_views = msgspec.json.Decoder(ApprovalView)
_EVENTS: dict[ApprovalState, Callable[[ApprovalView], Event]] = {
    ApprovalState.OPEN: lambda view: ApprovalAsked(approval=view),
    ApprovalState.APPROVED: lambda view: ApprovalDecided(approval=view),
    ApprovalState.DENIED: lambda view: ApprovalDecided(approval=view),
    ApprovalState.EXPIRED: lambda view: ApprovalExpired(approval=view),
    ApprovalState.WITHDRAWN: lambda view: ApprovalWithdrawn(approval=view),
    ApprovalState.ORPHANED: lambda view: ApprovalOrphaned(approval=view),
}


def event_of(view: ApprovalView) -> Event:
    """The event that tells of an approval that came to its state."""
    return _EVENTS[view.state](view)


class Waiting(msgspec.Struct):
    """An approval that waits. due: monotonic seconds of its end. is_stored: nobody sees it before.

    ending: how it is to end, once that is certain and not yet stored; retry_at: when that is tried again.
    """

    deliver: Deliver
    due: float
    correlation: str
    tool_call_id: str = ""
    is_stored: bool = False
    ending: Ending | None = None
    retry_at: float = 0.0


class ApprovalRows:
    """All approvals of this core, open and decided."""

    def __init__(self, journal: Journal, store: Store, clock: Clock) -> None:
        self._journal = journal
        self._store = store
        self._clock = clock
        self.views: dict[ApprovalId, ApprovalView] = {}
        self.waiting: dict[ApprovalId, Waiting] = {}
        self._ended: dict[ApprovalId, None] = {}
        self._orphans: dict[tuple[SessionId, str], ApprovalId] = {}
        self._of_run: dict[RunId, dict[ApprovalId, str]] = {}
        self._over: set[RunId] = set()
        self._of_session: dict[SessionId, int] = {}
        self._sizes: dict[ApprovalId, int] = {}
        self._size_bytes = 0
        self._busy: dict[ApprovalId, asyncio.Future[Committed]] = {}

    async def load(self) -> list[ApprovalView]:
        """Take up what is stored. Returns those that are open. Raises StoreError that names a row it cannot read."""
        found = [_rebased(decoded(_views, row.key, row.body), self._clock) for row in await self._store.scan(PREFIX)]
        for view in sorted(found, key=lambda view: (view.decided or view.asked).at):
            self._take(view, len(msgspec.json.encode(view)))
        return [view for view in found if view.state is ApprovalState.OPEN]

    def get(self, approval_id: ApprovalId) -> ApprovalView:
        """One approval. Raises NotFound."""
        view = self.views.get(approval_id)
        if view is None:
            raise NotFound(f"no approval {approval_id}", noun="approval", id=approval_id, fix="see `approvals list`")
        return view

    def shown(self) -> list[ApprovalView]:
        """The open ones by their deadlines, those without one last."""
        found = [self.views[item] for item, waiting in self.waiting.items() if waiting.is_stored]
        return sorted(found, key=lambda view: (view.deadline is None, view.deadline and view.deadline.mono, view.id))

    def decided(self, limit: int) -> list[ApprovalView]:
        """The others, the latest first."""
        return [self.views[item] for item, _ in zip(reversed(self._ended), range(limit), strict=False)]

    def open_of_run(self, run_id: RunId) -> list[ApprovalId]:
        """Those of a run that wait."""
        return [item for item in self._of_run.get(run_id, ()) if item in self.waiting]

    def has_open(self, session_id: SessionId) -> bool:
        """Whether one of the session waits."""
        return session_id in self._of_session

    def of_call(self, run_id: RunId, tool_call_id: str) -> ApprovalId | None:
        """The last one of a run that was about this tool call; None when there was none."""
        asked = self._of_run.get(run_id)
        if not asked or not tool_call_id:
            return None
        return next((item for item in reversed(asked) if asked[item] == tool_call_id), None)

    def orphan_of(self, session_id: SessionId, digest: str) -> ApprovalId | None:
        """An orphan of the session that asked the same within the last day."""
        found = self._orphans.get((session_id, digest))
        view = None if found is None else self.views.get(found)
        if view is None or view.decided is None or self._clock.monotonic() - view.decided.mono > KEPT_S:
            return None
        return view.id

    def check_room(self, session_id: SessionId) -> None:
        """Raises Overloaded when no further question can be kept."""
        bound, limit = "", 0
        if self._of_session.get(session_id, 0) >= SESSION_LIMIT:
            bound, limit = "open approvals of the session", SESSION_LIMIT
        elif len(self.views) >= COUNT_LIMIT or self._size_bytes >= BYTES_LIMIT:
            bound, limit = "approvals of a day", COUNT_LIMIT
        if bound:
            raise Overloaded(f"too many {bound}: nobody is asked", bound=bound, limit=limit, retry_after_s=60.0)

    def begin(self, view: ApprovalView, waiting: Waiting) -> None:
        """Know of one that is about to be stored: a run that is cut off meanwhile still finds and ends it."""
        self.views[view.id], self.waiting[view.id] = view, waiting
        self._of_run.setdefault(view.run_id, {})[view.id] = waiting.tool_call_id
        self._of_session[view.session_id] = self._of_session.get(view.session_id, 0) + 1

    def forget_run(self, run_id: RunId) -> None:
        """Nothing more will be reported of its tool calls."""
        self._over.add(run_id)
        if not self.open_of_run(run_id):
            self._over.discard(run_id)
            self._of_run.pop(run_id, None)

    def is_busy(self, ids: Iterable[ApprovalId]) -> bool:
        """Whether one of them is being written."""
        return any(item in self._busy for item in ids)

    async def free(self, ids: Iterable[ApprovalId]) -> None:
        """Wait until none of them is being written; then they are as they will stay until this task waits again."""
        wanted = list(ids)
        while busy := {self._busy[item] for item in wanted if item in self._busy}:
            await asyncio.wait(busy)

    async def write(
        self,
        views: Sequence[ApprovalView],
        *,
        event: Callable[[ApprovalView], Event] = event_of,
        new: ApprovalView | None = None,
        pages: Pages | None = None,
        actor: Actor = SYSTEM,
        correlation: str = "",
    ) -> None:
        """Store changed ones, each with its event, and a new one, in one commit. They must be free.

        Also when the caller is cancelled, the others see what was written, and nothing in between. Raises StoreError.
        """
        pages = pages or Pages()
        old = self._overdue()
        changed = [*views, new] if new is not None else list(views)
        bodies = {view.id: msgspec.json.encode(view) for view in changed}
        events = [(str(view.session_id), event(view)) for view in changed]
        puts = [Put(PREFIX + view.id, bodies[view.id], MUST_NOT_EXIST if view is new else None) for view in changed]
        puts += [*(Put(PREFIX + item, None) for item in old), *pages.puts]
        try:
            future = self._journal.submit(puts, [*events, *pages.events], actor=actor, correlation=correlation)
        except BaseException:
            self._undo(new)
            raise
        for view in changed:
            self._busy[view.id] = future
        sizes = {item: len(body) for item, body in bodies.items()}
        future.add_done_callback(partial(self._written, changed, sizes, old, pages, new))
        await asyncio.shield(future)

    def _written(
        self,
        changed: Sequence[ApprovalView],
        sizes: dict[ApprovalId, int],
        old: Sequence[ApprovalId],
        pages: Pages,
        new: ApprovalView | None,
        future: asyncio.Future[Committed],
    ) -> None:
        for view in changed:
            self._busy.pop(view.id, None)
        if future.cancelled() or future.exception() is not None:
            self._undo(new)
            return
        for view in changed:
            self._take(view, sizes[view.id])
        for item in old:
            self._drop(item)
        pages.done()

    def _take(self, view: ApprovalView, size_bytes: int) -> None:
        self.views[view.id] = view
        self._size_bytes += size_bytes - self._sizes.get(view.id, 0)
        self._sizes[view.id] = size_bytes
        waiting = self.waiting.get(view.id)
        if not APPROVAL.is_final(view.state):
            if waiting is not None:
                waiting.is_stored = True
            return
        if waiting is not None:
            del self.waiting[view.id]
            self._count_down(view.session_id)
            if view.run_id in self._over:
                self.forget_run(view.run_id)
        self._ended[view.id] = None
        key = (view.session_id, view.digest)
        if view.state is ApprovalState.ORPHANED and view.replaced_by is None:
            self._orphans[key] = view.id
        elif self._orphans.get(key) == view.id:
            del self._orphans[key]

    def _undo(self, new: ApprovalView | None) -> None:
        if new is not None and self.waiting.pop(new.id, None) is not None:
            del self.views[new.id]
            self._of_run.get(new.run_id, {}).pop(new.id, None)
            self._count_down(new.session_id)

    def _count_down(self, session_id: SessionId) -> None:
        left = self._of_session.get(session_id, 0) - 1
        if left > 0:
            self._of_session[session_id] = left
        else:
            self._of_session.pop(session_id, None)

    def _overdue(self) -> list[ApprovalId]:
        """Decided ones that are old enough and too many, the oldest first; a few with each commit."""
        spare = min(len(self._ended) - KEPT, _FORGOTTEN_AT_ONCE)
        now = self._clock.monotonic()
        found: list[ApprovalId] = []
        for item in self._ended:
            if len(found) >= spare or now - _end_of(self.views[item]) <= KEPT_S:
                break
            if item not in self._busy:
                found.append(item)
        return found

    def _drop(self, item: ApprovalId) -> None:
        view = self.views.pop(item, None)
        self._ended.pop(item, None)
        self._size_bytes -= self._sizes.pop(item, 0)
        if view is not None and self._orphans.get((view.session_id, view.digest)) == item:
            del self._orphans[view.session_id, view.digest]


def told(view: ApprovalView, delivery: str) -> ApprovalView:
    """The approval once it is known how its answer arrived."""
    return msgspec.structs.replace(view, version=view.version + 1, delivery=delivery)


def _end_of(view: ApprovalView) -> float:
    return (view.decided or view.asked).mono


def _rebased(view: ApprovalView, clock: Clock) -> ApprovalView:
    surfaces = tuple(
        msgspec.structs.replace(
            item, delivered=rebased(item.delivered, clock), seen=item.seen and rebased(item.seen, clock)
        )
        for item in view.surfaces
    )
    return msgspec.structs.replace(
        view,
        asked=rebased(view.asked, clock),
        decided=view.decided and rebased(view.decided, clock),
        reasked=view.reasked and rebased(view.reasked, clock),
        deadline=view.deadline and rebased_ahead(view.deadline, clock),
        surfaces=surfaces,
    )
