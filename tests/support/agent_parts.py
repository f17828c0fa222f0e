"""What tests of the agent runtime need: messages, turns, a context for runners, a whole runtime over memory."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from core.agent_settings import AgentSettings, ScriptedSettings
from core.agents.approvals.approvals import Approvals
from core.agents.approvals.questions import Questions
from core.agents.memory.memories import Memories
from core.agents.pool import Pool
from core.agents.ports import ToolHost
from core.agents.profiles.profiles import Profiles
from core.agents.runner import Runner, RunnerContext, TurnRequest
from core.agents.runners import Runners
from core.agents.runs import Runs
from core.agents.terms import Terms
from core.api.base import AgentName, Mark, MessageId, RunId, SessionId, TaskId
from core.api.errors import ConfigError
from core.api.runs import RunReport, TextDelta, TurnEnded
from core.api.sessions import MessageState, MessageView, Mode, Voice
from core.api.transcripts import EntryView
from core.clock import Clock
from core.ids import IdSource
from core.journal import Journal
from core.secrets import Secret
from core.settings import Settings
from core.store.memory import MemoryStore
from core.supervisor import Supervisor
from tests.support.clocks import FakeClock
from tests.support.fake_tools import FakeTools

MAIN = AgentName("main")
SESSION = SessionId("local:dm:ana")
KEY = "sk-very-secret-1234"


class InstantClock(FakeClock):
    """Every sleep is over at once, and the time has passed."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, delay_s: float) -> None:
        """Move on by delay_s."""
        self.slept.append(delay_s)
        self.step(delay_s)
        await asyncio.sleep(0)


def message(text: str, *, voice: Voice = Voice.USER, session_id: SessionId = SESSION) -> MessageView:
    """A message that a run is to answer."""
    return MessageView(
        id=MessageId("m-1"),
        session_id=session_id,
        received=Mark(0.0, 0.0),
        voice=voice,
        sender="ana",
        text=text,
        state=MessageState.RUNNING,
        mode=Mode.QUEUE,
        effective_mode=Mode.QUEUE,
    )


def turn_request(text: str, *, history: tuple[EntryView, ...] = (), voice: Voice = Voice.USER) -> TurnRequest:
    """A turn that answers one text."""
    return TurnRequest(
        session_id=SESSION,
        epoch=0,
        agent=MAIN,
        run_id=RunId("r-1"),
        attempt=1,
        messages=[message(text, voice=voice)],
        history=history,
    )


def secret(reference: str) -> Secret:
    """The only secret there is."""
    if reference == "env:KEY":
        return Secret(KEY)
    raise ConfigError("no such secret", key=reference)


def runner_context(
    clock: Clock, home: Path, draw: Callable[[], float] = lambda: 0.0, *, tools: ToolHost | None = None
) -> RunnerContext:
    """What a runner is built with. draw: its random numbers; tools: in place of those that only note what they run."""
    return RunnerContext(
        clock=clock,
        ids=IdSource(clock),
        home=home,
        workspace=home / "workspace",
        secret=secret,
        random=draw,
        tools=tools or FakeTools(),
    )


async def collected(runner: Runner, request: TurnRequest) -> list[RunReport]:
    """All reports of a turn."""
    return [report async for report in runner.turn(request)]


def text_of(reports: list[RunReport]) -> str:
    """The answer in the reports."""
    return "".join(report.text for report in reports if isinstance(report, TextDelta))


def end_of(reports: list[RunReport]) -> TurnEnded:
    """The last report, which must be the only end."""
    ends = [report for report in reports if isinstance(report, TurnEnded)]
    assert len(ends) == 1
    assert reports[-1] is ends[0]
    return ends[0]


