"""A core's whole agent side before one real agent: what is said is a run, what it asks comes up as an approval.

The agent is written down as an operator does it, in a file of agents/. Time is real.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from core.agent_side import AgentSide
from core.api.approvals import AnswerApproval, ApprovalState, ApprovalView, ListApprovals
from core.api.base import SYSTEM, AgentName, DeliveryId, EntryId, RunId, SessionId
from core.api.errors import NotFound
from core.api.profiles import GetProfile, ProfileView
from core.api.runs import ActionRequested, RunReport
from core.api.sessions import Source
from core.api.transcripts import EntryView
from core.clock import SystemClock
from core.ids import IdSource
from core.journal import Journal
from core.mailbox.mailboxes import Mailboxes
from core.settings import Settings
from core.store.memory import MemoryStore
from core.supervisor import Supervisor
from core.task_post import MailedTasks
from tests.interop.fake_llm import FakeLlm
from tests.interop.real_agents import Installed, Place, RealAgent, all_gone
from tests.support.agent_parts import SESSION, message, secret, text_of
from tests.support.fake_conversations import FakeConversations
from tests.support.views import answer, entry

REAL = AgentName("real")
LIMIT_S = 60
"""The longest that anything here may take by itself, on a busy machine."""


class NoChats:
    """The way to chats of a core without platforms: there is none."""

    def addressed(self, target: str, session_id: SessionId) -> tuple[str, Source]:
        """Nobody. Raises NotFound."""
        raise NotFound(f"there is no chat {target!r} here", noun="chat", id=target)

    async def send_from(
        self, session_id: SessionId, source: Source, text: str, *, agent: AgentName, key: str
    ) -> Sequence[DeliveryId]:
        """Nothing is sent. Raises NotFound."""
        raise NotFound("there is no chat here", noun="chat", id=source.chat)


class Turn:
    """One run, read as it comes."""

    def __init__(self, side: AgentSide, run_id: RunId, reports: AsyncIterator[RunReport]) -> None:
        self.run_id = run_id
        self.reports: list[RunReport] = []
        self._side = side
        self._more = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._read(reports))

    async def _read(self, reports: AsyncIterator[RunReport]) -> None:
        try:
            async for report in reports:
                self.reports.append(report)
                self._more.set()
        finally:
            self._more.set()

    async def until(self, kind: type[Any], fits: Callable[[Any], bool] = lambda _: True) -> Any:
        """The first report of that kind that fits, once it is there."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                for report in self.reports:
                    if isinstance(report, kind) and fits(report):
                        return report
                assert not self._task.done(), (self._task, self.reports)
                self._more.clear()
                await self._more.wait()

    async def whole(self, limit_s: float = LIMIT_S) -> list[RunReport]:
        """All reports, once the run has ended."""
        async with asyncio.timeout(limit_s):
            await self._task
        return self.reports

    async def asked(self, count: int = 1) -> ApprovalView:
        """The one approval that waits for an operator, once the agent has asked so many times."""
        await self.until(ActionRequested, lambda _: self.asked_count >= count)
        (view,) = [view for view in await self.approvals() if view.state is ApprovalState.OPEN]
        return view

    @property
    def asked_count(self) -> int:
        """How often the agent has asked."""
        return sum(isinstance(report, ActionRequested) for report in self.reports)

    async def approvals(self) -> list[ApprovalView]:
        """All approvals of this run."""
        found = await self._side.approvals.list_approvals(ListApprovals())
        return [view for view in found.approvals if view.run_id == self.run_id]

    async def answer(self, *, allow: bool, count: int = 1, digest: str = "", words: str = "") -> ApprovalView:
        """Decide as an operator does who saw it. digest: of something else that was seen; words: to a question."""
        view = await self.asked(count)
        command = AnswerApproval(approval_id=view.id, allow=allow, digest=digest or view.digest, answer=words)
        return await self._side.approvals.answer_approval(command, SYSTEM)

    async def answer_late(self) -> ApprovalView:
        """Allow what it asked, whatever became of that. Raises AlreadyDecided."""
        (view,) = await self.approvals()
        return await self._side.approvals.answer_approval(AnswerApproval(approval_id=view.id, allow=True), SYSTEM)

    async def stop(self) -> None:
        """Interrupt it."""
        assert await self._side.runs.interrupt(self.run_id, "the operator has seen enough")


