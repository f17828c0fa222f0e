"""kill -9 around decisions: what waits is asked again, and nothing runs more often than it was allowed."""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from core.api.approvals import AnswerApproval, ApprovalState, ApprovalView, EndReason, ListApprovals
from core.api.base import Actor, ActorKind, AgentName, ApprovalId, PlatformName, SessionId, TaskId
from core.api.errors import HermesError
from core.api.port import Hermes
from core.api.sessions import GetSession, OpenSession, SessionState, SessionView
from core.api.tasks import GetTask, ListTasks, RunState, StartTask, TaskFilter, TaskReceipt, TaskState
from core.api.transcripts import EntryKind, ReadTranscript
from core.connect import attach
from core.home import prepare
from tests.support.served_core import ServedCore

# Attempts are not bounded here: the test kills far more often than any message or task deserves.
CONFIG = """
http: {port: 0}
agents:
  main:
    runner: scripted
    pace: 0
    workspace: workspaces/main/shared
    policy: {runtime_type: process}
  worker:
    runner: scripted
    scenario: slow.yaml
    concurrency: 4
    policy: {retry: {max_attempts: 100}}
sessions: {max_attempts: 100}
"""
SCENARIO = """
about: Says after a while what it was told.
streamed: false
rules:
  - steps:
      - pause: 0.1
      - text: "{text}"
"""
KILLS = 120
FEW_KILLS = 12
COMMAND_S = 0.1
OPERATOR = Actor(ActorKind.OPERATOR, "ana")
WORKER = AgentName("worker")
PATIENCE_S = 30.0
LOOK_S = 0.02

MOVING = (TaskState.QUEUED, TaskState.RUNNING, TaskState.WAITING)

V = TypeVar("V")


