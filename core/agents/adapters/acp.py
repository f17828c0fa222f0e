"""Any agent that speaks the Agent Client Protocol: one child process for each session."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from core.agent_settings import AcpSettings
from core.agents.acp.links import Link
from core.agents.acp.permissions import Permissions
from core.agents.acp.sessions import PROTOCOL_VERSION, Session
from core.agents.acp.updates import stop_of
from core.agents.acp.wire import CANCELLED as CANCELLED_REQUEST
from core.agents.acp.wire import (
    METHOD_NOT_FOUND,
    Answered,
    Asked,
    Fields,
    Told,
    WireError,
    fields,
    request_key,
    text,
)
from core.agents.adapters import CAPABILITIES
from core.agents.child_turns import ChildRunner, Turn
from core.agents.launches import Launch, laid_out
from core.agents.processes import GoneError
from core.agents.runner import Runner, RunnerContext, TurnRequest
from core.api.base import AgentName
from core.api.errors import HermesError, Unavailable
from core.api.runs import ModeReported, RunLogged, RunReport, Stop, TurnEnded, UsageReported

_NOTE_LIMIT = 200


class AcpRunner(ChildRunner[Permissions]):
    """Drives an agent for one session. The agent keeps the conversation."""

    kind = "acp"
    capabilities = CAPABILITIES["acp"]

    def __init__(self, agent: AgentName, settings: AcpSettings, context: RunnerContext) -> None:
        self._settings = settings
        self._link = Link(
            on_asked=self._asked,
            on_told=self._told,
            on_nonsense=lambda why: self._log("warning", why),
            on_end=self._gone,
        )
        self._session = Session(agent, self._link)
        self._notes: deque[RunReport] = deque(maxlen=_NOTE_LIMIT)
        permissions = Permissions(self._link, context.clock, listens_s=settings.listens_s, report=self._report)
        super().__init__(agent, context, permissions, command=settings.command)
        self._system_prompt = settings.system_prompt

    def _laid_out(self) -> Launch:
        settings = self._settings
        return laid_out(settings.command, self._context, own=settings.environment, secrets=settings.secrets)

    async def _start(self, launch: Launch) -> None:
        is_ready = False
        try:
            self._child = await self._link.start(launch, self._context.clock)
            await self._session.initialize()
            await self._begin_anew()
            is_ready = True
        except HermesError as error:
            facts = {name: launch.redact(fact) if isinstance(fact, str) else fact for name, fact in error.facts.items()}
            raise type(error)(launch.redact(error.message), **facts) from None
        except GoneError:
            raise Unavailable(f"agent {self._agent} ended at its start: {self._last_words()}") from None
        finally:
            if not is_ready and self._child is not None:
                self._child.kill()

    async def _begin_anew(self) -> None:
        await self._session.begin(self._cwd)
        self._epoch, self._is_spoilt = None, False
        self._notes.extend(await self._session.choose_mode(self._settings.session_mode))

    async def _prepare(self, turn: Turn, request: TurnRequest) -> None:
        session = self._session
        for note in (*session.mode_reports(), *self._notes):
            turn.reports.push(note)
        self._notes.clear()
        for remark in await session.choose_model(request.model or self._settings.model):
            turn.reports.push(remark)

    def _prompt(self, turn: Turn, blocks: Sequence[Fields]) -> None:
        session = self._session
        session.updates.begin_turn()
        self._quiet.clear()
        self._link.ask(
            "session/prompt", {"sessionId": session.id, "prompt": blocks}, lambda answered: self._ended(turn, answered)
        )

    def _tell_stop(self) -> None:
        self._link.tell("session/cancel", {"sessionId": self._session.id})

    def _closing(self) -> Iterable[RunReport]:
        return self._session.updates.closing()

    def _facts(self) -> Mapping[str, str]:
        session = self._session
        return {
            "agent": session.name,
            "version": session.version,
            "protocol": f"ACP {PROTOCOL_VERSION}" if self._is_open else "",
            "mode": session.updates.mode,
            "model": session.model,
        }

    def _ended(self, turn: Turn, answered: Answered | None) -> None:
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

    def _failure(self, turn: Turn, error: WireError) -> TurnEnded:
        if turn.is_cancelled or error.code == CANCELLED_REQUEST:
            return TurnEnded(stop=Stop.CANCELLED)
        why = self._redacted(f"{error.message} ({error.code})")
        return TurnEnded(stop=Stop.ERROR, error=why, code="agent_error")

    def _asked(self, asked: Asked) -> None:
        """The agent wants something."""
        if asked.method != "session/request_permission":
            self._link.refuse(asked, METHOD_NOT_FOUND, f"{asked.method} is not offered")
            self._log("debug", f"the agent asked for {asked.method!r:.80}, which is not offered")
            return
        turn = self._asked_turn
        if turn is None or turn.is_cancelled:
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
            self._permissions.withdraw(request_key(told.params.get("requestId")))
        elif told.method == "session/update" and told.params.get("sessionId") == self._session.id:
            self._take_in(self._session.updates.take(fields(told.params.get("update"))))
        else:
            self._log("debug", f"left out: {told.method!r:.80}")

    def _log(self, level: str, text: str) -> None:
        remark = RunLogged(level=level, text=self._redacted(text))
        if self._turn is not None and not self._turn.reports.is_ended:
            self._turn.reports.push(remark)
        else:
            self._keep(remark)

    def _keep(self, report: RunReport) -> None:
        """What holds for longer than a turn is told with the next one."""
        if isinstance(report, ModeReported | UsageReported | RunLogged):
            self._notes.append(report)


def create(agent: AgentName, settings: AcpSettings, context: RunnerContext) -> Runner:
    """A runner for one session."""
    return AcpRunner(agent, settings, context)
