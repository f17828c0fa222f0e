"""Bars, fields, meters and badges: small things that are on every screen."""

import pytest
from textual.strip import Strip

from console.glyphs import ASCII, TONES, UNICODE, Badge, badge, glyph_set, is_ascii_only, tone_badge
from console.text import cell_width
from console.theme import ANSI, CONTRAST, DARK, LIGHT, THEMES, choose_theme, styles
from console.widgets.badge import badge_cell
from console.widgets.fields import FieldPane
from console.widgets.meter import spark
from console.widgets.status_bar import Hint, HintBar, StatusBar
from core.api.approvals import ApprovalState
from core.api.deliveries import DeliveryState
from core.api.platforms import PlatformState
from core.api.sessions import SessionState
from tests.support.screens import Bench, screen_lines, text_of


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (60, "HERMES  home  core ok                         link  14:02:11"),
        (40, "HERMES  home  core ok     link  14:02:11"),
        (30, "HERMES  home    link  14:02:11"),
        (22, "HERMES  link  14:02:11"),
        (18, "HERMES    14:02:11"),
        (10, "HERMES"),
        (4, "HER…"),
    ],
)
async def test_a_narrow_bar_drops_its_least_parts_whole(width: int, line: str) -> None:
    """The last of the left goes first, the name of the program and the clock stay longest."""
    bar = StatusBar()
    bar.set_parts(
        [("HERMES", "strong"), ("home", "plain"), ("core ok", "well")], [("link", "quiet"), ("14:02:11", "plain")]
    )
    async with Bench(bar).run_test(size=(width, 3)) as pilot:
        await pilot.pause()
        assert screen_lines(pilot.app)[0].rstrip() == line


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (41, "tasks >  renew the certificate    live"),
        (30, "tasks >  renew the cert…  live"),
        (24, "tasks >  renew th…  live"),
        (20, "tasks >         live"),
    ],
)
async def test_what_a_line_is_about_is_cut_before_it_goes(width: int, line: str) -> None:
    """A long title leaves some of itself; eight cells are the least that says anything."""
    bar = StatusBar()
    bar.set_parts([("tasks >", "quiet"), ("renew the certificate", "strong"), ("more", "plain")], [("live", "well")])
    async with Bench(bar).run_test(size=(width, 3)) as pilot:
        await pilot.pause()
        assert " ".join(screen_lines(pilot.app)[0].split()) == " ".join(line.split())


async def test_equal_parts_draw_nothing() -> None:
    """A second that changes no word costs nothing."""
    drawn: list[int] = []

    class Counted(StatusBar):
        def render_line(self, y: int) -> Strip:
            drawn.append(y)
            return super().render_line(y)

    bar = Counted()
    async with Bench(bar).run_test() as pilot:
        bar.set_parts([("a", "plain")])
        await pilot.pause()
        drawn.clear()
        bar.set_parts([("a", "plain")])
        await pilot.pause()
        assert drawn == []
        bar.set_parts([("b", "plain")])
        await pilot.pause()
        assert drawn == [0]


async def test_keys_that_do_nothing_now_say_why_where_there_is_room() -> None:
    """Hints are shown whole or not at all; reasons go first."""
    hints = [Hint("enter", "open"), Hint("X", "interrupt", "nothing runs"), Hint("?", "help")]
    for width, line in (
        (80, " enter open  X interrupt (off: nothing runs)  ? help"),
        (46, " enter open  X interrupt (off)  ? help"),
        (34, " enter open  X interrupt (off)"),
        (20, " enter open"),
    ):
        bar = HintBar()
        bar.set_hints(hints)
        shown = await text_of(Bench(bar), (width, 3))
        assert shown.splitlines()[0] == line


async def test_facts_have_labels_headings_and_wrapped_values() -> None:
    """A value that is too long goes on under itself."""
    pane = FieldPane(title="state", label_width=8)
    pane.set_fields([("run", "model 12s", "busy"), ("-- queue", "", ""), ("head", "word " * 20, "needs")])
    shown = (await text_of(Bench(pane), (40, 10))).splitlines()
    assert shown[0].startswith("── state ───")
    assert shown[1] == " run      model 12s"
    assert shown[2].startswith("── queue ──")
    assert shown[3].startswith(" head     word word")
    assert shown[4].startswith("          word")


async def test_a_fact_that_changes_repaints_its_line_only() -> None:
    """Ages tick in a pane without drawing all of it."""
    drawn: list[int] = []

    class Counted(FieldPane):
        def render_line(self, y: int) -> Strip:
            drawn.append(y)
            return super().render_line(y)

    pane = Counted(label_width=8)
    async with Bench(pane).run_test(size=(40, 10)) as pilot:
        pane.set_fields([("a", "1s", "plain"), ("b", "x", "plain")])
        await pilot.pause()
        drawn.clear()
        pane.set_fields([("a", "2s", "plain"), ("b", "x", "plain")])
        await pilot.pause()
        assert drawn == [0]
        pane.set_fields([(str(n), "x", "plain") for n in range(50)])
        await pilot.pause()
        pane.focus()
        await pilot.press("j", "j", "k")
        assert pane.scroll_offset.y == 1


