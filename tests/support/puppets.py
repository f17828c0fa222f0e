"""A runner whose every move a test decides, put in the place of a real adapter."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from core.agent_settings import AgentSettings
from core.agents import runners
from core.agents.runner import Capabilities, Decision, RunnerContext, TurnRequest
from core.api.base import AgentName
from core.api.runs import RunReport

Turn = Callable[["Puppet", TurnRequest], AsyncIterator[RunReport]]


class Puppet:
    """Plays `turn`. is_deaf: cancel does nothing. opening: called by open(). is_dead, summary: in the test's hands."""

    kind = "scripted"
    capabilities = Capabilities(approvals=True, steer=True)

    def __init__(
        self,
        play: Turn,
        opening: Callable[[], None] | None,
        *,
        is_deaf: bool,
        hangs_at_open: bool,
        opened: asyncio.Event,
    ) -> None:
        self._opened = opened
        self._play = play
        self._opening = opening
        self._is_deaf = is_deaf
        self._hangs_at_open = hangs_at_open
        self.cancelled = asyncio.Event()
        self.closed = asyncio.Event()
        self.decisions: list[tuple[str, Decision]] = []
        self.decided = asyncio.Event()
        self.is_dead = False
        self.hangs_at_close = False
        self.summary = ""
        self.summarized: list[str] = []

    @property
    def is_alive(self) -> bool:
        """As long as the test wants, and until it is closed."""
        return not self.is_dead and not self.closed.is_set()

    async def open(self) -> None:
        """Start, or not."""
        self._opened.set()
        if self._opening is not None:
            self._opening()
        if self._hangs_at_open:
            await asyncio.Event().wait()

    def turn(self, request: TurnRequest) -> AsyncIterator[RunReport]:
        """What the test wants."""
        return self._play(self, request)

    async def decide(self, action_id: str, decision: Decision) -> bool:
        """Note it."""
        self.decisions.append((action_id, decision))
        self.decided.set()
        return True

    async def steer(self, text: str) -> bool:
        """Fail, as a broken pipe does."""
        raise OSError(text)

    async def cancel(self, reason: str) -> None:
        """Set an event that `turn` may look at."""
        del reason
        if not self._is_deaf:
            self.cancelled.set()

    async def summarize(self, text: str, *, model: str) -> str:
        """What the test wants."""
        del model
        self.summarized.append(text)
        return self.summary

    async def close(self) -> None:
        """Note it, and end or not."""
        self.closed.set()
        if self.hangs_at_close:
            await asyncio.Event().wait()

    def describe(self) -> Mapping[str, str]:
        """Nothing to say."""
        return {}


class Puppeteer:
    """Makes puppets where an adapter would make runners. made: all so far; asked: what each was made with;
    opened: one of them was told to open.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[Puppet] = []
        self.asked: list[tuple[AgentName, AgentSettings, RunnerContext]] = []
        self.turn: Turn | None = None
        self.opening: Callable[[], None] | None = None
        self.is_deaf = False
        self.hangs_at_open = False
        self.opened = asyncio.Event()
        monkeypatch.setattr(runners, "load_adapter", lambda _: self)

    def create(self, agent: AgentName, settings: AgentSettings, context: RunnerContext) -> Puppet:
        """A puppet for one session."""
        self.asked.append((agent, settings, context))
        assert self.turn is not None
        puppet = Puppet(
            self.turn, self.opening, is_deaf=self.is_deaf, hangs_at_open=self.hangs_at_open, opened=self.opened
        )
        self.made.append(puppet)
        return puppet
