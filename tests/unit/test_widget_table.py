"""The table: only visible rows are built and repainted, the cursor holds an id."""

from collections.abc import Callable

import pytest
from textual.events import MouseScrollDown
from textual.strip import Strip

from console.text import cell_width
from console.widgets.columns import Cell, Column, pieces
from console.widgets.event_log import EventLog, LogLine
from console.widgets.surface import Surface
from console.widgets.table import Row, VirtualTable
from tests.support.rows import COLUMNS, HARMFUL, HOSTILE, FakeRows
from tests.support.screens import Bench, screen_lines


def _table() -> VirtualTable:
    return VirtualTable(COLUMNS, empty_text="Nothing here yet.\nWrite to it.", id="table")


class _Watched(VirtualTable):
    """Counts which screen lines are drawn."""

    drawn: list[int]

    def render_line(self, y: int) -> Strip:
        """Note the line."""
        self.drawn.append(y)
        return super().render_line(y)


class _QuietRows(FakeRows):
    """Rows that want no attention."""

    def row(self, row_id: str) -> Row:
        """One row."""
        return Row(row_id, (("idle", "quiet"), (row_id, "quiet"), "", "", ""), 0)


def _quiet_table() -> Surface:
    table = VirtualTable(COLUMNS)
    table.set_source(_QuietRows(["first", "second"]))
    return table


def _quiet_log() -> Surface:
    log = EventLog()
    log.extend(LogLine(number, 1.0, "quiet", "kind", "text") for number in range(3))
    return log


def _many(count: int = 100_000) -> FakeRows:
    return FakeRows([f"s{number}" for number in range(count)])


async def test_a_hundred_thousand_rows_build_only_what_is_seen() -> None:
    """Setting them builds none, painting builds one screenful, going to the end another one."""
    table, rows = _table(), _many()
    async with Bench(table).run_test(size=(80, 24)) as pilot:
        table.set_source(rows)
        assert rows.built == []
        await pilot.pause()
        assert set(rows.built) == {f"s{number}" for number in range(23)}
        rows.built.clear()
        await pilot.press("G")
        await pilot.pause()
        assert table.cursor_id == "s99999"
        assert set(rows.built) <= {f"s{number}" for number in range(23)} | {
            f"s{number}" for number in range(99_977, 100_000)
        }


async def test_a_change_repaints_its_line_and_no_other() -> None:
    """Rows out of sight cost nothing, a visible one costs its own line."""
    table, rows = _Watched(COLUMNS), _many(1000)
    table.drawn = []
    async with Bench(table).run_test(size=(80, 24)) as pilot:
        table.set_source(rows)
        await pilot.pause()
        table.drawn.clear()
        rows.change("s900", "hidden")
        table.refresh_rows(["s900"])
        await pilot.pause()
        assert table.drawn == []
        rows.change("s4", "changed")
        table.refresh_rows({"s4", "s900"})
        await pilot.pause()
        assert table.drawn == [5]
        assert "changed" in screen_lines(pilot.app)[5]


async def test_looking_at_all_rows_repaints_only_those_that_look_different() -> None:
    """A tick of the clock with no new version draws nothing."""
    table, rows = _Watched(COLUMNS), _many(1000)
    table.drawn = []
    async with Bench(table).run_test(size=(80, 24)) as pilot:
        table.set_source(rows)
        await pilot.pause()
        table.drawn.clear()
        table.refresh_rows(None)
        await pilot.pause()
        assert table.drawn == []
        rows.change("s0", "a")
        rows.change("s20", "b")
        table.refresh_rows(None)
        await pilot.pause()
        assert table.drawn == [1, 21]


async def test_the_cursor_stays_on_its_row_when_the_order_changes() -> None:
    """Selection is by id, never by place."""
    table, rows = _table(), _many(100)
    async with Bench(table).run_test(size=(80, 24)) as pilot:
        table.set_source(rows)
        await pilot.press("j", "j", "j")
        assert table.cursor_id == "s3"
        rows.order(rows.ids[::-1])
        table.order_changed()
        await pilot.pause()
        assert table.cursor_id == "s3"
        await pilot.press("k")
        assert table.cursor_id == "s4"


