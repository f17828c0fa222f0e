"""The event log: bounded, filtered, followed."""

from console.widgets.event_log import EventLog, LogLine
from console.widgets.line_ring import LineRing
from tests.support.screens import Bench, screen_lines, screen_text


class Watched(Bench):
    """Notes what the log says."""

    def on_event_log_opened(self, message: EventLog.Opened) -> None:
        """Note it."""
        self.seen.append((message.seq, message.subject))

    def on_event_log_follow_changed(self, message: EventLog.FollowChanged) -> None:
        """Note it."""
        self.seen.append(message.is_following)


def _lines(first: int, last: int) -> list[LogLine]:
    return [LogLine(seq, 1.7e9 + seq, "plain", f"s{seq % 7}", f"event {seq}.") for seq in range(first, last)]


def _text(app: Bench) -> list[str]:
    return [line.rstrip(" ▁▂▃▄▅▆▇█").rpartition("event ")[2] for line in screen_lines(app)]


async def test_it_follows_and_keeps_the_newest_lines_only() -> None:
    """A flood leaves a bounded log with the newest line in sight."""
    log = EventLog(capacity=1000)
    async with Watched(log).run_test(size=(80, 12)) as pilot:
        for batch in range(30):
            log.extend(_lines(batch * 1000, batch * 1000 + 1000))
        await pilot.pause()
        assert 1000 <= log.total_count <= 1100
        assert _text(pilot.app)[-1] == "29999."


async def test_drawing_costs_only_the_visible_lines() -> None:
    """Ten thousand new lines draw one screenful."""
    drawn: list[int] = []

    class Counted(EventLog):
        def render_line(self, y: int) -> object:  # type: ignore[override]
            drawn.append(y)
            return super().render_line(y)

    log = Counted()
    async with Watched(log).run_test(size=(80, 12)) as pilot:
        await pilot.pause()
        drawn.clear()
        for batch in range(10):
            log.extend(_lines(batch * 1000, batch * 1000 + 1000))
        await pilot.pause()
        assert 12 <= len(drawn) <= 36


async def test_scrolling_up_holds_the_lines_while_more_come_and_old_ones_go() -> None:
    """The cursor keeps its line also when the ring lets lines go; f follows again."""
    log = EventLog(capacity=100)
    app = Watched(log)
    async with app.run_test(size=(80, 12)) as pilot:
        log.extend(_lines(0, 100))
        await pilot.press("k", "k", "k")
        await pilot.pause()
        assert log.cursor_seq == 96
        before = _text(app)
        log.extend(_lines(100, 140))
        await pilot.pause()
        assert log.cursor_seq == 96
        assert _text(app) == before
        await pilot.press("f")
        await pilot.pause()
        assert _text(app)[-1] == "139."
        assert app.seen == [False, True]


async def test_the_filter_shows_what_matches_now_and_later() -> None:
    """Any case, subject or text; clearing it brings all back."""
    log = EventLog(empty_text="0 match  esc clears")
    async with Watched(log).run_test(size=(80, 12)) as pilot:
        log.extend(_lines(0, 700))
        log.set_filter("S3")
        assert (log.shown_count, log.total_count) == (100, 700)
        log.extend(_lines(700, 707))
        assert log.shown_count == 101
        log.set_filter("EVENT 55.")
        await pilot.pause()
        assert log.shown_count == 1
        assert _text(pilot.app)[0] == "55."
        log.set_filter("nothing like it")
        await pilot.pause()
        assert "0 match  esc clears" in screen_text(pilot.app)
        log.set_filter("")
        assert log.shown_count == 707


async def test_enter_goes_to_what_a_line_is_about() -> None:
    """Keys move a cursor over lines; down from the last line follows."""
    log = EventLog(id="log")
    app = Watched(log)
    async with app.run_test(size=(80, 12)) as pilot:
        log.extend(_lines(0, 50))
        await pilot.pause()
        await pilot.press("g", "j", "enter")
        assert app.seen == [False, (1, "s1")]
        await pilot.press("pagedown", "pageup")
        assert log.cursor_seq == 1
        await pilot.click("#log", offset=(30, 4), times=2)
        assert app.seen[-1] == (5, "s5")
        await pilot.press("G", "k", "j", "j")
        assert log.is_following
        log.clear_lines()
        await pilot.press("enter")
        assert log.cursor_seq is None


def test_the_ring_says_how_many_shown_lines_went() -> None:
    """Old lines go in batches, and the view learns by how much it moved."""
    ring = LineRing(100)
    assert ring.extend(_lines(0, 110)) == 0
    assert ring.extend(_lines(110, 120)) == 20
    assert ring.shown[0].seq == 20
    ring.set_filter("s0")
    before = len(ring.shown)
    gone = ring.extend(_lines(120, 135))
    assert len(ring.shown) == before - gone + sum(1 for seq in range(120, 135) if seq % 7 == 0)
    assert all(line.seq >= ring.shown[0].seq for line in ring.shown)
    assert ring.shown[ring.find(70)].seq == 70
