"""Hooks: who is told what, how long each takes, and what went wrong."""

from collections.abc import Iterable

from console import text
from console.automation_facts import hook_facts, seconds
from console.changes import Changes
from console.glyphs import badge
from console.screens.base import ListView, gone_row, matches, version
from console.session_facts import Fact
from console.target import Target
from console.widgets.badge import badge_cell
from console.widgets.status_bar import Part
from console.widgets.table import Column, Row
from core.api.hooks import HookState


class HooksView(ListView):
    """Those that need somebody first."""

    place = "hooks"
    COLUMNS = (
        Column("state", "STATE", 9),
        Column("name", "HOOK", 16),
        Column("last", "LAST", 5, align="right"),
        Column("p95", "P95", 6, align="right"),
        Column("fails", "FAILS", 5, align="right"),
        Column("told", "TOLD", 6, min_screen=100, align="right"),
        Column("limit", "LIMIT", 6, min_screen=140, align="right"),
        Column("events", "EVENTS OR ERROR", 20, flex=True),
    )
    EMPTY = "No hook is there.\n\nOne is a folder with HOOK.yaml and handler.py below hooks/ of the home; S reads them."
    detail_rows = 8

    def ordered(self) -> list[str]:
        """Broken, paused, failing, then in the order in which they are told."""
        return [
            view.name
            for view in self.mirror.work.automation.hooks_by_trouble
            if matches(self.filter_text, view.name, view.state.value, *view.events, view.last_error, view.problem)
        ]

    def total(self) -> int:
        """All of them."""
        return len(self.mirror.work.automation.hooks)

    def changed(self, changes: Changes) -> Iterable[str]:
        """Hooks that changed."""
        return changes.hooks

    def row(self, row_id: str) -> Row:
        """One hook."""
        view = self.mirror.work.automation.hooks.get(row_id)
        if view is None:
            return gone_row(row_id, len(self.COLUMNS))
        trouble = view.problem or view.paused_reason or (view.last_error if view.failures_in_row else "")
        words = (text.clean(trouble), "failing") if trouble else (", ".join(map(text.clean, view.events)), "plain")
        cells = (
            badge_cell(badge(view.state, use_ascii=self.stage.use_ascii)),
            (text.clean(view.name), "strong"),
            self.stage.age(view.last),
            seconds(view.p95_s),
            (str(view.failure_count), "failing" if view.failure_count else "plain"),
            text.short_count(view.count),
            seconds(view.timeout_s),
            words,
        )
        return Row(row_id, cells, version(view.version, int(self.stage.now())))

    def detail(self, row_id: str) -> list[Fact]:
        """All of the hook under the cursor."""
        view = self.mirror.work.automation.hooks.get(row_id)
        return hook_facts(view, self.stage.age_s, use_ascii=self.stage.use_ascii) if view else []

    def crumb(self) -> tuple[list[Part], list[Part]]:
        """How many need somebody."""
        left, right = super().crumb()
        states = [view.state for view in self.mirror.work.automation.hooks.values()]
        bad = sum(state in {HookState.BROKEN, HookState.PAUSED} for state in states)
        return left, [(f"{bad} broken or paused", "failing"), *right] if bad else right

    def target(self) -> Target:
        """The hook under the cursor."""
        return Target(hook=self.stage.table.cursor_id or "")

    def raw(self) -> object | None:
        """The hook under the cursor."""
        return self.mirror.work.automation.hooks.get(self.stage.table.cursor_id or "")
