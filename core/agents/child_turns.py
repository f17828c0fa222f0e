"""Turns of an agent that is a child process and keeps its own conversation: one at a time, each ended exactly once."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from core.agents.acp.prompt import prompt_of
from core.agents.acp.wire import Fields
from core.agents.launches import Launch, is_bound_otherwise
from core.agents.open_requests import OpenRequests
from core.agents.processes import Child, GoneError
from core.agents.reports import Reports, let_go
from core.agents.runner import Capabilities, Decision, RunnerContext, TurnRequest, unready
from core.api.base import AgentName
from core.api.errors import HermesError
from core.api.runs import RunLogged, RunReport, Stop, ToolReported, TurnEnded
from core.waits import CutShort, Waits

_SETTLE_LIMIT_S = 5.0
_PAUSE_AT, _RESUME_AT = 1024, 256


P = TypeVar("P", bound=OpenRequests[Any])


class Turn:
    """A turn that goes on. is_asked: the prompt was sent, so that what comes belongs to it."""

    def __init__(self) -> None:
        self.reports = Reports()
        self.is_asked = False
        self.is_cancelled = False


class ChildRunner(ABC, Generic[P]):
    """Drives such an agent for one session. A subclass says how it is started, prompted and stopped, and what its
    messages mean.

    For the subclass: _child: the process, once it runs. _quiet: set while the agent is in no turn. _is_spoilt: its
    conversation can take no further turn, and is to be begun anew. _epoch: the one that its conversation belongs to;
    None while nothing was said in it. _system_prompt: said before the first prompt of a conversation.
    """

    kind: str
    capabilities: Capabilities
    _system_prompt = ""

    def __init__(self, agent: AgentName, context: RunnerContext, permissions: P, *, command: Sequence[str]) -> None:
        """command: as the operator wrote it."""
        self._agent = agent
        self._context = context
        self._permissions = permissions
        self._command = command
        self._launch: Launch | None = None
        self._child: Child | None = None
        self._turn: Turn | None = None
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
        return not self._is_closed and self._child is not None and self._child.is_alive

    async def open(self) -> None:
        """Start the agent.

        Raises Unavailable when it cannot be started, does not answer or needs configuration, Refused when the policy
        cannot be kept, ConfigError when a secret cannot be had.
        """
        launch = self._launch = await asyncio.to_thread(self._laid_out)
        await self._start(launch)
        self._is_open = True

    async def turn(self, request: TurnRequest) -> AsyncIterator[RunReport]:
        """Answer, once the agent has ended a turn that was left before."""
        refusal = self._refusal(request)
        if refusal is not None:
            yield refusal
            return
        turn = self._turn = Turn()
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
        """False: such an agent has no way to take text into a turn."""
        del text
        return False

    async def cancel(self, reason: str) -> None:
        """Ask the agent to stop. What it asked is answered, as it may wait for that first."""
        del reason
        turn = self._turn
        if turn is not None and not turn.is_cancelled:
            turn.is_cancelled = True
            self._waits.cut()
            self._interrupt(turn)

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
        if self._child is not None:
            await self._child.end()

    def describe(self) -> Mapping[str, str]:
        """What runs, and what it says of itself."""
        facts = {
            "command": " ".join(self._command),
            "pid": str(self._child.pid) if self._child is not None else "",
            **self._facts(),
            "workspace": self._cwd,
        }
        return {name: self._redacted(value) for name, value in facts.items() if value}

    @abstractmethod
    def _laid_out(self) -> Launch:
        """How it is to be started. Blocks. Raises Refused, ConfigError, Unavailable."""

    @abstractmethod
    async def _start(self, launch: Launch) -> None:
        """Start it, until it can be prompted; one that does not come so far is killed. Raises Unavailable."""

    @abstractmethod
    async def _begin_anew(self) -> None:
        """Let go of the conversation: neither _epoch nor _is_spoilt is left of it. Raises HermesError, GoneError."""

    @abstractmethod
    async def _prepare(self, turn: Turn, request: TurnRequest) -> None:
        """Report what is to be known before the prompt, and choose the model. Raises GoneError."""

    @abstractmethod
    def _prompt(self, turn: Turn, blocks: Sequence[Fields]) -> None:
        """Send the prompt; _quiet is clear while the agent works on it. Raises GoneError."""

    @abstractmethod
    def _tell_stop(self) -> None:
        """Tell it to stop what it does for the turn."""

    @abstractmethod
    def _closing(self) -> Iterable[RunReport]:
        """Ends of the tool calls whose ends never came."""

    @abstractmethod
    def _facts(self) -> Mapping[str, str]:
        """What describe() says beside command, process and folder; "" is left out."""

    @property
    def _cwd(self) -> str:
        """The folder that it works in, as it knows it."""
        return self._launch.cwd if self._launch is not None else ""

    @property
    def _asked_turn(self) -> Turn | None:
        """The turn that belongs to what the agent says now; None when that belongs to none."""
        turn = self._turn
        return turn if turn is not None and turn.is_asked and not turn.reports.is_ended else None

    def _refusal(self, request: TurnRequest) -> TurnEnded | None:
        refusal = unready(is_open=self._is_open, is_closed=self._is_closed, is_busy=self._turn is not None)
        if refusal is not None:
            return refusal
        if not self.is_alive:
            return self._death()
        if is_bound_otherwise(self._context.policy, request.policy, self.capabilities.runtimes):
            why = "the agent runs already, and not as the policy of this run wants it"
            return TurnEnded(stop=Stop.ERROR, error=why, code="policy_unavailable")
        return None

    async def _begin(self, turn: Turn, request: TurnRequest) -> None:
        """Send the prompt; what goes wrong before is the end of the turn."""
        try:
            await self._waits.wait(self._prompted(turn, request))
        except CutShort:
            self._finish(turn, TurnEnded(stop=Stop.CANCELLED))
        except GoneError:
            self._finish(turn, self._death())
        except TimeoutError:
            # Whatever it still does belongs to a turn that nobody reads.
            if self._child is not None:
                self._child.fail("it did not end the turn before")
            self._finish(turn, self._death())
        except HermesError as error:
            self._finish(turn, TurnEnded(stop=Stop.ERROR, error=self._redacted(error.message), code=error.code))

    async def _prompted(self, turn: Turn, request: TurnRequest) -> None:
        async with asyncio.timeout(_SETTLE_LIMIT_S):
            await self._quiet.wait()
        if self._is_spoilt or self._epoch not in {None, request.epoch}:
            await self._begin_anew()
        await self._prepare(turn, request)
        if turn.is_cancelled:
            raise CutShort
        blocks = prompt_of(
            request, system_prompt=self._system_prompt, is_first=self._epoch is None, extra_before=self._extra
        )
        self._epoch, self._extra = request.epoch, request.extra_system_prompt
        turn.is_asked = True
        self._prompt(turn, blocks)

    def _finish(self, turn: Turn, end: TurnEnded) -> None:
        """The end of a turn: nothing of it stays open. Only the first counts."""
        if turn.reports.is_ended or turn is not self._turn:
            return
        if end.stop is Stop.DIED:
            self._permissions.forget()
        self._permissions.drop("withdrawn" if turn.is_cancelled else "expired")
        for report in self._closing():
            turn.reports.push(report)
        turn.reports.push(end)

    def _left(self, turn: Turn) -> None:
        """Nobody reads the turn any more."""
        self._reads(is_reading=True)
        if not turn.reports.is_ended and not turn.is_cancelled:
            turn.is_cancelled = True
            self._interrupt(turn)
        if self._turn is turn:
            self._turn = None

    def _interrupt(self, turn: Turn) -> None:
        if turn.is_asked and not self._quiet.is_set():
            self._tell_stop()
            self._permissions.drop("withdrawn")

    def _gone(self) -> None:
        """The process has ended."""
        self._quiet.set()
        if self._turn is not None:
            self._finish(self._turn, self._death())

    def _death(self) -> TurnEnded:
        code = "protocol" if self._child is not None and self._child.fault else "agent_died"
        return TurnEnded(stop=Stop.DIED, error=self._redacted(self._last_words()), code=code)

    def _last_words(self) -> str:
        """How the process ended, in one line."""
        return self._child.last_words() if self._child is not None else "never started"

    def _redacted(self, text: str) -> str:
        """The text, with *** for every secret that the agent was given."""
        return self._launch.redact(text) if self._launch is not None else text

    def _log(self, level: str, text: str) -> None:
        """A remark on the agent; secrets in it are replaced."""
        self._report(RunLogged(level=level, text=self._redacted(text)))

    def _take_in(self, reports: Iterable[RunReport]) -> None:
        """Take what the agent has said now."""
        is_of_turn = self._asked_turn is not None
        for report in reports:
            if is_of_turn:
                self._report(report)
            else:
                self._keep(report)
            if isinstance(report, ToolReported) and report.call.status.is_final:
                self._permissions.expire(report.call.id)

    def _keep(self, report: RunReport) -> None:
        """It belongs to no turn. Here it is let go."""

    def _report(self, report: RunReport) -> None:
        if self._turn is not None:
            self._turn.reports.push(report)
            if len(self._turn.reports) >= _PAUSE_AT:
                self._reads(is_reading=False)

    def _reads(self, *, is_reading: bool) -> None:
        if self._child is not None:
            (self._child.resume if is_reading else self._child.pause)()
