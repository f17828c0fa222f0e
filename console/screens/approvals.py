"""What waits for a decision, and what was decided of late."""

from collections.abc import Iterable

from console import text
from console.changes import Changes
from console.glyphs import badge
from console.screens.base import ListView, Target, gone_row, matches, version
from console.session_facts import Fact, approval_facts
from console.widgets.badge import badge_cell
from console.widgets.status_bar import Part
from console.widgets.table import Column, Row
from core.api.approvals import ApprovalState, ApprovalView

_SESSION_WIDTH = 20


class ApprovalsView(ListView):
    """Open ones first, by their deadline; then the decided ones, the latest first."""

    place = "approvals"
    COLUMNS = (
        Column("state", "STATE", 11),
        Column("what", "WHAT", 24, flex=True),
        Column("agent", "AGENT", 7, min_screen=100),
        Column("session", "SESSION", _SESSION_WIDTH),
        Column("behind", "BEHIND", 6, align="right"),
        Column("asked", "ASKED", 6, align="right"),
        Column("left", "LEFT", 6, align="right"),
        Column("by", "BY", 8, min_screen=140),
    )
    detail_rows = 9

    def ordered(self) -> list[str]:
        """Open, then decided."""
        rows = [*self.mirror.open_approvals, *self.mirror.decided_approvals]
        return [str(item.id) for item in rows if matches(self.filter_text, *_words(item))]

    def total(self) -> int:
        """All that are kept."""
        return len(self.mirror.approvals)

    def changed(self, changes: Changes) -> Iterable[str]:
        """Approvals that changed."""
        return changes.approvals

    def row(self, row_id: str) -> Row:
        """One approval."""
        view = self.mirror.approvals.get(row_id)
        if view is None:
            return gone_row(row_id, len(self.COLUMNS))
        is_open = view.state is ApprovalState.OPEN
        tone = "plain" if is_open else "quiet"
        asked_s = self.stage.age_s(view.asked)
        left_s = -self.stage.age_s(view.deadline) if view.deadline and is_open else None
        behind = self.mirror.queue_of(view.session_id) if is_open else 0
        left = "-" if left_s is None else text.age(left_s) if left_s > 0 else "over"
        cells = (
            badge_cell(badge(view.state, use_ascii=self.stage.use_ascii)),
            (text.clean(view.title), "strong" if is_open else "quiet"),
            (text.clean(view.agent), tone),
            (text.short_id(view.session_id, _SESSION_WIDTH), tone),
            (str(behind) if behind else "-", "needs" if behind else "quiet"),
            (text.age(asked_s), tone),
            (left, "failing" if left_s is not None and left_s < _SOON_S else tone),
            (text.clean(view.decided_by) or "-", tone),
        )
        return Row(row_id, cells, version(view.version, int(asked_s), behind))

    def detail(self, row_id: str) -> list[Fact]:
        """What is asked, in full."""
        view = self.mirror.approvals.get(row_id)
        if view is None:
            return []
        return approval_facts(view, self.stage.age_s, behind=self.mirror.queue_of(view.session_id))

    def empty_text(self) -> str:
        """Nothing waits."""
        return "Nothing waits for a decision.\n\nAn agent that asks before it acts is listed here."

    def crumb(self) -> tuple[list[Part], list[Part]]:
        """How many are open, and since when the oldest is."""
        left, right = super().crumb()
        waiting = self.mirror.open_approvals
        if waiting:
            oldest_s = max(self.stage.age_s(item.asked) for item in waiting)
            right = [(f"{len(waiting)} open", "needs"), (f"oldest {text.age(oldest_s)}", "plain"), *right]
        return left, right

    def target(self) -> Target:
        """The approval under the cursor and its session."""
        view = self.mirror.approvals.get(self.stage.table.cursor_id or "")
        if view is None:
            return Target()
        return Target(approval_id=view.id, session_id=view.session_id)

    def enter(self, argument: str) -> None:
        """Show the list; an id puts the cursor there."""
        if argument in self.mirror.approvals:
            super().enter("")
            self.stage.table.move_to(argument)
        else:
            super().enter(argument)

    def opened(self, row_id: str) -> None:
        """Into the session that asks."""
        view = self.mirror.approvals.get(row_id)
        if view is not None:
            self.stage.go("session", view.session_id)

    def raw(self) -> object | None:
        """The approval under the cursor."""
        return self.mirror.approvals.get(self.stage.table.cursor_id or "")


_SOON_S = 60.0


def _words(view: ApprovalView) -> tuple[object, ...]:
    return view.id, view.title, view.detail, view.agent, view.session_id, view.state.value, view.kind.value
