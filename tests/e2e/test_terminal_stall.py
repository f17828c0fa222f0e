"""A terminal that stops reading or goes away never stops the loop behind it."""

import pytest

from tests.support.pty_program import PtyProgram
from tests.support.terminal_app import TICKS_AFTER_LOSS

pytestmark = pytest.mark.e2e

MODULE = "tests.support.terminal_app"


def _is_tick(words: list[str]) -> bool:
    return words[0] == "tick"


def test_the_loop_goes_on_while_the_terminal_does_not_read_and_the_picture_is_right_again_after_it() -> None:
    """Frames are dropped in place of waiting; once the terminal reads again everything is painted anew."""
    with PtyProgram(MODULE) as program:
        program.until_screen(lambda lines: any(line.strip() for line in lines))
        # From here on nothing is read from the terminal.
        behind = program.until_report(lambda words: _is_tick(words) and int(words[3]) >= 20)
        later = program.until_report(lambda words: _is_tick(words) and int(words[1]) >= int(behind[1]) + 200)
        assert int(later[3]) > int(behind[3]), "frames went on being dropped, and the loop went on"
        program.press("s")
        program.until_report(lambda words: words == ["still"])
        # The last picture is dropped too before anything is read, so that only painting anew can bring it.
        still = program.until_report(_is_tick)
        program.until_report(lambda words: _is_tick(words) and int(words[1]) >= int(still[1]) + 50)
        wanted = [f"still line {row} end" for row in range(24)]
        program.until_screen(lambda lines: [line.rstrip() for line in lines] == wanted)
        program.press("q")
        assert program.exit_code() == 0


def test_a_terminal_that_hangs_up_ends_the_view_and_not_the_program() -> None:
    """The program is told once, its input thread ends instead of spinning, and its loop goes on."""
    with PtyProgram(MODULE) as program:
        program.until_screen(lambda lines: any(line.strip() for line in lines))
        program.hang_up()
        lost = program.until_report(lambda words: words[0] == "lost")
        assert lost[-1] == "ended"
        first = program.until_report(_is_tick)
        program.until_report(lambda words: _is_tick(words) and int(words[1]) >= int(first[1]) + TICKS_AFTER_LOSS // 2)
        assert program.exit_code() == 0
