"""Who talks to which agent, and which of them wait: the live list of all sessions."""

from collections.abc import Iterable
from typing import ClassVar

import msgspec

from console import text
from console.changes import Changes
from console.glyphs import badge
from console.screens.base import ListView, Stage, gone_row
from console.screens.empty import first_steps
from console.session_facts import Fact, approval_facts, peek
from console.session_filter import parse_filter
from console.session_index import SORTS, STATES, Selection, who
from console.session_runtime import lease_problem, unasked
from console.session_words import doing, is_quiet
from console.target import Target
from console.widgets.badge import badge_cell
from console.widgets.status_bar import Part
from console.widgets.table import Column, Row
from core.api.sessions import SessionState, SessionView

_ID_WIDTH = 20


class SessionsView(ListView):
    """Rows of sessions. Idle and archived ones are hidden at first, but counted."""

    place = "sessions"
    COLUMNS = (
        Column("state", "STATE", 10),
        Column("id", "SESSION", _ID_WIDTH),
        Column("agent", "AGENT", 7),
        Column("who", "WHO", 11, min_screen=90),
        Column("platform", "PLATFORM", 9, min_screen=150),
        Column("wait", "SINCE", 6, align="right"),
        Column("queue", "Q", 3, align="right"),
        Column("tokens", "TOK", 5, min_screen=160, align="right"),
        Column("last", "DOES", 20, flex=True),
    )
    SORT_COLUMN: ClassVar[dict[str, str]] = {"attention": "wait", "wait": "wait", "age": "wait"}

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.selection = Selection()

    def enter(self, argument: str) -> None:
        """Show the list, narrowed when asked so."""
        if argument:
            self._select(argument)
        super().enter("")
        self._mark_sort()

    def _select(self, words: str) -> None:
        found = parse_filter(words, states=STATES)
        self.filter_text, self.filter_error = words, found.error
        # A filter that was not understood filters nothing and says so.
        self.selection = msgspec.structs.replace(self.selection, filter=found)

    def set_filter(self, filter_text: str) -> None:
        """Narrow the list by the filter language."""
        self._select(filter_text.strip())
        super().set_filter(filter_text.strip())

    def _ages(self, view: SessionView) -> tuple[float, float]:
        now = self.stage.now()
        return self.mirror.age_s(view.created, now, view.boot), self.mirror.state_age_s(view, now)

    def ordered(self) -> list[str]:
        """By attention unless told otherwise."""
        return self.mirror.index.listed(self.selection, ages=self._ages)

    def total(self) -> int:
        """All sessions that are loaded."""
        return len(self.mirror.sessions)

    def changed(self, changes: Changes) -> Iterable[str]:
        """Sessions that changed."""
        return changes.sessions

    def row(self, row_id: str) -> Row:
        """One session."""
        view = self.mirror.sessions.get(row_id)
        if view is None:
            return gone_row(row_id, len(self.COLUMNS))
        wait_s = self.mirror.state_age_s(view, self.stage.now())
        approval = self.mirror.approval_of(row_id)
        sign = badge(view.state, use_ascii=self.stage.use_ascii)
        is_slow = view.run is not None and is_quiet(view.run, self.stage.age_s)
        since_tone = "needs" if is_slow or view.state is SessionState.WAITING else "plain"
        quiet = "quiet" if view.state is SessionState.IDLE else "plain"
        last_tone = "needs" if approval else "failing" if view.state is SessionState.FAILED else quiet
        words = doing(view, approval, self.stage.age_s)
        # What is dangerous has its place in the row; the pane has the rest.
        if loud := unasked(view) or lease_problem(view, self.stage.age_s):
            words, last_tone = f"{words}; {loud}" if approval else f"{loud}; {words}", "failing"
        cells = (
            badge_cell(sign, 10),
            (text.short_id(row_id, _ID_WIDTH), quiet if quiet == "quiet" else "strong"),
            (text.clean(view.agent), quiet),
            (text.clean(who(view)), quiet),
            (text.clean(view.source.platform), quiet),
            (text.age(wait_s), since_tone if quiet == "plain" else quiet),
            (str(view.queue_depth) if view.queue_depth else "-", "needs" if view.queue_depth else "quiet"),
            (text.short_count(view.input_tokens + view.output_tokens), quiet),
            (words, last_tone),
        )
        return Row(row_id, cells, cells)

    def detail(self, row_id: str) -> list[Fact]:
        """The facts of the session under the cursor."""
        view = self.mirror.sessions.get(row_id)
        if view is None:
            return []
        approval = self.mirror.approval_of(row_id)
        facts = peek(view, approval, self.stage.age_s, use_ascii=self.stage.use_ascii)
        if approval is not None and self.stage.is_wide:
            facts += approval_facts(approval, self.stage.age_s, behind=view.queue_depth)
        return facts

    def empty_text(self) -> str:
        """What to type next, or where the sessions are."""
        if self.mirror.sessions:
            idle = self.mirror.counts[SessionState.IDLE.value]
            return f"Nothing runs or waits. {text.count(idle)} idle sessions are hidden.\n\ni shows them"
        return first_steps(self.mirror)

    def crumb(self) -> tuple[list[Part], list[Part]]:
        """Title, filter, how many of how many, sort."""
        left, right = super().crumb()
        hidden = self.mirror.counts[SessionState.IDLE.value] if self._hides_idle() else 0
        parts: list[Part] = [(f"{text.count(hidden)} idle hidden", "quiet")] if hidden else []
        archived = self.mirror.index.archived_count if self._hides_archived() else 0
        if archived:
            parts.append((f"{text.count(archived)} archived hidden", "quiet"))
        if marks := len(self.stage.table.marks):
            parts.append((f"{marks} marked", "accent"))
        sort = self.selection.sort + (" reversed" if self.selection.is_reversed else "")
        return left, [*parts, *right, (f"sort {sort}", "quiet")]

    def _hides_idle(self) -> bool:
        return self._hides_archived() and self.selection.filter.states is None

    def _hides_archived(self) -> bool:
        return self.selection.hides_idle and not self.selection.filter.is_of_archived

    def target(self) -> Target:
        """The session under the cursor, and the decision that it waits for."""
        row_id = self.stage.table.cursor_id or ""
        approval = self.mirror.approval_of(row_id) if row_id else None
        return Target(session_id=row_id, approval_id=approval.id if approval else "")

    def opened(self, row_id: str) -> None:
        """Into the session."""
        self.stage.go("session", row_id)

    def act(self, action_id: str) -> bool:
        """Sort order; idle and archived ones."""
        if action_id == "view.idle":
            self.selection = msgspec.structs.replace(self.selection, hides_idle=not self.selection.hides_idle)
        elif action_id == "view.sort":
            following = SORTS[(SORTS.index(self.selection.sort) + 1) % len(SORTS)]
            self.sort_by(following)
            return True
        else:
            return False
        self._reorder()
        return True

    def sort_by(self, name: str) -> None:
        """Sort by a name of SORTS; the same once more turns the order round."""
        is_same = name == self.selection.sort
        self.selection = msgspec.structs.replace(
            self.selection, sort=name, is_reversed=is_same and not self.selection.is_reversed
        )
        self._reorder()

    def clicked_header(self, key: str) -> None:
        """A click on a title sorts by it."""
        names = {"last": "attention", "tokens": "attention"}
        self.sort_by(names.get(key, key))

    def _reorder(self) -> None:
        if self.order():
            self.stage.table.order_changed()
        self._mark_sort()
        self.show_empty()

    def _mark_sort(self) -> None:
        sort = self.selection.sort
        self.stage.table.set_sort(self.SORT_COLUMN.get(sort, sort), descending=not self.selection.is_reversed)

    def raw(self) -> object | None:
        """The session under the cursor."""
        return self.mirror.sessions.get(self.stage.table.cursor_id or "")
