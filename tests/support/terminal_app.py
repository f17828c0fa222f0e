"""A small app on a real terminal for tests: paints all the time, counts its loop's turns, reports on a descriptor.

Run as `python -m tests.support.terminal_app REPORT_FD`. Reports are lines of words:
`tick N dropped M`, `lost WHY threads alive|ended`, `still`.
"""

import fcntl
import os
import sys
import termios

from rich.style import Style
from textual import events
from textual.app import App, ComposeResult
from textual.strip import Strip

from console.messages import TerminalLost
from console.terminal import HermesDriver, vitals_of
from console.widgets.surface import Surface

TICK_S = 0.005
TICKS_AFTER_LOSS = 40


class Flood(Surface):
    """Lines that are all different each time."""

    number = 0
    is_still = False

    def render_line(self, y: int) -> Strip:
        """A line."""
        words = f"still line {y} end" if self.is_still else f"{self.number * 7919 + y:06d} " * 20
        style = Style(color=f"rgb({y},{self.number % 200},50)")
        return self.draw([(words, style)], self.size.width)


class TerminalApp(App[int]):
    """Paints at each tick."""

    CSS = "Flood { height: 1fr; }"
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, report_fd: int) -> None:
        super().__init__(driver_class=HermesDriver)
        self._report_fd = report_fd
        self._ticks = 0
        self._ticks_left: int | None = None

    def compose(self) -> ComposeResult:
        """One widget."""
        yield Flood()

    def report(self, words: str) -> None:
        """Tell the test."""
        os.write(self._report_fd, f"{words}\n".encode())

    def on_mount(self) -> None:
        """Begin to paint."""
        self.set_interval(TICK_S, self._tick)

    def _tick(self) -> None:
        self._ticks += 1
        flood = self.query_one(Flood)
        if not flood.is_still:
            flood.number += 1
            flood.refresh()
        self.report(f"tick {self._ticks} dropped {vitals_of(self).dropped_frames}")
        if self._ticks_left is not None:
            self._ticks_left -= 1
            if not self._ticks_left:
                self.exit(0)

    def on_key(self, event: events.Key) -> None:
        """`s` holds the picture still, `q` ends."""
        if event.key == "s":
            flood = self.query_one(Flood)
            flood.is_still = True
            flood.refresh()
            self.report("still")
        elif event.key == "q":
            self.exit(0)

    def on_terminal_lost(self, message: TerminalLost) -> None:
        """Go on for a while without a terminal, then end."""
        assert isinstance(self._driver, HermesDriver)
        thread = self._driver._key_thread
        assert thread is not None
        thread.join(5)
        self.report(f"lost {message.why} threads {'alive' if thread.is_alive() else 'ended'}")
        self._ticks_left = TICKS_AFTER_LOSS


def main() -> int:
    """Take the terminal on descriptor 0 as the controlling one and run."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    result = TerminalApp(int(sys.argv[1])).run()
    return 1 if result is None else result


if __name__ == "__main__":
    sys.exit(main())
