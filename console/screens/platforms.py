"""Connections to messaging platforms: how each stands, and when it last did something."""

from collections.abc import Iterable

from console import text
from console.changes import Changes
from console.glyphs import badge
from console.screens.base import ListView, gone_row, matches, version
from console.screens.system_facts import platform_facts
from console.session_facts import Fact
from console.target import Target
from console.widgets.badge import badge_cell
from console.widgets.table import Column, Row
from core.api.platforms import PlatformState

_RANK = {PlatformState.DOWN: 0, PlatformState.CONNECTING: 1, PlatformState.CONNECTED: 2, PlatformState.OFF: 3}


class PlatformsView(ListView):
    """The worst first."""

    place = "platforms"
    COLUMNS = (
        Column("state", "STATE", 12),
        Column("name", "NAME", 12),
        Column("kind", "KIND", 10),
        Column("since", "SINCE", 6, align="right"),
        Column("in", "LAST IN", 7, align="right"),
        Column("out", "LAST OUT", 8, align="right"),
        Column("in_count", "IN", 6, min_screen=100, align="right"),
        Column("out_count", "OUT", 6, min_screen=100, align="right"),
        Column("refused", "REFUSED", 7, min_screen=140, align="right"),
        Column("error", "ERROR", 16, flex=True),
    )
    EMPTY = "No platform is configured.\n\nAdd one under `platforms:` in config.yaml; `loopback` needs nothing."
    detail_rows = 6

    def ordered(self) -> list[str]:
        """The worst first, then by name."""
        rows = sorted(self.mirror.platforms.values(), key=lambda item: (_RANK[item.state], item.name))
        return [
            str(item.name)
            for item in rows
            if matches(self.filter_text, item.name, item.kind, item.state.value, item.last_error, item.address)
        ]

    def total(self) -> int:
        """All of them."""
        return len(self.mirror.platforms)

    def changed(self, changes: Changes) -> Iterable[str]:
        """Platforms that changed."""
        return changes.platforms

    def row(self, row_id: str) -> Row:
        """One connection."""
        view = self.mirror.platforms.get(row_id)
        if view is None:
            return gone_row(row_id, len(self.COLUMNS))
        cells = (
            badge_cell(badge(view.state, use_ascii=self.stage.use_ascii)),
            (text.clean(view.name), "strong"),
            text.clean(view.kind),
            self.stage.age(view.since),
            self.stage.age(view.inbound),
            self.stage.age(view.outbound_ack),
            text.short_count(view.inbound_count),
            text.short_count(view.outbound_count),
            (text.short_count(view.refused_count), "needs" if view.refused_count else "plain"),
            (text.clean(view.last_error), "failing"),
        )
        return Row(row_id, cells, version(view.version, int(self.stage.now())))

    def detail(self, row_id: str) -> list[Fact]:
        """All of the connection under the cursor."""
        return platform_facts(self.stage, row_id)

    def target(self) -> Target:
        """The platform under the cursor."""
        return Target(platform=self.stage.table.cursor_id or "")

    def opened(self, row_id: str) -> None:
        """Its sessions."""
        self.stage.go("sessions", f"platform:{row_id}")

    def raw(self) -> object | None:
        """The platform under the cursor."""
        return self.mirror.platforms.get(self.stage.table.cursor_id or "")
