"""Claude Code over stream-json: one child process for each session, which keeps the conversation. Experimental."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from core.agent_settings import ClaudeCliSettings
from core.agents.acp.updates import mode_reported
from core.agents.adapters import CAPABILITIES
from core.agents.child_turns import ChildRunner, Turn
from core.agents.claude.permissions import Permissions
from core.agents.claude.wire import (
    DEFAULT_MODE,
    Fields,
    Reader,
    command_line,
    control,
    line_of,
    refusal,
    user,
)
from core.agents.launches import Launch, laid_out, started
from core.agents.loose_json import object_in, object_of, one_line, text_of
from core.agents.processes import GoneError
from core.agents.runner import Runner, RunnerContext, TurnRequest
from core.api.base import AgentName
from core.api.errors import Unavailable
from core.api.runs import RunLogged, RunReport, Stop, TurnEnded

_CONTROL_LIMIT_S = 10.0


class ClaudeCliRunner(ChildRunner[Permissions]):
    """Drives Claude Code for one session."""

    kind = "claude_cli"
    capabilities = CAPABILITIES["claude_cli"]

    def __init__(self, agent: AgentName, settings: ClaudeCliSettings, context: RunnerContext) -> None:
        super().__init__(agent, context, Permissions(self._send, self._report), command=settings.command)
        self._settings = settings
        self._reader = Reader()
        self._controls: dict[str, asyncio.Future[str]] = {}
        self._control_count = 0
        self._model = settings.model
        self._is_restarting = False

    def _laid_out(self) -> Launch:
        settings = self._settings
        return laid_out(command_line(settings), self._context, own=settings.environment, secrets=settings.secrets)

    async def _start(self, launch: Launch) -> None:
        """A new process, which has said that it is ready."""
        self._reader, self._epoch, self._model = Reader(), None, self._settings.model
        child = self._child = await started(launch, self._context.clock, on_line=self._take, on_end=self._gone)
        is_ready = False
        try:
            why = await self._controlled("initialize")
            if why:
                raise Unavailable(f"agent {self._agent} did not begin: {self._redacted(why)}", field="command")
            is_ready = True
        finally:
            if not is_ready:
                child.kill()

    async def _begin_anew(self) -> None:
        """A new process: that one knows nothing of what was said."""
        assert self._launch is not None
        self._is_restarting = True
        try:
            if self._child is not None:
                await self._child.end()
        finally:
            self._is_restarting = False
        await self._start(self._launch)

    async def _prepare(self, turn: Turn, request: TurnRequest) -> None:
        await self._choose_model(turn, request.model or self._settings.model)

    def _prompt(self, turn: Turn, blocks: Sequence[Fields]) -> None:
        self._reader.begin_turn()
        if self._reader.mode != DEFAULT_MODE:
            turn.reports.push(mode_reported(self._reader.mode))
        if self._send(user(blocks)):
            self._quiet.clear()
        elif self._is_gone():
            raise GoneError

    def _tell_stop(self) -> None:
        self._order("interrupt")

    def _closing(self) -> Iterable[RunReport]:
        return self._reader.closing()

    def _facts(self) -> Mapping[str, str]:
        reader = self._reader
        return {"version": reader.version, "model": reader.model or self._model, "mode": reader.mode}

    async def _choose_model(self, turn: Turn, model: str) -> None:
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
        message = object_in(line)
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
        turn = self._asked_turn
        if turn is None or turn.is_cancelled:
            self._permissions.deny(request_id, "Nobody waits for this any more.")
            return
        call_id = text_of(request.get("tool_use_id"))
        why = self._permissions.put(request_id, request, cwd=self._cwd, chain=self._reader.chain_of(call_id))
        if why:
            self._log("warning", f"a request for permission was denied: {why}")

    def _answered(self, response: Fields) -> None:
        found = self._controls.get(text_of(response.get("request_id")))
        if found is not None and not found.done():
            is_error = response.get("subtype") == "error"
            found.set_result((text_of(response.get("error")) or "it refused") if is_error else "")

    def _told(self, message: Fields, line: bytes) -> None:
        if not message:
            self._log("debug", f"no JSON object: {one_line(line[:600].decode(errors='replace'))}")
            return
        turn = self._asked_turn
        self._take_in(self._reader.take(message))
        end, self._reader.end = self._reader.end, None
        if end is not None:
            self._quiet.set()
            if turn is not None:
                is_cancelled = turn.is_cancelled and not end.stop.is_answer
                self._finish(turn, TurnEnded(stop=Stop.CANCELLED, usage=end.usage) if is_cancelled else end)

    def _gone(self) -> None:
        for found in self._controls.values():
            if not found.done():
                found.set_result(self._last_words())
        if self._is_restarting:
            self._quiet.set()
        else:
            super()._gone()

    def _is_gone(self) -> bool:
        return self._child is None or self._child.is_gone


def create(agent: AgentName, settings: ClaudeCliSettings, context: RunnerContext) -> Runner:
    """A runner for one session."""
    return ClaudeCliRunner(agent, settings, context)
