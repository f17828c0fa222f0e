"""The rest of the shell: status, lists, events, configuration, the ways to a screen, exit codes."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.actions import ACTIONS
from console.exit_codes import Exit
from console.headless import VERBS
from console.options import ConsoleOptions, options_from
from console.shell.call import ended
from console.shell.printing import table
from core.api.base import Seq
from core.api.codec import COMMANDS, decode_record, decode_view
from core.api.errors import HermesError
from core.api.sessions import SessionActive, SessionOpened
from core.api.system import ConfigView, HealthView, Shutdown
from tests.support.fake_hermes import FakeHermes, config, health, session
from tests.support.shell import FakeDoors, Shell, run_line, shell_on


@pytest.fixture
def home() -> Iterator[Path]:
    """A home whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="hc-") as folder:
        yield Path(folder)


@pytest.fixture
def shell(home: Path) -> Iterator[Shell]:
    """A shell on a core that has opened two sessions."""
    fake = FakeHermes(health_view=health(problems=("the disk is nearly full",), pid=2**22 + 7))
    for name in ("ana", "bo"):
        fake.emit(SessionOpened(session=session(name)))
    with shell_on(fake, home) as opened:
        yield opened


def subclasses(kind: type[HermesError]) -> Iterator[type[HermesError]]:
    """A class of errors and all below it."""
    yield kind
    for below in kind.__subclasses__():
        yield from subclasses(below)


def test_every_action_with_a_command_has_its_verb() -> None:
    """Whatever can be ordered on the screen can be ordered here."""
    assert {action.verb for action in ACTIONS if action.verb} <= set(VERBS)
    assert {action.command for action in ACTIONS if action.command} == set(COMMANDS)


def test_every_error_has_an_exit_code_that_is_promised() -> None:
    """The tree of errors and the table of exit codes agree."""
    assert {kind.exit_code for kind in subclasses(HermesError)} <= set(Exit)
    assert all(code.meaning for code in Exit)


def test_status_begins_with_what_is_wrong(shell: Shell) -> None:
    """Problems first, then the facts; the same as JSON."""
    assert shell.run("status").lines[0] == "problem  the disk is nearly full"
    assert isinstance(decode_view(shell.run("status --json").out.encode()), HealthView)


@pytest.mark.parametrize(("line", "word"), [("platforms list", "loopback"), ("agents list", "scripted")])
def test_lists_have_a_heading_and_rows(shell: Shell, line: str, word: str) -> None:
    """One row for each."""
    said = shell.run(line)
    assert len(said.lines) == 2
    assert word in said.lines[1]


def test_events_are_printed_one_to_a_line(shell: Shell) -> None:
    """As words, or as records in JSON; after a place, about a subject."""
    assert ["session opened" in line for line in shell.run("events").lines] == [True, True]
    records = [decode_record(line.encode()) for line in shell.run("events --json --after 1").lines]
    assert [record.seq for record in records] == [2]
    assert len(shell.run("events --subject local:dm:ana").lines) == 1


def test_following_prints_what_comes_until_the_core_goes(shell: Shell) -> None:
    """Stored records in order, without what only lives; then exit code 7."""

    def happen() -> None:
        shell.fake.emit(SessionActive(session=session("ana")), durable=False)
        shell.fake.emit(SessionOpened(session=session("cy")))
        shell.fake.lose()

    subscribe = shell.fake.subscribe

    def subscribed(*, after: Seq) -> object:
        asyncio.get_running_loop().call_later(0, happen)
        return subscribe(after=after)

    shell.fake.subscribe = subscribed  # type: ignore[method-assign, assignment]  # something happens once it is followed
    said = shell.run("events --follow --json")
    assert said.code == 7
    assert [decode_record(line.encode()).seq for line in said.lines] == [1, 2, 3]


