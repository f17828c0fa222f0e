"""The entry point: what is clear without parsing is shown at once, and ends as any other call does."""

import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console import __main__, app, headless, prepaint
from console.leaving import ConsoleResult
from console.options import ConsoleOptions
from core.api.errors import StoreError


class Calls:
    """What the entry point did: homes that were painted, arguments that were parsed, screens that were opened."""

    def __init__(self) -> None:
        self.painted: list[str] = []
        self.parsed: list[list[str]] = []
        self.opened: list[ConsoleOptions] = []
        self.has_terminal = True
        self.error: BaseException | None = None

    def run(self, _open: Any, options: ConsoleOptions) -> ConsoleResult:
        """In place of the screen."""
        self.opened.append(options)
        if self.error is not None:
            raise self.error
        return ConsoleResult(3, keep_core=False)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Calls]:
    """The entry point with nothing behind it."""
    made = Calls()

    def paint(home: str) -> bool:
        made.painted.append(home)
        return made.has_terminal

    def parse(argv: list[str], _doors: Any) -> int:
        made.parsed.append(argv)
        return 4

    monkeypatch.setattr(prepaint, "paint", paint)
    monkeypatch.setattr(headless, "main", parse)
    monkeypatch.setattr(app, "run", made.run)
    monkeypatch.setenv("HERMES_CONSOLE_HOME", str(tmp_path / "default"))
    monkeypatch.setenv("HOME", str(tmp_path))
    thresholds = gc.get_threshold()
    yield made
    gc.set_threshold(*thresholds)


def _called(monkeypatch: pytest.MonkeyPatch, *argv: str) -> int:
    monkeypatch.setattr(sys, "argv", ["hermes-console", *argv])
    return __main__.main()


@pytest.mark.parametrize(
    ("argv", "home", "is_embedded"),
    [
        ([], "default", True),
        (["attach"], "default", False),
        (["--home", "~/other"], "other", True),
        (["--home=~/other"], "other", True),
        (["--home", "~/other", "attach"], "other", False),
    ],
    ids=str,
)
def test_a_plain_call_paints_its_home_and_opens_the_screen_without_parsing(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, argv: list[str], home: str, *, is_embedded: bool
) -> None:
    """The last frame is that of the home that was named; the exit code is the screen's."""
    assert _called(monkeypatch, *argv) == 3
    assert calls.painted == [str(tmp_path / home)]
    assert calls.parsed == []
    assert [(options.home, options.is_embedded) for options in calls.opened] == [(tmp_path / home, is_embedded)]


@pytest.mark.parametrize(
    "argv", [["--home"], ["--home", "--json"], ["--read-only"], ["sessions", "list"], ["--home", "x", "sessions"]]
)
def test_every_other_call_is_parsed_and_paints_nothing_before(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, argv: list[str]
) -> None:
    """What is wrong with it is for the parser to say."""
    assert _called(monkeypatch, *argv) == 4
    assert (calls.painted, calls.parsed, calls.opened) == ([], [argv], [])


def test_without_a_terminal_the_shell_says_so(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was painted, so the screen may not be opened unasked."""
    calls.has_terminal = False
    assert _called(monkeypatch) == 4
    assert calls.parsed == [[]]
    assert calls.opened == []


def test_the_demo_paints_no_frame_of_a_home(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its home is made later, by the shell."""
    assert _called(monkeypatch, "demo") == 4
    assert (calls.painted, calls.parsed) == ([""], [["demo"]])


def test_an_error_of_the_screen_ends_the_call_in_words(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Message and exit code are those of any other call, and no trace."""
    calls.error = StoreError("the disk is full", cause="full", fix="make room")
    assert _called(monkeypatch) == calls.error.exit_code
    assert capsys.readouterr().err == "hermes-console: the disk is full\n  try: make room\n"


def test_an_interrupt_of_the_screen_has_its_exit_code(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for any other call."""
    calls.error = KeyboardInterrupt()
    assert _called(monkeypatch) == 130


def test_a_fault_of_the_screen_is_raised(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can foresee it, so nobody hides it."""
    calls.error = ZeroDivisionError("odd")
    with pytest.raises(ZeroDivisionError, match="odd"):
        _called(monkeypatch)
