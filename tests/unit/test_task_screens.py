"""The list of tasks, one task, and what an operator does to them."""

from typing import Any, TypeVar

from core.api.base import AgentName, Command, RunId, SessionId, TaskId
from core.api.sessions import Mode
from core.api.streams import StreamItem, StreamKind
from core.api.tasks import (
    ArchiveTask,
    AttemptState,
    CancelTask,
    DropReason,
    RetryTask,
    RunState,
    SendInput,
    StartTask,
    TaskEnded,
    TaskState,
)
from tests.support.console_desk import Desk, desk
from tests.support.fake_hermes import FakeHermes, ago, profile, session
from tests.support.fake_work import FakeWork, attempt, task, task_run

C = TypeVar("C", bound=Command[Any])


def busy() -> FakeHermes:
    """Tasks in every kind of trouble, one with a child, one archived."""
    work = FakeWork(
        held_tasks=[
            task(
                "task-1",
                state=TaskState.RUNNING,
                target_run_id=RunId("run-1"),
                attempt_count=2,
                text="tidy the \x1b[31mlogs",
                session_id=SessionId("local:dm:ana"),
            ),
            task("task-2", state=TaskState.WAITING, label="deploy", parent_id=TaskId("task-1"), spawned_by="planner"),
            task("task-3", state=TaskState.ERROR, label="report", error="provider said 529", ended=ago(20)),
            task("task-4", state=TaskState.DROPPED, label="old", dropped_reason=DropReason.AGENT_GONE, ended=ago(90)),
            task("task-5", label="later", retry=ago(-25), attempt_count=1),
            task("task-6", state=TaskState.DONE, label="gone", archived=ago(5), ended=ago(50), answer="it is tidy"),
        ],
        runs=[task_run("run-1"), task_run("run-0", state=RunState.ERROR, error="broken pipe", ended=ago(70))],
        attempts=[attempt("run-1", 1, state=AttemptState.BLOCKED), attempt("run-0", 1, state=AttemptState.ERROR)],
    )
    work.stream = [
        StreamItem(
            number=number,
            at=1_700_000_000.0,
            kind=kind,
            session_id=SessionId("local:dm:ana"),
            text=words,
            task_id=TaskId("task-1"),
            what=what,
        )
        for number, (kind, what, words) in enumerate(
            [
                (StreamKind.STATE, "running", ""),
                (StreamKind.TOOL, "completed", "ls -la"),
                (StreamKind.TEXT, "", "I look \x1b]0;x\x07 around"),
            ],
            1,
        )
    ]
    return FakeHermes(
        sessions=[session("local:dm:ana")],
        profiles=[profile("main"), profile("ops", is_default=False)],
        work=work,
    )


def sent(seen: Desk, kind: type[C]) -> list[C]:
    """The commands of one kind, in order."""
    return [command for command in seen.hermes.commands if isinstance(command, kind)]


async def test_what_waits_for_somebody_is_first_then_what_failed():
    """The archived one is hidden until it is asked for."""
    async with desk(busy(), (140, 40)) as seen:
        await seen.press("6")
        order = []
        for _ in range(5):
            order.append(seen.app.desk.table.cursor_id)
            await seen.press("j")
        assert order == ["task-2", "task-3", "task-4", "task-1", "task-5"]
        for words in ("provider said 529", "agent gone", "again in", "1 waiting", "planner"):
            assert words in seen.text
        await seen.press("i")
        assert "gone: tidy the logs" in seen.text


async def test_an_error_is_never_shown_as_done():
    """Its own sign, word and tone."""
    async with desk(busy(), (80, 24)) as seen:
        await seen.press("6", "j")
        assert "✗ error" in seen.text
        assert "✓ done" not in seen.text


async def test_a_filter_finds_by_label_agent_and_state():
    """And the sort order can be another."""
    async with desk(busy()) as seen:
        await seen.press("6", "slash", *"report", "enter")
        assert seen.app.desk.table.cursor_id == "task-3"
        await seen.press("escape", "o")
        assert "sort age" in seen.text


