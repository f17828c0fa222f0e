"""The shell lines of the guides to agents, decisions and tasks: each is run, and does what its page says."""

import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from console.actions import ACTIONS
from console.exit_codes import Exit
from tests.support.terminal import CONSOLE, ROOT, clean_environment
from tests.support.typed_commands import Shell, read_json

pytestmark = pytest.mark.e2e

PAGES = {name: (ROOT / "docs" / name).read_text(encoding="utf-8") for name in (
    "guide/agents.md", "guide/decisions.md", "concepts/tasks.md",
)}  # fmt: skip
CONFIG = """\
http: {port: 0}
core: {drain_s: 0}
agents:
  main: {runner: scripted, pace: 0}
"""


def lines_of(page: str) -> list[str]:
    """The shell lines of a page, in its order."""
    return re.findall(r"^    hermes-console (.+)$", PAGES[page], re.MULTILINE)


@pytest.fixture
def home(home: Path) -> Path:
    """A home whose agent asks what it is told to ask."""
    (home / "config.yaml").write_text(CONFIG, encoding="utf-8")
    return home


class Desk:
    """Makes what a line of the guide is about."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell

    def start(self, text: str) -> dict[str, Any]:
        """A task with that text."""
        task: dict[str, Any] = read_json(self.shell("tasks", "start", text, "--json"))["task"]
        return task

    def asks(self, text: str) -> dict[str, Any]:
        """What a new task asks."""
        session = self.start(text)["session_id"]

        def found() -> dict[str, Any] | None:
            return next((item for item in self.approvals() if item["session_id"] == session), None)

        asked: dict[str, Any] = waited(found)
        return asked

    def approvals(self) -> list[dict[str, Any]]:
        """Those that are open or orphaned."""
        listed: list[dict[str, Any]] = read_json(self.shell("approvals", "list", "--all", "--json"))["approvals"]
        return [item for item in listed if item["state"] in {"open", "orphaned"}]

    def run(self, line: str, **places: str) -> subprocess.CompletedProcess[str]:
        """A line of a page with ids in place of its words in capitals; it must do its work."""
        for word, value in places.items():
            line = line.replace(word, value)
        done = self.shell(*shlex.split(line))
        assert done.returncode == 0, f"{line}: {done.stderr}"
        return done


def waited(look: Callable[[], Any]) -> Any:
    """What look() finds, once it finds something."""
    end = time.monotonic() + 30
    while not (found := look()):
        assert time.monotonic() < end, "it never came"
    return found


@pytest.fixture
def desk(served: subprocess.Popen[str], shell: Shell) -> Desk:
    """On a core that runs."""
    assert served.poll() is None
    return Desk(shell)


def line_with(page: str, *words: str) -> str:
    """The one line of a page with all these words."""
    (found,) = [line for line in lines_of(page) if all(word in line for word in words)]
    return found


def test_each_shell_line_about_agents_runs(desk: Desk) -> None:
    """Looking, pausing, limiting, letting runners go."""
    lines = lines_of("guide/agents.md")
    assert len(lines) == len(set(lines)) >= 8
    for line in lines:
        desk.run(line)
    (view,) = read_json(desk.shell("agents", "list", "--json"))["profiles"]
    assert (view["pool"]["state"], view["pool"]["limit"]) == ("ready", 2)


def test_a_decision_from_the_shell_is_for_what_was_looked_at(desk: Desk) -> None:
    """`show` prints the digest; the yes goes through with it, and the no carries its reason."""
    page = "guide/decisions.md"
    wanted = desk.asks("!sh uptime")
    assert wanted["id"] in desk.run("approvals list").stdout
    shown = desk.run(line_with(page, "approvals show"), APPROVAL=wanted["id"])
    assert wanted["digest"] in shown.stdout
    desk.run(line_with(page, "--digest"), APPROVAL=wanted["id"], DIGEST=wanted["digest"])
    desk.run(line_with(page, "deny APPROVAL", "--reason"), APPROVAL=desk.asks("!sh df -h")["id"])
    assert desk.approvals() == []
    assert "approved" in desk.run(line_with(page, "list --all")).stdout


def test_a_question_is_answered_and_several_are_denied_at_once(desk: Desk) -> None:
    """The words reach the agent; the bulk no takes both."""
    page = "guide/decisions.md"
    question = desk.asks("!ask which night?")
    desk.run(line_with(page, "--answer"), QUESTION=question["id"])
    waited(lambda: "Thursday night" in desk.shell("sessions", "show", question["session_id"], "--json").stdout)
    first, second = desk.asks("!sh ls"), desk.asks("!sh whoami")
    desk.run(line_with(page, "deny-all"), FIRST=first["id"], SECOND=second["id"])
    assert desk.approvals() == []


def test_a_yes_that_lasts_is_listed_and_ended(desk: Desk) -> None:
    """With the pattern repeated it is stored; the same then needs no question, until it is revoked."""
    page = "guide/decisions.md"
    why = line_with(page, 'why main exec "git status"')
    assert "ask.on-miss" in desk.run(why).stdout
    desk.run(line_with(page, "--scope always"), APPROVAL=desk.asks("!sh git status")["id"])
    assert "grant" in desk.run(why).stdout
    assert "ask.on-miss" in desk.run(line_with(page, "rm -rf build")).stdout
    desk.run(line_with(page, "--remember-s"), APPROVAL=desk.asks("!sh free -m")["id"])
    assert desk.run(line_with(page, "approvals grants")).stdout
    grants = read_json(desk.shell("approvals", "grants", "--json"))["grants"]
    assert sorted(grant["allow"] for grant in grants) == [False, True]
    (given,) = [grant for grant in grants if grant["allow"]]
    desk.run(line_with(page, "revoke"), GRANT=given["id"])
    assert "ask.on-miss" in desk.run(why).stdout


def test_what_a_kill_cut_off_is_orphaned_and_asked_again(home: Path, shell: Shell) -> None:
    """It cannot be approved; its run is taken up again and asks anew, and the line of the page names the new one."""
    desk = Desk(shell)
    with serving(home):
        wanted = desk.asks("!sh uptime")
    with serving(home):
        state = {item["id"]: item["state"] for item in desk.approvals()}
        assert state[wanted["id"]] == "orphaned"
        assert shell("approvals", "approve", wanted["id"]).returncode == Exit.CONFLICT
        again = waited(lambda: [item["id"] for item in desk.approvals() if item["state"] == "open"])
        line = line_with("guide/decisions.md", "reask").replace("ORPHAN", wanted["id"])
        refused = shell(*shlex.split(line))
        assert refused.returncode == Exit.CONFLICT
        assert again == [word for word in refused.stderr.split() if word in again][:1]
        assert shell("approvals", "approve", *again).returncode == 0


@contextmanager
def serving(home: Path) -> Iterator[None]:
    """A core without a screen that has said that it is ready; killed at the end."""
    argv = [*CONSOLE, "--home", str(home), "serve"]
    env = clean_environment(home.parent)
    with subprocess.Popen(
        argv, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        try:
            assert "runs on" in said, said
            yield
        finally:
            process.kill()


def test_each_shell_line_about_tasks_runs(desk: Desk) -> None:
    """On a task that is over, and in its session; a lease that nobody holds is free."""
    lines = lines_of("concepts/tasks.md")
    assert len(lines) >= 5
    task = desk.start("hello")
    read_json(desk.shell("tasks", "start", "hello again", "--session", task["session_id"], "--wait", "--json"))
    waited(lambda: read_json(desk.shell("tasks", "show", task["id"], "--json"))["task"]["state"] == "done")
    for line in lines:
        desk.run(line, TASK=task["id"], SESSION=task["session_id"])
    listed = read_json(desk.shell("tasks", "list", "--json"))["tasks"]
    assert [item["text"] for item in listed] == ["hello again"]


def test_the_keys_of_the_pages_are_those_of_the_console() -> None:
    """Every letter that a page names in these words does what the page says."""
    known = {action.id: action.key for action in ACTIONS}
    keys = {"view.approvals": "3", "approval.answer": "A", "approval.deny_all": "D", "view.grants": "s"} | {
        "approval.reask": "R", "grant.revoke": "X", "task.retry": "R", "session.compact": "C", "agent.pause": "P"
    }  # fmt: skip
    assert {action_id: known[action_id] for action_id in keys} == keys
