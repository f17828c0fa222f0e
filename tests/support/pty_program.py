"""A program on a pseudo-terminal: its screen as text, read only when the test wants to."""

import fcntl
import os
import selectors
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pyte

ROOT = Path(__file__).parent.parent.parent
WAIT_S = 30.0


class PtyProgram:
    """Runs `python -m module REPORT_FD` on a terminal of its own; reports come on a pipe beside it."""

    def __init__(self, module: str, *, columns: int = 80, rows: int = 24) -> None:
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.reports, report_fd = os.pipe()
        env = dict(os.environ) | {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
        env.pop("NO_COLOR", None)
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(report_fd)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=ROOT,
            env=env,
            pass_fds=(report_fd,),
            start_new_session=True,
        )
        os.close(slave)
        os.close(report_fd)
        self._report_rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        os.close(self.reports)
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def hang_up(self) -> None:
        """Close the terminal."""
        if self.master >= 0:
            os.close(self.master)
            self.master = -1

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self.master, keys.encode())

    def exit_code(self) -> int:
        """Wait for the end; what it still writes to a terminal that is there is read."""
        selector = selectors.DefaultSelector()
        if self.master >= 0:
            selector.register(self.master, selectors.EVENT_READ)
        with selector:
            while self.master >= 0 and self._process.poll() is None:
                assert selector.select(WAIT_S), "the program neither ended nor wrote"
                try:
                    os.read(self.master, 65536)
                except OSError:  # the last of its ends is closed
                    break
        return self._process.wait(WAIT_S)

    def until_screen(self, is_right: Callable[[list[str]], bool]) -> list[str]:
        """Read the terminal until the screen is right; fails when the program falls silent or ends before."""
        selector = selectors.DefaultSelector()
        selector.register(self.master, selectors.EVENT_READ)
        with selector:
            while not is_right(list(self.screen.display)):
                assert selector.select(WAIT_S), "the program wrote nothing more:\n" + "\n".join(self.screen.display)
                # pyte does not know the kitty keyboard sequences and would print their ends.
                self._stream.feed(os.read(self.master, 65536).replace(b"\x1b[>25u", b"").replace(b"\x1b[<u", b""))
        return list(self.screen.display)

    def until_report(self, is_right: Callable[[list[str]], bool], *, reads_screen: bool = False) -> list[str]:
        """Read reports until one is right; the terminal is read beside it only where that is wanted."""
        selector = selectors.DefaultSelector()
        selector.register(self.reports, selectors.EVENT_READ)
        if reads_screen:
            selector.register(self.master, selectors.EVENT_READ)
        with selector:
            while True:
                ready = selector.select(WAIT_S)
                assert ready, "no report came"
                for key, _ in ready:
                    data = os.read(key.fd, 65536)
                    if key.fd == self.master:
                        self._stream.feed(data.replace(b"\x1b[>25u", b"").replace(b"\x1b[<u", b""))
                        continue
                    assert data, "the program ended"
                    *lines, self._report_rest = (self._report_rest + data).split(b"\n")
                    for line in lines:
                        words = line.decode().split()
                        if is_right(words):
                            return words
