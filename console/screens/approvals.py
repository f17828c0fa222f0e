"""What waits for a decision, and what was decided of late."""

from collections.abc import Iterable

from console import text
from console.changes import Changes
from console.glyphs import badge
from console.screens.base import ListView, gone_row, matches, version
from console.session_facts import Fact, approval_facts
from console.target import Target
from console.widgets.badge import badge_cell
from console.widgets.status_bar import Part
from console.widgets.table import Column, Row
from core.api.approvals import ApprovalState, ApprovalView
from core.api.runs import ActionKind

_SESSION_WIDTH = 15


class ApprovalsView(ListView):
    """Open ones first, by their deadline; then the decided ones, the latest first."""

    place = "approvals"
    COLUMNS = (
        Column("state", "STATE", 11),
        Column("kind", "KIND", 8),
        Column("what", "WHAT", 20, flex=True),
        Column("agent", "AGENT", 8, min_screen=160),
        Column("session", "SESSION", _SESSION_WIDTH),
        Column("behind", "BEHIND", 6, align="right"),
        Column("asked", "ASKED", 6, min_screen=160, align="right"),
        Column("left", "LEFT", 6, align="right"),
        Column("seen", "SEEN", 8),
        Column("by", "BY", 8, min_screen=160),
    )
    detail_rows = 9

    def ordered(self) -> list[str]:
        """Open, then decided."""
        rows = [*self.mirror.open_approvals, *self.mirror.decided_approvals]
        return [str(item.id) for item in rows if matches(self.filter_text, *_words(item))]

    def total(self) -> int:
        """All that are kept."""
        return len(self.mirror.approvals)

    def _twins(self, view: ApprovalView) -> int:
        """How many open ones ask for the very same."""
        items = self.mirror.approvals.values()
        return sum(item.digest == view.digest and item.state is ApprovalState.OPEN for item in items)

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
        twins = self._twins(view) if is_open else 1
        # In front, where a narrow column does not cut it off.
        title = (f"x{twins} " if twins > 1 else "") + text.clean(view.title)
        cells = (
            badge_cell(badge(view.state, use_ascii=self.stage.use_ascii)),
            ("ask" if view.action_kind is ActionKind.QUESTION else view.kind.value, tone),
            (title, "strong" if is_open else "quiet"),
            (text.clean(view.agent), tone),
            (text.short_id(view.session_id, _SESSION_WIDTH), tone),
            (str(behind) if behind else "-", "needs" if behind else "quiet"),
            (text.age(asked_s), tone),
            (left, "failing" if left_s is not None and left_s < _SOON_S else tone),
            (_seen(view), "failing" if is_open and not view.surfaces else tone),
            (text.clean(view.decided_by) or "-", tone),
        )
        return Row(row_id, cells, version(view.version, int(asked_s), behind, twins))

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
        marked = len(self.stage.table.marks & self.mirror.approvals.keys())
        if marked:
            right = [(f"{marked} marked", "accent"), *right]
        return left, right

    def target(self) -> Target:
        """The approval under the cursor and its session."""
        view = self.mirror.approvals.get(self.stage.table.cursor_id or "")
        if view is None:
            return Target()
        marks = tuple(sorted(self.stage.table.marks & self.mirror.approvals.keys()))
        return Target(approval_id=view.id, session_id=view.session_id, approval_ids=marks)

    def enter(self, argument: str) -> None:
        """Show the list; an id puts the cursor there."""
        if argument in self.mirror.approvals:
            super().enter("")
            self.stage.table.move_to(argument)
        else:
            super().enter(argument)

    def act(self, action_id: str) -> bool:
        """The way to the standing permissions."""
        if action_id != "view.grants":
            return False
        self.stage.go("grants", "")
        return True

    def opened(self, row_id: str) -> None:
        """Into the session that asks."""
        view = self.mirror.approvals.get(row_id)
        if view is not None:
            self.stage.go("session", view.session_id)

    def raw(self) -> object | None:
        """The approval under the cursor."""
        return self.mirror.approvals.get(self.stage.table.cursor_id or "")


_SOON_S = 60.0


def _seen(view: ApprovalView) -> str:
    """Who looked at it; where it is shown when nobody did; that no surface shows it."""
    looked = [surface.name for surface in view.surfaces if surface.seen is not None]
    if looked:
        return text.clean(looked[-1].rpartition(":")[2])
    return "shown" if view.surfaces else "nobody"


def _words(view: ApprovalView) -> tuple[object, ...]:
    return view.id, view.title, view.detail, view.agent, view.session_id, view.state.value, view.kind.value
