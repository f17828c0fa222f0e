"""Hygiene of the terminal: output that never blocks the loop, and a lost terminal that ends only the view.

Textual's own driver waits when the terminal does not read, and with it everything on
its loop; and when the terminal is gone its input thread spins. Both are replaced here.
This rests on the insides of the pinned Textual; tests/unit/test_terminal.py notices a change.
"""

import base64
import contextlib
import os
import select
import signal
import sys
import threading
from codecs import getincrementaldecoder
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

from textual import events
from textual._xterm_parser import XTermParser
from textual.app import App
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

from console.messages import OutputResumed, TerminalLost

QUEUE_LIMIT = 15
"""Writes that may wait; a terminal that is further behind gets no more frames until it has caught up."""

COPY_LIMIT_BYTES = 74_994
"""Larger OSC 52 texts are refused by common terminals, because base64 makes 100,000 of them."""

_CHUNK_BYTES = 16_384
_READ_BYTES = 4096
_POLL_MS = 100
_JOIN_S = 0.5
_FRAME_LEAST = 33
_KEPT_BEGINNINGS = ("\x1b]", "\x1bP")


@dataclass(slots=True)
class TerminalVitals:
    """What the output costs. queue_depth: writes that wait now; dropped_frames: since the start."""

    bytes_written: int = 0
    dropped_frames: int = 0
    queue_depth: int = 0
    is_lost: bool = False


class FrameWriter(threading.Thread):
    """Writes to the terminal on a thread of its own; `write` never waits.

    on_resumed(dropped): called on this thread when everything is written and frames had
    been dropped before; on_lost: called once when the terminal cannot be written to.
    """

    def __init__(
        self,
        fileno: int,
        *,
        vitals: TerminalVitals,
        encoding: str = "utf-8",
        on_resumed: Callable[[int], None],
        on_lost: Callable[[], None],
    ) -> None:
        super().__init__(daemon=True, name="terminal-output")
        self._fileno = fileno
        self._vitals = vitals
        self._encoding = encoding
        self._on_resumed = on_resumed
        self._on_lost = on_lost
        self._condition = threading.Condition()
        self._waiting: deque[str] = deque()
        self._dropped = 0
        self._is_stopping = False
        self._is_dead = False

    def write(self, text: str, *, keep: bool = False) -> bool:
        """Take text to write; False when it was dropped because the terminal is too far behind.

        keep: never drop it, because it switches a mode of the terminal.
        """
        with self._condition:
            if self._is_dead:
                return False
            if not keep and len(self._waiting) >= QUEUE_LIMIT:
                if len(text) >= _FRAME_LEAST:
                    self._vitals.dropped_frames += 1
                self._dropped += 1
                return False
            self._waiting.append(text)
            self._vitals.queue_depth = len(self._waiting)
            self._condition.notify()
            return True

    def abandon(self) -> None:
        """Write nothing any more: the terminal is gone."""
        with self._condition:
            self._is_dead = True
            self._waiting.clear()
            self._vitals.queue_depth = 0
            self._condition.notify()

    def stop(self) -> bool:
        """Write what waits and end; False when the terminal does not take it soon: an exit must not wait for it."""
        with self._condition:
            self._is_stopping = True
            self._condition.notify()
        if self.is_alive() and threading.current_thread() is not self:
            self.join(_JOIN_S)
        return not self.is_alive()

    def run(self) -> None:
        """Write until stopped."""
        while True:
            with self._condition:
                while not (self._waiting or self._is_stopping or self._is_dead):
                    self._condition.wait()
                if self._is_dead or not self._waiting:
                    return
                text = "".join(self._waiting)
                self._waiting.clear()
                self._vitals.queue_depth = 0
            if not self._write_out(text):
                return
            with self._condition:
                if self._waiting or not self._dropped:
                    continue
                dropped, self._dropped = self._dropped, 0
            self._on_resumed(dropped)

    def _write_out(self, text: str) -> bool:
        # Straight to the descriptor: a thread stuck inside a buffered file would hold its lock until the end.
        left = memoryview(text.encode(self._encoding, "replace"))
        try:
            while left:
                written = os.write(self._fileno, left[:_CHUNK_BYTES])
                self._vitals.bytes_written += written
                left = left[written:]
                if self._is_dead:
                    return False
        except OSError:
            self.abandon()
            self._on_lost()
            return False
        return True


