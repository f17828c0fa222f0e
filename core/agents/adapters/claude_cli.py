"""Claude Code over stream-json: one child process for each session, which keeps the conversation. Experimental."""

import asyncio
from collections.abc import AsyncIterator, Mapping

from core.agent_settings import ClaudeCliSettings
from core.agents import processes
from core.agents.acp_prompt import prompt_of
from core.agents.acp_updates import asks_in
from core.agents.adapters import CAPABILITIES
from core.agents.claude_permissions import Permissions
from core.agents.claude_wire import (
    DEFAULT_MODE,
    Fields,
    Reader,
    command_line,
    control,
    line_of,
    message_of,
    refusal,
    user,
)
from core.agents.launches import Launch, is_bound_otherwise, laid_out
from core.agents.loose_json import object_of, one_line, text_of
from core.agents.reports import Reports, let_go
from core.agents.runner import Decision, Runner, RunnerContext, TurnRequest
from core.api.base import AgentName
from core.api.errors import HermesError, Unavailable
from core.api.runs import ModeReported, RunLogged, RunReport, Stop, ToolReported, TurnEnded
from core.waits import CutShort, Waits

_SETTLE_LIMIT_S = 5.0
_CONTROL_LIMIT_S = 10.0
_PAUSE_AT, _RESUME_AT = 1024, 256


class _Turn:
    """A turn that goes on. is_asked: the message was sent, so that what comes belongs to it."""

    def __init__(self) -> None:
        self.reports = Reports()
        self.is_asked = False
        self.is_cancelled = False


