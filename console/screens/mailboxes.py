"""Every queue as it is now: depth and its course, the oldest message, rates, what is dead."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import ClassVar, NamedTuple

from console import text
from console.changes import Changes
from console.glyphs import glyph_set
from console.mail_scopes import of_mailbox
from console.mailbox_facts import mailbox_badge, mailbox_peek
from console.mailbox_rows import depth_of
from console.mailbox_words import conservation, difference, duration, rate
from console.moves import Moves
from console.screens.base import ListView, Stage, gone_row, matches
from console.session_facts import Fact
from console.target import Target
from console.widgets.columns import places
from console.widgets.meter import spark, squeezed
from console.widgets.status_bar import Part
from console.widgets.table import Cell, Column, Row
from core.api.mailboxes import MailboxState, MailboxView

SORTS = ("oldest", "depth", "dead", "rate", "name")
_NAME = 15
_NARROW_TREND, _WIDE_TREND = 7, 16
_ROOMY = 100
_OLD_S = 60.0
_FULL = 0.9
_SHORT_SUM = 110


class Shape(NamedTuple):
    """The list on a terminal of some width. name_cells, trend_cells: of these two columns."""

    columns: tuple[Column, ...]
    name_cells: int
    trend_cells: int


@lru_cache(4)
def shape_for(width: int) -> Shape:
    """How the list is laid out on so many columns of a terminal: a longer course never costs a name its end."""
    trend_cells = _WIDE_TREND if width >= _ROOMY else _NARROW_TREND
    columns = _columns(trend_cells)
    name_cells = next((place.width for place in places(columns, width - 1, width) if place.column.key == "name"), 0)
    return Shape(columns, name_cells, trend_cells)


def _columns(trend_cells: int) -> tuple[Column, ...]:
    return (
        Column("state", "STATE", 8),
        Column("name", "MAILBOX", _NAME, flex=True),
        Column("depth", "DEPTH", 7, align="right"),
        Column("trend", "TREND", trend_cells),
        Column("oldest", "OLDEST", 7, align="right"),
        Column("in", "IN/S", 5, align="right"),
        Column("out", "OUT/S", 5, align="right"),
        Column("flight", "FLIGHT", 6, align="right"),
        Column("dead", "DEAD", 6, align="right"),
        Column("consumers", "CONS", 4, align="right"),
        Column("wait", "P99 WAIT", 8, min_screen=120, align="right"),
        Column("work", "P99 WORK", 8, min_screen=120, align="right"),
        Column("again", "REDELIV", 7, min_screen=140, align="right"),
        Column("cap", "CAP", 5, min_screen=140, align="right"),
    )


class MailboxesView(ListView):
    """The longest wait first."""

    place = "mailboxes"
    COLUMNS = shape_for(0).columns
    is_stacked = True
    detail_rows = 7
    SORT_COLUMN: ClassVar[dict[str, str]] = {"rate": "in"}

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.sort = SORTS[0]
        self.is_reversed = False
        self._moves = Moves()

    # -- rows ----------------------------------------------------------------

    def _oldest_s(self, view: MailboxView) -> float:
        return self.stage.age_s(view.oldest) if view.oldest else -1.0

    def ordered(self) -> list[str]:
        """What the operator sorts by; the largest first, names from a to z."""
        keys: dict[str, Callable[[MailboxView], float]] = {
            "oldest": self._oldest_s,
            "depth": depth_of,
            "dead": lambda view: view.tally.dead,
            "rate": lambda view: view.in_rate_s + view.out_rate_s,
        }
        rows = [
            view
            for view in self.mirror.mail.views.values()
            if matches(self.filter_text, view.name, view.state.value, view.paused_reason, view.last_error)
        ]
        rows.sort(key=lambda view: view.name, reverse=self.sort == "name" and self.is_reversed)
        if self.sort != "name":
            key = keys[self.sort]
            rows.sort(key=lambda view: key(view) if self.is_reversed else -key(view))
        return [str(view.name) for view in rows]

    def total(self) -> int:
        """All of them."""
        return len(self.mirror.mail.views)

    def changed(self, changes: Changes) -> Iterable[str]:
        """Mailboxes with new figures."""
        return changes.mailboxes

    def row(self, row_id: str) -> Row:
        """One mailbox."""
        view = self.mirror.mail.views.get(row_id)
        if view is None:
            return gone_row(row_id, len(self.COLUMNS))
        tally, depth = view.tally, depth_of(view)
        is_busy = bool(depth or tally.dead or view.state is not MailboxState.OPEN)
        tone = "plain" if is_busy else "quiet"
        sign = mailbox_badge(view, use_ascii=self.stage.use_ascii)
        oldest_s = self._oldest_s(view)
        shape = shape_for(self.stage.width)
        cap = view.policy.capacity
        full = depth / cap if cap else 0.0
        cells: tuple[Cell, ...] = (
            (sign.text[:8], sign.tone),
            (self.stage.short_id(view.name, shape.name_cells), "strong" if is_busy else tone),
            (self._moved(row_id, "depth", depth), tone),
            (spark(squeezed(view.depths, shape.trend_cells), shape.trend_cells, self.stage.use_ascii), "busy"),
            (text.age(oldest_s) if view.oldest else "-", "needs" if oldest_s > _OLD_S else tone),
            (rate(view.in_rate_s), tone),
            (rate(view.out_rate_s), tone),
            (text.short_count(tally.in_flight) if tally.in_flight else "-", tone),
            (self._moved(row_id, "dead", tally.dead), "failing" if tally.dead else tone),
            (str(view.consumers), "needs" if tally.queued and not view.consumers else tone),
            (duration(view.wait_p99_s), tone),
            (duration(view.work_p99_s), tone),
            (text.short_count(tally.redelivered) if tally.redelivered else "-", "needs" if tally.redelivered else tone),
            (f"{full:.0%}" if cap else "-", "failing" if full >= _FULL else tone),
        )
        return Row(row_id, cells, cells)

    def _moved(self, row_id: str, name: str, value: int) -> str:
        way = self._moves.direction(row_id, name, value, self.stage.now())
        glyphs = glyph_set(self.stage.use_ascii)
        words = text.short_count(value) if value else "-"
        return words + (glyphs.up if way > 0 else glyphs.down if way < 0 else " ")

    # -- around the list -----------------------------------------------------

    def enter(self, argument: str) -> None:
        """Show the list with the columns of this width."""
        super().enter(argument)
        self._lay_columns()
        self._mark_sort()

    def resized(self) -> None:
        """Other columns for another width."""
        self._lay_columns()

    def _lay_columns(self) -> None:
        self.stage.table.set_columns(shape_for(self.stage.width).columns)

    def refresh(self, changes: Changes) -> None:
        """Rows, and the words of an empty list."""
        super().refresh(changes)
        if changes.has_mail:
            self.show_empty()

    def empty_text(self) -> str:
        """Why there is nothing, and what to do."""
        mail = self.mirror.mail
        if mail.error:
            return (
                f"The core cannot say which mailboxes there are.\n\n{mail.error}\n\n:retry asks again; sessions go on"
            )
        if not mail.is_known:
            return "The core is starting. Mailboxes appear here."
        if mail.is_indexing:
            return "Stored mail is still being read. Mailboxes appear here as they are found."
        return (
            "No mailboxes yet.\n\nN makes one. Session inboxes, deliveries and agents bring their own: "
            "they appear here with their first message."
        )

    def detail(self, row_id: str) -> list[Fact]:
        """How the mailbox under the cursor stands."""
        view = self.mirror.mail.views.get(row_id)
        return mailbox_peek(view, self.stage.age_s, use_ascii=self.stage.use_ascii) if view else []

    def crumb(self) -> tuple[list[Part], list[Part]]:
        """How many, how many letters are dead, the sort order."""
        left, right = super().crumb()
        mail = self.mirror.mail
        sort = self.sort + (" reversed" if self.is_reversed else "")
        dead = [(f"{text.count(mail.total.dead)} dead", "failing")] if mail.total.dead else []
        return left, [*dead, *right, (f"sort {sort}", "quiet")]

    def extra_lines(self) -> list[list[Part]]:
        """Whether all that came in is accounted for."""
        mail = self.mirror.mail
        if mail.error:
            return [[("the core cannot show its mailboxes", "failing")]]
        if not mail.is_known:
            return [[("not known yet", "stale")]]
        told, tone = difference(mail.difference)
        is_short = self.stage.width < _SHORT_SUM
        words = conservation(mail.total, is_short=is_short)
        line: list[Part] = [(told, tone), (words, "failing" if mail.difference else "plain")]
        if mail.is_indexing:
            # On a narrow terminal the sum goes first: it still grows.
            line.insert(1, ("stored mail is being read: figures grow", "busy"))
        return [line]

    # -- acts ----------------------------------------------------------------

    def target(self) -> Target:
        """The mailbox under the cursor, and what is in it."""
        name = self.stage.table.cursor_id or ""
        return Target(mailbox=name, scopes=of_mailbox(name) if name else ())

    def opened(self, row_id: str) -> None:
        """Into the mailbox."""
        self.stage.go("mailbox", row_id)

    def act(self, action_id: str) -> bool:
        """Sort order, and the way to the dead letters of this mailbox."""
        if action_id == "view.sort":
            self._sort_by(SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)])
        elif action_id == "view.dead":
            self.stage.go("dead", self.stage.table.cursor_id or "")
        else:
            return False
        return True

    def clicked_header(self, key: str) -> None:
        """A click on a title sorts by it; one more turns the order round."""
        name = "rate" if key in {"in", "out"} else key
        if name == self.sort:
            self.is_reversed = not self.is_reversed
            self._reorder()
        elif name in SORTS:
            self._sort_by(name)

    def _sort_by(self, name: str) -> None:
        self.sort, self.is_reversed = name, False
        self._reorder()

    def _reorder(self) -> None:
        if self.order():
            self.stage.table.order_changed()
        self._mark_sort()

    def _mark_sort(self) -> None:
        # A name falls from a to z, all else from the largest.
        is_falling = (self.sort != "name") != self.is_reversed
        self.stage.table.set_sort(self.SORT_COLUMN.get(self.sort, self.sort), descending=is_falling)

    def raw(self) -> object | None:
        """The mailbox under the cursor."""
        return self.mirror.mail.views.get(self.stage.table.cursor_id or "")
