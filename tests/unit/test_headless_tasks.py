"""Tasks from a shell: lists, logs, starting and waiting, acts, exit codes."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.api.base import AgentName, RunId, TaskId
from core.api.sessions import Mode
from core.api.tasks import (
    ArchiveTask,
    CancelTask,
    ListTasks,
    RetryTask,
    Routing,
    SendInput,
    StartTask,
    TaskFilter,
    TaskReceipt,
    TaskState,
)
from tests.support.fake_hermes import FakeHermes
from tests.support.fake_work import task
from tests.support.shell import Shell, shell_on
from tests.unit.test_task_screens import busy


@pytest.fixture
def hermes() -> FakeHermes:
    """Tasks in every kind of trouble."""
    return busy()


@pytest.fixture
def shell(hermes: FakeHermes) -> Iterator[Shell]:
    """A shell on that core."""
    with tempfile.TemporaryDirectory(prefix="hc-") as folder, shell_on(hermes, Path(folder)) as opened:
        yield opened


def test_the_list_is_narrowed_by_flags(shell: Shell, hermes: FakeHermes) -> None:
    """Every flag is a field of the filter; archived ones only when asked for."""
    said = shell.run("tasks list --plain")
    assert [line.split()[0] for line in said.lines[1:]] == ["task-5", "task-4", "task-3", "task-2", "task-1"]
    assert "task-6" in shell.run("tasks list --plain --archived").out
    shell.run("tasks list --state error --state dropped --agent main --parent task-1 --text x --limit 5")
    asked = [query for query in hermes.queries if isinstance(query, ListTasks)][-1]
    assert asked == ListTasks(
        only=TaskFilter(
            states=(TaskState.ERROR, TaskState.DROPPED), agent=AgentName("main"), parent_id=TaskId("task-1"), text="x"
        ),
        limit=5,
    )


def test_a_task_is_shown_with_its_runs_and_tries(shell: Shell) -> None:
    """Text from outside cannot write to the terminal."""
    said = shell.run("tasks show task-1")
    assert said.code == 0
    for words in ("attempt 2 of 2", "broken pipe", "blocked", "made by it:", "task-2"):
        assert words in said.out
    assert "\x1b" not in said.out


def test_the_log_is_printed_line_by_line(shell: Shell) -> None:
    """As words, or as one JSON object for each item; it goes on after a number."""
    said = shell.run("tasks log task-1")
    assert "tool completed  ls -la" in said.out
    assert "\x1b" not in said.out
    items = [json.loads(line) for line in shell.run("tasks log task-1 --after 2 --json").lines]
    assert [item["number"] for item in items] == [3]


def test_starting_passes_everything_on(shell: Shell, hermes: FakeHermes) -> None:
    """A key makes it safe to repeat; a route is a platform and a chat."""
    line = "tasks start 'look around' --agent ops --key k1 --label l --timeout-s 2.5 --deliver-to telegram:42"
    assert shell.run(line).code == 0
    assert hermes.commands == [
        StartTask(
            text="look around",
            agent=AgentName("ops"),
            idempotency_key="k1",
            label="l",
            timeout_ms=2500,
            deliver=True,
            routing=Routing(channel="telegram", to="42"),
        )
    ]
    assert shell.run("tasks start x --deliver-to telegram").code == 2


@pytest.mark.parametrize(("state", "code"), [(TaskState.DONE, 0), (TaskState.ERROR, 1), (TaskState.CANCELLED, 1)])
def test_waiting_prints_the_answer_and_says_by_its_code_whether_there_is_one(
    shell: Shell, hermes: FakeHermes, state: TaskState, code: int
) -> None:
    """The answer alone is on stdout."""
    over = task("task-9", state=state, answer="42 lines", error="" if state is TaskState.DONE else "broken")
    hermes.work.tasks[over.id] = over
    hermes.receipts[StartTask] = TaskReceipt(task=task("task-9"))
    said = shell.run("tasks start 'count them' --wait")
    assert said.code == code
    assert said.out == "42 lines\n"


def test_acts_are_commands(shell: Shell, hermes: FakeHermes) -> None:
    """What loses something is asked for first."""
    assert shell.run("tasks cancel task-1").code == 5
    assert hermes.commands == []
    assert shell.run("tasks cancel task-1 --yes --reason stuck").code == 0
    assert shell.run("tasks retry task-3").code == 0
    assert "lists hide it" in shell.run("tasks archive task-4").out
    assert "it waits" in shell.run("tasks input run-1 hurry --mode steer --key k").out
    assert hermes.commands == [
        CancelTask(task_id=TaskId("task-1"), reason="stuck"),
        RetryTask(task_id=TaskId("task-3")),
        ArchiveTask(task_id=TaskId("task-4")),
        SendInput(run_id=RunId("run-1"), text="hurry", queue_mode=Mode.STEER, idempotency_key="k"),
    ]


def test_what_is_not_there_ends_with_its_own_code(shell: Shell) -> None:
    """Not found is 4, for tasks and for runs."""
    assert shell.run("tasks show task-77").code == 4
    assert shell.run("tasks run run-77").code == 4
    assert "tidy" in shell.run("tasks show task-1").out