def test_who_falls_behind_is_told_what_is_missing(home: Path) -> None:
    """After Lagged the following goes on, and a real gap is named on stderr."""
    fake = FakeHermes()
    for name in ("a", "b", "c", "d"):
        fake.emit(SessionOpened(session=session(name)))
    fake.forget(up_to=Seq(3))
    subscribe, asked = fake.subscribe, list[Seq]()

    def subscribed(*, after: Seq) -> object:
        asked.append(after)
        if len(asked) == 3:
            asyncio.get_running_loop().call_later(0, fake.lose)
        return subscribe(after=after)

    fake.subscribe = subscribed  # type: ignore[method-assign, assignment]  # the core goes when all was tried
    with shell_on(fake, home) as shell:
        said = shell.run("events --follow --after 1")
    assert said.code == 7
    assert "records from 2 to 4 were missed" in said.err


def test_the_configuration_comes_from_the_core_that_runs(shell: Shell) -> None:
    """Values and origins, secrets hidden."""
    said = shell.run("config show")
    assert [line.split() for line in said.lines[1:]] == [
        ["http.port", "8642", "default"],
        ["http.key", "file:***", "config.yaml:4"],
    ]


def test_without_a_core_the_configuration_is_read_from_the_home(home: Path) -> None:
    """As a core would read it now, and it is said that none runs."""
    (home / "config.yaml").write_text("http:\n  port: 8700\n")
    said = run_line(FakeDoors(home), "config show --json")
    view = decode_view(said.out.encode())
    assert isinstance(view, ConfigView)
    assert {item.key: (item.value, item.origin) for item in view.settings}["http.port"] == ("8700", "config.yaml:2")
    assert "no core runs" in said.err


def test_a_configuration_is_checked_without_a_core(home: Path) -> None:
    """Every fault on a line, exit code 2; a good one is said to be good."""
    doors = FakeDoors(home)
    assert run_line(doors, "config check").code == 0
    (home / "config.yaml").write_text("http:\n  prot: 1\n  port: x\n")
    said = run_line(doors, "config check")
    assert (said.code, len(said.lines)) == (2, 2)
    found = json.loads(run_line(doors, "config check --json").out)
    assert [error["facts"]["line"] for error in found["errors"]] == [2, 3]
    assert run_line(doors, "config path").lines == [str(home / "config.yaml")]


def test_without_a_core_a_command_says_how_to_start_one(home: Path) -> None:
    """Exit code 7 and the next step."""
    said = run_line(FakeDoors(home), "status")
    assert (said.code, said.out) == (7, "")
    assert said.err == f"hermes-console: no core runs on {home}; start one with: hermes-console serve\n"


@pytest.mark.parametrize(
    "line",
    ["nonsense", "sessions", "sessions show", "sessions list --limit x", "sessions send a b --as king", "--hom x"],
)
def test_wrong_usage_is_exit_code_two(home: Path, line: str) -> None:
    """The usage goes to stderr and nothing to stdout; options are not guessed from their beginnings."""
    said = run_line(FakeDoors(home), line)
    assert (said.code, said.out) == (2, "")
    assert "usage: hermes-console" in said.err


def test_help_and_version_are_data(home: Path) -> None:
    """Asked for, they go to stdout with exit code 0; help lists the exit codes."""
    said = run_line(FakeDoors(home), "--help")
    assert said.code == 0
    assert "130 interrupted" in " ".join(said.out.split())
    assert run_line(FakeDoors(home), "--version").out.startswith("hermes-console ")


@pytest.mark.parametrize("line", ["--home {} config path", "config --home {} path", "config path --home {}"])
def test_global_options_stand_anywhere(home: Path, line: str) -> None:
    """Before the noun, between, and after the verb."""
    said = run_line(FakeDoors(Path("/nowhere")), line.format(home))
    assert said.lines == [str(home / "config.yaml")]


@pytest.mark.parametrize(
    ("line", "is_embedded", "demo"), [("", True, False), ("attach", False, False), ("demo", True, True)]
)
def test_the_screen_is_opened_in_its_three_ways(home: Path, line: str, is_embedded: bool, demo: bool) -> None:
    """Embedded, attached, or on a throw-away home that is gone afterwards."""
    doors = FakeDoors(home)
    doors.code = 3
    assert run_line(doors, f"{line} --read-only", is_terminal=True).code == 3
    assert doors.flags == {"is_embedded": is_embedded, "read_only": True, "demo": demo, "home_is_there": True}
    assert demo == (not doors.opened[-1][1].exists())