async def test_a_scrolled_view_keeps_the_cursor_on_its_screen_line() -> None:
    """Rows that come in above do not move what is looked at."""
    table, rows = _table(), _many(200)
    async with Bench(table).run_test(size=(80, 24)) as pilot:
        table.set_source(rows)
        table.move_to("s100")
        await pilot.pause()
        before = [line[:20] for line in screen_lines(pilot.app)]
        rows.order(["new1", "new2", *rows.ids])
        table.order_changed()
        await pilot.pause()
        assert [line[:20] for line in screen_lines(pilot.app)] == before


async def test_a_row_that_goes_away_leaves_the_cursor_at_its_place() -> None:
    """The next row gets the cursor, and the app is told."""
    moved: list[str] = []

    class App(Bench):
        def on_virtual_table_moved(self, message: VirtualTable.Moved) -> None:
            moved.append(message.row_id)

    table, rows = _table(), _many(5)
    async with App(table).run_test() as pilot:
        table.set_source(rows)
        await pilot.press("j", "j")
        rows.order(["s0", "s1", "s3", "s4"])
        table.order_changed()
        await pilot.pause()
        assert table.cursor_id == "s3"
        rows.order([])
        table.order_changed()
        await pilot.pause()
        assert table.cursor_id is None
        assert moved == ["s0", "s1", "s2", "s3", ""]
        assert "Nothing here yet." in "".join(screen_lines(pilot.app))


async def test_keys_move_open_and_mark() -> None:
    """Letters, page keys, g G, enter and space do what their names say."""
    opened: list[str] = []

    class App(Bench):
        def on_virtual_table_opened(self, message: VirtualTable.Opened) -> None:
            opened.append(message.row_id)

    table, rows = _table(), _many(100)
    async with App(table).run_test(size=(80, 24)) as pilot:
        table.set_source(rows)
        for keys, cursor in (
            (("j",), "s1"),
            (("down",), "s2"),
            (("k",), "s1"),
            (("pagedown",), "s24"),
            (("pageup",), "s1"),
            (("G",), "s99"),
            (("j",), "s99"),
            (("g",), "s0"),
            (("up",), "s0"),
            (("end",), "s99"),
            (("home",), "s0"),
        ):
            await pilot.press(*keys)
            assert table.cursor_id == cursor, keys
        await pilot.press("enter")
        assert opened == ["s0"]
        await pilot.press("space", "space")
        assert table.marks == {"s0", "s1"}
        await pilot.pause()
        assert [line[0] for line in screen_lines(pilot.app)[1:4]] == ["*", "*", ">"]
        await pilot.press("up", "space")
        assert table.marks == {"s0"}


async def test_the_mouse_chooses_opens_and_scrolls() -> None:
    """Click puts the cursor, a double click opens, the wheel scrolls, a title says its column."""
    seen: list[str] = []

    class App(Bench):
        def on_virtual_table_opened(self, message: VirtualTable.Opened) -> None:
            seen.append(message.row_id)

        def on_virtual_table_header_clicked(self, message: VirtualTable.HeaderClicked) -> None:
            seen.append(message.key)

    table, rows = _table(), _many(100)
    async with App(table).run_test(size=(80, 24)) as pilot:
        table.set_source(rows)
        await pilot.pause()
        await pilot.click("#table", offset=(20, 6))
        assert table.cursor_id == "s5"
        await pilot.click("#table", offset=(20, 7), times=2)
        await pilot.click("#table", offset=(25, 0))
        await pilot.pause()
        assert seen == ["s6", "wait"]
        await pilot._post_mouse_events([MouseScrollDown], "#table")
        await pilot.pause()
        assert "s3 " in screen_lines(pilot.app)[1]
        assert table.cursor_id == "s6"


@pytest.mark.parametrize(
    ("width", "titles"),
    [(80, "STATE SESSION WAIT LAST"), (120, "STATE SESSION AGENT WAIT LAST"), (24, "STATE SESSION")],
)
async def test_columns_that_have_no_room_are_left_out(width: int, titles: str) -> None:
    """Narrow screens show what counts; the flexible column takes what is left."""
    table = _table()
    async with Bench(table).run_test(size=(width, 12)) as pilot:
        table.set_source(_many(3))
        await pilot.pause()
        lines = screen_lines(pilot.app)
        assert lines[0].split() == titles.split()
        assert {len(line) for line in lines} == {width}


