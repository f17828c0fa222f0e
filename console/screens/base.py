"""What every view shares: the stage that it plays on, its target, its rows and when they may be put in order again."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from console import text
from console.changes import Changes
from console.feed import Feed
from console.mirror import Mirror
from console.target import Target
from console.vitals import Rates, Vitals
from console.widgets.event_log import EventLog
from console.widgets.fields import Field, FieldPane
from console.widgets.status_bar import Part
from console.widgets.table import Column, Row, VirtualTable
from console.widgets.transcript import TranscriptView
from core.api.base import Mark, Query, V

WIDE_COLUMNS = 120


class Ask(Protocol):
    """Puts a question to the core in the background.

    then: gets the answer. failed: gets the error in words; without it the error is shown as a line. ended: called
    after either.
    """

    def __call__(
        self,
        query: Query[V],
        then: Callable[[V], None],
        failed: Callable[[str], None] | None = None,
        ended: Callable[[], None] | None = None,
        /,
    ) -> None:
        """Return at once."""
        ...


def nobody(
    query: Query[V],
    then: Callable[[V], None],
    failed: Callable[[str], None] | None = None,
    ended: Callable[[], None] | None = None,
    /,
) -> None:
    """Whom to ask before there is a core to ask."""
    del query, then
    if failed is not None:
        failed("no connection to the core yet")
    if ended is not None:
        ended()


@dataclass(slots=True)
class Stage:
    """The widgets and facts that views use. `now` is the local monotonic time."""

    mirror: Mirror
    now: Callable[[], float]
    table: VirtualTable
    fields: FieldPane
    page: FieldPane
    detail: FieldPane
    log: EventLog
    transcript: TranscriptView
    go: Callable[[str, str], None]
    lay_out: Callable[[], None]
    ask: Ask = nobody
    home: str = ""
    use_ascii: bool = False
    vitals: Vitals = field(default_factory=Vitals)
    rates: Rates = field(default_factory=Rates)
    feed: Feed | None = None
    has_failed: bool = False
    width: int = 80
    height: int = 24

    @property
    def is_wide(self) -> bool:
        """Whether the detail pane stands beside the list and not beneath it."""
        return self.width >= WIDE_COLUMNS

    def age(self, mark: Mark | None, boot: int | None = None) -> str:
        """The age of a mark in words; `-` when it never was."""
        return "-" if mark is None else text.age(self.mirror.age_s(mark, self.now(), boot))

    def short_id(self, name: str, width: int) -> str:
        """A name in at most so many cells, in the signs that this terminal has."""
        short = text.short_id(name, width)
        return short.replace("…", "~") if self.use_ascii else short

    def age_s(self, mark: Mark) -> float:
        """Seconds since a mark."""
        return self.mirror.age_s(mark, self.now())


class OrderGate:
    """When rows may change places: at most five times a second, not while the operator moves (pure)."""

    PERIOD_S = 0.2
    QUIET_S = 1.5
    # A list that takes long to sort is sorted seldom, so that sorting never takes a tenth of the time.
    COST_FACTOR = 20.0

    def __init__(self) -> None:
        self._sorted_at = float("-inf")
        self._moved_at = float("-inf")
        self._cost_s = 0.0
        self.is_due = True

    def moved(self, now: float) -> None:
        """The operator moved the cursor."""
        self._moved_at = now

    def want(self) -> None:
        """Rows changed in a way that may change the order."""
        self.is_due = True

    def may_sort(self, now: float) -> bool:
        """Whether it is time to put the rows in order."""
        return self.is_due and self.may_look(now) and now - self._moved_at >= self.QUIET_S

    def may_look(self, now: float) -> bool:
        """Whether it is time to look for rows where none is: also when nothing changed, but not at any cost."""
        return now - self._sorted_at >= max(self.PERIOD_S, self._cost_s * self.COST_FACTOR)

    def was_sorted(self, now: float, cost_s: float) -> None:
        """The rows are in order."""
        self._sorted_at, self._cost_s, self.is_due = now, cost_s, False


class Rows:
    """A source for the table: ids, and a function that makes the row of one."""

    def __init__(self, make: Callable[[str], Row]) -> None:
        self._make = make
        self._ids: Sequence[str] = ()
        self._generation = 0

    @property
    def ids(self) -> Sequence[str]:
        """All ids in order."""
        return self._ids

    @property
    def generation(self) -> int:
        """Grows with each new order."""
        return self._generation

    def put(self, ids: Sequence[str]) -> bool:
        """Take another order over; False when it is the same."""
        if ids is self._ids or ids == self._ids:
            return False
        self._ids = ids
        self._generation += 1
        return True

    def row(self, row_id: str) -> Row:
        """One row."""
        return self._make(row_id)


def gone_row(row_id: str, width: int) -> Row:
    """A row whose object went away between two redraws."""
    return Row(row_id, ("",) * (width - 1) + (("gone", "stale"),), "gone")


class View:
    """One view. PANES: which of the shared widgets it uses, the first gets the keys.

    detail_rows: height of the pane beneath a list on a narrow screen; 0 shows none.
    is_stacked: the pane stays beneath the list where it is wide too, and the list gets the width.
    """

    place: ClassVar[str] = ""
    PANES: ClassVar[tuple[str, ...]] = ("table",)
    detail_rows: int = 0
    has_wide_detail: bool = False
    is_stacked: bool = False
    TITLE: ClassVar[str] = ""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.filter_text = ""
        self.filter_error = ""

    @property
    def mirror(self) -> Mirror:
        """What is known of the core."""
        return self.stage.mirror

    @property
    def panes(self) -> tuple[str, ...]:
        """The widgets that it uses now."""
        return self.PANES

    @property
    def title(self) -> str:
        """Its name in the second line."""
        return self.TITLE or self.place

    def enter(self, argument: str) -> None:
        """Take the stage. argument: what was asked for, such as a filter or an id."""

    def leave(self) -> None:
        """Another view takes over."""

    def refresh(self, changes: Changes) -> None:
        """Something changed."""

    def tick(self) -> None:
        """A second went by: ages are another."""

    def crumb(self) -> tuple[list[Part], list[Part]]:
        """The second line: left and right."""
        return [(self.title, "strong")], []

    def extra_lines(self) -> list[list[Part]]:
        """Up to two more lines beneath it."""
        return []

    def target(self) -> Target:
        """What is under the cursor."""
        return Target()

    def opened(self, row_id: str) -> None:
        """Enter on a row."""

    def opened_line(self, subject: str) -> None:
        """Enter on a line of a journal."""

    def moved(self, row_id: str) -> None:
        """The cursor is on another row."""

    def clicked_header(self, key: str) -> None:
        """A click on the title of a column."""

    def set_filter(self, filter_text: str) -> None:
        """Narrow the list."""
        self.filter_text = filter_text

    def back(self) -> bool:
        """Close one thing; False when there is nothing to close."""
        if self.filter_text:
            self.set_filter("")
            return True
        return False

    def act(self, action_id: str) -> bool:  # noqa: ARG002 - for subclasses
        """Do an action that only this view knows; False when it is not one of its own."""
        return False

    def raw(self) -> object | None:
        """The view under the cursor, for raw JSON."""
        return None

    def resized(self) -> None:
        """The terminal has another size."""


class ListView(View):
    """A view of one table: columns, rows in order, a pane about the row under the cursor."""

    COLUMNS: ClassVar[tuple[Column, ...]] = ()
    EMPTY: ClassVar[str] = ""
    has_wide_detail = True
    detail_rows = 5

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.rows = Rows(self.row)
        self.gate = OrderGate()

    def row(self, row_id: str) -> Row:
        """One row of the table."""
        return gone_row(row_id, len(self.COLUMNS))

    def ordered(self) -> list[str]:
        """The ids to show, in order."""
        return []

    def total(self) -> int:
        """How many there are without a filter."""
        return len(self.rows.ids)

    def changed(self, changes: Changes) -> Iterable[str]:  # noqa: ARG002 - for subclasses
        """Which rows of this noun changed."""
        return ()

    def detail(self, row_id: str) -> list[Field]:  # noqa: ARG002 - for subclasses
        """What the pane says about a row."""
        return []

    def empty_text(self) -> str:
        """What an empty table says."""
        return self.EMPTY

    def enter(self, argument: str) -> None:
        """Show the table."""
        table = self.stage.table
        if argument:
            self.filter_text = argument
        self.order()
        table.set_columns(self.COLUMNS)
        table.set_source(self.rows)
        self.show_empty()
        self.show_detail()

    def show_empty(self) -> None:
        """What is said when no row is there."""
        words = self.filter_error
        if not words and self.filter_text and self.total():
            words = f"0 of {text.count(self.total())} match /{self.filter_text}\n\nesc clears the filter"
        self.stage.table.empty_text = words or self.empty_text()

    def order(self) -> bool:
        """Put the rows in order now; whether they are in another one."""
        began = self.stage.now()
        is_new = self.rows.put(self.ordered())
        now = self.stage.now()
        self.gate.was_sorted(now, now - began)
        return is_new

    def refresh(self, changes: Changes) -> None:
        """Redraw what changed; order when it is time."""
        changed = set(self.changed(changes))
        if changes.is_whole:
            changed |= set(self.rows.ids)
        if changed:
            self.gate.want()
            self.stage.table.refresh_rows(changed)
        self.order_if_due()
        if changed and (self.stage.table.cursor_id or "") in changed:
            self.show_detail()

    def order_if_due(self) -> None:
        """Put the rows in order when it is time."""
        # The first rows come at once, later ones at the pace of the eye.
        now = self.stage.now()
        may_order = self.gate.may_sort(now) if self.rows.ids else self.gate.may_look(now)
        if may_order and self.order():
            self.stage.table.order_changed()
            self.show_empty()

    def tick(self) -> None:
        """Ages are another."""
        self.order_if_due()
        self.show_empty()
        self.stage.table.refresh_rows(None)
        self.show_detail()

    def set_filter(self, filter_text: str) -> None:
        """Narrow the list at once."""
        self.filter_text = filter_text
        if self.order():
            self.stage.table.order_changed()
        self.show_empty()

    def moved(self, row_id: str) -> None:  # noqa: ARG002 - the table knows it too
        """The pane follows the cursor; rows stay where they are for a moment."""
        self.gate.moved(self.stage.now())
        self.show_detail()

    def show_detail(self) -> None:
        """Fill the pane."""
        row_id = self.stage.table.cursor_id
        self.stage.detail.set_fields(self.detail(row_id) if row_id else [])

    def crumb(self) -> tuple[list[Part], list[Part]]:
        """Title, filter and counts."""
        left: list[Part] = [(self.title, "strong")]
        if self.filter_text:
            left.append((f" /{text.clean(self.filter_text)}", "accent"))
        if self.filter_error:
            left.append((f"  {self.filter_error}", "failing"))
        shown, total = len(self.rows.ids), self.total()
        words = f"{text.count(total)} in all" if shown == total else f"{text.count(shown)} of {text.count(total)}"
        return left, [(words, "plain")]


def matches(words: str, *parts: object) -> bool:
    """Whether every word of a filter is somewhere in the parts."""
    wanted = words.lower().split()
    if not wanted:
        return True
    whole = "\n".join(str(part) for part in parts).lower()
    return all(word in whole for word in wanted)


def version(*parts: Hashable) -> Hashable:
    """What a row's looks depend on."""
    return parts
