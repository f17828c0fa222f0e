"""The transcript: wrapped where it is looked at, followed until somebody scrolls up."""

from textual.events import MouseScrollUp

from console.widgets.transcript import TranscriptItem, TranscriptView
from console.widgets.transcript_body import TEXT_LIMIT, GrowingText, body
from tests.support.screens import Bench, screen_lines, screen_text


class Watched(Bench):
    """Notes what the view says."""

    def on_transcript_view_follow_changed(self, message: TranscriptView.FollowChanged) -> None:
        """Note it."""
        self.seen.append(message.is_following)

    def on_transcript_view_top_reached(self) -> None:
        """Note it."""
        self.seen.append("top")

    def on_transcript_view_opened(self, message: TranscriptView.Opened) -> None:
        """Note it."""
        self.seen.append(message.item_id)


def _item(number: int, text: str = "", **more: object) -> TranscriptItem:
    return TranscriptItem(
        id=f"e{number}",
        at=None,
        author="Ivo",
        tone="accent",
        text=text or f"words {number}",
        **more,  # type: ignore[arg-type]
    )


def _many(count: int) -> list[TranscriptItem]:
    return [_item(number, f"words {number} " + "and more of them " * (number % 30)) for number in range(count)]


async def test_it_begins_at_the_end_and_stays_there_while_entries_come() -> None:
    """Following is how it starts: the newest entry is in sight."""
    view = TranscriptView(id="t")
    async with Watched(view).run_test(size=(80, 12)) as pilot:
        view.set_lines(_many(200))
        await pilot.pause()
        assert view.is_following
        assert "words 199" in screen_text(pilot.app)
        view.append([_item(200), _item(201)])
        await pilot.pause()
        assert screen_lines(pilot.app)[-1].rstrip(" ▁▂▃▄▅▆▇█").endswith("words 201")


async def test_scrolling_up_stops_following_and_f_begins_it_again() -> None:
    """What is read is not pulled away by what comes; the app is told."""
    view = TranscriptView(id="t")
    app = Watched(view)
    async with app.run_test(size=(80, 12)) as pilot:
        view.set_lines(_many(200))
        await pilot.pause()
        await pilot._post_mouse_events([MouseScrollUp], "#t")
        await pilot.pause()
        assert not view.is_following
        before = [line[:70] for line in screen_lines(app)]
        view.append([_item(200), _item(201, "long " * 100)])
        view.set_live("being written " * 50)
        await pilot.pause()
        assert [line[:70] for line in screen_lines(app)] == before
        await pilot.press("f")
        await pilot.pause()
        assert view.is_following
        assert "written" in screen_lines(app)[-1]
        assert app.seen == [False, True]


async def test_the_first_entry_is_told_of_and_earlier_ones_move_nothing() -> None:
    """Coming to the top asks for more once; what is put before it leaves the view where it is."""
    view = TranscriptView(id="t")
    app = Watched(view)
    async with app.run_test(size=(80, 12)) as pilot:
        view.set_lines(_many(100))
        await pilot.pause()
        await pilot.press("g")
        await pilot.press("k")
        await pilot.pause()
        assert app.seen == [False, "top"]
        before = [line[:70] for line in screen_lines(app)]
        view.prepend([_item(number, "earlier " * (number % 40)) for number in range(1000, 1100)])
        await pilot.pause()
        assert [line[:70] for line in screen_lines(app)] == before
        await pilot.press("g")
        await pilot.pause()
        assert app.seen == [False, "top", "top"]
        assert view.cursor_id == "e1000"


async def test_going_up_line_by_line_shows_every_line_once() -> None:
    """True heights take the place of estimates before they come into sight, so nothing jumps or is left out."""
    view = TranscriptView(id="t")
    app = Watched(view)
    async with app.run_test(size=(80, 12)) as pilot:
        view.set_lines(
            [
                _item(
                    number, "\n".join(f"<{number}.{line}>" for line in range(number % 9 + 1)) + " pad" * (number % 50)
                )
                for number in range(22)
            ]
        )
        await pilot.pause()
        await pilot.press("up")
        seen: list[str] = []
        while True:
            first = screen_lines(app)[0][:60]
            seen.append(first)
            if view.scroll_offset.y == 0:
                break
            view.jump_to(view.scroll_offset.y - 1)
            await pilot.pause()
        marks = [part for line in reversed(seen) for part in line.replace(">", "> ").split() if part.startswith("<")]
        everything = [f"<{number}.{line}>" for number in range(22) for line in range(number % 9 + 1)]
        assert marks == everything[: len(marks)]
        assert len(marks) > 60


async def test_fifty_thousand_entries_wrap_only_what_is_near() -> None:
    """The rest is estimated."""
    view = TranscriptView(id="t")
    async with Watched(view).run_test(size=(80, 24)) as pilot:
        view.set_lines(_many(50_000))
        await pilot.pause()
        assert len(view._entries._bodies) < 200
        await pilot.press("g")
        await pilot.pause()
        assert len(view._entries._bodies) < 400
        assert "words 0 " in screen_lines(pilot.app)[0]


async def test_the_answer_that_grows_is_at_the_end_and_becomes_an_entry() -> None:
    """While it is written it says so; when it is stored the entry stands in its place."""
    view = TranscriptView(id="t")
    async with Watched(view).run_test(size=(80, 12)) as pilot:
        view.set_lines([_item(1)])
        view.set_live("first line\nsecond", author="main")
        await pilot.pause()
        lines = screen_lines(pilot.app)
        assert "main" in lines[1]
        assert "is being written" in lines[1]
        assert lines[2].strip() == "second"
        view.set_live(None)
        view.append([_item(2, "first line\nsecond line")])
        await pilot.pause()
        assert "being written" not in screen_text(pilot.app)
        assert "second line" in screen_text(pilot.app)


