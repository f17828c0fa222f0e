"""Child processes: what they see, what is read of them, and that nothing of them stays."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from core.agents.masks import hidden_in_lines, redactor
from core.agents.processes import (
    STDERR_LINES,
    Child,
    child_environment,
    program_places,
    start,
)
from core.api.errors import Unavailable
from core.clock import SystemClock
from core.secrets import Secret
from tests.support.agent_parts import InstantClock
from tests.support.clocks import FakeClock
from tests.support.programs import ended

KEY = Secret("sk-of-the-agent-1234")
PATH = {"PATH": os.environ["PATH"]}


class Heard:
    """What a child said, and whether it is gone."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.ends = 0
        self._more = asyncio.Event()

    def line(self, line: bytes) -> None:
        """One more."""
        self.lines.append(line)
        self._more.set()

    def end(self) -> None:
        """No more."""
        self.ends += 1
        self._more.set()

    async def until(self, fits: Callable[[], bool]) -> None:
        """Return once that is so."""
        async with asyncio.timeout(20):
            while not fits():
                self._more.clear()
                await self._more.wait()

    async def first(self) -> str:
        """The first line."""
        await self.until(lambda: bool(self.lines))
        return self.lines[0].decode()


PLAIN: dict[str, Any] = {"environment": PATH, "redact": str, "hide": ()}
Started = Callable[..., Awaitable[tuple[Child, Heard]]]


@pytest.fixture
async def started(tmp_path: Path) -> AsyncIterator[Started]:
    """Start a Python program; none of them stays."""
    children: list[Child] = []

    async def begin(program: str, **more: Any) -> tuple[Child, Heard]:
        heard = Heard()
        options = PLAIN | {"cwd": tmp_path, "clock": SystemClock(), "on_line": heard.line} | more
        child = await start([sys.executable, "-SEc", program], on_end=heard.end, **options)
        children.append(child)
        return child, heard

    yield begin
    for child in children:
        child.kill()
        async with asyncio.timeout(20):
            await child.end()
        assert child.is_gone


def test_an_environment_is_an_allow_list() -> None:
    """What every program needs is passed on, and what the profile names; nothing else of the core's."""
    core = {
        "PATH": "/bin", "HOME": "/h", "LANG": "C", "LC_ALL": "C", "LC_TIME": "C", "LOGNAME": "a", "USER": "a",
        "SHELL": "/bin/sh", "TERM": "xterm", "TZ": "UTC", "TMPDIR": "/tmp", "OPENAI_API_KEY": "k",
        "TELEGRAM_TOKEN": "t", "PYTHONPATH": "/x", "LD_PRELOAD": "/x.so", "PWD": "/x", "path": "/x",
    }  # fmt: skip
    seen = child_environment(
        core, own={"COLOUR": "red", "HOME": "/own"}, secrets={"KEY": KEY, "COLOUR": Secret("blue")}
    )
    assert set(seen) == {
        "PATH", "HOME", "LANG", "LC_ALL", "LC_TIME", "LOGNAME", "USER", "SHELL", "TERM", "TZ", "TMPDIR", "COLOUR", "KEY"
    }  # fmt: skip
    assert (seen["HOME"], seen["COLOUR"], seen["KEY"]) == ("/own", "blue", KEY.reveal())
    assert child_environment({}, own={}, secrets={}) == {}


def test_known_secrets_are_replaced() -> None:
    """Each value, the longest first, and of one with lines each line."""
    redact = redactor([Secret("abc"), Secret("abcdef"), Secret("first-line-1\nsecond-line\nx")])
    assert redact("abcdef abc") == "*** ***"
    assert redact("at second-line x") == "at *** x"
    assert redactor([])("as it is") == "as it is"


def test_short_secrets_are_left_in_lines_that_they_would_break() -> None:
    """Those that are hidden are looked for as they are, as JSON writes them, and JSON in JSON; each line also alone."""
    hidden = (b'a\\\\\\"b-long-one', b'a\\"b-long-one', b'a"b-long-one')
    assert hidden_in_lines([Secret("1"), Secret('a"b-long-one')]) == hidden
    assert {b"first-line", b"second-line"} < set(hidden_in_lines([Secret("first-line\nsecond-line\n3")]))


