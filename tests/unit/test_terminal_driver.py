"""The driver: output that never waits, a terminal that may go away; and what it expects of Textual."""

import base64
import contextlib
import inspect
import os
import threading
from collections.abc import Iterator

import pytest
from textual import drivers
from textual._xterm_parser import XTermParser
from textual.app import App
from textual.driver import Driver
from textual.drivers import linux_driver
from textual.drivers.linux_driver import LinuxDriver
from textual.messages import InBandWindowResize

from console.terminal import (
    COPY_LIMIT_BYTES,
    QUEUE_LIMIT,
    FrameWriter,
    HermesDriver,
    TerminalVitals,
    copy_sequence,
    vitals_of,
)

FRAME = "frame " * 20


class Pipe:
    """A pipe that is full from the start, so that a writer to it has to wait."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.write_end, False)
        self.filled = 0
        try:
            while True:
                self.filled += os.write(self.write_end, b"." * 4096)
        except BlockingIOError:
            os.set_blocking(self.write_end, True)

    def read_until(self, end: bytes) -> bytes:
        """Everything up to and with the given bytes."""
        data = b""
        while not data.endswith(end):
            data += os.read(self.read_end, 65536)
        return data.lstrip(b".")


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A full pipe."""
    pipe = Pipe()
    yield pipe
    for descriptor in (pipe.read_end, pipe.write_end):
        with contextlib.suppress(OSError):
            os.close(descriptor)


def _writer(
    fileno: int, vitals: TerminalVitals, resumed: list[int], lost: list[bool]
) -> tuple[FrameWriter, threading.Event]:
    done = threading.Event()

    def on_resumed(dropped: int) -> None:
        resumed.append(dropped)
        done.set()

    def on_lost() -> None:
        lost.append(True)
        done.set()

    return FrameWriter(fileno, vitals=vitals, on_resumed=on_resumed, on_lost=on_lost), done


def test_frames_are_dropped_and_modes_are_kept_while_nobody_reads(pipe: Pipe) -> None:
    """Writing never waits; once the terminal reads again what was kept comes in order, and the app is told."""
    vitals, resumed, lost = TerminalVitals(), [], []
    writer, done = _writer(pipe.write_end, vitals, resumed, lost)
    results = [writer.write(f"{number:03d} {FRAME}") for number in range(100)]
    assert results == [True] * QUEUE_LIMIT + [False] * (100 - QUEUE_LIMIT)
    assert (vitals.dropped_frames, vitals.queue_depth) == (100 - QUEUE_LIMIT, QUEUE_LIMIT)
    assert writer.write("\x1b[?1049l", keep=True)
    writer.start()
    data = pipe.read_until(b"\x1b[?1049l")
    assert data.decode() == "".join(f"{number:03d} {FRAME}" for number in range(QUEUE_LIMIT)) + "\x1b[?1049l"
    assert done.wait(10)
    assert resumed == [100 - QUEUE_LIMIT]
    assert lost == []
    assert vitals.bytes_written == len(data)
    assert vitals.queue_depth == 0
    assert writer.write("again")
    assert writer.stop()
    assert pipe.read_until(b"again") != b""


def test_an_end_does_not_wait_for_a_terminal_that_does_not_read(pipe: Pipe) -> None:
    """The thread is left behind; the exit goes on."""
    writer, _ = _writer(pipe.write_end, TerminalVitals(), [], [])
    writer.start()
    writer.write(FRAME)
    assert writer.stop() is False
    pipe.read_until(FRAME.encode())
    writer.join(10)
    assert not writer.is_alive()


def test_a_terminal_that_cannot_be_written_to_is_lost_once(pipe: Pipe) -> None:
    """The error is told and never raised; later writes go nowhere."""
    vitals, resumed, lost = TerminalVitals(), [], []
    writer, done = _writer(pipe.write_end, vitals, resumed, lost)
    os.close(pipe.read_end)
    writer.start()
    writer.write(FRAME)
    assert done.wait(10)
    writer.join(10)
    assert lost == [True]
    assert writer.write(FRAME) is False
    assert writer.stop()


