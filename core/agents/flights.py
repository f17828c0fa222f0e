"""A run on its way: what is known of it, who reads it, and how it is told to stop."""

import asyncio
from collections.abc import Callable

from core.agents.admission import WaitReason
from core.agents.progress import Progress
from core.agents.reports import Reports
from core.agents.runner import Runner, TurnRequest
from core.agents.terms import Terms
from core.agents.watch import Bounds, Stage, Watched
from core.api.base import ApprovalId
from core.api.runs import Phase, PhaseChanged, RunReport, TurnEnded


class Flight:
    """One run. verdict: how it is to end, once the core has told it to stop; needs_new_runner:
    its runner is not fit for another turn. before: the session's run before it, which must
    have landed first; successors: those that wait for this one. generation: of its runner, 0 before it has one.
    user: whose session it is. observer: told of every report that is shown. wait_reason: why it has no
    slot, as was told.
    """

    def __init__(
        self,
        request: TurnRequest,
        terms: Terms,
        before: "Flight | None",
        now: float,
        *,
        user: str = "",
        observer: Callable[[TurnRequest, RunReport], None] | None = None,
    ) -> None:
        self.request = request
        self.terms = terms
        self.user = user
        self.generation = 0
        self._observer = observer
        self.before = before
        self.reports = Reports()
        self.progress = Progress()
        self.watched = Watched(since=now, active_at=now)
        self.runner: Runner | None = None
        self.verdict: TurnEnded | None = None
        self.needs_new_runner = False
        self.successors: list[Flight] = []
        self.has_asked = False
        self.approvals: dict[str, ApprovalId] = {}
        self.landed = asyncio.Event()
        self.wake = asyncio.Event()
        self.scope: asyncio.Timeout | None = None
        self.report_count = 0
        self.wait_reason: WaitReason | None = None

    def push(self, report: RunReport) -> None:
        """Show a report, with the change of phase that it implies."""
        for item in self.progress.take(report):
            self.show(item)

    def show(self, report: RunReport) -> None:
        """Show a report as it is."""
        self.reports.push(report)
        if self._observer is not None:
            self._observer(self.request, report)

    def note(self, report: RunReport, now: float) -> None:
        """Take note of a sign of life of the runner."""
        self.watched.active_at = now
        self.report_count += 1
        if isinstance(report, PhaseChanged) and report.phase is Phase.RETRY_BACKOFF and report.retry is not None:
            # The silence until the next try is announced, so it is no stall.
            self.watched.active_at = max(now, report.retry.next_at.mono)

    def look(self) -> Watched:
        """What the deadlines are measured on."""
        self.watched.is_asking = bool(self.progress.actions)
        self.watched.has_tool = bool(self.progress.calls)
        return self.watched

    def cut(self) -> None:
        """End it now, wherever it is. The runner is not asked."""
        scope, self.scope = self.scope, None
        if scope is not None:
            scope.reschedule(asyncio.get_running_loop().time())

    @property
    def bounds(self) -> Bounds:
        """Its deadlines."""
        settings = self.terms.settings
        return Bounds(settings.open_limit_s, settings.stall_limit_s, self.terms.total_s)

    @property
    def is_turning(self) -> bool:
        """Whether its runner is at work on it."""
        return self.watched.stage is Stage.TURNING and self.runner is not None
