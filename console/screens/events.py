"""The journal as it grows: filter, follow, older pages, and the way to what a line is about."""

from console import text
from console.changes import Changes
from console.event_line import EventLine
from console.screens.base import Stage, View
from console.target import Target
from console.widgets.event_log import LogLine
from console.widgets.status_bar import Part
from core.api.base import Seq
from core.api.system import EventPage, ListEvents

_TONES = {"info": "plain", "good": "well", "warn": "needs", "fail": "failing"}
_KIND_WIDTH = 16
_PAGE = 1_000
_WINDOW = 2_000


def log_line(line: EventLine) -> LogLine:
    """A line as the log draws it."""
    words = f"{text.fit(text.clean(line.kind), _KIND_WIDTH)} {text.clean(line.text)}"
    if line.actor not in {"core", ""}:
        words += f"   by {text.clean(line.actor)}"
    return LogLine(line.seq, line.at, _TONES.get(line.level, "plain"), text.clean(line.subject), words)


class EventsView(View):
    """All events; the newest at the bottom."""

    place = "events"
    PANES = ("log",)

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._shown = 0
        self._window = _WINDOW
        self._is_asking = False
        self._has_older = True

    def enter(self, argument: str) -> None:
        """Show the newest of what is kept."""
        if argument:
            self.filter_text = argument
        self._fill()
        self.stage.log.set_follow(True)

    def _fill(self) -> None:
        log = self.stage.log
        log.clear_lines()
        log.extend(log_line(line) for line in self.mirror.last_events(self._window))
        log.set_filter(self.filter_text)
        self._shown = self.mirror.event_total

    def refresh(self, changes: Changes) -> None:
        """Add what came."""
        new = self.mirror.event_total - self._shown
        if changes.is_whole or changes.event_count > new:
            # Some of it is older than what is shown.
            self._fill()
            return
        self._shown = self.mirror.event_total
        if new > 0:
            self.stage.log.extend(log_line(line) for line in self.mirror.last_events(new))

    def set_filter(self, filter_text: str) -> None:
        """Only lines with these words."""
        self.filter_text = filter_text
        self.stage.log.set_filter(filter_text)

    def crumb(self) -> tuple[list[Part], list[Part]]:
        """How many lines, and whether the end is followed."""
        log = self.stage.log
        left: list[Part] = [("events", "strong")]
        if self.filter_text:
            left.append((f" /{text.clean(self.filter_text)}", "accent"))
        shown, total = log.shown_count, log.total_count
        words = text.count(total) if shown == total else f"{text.count(shown)} of {text.count(total)}"
        follow: Part = ("follow on", "well") if log.is_following else ("follow off, f", "needs")
        return left, [(words, "plain"), follow]

    def act(self, action_id: str) -> bool:
        """Follow, and older pages."""
        if action_id == "log.follow":
            self.stage.log.set_follow(not self.stage.log.is_following)
            return True
        if action_id == "log.older":
            self._ask_older()
            return True
        return False

    def _ask_older(self) -> None:
        if self._is_asking:
            return
        if self._window < len(self.mirror.events):
            self._window += _PAGE
            self._fill()
        elif self._has_older and self.mirror.events:
            self._is_asking = True
            query = ListEvents(before=Seq(self.mirror.events[0].seq), limit=_PAGE)
            self.stage.ask(query, self._older_came, None, self._older_ended)
        self.stage.log.set_follow(False)

    def _older_ended(self) -> None:
        self._is_asking = False

    def _older_came(self, page: EventPage) -> None:
        self._has_older = bool(page.records)
        self._window += len(page.records)
        self.mirror.load_events(page)
        self._fill()
        self.stage.log.set_follow(False)

    def opened_line(self, subject: str) -> None:
        """To what the line is about."""
        if subject in self.mirror.sessions:
            self.stage.go("session", subject)
        elif subject in self.mirror.approvals:
            self.stage.go("approvals", subject)
        elif subject in self.mirror.platforms:
            self.stage.go("platforms", subject)

    def target(self) -> Target:
        """The session that the line under the cursor is about."""
        seq = self.stage.log.cursor_seq
        line = next((item for item in reversed(self.mirror.events) if item.seq == seq), None) if seq else None
        return Target(session_id=line.subject) if line and line.subject in self.mirror.sessions else Target()
