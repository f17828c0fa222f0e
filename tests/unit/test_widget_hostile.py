"""Text from outside is data in every widget, in colour and without."""

import os
from collections.abc import Callable

import pytest
from textual.app import App
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

from console.widgets.confirm import ConfirmScreen, InjectChoice, InjectScreen, QuitScreen
from console.widgets.editor import Editor
from console.widgets.event_log import EventLog, LogLine
from console.widgets.fields import FieldPane
from console.widgets.status_bar import Hint, HintBar, StatusBar
from console.widgets.surface import Surface
from console.widgets.table import VirtualTable
from console.widgets.transcript import TranscriptItem, TranscriptView
from core.api.runs import ActionOption, OptionKind
from tests.support.rows import COLUMNS, HARMFUL, HOSTILE, FakeRows
from tests.support.screens import Bench, screen_lines
from tests.unit.test_widget_dialogs import Hands, _approval_screen, approval


def _table() -> Widget:
    table, rows = VirtualTable(COLUMNS), FakeRows([f"s{number}" for number in range(len(HOSTILE))])
    rows.words = {f"s{number}": words for number, words in enumerate(HOSTILE)}
    table.set_source(rows)
    return table


def _transcript() -> Widget:
    view = TranscriptView()
    view.set_lines(
        [TranscriptItem(f"e{n}", 1.0, words, "accent", words[:900], marks=words) for n, words in enumerate(HOSTILE)]
    )
    view.set_live(HOSTILE[0] + HOSTILE[2], author=HOSTILE[1])
    return view


def _log() -> Widget:
    log = EventLog()
    log.extend(LogLine(n, 1.0, "failing", words, words) for n, words in enumerate(HOSTILE))
    return log


def _fields() -> Widget:
    pane = FieldPane(title=HOSTILE[1])
    pane.set_fields([(words[:40], words[:300], "needs") for words in HOSTILE])
    return pane


def _bar() -> Widget:
    bar = StatusBar()
    bar.set_parts([(words[:20], "needs") for words in HOSTILE], [(HOSTILE[2], "well")])
    return bar


def _hints() -> Widget:
    bar = HintBar()
    bar.set_hints([Hint(words[:9], words[:9], words[:9]) for words in HOSTILE])
    return bar


WIDGETS: dict[str, Callable[[], Widget]] = {
    "table": _table,
    "empty_table": lambda: VirtualTable(COLUMNS, empty_text="\n".join(words[:200] for words in HOSTILE)),
    "transcript": _transcript,
    "log": _log,
    "fields": _fields,
    "bar": _bar,
    "hints": _hints,
    "editor": lambda: Editor("\n".join(words[:50] for words in HOSTILE)),
}


def _inject() -> Screen[object]:
    def preview(choice: InjectChoice) -> list[str]:
        return [choice.text, *HOSTILE[:4]]

    return InjectScreen(
        HOSTILE[2], HOSTILE[1], preview=preview, keep_draft=lambda _: None, draft=InjectChoice(HOSTILE[0])
    )


SCREENS: dict[str, Callable[[], Screen[object]]] = {
    "confirm": lambda: ConfirmScreen(HOSTILE[1], HOSTILE[:5], loses=HOSTILE[:5], typed=None, ask_reason=True),
    "quit": lambda: QuitScreen(HOSTILE[:5]),
    "inject": _inject,
    "approval": lambda: _approval_screen(
        Hands(),
        approval(
            title=HOSTILE[1],
            detail="\n".join(HOSTILE[:5]),
            agent=HOSTILE[2],
            options=(ActionOption(id="x", label=HOSTILE[0], kind=OptionKind.ALLOW_ONCE),),
        ),
        HOSTILE[:3],
    ),
}


@pytest.fixture(params=["colour", "no_color", "ascii"])
def bench(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Bench]:
    """An app with colours, without any, or for a terminal that has ASCII only."""
    if request.param == "no_color":
        monkeypatch.setenv("NO_COLOR", "1")
    theme = "hermes-dark" if request.param == "colour" else "hermes-ansi"

    def make(*widgets: Widget) -> Bench:
        app = Bench(*widgets, theme=theme, use_ascii=request.param == "ascii")
        assert app.no_color == (request.param == "no_color")
        return app

    return make


def _assert_harmless(app: App[object]) -> None:
    lines = screen_lines(app)
    assert {len(line.encode("utf-8", "strict")) > 0 for line in lines} == {True}
    found = [char for line in lines for char in line if char in HARMFUL]
    assert found == []


@pytest.mark.parametrize("size", [(80, 24), (140, 40), (20, 6)])
@pytest.mark.parametrize("name", WIDGETS)
async def test_hostile_text_is_shown_as_text(name: str, size: tuple[int, int], bench: Callable[..., Bench]) -> None:
    """Nothing crashes, nothing is taken for markup, no control character reaches the screen."""
    widget = WIDGETS[name]()
    async with bench(widget).run_test(size=size) as pilot:
        await pilot.pause()
        _assert_harmless(pilot.app)
        if size[0] >= 80 and name in {"log", "fields"}:
            assert "[red]not markup" in "".join(screen_lines(pilot.app))


@pytest.mark.parametrize("name", SCREENS)
async def test_hostile_text_in_dialogs_is_shown_as_text(name: str, bench: Callable[..., Bench]) -> None:
    """Also where somebody decides about it."""
    async with bench().run_test(size=(80, 40)) as pilot:
        pilot.app.push_screen(SCREENS[name]())
        await pilot.pause()
        _assert_harmless(pilot.app)
        assert "[red]not markup[/red]" in "".join(screen_lines(pilot.app))


@pytest.mark.parametrize("name", WIDGETS)
async def test_every_segment_has_a_style_and_every_line_its_width(name: str) -> None:
    """A segment without a style crashes under NO_COLOR; a line that is too short shows what was there before."""
    widget = WIDGETS[name]()
    async with Bench(widget).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        if not isinstance(widget, Surface | Editor):
            widget = widget.children[0]
        for y in range(widget.size.height):
            strip: Strip = widget.render_line(y)
            assert all(segment.style is not None for segment in strip)
            assert not isinstance(widget, Surface) or strip.cell_length == widget.size.width


async def test_without_colour_nothing_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under NO_COLOR only weight, underline and reverse are left."""
    monkeypatch.setenv("NO_COLOR", "1")
    table = WIDGETS["table"]()
    async with Bench(table, theme="hermes-ansi").run_test() as pilot:
        await pilot.pause()
        update = pilot.app.screen._compositor.render_full_update()
        segments = [segment for strips in update.strips for strip in strips for segment in strip]
        coloured = [
            segment
            for segment in segments
            if segment.style and any(c and not c.is_default for c in (segment.style.color, segment.style.bgcolor))
        ]
        assert segments
        assert coloured == []
        assert "NO_COLOR" in os.environ