class ClaudeCliRunner:
    """Drives Claude Code for one session."""

    kind = "claude_cli"
    capabilities = CAPABILITIES["claude_cli"]

    def __init__(self, agent: AgentName, settings: ClaudeCliSettings, context: RunnerContext) -> None:
        self._agent = agent
        self._settings = settings
        self._context = context
        self._launch: Launch | None = None
        self._child: processes.Child | None = None
        self._reader = Reader()
        self._permissions = Permissions(self._send, self._report)
        self._controls: dict[str, asyncio.Future[str]] = {}
        self._control_count = 0
        self._turn: _Turn | None = None
        self._waits = Waits()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._epoch: int | None = None
        self._extra = ""
        self._model = settings.model
        self._is_restarting = False
        self._is_closed = False

    @property
    def is_alive(self) -> bool:
        """Whether its process can be spoken to."""
        return not self._is_closed and self._child is not None and self._child.is_alive

    async def open(self) -> None:
        """Start the program.

        Raises Unavailable when it cannot be started or does not answer, Refused when the policy cannot be kept,
        ConfigError when a secret cannot be had.
        """
        settings = self._settings
        line = command_line(settings)
        self._launch = await asyncio.to_thread(
            laid_out, line, self._context, own=settings.environment, secrets=settings.secrets
        )
        await self._start(self._launch)

    async def turn(self, request: TurnRequest) -> AsyncIterator[RunReport]:
        """Answer, once the program has ended a turn that was left before."""
        refused = self._refusal(request)
        if refused is not None:
            yield refused
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
        """Pass a decision on. False when it is not waited for."""
        return self._permissions.decide(action_id, decision)

    async def steer(self, text: str) -> bool:
        """False: another line of the user would be a turn of its own."""
        del text
        return False

    async def cancel(self, reason: str) -> None:
        """Interrupt the turn; the program says when it has stopped."""
        del reason
        turn = self._turn
        if turn is not None and not turn.is_cancelled:
            turn.is_cancelled = True
            self._waits.cut()
            self._interrupt(turn)

    async def summarize(self, text: str, *, model: str) -> str:
        """Nothing: the program makes its conversation shorter by itself."""
        del text, model
        return ""

    async def close(self) -> None:
        """End the turn, then the program and all its children."""
        self._is_closed = True
        turn = self._turn
        if turn is not None:
            await self.cancel("closed")
            self._finish(turn, TurnEnded(stop=Stop.CANCELLED))
        if self._child is not None:
            await self._child.end()

    def describe(self) -> Mapping[str, str]:
        """What runs, and what it says of itself."""
        facts = {
            "command": " ".join(self._settings.command),
            "pid": str(self._child.pid) if self._child is not None else "",
            "version": self._reader.version,
            "model": self._reader.model or self._model,
            "mode": self._reader.mode,
            "workspace": self._launch.cwd if self._launch is not None else "",
        }
        return {name: self._redacted(value) for name, value in facts.items() if value}

    async def _start(self, launch: Launch) -> None:
        """A new process, which has said that it is ready. Raises Unavailable."""
        self._reader, self._epoch, self._model = Reader(), None, self._settings.model
        child = self._child = await processes.start(
            launch.argv,
            cwd=launch.folder,
            environment=launch.environment,
            clock=self._context.clock,
            on_line=self._take,
            on_end=self._gone,
            redact=launch.redact,
            hide=launch.hide,
        )
        is_ready = False
        try:
            why = await self._controlled("initialize")
            if why:
                raise Unavailable(f"agent {self._agent} did not begin: {self._redacted(why)}", field="command")
            is_ready = True
        finally:
            if not is_ready:
                child.kill()

    async def _restarted(self, launch: Launch) -> None:
        """Let go of the conversation: a new process."""
        self._is_restarting = True
        try:
            if self._child is not None:
                await self._child.end()
        finally:
            self._is_restarting = False
        await self._start(launch)

    def _refusal(self, request: TurnRequest) -> TurnEnded | None:
        if self._is_closed or self._launch is None or self._turn is not None:
            code = "closed" if self._is_closed else "not_open" if self._launch is None else "busy"
            return TurnEnded(stop=Stop.ERROR, error=f"this runner is {code.replace('_', ' ')}", code=code)
        if not self.is_alive:
            return self._death()
        if is_bound_otherwise(self._context.policy, request.policy, self.capabilities.runtimes):
            why = "the agent runs already, and not as the policy of this run wants it"
            return TurnEnded(stop=Stop.ERROR, error=why, code="policy_unavailable")
        return None

    async def _begin(self, turn: _Turn, request: TurnRequest) -> None:
        """Send the message; what goes wrong before is the end of the turn."""
        try:
            await self._waits.wait(self._prompted(turn, request))
        except CutShort:
            self._finish(turn, TurnEnded(stop=Stop.CANCELLED))
        except TimeoutError:
            # Whatever it still does belongs to a turn that nobody reads.
            if self._child is not None:
                self._child.fail("it did not end the turn before")
            self._finish(turn, self._death())
        except HermesError as error:
            self._finish(turn, TurnEnded(stop=Stop.ERROR, error=self._redacted(error.message), code=error.code))

    async def _prompted(self, turn: _Turn, request: TurnRequest) -> None:
        async with asyncio.timeout(_SETTLE_LIMIT_S):
            await self._quiet.wait()
        if self._epoch is not None and self._epoch != request.epoch and self._launch is not None:
            await self._restarted(self._launch)
        await self._choose_model(turn, request.model or self._settings.model)
        if turn.is_cancelled:
            raise CutShort
        blocks = prompt_of(request, system_prompt="", is_first=self._epoch is None, extra_before=self._extra)
        self._epoch, self._extra = request.epoch, request.extra_system_prompt
        self._reader.begin_turn()
        turn.is_asked = True
        if self._reader.mode != DEFAULT_MODE:
            turn.reports.push(ModeReported(mode=self._reader.mode, asks=asks_in(self._reader.mode)))
        if self._send(user(blocks)):
            self._quiet.clear()
        elif self._is_gone():
            self._finish(turn, self._death())

    async def _choose_model(self, turn: _Turn, model: str) -> None:
        if model == self._model:
            return
        try:
            async with asyncio.timeout(_CONTROL_LIMIT_S):
                why = await self._controlled("set_model", model=model or "default")
        except TimeoutError:
            why = "no answer"
        if why:
            turn.reports.push(RunLogged(level="warning", text=self._redacted(f"the model stays as it is: {why}")))
        else:
            self._model = model

    async def _controlled(self, subtype: str, **more: str) -> str:
        """Send an order and wait for its answer; why it was refused, "" when it was not."""
        request_id = self._order(subtype, **more)
        found = self._controls[request_id] = asyncio.get_running_loop().create_future()
        try:
            # One that is about to go tells why when it is gone.
            return self._last_words() if self._is_gone() else await found
        finally:
            del self._controls[request_id]

    def _order(self, subtype: str, **more: str) -> str:
        self._control_count += 1
        request_id = f"console-{self._control_count}"
        self._send(control(request_id, subtype, **more))
        return request_id

    def _send(self, message: Fields) -> bool:
        return self._child is not None and self._child.write(line_of(message))

    def _take(self, line: bytes) -> None:
        """The program says something."""
        message = message_of(line)
        match message.get("type"):
            case "control_request":
                self._asked(text_of(message.get("request_id")), object_of(message.get("request")))
            case "control_cancel_request":
                self._permissions.withdraw(text_of(message.get("request_id")))
            case "control_response":
                self._answered(object_of(message.get("response")))
            case _:
                self._told(message, line)

    def _asked(self, request_id: str, request: Fields) -> None:
        subtype = text_of(request.get("subtype"))
        if subtype != "can_use_tool":
            self._send(refusal(request_id, f"{subtype} is not offered"))
            self._log("debug", f"the agent asked for {one_line(subtype)}, which is not offered")
            return
        turn = self._turn
        if turn is None or not turn.is_asked or turn.is_cancelled or turn.reports.is_ended:
            self._permissions.deny(request_id, "Nobody waits for this any more.")
            return
        call_id = text_of(request.get("tool_use_id"))
        cwd = self._launch.cwd if self._launch is not None else ""
        why = self._permissions.put(request_id, request, cwd=cwd, chain=self._reader.chain_of(call_id))
        if why:
            self._log("warning", f"a request for permission was denied: {why}")

    def _answered(self, response: Fields) -> None:
        found = self._controls.get(text_of(response.get("request_id")))
        if found is not None and not found.done():
            is_error = response.get("subtype") == "error"
            found.set_result((text_of(response.get("error")) or "it refused") if is_error else "")

    def _told(self, message: Fields, line: bytes) -> None:
        turn = self._turn
        is_of_turn = turn is not None and turn.is_asked and not turn.reports.is_ended
        if not message:
            self._log("debug", f"no JSON object: {one_line(line[:600].decode(errors='replace'))}")
            return
        for report in self._reader.take(message):
            if is_of_turn:
                self._report(report)
            if isinstance(report, ToolReported) and report.call.status.is_final:
                self._permissions.expire(report.call.id)
        end, self._reader.end = self._reader.end, None
        if end is not None:
            self._quiet.set()
            if turn is not None and is_of_turn:
                is_cancelled = turn.is_cancelled and not end.stop.is_answer
                self._finish(turn, TurnEnded(stop=Stop.CANCELLED, usage=end.usage) if is_cancelled else end)

    def _gone(self) -> None:
        self._quiet.set()
        for found in self._controls.values():
            if not found.done():
                found.set_result(self._last_words())
        if self._turn is not None and not self._is_restarting:
            self._finish(self._turn, self._death())

    def _is_gone(self) -> bool:
        return self._child is None or self._child.is_gone

    def _death(self) -> TurnEnded:
        code = "protocol" if self._child is not None and self._child.fault else "agent_died"
        return TurnEnded(stop=Stop.DIED, error=self._redacted(self._last_words()), code=code)

    def _last_words(self) -> str:
        return self._child.last_words() if self._child is not None else "never started"

    def _finish(self, turn: _Turn, end: TurnEnded) -> None:
        """The end of a turn: nothing of it stays open. Only the first counts."""
        if turn.reports.is_ended or turn is not self._turn:
            return
        if end.stop is Stop.DIED:
            self._permissions.forget()
        self._permissions.drop("withdrawn" if turn.is_cancelled else "expired")
        for report in self._reader.closing():
            turn.reports.push(report)
        turn.reports.push(end)

    def _left(self, turn: _Turn) -> None:
        """Nobody reads the turn any more."""
        self._reads(is_reading=True)
        if not turn.reports.is_ended and not turn.is_cancelled:
            turn.is_cancelled = True
            self._interrupt(turn)
        if self._turn is turn:
            self._turn = None

    def _interrupt(self, turn: _Turn) -> None:
        if turn.is_asked and not self._quiet.is_set():
            self._order("interrupt")
            self._permissions.drop("withdrawn")

    def _redacted(self, text: str) -> str:
        return self._launch.redact(text) if self._launch is not None else text

    def _log(self, level: str, text: str) -> None:
        self._report(RunLogged(level=level, text=self._redacted(text)))

    def _report(self, report: RunReport) -> None:
        if self._turn is not None:
            self._turn.reports.push(report)
            if len(self._turn.reports) >= _PAUSE_AT:
                self._reads(is_reading=False)

    def _reads(self, *, is_reading: bool) -> None:
        if self._child is not None:
            (self._child.resume if is_reading else self._child.pause)()


def create(agent: AgentName, settings: ClaudeCliSettings, context: RunnerContext) -> Runner:
    """A runner for one session."""
    return ClaudeCliRunner(agent, settings, context)
