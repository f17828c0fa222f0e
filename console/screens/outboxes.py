"""What waits to be sent over each account, and what holds it up."""

from collections.abc import Iterable

from console import text
from console.changes import Changes
from console.glyphs import badge
from console.outbox_facts import breaker_words, next_words, outbox_facts
from console.screens.base import ListView, gone_row, matches, version
from console.session_facts import Fact
from console.target import Target
from console.widgets.badge import badge_cell
from console.widgets.status_bar import Part
from console.widgets.table import Column, Row
from core.api.outboxes import OutboxState

# Names of accounts of one kind differ at their end.
_NAME_WIDTH = 12
_RANK = {
    OutboxState.BROKEN: 0,
    OutboxState.HELD: 1,
    OutboxState.PROBING: 2,
    OutboxState.PAUSED: 3,
    OutboxState.LIMITED: 4,
    # One that sends is idle a moment later: by name, so that rows stay where they are.
    OutboxState.SENDING: 5,
    OutboxState.IDLE: 5,
}


class OutboxesView(ListView):
    """Those that are held up first."""

    place = "outboxes"
    TITLE = "outboxes"
    COLUMNS = (
        Column("state", "STATE", 9),
        Column("platform", "PLATFORM", _NAME_WIDTH),
        Column("waiting", "WAIT", 6, align="right"),
        Column("oldest", "OLDEST", 6, align="right"),
        Column("next", "NEXT", 6, align="right"),
        Column("breaker", "BREAKER", 8),
        Column("left", "LEFT", 5, min_screen=100, align="right"),
        Column("dead", "DEAD", 5, align="right"),
        Column("sent", "SENT", 6, min_screen=100, align="right"),
        Column("why", "HELD UP BY", 12, flex=True),
    )
    EMPTY = "No account has sent anything yet.\n\nThe first answer to a chat opens the outbox of its platform."
    detail_rows = 9

    def ordered(self) -> list[str]:
        """Held up first; by name."""
        rows = sorted(self.mirror.work.outboxes.outboxes.values(), key=lambda view: (_RANK[view.state], view.platform))
        return [
            str(view.platform)
            for view in rows
            if matches(self.filter_text, view.platform, view.state.value, view.why, view.error)
        ]

    def total(self) -> int:
        """All of them."""
        return len(self.mirror.work.outboxes.outboxes)

    def changed(self, changes: Changes) -> Iterable[str]:
        """Outboxes that changed."""
        return changes.outboxes

    def row(self, row_id: str) -> Row:
        """One account."""
        view = self.mirror.work.outboxes.outboxes.get(row_id)
        if view is None:
            return gone_row(row_id, len(self.COLUMNS))
        cells = (
            badge_cell(badge(view.state, use_ascii=self.stage.use_ascii)),
            (self.stage.short_id(text.clean(view.platform), _NAME_WIDTH), "strong"),
            text.short_count(view.waiting),
            self.stage.age(view.oldest),
            next_words(view, self.stage.age_s),
            breaker_words(view),
            f"{view.tokens:g}" if view.rate_per_s else "-",
            (text.short_count(view.dead), "failing" if view.dead else "plain"),
            text.short_count(view.sent),
            (text.clean(view.why), "needs" if view.why else "plain"),
        )
        return Row(row_id, cells, version(view.version, int(self.stage.now())))

    def detail(self, row_id: str) -> list[Fact]:
        """All of the outbox under the cursor."""
        view = self.mirror.work.outboxes.outboxes.get(row_id)
        return outbox_facts(view, self.stage.age_s) if view else []

    def crumb(self) -> tuple[list[Part], list[Part]]:
        """How much waits over all accounts."""
        left, right = super().crumb()
        waiting = sum(view.waiting for view in self.mirror.work.outboxes.outboxes.values())
        return left, [(f"{text.count(waiting)} waiting", "plain"), *right]

    def target(self) -> Target:
        """The account under the cursor."""
        return Target(platform=self.stage.table.cursor_id or "")

    def opened(self, row_id: str) -> None:
        """What waits there."""
        self.stage.go("deliveries", row_id)

    def raw(self) -> object | None:
        """The outbox under the cursor."""
        return self.mirror.work.outboxes.outboxes.get(self.stage.table.cursor_id or "")
