"""Decisions that agents ask for: stored before they are shown, answered once, never left open when nobody listens."""

import asyncio
import os

import msgspec

from core.agents.approvals.answer import check_answer, check_reason, denial
from core.agents.approvals.approval import (
    APPROVAL,
    RESTART,
    SUPERSEDED,
    Ending,
    closed,
    digest,
    too_late,
    wait_s,
)
from core.agents.approvals.ends import ApprovalEnds, no_decision
from core.agents.approvals.grants import Grants
from core.agents.approvals.notes import ApprovalNotes
from core.agents.approvals.rows import ApprovalRows, Deliver, Waiting, told
from core.agents.approvals.rulings import Rulings
from core.agents.policy.patterns import offers_for
from core.agents.policy.risk import warnings_for
from core.api.approvals import (
    AnswerApproval,
    ApprovalList,
    ApprovalState,
    ApprovalView,
    BulkDenial,
    DenyApprovals,
    GetApproval,
    ListApprovals,
)
from core.api.base import Actor, ActorKind, AgentName, ApprovalId, Event, Mark, Record, RunId, SessionId, TaskId
from core.api.errors import InvalidInput, StoreError
from core.api.profiles import ProfileDeleted
from core.api.runs import ActionRequested
from core.api.session_orders import SessionArchived
from core.api.sessions import SessionReset
from core.api.tasks import TaskEnded, TaskState
from core.clock import Clock, mark
from core.ids import IdSource
from core.journal import Journal
from core.store.base import Store
from core.supervisor import Supervisor

_LIST_LIMIT = 1_000
_BULK_LIMIT = 500
_ORPHANS_AT_ONCE = 200
_ENDS: frozenset[type[Event]] = frozenset({TaskEnded, SessionReset, SessionArchived, ProfileDeleted})