async def test_tool_entries_fold_and_unfold() -> None:
    """Folded they show their first line and how many follow; enter and a click change it."""
    view = TranscriptView(id="t")
    app = Watched(view)
    async with app.run_test(size=(80, 12)) as pilot:
        view.set_lines([_item(1, "shell ls\na\nb\nc", foldable=True, folded=True), _item(2)])
        await pilot.pause()
        assert "(+3 lines)" in screen_lines(app)[0]
        assert "words 2" in screen_lines(app)[1]
        await pilot.press("k", "enter")
        await pilot.pause()
        assert [line.strip() for line in screen_lines(app)[1:4]] == ["a", "b", "c"]
        view.append([_item(1, "shell ls\na\nb\nc\nd", foldable=True, folded=True)])
        await pilot.pause()
        assert screen_lines(app)[4].strip() == "d", "unfolding outlives new contents"
        await pilot.click("#t", offset=(20, 0))
        await pilot.pause()
        assert "words 2" in screen_lines(app)[1]
        await pilot.press("j", "enter")
        assert app.seen[-1] == "e2"


async def test_marks_stand_on_the_right_or_on_a_line_of_their_own() -> None:
    """What is partial or queued says so also where the text is long."""
    view = TranscriptView(id="t")
    async with Watched(view).run_test(size=(80, 12)) as pilot:
        view.set_lines([_item(1, "short", marks="queued 1 of 7"), _item(2, "x" * 59, marks="partial")])
        await pilot.pause()
        lines = screen_lines(pilot.app)
        assert lines[0].rstrip().endswith("queued 1 of 7")
        assert lines[2].strip() == "(partial)"


async def test_an_entry_longer_than_the_window_can_be_read_through() -> None:
    """The cursor keys go through it by half windows before they leave it."""
    view = TranscriptView(id="t")
    app = Watched(view)
    async with app.run_test(size=(80, 10)) as pilot:
        view.set_lines([_item(1), _item(2, "\n".join(f"row {n}" for n in range(40))), _item(3)])
        await pilot.press("g")
        seen = ""
        for _ in range(12):
            await pilot.press("j")
            await pilot.pause()
            seen += screen_text(app)
        assert all(f"row {number}" in seen for number in range(40))
        assert view.is_following
        seen = ""
        for _ in range(12):
            await pilot.press("k")
            await pilot.pause()
            seen += screen_text(app)
        assert all(f"row {number}" in seen for number in range(40))
        assert view.cursor_id == "e1"


async def test_another_width_wraps_anew_and_keeps_the_place() -> None:
    """The entry at the top stays at the top."""
    view = TranscriptView(id="t")
    app = Watched(view)
    async with app.run_test(size=(80, 12)) as pilot:
        view.set_lines(_many(100))
        await pilot.press("g", "pagedown", "pagedown", "pagedown")
        await pilot.pause()
        top = view._entries.heights.find(view.scroll_offset.y)[0]
        await pilot.resize_terminal(50, 12)
        await pilot.pause()
        assert view._entries.heights.find(view.scroll_offset.y)[0] == top
        assert {len(line) for line in screen_lines(app)} == {50}


async def test_an_entry_can_be_removed_and_its_place_is_taken() -> None:
    """The cursor goes to the next entry; unknown ids change nothing."""
    view = TranscriptView(id="t", empty_text="Nothing was said.")
    app = Watched(view)
    async with app.run_test(size=(80, 12)) as pilot:
        view.set_lines([_item(1), _item(2), _item(3)])
        await pilot.press("k")
        assert view.cursor_id == "e2"
        view.remove_item("e2")
        view.remove_item("unknown")
        assert view.cursor_id == "e3"
        view.remove_item("e3")
        view.remove_item("e1")
        await pilot.pause()
        assert view.cursor_id is None
        assert "Nothing was said." in screen_text(app)


def test_growing_text_wraps_as_the_whole_text_would() -> None:
    """Whatever the pieces, the lines are those of the whole text."""
    whole = "one two three four\n\nfive " * 5 + "漢字 " * 30 + "\r\nlast\x1b line"
    growing, room = GrowingText(), 17
    for end in range(len(whole) + 1):
        lines = growing.update(whole[:end], room)
    assert lines == body(TranscriptItem("x", None, "", "plain", whole), room, is_folded=False)
    assert growing.update("another", room) == ["another"]


def test_a_huge_entry_is_cut_and_says_so() -> None:
    """A text of megabytes does not hold the screen up."""
    lines = body(TranscriptItem("x", None, "", "plain", "y" * (TEXT_LIMIT + 1234)), 70, is_folded=False)
    assert lines[-1] == "(1,234 more characters are not shown here)"


async def test_the_scroll_bar_takes_its_cell_before_lines_are_wrapped() -> None:
    """No line loses its last letter when the bar appears."""
    view = TranscriptView(id="t")
    async with Watched(view).run_test(size=(80, 12)) as pilot:
        view.set_lines([_item(1, "x" * 300)])
        await pilot.pause()
        view.append([_item(number, "x" * 300) for number in range(2, 9)])
        await pilot.pause()
        await pilot.pause()
        lines = screen_lines(pilot.app)
        assert view.show_vertical_scrollbar
        assert all("\N{HORIZONTAL ELLIPSIS}" not in line for line in lines)
        assert lines[0][17:79] == "x" * 62
