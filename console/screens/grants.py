"""Standing permissions and remembered refusals: what they let through, who gave them, how often they were used."""

from collections.abc import Iterable

from console import text
from console.changes import Changes
from console.glyphs import tone_badge
from console.screens.base import ListView, gone_row, matches, version
from console.session_facts import Fact
from console.target import Target
from console.widgets.badge import badge_cell
from console.widgets.status_bar import Part
from console.widgets.table import Column, Row
from core.api.approvals import GrantView

_LAST_APPLIED = 5


class GrantsView(ListView):
    """The latest used first."""

    place = "grants"
    TITLE = "standing permissions"
    COLUMNS = (
        Column("may", "MAY", 9),
        Column("agent", "AGENT", 10),
        Column("pattern", "PATTERN", 24, flex=True),
        Column("scope", "SCOPE", 8),
        Column("used", "USED", 6, align="right"),
        Column("last", "LAST", 6, align="right"),
        Column("left", "LEFT", 7, align="right"),
        Column("by", "BY", 10),
    )
    EMPTY = (
        "No standing permission.\n\nOne comes with an approval that reaches beyond once: its pattern is shown before. "
        "What a policy lets through by itself is in the profile of the agent."
    )
    is_stacked = True
    detail_rows = 8

    def ordered(self) -> list[str]:
        """The latest used first, then the latest given."""
        rows = [
            view
            for view in self.mirror.work.grants.values()
            if matches(self.filter_text, view.agent, view.pattern, view.scope.value, view.given_by)
        ]
        rows.sort(key=lambda view: (-(view.last_used.at if view.last_used else 0.0), -view.given.at))
        return [str(view.id) for view in rows]

    def total(self) -> int:
        """All that hold."""
        return len(self.mirror.work.grants)

    def changed(self, changes: Changes) -> Iterable[str]:
        """All, when any changed."""
        return list(self.mirror.work.grants) if changes.has_grants else ()

    def row(self, row_id: str) -> Row:
        """One permission."""
        view = self.mirror.work.grants.get(row_id)
        if view is None:
            return gone_row(row_id, len(self.COLUMNS))
        left = "-" if view.expires is None else text.age(max(0.0, -self.stage.age_s(view.expires)))
        sign = tone_badge(
            "well" if view.allow else "failing", "may" if view.allow else "may not", use_ascii=self.stage.use_ascii
        )
        cells = (
            badge_cell(sign),
            text.clean(view.agent),
            (text.clean(view.pattern), "strong"),
            view.scope.value,
            text.short_count(view.used_count) if view.used_count else "-",
            self.stage.age(view.last_used),
            left,
            text.clean(view.given_by),
        )
        return Row(row_id, cells, version(cells))

    def detail(self, row_id: str) -> list[Fact]:
        """All of the permission under the cursor, and what the policy decided by itself lately."""
        view = self.mirror.work.grants.get(row_id)
        applied = [item for item in self.mirror.work.applied if view is None or item.agent == view.agent]
        lately: list[Fact] = [
            (
                item.verdict.kind.value,
                f"{text.clean(item.tool)} {text.clipped(text.clean(item.target), 80)}   {item.verdict.rule}",
                "needs" if item.verdict.kind.value == "deny" else "plain",
            )
            for item in reversed(applied[-_LAST_APPLIED:])
        ]
        head: list[Fact] = [("-- decided without asking, the latest first", "", "")] if lately else []
        return [*(_facts(view) if view else []), *head, *lately]

    def crumb(self) -> tuple[list[Part], list[Part]]:
        """How many hold, and how many are refusals."""
        left, right = super().crumb()
        refusals = sum(not view.allow for view in self.mirror.work.grants.values())
        return left, [*([(f"{refusals} remembered no", "needs")] if refusals else []), *right]

    def target(self) -> Target:
        """The permission under the cursor."""
        row_id = self.stage.table.cursor_id or ""
        view = self.mirror.work.grants.get(row_id)
        return Target(grant_id=row_id, agent=str(view.agent) if view else "")

    def opened(self, row_id: str) -> None:
        """To where it holds."""
        view = self.mirror.work.grants.get(row_id)
        if view is None:
            return
        if view.session_id is not None:
            self.stage.go("session", str(view.session_id))
        elif view.task_id is not None:
            self.stage.go("task", str(view.task_id))
        else:
            self.stage.go("agent", str(view.agent))

    def raw(self) -> object | None:
        """The permission under the cursor."""
        return self.mirror.work.grants.get(self.stage.table.cursor_id or "")


def _facts(view: GrantView) -> list[Fact]:
    where = view.session_id or view.task_id or "everywhere"
    return [
        (f"-- {text.clean(view.pattern)}", "", ""),
        ("holds", f"{view.scope.value}   {text.clean(str(where))}", "plain"),
        ("given", f"{text.stamp(view.given.at)} by {text.clean(view.given_by)}", "plain"),
        ("ends", text.stamp(view.expires.at) if view.expires else "when it is revoked", "plain"),
    ]
