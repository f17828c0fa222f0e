"""Decisions that agents ask for: stored before they are shown, answered once, never left open when nobody listens."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from core.agents.approval import APPROVAL, ApprovalStep, choose_option, digest, wait_s
from core.agents.runner import Decision
from core.api.approvals import (
    AnswerApproval,
    ApprovalAsked,
    ApprovalDecided,
    ApprovalExpired,
    ApprovalList,
    ApprovalState,
    ApprovalView,
    ApprovalWithdrawn,
    GetApproval,
    ListApprovals,
)
from core.api.base import SYSTEM, Actor, ActorKind, AgentName, ApprovalId, Event, Mark, RunId, Seq, SessionId
from core.api.errors import AlreadyDecided, ConflictError, HermesError, InvalidInput, NotFound, StoreError
from core.api.runs import ActionRequested
from core.clock import Clock, mark, rebased
from core.ids import IdSource
from core.journal import Journal
from core.store.base import MUST_NOT_EXIST, Put, Store
from core.supervisor import Supervisor

KEPT = 500
_PREFIX = "approval/"
_SERVICE = "approvals"
_TICK_S = 0.5
_RETRY_S = 5.0
_DELIVER_LIMIT_S = 10.0
_LIST_LIMIT = 1000
_REASON_LIMIT = 2000
_STEPS = {
    ApprovalState.APPROVED: ApprovalStep.APPROVE,
    ApprovalState.DENIED: ApprovalStep.DENY,
    ApprovalState.EXPIRED: ApprovalStep.EXPIRE,
    ApprovalState.WITHDRAWN: ApprovalStep.WITHDRAW,
}
_EVENTS: dict[ApprovalState, Callable[[ApprovalView], Event]] = {
    ApprovalState.APPROVED: lambda view: ApprovalDecided(approval=view),
    ApprovalState.DENIED: lambda view: ApprovalDecided(approval=view),
    ApprovalState.EXPIRED: lambda view: ApprovalExpired(approval=view),
    ApprovalState.WITHDRAWN: lambda view: ApprovalWithdrawn(approval=view),
}

Deliver = Callable[[Decision, ApprovalState], Awaitable[bool]]
"""Passes a decision to the agent, with the state behind it. False when it no longer waits."""


_views = msgspec.json.Decoder(ApprovalView)


class _Open(msgspec.Struct):
    """An approval that waits. due: monotonic seconds of its end. is_stored: nobody sees it before."""

    deliver: Deliver
    due: float
    correlation: str
    lock: asyncio.Lock
    is_stored: bool = False


class Approvals:
    """All approvals of this core. limit_s: how long an answer is waited for at most."""

    def __init__(
        self, *, journal: Journal, store: Store, clock: Clock, ids: IdSource, supervisor: Supervisor, limit_s: float
    ) -> None:
        self._journal = journal
        self._store = store
        self._clock = clock
        self._ids = ids
        self._supervisor = supervisor
        self._limit_s = limit_s
        self._views: dict[ApprovalId, ApprovalView] = {}
        self._open: dict[ApprovalId, _Open] = {}
        self._is_watching = False

    @property
    def open_count(self) -> int:
        """Approvals that wait for an answer."""
        return sum(waiting.is_stored for waiting in self._open.values())

    async def head(self) -> Seq:
        """Place of the last entry of the journal."""
        return await self._journal.head()

    async def recover(self) -> int:
        """Take up what is stored; what was open has expired with the core that asked. Returns how many that were."""
        rows = await self._store.scan(_PREFIX)
        left: list[ApprovalView] = []
        for row in rows:
            view = _stored(row.key, row.body)
            view = msgspec.structs.replace(
                view,
                asked=rebased(view.asked, self._clock),
                decided=view.decided and rebased(view.decided, self._clock),
            )
            if view.state is ApprovalState.OPEN:
                view = self._ended(view, ApprovalState.EXPIRED, by="core", reason="the core was started again")
                left.append(view)
            self._views[view.id] = view
        if left:
            puts = [_put(view) for view in left]
            await self._journal.commit(puts, [(str(view.session_id), ApprovalExpired(approval=view)) for view in left])
        return len(left)

    async def ask(
        self,
        action: ActionRequested,
        *,
        session_id: SessionId,
        agent: AgentName,
        run_id: RunId,
        limit_s: float,
        deliver: Deliver,
        correlation: str = "",
    ) -> ApprovalView:
        """Store a request; from then on it can be answered. limit_s: what is left of its run.

        Raises StoreError; then nobody was asked.
        """
        self._watch()
        now = mark(self._clock)
        seconds = wait_s(action.deadline_s, min(limit_s, self._limit_s))
        view = ApprovalView(
            id=ApprovalId(self._ids.new_id()),
            version=1,
            state=ApprovalState.OPEN,
            session_id=session_id,
            agent=agent,
            run_id=run_id,
            action_id=action.action_id,
            title=action.title,
            detail=action.detail,
            kind=action.kind,
            options=action.options,
            digest=digest(action.title, action.detail, action.kind, action.options),
            asked=now,
            deadline=Mark(now.at + seconds, now.mono + seconds),
        )
        # Known before it is stored: a run that is cut off meanwhile still finds and ends it.
        waiting = _Open(deliver, now.mono + seconds, correlation, asyncio.Lock())
        self._views[view.id], self._open[view.id] = view, waiting
        try:
            async with waiting.lock:
                await self._journal.commit(
                    [_put(view, MUST_NOT_EXIST)],
                    [(str(session_id), ApprovalAsked(approval=view))],
                    actor=Actor(ActorKind.AGENT, agent),
                    correlation=correlation,
                )
        except HermesError:
            del self._views[view.id], self._open[view.id]
            raise
        waiting.is_stored = True
        return view

    async def answer_approval(self, command: AnswerApproval, actor: Actor) -> ApprovalView:
        """Decide. The decision is stored before the agent hears of it.

        Raises NotFound, InvalidInput, ConflictError when the digest is of something else,
        AlreadyDecided (facts: by, at, outcome) when it is no longer open.
        """
        view = self._get(command.approval_id)
        if len(command.reason) > _REASON_LIMIT:
            raise InvalidInput(
                "the reason is too long", field="reason", value=len(command.reason), fix=f"at most {_REASON_LIMIT}"
            )
        if command.digest and command.digest != view.digest:
            raise ConflictError(
                "this approval asks for something else than what was looked at",
                key=view.id,
                expected=command.digest,
                found=view.digest,
            )
        option_id = choose_option(view.options, allow=command.allow, option_id=command.option_id)
        state = ApprovalState.APPROVED if command.allow else ApprovalState.DENIED
        waiting = self._open.get(view.id)
        decided = await self._settle(view.id, state, actor=actor, option_id=option_id, reason=command.reason)
        if decided is None or waiting is None:
            raise _already(self._get(view.id))
        decision = Decision(allow=command.allow, option_id=option_id, reason=command.reason)
        return await self._deliver(decided, waiting, decision, actor)

    async def end(self, approval_id: ApprovalId, outcome: ApprovalState, reason: str) -> None:
        """Close one that the agent no longer waits for. One that is decided stays as it is."""
        await self._settle(approval_id, outcome, reason=reason)

    async def end_run(self, run_id: RunId, outcome: ApprovalState, reason: str) -> None:
        """Close all that a run has left open. What cannot be stored now is tried again soon. Raises StoreError."""
        for approval_id in [item for item in self._open if self._views[item].run_id == run_id]:
            waiting = self._open[approval_id]
            waiting.due = min(waiting.due, self._clock.monotonic())
            await self._settle(approval_id, outcome, reason=reason)

    async def get_approval(self, query: GetApproval) -> ApprovalView:
        """One approval. Raises NotFound."""
        return self._get(query.approval_id)

    async def list_approvals(self, query: ListApprovals) -> ApprovalList:
        """The open ones, the longest waiting first; then the decided ones, the latest first."""
        if not 1 <= query.limit <= _LIST_LIMIT:
            raise InvalidInput(
                "limit is out of range", field="limit", value=query.limit, fix=f"between 1 and {_LIST_LIMIT}"
            )
        seq = await self._journal.head()
        found = [self._views[item] for item, waiting in self._open.items() if waiting.is_stored]
        if not query.open_only:
            found += sorted(self._decided(), key=_decided_at, reverse=True)
        return ApprovalList(approvals=tuple(found[: query.limit]), seq=seq)

    async def close(self) -> None:
        """Stop watching deadlines. Open ones expire with the next start."""
        if self._is_watching:
            self._is_watching = False
            await self._supervisor.stop_service(_SERVICE)

    def _get(self, approval_id: ApprovalId) -> ApprovalView:
        view = self._views.get(approval_id)
        if view is None:
            raise NotFound(f"no approval {approval_id}", noun="approval", id=approval_id, fix="see `approvals list`")
        return view

    def _decided(self) -> list[ApprovalView]:
        return [view for view in self._views.values() if APPROVAL.is_final(view.state)]

    def _ended(
        self, view: ApprovalView, state: ApprovalState, *, by: str, option_id: str = "", reason: str = ""
    ) -> ApprovalView:
        return msgspec.structs.replace(
            view,
            version=view.version + 1,
            state=APPROVAL.step(view.state, _STEPS[state]),
            decided=mark(self._clock),
            decided_by=by,
            option_id=option_id,
            reason=reason,
        )

    async def _settle(
        self,
        approval_id: ApprovalId,
        state: ApprovalState,
        *,
        actor: Actor = SYSTEM,
        option_id: str = "",
        reason: str = "",
    ) -> ApprovalView | None:
        """Store the end of an open approval; None when somebody else was first."""
        waiting = self._open.get(approval_id)
        if waiting is None:
            return None
        async with waiting.lock:
            view = self._views.get(approval_id)
            if view is None or approval_id not in self._open:
                return None
            ended = self._ended(view, state, by=actor.name, option_id=option_id, reason=reason)
            old = self._overdue_rows()
            await self._journal.commit(
                [_put(ended), *(Put(_PREFIX + item, None) for item in old)],
                [(str(view.session_id), _EVENTS[state](ended))],
                actor=actor,
                correlation=waiting.correlation,
            )
            self._views[approval_id] = ended
            self._open.pop(approval_id, None)
            for item in old:
                self._views.pop(item, None)
            return ended

    def _overdue_rows(self) -> Sequence[ApprovalId]:
        """Decided ones beyond those that are kept, the oldest first."""
        decided = sorted(self._decided(), key=_decided_at)
        return [view.id for view in decided[: max(0, len(decided) + 1 - KEPT)]]

    async def _deliver(
        self, view: ApprovalView, waiting: _Open, decision: Decision, actor: Actor = SYSTEM
    ) -> ApprovalView:
        """Tell the agent, and store how that went."""
        try:
            async with asyncio.timeout(_DELIVER_LIMIT_S):
                delivery = "sent" if await waiting.deliver(decision, view.state) else "refused_late"
        except Exception:  # noqa: BLE001 - whatever a runner raises, the answer stands and did not arrive
            delivery = "failed"
        told = msgspec.structs.replace(view, version=view.version + 1, delivery=delivery)
        try:
            await self._journal.commit(
                [_put(told)],
                [(str(view.session_id), _EVENTS[view.state](told))],
                actor=actor,
                correlation=waiting.correlation,
            )
        except StoreError:
            # The decision itself is stored and carried out; failing the command would say otherwise.
            return view
        self._views[view.id] = told
        return told

    def _watch(self) -> None:
        if not self._is_watching:
            self._is_watching = True
            self._supervisor.start(_SERVICE, self._expire)

    async def _expire(self) -> None:
        while True:
            await self._clock.sleep(_TICK_S)
            now = self._clock.monotonic()
            for approval_id, waiting in list(self._open.items()):
                if waiting.due <= now:
                    waiting.due = now + _RETRY_S
                    self._supervisor.spawn(f"expire:{approval_id}", self._expire_one(approval_id, waiting))

    async def _expire_one(self, approval_id: ApprovalId, waiting: _Open) -> None:
        expired = await self._settle(approval_id, ApprovalState.EXPIRED, reason="nobody answered in time")
        if expired is not None:
            option_id = choose_option(expired.options, allow=False)
            await self._deliver(expired, waiting, Decision(allow=False, option_id=option_id, reason=expired.reason))


def _put(view: ApprovalView, expect: int | None = None) -> Put:
    return Put(_PREFIX + view.id, msgspec.json.encode(view), expect)


def _decided_at(view: ApprovalView) -> tuple[float, str]:
    return (view.decided.at if view.decided is not None else 0.0, view.id)


def _stored(key: str, body: bytes) -> ApprovalView:
    try:
        return _views.decode(body)
    except msgspec.DecodeError as error:
        raise StoreError(f"row {key} cannot be read: {error}", cause="corrupt", fix="restore a backup") from error


def _already(view: ApprovalView) -> AlreadyDecided:
    at = view.decided.at if view.decided is not None else 0.0
    return AlreadyDecided(
        f"already {view.state.value} by {view.decided_by or 'the core'}",
        by=view.decided_by or "core",
        at=at,
        outcome=view.state.value,
    )
