"""An operator who orders all that there is at random, while the disk is full now and then and the core restarts."""

import asyncio
import contextlib
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from core.api.approvals import AnswerApproval, ApprovalView, DenyApprovals, GrantScope, ListApprovals
from core.api.base import AgentName, Command, MessageId, R, Record, Seq, SessionId, TaskId
from core.api.errors import HermesError
from core.api.profiles import (
    DisableProfile,
    EnableProfile,
    LimitAgent,
    PauseAgent,
    ResetRunners,
    ResumeAgent,
)
from core.api.runs import ActionKind
from core.api.session_orders import (
    ArchiveSession,
    CompactSession,
    MoveMessage,
    ReleaseLease,
    SetMessageMode,
    UnarchiveSession,
)
from core.api.session_queue import DropMessage, MessageDropped
from core.api.sessions import (
    GetSession,
    InterruptSession,
    MessageQueued,
    MessageSteered,
    MessageView,
    Mode,
    OpenSession,
    ResetSession,
    RunStarted,
    SendMessage,
    SessionReset,
)
from core.api.tasks import CancelTask, GetTask, RetryTask, SendInput, StartTask
from core.kernel import Kernel
from tests.support.runtime_core import LOCAL, OPERATOR, FullDisk

MAIN, ECHO = AgentName("main"), AgentName("echo")
CONFIG = """
http: {enabled: false}
agents:
  main:
    runner: scripted
    pace: 0.02
    concurrency: 4
    failure_limit: 3
    recovery_s: 0.5
    workspace: workspaces/main/shared
    policy: {runtime_type: process, retry: {max_attempts: 2, delay_ms: 50}}
    lanes: {cron: 1}
  echo: {runner: scripted, scenario: builtin:echo, pace: 0, max_runners: 3, compaction: {max_tokens: 200, keep_tail: 2}}
sessions: {collect_s: 0.2, queue_limit: 6, max_attempts: 20}
core: {drain_s: 0}
"""
CHATS = 6
WORKERS = 6
ORDER_LIMIT_S = 30.0
_TEXTS = (
    "hello",
    "!sh ls",
    "!ask what?",
    "!crash",
    "!slow 1",
    "!flood 200",
    "!child sub ls",
    "!plan",
    "!write f.txt text",
    "word " * 80,
)
_COMMAND = re.compile(r"once-\d+")


class Books(msgspec.Struct):
    """What the journal told. queued, said, dropped: messages. done: actions by name, and how often each was allowed."""

    queued: dict[MessageId, MessageView] = msgspec.field(default_factory=dict[MessageId, MessageView])
    said: set[MessageId] = msgspec.field(default_factory=set[MessageId])
    dropped: set[MessageId] = msgspec.field(default_factory=set[MessageId])
    accepted: set[MessageId] = msgspec.field(default_factory=set[MessageId])
    tasks: list[TaskId] = msgspec.field(default_factory=list[TaskId])
    allowed: Counter[str] = msgspec.field(default_factory=Counter[str])
    orders: Counter[str] = msgspec.field(default_factory=Counter[str])
    refused: int = 0
    full_disks: int = 0
    stops: int = 0

    @property
    def lost(self) -> set[MessageId]:
        """Messages that were taken in, and neither came to a run nor were let go."""
        return (self.queued.keys() | self.accepted) - self.said - self.dropped