@pytest.mark.parametrize(
    ("cell", "parts"),
    [
        ("words", [("words               ", "plain")]),
        (("words", "failing"), [("words               ", "failing")]),
        (("words", "plain", "rest of it"), [("words  ", "plain"), ("rest of it   ", "quiet")]),
        (("words", "plain", "r" * 50), [("words  ", "plain"), ("r" * 12 + "…", "quiet")]),
        (("twelve chars", "plain", "rest"), [("twelve chars        ", "plain")]),
        (("漢字", "plain", "rest"), [("漢字  ", "plain"), ("rest          ", "quiet")]),
        (("words", "plain", ""), [("words               ", "plain")]),
    ],
)
def test_what_follows_in_a_cell_is_shown_where_there_is_room(cell: Cell, parts: list[tuple[str, str]]) -> None:
    """As wide as the column in any case."""
    found = pieces(cell, Column("last", "LAST", 20), 20, ellipsis="…")
    assert found == parts
    assert sum(cell_width(words) for words, _ in found) == 20


@pytest.mark.parametrize("cells", [1, 9, 40])
@pytest.mark.parametrize("words", HOSTILE)
def test_a_cell_is_as_wide_as_its_column_whatever_follows(words: str, cells: int) -> None:
    """Text from outside on both sides."""
    found = pieces((words, "plain", words), Column("last", "LAST", cells), cells, ellipsis="…")
    assert sum(cell_width(part) for part, _ in found) == cells
    assert not set("".join(part for part, _ in found)) & set(HARMFUL)


async def test_the_sorted_column_is_marked() -> None:
    """The title carries the direction; other lines are left alone."""
    table = _table()
    async with Bench(table).run_test(size=(80, 12)) as pilot:
        table.set_source(_many(3))
        table.set_sort("wait", descending=True)
        await pilot.pause()
        assert "WAIT▼" in screen_lines(pilot.app)[0]
        table.set_columns((Column("id", "ONLY", 10, flex=True),))
        await pilot.pause()
        assert screen_lines(pilot.app)[0].split() == ["ONLY"]


async def test_another_theme_and_another_size_draw_everything_anew() -> None:
    """No line is kept in old colours or at an old width."""
    table = _table()
    app = Bench(table)
    async with app.run_test(size=(80, 12)) as pilot:
        table.set_source(_many(30))
        await pilot.pause()
        before = table.render_line(3)
        app.theme = "hermes-light"
        await pilot.pause()
        assert table.render_line(3)._segments[0].style != before._segments[0].style
        await pilot.resize_terminal(60, 12)
        await pilot.pause()
        assert {len(line) for line in screen_lines(app)} == {60}


async def test_the_cursor_stays_in_sight_in_a_smaller_window() -> None:
    """A window that shrinks scrolls to the cursor."""
    table = _table()
    async with Bench(table).run_test(size=(80, 24)) as pilot:
        table.set_source(_many(100))
        table.move_to("s20")
        await pilot.resize_terminal(80, 10)
        await pilot.pause()
        assert any(line.startswith(">") for line in screen_lines(pilot.app))
        table.move_to("unknown")
        assert table.cursor_id == "s20"


@pytest.mark.parametrize("make", [_quiet_table, _quiet_log])
async def test_the_line_of_the_cursor_is_never_dim(
    make: Callable[[], Surface], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dim letters on a reversed line cannot be read; other lines stay quiet."""
    monkeypatch.setenv("NO_COLOR", "1")
    widget = make()
    async with Bench(widget, theme="hermes-ansi").run_test(size=(80, 24)) as pilot:
        widget.focus()
        await pilot.pause()
        styles = [segment.style for y in range(widget.size.height) for segment in widget.render_line(y)]
        seen = {(style.reverse is True, style.dim is True) for style in styles if style}
        assert (False, True) in seen
        assert (True, False) in seen
        assert (True, True) not in seen