def test_the_places_of_a_program_are_its_own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an environment the whole with its interpreter, of a package of npm all packages, never the home itself."""
    home, other = tmp_path / "home", tmp_path / "other"
    monkeypatch.setenv("HOME", str(home))
    script = other / "node_modules" / "agent" / "dist" / "index.js"
    made = other / "made" / "bin" / "python"
    environment = other / "env" / "bin"
    loose, mine = home / "agent.py", home / "bin" / "agent"
    for file in (script, made, environment / "agent", loose, mine):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("#!/bin/sh\n")
        file.chmod(0o700)
    (environment / "python").symlink_to(made)
    (environment.parent / "pyvenv.cfg").touch()
    core = tmp_path / "core"
    assert program_places(["agent", "--fast"], str(environment), core) == (environment.parent, made.parent.parent)
    assert program_places(["sh", str(script), "/no/such"], "/usr/bin", core)[-1] == other / "node_modules"
    assert program_places([str(loose)], "", core) == (loose,)
    assert program_places([str(mine)], "", core) == (mine.parent,)
    assert program_places(["no-such-program"], "", core) == ()


def test_a_program_beside_what_the_core_keeps_is_seen_alone(tmp_path: Path) -> None:
    """Its folder would show secrets, profiles or the database; a folder of its own in the core's home may be seen."""
    places = {"agent.py": "agent.py", "secrets/key": "secrets/key", "agents/x.yaml": "agents/x.yaml", "own/a.py": "own"}
    for name in places:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to(tmp_path / "secrets")
    for name, place in places.items():
        assert program_places(["sh", str(tmp_path / name)], "/usr/bin", tmp_path) == (tmp_path / place,)
    by_link = program_places(["sh", str(tmp_path / "link" / "key")], "/usr/bin", tmp_path)
    assert set(by_link) == {tmp_path / "link" / "key", tmp_path / "secrets" / "key"}


async def test_lines_are_spoken_in_both_directions(started: Started) -> None:
    """As they are, without their ends; empty ones are left out, the last may lack its end."""
    child, heard = await started(
        "import sys\nfor l in sys.stdin: print('got', l.strip(), end='\\r\\n\\n'); sys.stdout.flush()"
    )
    assert child.write(b"one")
    assert await heard.first() == "got one"
    assert child.is_alive
    await child.end()
    assert heard.lines == [b"got one"]
    assert (child.exit_code, heard.ends, child.is_alive) == (0, 1, False)
    assert not child.write(b"two")
    assert child.last_words() == "exit code 0"


async def test_what_a_child_said_last_is_read_before_its_end_is_told(started: Started) -> None:
    """Whole, also without a line end, and its exit code with the last line of its standard error."""
    program = """
import sys, os
sys.stdout.write("x" * 60000 + "\\nlast")
sys.stdout.flush()
os.write(2, b"why\\n \\n")
os._exit(3)
"""
    child, heard = await started(program)
    await heard.until(lambda: heard.ends == 1)
    assert [len(line) for line in heard.lines] == [60000, 4]
    assert (child.exit_code, child.last_words()) == (3, "exit code 3: why")


async def test_a_child_sees_only_what_it_is_given(started: Started, tmp_path: Path) -> None:
    """Its environment and folder are those that were said, and it leads a group of its own."""
    program = (
        "import os, json; print(json.dumps([dict(os.environ), os.getcwd(), os.getpgrp() == os.getpid()]), flush=True)"
    )
    _, heard = await started(program, environment={**PATH, "A": "1"})
    seen, folder, leads = json.loads(await heard.first())
    # Python itself adds this one.
    seen.pop("LC_CTYPE", None)
    assert (seen, folder, leads) == ({**PATH, "A": "1"}, str(tmp_path), True)


