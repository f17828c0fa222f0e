"""Connections to messaging platforms: how each stands, when it last did something, and what can be done about it."""

from collections.abc import Iterable

from console import text
from console.changes import Changes
from console.glyphs import badge
from console.platform_facts import error_words, has_problem, heard_tone, next_words, probe_words, rank, state_tone
from console.screens.base import ListView, gone_row, matches, version
from console.screens.system_facts import platform_lines
from console.session_facts import Fact
from console.target import Target
from console.widgets.badge import badge_cell
from console.widgets.status_bar import Part
from console.widgets.table import Column, Row
from core.api.platforms import TROUBLED, PlatformState

# Names of accounts of one kind differ at their end.
_NAME_WIDTH = 12


class PlatformsView(ListView):
    """The worst first."""

    place = "platforms"
    COLUMNS = (
        Column("state", "STATE", 12),
        Column("name", "NAME", _NAME_WIDTH),
        Column("kind", "KIND", 10, min_screen=140),
        Column("since", "SINCE", 6, min_screen=100, align="right"),
        Column("heard", "HEARD", 6, align="right"),
        Column("in", "IN", 6, align="right"),
        Column("out", "OUT", 6, align="right"),
        Column("waiting", "WAIT", 5, align="right"),
        Column("probe", "PROBE", 6, align="right"),
        Column("again", "AGAIN", 5, min_screen=140, align="right"),
        Column("next", "NEXT", 6, align="right"),
        Column("error", "ERROR", 12, flex=True),
    )
    EMPTY = (
        "No platform is configured.\n\n"
        "Add one under `platforms:` in config.yaml and see `hermes-console config check`.\n"
        "`loopback` needs nothing, and lets you write to agents from here."
    )
    detail_rows = 10

    def ordered(self) -> list[str]:
        """The worst first, then by name."""
        return [
            str(item.name)
            for item in sorted(self.mirror.platforms.values(), key=rank)
            if matches(self.filter_text, item.name, item.kind, item.state.value, error_words(item), item.address)
        ]

    def total(self) -> int:
        """All of them."""
        return len(self.mirror.platforms)

    def changed(self, changes: Changes) -> Iterable[str]:
        """Platforms that changed, and those whose outbox did."""
        return changes.platforms | changes.outboxes

    def row(self, row_id: str) -> Row:
        """One connection."""
        view = self.mirror.platforms.get(row_id)
        if view is None:
            return gone_row(row_id, len(self.COLUMNS))
        waiting = self.mirror.work.outboxes.waiting_on(view)
        words = error_words(view)
        error_tone = "failing" if view.state in TROUBLED else "needs" if has_problem(view) else "quiet"
        sign = badge(view.state, use_ascii=self.stage.use_ascii)
        cells = (
            badge_cell(sign) if state_tone(view) == sign.tone else (sign.text, state_tone(view)),
            (self.stage.short_id(text.clean(view.name), _NAME_WIDTH), "strong"),
            text.clean(view.kind),
            self.stage.age(view.since),
            (self.stage.age(view.heard), heard_tone(view, self.stage.age_s)),
            self.stage.age(view.inbound),
            self.stage.age(view.outbound_ack),
            (text.short_count(waiting), "needs" if waiting and words else "plain"),
            probe_words(view),
            (text.short_count(view.duplicate_count), "plain"),
            next_words(view, self.stage.age_s),
            (words, error_tone),
        )
        return Row(row_id, cells, version(view.version, waiting, int(self.stage.now())))

    def detail(self, row_id: str) -> list[Fact]:
        """All of the connection under the cursor."""
        return platform_lines(self.stage, row_id)

    def crumb(self) -> tuple[list[Part], list[Part]]:
        """How many do not work, and how many are paused."""
        left, right = super().crumb()
        views = self.mirror.platforms.values()
        troubled = sum(view.state in TROUBLED for view in views)
        paused = sum(view.state is PlatformState.PAUSED for view in views)
        parts: list[Part] = [(f"{troubled} in trouble", "failing")] if troubled else []
        return left, [*parts, *([(f"{paused} paused", "needs")] if paused else []), *right]

    def target(self) -> Target:
        """The platform under the cursor."""
        return Target(platform=self.stage.table.cursor_id or "")

    def opened(self, row_id: str) -> None:
        """Its sessions."""
        self.stage.go("sessions", f"platform:{row_id}")

    def raw(self) -> object | None:
        """The platform under the cursor."""
        return self.mirror.platforms.get(self.stage.table.cursor_id or "")
