"""Any agent that speaks the Agent Client Protocol: one child process for each session."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping

import msgspec

from core.agent_settings import AcpSettings
from core.agents.acp_links import GoneError, Link
from core.agents.acp_permissions import Permissions
from core.agents.acp_prompt import prompt_of
from core.agents.acp_sessions import PROTOCOL_VERSION, Session
from core.agents.acp_updates import stop_of
from core.agents.acp_wire import CANCELLED as CANCELLED_REQUEST
from core.agents.acp_wire import (
    METHOD_NOT_FOUND,
    Answered,
    Asked,
    Fields,
    Told,
    WireError,
    fields,
    text,
)
from core.agents.adapters import CAPABILITIES
from core.agents.launches import is_bound_otherwise, laid_out
from core.agents.reports import Reports, let_go
from core.agents.runner import Decision, Runner, RunnerContext, TurnRequest
from core.api.base import AgentName
from core.api.errors import HermesError, Unavailable
from core.api.runs import (
    ModeReported,
    RunLogged,
    RunReport,
    Stop,
    ToolReported,
    TurnEnded,
    UsageReported,
)
from core.waits import CutShort, Waits

_SETTLE_LIMIT_S = 5.0
_NOTE_LIMIT = 200
_PAUSE_AT, _RESUME_AT = 1024, 256


class _Turn:
    """A turn that goes on. is_asked: the prompt was sent, so that what comes belongs to it."""

    def __init__(self) -> None:
        self.reports = Reports()
        self.is_asked = False
        self.is_cancelled = False


class AcpRunner:
    """Drives an agent for one session. The agent keeps the conversation."""

    kind = "acp"
    capabilities = CAPABILITIES["acp"]

    def __init__(self, agent: AgentName, settings: AcpSettings, context: RunnerContext) -> None:
        self._agent = agent
        self._settings = settings
        self._context = context
        self._link = Link(
            on_asked=self._asked,
            on_told=self._told,
            on_nonsense=lambda why: self._log("warning", why),
            on_end=self._gone,
        )
        self._session = Session(agent, self._link)
        self._redact: Callable[[str], str] = lambda line: line
        self._cwd = ""
        self._turn: _Turn | None = None
        self._permissions = Permissions(self._link, context.clock, listens_s=settings.listens_s, report=self._report)
        self._notes: deque[RunReport] = deque(maxlen=_NOTE_LIMIT)
        self._waits = Waits()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._epoch: int | None = None
        self._is_spoilt = False
        self._extra = ""
        self._is_open = False
        self._is_closed = False

    @property
    def is_alive(self) -> bool:
        """Whether its process can be spoken to."""
        return not self._is_closed and self._link.is_alive

    async def open(self) -> None:
        """Start the agent and begin a session with it.

        Raises Unavailable when it cannot be started or needs configuration, Refused when the policy cannot be kept,
        ConfigError when a secret cannot be had.
        """
        settings = self._settings
        launch = await asyncio.to_thread(
            laid_out, settings.command, self._context, own=settings.environment, secrets=settings.secrets
        )
        self._redact, self._cwd = launch.redact, launch.cwd
        try:
            await self._link.start(launch, self._context.clock)
            await self._session.initialize()
            await self._begun()
            self._is_open = True
        except HermesError as error:
            facts = {name: self._redact(fact) if isinstance(fact, str) else fact for name, fact in error.facts.items()}
            raise type(error)(self._redact(error.message), **facts) from None
        except GoneError:
            raise Unavailable(f"agent {self._agent} ended at its start: {self._link.last_words()}") from None
        finally:
            if not self._is_open and self._link.child is not None:
                self._link.child.kill()

    async def turn(self, request: TurnRequest) -> AsyncIterator[RunReport]:
        """Answer, once the agent has ended a turn that was left before."""
        refusal = self._refusal(request)
        if refusal is not None:
            yield refusal
            return
        turn = self._turn = _Turn()
        reports = turn.reports.read()
        try:
            await self._begin(turn, request)
            async for report in reports:
                if len(turn.reports) <= _RESUME_AT:
                    self._reads(is_reading=True)
                if isinstance(report, TurnEnded):
                    self._turn = None
                yield report
        finally:
            self._left(turn)
            await let_go(reports)

    async def decide(self, action_id: str, decision: Decision) -> bool:
        """Pass a decision on. False when the agent does not wait for it, or no longer listens."""
        return self._permissions.decide(action_id, decision)

    async def steer(self, text: str) -> bool:
        """False: the protocol has no way to put text into a turn."""
        del text
        return False

    async def cancel(self, reason: str) -> None:
        """Ask the agent to stop. What it asked is answered, as it waits for that first."""
        del reason
        turn = self._turn
        if turn is not None and not turn.is_cancelled:
            turn.is_cancelled = True
            self._waits.cut()
            self._stop_agent(turn)

    async def summarize(self, text: str, *, model: str) -> str:
        """Nothing: the agent compacts its own conversation."""
        del text, model
        return ""

    async def close(self) -> None:
        """End the turn, then the agent and all its children."""
        self._is_closed = True
        turn = self._turn
        if turn is not None:
            await self.cancel("closed")
            self._finish(turn, TurnEnded(stop=Stop.CANCELLED))
        await self._link.end()

    def describe(self) -> Mapping[str, str]:
        """What runs, and what it says of itself."""
        session = self._session
        facts = {
            "command": self._redact(" ".join(self._settings.command)),
            "pid": str(self._link.child.pid) if self._link.child is not None else "",
            "agent": session.name,
            "version": session.version,
            "protocol": f"ACP {PROTOCOL_VERSION}" if self._is_open else "",
            "mode": session.updates.mode,
            "model": session.model,
            "workspace": self._cwd,
        }
        return {name: self._redact(value) for name, value in facts.items() if value}

    async def _begun(self) -> None:
        await self._session.begin(self._cwd)
        self._epoch, self._is_spoilt = None, False
        self._notes.extend(await self._session.choose_mode(self._settings.session_mode))

    def _refusal(self, request: TurnRequest) -> TurnEnded | None:
        if self._is_closed:
            return TurnEnded(stop=Stop.ERROR, error="this runner is closed", code="closed")
        if not self._is_open:
            return TurnEnded(stop=Stop.ERROR, error="this runner is not open", code="not_open")
        if self._turn is not None:
            return TurnEnded(stop=Stop.ERROR, error="this runner is busy", code="busy")
        if not self._link.is_alive:
            return self._death()
        if is_bound_otherwise(self._context.policy, request.policy, self.capabilities.runtimes):
            why = "the agent runs already, and not as the policy of this run wants it"
            return TurnEnded(stop=Stop.ERROR, error=why, code="policy_unavailable")
        return None

    async def _begin(self, turn: _Turn, request: TurnRequest) -> None:
        """Send the prompt; what goes wrong before is the end of the turn."""
        try:
            await self._waits.wait(self._prompted(turn, request))
        except CutShort:
            self._finish(turn, TurnEnded(stop=Stop.CANCELLED))
        except GoneError:
            self._finish(turn, self._death())
        except TimeoutError:
            # Whatever it still does belongs to a turn that nobody reads.
            if self._link.child is not None:
                self._link.child.fail("it did not end the turn before")
            self._finish(turn, self._death())
        except HermesError as error:
            self._finish(turn, TurnEnded(stop=Stop.ERROR, error=self._redact(error.message), code=error.code))

    async def _prompted(self, turn: _Turn, request: TurnRequest) -> None:
        async with asyncio.timeout(_SETTLE_LIMIT_S):
            await self._quiet.wait()
        if self._is_spoilt or self._epoch not in {None, request.epoch}:
            await self._begun()
        session = self._session
        for note in (*session.mode_reports(), *self._notes):
            turn.reports.push(note)
        self._notes.clear()
        for remark in await session.choose_model(request.model or self._settings.model):
            turn.reports.push(remark)
        if turn.is_cancelled:
            raise CutShort
        blocks = prompt_of(
            request,
            system_prompt=self._settings.system_prompt,
            is_first=self._epoch is None,
            extra_before=self._extra,
        )
        session.updates.begin_turn()
        turn.is_asked = True
        self._epoch, self._extra = request.epoch, request.extra_system_prompt
        self._quiet.clear()
        self._link.ask(
            "session/prompt", {"sessionId": session.id, "prompt": blocks}, lambda answered: self._ended(turn, answered)
        )

    def _ended(self, turn: _Turn, answered: Answered | None) -> None:
        """The agent has ended a turn, or itself."""
        self._quiet.set()
        if answered is None:
            self._finish(turn, self._death())
        elif answered.error is not None:
            # Agents have been seen that take every later prompt for one that comes too early, and queue it for ever.
            self._is_spoilt = True
            self._finish(turn, self._failure(turn, answered.error))
        else:
            reason = text(answered.result.get("stopReason"))
            end = TurnEnded(stop=stop_of(reason) or Stop.ERROR)
            if end.stop is Stop.ERROR:
                why = f"the agent ended its turn for a reason that is not known here: {reason!r:.80}"
                end = msgspec.structs.replace(end, error=why, code="protocol")
            usage = self._session.updates.usage(fields(answered.result.get("usage")))
            self._finish(turn, msgspec.structs.replace(end, usage=usage))

    def _failure(self, turn: _Turn, error: WireError) -> TurnEnded:
        if turn.is_cancelled or error.code == CANCELLED_REQUEST:
            return TurnEnded(stop=Stop.CANCELLED)
        why = self._redact(f"{error.message} ({error.code})")
        return TurnEnded(stop=Stop.ERROR, error=why, code="agent_error")

    def _death(self) -> TurnEnded:
        child = self._link.child
        code = "protocol" if child is not None and child.fault else "agent_died"
        return TurnEnded(stop=Stop.DIED, error=self._redact(self._link.last_words()), code=code)

    def _finish(self, turn: _Turn, end: TurnEnded) -> None:
        """The end of a turn: nothing of it stays open. Only the first counts."""
        if turn.reports.is_ended or turn is not self._turn:
            return
        if end.stop is Stop.DIED:
            self._permissions.forget()
        self._permissions.drop("withdrawn" if turn.is_cancelled else "expired")
        for report in self._session.updates.closing():
            turn.reports.push(report)
        turn.reports.push(end)

    def _left(self, turn: _Turn) -> None:
        """Nobody reads the turn any more."""
        self._reads(is_reading=True)
        if not turn.reports.is_ended and not turn.is_cancelled:
            turn.is_cancelled = True
            self._stop_agent(turn)
        if self._turn is turn:
            self._turn = None

    def _stop_agent(self, turn: _Turn) -> None:
        if turn.is_asked and not self._quiet.is_set():
            self._link.tell("session/cancel", {"sessionId": self._session.id})
            self._permissions.drop("withdrawn")

    def _gone(self) -> None:
        self._quiet.set()
        if self._turn is not None:
            self._finish(self._turn, self._death())

    def _asked(self, asked: Asked) -> None:
        """The agent wants something."""
        if asked.method != "session/request_permission":
            self._link.refuse(asked, METHOD_NOT_FOUND, f"{asked.method} is not offered")
            self._log("debug", f"the agent asked for {asked.method!r:.80}, which is not offered")
            return
        turn = self._turn
        if turn is None or not turn.is_asked or turn.is_cancelled or turn.reports.is_ended:
            self._permissions.deny(asked)
        elif asked.params.get("sessionId") != self._session.id:
            self._permissions.deny(asked)
            self._log("warning", "a request for permission in another session was denied")
        else:
            call_id = text(fields(asked.params.get("toolCall")).get("toolCallId"))
            known = self._session.updates.calls.get(call_id)
            why = self._permissions.put(asked, known, cwd=self._cwd)
            if why:
                self._log("warning", f"a request for permission was denied: {why}")

    def _told(self, told: Told) -> None:
        """The agent says something."""
        if told.method == "$/cancel_request":
            self._permissions.withdraw(told.params.get("requestId"))
        elif told.method == "session/update" and told.params.get("sessionId") == self._session.id:
            self._update(fields(told.params.get("update")))
        else:
            self._log("debug", f"left out: {told.method!r:.80}")

    def _update(self, update: Fields) -> None:
        turn = self._turn
        is_of_turn = turn is not None and turn.is_asked and not turn.reports.is_ended
        for report in self._session.updates.take(update):
            if is_of_turn:
                self._report(report)
            elif isinstance(report, ModeReported | UsageReported | RunLogged):
                self._notes.append(report)
            if isinstance(report, ToolReported) and report.call.status.is_final:
                self._permissions.expire(report.call.id)

    def _log(self, level: str, line: str) -> None:
        remark = RunLogged(level=level, text=self._redact(line))
        if self._turn is not None and not self._turn.reports.is_ended:
            self._turn.reports.push(remark)
        else:
            self._notes.append(remark)

    def _report(self, report: RunReport) -> None:
        if self._turn is not None:
            self._turn.reports.push(report)
            if len(self._turn.reports) >= _PAUSE_AT:
                self._reads(is_reading=False)

    def _reads(self, *, is_reading: bool) -> None:
        child = self._link.child
        if child is not None:
            (child.resume if is_reading else child.pause)()


def create(agent: AgentName, settings: AcpSettings, context: RunnerContext) -> Runner:
    """A runner for one session."""
    return AcpRunner(agent, settings, context)
