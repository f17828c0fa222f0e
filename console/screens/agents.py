"""Every agent: whether it can work, how busy it is, what holds it back."""

from collections.abc import Iterable

from console import text
from console.agent_facts import agent_badge, agent_peek, state_of, why_words
from console.changes import Changes
from console.screens.base import ListView, gone_row, matches, version
from console.session_facts import Fact
from console.target import Target
from console.widgets.badge import badge_cell
from console.widgets.status_bar import Part
from console.widgets.table import Column, Row
from core.api.profiles import PoolState

_RANK = {
    PoolState.DEGRADED: 1,
    PoolState.PROBING: 2,
    PoolState.PAUSED: 3,
    PoolState.READY: 4,
    PoolState.DISABLED: 5,
}


class AgentsView(ListView):
    """What cannot work first, then the busiest."""

    place = "agents"
    COLUMNS = (
        Column("state", "STATE", 10),
        Column("name", "AGENT", 14),
        Column("runner", "RUNNER", 11),
        Column("busy", "RUNS", 7, align="right"),
        Column("waiting", "WAIT", 5, align="right"),
        Column("runners", "LIVE", 5, align="right"),
        Column("asks", "ASKS", 8),
        Column("fails", "FAILS", 5, min_screen=120, align="right"),
        Column("model", "MODEL", 20, min_screen=160),
        Column("why", "WHY", 12, flex=True),
    )
    EMPTY = "No agent is there.\n\nN makes one; or write one under `agents:` in config.yaml or into agents/NAME.yaml."
    is_stacked = True
    detail_rows = 8

    def ordered(self) -> list[str]:
        """The worst first, then the busiest, then by name."""
        rows = [
            view
            for view in self.mirror.work.profiles.values()
            if matches(self.filter_text, view.name, view.runner, view.model, view.problem, state_of(view).value)
        ]
        rows.sort(key=lambda view: (0 if view.problem else _RANK[state_of(view)], -view.busy, view.name))
        return [str(view.name) for view in rows]

    def total(self) -> int:
        """All of them."""
        return len(self.mirror.work.profiles)

    def changed(self, changes: Changes) -> Iterable[str]:
        """All, when any of them changed: there are few."""
        return list(self.mirror.work.profiles) if changes.has_agents else ()

    def row(self, row_id: str) -> Row:
        """One agent."""
        view = self.mirror.work.profiles.get(row_id)
        if view is None:
            return gone_row(row_id, len(self.COLUMNS))
        pool = view.pool
        busy, limit = (pool.busy, pool.limit) if pool else (view.busy, view.limit)
        waiting = pool.waiting if pool else view.waiting
        fails = pool.failure_count if pool else 0
        why = view.problem or (why_words(pool) if pool else "")
        name = f"{text.clean(view.name)}{' *' if view.is_default else ''}"
        cells = (
            badge_cell(agent_badge(view, use_ascii=self.stage.use_ascii)),
            (name, "strong"),
            text.clean(view.runner),
            (f"{busy}/{limit}", "needs" if busy >= limit else "busy" if busy else "quiet"),
            (text.short_count(waiting) if waiting else "-", "needs" if waiting else "quiet"),
            text.short_count(pool.runner_count) if pool else "-",
            (view.policy.ask.value if view.approvals else "never", "plain" if view.approvals else "needs"),
            (str(fails) if fails else "-", "failing" if fails else "quiet"),
            text.clean(view.model),
            (text.clean(why), "failing" if view.problem else "needs"),
        )
        return Row(row_id, cells, version(cells))

    def detail(self, row_id: str) -> list[Fact]:
        """How the agent under the cursor stands."""
        view = self.mirror.work.profiles.get(row_id)
        return agent_peek(view, self.stage.age_s, use_ascii=self.stage.use_ascii) if view else []

    def crumb(self) -> tuple[list[Part], list[Part]]:
        """How many are there, and how many cannot work."""
        left, right = super().crumb()
        troubled = len(self.mirror.work.troubled)
        return left, [*([(f"{troubled} held back", "needs")] if troubled else []), *right]

    def target(self) -> Target:
        """The agent under the cursor."""
        return Target(agent=self.stage.table.cursor_id or "")

    def opened(self, row_id: str) -> None:
        """Into the agent."""
        self.stage.go("agent", row_id)

    def raw(self) -> object | None:
        """The agent under the cursor."""
        return self.mirror.work.profiles.get(self.stage.table.cursor_id or "")