async def test_a_task_is_shown_whole_and_harmless():
    """What was asked is data: no escape reaches the terminal."""
    async with desk(busy(), (140, 40)) as seen:
        await seen.press("6", "j", "j", "j", "enter")
        assert "attempt 2 of 2" in seen.text
        assert "\x1b" not in seen.text
        assert "start 0, token 0" not in seen.text
        await seen.press("3")
        assert "broken pipe" in seen.text
        assert "blocked" in seen.text


async def test_the_log_follows_and_asks_only_for_what_is_new():
    """The second question names the number of the last line."""
    hermes = busy()
    async with desk(hermes, (140, 40)) as seen:
        await seen.press("6", "j", "j", "j", "enter", "2")
        assert "ls -la" in seen.text
        assert "\x1b" not in seen.text
        line = hermes.work.stream[-1]
        hermes.work.stream.append(
            StreamItem(number=9, at=line.at, kind=StreamKind.LOG, session_id=line.session_id, text="one more line")
        )
        seen.clock.at += 3
        await seen.settle()
        assert "one more line" in seen.text
        asked = [query.after for query in hermes.queries if type(query).__name__ == "ReadStream"]
        assert asked[0] == 0
        assert asked[-1] >= 3


async def test_the_tree_shows_parents_and_children_with_their_depth():
    """Enter goes to another task of it."""
    async with desk(busy(), (140, 40)) as seen:
        await seen.press("6", "enter", "4")
        lines = [line for line in seen.text.splitlines() if "deploy" in line or "nightly" in line]
        assert any("  deploy" in line for line in lines)
        await seen.press("g", "enter")
        assert seen.app.navigator.view.task_id == "task-1"


async def test_cancelling_names_what_is_lost_and_what_goes_on():
    """A task that it made is named; the reason goes with it."""
    async with desk(busy()) as seen:
        await seen.press("6", "j", "j", "j", "X")
        assert "1 task that it made go on" in seen.text
        await seen.press("shift+tab", *"stuck", "tab", "right", "enter")
        assert sent(seen, CancelTask) == [CancelTask(task_id=TaskId("task-1"), reason="stuck")]


async def test_only_what_is_over_is_tried_again_or_archived():
    """A key that can do nothing says why."""
    async with desk(busy()) as seen:
        await seen.press("6", "R")
        assert "it is waiting" in seen.text
        await seen.press("j", "R", "V")
        assert sent(seen, RetryTask) == [RetryTask(task_id=TaskId("task-3"))]
        assert "it goes on" in seen.text
        await seen.press("slash", *"dropped", "enter", "V")
        assert sent(seen, ArchiveTask) == [ArchiveTask(task_id=TaskId("task-4"))]


async def test_a_new_task_goes_to_the_agent_that_was_chosen():
    """Nothing is sent without something to do, and a key makes a second press harmless."""
    async with desk(busy()) as seen:
        await seen.press("6", "N", "enter")
        assert "it needs something to do" in seen.text
        await seen.press(*"look", "shift+tab", "right", "tab", "enter")
        (command,) = sent(seen, StartTask)
        assert (command.text, command.agent) == ("look", AgentName("ops"))
        assert command.idempotency_key.startswith("console-")


async def test_a_word_to_a_run_says_how_it_is_taken():
    """Followup unless another way is chosen."""
    async with desk(busy()) as seen:
        await seen.press("6", "j", "j", "j", "I", *"hurry", "tab", "down", "shift+tab", "enter")
        (command,) = sent(seen, SendInput)
        assert (command.run_id, command.text, command.queue_mode) == ("run-1", "hurry", Mode.STEER)


async def test_the_list_follows_the_core():
    """An end moves the row without a key."""
    hermes = busy()
    async with desk(hermes, (140, 40)) as seen:
        await seen.press("6")
        done = task("task-1", version=2, state=TaskState.DONE, ended=ago(0), answer="all tidy", label="nightly")
        hermes.emit(TaskEnded(task=done), subject="task-1")
        await seen.settle()
        assert "✓ done" in seen.text
        assert "all tidy" in seen.text


async def test_the_session_of_a_task_is_one_key_away():
    """From the list and from the task."""
    async with desk(busy()) as seen:
        await seen.press("6", "j", "j", "j", "l")
        assert seen.app.navigator.place == "session"