def history_of(turns: Sequence[tuple[str, Turn]]) -> Iterator[EntryView]:
    """What was said and answered, as a transcript has it."""
    for asked, turn in turns:
        yield entry(asked, id=EntryId(f"{turn.run_id}-asked"))
        if answered := text_of(turn.reports):
            yield answer(answered, id=EntryId(f"{turn.run_id}-answered"), run_id=turn.run_id)


class Stage:
    """The agent side with its agent. llm: the model behind it; home: of the agent; profile: as the core shows it."""

    def __init__(self, side: AgentSide, llm: FakeLlm, home: Path, agent: RealAgent, profile: ProfileView) -> None:
        self.llm = llm
        self.home = home
        self.agent = agent
        self.profile = profile
        self._side = side
        self._turns: list[tuple[str, Turn]] = []

    def say(self, text: str) -> Turn:
        """A run that answers it, the next of the same session; the history comes along, as from the gateway."""
        run_id = RunId(f"r-{len(self._turns) + 1}")
        reports = self._side.runs.run(
            session_id=SESSION,
            epoch=0,
            agent=REAL,
            run_id=run_id,
            attempt=1,
            messages=[message(text)],
            history=list(history_of(self._turns)),
        )
        turn = Turn(self._side, run_id, reports)
        self._turns.append((text, turn))
        return turn

    @property
    def open_count(self) -> int:
        """Approvals that wait for anybody."""
        return self._side.approvals.open_count


@asynccontextmanager
async def agent_side(home: Path) -> AsyncIterator[AgentSide]:
    """As a core has it, over a store in memory. In the end neither run nor runner nor job is left."""
    clock, store = SystemClock(), MemoryStore()
    ids = IdSource(clock)
    faults: list[tuple[str, Exception]] = []
    supervisor = Supervisor(clock, lambda *_: None, lambda *told: faults.append(told))
    journal = Journal(store, clock)
    side = AgentSide(
        home=home,
        settings=Settings(),
        store=store,
        journal=journal,
        clock=clock,
        ids=ids,
        supervisor=supervisor,
        boot=1,
        random=random.Random(1).random,
        secret=secret,
        learn=lambda _: None,
        on_runner=lambda _: None,
        on_fault=lambda *told: faults.append(told),
    )
    boxes = Mailboxes(
        journal=journal, store=store, clock=clock, supervisor=supervisor, boot=1, random=random.Random(1).random
    )
    side.join(FakeConversations(clock), MailedTasks(boxes), NoChats(), lambda *told: faults.append(told))
    await side.open()
    try:
        yield side
    finally:
        await side.close()
        await side.runners.close()
        left = await supervisor.stop(deadline_s=5.0)
        await store.close()
    assert (left, faults, supervisor.job_count) == ([], [], 0)
    assert side.runs.running_count == len(side.runners) == 0


@asynccontextmanager
async def stage(agent: RealAgent, installed: Installed, folder: Path, **written: Any) -> AsyncIterator[Stage]:
    """The agent, ready. written: settings in place of its own. In the end no process of it is left."""
    home, core = folder / "agent", folder / "core"
    for made in (home, core / "agents"):
        await asyncio.to_thread(made.mkdir, 0o700, parents=True)
    with FakeLlm() as llm:
        async with agent.start(Place(installed=installed, home=home, llm=llm)) as settings:
            profile = yaml.safe_dump({**settings, **written})
            await asyncio.to_thread((core / "agents" / f"{REAL}.yaml").write_text, profile)
            async with agent_side(core) as side:
                view = await side.profiles.get_profile(GetProfile(name=REAL))
                assert not view.problem
                yield Stage(side, llm, home, agent, view)
            if agent.is_child:
                await all_gone(home)
        await all_gone(home)
