"""Approvals over a store in memory, on a clock of the test, with an agent that notes what it is told."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from core.agents.approvals.approvals import Approvals
from core.agents.approvals.orders import ApprovalOrders
from core.agents.runner import Decision
from core.api.approvals import AnswerApproval, ApprovalState, ApprovalView, GetApproval, GrantScope
from core.api.base import Actor, ActorKind, AgentName, ApprovalId, Event, Record, RunId, SessionId, TaskId
from core.api.errors import NotFound, StoreError
from core.api.policies import ExecutionPolicy
from core.api.runs import ActionKind, ActionOption, ActionRequested, OptionKind, ToolKind
from core.ids import IdSource
from core.journal import Journal
from core.store.memory import MemoryStore
from core.supervisor import Supervisor
from tests.support.clocks import FakeClock

ANA = Actor(ActorKind.OPERATOR, "ana")
BO = Actor(ActorKind.OPERATOR, "bo")
MAIN = AgentName("main")
HERE = SessionId("s")
RUN = RunId("r-1")
PID = 4242
YES = ActionOption(id="yes", label="Yes", kind=OptionKind.ALLOW_ONCE)
NO = ActionOption(id="no", label="No", kind=OptionKind.REJECT_ONCE)
ALWAYS = ActionOption(id="always", label="Always", kind=OptionKind.ALLOW_ALWAYS)
OPTIONS = (YES, NO)


def an_action(target: str = "make deploy", **more: Any) -> ActionRequested:
    """A command that an agent wants to run."""
    whole: dict[str, Any] = {
        "action_id": "act-1",
        "title": "Run it",
        "detail": target,
        "kind": ToolKind.EXECUTE,
        "options": OPTIONS,
        "tool": "exec",
        "target": target,
    }
    return ActionRequested(**{**whole, **more})


def a_question(**more: Any) -> ActionRequested:
    """Something that an agent wants to know."""
    return an_action(**{"action_kind": ActionKind.QUESTION, "title": "Which one?", "options": (), **more})


class Desk:
    """Approvals over a store in memory. takes: whether the agent still listens. told: what it heard."""

    def __init__(self, store: MemoryStore, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock
        self.journal = Journal(store, clock)
        self.errors: list[tuple[str, Exception]] = []
        self.supervisor = Supervisor(clock, lambda *_: None, lambda name, error: self.errors.append((name, error)))
        self.approvals = Approvals(
            journal=self.journal,
            store=store,
            clock=clock,
            ids=IdSource(clock),
            supervisor=self.supervisor,
            limit_s=3600.0,
            pid=PID,
        )
        self.policies: dict[AgentName, ExecutionPolicy] = {MAIN: ExecutionPolicy()}
        self.orders = ApprovalOrders(approvals=self.approvals, note=self._note, policy_of=self._policy)
        self.notes: list[tuple[str, str]] = []
        self.told: list[tuple[Decision, ApprovalState]] = []
        self.told_of: list[str] = []
        self.stored_when_told: list[ApprovalState] = []
        self.takes: Callable[[], bool] = lambda: True
        self.live: list[Event] = []
        self.journal.on_record(lambda record: None if record.durable else self.live.append(record.event))

    async def deliver(self, decision: Decision, view: ApprovalView) -> bool:
        """What the run of the agent does with a decision."""
        self.told.append((decision, view.state))
        self.told_of.append(view.action_id)
        self.stored_when_told = [item.state for item in await self.rows()]
        return self.takes()

    async def ask(self, action: ActionRequested | None = None, **more: Any) -> ApprovalView:
        """Have the agent ask."""
        whole: dict[str, Any] = {"session_id": HERE, "agent": MAIN, "run_id": RUN, "limit_s": 600.0}
        return await self.approvals.ask(
            action or an_action(), deliver=self.deliver, correlation="m-1", **{**whole, **more}
        )

    async def ask_of_task(self, action: ActionRequested | None = None, task: str = "t-1") -> ApprovalView:
        """Have the agent ask while it works on a task."""
        return await self.ask(action, task_id=TaskId(task))

    async def answer(self, view: ApprovalView, *, allow: bool = True, actor: Actor = ANA, **more: Any) -> ApprovalView:
        """Have an operator answer."""
        return await self.approvals.answer_approval(AnswerApproval(approval_id=view.id, allow=allow, **more), actor)

    async def grant(self, view: ApprovalView, scope: GrantScope) -> ApprovalView:
        """Say yes for more than this once."""
        [pattern] = {offer.pattern for offer in view.offers if offer.scope is scope}
        return await self.answer(view, scope=scope, pattern=pattern)

    async def get(self, approval_id: ApprovalId) -> ApprovalView:
        """The approval as it is now."""
        return await self.approvals.get_approval(GetApproval(approval_id=approval_id))

    async def rows(self) -> list[ApprovalView]:
        """The approvals as they are stored."""
        return [msgspec.json.decode(row.body, type=ApprovalView) for row in await self.store.scan("approval/")]

    async def records(self) -> list[Record]:
        """All that is in the journal."""
        return await self.journal.read(limit=5000)

    async def advance(self, seconds: float) -> None:
        """Let time pass and everything that is due happen."""
        await self.clock.advance(seconds)
        for _ in range(5):
            await self.clock.advance(0.0)

    async def _note(self, session_id: SessionId, text: str, actor: Actor) -> None:
        del actor
        self.notes.append((session_id, text))

    def _policy(self, agent: AgentName) -> ExecutionPolicy:
        if agent not in self.policies:
            raise NotFound(f"no agent {agent}", noun="agent", id=agent)
        return self.policies[agent]


async def full(*_: object, **__: object) -> None:
    """A commit to a disk without room."""
    raise StoreError("disk full", cause="full")


def full_now(*_: object, **__: object) -> None:
    """The same, at once."""
    raise StoreError("disk full", cause="full")


@asynccontextmanager
async def desk(store: MemoryStore | None = None, clock: FakeClock | None = None) -> AsyncIterator[Desk]:
    """A desk that leaves no job behind."""
    made = Desk(store or MemoryStore(), clock or FakeClock())
    try:
        yield made
    finally:
        await made.approvals.close()
        assert await made.supervisor.stop(deadline_s=5.0) == []
        assert made.errors == []
