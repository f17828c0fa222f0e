"""How a run goes once it may: its runner is opened, its history shortened, its turn read to the end."""

import asyncio
from collections.abc import Callable

import msgspec

from core.agents.approvals.approval import MARGIN_S
from core.agents.approvals.approvals import Approvals
from core.agents.approvals.questions import Questions
from core.agents.compactions import Compactions
from core.agents.flights import Flight
from core.agents.memory.memories import Memories
from core.agents.reports import let_go
from core.agents.runner import Runner
from core.agents.runners import Runners
from core.agents.watch import Stage, ending
from core.api.errors import HermesError
from core.api.runs import (
    ActionRequested,
    ActionSettled,
    CompactionState,
    ModeReported,
    Phase,
    PhaseChanged,
    RunReport,
    Stop,
    ToolReported,
    TurnEnded,
)
from core.clock import Clock
from core.waits import breathe

TEXT_LIMIT = 4_000_000
_BREATHE_EVERY = 64
_TOO_MUCH = TurnEnded(stop=Stop.ERROR, error=f"more than {TEXT_LIMIT} characters of text", code="output_limit")


class Driver:
    """has_slot: whether a run may go on, or takes its place in the queue. stop: has a run end so."""

    def __init__(
        self,
        *,
        runners: Runners,
        approvals: Approvals,
        questions: Questions,
        compactions: Compactions,
        memories: Memories,
        clock: Clock,
        has_slot: Callable[[Flight], bool],
        stop: Callable[[Flight, TurnEnded], None],
    ) -> None:
        self._runners = runners
        self._approvals = approvals
        self._questions = questions
        self._compactions = compactions
        self._memories = memories
        self._clock = clock
        self._has_slot = has_slot
        self._stop = stop

    async def fly(self, flight: Flight) -> TurnEnded:
        """The whole run; how it ends. Raises only CancelledError."""
        reported: TurnEnded | None = None
        scope = flight.scope = asyncio.timeout(None)
        try:
            async with scope:
                reported = await self._turn(flight)
        except HermesError as error:
            reported = TurnEnded(stop=Stop.ERROR, error=error.message, code=error.code)
            flight.needs_new_runner = True
        except Exception as error:  # noqa: BLE001 - whatever an adapter raises ends its run and nothing else
            flight.needs_new_runner = True
            if not (isinstance(error, TimeoutError) and scope.expired()):
                # Only the kind: the text of a library's error may quote a secret.
                what = f"the runner failed with {type(error).__name__}"
                reported = TurnEnded(stop=Stop.ERROR, error=what, code="runner_fault")
        finally:
            flight.scope = None
        return ending(reported, flight.verdict)

    async def _turn(self, flight: Flight) -> TurnEnded | None:
        while flight.verdict is None and not self._has_slot(flight):
            flight.wake.clear()
            await flight.wake.wait()
        if flight.verdict is not None:
            return None
        if flight.wait_reason is not None:
            flight.wait_reason = None
            flight.push(PhaseChanged(phase=Phase.ADMITTING))
        runner = await self._opened(flight)
        await self._compact(flight, runner)
        flight.watched.enter(Stage.TURNING, self._clock.monotonic())
        flight.push(PhaseChanged(phase=Phase.MODEL))
        reports = runner.turn(flight.request)
        try:
            async for report in reports:
                if isinstance(report, TurnEnded):
                    return report
                await self._take(flight, report)
        finally:
            await let_go(reports)
        flight.needs_new_runner = True
        return None

    async def _opened(self, flight: Flight) -> Runner:
        request = flight.request
        flight.watched.enter(Stage.OPENING, self._clock.monotonic())
        flight.request = await self._memories.ready(request, flight.terms.settings.memory, flight.user)
        flight.runner = runner = await self._runners.take(
            request.session_id,
            request.agent,
            flight.terms.settings,
            model=request.model,
            user=flight.user,
            run_id=request.run_id,
        )
        flight.generation = self._runners.generation(request.session_id)
        return runner

    async def _compact(self, flight: Flight, runner: Runner) -> None:
        """Shorten the history first when it is too long; an agent that keeps it itself does so itself."""
        request, settings = flight.request, flight.terms.settings
        if runner.capabilities.resume:
            return
        plan = self._compactions.find_plan(request.session_id, request.history, settings, is_manual=False)
        if plan is None:
            return
        flight.watched.enter(Stage.COMPACTING, self._clock.monotonic())
        flight.push(PhaseChanged(phase=Phase.COMPACTION))
        # Cut off in the middle of a summary, nobody knows what the runner still does.
        flight.needs_new_runner = True
        found = await self._compactions.carry_out(request.session_id, plan, settings, runner)
        flight.needs_new_runner = False
        if found.state is CompactionState.DONE:
            self._runners.tally(request.agent).compacted_count += 1
        flight.push(found)
        history = self._compactions.shortened(plan, found)
        flight.request = msgspec.structs.replace(request, history=history)

    async def _take(self, flight: Flight, report: RunReport) -> None:
        flight.note(report, self._clock.monotonic())
        if isinstance(report, ActionRequested):
            flight.has_asked = True
            await self._questions.ask(flight, report, limit_s=self._left_s(flight))
            agent = flight.request.agent
            self._runners.tally(agent).unasked_count = self._approvals.unasked_count(agent)
        elif isinstance(report, ActionSettled):
            await self._questions.settled_by_agent(flight, report)
        else:
            flight.push(report)
        if flight.has_asked and isinstance(report, ToolReported) and report.call.status.is_final:
            await self._approvals.note_result(flight.request.run_id, report.call.id, report.call.status.value)
        if isinstance(report, ModeReported):
            self._runners.note_mode(flight.request.session_id, report.mode, asks=report.asks)
        if flight.progress.text_count > TEXT_LIMIT:
            self._stop(flight, _TOO_MUCH)
        if flight.report_count % _BREATHE_EVERY == 0:
            # A runner that never waits must not hold the loop.
            await breathe()

    def _left_s(self, flight: Flight) -> float:
        """Time for an answer, which leaves the run some to end well when none comes."""
        settings = flight.terms.settings
        left_s = flight.watched.since + flight.terms.total_s - MARGIN_S - self._clock.monotonic()
        return max(0.0, left_s if settings.action_limit_s is None else min(left_s, settings.action_limit_s))
