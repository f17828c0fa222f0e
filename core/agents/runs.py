"""Runs: admitted, driven, watched and ended, each with exactly one TurnEnded; what the gateway calls agents."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import msgspec

from core.agents.adapters import CAPABILITIES
from core.agents.admission import Ended
from core.agents.approvals.approval import STOPPING
from core.agents.approvals.approvals import Approvals
from core.agents.approvals.questions import Questions, outcome_of
from core.agents.compactions import Compactions
from core.agents.driving import Driver
from core.agents.flights import Flight
from core.agents.memory.memories import Memories
from core.agents.pool import Pool
from core.agents.ports import ToolHost
from core.agents.profile import kind_of
from core.agents.profiles.profiles import Profiles
from core.agents.runner import TurnRequest
from core.agents.runners import Runners
from core.agents.tasks.found_terms import UNREADABLE, FoundTerms, task_of, under
from core.agents.terms import Terms
from core.agents.tools import assets
from core.agents.watch import Due, Stage, find_due, verdict
from core.api.base import AgentName, RunId, SessionId, TaskId
from core.api.errors import Refused
from core.api.policies import Runtime
from core.api.runs import (
    Compacted,
    CompactionState,
    Phase,
    PhaseChanged,
    RunLogged,
    RunReport,
    Stop,
    TurnEnded,
    Usage,
)
from core.api.sessions import MessageView, Mode
from core.api.transcripts import EntryView
from core.clock import Clock
from core.supervisor import Supervisor

_SERVICE = "agents"
_TICK_S = 0.5
_CLOSE_LIMIT_S = 8.0
_LEFT = TurnEnded(stop=Stop.CANCELLED, error="nobody reads the answer any more", code="abandoned")
_CORE_STOPS = TurnEnded(stop=Stop.CANCELLED, error="the core stops", code=STOPPING)

Observer = Callable[[TurnRequest, RunReport], None]
"""Told of every report of every run, on the loop; it must not wait or fail."""


class Runs:
    """Runs of all agents. terms: of a task, None for one that is not known; see core.agents.terms."""

    def __init__(
        self,
        *,
        profiles: Profiles,
        pool: Pool,
        runners: Runners,
        approvals: Approvals,
        questions: Questions,
        tools: ToolHost,
        memories: Memories,
        clock: Clock,
        supervisor: Supervisor,
        terms: Callable[[TaskId], Terms | None] = lambda _: None,
        observer: Observer | None = None,
    ) -> None:
        self._profiles = profiles
        self.pool = pool
        self._runners = runners
        self._approvals = approvals
        self._questions = questions
        self._found = FoundTerms(profiles, tools, terms)
        self._clock = clock
        self._supervisor = supervisor
        self._task_terms = terms
        self._observer = observer
        self.compactions = Compactions()
        self._driver = Driver(
            runners=runners,
            approvals=approvals,
            questions=questions,
            compactions=self.compactions,
            memories=memories,
            clock=clock,
            has_slot=self._has_slot,
            stop=self._stop,
        )
        self._flights: dict[RunId, Flight] = {}
        self._last_of: dict[SessionId, Flight] = {}
        self._is_watching = False
        self._is_closing = False

    # -- what the gateway asks -----------------------------------------------

    def find_agent(self, name: str | None) -> AgentName | None:
        """The agent of that name, the default one for None; None when there is none such."""
        wanted = self._profiles.default_agent if name is None else AgentName(name)
        return wanted if self._profiles.has(wanted) else None

    def refusal(self, name: AgentName) -> str:
        """Why the agent takes no messages; "" when it does."""
        return self._profiles.refusal(name)

    def can_steer(self, name: AgentName) -> bool:
        """Whether text can be put into a turn that goes on."""
        settings = self._profiles.find(name)
        return settings is not None and CAPABILITIES[kind_of(settings)].steer

    def default_mode(self, name: AgentName) -> Mode | None:
        """What a message does to its busy session where nobody says."""
        settings = self._profiles.find(name)
        return None if settings is None else settings.mode

    def limits_s(self, name: AgentName, task_id: TaskId | None = None) -> tuple[float, float]:
        """Stall limit and total limit of its turns, in seconds; zeros for an agent that is gone."""
        terms = self._task_terms(task_id) if task_id is not None else None
        if terms is not None:
            return terms.settings.stall_limit_s, terms.total_s
        settings = self._profiles.find(name)
        return (settings.stall_limit_s, settings.total_limit_s) if settings is not None else (0.0, 0.0)

    def workspace(self, name: AgentName, user: str) -> Path | None:
        """The folder that an agent has for a user; None when it leads where it must not. Blocks."""
        settings = self._profiles.find(name)
        return None if settings is None else self._runners.folder(name, user, settings.workspace)

    def give(self, name: AgentName, user: str, paths: Sequence[Path]) -> Sequence[str]:
        """Copy files into the folder of a user; what the agent can call each there, "" for one that is not. Blocks."""
        settings, folder = self._profiles.find(name), self.workspace(name, user)
        if settings is None or folder is None:
            return [""] * len(paths)
        # The core's own tools take paths of the workspace; a program may be anywhere by now.
        is_ours = CAPABILITIES[kind_of(settings)].runtimes[0] is Runtime.INPROC
        return [assets.given(folder, path, is_relative=is_ours) for path in paths]

    def holds(self, run_id: RunId) -> bool:
        """Whether the run goes on here, in whatever stage."""
        return run_id in self._flights

    @property
    def running_count(self) -> int:
        """Runs that have not ended, those that wait for a slot included."""
        return len(self._flights)

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
        user: str = "",
    ) -> AsyncIterator[RunReport]:
        """Answer the messages: reports from PhaseChanged(admitting) to exactly one TurnEnded.

        Reading slowly does not slow the run; not reading to the end cancels it.
        """
        terms = self._terms(agent, run_id, messages)
        if isinstance(terms, TurnEnded):
            yield PhaseChanged(phase=Phase.ADMITTING)
            yield terms
            return
        request = TurnRequest(
            session_id=session_id,
            epoch=epoch,
            agent=agent,
            run_id=run_id,
            attempt=attempt,
            messages=messages,
            history=history,
            model=next((item.model for item in reversed(messages) if item.model), ""),
            task_id=messages[0].task_id if messages else None,
        )
        flight = self._start(under(request, terms), terms, user)
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

    async def interrupt(self, run_id: RunId, reason: str, *, is_core_stopping: bool = False) -> bool:
        """Ask the run to stop, also when it waits for a slot or a decision. False when it is gone."""
        if not is_core_stopping:
            return self.stop_run(run_id, reason)
        flight = self._flights.get(run_id)
        if flight is not None:
            self._stop(flight, _CORE_STOPS)
        return flight is not None

    def stop_run(self, run_id: RunId, reason: str) -> bool:
        """Tell a run to stop, without waiting for it."""
        flight = self._flights.get(run_id)
        if flight is None:
            return False
        self._stop(flight, TurnEnded(stop=Stop.CANCELLED, error=reason, code="interrupted"))
        return True

    async def forget(self, session_id: SessionId) -> None:
        """Drop what the session's runner remembers; its next turn starts afresh."""
        self.compactions.forget(session_id)
        self._runners.forget(session_id)

    async def compact(self, session_id: SessionId, agent: AgentName, history: Sequence[EntryView]) -> Compacted:
        """Make a summary because an operator asked for it. Raises Refused when there is nothing to shorten."""
        settings = self._profiles.get(agent)
        if CAPABILITIES[kind_of(settings)].resume:
            raise Refused(f"agent {agent} keeps the conversation itself", rule="compaction", fix="ask it to compact")
        plan = self.compactions.find_plan(session_id, history, settings, is_manual=True)
        if plan is None:
            keep = settings.compaction.keep_tail
            raise Refused("nothing can be shortened", rule="compaction", fix=f"the newest {keep} entries always stay")
        runner = await self._runners.take(session_id, agent, settings)
        is_usable = False
        try:
            found = await self.compactions.carry_out(session_id, plan, settings, runner)
            is_usable = True
        finally:
            self._runners.give_back(session_id, is_usable=is_usable)
        if found.state is CompactionState.DONE:
            self._runners.tally(agent).compacted_count += 1
        return found

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

    # -- how a run goes ------------------------------------------------------

    def _terms(self, agent: AgentName, run_id: RunId, messages: Sequence[MessageView]) -> Terms | TurnEnded:
        if self._is_closing:
            return _CORE_STOPS
        if run_id in self._flights:
            return TurnEnded(stop=Stop.ERROR, error=f"run {run_id} goes on already", code="conflict")
        return self._found.find(agent, task_of(messages))

    def _start(self, request: TurnRequest, terms: Terms, user: str) -> Flight:
        if not self._is_watching:
            self._is_watching = True
            self._supervisor.start(_SERVICE, self._watch)
        before = self._last_of.get(request.session_id)
        flight = Flight(request, terms, before, self._clock.monotonic(), user=user, observer=self._observer)
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
            end = await self._driver.fly(flight)
            flight.watched.enter(Stage.CLOSING, self._clock.monotonic())
            await self._questions.close(flight, end)
            if flight.runner is not None:
                usable = not flight.needs_new_runner and end.stop is not Stop.DIED
                self._runners.give_back(flight.request.session_id, is_usable=usable)
        finally:
            self._land(flight, end)

    def _has_slot(self, flight: Flight) -> bool:
        if flight.before is not None and not flight.before.landed.is_set():
            return False
        flight.before = None
        request = flight.request
        has_slot = self.pool.join(request.agent, request.run_id, self._clock.monotonic(), lane=flight.terms.lane)
        if not has_slot:
            self._tell_wait(flight)
        elif flight.terms is UNREADABLE:
            self._know(flight)
        return has_slot

    def _know(self, flight: Flight) -> None:
        """Put a run on its terms, which could not be read when it came."""
        request = flight.request
        found = self._found.find(request.agent, task_of(request.messages))
        if isinstance(found, TurnEnded):
            flight.verdict = flight.verdict or found
        else:
            flight.terms, flight.request = found, under(request, found)

    def _tell_wait(self, flight: Flight) -> None:
        """Say why a run has not begun, whenever that is another reason than before."""
        request = flight.request
        reason = self.pool.find_reason(request.agent, request.run_id, self._clock.monotonic())
        if reason is not None and reason is not flight.wait_reason:
            flight.wait_reason = reason
            words = self._profiles.waits_for(request.agent, reason)
            flight.push(PhaseChanged(phase=Phase.ADMITTING, waits_for=words))

    def _land(self, flight: Flight, end: TurnEnded) -> None:
        """The last step, which cannot fail: all that is unfinished is closed, the slot is free, the reader is told."""
        request = flight.request
        for report in flight.progress.closing(outcome_of(end).value):
            flight.show(report)
        if end.usage == Usage():
            end = msgspec.structs.replace(end, usage=flight.progress.usage)
        del self._flights[request.run_id]
        flight.landed.set()
        if self._last_of.get(request.session_id) is flight:
            del self._last_of[request.session_id]
        self._wake(self.pool.leave(request.agent, request.run_id, blame(end), self._clock.monotonic()))
        for successor in flight.successors:
            successor.wake.set()
        flight.show(end)

    def _wake(self, run_ids: Sequence[RunId]) -> None:
        for run_id in run_ids:
            if run_id in self._flights:
                self._flights[run_id].wake.set()

    def admit(self, run_ids: Sequence[RunId]) -> None:
        """Go on with runs that the pool has given a slot, as after an operator's order."""
        self._wake(run_ids)

    async def _watch(self) -> None:
        while True:
            await self._clock.sleep(_TICK_S)
            now = self._clock.monotonic()
            for flight in list(self._flights.values()):
                if flight.watched.stage is Stage.WAITING:
                    self._tell_wait(flight)
                self._hold_to_deadlines(flight, now)
            self._wake(self.pool.tick(now))
            await self._runners.reap()
            self._profiles.publish_changed()

    def _hold_to_deadlines(self, flight: Flight, now: float) -> None:
        bounds = flight.bounds
        watched = flight.look()
        due = find_due(watched, now, bounds)
        if due is Due.GRACE:
            flight.needs_new_runner = True
            flight.cut()
        elif due is not None:
            self._stop(flight, verdict(due, bounds, has_tool=watched.has_tool))


def blame(end: TurnEnded) -> Ended:
    """Whether the end of a run counts against its agent: what an operator or the core stopped does not."""
    if end.stop.is_answer:
        return Ended.OK
    return Ended.NEUTRAL if end.stop is Stop.CANCELLED else Ended.FAILED
