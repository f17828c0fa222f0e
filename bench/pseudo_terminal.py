"""A program on a pseudo-terminal with the arrival time of everything that it writes."""

import codecs
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def environment(home: Path) -> dict[str, str]:
    """A known terminal and nothing of the user's own settings."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
    }


class Program:
    """A running program. `began` is the moment before the fork; nothing is read but inside a call."""

    def __init__(
        self,
        argv: Sequence[str],
        home: Path,
        *,
        columns: int = 140,
        rows: int = 40,
        named: Mapping[str, str] | None = None,
    ) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.written_bytes = 0
        self._status: int | None = None
        env = environment(home) | dict(named or {})
        self.began = time.perf_counter()
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.execve(argv[0], list(argv), env)

    def elapsed_s(self) -> float:
        """Seconds since the fork."""
        return time.perf_counter() - self.began

    def press(self, keys: str) -> float:
        """Type; returns the moment before."""
        now = time.perf_counter()
        os.write(self._master, keys.encode())
        return now

    def read(self, wait_s: float) -> tuple[str, float]:
        """What was written since, and when it arrived; "" after wait_s seconds without a byte, or at the end."""
        if not select.select([self._master], [], [], wait_s)[0]:
            return "", time.perf_counter()
        now = time.perf_counter()
        try:
            chunk = os.read(self._master, 1 << 18)
        except OSError:
            chunk = b""
        self.written_bytes += len(chunk)
        return self._decoder.decode(chunk), now

    def until(self, holds: Callable[[str], bool], *, deadline_s: float = 30.0) -> float:
        """Read until `holds` is true of all the text since this call; returns the arrival of the last piece."""
        text = ""
        end = time.perf_counter() + deadline_s
        while time.perf_counter() < end:
            piece, now = self.read(0.5)
            text += piece
            if holds(text):
                return now
            if not piece and self.has_ended:
                break
        raise TimeoutError(f"not seen within {deadline_s} s; last: {text[-600:]!r}")

    def until_text(self, marker: str, *, deadline_s: float = 30.0) -> float:
        """Read until the marker was written."""
        return self.until(lambda text: marker in text, deadline_s=deadline_s)

    def drain(self, quiet_s: float) -> None:
        """Read until nothing comes for quiet_s seconds."""
        while self.read(quiet_s)[0]:
            pass

    @property
    def has_ended(self) -> bool:
        """Whether the program is gone."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._status = status if pid else None
        return self._status is not None

    def until_end(self, *, deadline_s: float = 30.0) -> float:
        """Read until the program ends; returns when it did."""
        end = time.perf_counter() + deadline_s
        while time.perf_counter() < end:
            if self.has_ended:
                return time.perf_counter()
            self.read(0.005)
        raise TimeoutError(f"still running after {deadline_s} s")

    def close(self) -> None:
        """Kill it if it still runs, and let go of the terminal."""
        if not self.has_ended:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._master)


def python(*argv: str) -> list[str]:
    """A command line of this interpreter."""
    return [sys.executable, *argv]
