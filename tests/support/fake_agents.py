"""Agents in the hands of a test: each run waits for what the test reports."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from core.api.base import AgentName, RunId, SessionId
from core.api.runs import Phase, PhaseChanged, RunReport, Stop, TextDelta, TurnEnded
from core.api.sessions import MessageView
from core.api.transcripts import EntryView


class FakeRun:
    """One run: what it was given, and the reports it will make."""

    def __init__(
        self, run_id: RunId, messages: Sequence[MessageView], history: Sequence[EntryView], epoch: int
    ) -> None:
        self.run_id = run_id
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
        self.obeys = True
        self.fault: Exception | None = None
        self.forgotten: list[SessionId] = []
        self._begun = asyncio.Condition()

    def find_agent(self, name: str | None) -> AgentName | None:
        """There is one agent, main."""
        return AgentName("main") if name in {None, "main"} else None

    def can_steer(self, name: AgentName) -> bool:
        """As the test says."""
        return self.takes_steering and name == "main"

    def limits_s(self, name: AgentName) -> tuple[float, float]:
        """Stall and total limit."""
        return (120.0, 600.0) if name else (0.0, 0.0)

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
        """Report what the test says."""
        assert session_id
        assert agent == "main"
        assert attempt >= 1
        run = FakeRun(run_id, messages, history, epoch)
        yield PhaseChanged(phase=Phase.MODEL)
        if self.fault is not None:
            raise self.fault
        async with self._begun:
            self.runs.append(run)
            self._begun.notify_all()
        if self.instant:
            run.answer(messages[0].text)
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
        """Take text in, if the test lets it."""
        if not self.takes_steering:
            return False
        self._find(run_id).steered.append(text)
        return True

    async def interrupt(self, run_id: RunId, reason: str) -> bool:
        """End the run as cancelled, unless the test made it deaf."""
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