class Runtime:
    """Runs and approvals over a store in memory, on a clock of the test."""

    def __init__(self, home: Path, agents: dict[str, AgentSettings], clock: FakeClock, store: MemoryStore) -> None:
        self.clock = clock
        self.store = store
        self.journal = Journal(store, clock)
        self.errors: list[tuple[str, Exception]] = []
        self.faults: list[tuple[str, Exception]] = []
        self.supervisor = Supervisor(clock, lambda *_: None, lambda name, error: self.errors.append((name, error)))
        self.ids = IdSource(clock)
        self.approvals = Approvals(
            journal=self.journal,
            store=store,
            clock=clock,
            ids=self.ids,
            supervisor=self.supervisor,
            limit_s=3600.0,
        )
        self.pool = Pool()
        self.tools = FakeTools()
        self.runners = Runners(
            clock=clock,
            ids=self.ids,
            supervisor=self.supervisor,
            home=home,
            secret=secret,
            random=random.Random(1).random,
            tools=self.tools,
            stop_run=self._stop_run,
            has_open_action=self.approvals.has_open,
        )
        self.profiles = Profiles(
            settings=Settings(agents=agents, default_agent=next(iter(agents))),
            home=home,
            journal=self.journal,
            store=store,
            clock=clock,
            supervisor=self.supervisor,
            pool=self.pool,
            runners=self.runners,
            wake=self._wake,
            stop_run=self._stop_run,
        )
        self.terms: dict[TaskId, Terms] = {}
        self.runs = Runs(
            profiles=self.profiles,
            pool=self.pool,
            runners=self.runners,
            approvals=self.approvals,
            questions=Questions(self.approvals, clock),
            tools=self.tools,
            memories=Memories(home, lambda *told: self.faults.append(told)),
            clock=clock,
            supervisor=self.supervisor,
            terms=self.terms.get,
        )

    def _stop_run(self, run_id: RunId, reason: str) -> bool:
        return self.runs.stop_run(run_id, reason)

    def _wake(self, run_ids: Sequence[RunId]) -> None:
        if run_ids:
            self.runs.admit(run_ids)

    def run(
        self, text: str, *, run_id: str = "r-1", session_id: str = SESSION, agent: str = MAIN
    ) -> AsyncIterator[RunReport]:
        """A run that answers a text."""
        session = SessionId(session_id)
        return self.runs.run(
            session_id=session,
            epoch=0,
            agent=AgentName(agent),
            run_id=RunId(run_id),
            attempt=1,
            messages=[message(text, session_id=session)],
            history=(),
        )


class Reading:
    """Reads a run in the background. reports: what came so far."""

    def __init__(self, reports: AsyncIterator[RunReport]) -> None:
        self.reports: list[RunReport] = []
        self._more = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._read(reports))

    async def _read(self, reports: AsyncIterator[RunReport]) -> None:
        async for report in reports:
            self.reports.append(report)
            self._more.set()

    async def until(self, kind: type[Any], fits: Callable[[Any], bool] = lambda _: True) -> Any:
        """The first report of that kind that fits, once it is there."""
        async with asyncio.timeout(20):
            while True:
                for report in self.reports:
                    if isinstance(report, kind) and fits(report):
                        return report
                self._more.clear()
                await self._more.wait()

    async def whole(self) -> list[RunReport]:
        """All reports, once the run has ended."""
        async with asyncio.timeout(20):
            await self._task
        return self.reports

    async def leave(self) -> None:
        """Stop reading, as a gateway does that is cancelled."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@asynccontextmanager
async def runtime(
    home: Path, *, agents: dict[str, AgentSettings] | None = None, clock: FakeClock | None = None
) -> AsyncIterator[Runtime]:
    """A runtime that ends with the block, and leaves neither run nor slot nor job behind."""
    clock = clock or FakeClock()
    store = MemoryStore()
    made = Runtime(home, agents or {"main": ScriptedSettings(pace=0.0)}, clock, store)
    try:
        yield made
    finally:
        await made.runs.close()
        left = await made.supervisor.stop(deadline_s=5.0)
        await store.close()
    assert left == []
    assert made.errors == []
    assert made.supervisor.job_count == 0
    assert made.runs.running_count == len(made.runners) == made.pool.busy_count() == made.pool.waiting_count() == 0