def test_lone_surrogates_and_narrow_encodings_do_not_stop_the_output(pipe: Pipe) -> None:
    """What the terminal cannot take becomes a question mark."""
    writer = FrameWriter(
        pipe.write_end, vitals=TerminalVitals(), encoding="ascii", on_resumed=lambda _: None, on_lost=lambda: None
    )
    writer.write("caf\u00e9 \ud800 end")
    writer.start()
    assert pipe.read_until(b"end") == b"caf? ? end"
    writer.stop()


def test_abandoned_output_ends_at_once() -> None:
    """A terminal that is gone gets nothing more."""
    writer, _ = _writer(1, TerminalVitals(), [], [])
    writer.write(FRAME)
    writer.abandon()
    writer.start()
    writer.join(10)
    assert not writer.is_alive()
    assert writer.write(FRAME, keep=True) is False


def test_textual_still_has_the_parts_that_the_driver_replaces() -> None:
    """A change of the pinned Textual that would switch the replacement off is noticed here."""
    source = inspect.getsource(LinuxDriver)
    assert "self.write(" in source
    # All output of the base class goes through `write`, which is replaced; only these two touch its own thread.
    touching = [name for name, member in vars(LinuxDriver).items() if "_writer_thread" in _source(member)]
    assert sorted(touching) == ["__init__", "close", "start_application_mode", "write"]
    assert "self.run_input_thread()" in _source(LinuxDriver._run_input_thread)
    assert "self.exit_event" in _source(LinuxDriver.disable_input)
    assert "target=self._run_input_thread" in _source(LinuxDriver.start_application_mode)
    assert "signal.SIGHUP" not in inspect.getsource(linux_driver), "Textual handles hang-ups now: look again"
    assert "self._driver.write(terminal_sequence)" in _source(App._display)
    assert {"feed", "tick"} <= set(dir(XTermParser))
    assert list(inspect.signature(Driver.__init__).parameters) == ["self", "app", "debug", "mouse", "size"]
    assert InBandWindowResize in vars(linux_driver).values()
    assert drivers.__name__ == "textual.drivers"


def _source(member: object) -> str:
    return inspect.getsource(member) if inspect.isfunction(member) else ""  # type: ignore[arg-type]


def test_the_driver_replaces_what_it_says() -> None:
    """Writing, reading and the way in and out are its own."""
    replaced = {"write", "start_application_mode", "stop_application_mode", "close", "run_input_thread"}
    assert replaced <= set(vars(HermesDriver))


async def test_an_app_without_a_terminal_has_zero_vitals() -> None:
    """Tests and shell commands have nothing to count."""
    app: App[None] = App()
    async with app.run_test():
        assert vitals_of(app) == TerminalVitals()


def test_copying_is_capped_at_a_whole_character() -> None:
    """The cap is said, and what is copied can be decoded."""
    short = copy_sequence("grüße", in_tmux=False)
    assert short.data == f"\x1b]52;c;{base64.b64encode('grüße'.encode()).decode()}\x07"
    assert (short.copied_bytes, short.is_cut) == (7, False)
    long = copy_sequence("ü" * COPY_LIMIT_BYTES, in_tmux=False)
    assert long.is_cut
    assert COPY_LIMIT_BYTES - 1 <= long.copied_bytes <= COPY_LIMIT_BYTES
    payload = long.data.removeprefix("\x1b]52;c;").removesuffix("\x07")
    assert len(payload) < 100_000
    assert set(base64.b64decode(payload).decode()) == {"ü"}


def test_copying_passes_through_tmux() -> None:
    """Every escape inside the wrapping is doubled."""
    plain = copy_sequence("x", in_tmux=False).data
    wrapped = copy_sequence("x", in_tmux=True).data
    assert wrapped == "\x1bPtmux;\x1b" + plain + "\x1b\\"