@pytest.mark.parametrize("argv", [["no-such-program-here"], ["/"], ["a\0b"]])
async def test_a_program_that_cannot_be_started_is_named(argv: list[str], tmp_path: Path) -> None:
    """With what is to be done."""
    heard = Heard()
    with pytest.raises(Unavailable, match="cannot start") as raised:
        await start(argv, cwd=tmp_path, clock=FakeClock(), on_line=heard.line, on_end=heard.end, **PLAIN)
    assert raised.value.facts["fix"]
    assert heard.ends == 0


async def test_standard_error_never_blocks_a_child_and_keeps_its_last_lines(started: Started) -> None:
    """Far more than a pipe holds; secrets are replaced, long lines cut."""
    program = f"""
import sys
for number in range(5000): sys.stderr.write(f"{{number}} {KEY.reveal()} " + "x" * 90 + "\\n")
sys.stderr.write("y" * 200000 + "\\nend")
sys.stderr.flush()
print("still here", flush=True)
sys.stdin.read()
"""
    child, heard = await started(program, redact=redactor([KEY]))
    assert await heard.first() == "still here"
    await child.end()
    assert len(child.stderr) == STDERR_LINES
    assert child.stderr[-1] == "end"
    assert len(child.stderr[-2]) < 5000
    assert child.stderr[-3].startswith("4999 *** xx")
    assert KEY.reveal() not in "".join(child.stderr)


async def test_secrets_are_hidden_in_lines(started: Started) -> None:
    """Before anybody sees them."""
    _, heard = await started(f"print('my key is {KEY.reveal()}!', flush=True)", hide=hidden_in_lines([KEY]))
    assert await heard.first() == "my key is ***!"


@pytest.mark.parametrize("line_end", ["", "\\n"])
async def test_a_line_that_is_too_long_ends_the_child(started: Started, line_end: str) -> None:
    """Whether its end comes or not; lines before it are given, none after it."""
    program = f"""
import sys
print("short")
sys.stdout.write("x" * 2000 + "{line_end}")
print("more", flush=True)
sys.stdin.read()
"""
    child, heard = await started(program, limit_bytes=1000)
    await heard.until(lambda: heard.ends == 1)
    assert heard.lines == [b"short"]
    assert child.fault == "it sent a line of more than 1000 bytes"
    assert child.last_words() == child.fault
    assert child.exit_code == -signal.SIGKILL


async def test_a_listener_that_fails_ends_the_child(started: Started) -> None:
    """On the loop nobody would hear of it."""

    def failing(line: bytes) -> None:
        raise KeyError(line)

    child, heard = await started("import sys; print('hello', flush=True); sys.stdin.read()", on_line=failing)
    await heard.until(lambda: heard.ends == 1)
    assert child.fault == "what it sent could not be taken in (KeyError)"


async def test_a_child_that_does_not_read_does_not_fill_the_memory(started: Started) -> None:
    """It is ended, with a reason."""
    child, heard = await started("import time; time.sleep(100)", limit_bytes=100_000)
    assert child.write(b"x" * 150_000)
    assert not child.write(b"x" * 150_000)
    await heard.until(lambda: heard.ends == 1)
    assert child.fault == "it does not read what it is sent"


async def test_a_paused_child_is_not_read_until_it_is_resumed(started: Started) -> None:
    """What it says waits in its pipe, and comes whole."""
    program = """
import sys
for line in sys.stdin:
    print("x" * 10, flush=True)
    print("said", file=sys.stderr, flush=True)
print("end", flush=True)
"""
    child, heard = await started(program)
    child.pause()
    assert child.write(b"go")
    async with asyncio.timeout(20):
        while not child.stderr:  # noqa: ASYNC110 - it tells nobody of its standard error
            await asyncio.sleep(0.005)
    assert heard.lines == []
    child.resume()
    assert await heard.first() == "x" * 10
    child.pause()
    await child.end()
    assert heard.lines[-1] == b"end"


