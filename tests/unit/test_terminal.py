"""The pseudo-terminal that the end-to-end tests look through."""

import signal
import sys

from tests.support.terminal import Terminal

PYTHON = (sys.executable, "-S", "-u", "-c")


def test_a_program_is_seen_and_its_exit_code_is_kept() -> None:
    """What a program prints is on the screen, and its exit code is reported."""
    with Terminal([*PYTHON, "print('hello'); raise SystemExit(3)"]) as terminal:
        terminal.wait_for("hello")
        assert terminal.exit_code() == 3


def test_keys_reach_the_program() -> None:
    """Text and named keys arrive as a keyboard sends them."""
    with Terminal([*PYTHON, "print('got', repr(input('? ')))"]) as terminal:
        terminal.wait_for("?")
        terminal.press("ana", "enter")
        terminal.wait_for("got 'ana'")


def test_the_size_is_that_which_was_asked_for_and_changes() -> None:
    """The program sees the size of the terminal, also after a change."""
    program = (
        "import os, signal\n"
        "show = lambda *_: print('size %d %d;' % tuple(os.get_terminal_size()))\n"
        # Not input(): its line editor takes the signal for itself while it sets itself up.
        "signal.signal(signal.SIGWINCH, show); show()\n"
        "while True: signal.pause()"
    )
    with Terminal([*PYTHON, program], columns=90, rows=20) as terminal:
        terminal.wait_for("size 90 20;")
        terminal.resize(120, 40)
        terminal.wait_for("size 120 40;")


def test_a_closed_terminal_hangs_up_on_the_program() -> None:
    """The terminal is the controlling one: closing it sends SIGHUP."""
    with Terminal([*PYTHON, "print('up'); input()"]) as terminal:
        terminal.wait_for("up")
        terminal.hang_up()
        assert terminal.exit_code() == -signal.SIGHUP


def test_sequences_that_the_screen_does_not_know_leave_no_trace() -> None:
    """Keyboard protocols, mode requests and device strings are not shown as text."""
    program = r"print('\x1b[>1u\x1b[<u\x1b[?2026$p\x1bP+q544e\x1b\\seen\x1b[=5u')"
    with Terminal([*PYTHON, program]) as terminal:
        terminal.wait_for("seen")
        assert terminal.screen().strip() == "seen"