@pytest.mark.parametrize("line", ["", "attach", "demo"])
def test_the_screen_needs_a_terminal(home: Path, line: str) -> None:
    """Exit code 2 with the commands that do without; an early first frame is taken back."""
    doors = FakeDoors(home)
    said = run_line(doors, line)
    assert said.code == 2
    assert "hermes-console serve" in said.err
    assert doors.opened == [("left", home)]


def test_serve_says_where_it_listens_with_a_line_to_try(home: Path) -> None:
    """Narration on stderr; with --json the health on stdout."""
    doors = FakeDoors(home)
    said = run_line(doors, "serve")
    assert (said.code, said.out) == (0, "")
    assert 'curl -H "Authorization: Bearer $(cat /home/ana/.hermes-console/secrets/api_key)"' in said.err
    assert isinstance(decode_view(run_line(doors, "serve --json").out.encode()), HealthView)


def test_the_core_is_stopped_and_its_end_awaited(shell: Shell) -> None:
    """Shutdown with the drain time; the command returns when the connection has gone."""
    subscribe = shell.fake.subscribe

    def subscribed(*, after: Seq) -> object:
        asyncio.get_running_loop().call_later(0, shell.fake.lose)
        return subscribe(after=after)

    shell.fake.subscribe = subscribed  # type: ignore[method-assign, assignment]  # the core goes while it is followed
    said = shell.run("core stop --drain 2 --reason update")
    assert said.code == 0
    assert shell.fake.commands == [Shutdown(reason="update", drain_s=2.0)]
    assert "the core has stopped" in said.err


async def test_the_end_of_a_process_is_an_event() -> None:
    """A process that ends is noticed at once; one that goes on is not waited for beyond the limit."""
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=-1, stderr=-3)
    assert not await ended(child.pid, 0.01)
    assert child.stdin is not None
    child.stdin.close()
    assert await ended(child.pid, 30)
    await child.wait()
    assert await ended(2**22 + 7, 0.01)


def test_a_closed_pipe_ends_quietly(home: Path) -> None:
    """Whoever reads may leave: exit code 0 and no traceback."""
    script = (
        "import sys; from pathlib import Path; from console import headless\n"
        "from tests.support.shell import FakeDoors\n"
        f"sys.exit(headless.main(['config', 'show'], FakeDoors(Path({str(home)!r}))))"
    )
    reader, writer = os.pipe()
    os.close(reader)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_ctrl_c_is_exit_code_130(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted commands end without a traceback."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    doors = FakeDoors(home)
    monkeypatch.setattr(doors, "serve", interrupted)
    assert run_line(doors, "serve").code == 130


def test_options_of_the_screen_come_from_the_configuration(home: Path) -> None:
    """Values of the console section; without a configuration the defaults."""
    (home / "config.yaml").write_text(
        "console:\n  theme: light\n  on_quit: keep\n  read_only: true\n  keys:\n    session.inject: ctrl+i\n"
    )
    options = options_from(FakeDoors(home).read_config(home), home=home, is_embedded=True)
    assert options == ConsoleOptions(
        home=home, is_embedded=True, theme="light", on_quit="keep", read_only=True, keys={"session.inject": "ctrl+i"}
    )
    assert options_from(None, home=home, is_embedded=False) == ConsoleOptions(home=home, is_embedded=False)
    assert options_from(config(), home=home, is_embedded=False, read_only=True).read_only


@pytest.mark.parametrize("width", [10, 30, 60])
def test_a_table_never_leaves_its_width(width: int) -> None:
    """Also with wide characters and many columns."""
    lines = table(("a", "b", "c"), [("x" * 50, "界" * 30, "y")], width=width)
    assert all(len(line) + line.count("界") <= width for line in lines)