class HermesDriver(LinuxDriver):
    """Textual's driver with output that drops frames in place of waiting, and an end when the terminal is gone."""

    def __init__(
        self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        # Textual leaves the result type of an app open.
        super().__init__(app, debug=debug, mouse=mouse, size=size)  # pyright: ignore[reportUnknownMemberType]
        self.vitals = TerminalVitals()
        self._frame_writer: FrameWriter | None = None
        self._keeps_all = True
        self._waker: tuple[int, int] | None = None
        self._old_hangup: Any = None

    def write(self, data: str) -> None:
        """Write, or drop where that can be made good by painting everything again later."""
        if self._frame_writer is not None:
            keep = self._keeps_all or data.startswith(_KEPT_BEGINNINGS)
            self._frame_writer.write(data, keep=keep)

    def start_application_mode(self) -> None:
        """Take the terminal over."""
        output = sys.__stderr__
        assert output is not None
        self._frame_writer = FrameWriter(
            output.fileno(),
            vitals=self.vitals,
            encoding=output.encoding or "utf-8",
            on_resumed=self._resume,
            on_lost=lambda: self._lose("write error"),
        )
        self._frame_writer.start()
        if threading.current_thread() is threading.main_thread():
            self._old_hangup = signal.signal(signal.SIGHUP, self._hang_up)
        self._keeps_all = True
        self._waker = os.pipe()
        # Textual gives it no types.
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self._keeps_all = False

    def stop_application_mode(self) -> None:
        """Give the terminal back."""
        self._keeps_all = True
        waker, self._waker = self._waker, None
        if waker is not None:
            # The input thread is waited for; it would see the end only at its next look.
            os.write(waker[1], b"x")
        super().stop_application_mode()
        for descriptor in waker or ():
            os.close(descriptor)

    def close(self) -> None:
        """Write what is left and let the threads end."""
        super().close()
        if self._frame_writer is not None:
            self._frame_writer.stop()
            self._frame_writer = None
        if self._old_hangup is not None and threading.current_thread() is threading.main_thread():
            # A terminal that is gone may say so twice, to us and to our group; the second must not kill the core.
            signal.signal(signal.SIGHUP, signal.SIG_IGN if self.vitals.is_lost else self._old_hangup)
            self._old_hangup = None

    def run_input_thread(self) -> None:
        """Read keys until the end; an end of input or an error means that the terminal is gone."""
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")("replace").decode
        poller = select.poll()
        poller.register(self.fileno, select.POLLIN)
        if self._waker is not None:
            poller.register(self._waker[0], select.POLLIN)
        while not self.exit_event.is_set():
            if ready := poller.poll(_POLL_MS):
                if any(descriptor != self.fileno for descriptor, _ in ready):
                    return
                try:
                    data = os.read(self.fileno, _READ_BYTES)
                except OSError:
                    data = b""
                if not data:
                    if self.input_tty and not self.exit_event.is_set():
                        self._lose("end of input")
                    return
                for event in parser.feed(decode(data)):
                    self.process_message(event)
            for event in parser.tick():
                self.process_message(event)

    def _hang_up(self, _signum: int, _frame: FrameType | None) -> None:
        self._lose("hangup")

    def _lose(self, why: str) -> None:
        """Let go of the terminal for good. May be called on any thread, and in a signal handler."""
        if self.vitals.is_lost:
            return
        self.vitals.is_lost = True
        self.exit_event.set()
        null = os.open(os.devnull, os.O_RDWR)
        try:
            for descriptor in (0, 1, 2):
                with contextlib.suppress(OSError):
                    os.dup2(null, descriptor)
        finally:
            os.close(null)
        if self._frame_writer is not None:
            # In a thread of its own: the signal may have come while this very thread held the writer's lock.
            threading.Thread(target=self._frame_writer.abandon, daemon=True, name="terminal-lost").start()
        self._tell(TerminalLost(why))

    def _resume(self, dropped: int) -> None:
        # What was dropped is not known cell by cell, so everything is painted again.
        def repaint() -> None:
            self._app.refresh()

        self._tell(events.Callback(callback=repaint))
        self._tell(OutputResumed(dropped))

    def _tell(self, message: Message) -> None:
        # The loop may have ended just before; then there is nobody to tell.
        with contextlib.suppress(RuntimeError):
            self.send_message(message)


def vitals_of(app: App[Any]) -> TerminalVitals:
    """What the output of an app costs; zeros for one without a terminal."""
    vitals = getattr(getattr(app, "_driver", None), "vitals", None)
    return vitals if isinstance(vitals, TerminalVitals) else TerminalVitals()


@dataclass(frozen=True, slots=True)
class CopySequence:
    """What to write to the terminal to copy. copied_bytes: of the text; is_cut: whether some of it was left out."""

    data: str
    copied_bytes: int
    is_cut: bool


def write_title(app: App[Any], words: str) -> None:
    """Call the window of the terminal so, where there is one."""
    driver = getattr(app, "_driver", None)
    if driver is not None and not app.is_headless:
        driver.write(title_sequence(words))


def write_copy(app: App[Any], words: str, *, in_tmux: bool) -> None:
    """Give words to the clipboard of the terminal."""
    driver = getattr(app, "_driver", None)
    if driver is not None:
        driver.write(copy_sequence(words, in_tmux).data)


def title_sequence(words: str) -> str:
    """What calls the window of the terminal so; words of ours, plain ones."""
    plain = "".join(letter for letter in words if letter.isascii() and letter.isprintable())
    return f"\x1b]2;{plain}\x07"


def copy_sequence(text: str, in_tmux: bool) -> CopySequence:
    """OSC 52 for a text, cut at a whole character below the limit of terminals, wrapped to pass through tmux."""
    raw = text.encode("utf-8", "replace")
    kept = raw[:COPY_LIMIT_BYTES].decode("utf-8", "ignore").encode() if len(raw) > COPY_LIMIT_BYTES else raw
    sequence = f"\x1b]52;c;{base64.b64encode(kept).decode('ascii')}\x07"
    if in_tmux:
        sequence = "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    return CopySequence(sequence, len(kept), len(kept) < len(raw))
