"""The agent runtime put together: policy and approvals, profiles, pool and runners, runs, tasks."""

from collections.abc import Callable, Sequence
from pathlib import Path

from core.agents.approvals.approvals import Approvals
from core.agents.approvals.grant_sweep import sweep
from core.agents.approvals.orders import ApprovalOrders
from core.agents.approvals.questions import Questions
from core.agents.memory.endings import Endings
from core.agents.memory.memories import Memories
from core.agents.memory.summaries import Summaries
from core.agents.pool import Pool
from core.agents.ports import Conversations, Courier
from core.agents.profile import policy_of
from core.agents.profiles.profiles import Profiles
from core.agents.runner import TurnRequest
from core.agents.runners import Runners
from core.agents.runs import Runs
from core.agents.tasks.tasking import Tasking
from core.agents.tasks.terms import Staff
from core.agents.terms import Terms
from core.agents.tools.assets import Attachments
from core.agents.tools.sandbox import Sandbox
from core.api import policies
from core.api.base import AgentName, RunId, SessionId, TaskId
from core.api.errors import NotFound
from core.api.policies import ExecutionPolicy, ListRuntimes, RuntimeList
from core.api.profiles import PoolState
from core.api.runs import PhaseChanged, RunReport
from core.clock import Clock
from core.handlers import CommandHandlers, QueryHandlers
from core.ids import IdSource
from core.journal import Journal
from core.secrets import Secret
from core.settings import Settings
from core.store.base import Store
from core.supervisor import Supervisor
from core.task_post import MailedTasks


class AgentSide:
    """Agents of a core. on_runner: a session's runner came, went, or is another one. on_fault(what, error): of ours."""

    def __init__(
        self,
        *,
        home: Path,
        settings: Settings,
        store: Store,
        journal: Journal,
        clock: Clock,
        ids: IdSource,
        supervisor: Supervisor,
        boot: int,
        random: Callable[[], float],
        secret: Callable[[str], Secret],
        learn: Callable[[frozenset[str]], None],
        on_runner: Callable[[SessionId], None],
        on_fault: Callable[[str, Exception], None],
    ) -> None:
        self._home = home
        self._store = store
        self._journal = journal
        self._clock = clock
        self._ids = ids
        self._supervisor = supervisor
        self._boot = boot
        self._text_limit = settings.sessions.text_limit
        self.tools = Sandbox()
        self.pool = Pool()
        self.approvals = Approvals(
            journal=journal,
            store=store,
            clock=clock,
            ids=ids,
            supervisor=supervisor,
            limit_s=settings.core.approval_limit_s,
        )
        self.runners = Runners(
            clock=clock,
            ids=ids,
            supervisor=supervisor,
            home=home,
            secret=secret,
            random=random,
            tools=self.tools,
            stop_run=self._stop_run,
            has_open_action=self.approvals.has_open,
            on_change=on_runner,
        )
        self.profiles = Profiles(
            settings=settings,
            home=home,
            journal=journal,
            store=store,
            clock=clock,
            supervisor=supervisor,
            pool=self.pool,
            runners=self.runners,
            wake=self._wake,
            stop_run=self._stop_run,
            learn=learn,
        )
        self._memories = Memories(home, on_fault)
        self.runs = Runs(
            profiles=self.profiles,
            pool=self.pool,
            runners=self.runners,
            approvals=self.approvals,
            questions=Questions(self.approvals, clock),
            tools=self.tools,
            memories=self._memories,
            clock=clock,
            supervisor=supervisor,
            terms=self._terms,
            observer=self._observe,
        )

    def join(
        self,
        conversations: Conversations,
        post: MailedTasks,
        courier: Courier,
        on_fault: Callable[[str, Exception], None],
    ) -> None:
        """Give it the sessions in which tasks are done, and the way to chats. Comes before open()."""
        self.runners.courier = courier
        self.endings = Endings(
            journal=self._journal,
            store=self._store,
            clock=self._clock,
            conversations=conversations,
            profiles=self.profiles,
            memories=self._memories,
            summaries=Summaries(self.profiles, self.runners),
            on_fault=on_fault,
        )
        self.tasking = Tasking(
            store=self._store,
            journal=self._journal,
            clock=self._clock,
            ids=self._ids,
            supervisor=self._supervisor,
            boot=self._boot,
            attachments=Attachments(self._home, self._clock),
            conversations=conversations,
            post=post,
            staff=Staff(
                find=self.runs.find_agent,
                refusal=self.runs.refusal,
                settings=self.profiles.find,
                policy_refusal=self.tools.refusal,
                may_start=self._may_start,
            ),
            on_fault=on_fault,
            text_limit=self._text_limit,
        )
        self._orders = ApprovalOrders(approvals=self.approvals, note=conversations.note, policy_of=self._policy_of)

    @property
    def commands(self) -> CommandHandlers:
        """Who carries out which command."""
        return {**self._orders.commands, **self.profiles.commands, **self.tasking.commands}

    @property
    def queries(self) -> QueryHandlers:
        """Who answers which question."""
        own: QueryHandlers = {policies.ListRuntimes: self._list_runtimes}
        return {**self._orders.queries, **self.profiles.queries, **self.tasking.queries, **own}

    async def open(self) -> None:
        """Read what is stored, and look what this machine has. Comes before sessions take up what was left."""
        await self.tools.open()
        await self.profiles.open()
        await self.approvals.recover()
        await self.tasking.open()

    async def recover(self) -> None:
        """Take up what an earlier start left, once sessions have settled what was theirs. Raises StoreError."""
        await self.tasking.recover()
        await sweep(self.approvals.grants, self._journal, self.tasking.register.is_over)

    async def close(self) -> None:
        """Stop all runs, let go of all runners."""
        await self.runs.close()
        await self._memories.close()

    async def _list_runtimes(self, _query: ListRuntimes) -> RuntimeList:
        return RuntimeList(runtimes=tuple(self.tools.runtimes()))

    def _policy_of(self, agent: AgentName) -> ExecutionPolicy:
        settings = self.profiles.find(agent)
        if settings is None:
            raise NotFound(f"no agent {agent}", noun="agent", id=agent, fix="see `agents list`")
        return policy_of(settings)

    def _terms(self, task_id: TaskId) -> Terms | None:
        return self.tasking.terms.terms(task_id)

    def _observe(self, request: TurnRequest, report: RunReport) -> None:
        """A task whose run asks somebody waits, and goes on with it."""
        if isinstance(report, PhaseChanged):
            self.tasking.ledger.note_phase(request.run_id, report.phase)

    def _may_start(self, agent: AgentName) -> bool:
        """Whether tasks of an agent may go to their sessions; those of a degraded one wait there for their turn."""
        try:
            state = self.pool.load(agent).state
        except NotFound:
            # It is handed over and refused there, with a reason that stays.
            return True
        return state not in {PoolState.PAUSED, PoolState.DISABLED}

    def _stop_run(self, run_id: RunId, reason: str) -> bool:
        return self.runs.stop_run(run_id, reason)

    def _wake(self, run_ids: Sequence[RunId]) -> None:
        # The agents of the configuration are put into the pool before there are runs.
        if run_ids:
            self.runs.admit(run_ids)