class Approvals:
    """All approvals of this core. limit_s: how long an answer is waited for where the profile does not say.

    pid: of this core, for the warnings. grants, rulings: what is decided without asking. notes: what is noted on one.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        store: Store,
        clock: Clock,
        ids: IdSource,
        supervisor: Supervisor,
        limit_s: float,
        pid: int | None = None,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._ids = ids
        self._supervisor = supervisor
        self._limit_s = limit_s
        self._pid = os.getpid() if pid is None else pid
        self._rows = ApprovalRows(journal, store, clock)
        self.grants = Grants(journal=journal, store=store, clock=clock, ids=ids)
        self.rulings = Rulings(journal=journal, clock=clock, grants=self.grants)
        self._ends = ApprovalEnds(rows=self._rows, grants=self.grants, clock=clock, supervisor=supervisor)
        self.notes = ApprovalNotes(self._rows, clock)
        self.note_result = self.notes.note_result
        journal.on_record(self._end_grants, *_ENDS)

    @property
    def open_count(self) -> int:
        """Approvals that wait for an answer."""
        return sum(waiting.is_stored for waiting in self._rows.waiting.values())

    def is_open(self, approval_id: ApprovalId) -> bool:
        """Whether it waits for an answer."""
        return approval_id in self._rows.waiting

    def has_open(self, session_id: SessionId) -> bool:
        """Whether anything that a session asked for waits for an answer."""
        return self._rows.has_open(session_id)

    def state_of(self, approval_id: ApprovalId) -> ApprovalState:
        """Where it stands. Raises NotFound."""
        return self._rows.get(approval_id).state

    def unasked_count(self, agent: AgentName) -> int:
        """Actions that the agent was let do without a question since the start of the core."""
        return self.rulings.unasked_count(agent)

    async def recover(self) -> int:
        """Take up what is stored; what was open is orphaned, since who asked is gone. Returns how many that were.

        A decision of which nobody knows whether it arrived says so. Nothing is decided or sent again.
        """
        await self.grants.load()
        left = await self._rows.load()
        now = mark(self._clock)
        for start in range(0, len(left), _ORPHANS_AT_ONCE):
            orphans = [closed(view, RESTART, now) for view in left[start : start + _ORPHANS_AT_ONCE]]
            await self._rows.write(orphans)
        decided = {ApprovalState.APPROVED, ApprovalState.DENIED}
        unsure = [view for view in self._rows.views.values() if view.state in decided and not view.delivery]
        if unsure:
            await self._rows.write([told(view, "unknown") for view in unsure])
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
        task_id: TaskId | None = None,
        generation: int = 0,
        requester: str = "",
        why_asked: str = "",
        workspace: str = "",
        action_limit_s: float | None = None,
    ) -> ApprovalView:
        """Store a request; from then on it can be answered.

        limit_s: what is left of its run; action_limit_s: of the profile, None for the core's own. An earlier one about
        the same call of the run is superseded, an orphan that asked the same is linked, all in one commit.
        Raises Overloaded, StoreError; then nobody was asked.
        """
        self._ends.watch()
        self._rows.check_room(session_id)
        made = digest(action)
        earlier = await self._earlier(action, session_id=session_id, run_id=run_id, made=made)
        limits = (limit_s, self._limit_s if action_limit_s is None else action_limit_s)
        seconds = wait_s(action.deadline_s, *limits)
        now = mark(self._clock)
        orphan = next((view for view in earlier if view.state is ApprovalState.ORPHANED), None)
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
            digest=made,
            asked=now,
            deadline=Mark(now.at + seconds, now.mono + seconds),
            action_kind=action.action_kind,
            tool=action.tool,
            target=action.target,
            cwd=action.cwd,
            diff=action.diff,
            chain=action.chain,
            task_id=task_id,
            generation=generation,
            requester=requester,
            why_asked=why_asked,
            offers=offers_for(action, has_task=task_id is not None),
            warnings=warnings_for(action, pid=self._pid, workspace=workspace),
            replaces=None if orphan is None else orphan.id,
        )
        changed = [_replaced(item, view.id) if item is orphan else closed(item, SUPERSEDED, now) for item in earlier]
        old = [(item, self._rows.waiting[item.id]) for item in changed if item.id in self._rows.waiting]
        waiting = Waiting(deliver, now.mono + seconds, correlation, action.tool_call_id)
        self._rows.begin(view, waiting)
        await self._rows.write(changed, new=view, actor=Actor(ActorKind.AGENT, agent), correlation=correlation)
        for item, waited in old:
            if item.action_id != view.action_id:
                # The runner may wait for the answer to both.
                self._supervisor.spawn(f"superseded:{item.id}", self._ends.deliver(item, waited, no_decision(item)))
        return view

    async def answer_approval(self, command: AnswerApproval, actor: Actor) -> ApprovalView:
        """Decide. The decision is stored before the agent hears of it; a grant is stored with it.

        Raises NotFound, InvalidInput, ConflictError when the digest is of something else, Refused,
        AlreadyDecided (facts: by, at, outcome, fix) when it is no longer open.
        """
        view = self._rows.get(command.approval_id)
        await self._check_open(view.id)
        answer = check_answer(view, command, actor)
        # A caller that goes away must not leave a decision stored and never sent.
        job = self._supervisor.spawn(f"answer:{view.id}", self._ends.answer({view.id: answer}, actor))
        outcomes: list[ApprovalView | None] = await asyncio.shield(job)
        decided = outcomes[0]
        if decided is None:
            raise too_late(self._rows.get(view.id), mark(self._clock))
        return decided

    async def deny_approvals(self, command: DenyApprovals, actor: Actor) -> BulkDenial:
        """Say no to several in one commit. Raises InvalidInput, NotFound, Refused: then none is denied."""
        ids = tuple(dict.fromkeys(command.approval_ids))
        if not 1 <= len(ids) <= _BULK_LIMIT:
            raise InvalidInput(
                "no such number of approvals", field="approval_ids", value=len(ids), fix=f"1 to {_BULK_LIMIT}"
            )
        check_reason(command.reason)
        answers = {item: denial(self._rows.get(item), command.reason, actor) for item in ids}
        job = self._supervisor.spawn(f"deny:{ids[0]}", self._ends.answer(answers, actor))
        outcomes: list[ApprovalView | None] = await asyncio.shield(job)
        denied = tuple(item for item, view in zip(ids, outcomes, strict=True) if view is not None)
        return BulkDenial(denied=denied, too_late=tuple(item for item in ids if item not in set(denied)))

    async def end(self, approval_id: ApprovalId, ending: Ending) -> None:
        """Close one that the agent no longer waits for. One that is decided stays as it is. Raises StoreError."""
        await self._ends.end([approval_id], ending)

    async def end_run(self, run_id: RunId, ending: Ending) -> None:
        """Close all that a run has left open. What cannot be stored now is tried again soon. Raises StoreError."""
        try:
            await self._ends.end(self._rows.open_of_run(run_id), ending)
        finally:
            self._rows.forget_run(run_id)

    async def get_approval(self, query: GetApproval) -> ApprovalView:
        """One approval. Raises NotFound."""
        return self._rows.get(query.approval_id)

    async def list_approvals(self, query: ListApprovals) -> ApprovalList:
        """The open ones by their deadlines; then the others, the latest first. Raises InvalidInput."""
        if not 1 <= query.limit <= _LIST_LIMIT:
            raise InvalidInput(
                "limit is out of range", field="limit", value=query.limit, fix=f"between 1 and {_LIST_LIMIT}"
            )
        seq = await self._journal.head()
        found = self._rows.shown()[: query.limit]
        if not query.open_only:
            found += self._rows.decided(query.limit - len(found))
        return ApprovalList(approvals=tuple(found), seq=seq)

    async def close(self) -> None:
        """Stop watching deadlines, and store how often grants were used. What is open is orphaned at the next start."""
        await self._ends.close()
        try:
            await self.grants.tick(is_last=True)
        except StoreError:
            # Only counts are lost; a stop must not fail over them.
            return

    def _end_grants(self, record: Record) -> None:
        """What was granted for a task ends with it; for a session, once that begins anew or is put away."""
        event = record.event
        if type(event) not in _ENDS:
            return
        if isinstance(event, TaskEnded):
            task_id, state = event.task.id, event.task.state
            # One that is idle goes on when somebody writes to it.
            if state.is_over and state is not TaskState.IDLE and self.grants.has_task(task_id):
                self._supervisor.spawn(f"grants:{task_id}", self.grants.end_task(task_id))
        elif isinstance(event, SessionReset | SessionArchived):
            session_id = event.session.id
            if self.grants.has_session(session_id):
                self._supervisor.spawn(f"grants:{session_id}", self.grants.end_session(session_id))
        elif isinstance(event, ProfileDeleted):
            # One of that name that comes later is another one.
            self._supervisor.spawn(f"grants:{event.name}", self.grants.end_agent(event.name))

    async def _earlier(
        self, action: ActionRequested, *, session_id: SessionId, run_id: RunId, made: str
    ) -> list[ApprovalView]:
        """What a new request changes: open ones of the same call, and the orphan that asked the same; all free."""
        while True:
            same = [item for item in self._rows.open_of_run(run_id) if self._is_same_call(item, action)]
            orphan = self._rows.orphan_of(session_id, made)
            ids = [*same, *([orphan] if orphan is not None else [])]
            if not self._rows.is_busy(ids):
                return [self._rows.views[item] for item in ids]
            # What is being written may be another thing afterwards.
            await self._rows.free(ids)

    def _is_same_call(self, approval_id: ApprovalId, action: ActionRequested) -> bool:
        if self._rows.views[approval_id].action_id == action.action_id:
            return True
        return bool(action.tool_call_id) and self._rows.waiting[approval_id].tool_call_id == action.tool_call_id

    async def _check_open(self, approval_id: ApprovalId) -> None:
        await self._rows.free([approval_id])
        view = self._rows.get(approval_id)
        if APPROVAL.is_final(view.state):
            raise too_late(view, mark(self._clock))


def _replaced(view: ApprovalView, by: ApprovalId) -> ApprovalView:
    return msgspec.structs.replace(view, version=view.version + 1, replaced_by=by)
