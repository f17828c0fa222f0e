"""A whole core on a home of its own, and short words for what a test orders it and waits for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from core.api.approvals import AnswerApproval, ApprovalState, ApprovalView, GrantScope, ListApprovals
from core.api.base import Actor, ActorKind, AgentName, Event, PlatformName, Seq, SessionId, TaskId
from core.api.errors import StoreError
from core.api.profiles import GetProfile, ProfileView
from core.api.sessions import GetSession, OpenSession, SendMessage, SendReceipt, SessionDetail, SessionView
from core.api.tasks import GetTask, StartTask, TaskReceipt, TaskState, TaskView
from core.api.transcripts import EntryView, ReadTranscript
from core.home import prepare
from core.host import open_core
from core.kernel import Kernel
from core.store.base import Batch, Committed

OPERATOR = Actor(ActorKind.OPERATOR, "ana")
LOCAL = PlatformName("local")
DESK = SessionId("local:dm:desk")
MAIN = AgentName("main")
CONFIG = """
http: {enabled: false}
agents:
  main: {runner: scripted, pace: 0}
  echo: {runner: scripted, scenario: builtin:echo, pace: 0}
core: {drain_s: 0}
"""
LIMIT_S = 20.0

E = TypeVar("E", bound=Event)
F = TypeVar("F")


@asynccontextmanager
async def core(home: Path, config: str = CONFIG) -> AsyncIterator[Kernel]:
    """A core that is stopped in order, and at once, at the end."""
    await asyncio.to_thread(_prepared, home, config)
    kernel = await open_core(home)
    try:
        yield kernel
    finally:
        await kernel.stop(0, "the test is over")


def _prepared(home: Path, config: str) -> None:
    prepare(home)
    (home / "config.yaml").write_text(config)


async def until(
    kernel: Kernel, kind: type[E], *, after: Seq | None = None, fits: Callable[[E], bool] = lambda _: True
) -> E:
    """The first event of that kind that fits."""
    async with asyncio.timeout(LIMIT_S):
        async for record in kernel.subscribe(after=after or Seq(0)):
            if isinstance(record.event, kind) and fits(record.event):
                return record.event
    raise AssertionError(kind)


async def opened(kernel: Kernel, text: str, *, chat: str = "desk", agent: AgentName | None = None) -> SendReceipt:
    """The first message of a chat."""
    return await kernel.execute(OpenSession(platform=LOCAL, chat=chat, text=text, agent=agent), actor=OPERATOR)


async def sent(kernel: Kernel, text: str, **more: object) -> SendReceipt:
    """A message to the desk."""
    command = SendMessage(session_id=DESK, text=text, **more)  # type: ignore[arg-type]
    return await kernel.execute(command, actor=OPERATOR)


async def asked(kernel: Kernel, target: str = "", *, session_id: SessionId = DESK) -> ApprovalView:
    """An approval that is open by now, about that target."""

    async def found() -> ApprovalView | None:
        views = (await kernel.query(ListApprovals(open_only=True))).approvals
        return next((view for view in views if view.session_id == session_id and target in {"", view.target}), None)

    return await some(found)


async def answered(
    kernel: Kernel, view: ApprovalView, *, allow: bool = True, scope: GrantScope = GrantScope.ONCE, reason: str = ""
) -> ApprovalView:
    """A decision about what was looked at."""
    pattern = next((offer.pattern for offer in view.offers if offer.scope is scope), "")
    order = AnswerApproval(
        approval_id=view.id, allow=allow, digest=view.digest, scope=scope, pattern=pattern, reason=reason
    )
    return await kernel.execute(order, actor=OPERATOR)


async def approval(kernel: Kernel, view: ApprovalView, *states: ApprovalState) -> ApprovalView:
    """The same approval once it is in one of these states."""

    async def found() -> ApprovalView | None:
        views = (await kernel.query(ListApprovals())).approvals
        return next((item for item in views if item.id == view.id and item.state in states), None)

    return await some(found)


async def desk(kernel: Kernel, session_id: SessionId = DESK) -> SessionDetail:
    """The session as it is."""
    return await kernel.query(GetSession(session_id=session_id))


async def session(kernel: Kernel, fits: Callable[[SessionView], bool], session_id: SessionId = DESK) -> SessionView:
    """The session once it fits."""

    async def found() -> SessionView | None:
        view = (await desk(kernel, session_id)).session
        return view if fits(view) else None

    return await some(found)


def was_answered(view: SessionView) -> bool:
    """Whether its last run ended in an answer."""
    return view.last_outcome is not None and view.last_outcome.answered


async def rested(kernel: Kernel, session_id: SessionId = DESK) -> SessionView:
    """The session once nothing runs or waits in it."""
    return await session(kernel, lambda view: view.lane_holder is None and not view.queue_depth, session_id)


async def entries(kernel: Kernel, session_id: SessionId = DESK) -> tuple[EntryView, ...]:
    """Its transcript."""
    return (await kernel.query(ReadTranscript(session_id=session_id))).entries


async def started(kernel: Kernel, text: str, **more: object) -> TaskReceipt:
    """A task."""
    return await kernel.execute(StartTask(text=text, **more), actor=OPERATOR)  # type: ignore[arg-type]


async def task(kernel: Kernel, task_id: TaskId, *states: TaskState) -> TaskView:
    """The task once it is in one of these states."""

    async def found() -> TaskView | None:
        view = (await kernel.query(GetTask(task_id=task_id))).task
        return view if view.state in states or not states else None

    return await some(found)


async def profile(kernel: Kernel, name: str = "main") -> ProfileView:
    """An agent."""
    return await kernel.query(GetProfile(name=AgentName(name)))


async def some(find: Callable[[], Awaitable[F | None]]) -> F:
    """What `find` gives once it gives something."""
    async with asyncio.timeout(LIMIT_S):
        while (found := await find()) is None:  # noqa: ASYNC110 - what a query says has no event
            await asyncio.sleep(0.01)
    return found


async def when(holds: Callable[[], bool]) -> None:
    """Once it holds."""

    async def found() -> bool | None:
        return True if holds() else None

    await some(found)


class FullDisk:
    """While it is entered, nothing can be stored; reading works. spares: how many writes still go through."""

    def __init__(self, kernel: Kernel, *, spares: int = 0) -> None:
        self._store: Any = kernel._store
        self._submit = self._store.submit
        self._spares = spares
        self.refused_count = 0

    def __enter__(self) -> Self:
        self._store.submit = self._refuse
        return self

    def __exit__(self, *_: object) -> None:
        self._store.submit = self._submit

    def _refuse(self, batch: Batch) -> "asyncio.Future[Committed]":
        if self._spares:
            self._spares -= 1
            return self._submit(batch)
        self.refused_count += 1
        raise StoreError("the disk is full", cause="full", fix="make room")
