"""A program on a pseudo-terminal, its screen read through pyte, its keys pressed by name."""

import codecs
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pyte

ROOT = Path(__file__).resolve().parents[2]
CONSOLE = (sys.executable, "-m", "console")
"""The program under test, from the tree that the tests stand in."""

KEYS: Mapping[str, str] = {
    "enter": "\r",
    "escape": "\x1b",
    "tab": "\t",
    "shift+tab": "\x1b[Z",
    "backspace": "\x7f",
    "space": " ",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
    "home": "\x1b[H",
    "end": "\x1b[F",
    "pageup": "\x1b[5~",
    "pagedown": "\x1b[6~",
    "f1": "\x1bOP",
} | {f"ctrl+{letter}": chr(ord(letter) - 96) for letter in "abcdefghijklmnopqrstuvwxyz"}

# A terminal becomes the controlling one only for a session leader that asks for it, and only
# the controlling one sends SIGHUP when it is closed.
# Whoever runs the tests may ignore that signal, as nohup does, and programs inherit it.
_LAUNCH = (
    "import fcntl, os, signal, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "signal.signal(signal.SIGHUP, signal.SIG_DFL); "
    "os.execvpe(sys.argv[1], sys.argv[1:], os.environ)"
)

# Sequences that pyte would print as text: private CSI, mode requests, and strings to the terminal.
_UNKNOWN = re.compile(r"\x1b\[[<>=][0-9;:]*[a-zA-Z]|\x1b\[\?[0-9;]*\$p|\x1b[PX^_].*?\x1b\\", re.DOTALL)
_UNFINISHED = re.compile(r"\x1b(?:\[[0-9;:<>=?$]*|[PX^_][^\x1b]*\x1b?)?\Z", re.DOTALL)


def clean_environment(home: Path | None = None) -> dict[str, str]:
    """What the program sees of the environment: a known terminal, no settings of the machine's user."""
    kept = {key: value for key, value in os.environ.items() if key in {"PATH", "LANG", "TMPDIR"}}
    kept |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT)}
    if home is not None:
        kept["HOME"] = str(home)
    return kept


class Terminal:
    """Runs `argv` on a pseudo-terminal of its own. Use it in a `with` block: the end of the block ends the program.

    Nothing is read but inside a call, so a test can let the program's output stall by doing nothing.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        columns: int = 100,
        rows: int = 30,
        env: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
    ) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.Stream(self._screen)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._is_open = True
        self.received_bytes = 0
        self._master, slave = os.openpty()
        _set_size(self._master, columns, rows)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-c", _LAUNCH, *argv],
                stdin=slave,
                stdout=slave,
                stderr=slave,
                env=dict(env if env is not None else clean_environment()),
                cwd=cwd,
            )
        finally:
            os.close(slave)

    def __enter__(self) -> Self:
        """The terminal, with its program running."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the program if it still runs: asked first, then killed."""
        for asked in (signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is None:
                self._process.send_signal(asked)
                self._until(lambda: self._process.poll() is not None, 5.0)
        self._process.wait()
        self._close()

    @property
    def pid(self) -> int:
        """The program's process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the program has not ended."""
        return self._process.poll() is None

    def screen(self) -> str:
        """What a person would see now, line by line, without trailing blanks."""
        self._pump(0.0)
        return "\n".join(line.rstrip() for line in self._screen.display)

    def wait_for(self, text: str, *, deadline_s: float = 20.0) -> str:
        """The screen, once `text` is on it. Fails with the screen as it is when that takes too long."""
        found = self._until(lambda: text in self._text(), deadline_s)
        assert found, f"{text!r} did not appear in {deadline_s} s{self._end_note()}:\n{self._text()}"
        return self._text()

    def wait_match(self, pattern: str, *, deadline_s: float = 20.0) -> re.Match[str]:
        """What of the screen matches, once something does; ^ and $ are the ends of a line."""
        sought = re.compile(pattern, re.MULTILINE)
        self._until(lambda: sought.search(self._text()) is not None, deadline_s)
        found = sought.search(self._text())
        assert found, f"nothing matched {pattern!r} in {deadline_s} s{self._end_note()}:\n{self._text()}"
        return found

    def wait_gone(self, text: str, *, deadline_s: float = 20.0) -> str:
        """The screen, once `text` is no longer on it."""
        gone = self._until(lambda: text not in self._text(), deadline_s)
        assert gone, f"{text!r} did not go in {deadline_s} s{self._end_note()}:\n{self._text()}"
        return self._text()

    def wait_until(self, holds: Callable[[], bool], *, deadline_s: float = 20.0) -> None:
        """Read on until something beside the screen is so."""
        assert self._until(holds, deadline_s), f"it is not so; the screen:\n{self.screen}"

    def press(self, *keys: str) -> None:
        """Press keys one after the other: a name of KEYS, or text that is typed as it stands."""
        for key in keys:
            os.write(self._master, KEYS.get(key, key).encode())
            # An escape that runs into the next key would be read as alt+key.
            self._read_for(0.2 if key == "escape" else 0.02)

    def press_until(self, key: str, text: str, *, deadline_s: float = 20.0) -> str:
        """Press a key again and again until a text is there, such as one that a dialog ignores at first."""
        ends = time.monotonic() + deadline_s
        while text not in self.screen() and time.monotonic() < ends:
            self.press(key)
            self._until(lambda: text in self._text(), 0.3)
        return self.wait_for(text, deadline_s=0.1)

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size, as dragging its corner does."""
        self._screen.resize(rows, columns)
        _set_size(self._master, columns, rows)
        self._process.send_signal(signal.SIGWINCH)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the program."""
        self._process.send_signal(number)

    def hang_up(self) -> None:
        """Close the terminal under the program, as a dropped connection does."""
        self._close()

    def exit_code(self, *, deadline_s: float = 20.0) -> int:
        """How the program ended; negative is the number of the signal that ended it."""
        ended = self._until(lambda: self._process.poll() is not None, deadline_s)
        assert ended, f"the program did not end in {deadline_s} s:\n{self._text()}"
        self._pump(0.0)
        return self._process.wait()

    def _text(self) -> str:
        return "\n".join(line.rstrip() for line in self._screen.display)

    def _end_note(self) -> str:
        code = self._process.poll()
        return "" if code is None else f" (the program ended with {code})"

    def _until(self, holds: Callable[[], bool], deadline_s: float) -> bool:
        end = time.monotonic() + deadline_s
        while not holds():
            if time.monotonic() > end:
                return False
            self._pump(0.05)
            if not self.is_running:
                self._pump(0.0)
                return holds()
        return True

    def _read_for(self, duration_s: float) -> None:
        end = time.monotonic() + duration_s
        while (left_s := end - time.monotonic()) > 0:
            self._pump(left_s)

    def _pump(self, wait_s: float) -> None:
        """Read what is there, waiting up to wait_s for the first byte."""
        if not self._is_open:
            time.sleep(wait_s)
            return
        while select.select([self._master], [], [], wait_s)[0]:
            try:
                chunk = os.read(self._master, 65536)
            except OSError:
                chunk = b""
            if not chunk:
                time.sleep(wait_s)
                return
            self.received_bytes += len(chunk)
            self._feed(self._decoder.decode(chunk))
            wait_s = 0.0

    def _feed(self, text: str) -> None:
        text = _UNKNOWN.sub("", self._held + text)
        self._held = found.group() if (found := _UNFINISHED.search(text)) else ""
        self._stream.feed(text[: len(text) - len(self._held)])

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False
            os.close(self._master)


def _set_size(descriptor: int, columns: int, rows: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