class Storm:
    """Orders of a seed. full: share of the moments at which the disk is full. faults: errors that nobody may see."""

    def __init__(self, home: Path, seed: int, *, full: float = 0.5) -> None:
        self.books = Books()
        self.faults: list[str] = []
        self._rng = random.Random(seed)
        self._full = full
        self._read_to = Seq(0)
        self._ran = home / "workspaces" / "main" / "shared"
        self._orders: dict[Callable[[], Awaitable[None]], int] = {
            self._send: 6,
            self._answer: 6,
            self._task: 4,
            self._edit: 3,
            self._input: 2,
            self._session: 6,
            self._agent: 6,
            self._end: 2,
            self._deny: 1,
        }

    async def follow(self, kernel: Kernel) -> None:
        """Order this core from now on, and read its journal, with what it did before anybody could listen."""
        self._kernel = kernel
        kernel.journal.on_record(self._take)
        while page := await kernel.journal.read(after=self._read_to, limit=1000):
            for record in page:
                self._read_to = record.seq
                if not isinstance(record.event, SessionReset):
                    self._take(record)

    async def open(self) -> None:
        """Begin all chats."""
        for number in range(CHATS):
            agent = MAIN if number % 2 else ECHO
            order = OpenSession(platform=LOCAL, chat=f"c{number}", text="hello", agent=agent)
            self.books.accepted.add((await self._do(order)).message_id)

    async def rage(self, seconds: float) -> None:
        """Order for so long, several at a time."""
        over_at = asyncio.get_running_loop().time() + seconds
        await asyncio.gather(self._fill(over_at), *(self._work(over_at) for _ in range(WORKERS)))

    async def stop(self) -> None:
        """Stop the core in order; now and then its disk is full just then."""
        self.books.stops += 1
        with FullDisk(self._kernel, spares=self._rng.randrange(8)) if self._is_full() else contextlib.nullcontext():
            await self._kernel.stop(self._rng.choice([0, 0, 0.2]), "another start")

    async def calm(self) -> None:
        """Let all go on that was held."""
        for order in (ResumeAgent(name=MAIN), EnableProfile(name=MAIN), LimitAgent(name=MAIN, limit=0)):
            await self._do(order)

    async def deny_all(self) -> int:
        """Answer what is asked. Returns how many there were."""
        views = await self._asked()
        for view in views:
            with contextlib.suppress(HermesError):
                await self._do(DenyApprovals(approval_ids=(view.id,)))
        return len(views)

    def ran_too_often(self) -> list[str]:
        """Commands that ran more often than they were allowed. Blocks."""
        found = {path.name: len(path.read_text().splitlines()) for path in self._ran.glob("once-*")}
        return [f"{name}: {count}" for name, count in found.items() if count > self.books.allowed[name]]

    def ran_count(self) -> int:
        """Commands that ran. Blocks."""
        return sum(1 for _ in self._ran.glob("once-*"))

    def _take(self, record: Record) -> None:
        event, books = record.event, self.books
        match event:
            case MessageQueued():
                books.queued[event.message.id] = event.message
            case RunStarted():
                books.said.update(entry.message_id for entry in event.entries if entry.message_id is not None)
            case MessageSteered():
                books.said.add(event.message.id)
            case MessageDropped():
                books.dropped.add(event.message.id)
            case SessionReset() if event.dropped:
                # The journal tells of it before the queue is empty in memory.
                lane = self._kernel.gateway.lanes.find(event.session.id)
                assert lane is not None
                assert len(lane.guard.queue) == event.dropped
                books.dropped.update(lane.guard.queue)
            case _:
                pass

    async def _work(self, over_at: float) -> None:
        while asyncio.get_running_loop().time() < over_at:
            [order] = self._rng.choices(list(self._orders), weights=list(self._orders.values()))
            try:
                async with asyncio.timeout(ORDER_LIMIT_S):
                    await order()
            except HermesError:
                self.books.refused += 1
            except Exception as error:  # noqa: BLE001 - whatever comes, it is shown at the end with its seed
                self.faults.append(f"{order.__name__}: {error!r}"[:300])
            await asyncio.sleep(self._rng.random() * 0.01)

    async def _fill(self, over_at: float) -> None:
        while asyncio.get_running_loop().time() < over_at:
            await asyncio.sleep(self._rng.random() * 0.5)
            if self._is_full():
                self.books.full_disks += 1
                with FullDisk(self._kernel, spares=self._rng.randrange(4)):
                    await asyncio.sleep(self._rng.random() * 0.15)

    def _is_full(self) -> bool:
        return self._rng.random() < self._full

    async def _do(self, command: Command[R]) -> R:
        self.books.orders[type(command).__name__] += 1
        return await self._kernel.execute(command, actor=OPERATOR)

    def _session_id(self) -> SessionId:
        return SessionId(f"local:dm:c{self._rng.randrange(CHATS)}")

    def _text(self) -> str:
        if self._rng.random() < 0.1:
            name = f"once-{self._rng.randrange(10**9)}"
            return f"!run echo ran >> {name}"
        return self._rng.choice(_TEXTS)

    def _mode(self) -> Mode:
        return self._rng.choice(list(Mode))

    async def _asked(self) -> tuple[ApprovalView, ...]:
        return (await self._kernel.query(ListApprovals(open_only=True))).approvals

    # -- orders

    async def _send(self) -> None:
        order = SendMessage(
            session_id=self._session_id(),
            text=self._text(),
            mode=self._rng.choice([None, self._mode()]),
            model=self._rng.choice(["", "other"]),
        )
        self.books.accepted.add((await self._do(order)).message_id)

    async def _answer(self) -> None:
        views = await self._asked()
        if not views:
            return
        view, allow = self._rng.choice(views), self._rng.random() < 0.7
        command = _COMMAND.search(f"{view.target} {view.detail}")
        scope = self._rng.choice([GrantScope.ONCE, GrantScope.SESSION, GrantScope.TASK])
        pattern = next((offer.pattern for offer in view.offers if offer.scope is scope), "")
        if command is not None or not allow or not pattern:
            scope, pattern = GrantScope.ONCE, ""
        answer = "w" if view.action_kind is ActionKind.QUESTION and allow else ""
        await self._do(
            AnswerApproval(
                approval_id=view.id, allow=allow, digest=view.digest, answer=answer, scope=scope, pattern=pattern
            )
        )
        # An answer that was refused allows nothing.
        if command is not None and allow:
            self.books.allowed[command.group()] += 1

    async def _deny(self) -> None:
        if views := await self._asked():
            await self._do(DenyApprovals(approval_ids=tuple(view.id for view in views)))

    async def _task(self) -> None:
        order = StartTask(
            text=self._text(),
            agent=self._rng.choice([MAIN, ECHO]),
            session_id=self._rng.choice(["", self._session_id()]),
            lane=self._rng.choice(["", "cron"]),
            idempotency_key=self._rng.choice(["", f"k{self._rng.randrange(30)}"]),
            queue_mode=self._mode(),
            hook_id=self._rng.choice([None, 1]),
        )
        self.books.tasks.append((await self._do(order)).task.id)

    async def _input(self) -> None:
        if not self.books.tasks:
            return
        task = (await self._kernel.query(GetTask(task_id=self._rng.choice(self.books.tasks)))).task
        if task.target_run_id is not None:
            await self._do(SendInput(run_id=task.target_run_id, text=self._text(), queue_mode=self._mode()))

    async def _end(self) -> None:
        if not self.books.tasks:
            return
        if self._rng.random() < 0.5:
            await self._do(CancelTask(task_id=self._rng.choice(self.books.tasks[-20:])))
        else:
            await self._do(RetryTask(task_id=self._rng.choice(self.books.tasks)))

    async def _edit(self) -> None:
        session_id = self._session_id()
        messages = (await self._kernel.query(GetSession(session_id=session_id))).messages
        if not messages:
            return
        message_id = self._rng.choice(messages).id
        orders: list[Command[Any]] = [
            DropMessage(session_id=session_id, message_id=message_id),
            SetMessageMode(session_id=session_id, message_id=message_id, mode=self._mode()),
            MoveMessage(session_id=session_id, message_id=message_id, position=0),
        ]
        await self._do(self._rng.choice(orders))

    async def _session(self) -> None:
        session_id, yes = self._session_id(), self._rng.random() < 0.5
        orders: list[Command[Any]] = [
            InterruptSession(session_id=session_id),
            ResetSession(session_id=session_id, drop_queue=yes),
            ArchiveSession(session_id=session_id),
            UnarchiveSession(session_id=session_id, epoch=0 if yes else None),
            ReleaseLease(session_id=session_id, is_forced=yes),
            CompactSession(session_id=session_id),
        ]
        await self._do(self._rng.choice(orders))

    async def _agent(self) -> None:
        orders: list[Command[Any]] = [
            PauseAgent(name=MAIN),
            ResumeAgent(name=MAIN),
            ResumeAgent(name=MAIN),
            DisableProfile(name=MAIN),
            EnableProfile(name=MAIN),
            EnableProfile(name=MAIN),
            LimitAgent(name=MAIN, limit=self._rng.randrange(3)),
            ResetRunners(agent=self._rng.choice([MAIN, ECHO]), is_hard=self._rng.random() < 0.5),
        ]
        await self._do(self._rng.choice(orders))
