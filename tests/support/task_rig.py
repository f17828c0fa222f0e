"""Tasks on a store in memory, a real mailbox, sessions and a clock in the hands of the test; cores can come and go."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from core.agent_settings import AgentSettings, ScriptedSettings
from core.agents.ports import Handover
from core.agents.tasks.tasking import Tasking
from core.agents.tasks.terms import Staff
from core.agents.tools.assets import Attachments
from core.api.base import Actor, ActorKind, AgentName, Command, Event, Query, R, Record, SessionId, TaskId, V
from core.api.policies import Runtime
from core.api.sessions import Mode
from core.api.tasks import GetTask, ListTasks, StartTask, TaskFilter, TaskReceipt, TaskState, TaskView
from core.handlers import Handlers
from core.ids import IdSource
from core.journal import Journal
from core.mailbox.mailboxes import Mailboxes
from core.pages import Pages
from core.store.base import Store
from core.store.memory import MemoryStore
from core.supervisor import Supervisor
from core.task_post import MailedTasks
from tests.support.clocks import FakeClock
from tests.support.fake_conversations import FakeConversations

ANA = Actor(ActorKind.OPERATOR, "ana")
MAIN = AgentName("main")
HOME = SessionId("local:dm:ana")

E = TypeVar("E", bound=Event)


class TaskRig:
    """One core after the other over the same store, sessions and agents. Agents: main, and what a test adds."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock
        self.conversations = FakeConversations(clock)
        self.agents: dict[str, AgentSettings] = {MAIN: ScriptedSettings()}
        self.refusals: dict[str, str] = {}
        self.held: set[str] = set()
        self.ids = IdSource(clock, random_bits=lambda _bits: 7)
        self.boot = 0
        self.faults: list[str] = []
        self.records: list[Record] = []
        self.kept = 10_000
        self.unkept = ""

    async def boot_up(self, *, starts: bool = True, settles: bool = True) -> None:
        """A core begins. settles: sessions tell of their runs first, as they should."""
        self.boot += 1
        self.journal = Journal(self.store, self.clock)
        self.journal.on_record(self.records.append)
        self.supervisor = Supervisor(
            self.clock, lambda _view, error: self._fault(error), lambda *fault: self._fault(fault)
        )
        self.boxes = Mailboxes(
            journal=self.journal,
            store=self.store,
            clock=self.clock,
            supervisor=self.supervisor,
            boot=self.boot,
            random=lambda: 0.5,
        )
        await self.boxes.open()
        await self.boxes.indexed()
        staff = Staff(
            find=self._find,
            refusal=lambda name: self.refusals.get(name, ""),
            settings=self.agents.get,
            policy_refusal=lambda policy: "no gvisor here" if policy.runtime_type is Runtime.GVISOR else self.unkept,
            may_start=lambda name: name not in self.held,
        )
        self.post = MailedTasks(self.boxes)
        self.tasking = Tasking(
            attachments=Attachments(Path("/nowhere"), self.clock),
            store=self.store,
            journal=self.journal,
            clock=self.clock,
            ids=self.ids,
            supervisor=self.supervisor,
            boot=self.boot,
            conversations=self.conversations,
            post=self.post,
            staff=staff,
            on_fault=lambda what, error: self._fault((what, error)),
            kept=self.kept,
        )
        self.handlers = Handlers()
        self.handlers.add(commands=self.tasking.commands, queries=self.tasking.queries)
        await self.tasking.open()
        self.conversations.journal, self.conversations.ledger = self.journal, self.tasking.ledger
        self.conversations.boot = self.boot
        await self.conversations.restarted(settles=settles)
        await self.tasking.recover()
        if starts:
            self.tasking.start()

    async def kill(self) -> None:
        """The core is gone without a word."""
        await self.supervisor.stop(deadline_s=1.0)

    async def restart(self, *, settles: bool = True, starts: bool = True) -> None:
        """Kill it and begin another."""
        await self.kill()
        await self.boot_up(settles=settles, starts=starts)

    async def do(self, command: Command[R]) -> R:
        """Carry out an order of ana's."""
        return await self.handlers.execute(command, ANA)

    async def ask(self, query: Query[V]) -> V:
        """Answer a question."""
        return await self.handlers.query(query)

    async def start(self, text: str = "do it", **fields: Any) -> TaskReceipt:
        """Accept a task."""
        return await self.do(StartTask(text=text, **fields))

    async def started(self, text: str = "do it", **fields: Any) -> TaskView:
        """Accept a task and let it begin."""
        receipt = await self.start(text, **fields)
        await self.settled()
        return await self.task(receipt.task.id)

    async def chat(self, text: str = "hello") -> None:
        """Somebody writes to the agent: a run without a task begins at HOME, or the message waits."""
        await self.conversations.hand_over(
            Handover(
                session_id=HOME,
                agent=MAIN,
                text=text,
                sender="ana",
                mode=Mode.QUEUE,
                task_id=None,
                actor=ANA,
                pages=lambda _receipt: Pages(),
            )
        )

    async def task(self, task_id: TaskId) -> TaskView:
        """A task as it is now."""
        return (await self.ask(GetTask(task_id=task_id))).task

    async def states(self, **only: Any) -> list[TaskState]:
        """The states of all tasks, the oldest first."""
        page = await self.ask(ListTasks(only=TaskFilter(archived=None, **only), limit=200))
        return [task.state for task in reversed(page.tasks)]

    async def settled(self) -> None:
        """Let everything run that can."""
        for _ in range(40):
            await asyncio.sleep(0)

    async def pass_s(self, seconds: float) -> None:
        """Let time pass."""
        await self.clock.advance(seconds)
        await self.settled()

    def told(self, kind: type[E]) -> list[E]:
        """The events of a kind so far."""
        return [record.event for record in self.records if isinstance(record.event, kind)]

    def set_agent(self, name: str = MAIN, **fields: Any) -> None:
        """Change an agent, or make one."""
        settings = self.agents.get(name, ScriptedSettings())
        self.agents[name] = msgspec.structs.replace(settings, **fields)

    def _find(self, name: str | None) -> AgentName | None:
        wanted = MAIN if name is None else name
        return AgentName(wanted) if wanted in self.agents else None

    def _fault(self, fault: object) -> None:
        if fault:
            self.faults.append(str(fault))


@asynccontextmanager
async def task_rig(
    prepare: Callable[[TaskRig], None] = lambda _rig: None, *, starts: bool = True
) -> AsyncIterator[TaskRig]:
    """A core with tasks; stopped at the end, and nothing of ours may have failed."""
    clock = FakeClock()
    rig = TaskRig(MemoryStore(), clock)
    prepare(rig)
    await rig.boot_up(starts=starts)
    try:
        yield rig
        assert rig.faults == []
    finally:
        await rig.kill()
