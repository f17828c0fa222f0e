"""Who did what: the deeds of operators and senders, each with what it changed."""

from collections.abc import Iterable

from console import text
from console.audit_facts import DEEDS, OPERATORS, before_of, differences
from console.changes import Changes
from console.event_line import event_line
from console.glyphs import tone_badge
from console.screens.asking import Question
from console.screens.base import ListView, Stage, gone_row, matches, version
from console.session_facts import Fact
from console.target import Target
from console.widgets.badge import badge_cell
from console.widgets.status_bar import Part
from console.widgets.table import Column, Row
from core.api.base import ActorKind, Record, Seq
from core.api.system import EventPage, ListEvents

_PAGE = 500
_HISTORY = 200
_KEPT = 5_000
_TONES = {"info": "plain", "good": "well", "warn": "needs", "fail": "failing"}


class AuditView(ListView):
    """The newest first."""

    place = "audit"
    TITLE = "audit"
    COLUMNS = (
        Column("time", "TIME", 8),
        Column("kind", "KIND", 10),
        Column("who", "WHO", 10),
        Column("did", "DID", 16),
        Column("what", "ABOUT", 14),
        Column("result", "RESULT", 16, flex=True),
    )
    EMPTY = (
        "Nobody did anything yet.\n\nWhat operators order here or in a shell, and what senders order in chats, is "
        "listed with what it changed. `hermes-console audit list` prints the same."
    )
    detail_rows = 7
    is_stacked = True

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._question = Question(stage)
        self._older = Question(stage)
        self._records: dict[str, Record] = {}
        self._reached: Seq | None = None
        # How far the journal was looked at; None before the newest page.
        self._seen: Seq | None = None
        self._room = _KEPT
        self._details: dict[str, list[Fact]] = {}
        self._actors: tuple[ActorKind, ...] = DEEDS

    def enter(self, argument: str) -> None:
        """Show what is known, and ask."""
        super().enter(argument)
        self._question.want()
        self._ask()

    def _ask(self) -> None:
        if self._question.is_due:
            # To look for deeds among all that happened is dear, so only what came since is looked at.
            query = ListEvents(after=self._seen, limit=_PAGE, actors=self._actors)
            self._question.ask(query, self._came, self._answered)

    def _came(self, page: EventPage) -> None:
        if self._seen is None:
            self._records.clear()
            self._reached, self._seen = page.reached, page.head
        elif page.reached is not None:
            self._seen = page.reached
            if page.reached < page.head:
                self._question.want()
        self._take(page)
        if (too_many := len(self._records) - self._room) > 0:
            for key in sorted(self._records, key=int)[:too_many]:
                del self._records[key]
            self._reached = Seq(min(map(int, self._records)))

    def _answered(self) -> None:
        if self._question.error:
            # What came since may be kept no more: begin with the newest page.
            self._seen = None
        self._ended()

    def _take(self, page: EventPage) -> None:
        self._records.update({str(record.seq): record for record in page.records})

    def _ended(self) -> None:
        self._details = {key: facts for key, facts in self._details.items() if key in self._records}
        if self.order():
            self.stage.table.order_changed()
        self.show_empty()
        self.show_detail()

    def refresh(self, changes: Changes) -> None:
        """Events came: a deed may be among them."""
        if changes.is_whole:
            self._begin()
        if changes.is_whole or changes.event_count:
            self._question.want()
        self._ask()
        super().refresh(changes)

    def _begin(self) -> None:
        """Read from the newest page on, as if nothing were known."""
        self._seen = None
        self._question.begin()
        self._older.begin()

    def tick(self) -> None:
        """Ask again when it is time."""
        self._ask()
        super().tick()

    def ordered(self) -> list[str]:
        """The newest first."""
        found = sorted(self._records.values(), key=lambda record: -record.seq)
        return [str(record.seq) for record in found if self._is_wanted(record)]

    def _is_wanted(self, record: Record) -> bool:
        if not self.filter_text:
            return True
        line = event_line(record)
        kind = record.actor.kind.value
        return matches(self.filter_text, line.kind, line.subject, line.actor, line.text, kind)

    def total(self) -> int:
        """All that were read."""
        return len(self._records)

    def changed(self, changes: Changes) -> Iterable[str]:
        """Deeds do not change."""
        del changes
        return ()

    def empty_text(self) -> str:
        """What is missing, or that it was not heard yet."""
        if self._question.error:
            return f"The journal cannot be read: {text.clean(self._question.error)}"
        return "asking the core" if self._question.is_new else self.EMPTY

    def row(self, row_id: str) -> Row:
        """One deed."""
        record = self._records.get(row_id)
        if record is None:
            return gone_row(row_id, len(self.COLUMNS))
        line = event_line(record)
        tone = _TONES.get(line.level, "plain")
        cells = (
            text.clock_time(line.at),
            badge_cell(tone_badge("plain", record.actor.kind.value, use_ascii=self.stage.use_ascii)),
            (text.clean(line.actor), "strong"),
            (text.clean(line.kind), tone),
            self.stage.short_id(line.subject, 14),
            text.clean(line.text),
        )
        return Row(row_id, cells, version(cells))

    def detail(self, row_id: str) -> list[Fact]:
        """What it changed, before and after."""
        record = self._records.get(row_id)
        if record is None:
            return []
        line = event_line(record)
        head: list[Fact] = [
            (f"-- {text.clean(line.kind)}  {text.clean(line.subject)}", "", ""),
            ("who", f"{text.clean(line.actor)} ({record.actor.kind.value})", "strong"),
            ("when", f"{text.stamp(line.at)}   event {line.seq}", "plain"),
            ("what", text.clean(line.text) or "-", "plain"),
        ]
        return [*head, *self._changes(record)]

    def _changes(self, record: Record) -> list[Fact]:
        key = str(record.seq)
        if key not in self._details:
            self._details[key] = [("changed", "asking the core", "quiet")]

            def came(page: EventPage) -> None:
                self._details[key] = _change_facts(record, page.records)
                self.show_detail()

            def failed(words: str) -> None:
                self._details.pop(key, None)
                self.stage.detail.set_fields([("changed", text.clean(words), "failing")])

            query = ListEvents(before=record.seq, subject=record.subject, limit=_HISTORY)
            self.stage.ask(query, came, failed)
        return self._details[key]

    def crumb(self) -> tuple[list[Part], list[Part]]:
        """How many, and whether there are older ones."""
        left, right = super().crumb()
        if self._actors != DEEDS:
            left = [*left, ("operators only", "accent")]
        return left, [*([("older: b", "quiet")] if self._reached else []), *right]

    def act(self, action_id: str) -> bool:
        """Older pages; only what operators did, where senders write faster than anybody reads."""
        if action_id == "audit.operators":
            self._actors = DEEDS if self._actors != DEEDS else OPERATORS
            self._records, self._reached, self._room = {}, None, _KEPT
            self._begin()
            self._ask()
            self._ended()
            return True
        if action_id != "log.older":
            return False
        if self._reached and self._older.may_ask():
            query = ListEvents(before=self._reached, limit=_PAGE, actors=self._actors)
            self._older.ask(query, self._older_came, self._ended)
        return True

    def _older_came(self, page: EventPage) -> None:
        self._room += len(page.records)
        self._take(page)
        self._reached = page.reached

    def target(self) -> Target:
        """The session that the deed is about."""
        record = self._records.get(self.stage.table.cursor_id or "")
        is_session = record is not None and record.subject in self.mirror.sessions
        return Target(session_id=record.subject) if record is not None and is_session else Target()

    def opened(self, row_id: str) -> None:
        """To what it is about."""
        record = self._records.get(row_id)
        if record is None:
            return
        if record.subject in self.mirror.sessions:
            self.stage.go("session", record.subject)
        elif record.subject in self.mirror.platforms:
            self.stage.go("platforms", record.subject)
        else:
            self.stage.go("events", record.subject)

    def raw(self) -> object | None:
        """The record under the cursor."""
        return self._records.get(self.stage.table.cursor_id or "")


def _change_facts(record: Record, earlier: tuple[Record, ...]) -> list[Fact]:
    before = before_of(record, earlier)
    found = differences(record, before)
    if not found:
        return [("changed", "nothing that is shown", "quiet")]
    head = "before -> after" if before is not None else "new, no earlier record is kept"
    return [("changed", head, "quiet"), *((name, f"{old} -> {new}", "plain") for name, old, new in found)]
