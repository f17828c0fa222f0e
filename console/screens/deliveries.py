"""Answers that are still on their way, and those that never arrived."""

from collections.abc import Iterable

from console import text
from console.changes import Changes
from console.glyphs import badge
from console.screens.base import ListView, gone_row, matches, version
from console.session_facts import Fact, delivery_facts
from console.target import Target
from console.widgets.badge import badge_cell
from console.widgets.status_bar import Part
from console.widgets.table import Column, Row
from core.api.deliveries import DeliveryState

_SESSION_WIDTH = 20
_PLATFORM_WIDTH = 10


class DeliveriesView(ListView):
    """Dead ones first, then by age."""

    place = "deliveries"
    COLUMNS = (
        Column("state", "STATE", 10),
        Column("platform", "PLATFORM", _PLATFORM_WIDTH),
        Column("session", "SESSION", _SESSION_WIDTH),
        Column("age", "AGE", 6, align="right"),
        Column("tries", "TRIES", 5, align="right"),
        Column("next", "NEXT", 6, align="right"),
        Column("error", "ERROR", 20, flex=True),
    )
    EMPTY = "Every answer has arrived.\n\nAn answer that a platform does not take is listed here until it does."
    detail_rows = 7

    def ordered(self) -> list[str]:
        """Dead, retrying, on their way; the oldest first."""
        rank = {DeliveryState.DEAD: 0, DeliveryState.RETRYING: 1}
        rows = sorted(
            self.mirror.deliveries.values(), key=lambda item: (rank.get(item.state, 2), item.created.at, item.id)
        )
        return [
            str(item.id)
            for item in rows
            if matches(self.filter_text, item.id, item.platform, item.session_id, item.state.value, item.error)
        ]

    def total(self) -> int:
        """All that are not sent, also those that are not at hand."""
        at_hand = len(self.mirror.deliveries)
        return at_hand if self.mirror.has_all_deliveries else max(at_hand, self.mirror.work.outboxes.unsent)

    def changed(self, changes: Changes) -> Iterable[str]:
        """Deliveries that changed."""
        return changes.deliveries

    def row(self, row_id: str) -> Row:
        """One delivery."""
        view = self.mirror.deliveries.get(row_id)
        if view is None:
            return gone_row(row_id, len(self.COLUMNS))
        age_s = self.stage.age_s(view.created)
        is_due = view.next_try is not None and view.state is DeliveryState.RETRYING
        left_s = -self.stage.age_s(view.next_try) if view.next_try and is_due else None
        following = "-" if left_s is None else text.age(left_s) if left_s > 0 else "now"
        cells = (
            badge_cell(badge(view.state, use_ascii=self.stage.use_ascii)),
            self.stage.short_id(text.clean(view.platform), _PLATFORM_WIDTH),
            (self.stage.short_id(view.session_id, _SESSION_WIDTH), "strong"),
            text.age(age_s),
            str(view.attempt),
            following,
            (text.clean(view.error), "failing" if view.state is DeliveryState.DEAD else "plain"),
        )
        return Row(row_id, cells, version(view.version, int(age_s)))

    def detail(self, row_id: str) -> list[Fact]:
        """All of the delivery under the cursor."""
        view = self.mirror.deliveries.get(row_id)
        return delivery_facts(view, self.stage.age_s, use_ascii=self.stage.use_ascii) if view else []

    def crumb(self) -> tuple[list[Part], list[Part]]:
        """How many are dead."""
        left, right = super().crumb()
        dead = len(self.mirror.dead_deliveries)
        return left, [(f"{dead} dead", "failing"), *right] if dead else right

    def target(self) -> Target:
        """The delivery under the cursor and its session."""
        view = self.mirror.deliveries.get(self.stage.table.cursor_id or "")
        return Target(delivery_id=view.id, session_id=view.session_id) if view else Target()

    def act(self, action_id: str) -> bool:
        """The way to the outboxes."""
        if action_id != "view.outboxes":
            return False
        self.stage.go("outboxes", "")
        return True

    def opened(self, row_id: str) -> None:
        """Into the session whose answer it is."""
        view = self.mirror.deliveries.get(row_id)
        if view is not None:
            self.stage.go("session", view.session_id)

    def raw(self) -> object | None:
        """The delivery under the cursor."""
        return self.mirror.deliveries.get(self.stage.table.cursor_id or "")