@pytest.mark.parametrize(
    ("values", "width", "shown"),
    [
        ([], 4, "    "),
        ([0, 0], 4, "    "),
        ([1, 2, 4, 8], 4, "▁▂▄█"),
        ([0, 0.001, 100], 3, " ▁█"),
        ([5] * 10, 3, "███"),
        ([1], 0, ""),
        ([-5, 5], 2, " █"),
    ],
)
def test_a_spark_line_shows_the_last_values(values: list[float], width: int, shown: str) -> None:
    """Scaled to the largest; whatever is above zero can be seen."""
    assert spark(values, width) == shown
    assert spark(values, width, use_ascii=True).isascii()
    assert len(spark(values, width, use_ascii=True)) == width


@pytest.mark.parametrize("states", [SessionState, ApprovalState, PlatformState, DeliveryState])
def test_every_state_has_a_glyph_of_one_cell_a_word_and_a_tone(
    states: type[SessionState | ApprovalState | PlatformState | DeliveryState],
) -> None:
    """Colour is never the only carrier; within one kind no two states look alike."""
    for use_ascii in (False, True):
        badges = [badge(state, use_ascii=use_ascii) for state in states]
        assert all(cell_width(each.glyph) == 1 and each.word and each.tone in TONES for each in badges)
        assert len({each.glyph for each in badges}) == len(badges)
        assert len({each.word for each in badges}) == len(badges)
        assert not use_ascii or all(each.text.isascii() for each in badges)


def test_equal_words_of_different_kinds_are_kept_apart() -> None:
    """String enums compare by their words; badges do not mix them up."""
    assert badge(SessionState.FAILED).tone == badge(DeliveryState.DEAD).tone == "failing"
    assert badge(SessionState.QUEUED) == badge(DeliveryState.QUEUED)


def test_badges_become_cells() -> None:
    """A cell that is too narrow shows the glyph; an unknown tone is quiet."""
    one = tone_badge("needs", "stuck")
    assert badge_cell(one) == ("◆ stuck", "needs")
    assert badge_cell(one, 2) == ("◆", "needs")
    assert tone_badge("odd", use_ascii=True) == Badge("-", "quiet", "odd")


def test_signs_are_one_cell_and_ascii_where_that_is_asked_for() -> None:
    """Both sets have the same signs."""
    for signs in (UNICODE, ASCII):
        for name in signs.__dataclass_fields__:
            text = getattr(signs, name)
            assert all(cell_width(sign) == 1 for sign in text), name
    assert "".join(getattr(ASCII, name) for name in ASCII.__dataclass_fields__).isascii()
    assert glyph_set(True) is ASCII


@pytest.mark.parametrize(
    ("environ", "is_ascii"),
    [
        ({"TERM": "xterm-256color", "LANG": "en_GB.UTF-8"}, False),
        ({"TERM": "xterm", "LANG": "C.utf8"}, False),
        ({"TERM": "xterm", "LANG": "C"}, True),
        ({"TERM": "xterm"}, True),
        ({"TERM": "linux", "LANG": "C.UTF-8"}, True),
        ({"TERM": "dumb", "LANG": "C.UTF-8"}, True),
        ({"TERM": "xterm", "LANG": "C", "LC_ALL": "de_DE.UTF-8"}, False),
        ({"TERM": "xterm", "LANG": "C.UTF-8", "LC_ALL": "POSIX"}, True),
    ],
)
def test_ascii_is_chosen_from_the_environment(environ: dict[str, str], is_ascii: bool) -> None:
    """The locale and the terminal say what can be drawn."""
    assert is_ascii_only(environ) is is_ascii


def test_every_theme_gives_a_style_for_every_tone() -> None:
    """None of them is missing, for ours and for a name that nobody knows."""
    for name in [theme.name for theme in THEMES] + ["textual-dark", "textual-light", "ansi-light", "nonsense"]:
        palette = styles(name)
        assert all(palette.style(tone) for tone in (*TONES, "unknown"))
        assert all(
            (palette.ground, palette.raised, palette.header, palette.rule, palette.cursor, palette.cursor_blurred)
        )
        assert palette.style("unknown") == palette.style("plain")


@pytest.mark.parametrize(
    ("wanted", "environ", "colours", "name"),
    [
        ("", {"TERM": "xterm"}, 1 << 24, DARK),
        ("light", {"TERM": "xterm"}, 256, LIGHT),
        (CONTRAST, {"TERM": "xterm"}, 256, CONTRAST),
        ("nonsense", {"TERM": "xterm"}, 256, DARK),
        ("light", {"TERM": "xterm", "NO_COLOR": ""}, 256, ANSI),
        ("", {"TERM": "linux"}, 256, ANSI),
        ("", {"TERM": "xterm"}, 16, ANSI),
    ],
)
def test_the_theme_yields_to_the_terminal(wanted: str, environ: dict[str, str], colours: int, name: str) -> None:
    """NO_COLOR and few colours take the colours of the terminal."""
    assert choose_theme(wanted, environ, colour_count=colours) == name


def _contrast(one: str, two: str) -> float:
    def light(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    high, low = sorted((light(one), light(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(("name", "least"), [(DARK, 4.0), (LIGHT, 3.8), (CONTRAST, 7.0)])
def test_every_tone_can_be_read_on_every_ground(name: str, least: float) -> None:
    """Contrast by the WCAG formula, also under the cursor."""
    palette = styles(name)
    for ground in (palette.ground, palette.raised, palette.cursor, palette.cursor_blurred):
        for tone in TONES:
            style = palette.style(tone)
            assert style.color is not None
            assert ground.bgcolor is not None
            limit = least if ground in {palette.ground, palette.raised} else min(least, 3.0)
            assert _contrast(style.color.name, ground.bgcolor.name) >= limit, (tone, ground)
