"""Agents in the hands of a test: each run waits for what the test reports."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

from core.api.base import AgentName, RunId, SessionId, TaskId
from core.api.runs import Compacted, CompactionState, Phase, PhaseChanged, RunReport, Stop, TextDelta, TurnEnded
from core.api.sessions import MessageView, Mode
from core.api.transcripts import EntryView


class FakeRun:
    """One run: what it was given, and the reports it will make."""

    def __init__(
        self,
        run_id: RunId,
        messages: Sequence[MessageView],
        history: Sequence[EntryView],
        epoch: int,
        user: str = "",
    ) -> None:
        self.run_id = run_id
        self.user = user
        self.messages = list(messages)
        self.history = list(history)
        self.epoch = epoch
        self.steered: list[str] = []
        self.reason: str | None = None
        self.reports: asyncio.Queue[RunReport] = asyncio.Queue()

    def report(self, *reports: RunReport) -> None:
        """Report next."""
        for report in reports:
            self.reports.put_nowait(report)

    def answer(self, text: str) -> None:
        """Write a text and end."""
        self.report(TextDelta(text=text), TurnEnded(stop=Stop.END_TURN))


class FakeAgents:
    """Implements gateway.ports.Agents. instant: answer every message with its own text."""

    def __init__(self, *, instant: bool = False) -> None:
        self.runs: list[FakeRun] = []
        self.instant = instant
        self.takes_steering = True
        self.refuses_steering = False
        self.steering: asyncio.Event | None = None
        self.obeys = True
        self.fault: Exception | None = None
        self.disabled = ""
        self.mode: Mode | None = None
        self.lost: set[RunId] = set()
        self.compaction = Compacted(state=CompactionState.INEFFECTIVE)
        self.compacting: Callable[[], Awaitable[None]] | None = None
        self.compacted: list[Sequence[EntryView]] = []
        self._held: set[RunId] = set()
        self.forgotten: list[SessionId] = []
        self.given: list[tuple[str, str, list[Path]]] = []
        self._begun = asyncio.Condition()

    def find_agent(self, name: str | None) -> AgentName | None:
        """There is one agent, main."""
        return AgentName("main") if name in {None, "main"} else None

    def can_steer(self, name: AgentName) -> bool:
        """As the test says."""
        return self.takes_steering and name == "main"

    def refusal(self, name: AgentName) -> str:
        """As the test says."""
        return self.disabled if name == "main" else "unknown"

    def default_mode(self, name: AgentName) -> Mode | None:
        """As the test says."""
        return self.mode if name == "main" else None

    def limits_s(self, name: AgentName, task_id: TaskId | None = None) -> tuple[float, float]:
        """Stall and total limit; tasks have longer ones."""
        return (120.0, 600.0 if task_id is None else 6000.0) if name else (0.0, 0.0)

    def workspace(self, name: AgentName, user: str) -> Path | None:
        """There is none."""
        assert name == "main"
        return None

    def give(self, name: AgentName, user: str, paths: Sequence[Path]) -> Sequence[str]:
        """It calls each by the end of its name, and cannot be given what is not there."""
        self.given.append((str(name), user, list(paths)))
        return [f"assets/{path.name[25:]}" if path.exists() else "" for path in paths]

    def holds(self, run_id: RunId) -> bool:
        """Whether it goes on; a test may have it lost."""
        return run_id in self._held and run_id not in self.lost

    async def compact(self, session_id: SessionId, agent: AgentName, history: Sequence[EntryView]) -> Compacted:
        """What the test says, once it lets it."""
        assert session_id
        assert agent == "main"
        self.compacted.append(history)
        if self.compacting is not None:
            await self.compacting()
        return self.compaction

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
        """Report what the test says."""
        assert session_id
        assert agent == "main"
        assert attempt >= 1
        run = FakeRun(run_id, messages, history, epoch, user)
        self._held.add(run_id)
        try:
            async for report in self._reports(run):
                yield report
        finally:
            self._held.discard(run_id)

    async def _reports(self, run: FakeRun) -> AsyncIterator[RunReport]:
        yield PhaseChanged(phase=Phase.MODEL)
        if self.fault is not None:
            raise self.fault
        async with self._begun:
            self.runs.append(run)
            self._begun.notify_all()
        if self.instant:
            run.answer(run.messages[0].text)
        while True:
            report = await run.reports.get()
            yield report
            if isinstance(report, TurnEnded):
                return

    async def begun(self, count: int) -> FakeRun:
        """Wait until `count` runs have begun; the last of them."""
        async with asyncio.timeout(10), self._begun:
            await self._begun.wait_for(lambda: len(self.runs) >= count)
        return self.runs[count - 1]

    async def steer(self, run_id: RunId, text: str) -> bool:
        """Take text in, if the test lets it, and when it does."""
        if self.steering is not None:
            await self.steering.wait()
        if not self.takes_steering or self.refuses_steering:
            return False
        self._find(run_id).steered.append(text)
        return True

    async def interrupt(self, run_id: RunId, reason: str, *, is_core_stopping: bool = False) -> bool:
        """End the run as cancelled, unless the test made it deaf. False for one that never came here."""
        if not any(run.run_id == run_id for run in self.runs):
            return False
        run = self._find(run_id)
        run.reason = reason
        if self.obeys:
            run.report(TurnEnded(stop=Stop.CANCELLED))
        return True

    async def forget(self, session_id: SessionId) -> None:
        """Note it."""
        self.forgotten.append(session_id)

    def _find(self, run_id: RunId) -> FakeRun:
        return next(run for run in self.runs if run.run_id == run_id)
