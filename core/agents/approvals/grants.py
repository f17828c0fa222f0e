"""Standing permissions and remembered refusals: given with a decision, counted when used, ended by hand or time."""

from collections.abc import Callable, Sequence

import msgspec

from core.agents.approvals.answer import Wish
from core.agents.policy.patterns import exact_pattern, is_exact
from core.agents.policy.policy import holds_at, is_live
from core.api.approvals import (
    ApprovalView,
    GrantGiven,
    GrantList,
    GrantRevoked,
    GrantScope,
    GrantUsed,
    GrantView,
    ListGrants,
    RevokeGrant,
)
from core.api.base import SYSTEM, Actor, AgentName, Event, GrantId, Mark, SessionId, TaskId
from core.api.errors import HermesError, InvalidInput, NotFound, Overloaded
from core.clock import Clock, mark, rebased, rebased_ahead
from core.ids import IdSource
from core.journal import Journal
from core.pages import Pages
from core.store.base import Put, Store
from core.store.rows import decoded

COUNT_LIMIT = 10_000
FLUSH_S = 10.0
"""How often uses are stored at most; a crash loses the count of the last seconds, never a grant."""

_PREFIX = "grant/"

_views = msgspec.json.Decoder(GrantView)


class Grants:
    """All grants of this core."""

    def __init__(self, *, journal: Journal, store: Store, clock: Clock, ids: IdSource) -> None:
        self._journal = journal
        self._store = store
        self._clock = clock
        self._ids = ids
        self._views: dict[GrantId, GrantView] = {}
        self._exact: dict[tuple[AgentName, str], dict[GrantId, None]] = {}
        self._wide: dict[AgentName, dict[GrantId, None]] = {}
        self._used: set[GrantId] = set()
        self._flush_at = 0.0
        self._over: dict[GrantId, GrantView] = {}

    async def load(self) -> None:
        """Take up what is stored. Raises StoreError that names a row that cannot be read."""
        for row in await self._store.scan(_PREFIX):
            view = decoded(_views, row.key, row.body)
            self._take(
                msgspec.structs.replace(
                    view,
                    given=rebased(view.given, self._clock),
                    expires=view.expires and rebased_ahead(view.expires, self._clock),
                    last_used=view.last_used and rebased(view.last_used, self._clock),
                )
            )

    def holding(
        self, *, agent: AgentName, session_id: SessionId | None, task_id: TaskId | None, tool: str, target: str
    ) -> list[GrantView]:
        """Grants that hold there and could be about this."""
        now = mark(self._clock)
        exact = self._exact.get((agent, exact_pattern(tool, target)), {})
        found = (self._views[item] for item in (*exact, *self._wide.get(agent, {})))
        return [view for view in found if is_live(view, now) and holds_at(view, agent, session_id, task_id)]

    def give(self, approval: ApprovalView, wish: Wish, actor: Actor) -> Pages:
        """What storing a wish means, for the commit of the decision that it belongs to.

        The same again only moves its end; a yes ends a remembered no about the same. Raises Overloaded.
        """
        if len(self._views) >= COUNT_LIMIT:
            raise Overloaded("there are too many grants", bound="grants", limit=COUNT_LIMIT, retry_after_s=0.0)
        now = mark(self._clock)
        expires = None if wish.expires_s is None else Mark(now.at + wish.expires_s, now.mono + wish.expires_s)
        view = GrantView(
            id=GrantId(self._ids.new_id()),
            version=1,
            agent=approval.agent,
            scope=wish.scope,
            pattern=wish.pattern,
            allow=wish.allow,
            given=now,
            given_by=actor.name,
            session_id=approval.session_id if wish.scope is GrantScope.SESSION else None,
            task_id=approval.task_id if wish.scope is GrantScope.TASK else None,
            expires=expires,
        )
        same = [other for other in self._about(view) if _place(other) == _place(view) and other.allow is view.allow]
        if same:
            view = msgspec.structs.replace(
                same[0], version=same[0].version + 1, expires=_later(same[0].expires, expires)
            )
        over = [other for other in self._about(view) if view.allow and not other.allow]
        ends = [_ended(other, now) for other in over]
        events: list[tuple[str, Event]] = [(str(item.agent), GrantRevoked(grant=item)) for item in ends]
        return Pages(
            puts=[_put(view), *(Put(_PREFIX + item.id, None) for item in ends)],
            events=[*events, (str(view.agent), GrantGiven(grant=view))],
            done=self._given(view, [item.id for item in ends]),
        )

    def use(self, grant_id: GrantId) -> None:
        """Count a use. It is told at once, and stored a little later."""
        view = self._views.get(grant_id)
        if view is None:
            return
        used = msgspec.structs.replace(
            view, version=view.version + 1, used_count=view.used_count + 1, last_used=mark(self._clock)
        )
        self._views[grant_id] = used
        self._used.add(grant_id)
        self._journal.publish(str(used.agent), GrantUsed(grant=used))

    async def tick(self, *, is_last: bool = False) -> None:
        """Store uses and end what has expired, when it is time for it. Raises StoreError; it is tried again then."""
        now = mark(self._clock)
        if not is_last and now.mono < self._flush_at:
            return
        self._flush_at = now.mono + FLUSH_S
        used, self._used = self._used, set()
        views = [self._views[item] for item in used if item in self._views]
        if views:
            try:
                await self._journal.commit([_put(view) for view in views], [])
            except HermesError:
                self._used |= used
                raise
        await self._end([view for view in self._views.values() if not is_live(view, now)], SYSTEM)
        await self.end_over(list(self._over.values()))

    def views(self) -> Sequence[GrantView]:
        """All that are kept."""
        return list(self._views.values())

    def has_task(self, task_id: TaskId) -> bool:
        """Whether something was granted for a task."""
        return any(view.task_id == task_id for view in self._views.values())

    def has_session(self, session_id: SessionId) -> bool:
        """Whether something was granted for a session."""
        return any(view.session_id == session_id for view in self._views.values())

    async def end_task(self, task_id: TaskId) -> None:
        """End all that was granted for a task. Raises StoreError."""
        await self.end_over([view for view in self._views.values() if view.task_id == task_id])

    async def end_session(self, session_id: SessionId) -> None:
        """End all that was granted for a session, once it is gone. Raises StoreError."""
        await self.end_over([view for view in self._views.values() if view.session_id == session_id])

    async def end_agent(self, agent: AgentName) -> None:
        """End all that was granted to an agent, once it is gone. Raises StoreError."""
        await self.end_over([view for view in self._views.values() if view.agent == agent])

    async def end_over(self, views: Sequence[GrantView]) -> None:
        """End what has lost its place: it lets nothing through from now on, also when that cannot be stored yet.

        Raises StoreError; it is tried again then.
        """
        self._over.update((view.id, view) for view in views)
        try:
            await self._end(views, SYSTEM)
        except HermesError:
            for view in views:
                self._drop(view.id)
            raise
        for view in views:
            self._over.pop(view.id, None)

    async def list_grants(self, query: ListGrants) -> GrantList:
        """Grants that hold, the latest used first."""
        seq = await self._journal.head()
        now = mark(self._clock)
        found = [
            view
            for view in self._views.values()
            if is_live(view, now) and (query.agent is None or view.agent == query.agent)
        ]
        return GrantList(grants=tuple(sorted(found, key=_last_use, reverse=True)), seq=seq)

    async def revoke_grant(self, command: RevokeGrant, actor: Actor) -> GrantView:
        """End one; it lets nothing through from this call on. Raises NotFound when there is none such any more."""
        view = self._views.get(command.grant_id)
        if view is None:
            raise NotFound(f"no grant {command.grant_id}", noun="grant", id=command.grant_id, fix="see `grants list`")
        [ended] = await self._end([view], actor)
        return ended

    async def _end(self, views: Sequence[GrantView], actor: Actor) -> list[GrantView]:
        if not views:
            return []
        now = mark(self._clock)
        ended = [_ended(view, now) for view in views]
        for view in views:
            self._drop(view.id)
        try:
            await self._journal.commit(
                [Put(_PREFIX + view.id, None) for view in ended],
                [(str(view.agent), GrantRevoked(grant=view)) for view in ended],
                actor=actor,
            )
        except HermesError:
            for view in views:
                self._take(view)
            raise
        return ended

    def _about(self, view: GrantView) -> list[GrantView]:
        return [self._views[item] for item in self._exact.get((view.agent, view.pattern), {})]

    def _given(self, view: GrantView, ended: Sequence[GrantId]) -> Callable[[], None]:
        def done() -> None:
            for item in ended:
                self._drop(item)
            self._take(view)

        return done

    def _take(self, view: GrantView) -> None:
        self._views[view.id] = view
        self._index(view)[view.id] = None

    def _drop(self, grant_id: GrantId) -> None:
        view = self._views.pop(grant_id, None)
        self._used.discard(grant_id)
        if view is not None:
            self._index(view).pop(grant_id, None)
            if not self._exact.get((view.agent, view.pattern), {None}):
                del self._exact[view.agent, view.pattern]

    def _index(self, view: GrantView) -> dict[GrantId, None]:
        try:
            exact = is_exact(view.pattern)
        except InvalidInput:
            exact = False
        if exact:
            return self._exact.setdefault((view.agent, view.pattern), {})
        return self._wide.setdefault(view.agent, {})


def _place(view: GrantView) -> tuple[GrantScope, SessionId | None, TaskId | None]:
    return (view.scope, view.session_id, view.task_id)


def _later(first: Mark | None, second: Mark | None) -> Mark | None:
    if first is None or second is None:
        return None
    return max(first, second, key=lambda instant: instant.mono)


def _last_use(view: GrantView) -> tuple[float, str]:
    return ((view.last_used or view.given).mono, view.id)


def _ended(view: GrantView, now: Mark) -> GrantView:
    return msgspec.structs.replace(view, version=view.version + 1, revoked=now)


def _put(view: GrantView) -> Put:
    return Put(_PREFIX + view.id, msgspec.json.encode(view))
