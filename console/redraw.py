"""When and what is drawn again: one redraw for all that came, seldom when nobody looks, none when nothing changed."""

import time
from collections.abc import Callable
from typing import Any, Protocol

from textual.app import App
from textual.geometry import Size

from console.action import Action
from console.acts import Acts
from console.arrivals import Arrivals, title_words
from console.changes import Changes
from console.core_link import CoreLink
from console.desk import LEAST_COLUMNS, LEAST_ROWS, DeskScreen
from console.header import head_parts, live_part
from console.hints import hints_for
from console.keymap import Keymap
from console.leaving import Leaving
from console.navigator import Navigator
from console.notices import failure_fields, size_fields
from console.options import ConsoleOptions
from console.screens.base import Stage
from console.terminal import vitals_of, write_title
from console.widgets.status_bar import Hint

TICK_S = 0.1
_CALM_S, _BLURRED_S = 0.25, 1.0
_ACTIVE_S = 5.0
_SAVE_PERIOD_S = 30
_SAY_S = 15.0


class RedrawHost(Protocol):
    """What redrawing needs of the app."""

    options: ConsoleOptions
    stage: Stage
    desk: DeskScreen
    navigator: Navigator
    keymap: Keymap
    acts: Acts
    link: CoreLink
    leaving: Leaving

    @property
    def size(self) -> Size:
        """Of the terminal."""
        ...

    def why_not(self, action: Action) -> str:
        """Why an action does nothing now."""
        ...


class Redraw:
    """The one timer's work. paused: changes that wait while the view stands still; None while it does not."""

    def __init__(self, host: RedrawHost, app: App[Any], now: Callable[[], float]) -> None:
        self._host = host
        self._app = app
        self._now = now
        self._flushed_at = self._second_at = self._keyed_at = self._said_at = float("-inf")
        self._seconds = 0
        self.is_blurred = False
        self._arrivals = Arrivals()
        self.paused: int | None = None

    def note_key(self) -> None:
        """The operator is at work; the time until the next frame is the key's."""
        self._keyed_at = self._now()
        began = time.perf_counter()
        keys = self._host.stage.vitals.keys
        self._app.call_after_refresh(lambda: keys.note(time.perf_counter() - began))

    def flush_if_due(self) -> None:
        """Called ten times a second."""
        now = self._now()
        period_s = _CALM_S if now - self._keyed_at > _ACTIVE_S else TICK_S
        if self.is_blurred:
            period_s = _BLURRED_S
        if now - self._flushed_at >= period_s - TICK_S / 10:
            self.flush()
        if now - self._second_at >= 1.0:
            self.second()

    def flush(self) -> None:
        """Give what changed to the view."""
        host, mirror = self._host, self._host.stage.mirror
        self._flushed_at = self._now()
        if not mirror.has_changes:
            return
        began = time.perf_counter()
        changes = mirror.take_changes()
        if changes.approvals or changes.pairings:
            self._announce()
        host.acts.approvals.follow(changes.approvals)
        if self.paused is not None:
            self.paused += len(changes.sessions) + changes.event_count
        else:
            host.navigator.view.refresh(changes)
        self.show_crumb()
        host.stage.vitals.frames.note(time.perf_counter() - began)

    def _announce(self) -> None:
        """Tell by the terminal that somebody waits, also where nobody looks at this screen."""
        before, how = self._arrivals.count, self._host.options.announce
        is_news = self._arrivals.note(self._host.stage.mirror)
        if is_news and how in {"both", "bell"}:
            self._app.bell()
        if self._arrivals.count != before and how in {"both", "title"}:
            write_title(self._app, title_words(self._arrivals.count))

    def second(self) -> None:
        """Ages are another, rates are counted, the first frame of the next start is kept."""
        if not self.is_blurred:
            self._host.acts.approvals.note_shown(self._host.navigator.place)
        host, now = self._host, self._now()
        self._second_at = now
        self._seconds += 1
        host.stage.rates.note(host.stage.mirror.totals)
        terminal = vitals_of(self._app)
        host.stage.vitals.read_terminal(terminal.bytes_written, terminal.dropped_frames, now)
        if host.desk.is_noticing:
            self.show_notice()
        if self.paused is None and host.link.failure is None:
            host.navigator.view.tick()
        if now - self._said_at > _SAY_S:
            host.desk.result.set_parts([])
        if self._seconds % _SAVE_PERIOD_S == 0:
            host.leaving.save_frame_later()
        host.link.collecting.when_calm(now, self._keyed_at)
        self.show_lines()

    def say(self, words: str, tone: str) -> None:
        """Show a line of result for a while."""
        self._said_at = self._now()
        self._host.desk.result.set_parts([(words, tone)])

    def toggle_pause(self) -> None:
        """Let the view stand still, or go on with all that came meanwhile."""
        if self.paused is None:
            self.paused = 0
            return
        self.paused = None
        changes = Changes()
        changes.is_whole = True
        self._host.navigator.view.refresh(changes)

    def show_lines(self) -> None:
        """The lines above and below the view."""
        options = self._host.options
        left, right = head_parts(self._host.stage, read_only=options.read_only, is_demo=options.demo)
        self._host.desk.head.set_parts(left, right)
        self.show_crumb()

    def show_crumb(self) -> None:
        """Where the operator is, and what the keys do there."""
        host, desk = self._host, self._host.desk
        if host.link.failure is not None:
            desk.crumb.set_parts([])
            desk.hints.set_hints([Hint("r", "try again"), Hint("q", "leave")])
            return
        view = host.navigator.view
        left, right = view.crumb()
        desk.crumb.set_parts(left, [*right, live_part(host.stage, paused=self.paused)])
        for bar, parts in zip(desk.extra, view.extra_lines(), strict=False):
            bar.set_parts(parts)
        desk.hints.set_hints(hints_for(view.place, host.keymap, host.why_not))

    def show_notice(self) -> None:
        """What takes the whole screen: a core that did not start, a terminal that is too small."""
        host, desk = self._host, self._host.desk
        width, height = host.size
        is_small = width < LEAST_COLUMNS or height < LEAST_ROWS
        failure = host.link.failure
        if failure is not None:
            desk.notice.set_fields(failure_fields(failure))
        elif is_small:
            desk.notice.set_fields(size_fields(host.stage.mirror, width, height, (LEAST_COLUMNS, LEAST_ROWS)))
        is_noticing = failure is not None or is_small
        if is_noticing != desk.is_noticing:
            desk.is_noticing = is_noticing
            desk.lay_out()
