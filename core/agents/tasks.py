"""Runs: admitted, driven, watched and ended, each with exactly one TurnEnded; what the gateway calls agents."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import msgspec

from core.agents.adapters import CAPABILITIES
from core.agents.approval import MARGIN_S
from core.agents.approvals import Approvals
from core.agents.flights import Flight, let_go
from core.agents.pool import Pool
from core.agents.questions import Questions, outcome_of
from core.agents.runner import TurnRequest
from core.agents.runners import Runners, kind_of
from core.agents.watch import Due, Stage, ending, find_due, verdict
from core.api.base import AgentName, RunId, SessionId
from core.api.errors import HermesError
from core.api.profiles import ListProfiles, ProfileList, ProfileView
from core.api.runs import (
    ActionRequested,
    ActionSettled,
    Phase,
    PhaseChanged,
    RunLogged,
    RunReport,
    Stop,
    TurnEnded,
    Usage,
)
from core.api.sessions import MessageView
from core.api.transcripts import EntryView
from core.clock import Clock
from core.ids import IdSource
from core.secrets import Secret
from core.settings import OpenaiSettings, Settings
from core.supervisor import Supervisor
from core.waits import breathe

TEXT_LIMIT = 4_000_000
_SERVICE = "agents"
_TICK_S = 0.5
_BREATHE_EVERY = 64
_CLOSE_LIMIT_S = 8.0
_LEFT = TurnEnded(stop=Stop.CANCELLED, error="nobody reads the answer any more", code="abandoned")
_CORE_STOPS = TurnEnded(stop=Stop.CANCELLED, error="the core stops", code="stopping")
_TOO_MUCH = TurnEnded(stop=Stop.ERROR, error=f"more than {TEXT_LIMIT} characters of text", code="output_limit")


class Tasks:
    """Runs of all agents."""

    def __init__(
        self,
        *,
        settings: Settings,
        approvals: Approvals,
        clock: Clock,
        ids: IdSource,
        supervisor: Supervisor,
        home: Path,
        secret: Callable[[str], Secret],
        random: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._agents = settings.agents
        self._approvals = approvals
        self._questions = Questions(approvals, clock)
        self._clock = clock
        self._supervisor = supervisor
        self._runners = Runners(agents=settings.agents, clock=clock, ids=ids, home=home, secret=secret, random=random)
        self.pool = Pool({AgentName(name): agent.concurrency for name, agent in settings.agents.items()})
        self._flights: dict[RunId, Flight] = {}
        self._last_of: dict[SessionId, Flight] = {}
        self._is_watching = False
        self._is_closing = False

    def find_agent(self, name: str | None) -> AgentName | None:
        """The agent of that name, the default one for None; None when there is none such."""
        wanted = self._settings.default_agent if name is None else name
        return AgentName(wanted) if wanted in self._agents else None

    def can_steer(self, name: AgentName) -> bool:
        """Whether text can be put into a turn that goes on."""
        return name in self._agents and CAPABILITIES[kind_of(self._agents[name])].steer

    def limits_s(self, name: AgentName) -> tuple[float, float]:
        """Stall limit and total limit of its turns, in seconds; zeros for an agent that is gone."""
        agent = self._agents.get(name)
        return (agent.stall_limit_s, agent.total_limit_s) if agent is not None else (0.0, 0.0)

    @property
    def running_count(self) -> int:
        """Runs that have not ended, those that wait for a slot included."""
        return len(self._flights)

    @property
    def runner_count(self) -> int:
        """Runners that are kept, busy or idle."""
        return len(self._runners)

    async def run(
        self,
        *,
        session_id: SessionId,
        epoch: int,
        agent: AgentName,
        run_id: RunId,
        attempt: int,
        messages: Sequence[MessageView],
        history: Sequence[EntryView],
    ) -> AsyncIterator[RunReport]:
        """Answer the messages: reports from PhaseChanged(admitting) to exactly one TurnEnded.

        Reading slowly does not slow the run; not reading to the end cancels it.
        """
        refusal = self._refusal(agent, run_id)
        if refusal is not None:
            yield PhaseChanged(phase=Phase.ADMITTING)
            yield refusal
            return
        request = TurnRequest(
            session_id=session_id,
            epoch=epoch,
            agent=agent,
            run_id=run_id,
            attempt=attempt,
            messages=messages,
            history=history,
        )
        flight = self._start(request)
        try:
            async for report in flight.reports.read():
                yield report
        finally:
            self._stop(flight, _LEFT)

    async def steer(self, run_id: RunId, text: str) -> bool:
        """Put text into the run. False when it cannot take any."""
        flight = self._flights.get(run_id)
        if flight is None or flight.verdict is not None or not flight.is_turning or flight.runner is None:
            return False
        try:
            return await flight.runner.steer(text)
        except Exception:  # noqa: BLE001 - a runner that fails here has not taken the text
            return False

    async def interrupt(self, run_id: RunId, reason: str) -> bool:
        """Ask the run to stop, also when it waits for a slot or a decision. False when it is gone."""
        flight = self._flights.get(run_id)
        if flight is None:
            return False
        self._stop(flight, TurnEnded(stop=Stop.CANCELLED, error=reason, code="interrupted"))
        return True

    async def forget(self, session_id: SessionId) -> None:
        """Drop what the session's runner remembers; its next turn starts afresh."""
        await self._runners.forget(session_id)

    async def list_profiles(self, _query: ListProfiles) -> ProfileList:
        """All agents by name."""
        seq = await self._approvals.head()
        return ProfileList(profiles=tuple(self._profile(AgentName(name)) for name in sorted(self._agents)), seq=seq)

    async def close(self) -> None:
        """Stop all runs, wait a little for their ends, let go of all runners. May be called twice."""
        self._is_closing = True
        left = list(self._flights.values())
        for flight in left:
            self._stop(flight, _CORE_STOPS)
        try:
            async with asyncio.timeout(_CLOSE_LIMIT_S):
                for flight in left:
                    await flight.landed.wait()
        except TimeoutError:
            for flight in left:
                flight.cut()
        if self._is_watching:
            self._is_watching = False
            await self._supervisor.stop_service(_SERVICE)
        await self._approvals.close()
        await self._runners.close()

    def _profile(self, name: AgentName) -> ProfileView:
        settings = self._agents[name]
        capabilities = CAPABILITIES[kind_of(settings)]
        return ProfileView(
            name=name,
            runner=kind_of(settings),
            model=settings.model if isinstance(settings, OpenaiSettings) else settings.scenario,
            is_default=name == self._settings.default_agent,
            approvals=capabilities.approvals,
            steer=capabilities.steer,
            isolation=capabilities.isolation,
            busy=self.pool.busy_count(name),
            limit=self.pool.limit(name),
            waiting=self.pool.waiting_count(name),
        )

    def _refusal(self, agent: AgentName, run_id: RunId) -> TurnEnded | None:
        if self._is_closing:
            return _CORE_STOPS
        if agent not in self._agents:
            return TurnEnded(stop=Stop.ERROR, error=f"there is no agent {agent}", code="not_found")
        if run_id in self._flights:
            return TurnEnded(stop=Stop.ERROR, error=f"run {run_id} goes on already", code="conflict")
        return None

    def _start(self, request: TurnRequest) -> Flight:
        if not self._is_watching:
            self._is_watching = True
            self._supervisor.start(_SERVICE, self._watch)
        before = self._last_of.get(request.session_id)
        flight = Flight(request, before, self._clock.monotonic())
        if before is not None:
            before.successors.append(flight)
        self._flights[request.run_id] = self._last_of[request.session_id] = flight
        flight.push(PhaseChanged(phase=Phase.ADMITTING))
        self._supervisor.spawn(f"agent:{request.run_id}", self._drive(flight))
        return flight

    def _stop(self, flight: Flight, why: TurnEnded) -> None:
        """Have a run end with `why`. The first reason counts; one that has ended is left alone."""
        if flight.verdict is not None or flight.watched.stage is Stage.CLOSING or flight.landed.is_set():
            return
        flight.verdict = why
        flight.watched.stop_asked_at = self._clock.monotonic()
        if flight.is_turning:
            self._supervisor.spawn(f"cancel:{flight.request.run_id}", self._cancel(flight, why))
        else:
            flight.cut()

    async def _cancel(self, flight: Flight, why: TurnEnded) -> None:
        if flight.runner is None:
            return
        try:
            await flight.runner.cancel(why.error)
        except Exception as error:  # noqa: BLE001 - the grace period ends what cannot be cancelled
            flight.push(RunLogged(level="warning", text=f"cancelling failed: {type(error).__name__}"))

    async def _drive(self, flight: Flight) -> None:
        end = _CORE_STOPS
        try:
            end = await self._flown(flight)
            flight.watched.enter(Stage.CLOSING, self._clock.monotonic())
            await self._questions.close(flight, end)
            if flight.runner is not None:
                usable = not flight.needs_new_runner and end.stop is not Stop.DIED
                await self._runners.give_back(flight.request.session_id, is_usable=usable)
        finally:
            self._land(flight, end)

    async def _flown(self, flight: Flight) -> TurnEnded:
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
        request = flight.request
        while flight.verdict is None and not self._has_slot(flight):
            flight.wake.clear()
            await flight.wake.wait()
        if flight.verdict is not None:
            return None
        flight.watched.enter(Stage.OPENING, self._clock.monotonic())
        flight.runner = await self._runners.take(request.session_id, request.agent)
        flight.watched.enter(Stage.TURNING, self._clock.monotonic())
        flight.push(PhaseChanged(phase=Phase.MODEL))
        reports = flight.runner.turn(request)
        try:
            async for report in reports:
                if isinstance(report, TurnEnded):
                    return report
                await self._take(flight, report)
        finally:
            await let_go(reports)
        flight.needs_new_runner = True
        return None

    def _has_slot(self, flight: Flight) -> bool:
        if flight.before is not None and not flight.before.landed.is_set():
            return False
        flight.before = None
        return self.pool.join(flight.request.agent, flight.request.run_id)

    async def _take(self, flight: Flight, report: RunReport) -> None:
        flight.note(report, self._clock.monotonic())
        if isinstance(report, ActionRequested):
            flight.has_asked = True
            await self._questions.ask(flight, report, limit_s=self._left_s(flight))
        elif isinstance(report, ActionSettled):
            await self._questions.settled_by_agent(flight, report)
        else:
            flight.push(report)
        if flight.progress.text_count > TEXT_LIMIT:
            self._stop(flight, _TOO_MUCH)
        if flight.report_count % _BREATHE_EVERY == 0:
            # A runner that never waits must not hold the loop.
            await breathe()

    def _left_s(self, flight: Flight) -> float:
        """Time for an answer, which leaves the run some to end well when none comes."""
        _, total_s = self.limits_s(flight.request.agent)
        return max(0.0, flight.watched.since + total_s - MARGIN_S - self._clock.monotonic())

    def _land(self, flight: Flight, end: TurnEnded) -> None:
        """The last step, which cannot fail: all that is unfinished is closed, the slot is free, the reader is told."""
        request = flight.request
        for report in flight.progress.closing(outcome_of(end).value):
            flight.reports.push(report)
        if end.usage == Usage():
            end = msgspec.structs.replace(end, usage=flight.progress.usage)
        del self._flights[request.run_id]
        flight.landed.set()
        if self._last_of.get(request.session_id) is flight:
            del self._last_of[request.session_id]
        for run_id in self.pool.leave(request.agent, request.run_id):
            self._flights[run_id].wake.set()
        for successor in flight.successors:
            successor.wake.set()
        flight.reports.push(end)

    async def _watch(self) -> None:
        while True:
            await self._clock.sleep(_TICK_S)
            now = self._clock.monotonic()
            for flight in list(self._flights.values()):
                self._hold_to_deadlines(flight, now)
            await self._runners.reap()

    def _hold_to_deadlines(self, flight: Flight, now: float) -> None:
        stall_s, total_s = self.limits_s(flight.request.agent)
        watched = flight.look()
        due = find_due(watched, now, stall_s=stall_s, total_s=total_s)
        if due is Due.GRACE:
            flight.needs_new_runner = True
            flight.cut()
        elif due is not None:
            self._stop(flight, verdict(due, stall_s=stall_s, total_s=total_s, has_tool=watched.has_tool))