async def test_a_child_that_heeds_nothing_is_killed(started: Started) -> None:
    """After the end of its input and a TERM; ending is waited for by all who ask."""
    program = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(100)"
    )
    clock = InstantClock()
    child, heard = await started(program, clock=clock)
    await heard.first()
    await asyncio.gather(child.end(), child.end())
    assert child.exit_code == -signal.SIGKILL
    assert clock.slept[:2] == [2.0, 3.0]
    assert heard.ends == 1
    await child.end()


async def test_an_end_that_is_cut_short_kills_at_once(started: Started) -> None:
    """Nobody waits for its grace any more."""
    child, heard = await started("import time; print('up', flush=True); time.sleep(100)", clock=FakeClock())
    await heard.first()
    with suppress(TimeoutError):
        async with asyncio.timeout(0):
            await child.end()
    await heard.until(lambda: heard.ends == 1)
    assert child.exit_code == -signal.SIGKILL


@pytest.mark.parametrize("how", ["ends", "is killed", "crashes"])
async def test_children_of_a_child_end_with_it(started: Started, how: str) -> None:
    """However it ends: what it started is killed with its group."""
    program = f"""
import subprocess, sys, os
child = subprocess.Popen(["sleep", "300"])
print(child.pid, flush=True)
sys.stdin.readline()
if {how == "crashes"}: os._exit(1)
sys.stdin.read()
"""
    child, heard = await started(program)
    grandchild = int(await heard.first())
    if how == "ends":
        await child.end()
    elif how == "is killed":
        os.kill(child.pid, signal.SIGKILL)
    else:
        child.write(b"")
    await heard.until(lambda: heard.ends == 1)
    await ended(grandchild)


async def test_a_pipe_that_somebody_else_holds_open_delays_no_end(started: Started) -> None:
    """A grandchild in a group of its own escapes, but the end of the child is told."""
    program = """
import subprocess, sys
child = subprocess.Popen(["sleep", "300"], start_new_session=True)
print(child.pid, flush=True)
"""
    child, heard = await started(program)
    fugitive = int(await heard.first())
    try:
        await heard.until(lambda: heard.ends == 1)
        await child.end()
        assert child.exit_code == 0
    finally:
        os.kill(fugitive, signal.SIGKILL)


async def test_a_child_that_closes_its_output_is_ended(started: Started) -> None:
    """It can say nothing any more, also when it heeds no signal that asks; nobody waits for it."""
    program = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.close(1); time.sleep(100)"
    child, heard = await started(program)
    await heard.until(lambda: heard.ends == 1)
    assert child.exit_code == -signal.SIGKILL


async def test_a_child_that_ends_by_itself_keeps_its_exit_code(started: Started) -> None:
    """The end of its output comes before the news of its end, and changes nothing."""
    child, heard = await started("print('bye', flush=True); raise SystemExit(7)")
    await heard.until(lambda: heard.ends == 1)
    assert child.exit_code == 7


async def test_a_child_is_given_none_of_our_files(started: Started, tmp_path: Path) -> None:
    """Neither a listening socket nor a database, even one that could be inherited."""
    kept = os.open(tmp_path / "core.db", os.O_RDWR | os.O_CREAT)
    os.set_inheritable(kept, True)
    try:
        _, heard = await started(
            "import os; print([os.readlink(f'/proc/self/fd/{fd}') for fd in (0, 1, 2)], end=' ');"
            "print([fd for fd in range(3, 200) if os.path.exists(f'/proc/self/fd/{fd}')], flush=True)"
        )
        line = await heard.first()
    finally:
        os.close(kept)
    assert line.endswith(" []")
    assert line.count("pipe:") + line.count("socket:") == 3


def test_a_description_of_an_end_needs_no_exit_code() -> None:
    """A child that never began, and one that a signal ended."""
    child = Child(FakeClock(), on_line=lambda _: None, on_end=lambda: None, redact=str, hide=(), limit_bytes=1)
    assert child.last_words() == "ended"
    assert not child.is_alive
    child.exit_code = -9
    assert child.last_words() == "ended by signal 9"
    child.kill()
    child.pause()