class Wanted:
    """A command that an agent wants to run, each line of `file` a time that it ran.

    yes_count: answers that were sent, whether or not they arrived; asked: every approval that was seen, in order.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.file = folder / name
        self.session_id = SessionId(f"local:dm:{name}")
        text = f"!run sleep {COMMAND_S}; echo ran >> {name}"
        self.opening = OpenSession(platform=PlatformName("local"), chat=name, text=text, agent=AgentName("main"))
        self.yes_count = 0
        self.again_count = 0
        self.asked: list[ApprovalId] = []

    @property
    def line_count(self) -> int:
        """How often it ran."""
        return len(self.file.read_text().splitlines()) if self.file.exists() else 0


class Desk:
    """The operator of a core that is killed under their hands."""

    def __init__(self, core: ServedCore, rng: random.Random) -> None:
        self.core = core
        self.rng = rng
        self.hermes: Hermes | None = None
        self.up = asyncio.Event()
        self.kill_count = self.orphaned_count = self.reasked_count = 0

    async def start(self) -> None:
        """Start the core and attach to it."""
        await self.core.start()
        try:
            self.hermes = await attach(self.core.home)
        except BaseException:
            await self.core.kill()
            raise
        self.up.set()

    async def kill(self) -> None:
        """Kill -9."""
        self.up.clear()
        await self.core.kill()
        self.kill_count += 1
        if self.hermes is not None:
            await self.hermes.close()

    async def close(self) -> None:
        """Let nothing go on, whatever state it is in."""
        if self.up.is_set():
            await self.kill()

    @property
    def here(self) -> Hermes:
        """The core that runs."""
        assert self.hermes is not None
        return self.hermes

    async def approvals(self, wanted: Wanted) -> list[ApprovalView]:
        """All that its session asked, the first one first."""
        found = await self.here.query(ListApprovals(limit=1000))
        mine = [view for view in found.approvals if view.session_id == wanted.session_id]
        return sorted(mine, key=lambda view: view.id)

    async def asked(self, wanted: Wanted) -> ApprovalView:
        """The question that waits; another one than any before."""

        async def waiting() -> ApprovalView | None:
            found = [view for view in await self.approvals(wanted) if view.state is ApprovalState.OPEN]
            assert len(found) <= 1, "one session asks one thing"
            return found[0] if found else None

        view = await until(waiting)
        assert view.id not in wanted.asked, "what was asked before a kill must not be answered after it"
        wanted.asked.append(view.id)
        return view

    async def say_yes(self, wanted: Wanted, view: ApprovalView) -> None:
        """Approve what was shown. The core may be killed meanwhile."""
        wanted.yes_count += 1
        await self.here.execute(AnswerApproval(approval_id=view.id, allow=True, digest=view.digest), actor=OPERATOR)

    async def session(self, wanted: Wanted) -> SessionView:
        """Its session."""
        return (await self.here.query(GetSession(session_id=wanted.session_id))).session

    async def ended(self, wanted: Wanted) -> None:
        """Its message is answered."""

        async def idle() -> bool | None:
            view = await self.session(wanted)
            return True if view.state is SessionState.IDLE and view.last_outcome is not None else None

        await until(idle)


async def until(look: Callable[[], Awaitable[V | None]]) -> V:
    """What is there at last."""
    async with asyncio.timeout(PATIENCE_S):
        while (found := await look()) is None:  # noqa: ASYNC110 - another process decides when
            await asyncio.sleep(LOOK_S)
        return found


async def _round(desk: Desk, wanted: list[Wanted]) -> None:
    """Three commands of a round: unanswered at the kill, answered at that very moment, answered some time before."""
    for item in wanted:
        await desk.here.execute(item.opening, actor=OPERATOR)
    views = [await desk.asked(item) for item in wanted]
    unanswered, at_once, before = wanted
    await desk.say_yes(before, views[2])
    # The pauses are the point of the test: the blow falls anywhere between the answer and the end of the command.
    await asyncio.sleep(desk.rng.uniform(0.0, 2 * COMMAND_S))
    answering = asyncio.get_running_loop().create_task(desk.say_yes(at_once, views[1]))
    await asyncio.sleep(desk.rng.uniform(0.0, 0.01))
    await desk.kill()
    await asyncio.gather(answering, return_exceptions=True)
    # A command outlives the core by as long as it takes: what it does then was allowed.
    await asyncio.sleep(2 * COMMAND_S)
    assert unanswered.line_count == 0, "it ran, and nobody had said yes"
    await desk.start()
    await _asked_again(desk, unanswered)
    for item in (at_once, before):
        await _settled(desk, item)


async def _asked_again(desk: Desk, wanted: Wanted) -> None:
    """What nobody had answered is orphaned, asked anew as its successor, and runs once when it is approved."""
    view = await desk.asked(wanted)
    first = (await desk.approvals(wanted))[0]
    assert (first.state, first.ended, first.replaced_by) == (ApprovalState.ORPHANED, EndReason.RESTART, view.id)
    assert view.replaces == first.id
    assert view.digest == first.digest
    desk.orphaned_count += 1
    desk.reasked_count += 1
    await desk.say_yes(wanted, view)
    await desk.ended(wanted)
    assert wanted.line_count == 1


async def _settled(desk: Desk, wanted: Wanted) -> None:
    """What was answered before the kill is over, or asked again before anything runs a second time."""

    async def over_or_asked() -> ApprovalView | SessionView | None:
        view = await desk.session(wanted)
        if view.state is SessionState.IDLE and view.last_outcome is not None and view.last_outcome.answered:
            return view
        return next((item for item in await desk.approvals(wanted) if item.state is ApprovalState.OPEN), None)

    found = await until(over_or_asked)
    if isinstance(found, SessionView):
        assert wanted.line_count == 1
        return
    view = await desk.asked(wanted)
    wanted.again_count += 1
    desk.reasked_count += view.replaces is not None
    desk.orphaned_count += view.replaces is not None
    ran = wanted.line_count
    # Nothing may run while the question is open; some time for what should not happen.
    await asyncio.sleep(COMMAND_S)
    assert wanted.line_count == ran <= 1
    await desk.say_yes(wanted, view)
    await desk.ended(wanted)
    assert wanted.line_count == ran + 1


async def _feed(desk: Desk, accepted: dict[str, TaskId], is_over: asyncio.Event) -> int:
    """Give the worker one task after another, each until its receipt is there. How many came back as copies."""
    copies = number = 0
    while not is_over.is_set():
        key = f"k{number}"
        task = await _accepted(desk, key)
        assert accepted.setdefault(key, task.task.id) == task.task.id
        if number % 3 == 0:
            # Of an earlier start perhaps: the same key is the same task.
            earlier = f"k{desk.rng.randrange(number + 1)}"
            copy = await _accepted(desk, earlier)
            assert (copy.task.id, copy.is_duplicate) == (accepted[earlier], True)
            copies += 1
        number += 1
        await asyncio.sleep(desk.rng.uniform(0.0, 0.06))
    return copies


async def _accepted(desk: Desk, key: str) -> TaskReceipt:
    """The receipt, however many starts it takes."""
    command = StartTask(text=f"task {key}", agent=WORKER, idempotency_key=key)
    while True:
        await desk.up.wait()
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await desk.here.execute(command, actor=OPERATOR)
        except HermesError:
            # The core is down until its next start.
            await asyncio.sleep(LOOK_S)


class Tasks:
    """What became of all accepted tasks. Each is done once, failed for all to see, or waits; or else it is lost."""

    def __init__(self) -> None:
        self.done = self.failed = self.waiting = self.lost = self.twice = self.rerun = 0

    async def look(self, desk: Desk, key: str, task_id: TaskId) -> None:
        """Take one in."""
        detail = await desk.here.query(GetTask(task_id=task_id))
        task = detail.task
        transcript = await desk.here.query(ReadTranscript(session_id=task.session_id, limit=1000))
        answers = [entry for entry in transcript.entries if entry.kind is EntryKind.AGENT and not entry.is_partial]
        successes = sum(run.state is RunState.OK for run in detail.runs)
        self.rerun += len(detail.runs) > 1
        self.twice += len(answers) > 1 or successes > 1
        match task.state:
            case TaskState.DONE | TaskState.IDLE if successes and task.answer == f"task {key}":
                self.done += 1
            case TaskState.ERROR if task.error:
                self.failed += 1
            case TaskState.QUEUED | TaskState.RUNNING:
                self.waiting += 1
            case _:
                self.lost += 1


async def _tasks_over(desk: Desk, accepted: dict[str, TaskId]) -> Tasks:
    """Wait until nothing moves any more, then look at each."""

    async def idle() -> bool | None:
        page = await desk.here.query(ListTasks(only=TaskFilter(states=MOVING), limit=1))
        return None if page.tasks else True

    await until(idle)
    found = Tasks()
    for key, task_id in accepted.items():
        await found.look(desk, key, task_id)
    return found


def _prepared(home: Path) -> None:
    prepare(home)
    (home / "config.yaml").write_text(CONFIG)
    (home / "slow.yaml").write_text(SCENARIO)


@pytest.mark.torture
@pytest.mark.timeout(600)
async def test_nothing_runs_without_a_yes_and_what_waited_is_asked_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three commands and a stream of tasks at every kill; the files show how often each command ran."""
    kills = KILLS if os.environ.get("HERMES_TORTURE") == "long" else FEW_KILLS
    home = tmp_path / "home"
    ran = home / "workspaces" / "main" / "shared"
    await asyncio.to_thread(_prepared, home)
    desk = Desk(ServedCore(home), random.Random(11))
    await desk.start()
    wanted: list[Wanted] = []
    accepted: dict[str, TaskId] = {}
    is_over = asyncio.Event()
    feeding = asyncio.get_running_loop().create_task(_feed(desk, accepted, is_over))
    try:
        for number in range(kills):
            wanted += [Wanted(ran, f"r{number}-{place}") for place in ("none", "now", "before")]
            await _round(desk, wanted[-3:])
            assert not feeding.done()
        is_over.set()
        copies = await feeding
        tasks = await _tasks_over(desk, accepted)
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
        await desk.close()
    once = sum(item.line_count == 1 for item in wanted)
    again = sum(1 < item.line_count <= item.yes_count for item in wanted)
    twice = sum(item.line_count > item.yes_count for item in wanted)
    lost = sum(item.line_count == 0 for item in wanted)
    with capsys.disabled():
        print(  # noqa: T201 - the counts are the result
            f"\ntorture: kills={kills} asked={sum(len(item.asked) for item in wanted)} orphaned={desk.orphaned_count} "
            f"re-asked={desk.reasked_count} approved={sum(item.yes_count for item in wanted)} ran once={once} "
            f"again after a second yes={again} twice={twice} lost={lost}; "
            f"tasks accepted={len(accepted)} same key again={copies} begun anew={tasks.rerun} done={tasks.done} "
            f"failed={tasks.failed} waiting={tasks.waiting} lost={tasks.lost} twice={tasks.twice}"
        )
    assert (twice, lost, once + again) == (0, 0, len(wanted))
    assert desk.orphaned_count >= kills
    assert (tasks.lost, tasks.twice) == (0, 0)
    assert tasks.done + tasks.failed + tasks.waiting == len(accepted)
    assert tasks.done > 0
