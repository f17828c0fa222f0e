"""The pairing desk: who asks for access, who was let in or turned down, and invitations."""

from collections.abc import Iterable

from console import text
from console.changes import Changes
from console.glyphs import badge
from console.pairing_facts import invite_facts, is_soon, left_words, sender_facts
from console.screens.base import ListView, gone_row, matches, version
from console.session_facts import Fact
from console.target import Target
from console.widgets.badge import badge_cell
from console.widgets.status_bar import Part
from console.widgets.table import Cell, Column, Row
from core.api.deliveries import DeliveryState
from core.api.pairings import InviteState, InviteView, PairingState, PairingView

INVITE = "invite:"
_PLATFORM_WIDTH = 9


class PairingDeskView(ListView):
    """Requests first, the oldest first; then open invitations; then who was decided about, the latest first."""

    place = "pairing"
    COLUMNS = (
        Column("state", "STATE", 10),
        Column("platform", "PLATFORM", _PLATFORM_WIDTH),
        Column("id", "ID", 14, flex=True),
        Column("name", "CALLS ITSELF", 14),
        Column("age", "AGE", 6, align="right"),
        Column("left", "LEFT", 6, align="right"),
        Column("tries", "MSGS", 4, align="right"),
        Column("notice", "TOLD", 8),
        Column("by", "BY", 10, min_screen=120),
    )
    detail_rows = 9

    def ordered(self) -> list[str]:
        """What waits first."""
        rows = self.mirror.work.gateway
        asked = [str(view.id) for view in rows.open_pairings if _fits(self.filter_text, view)]
        invites = [view for view in rows.invites.values() if _invite_fits(self.filter_text, view)]
        invites.sort(key=lambda view: -view.created.at)
        decided = [view for view in rows.pairings.values() if view.state is not PairingState.ASKED]
        decided.sort(key=lambda view: -(view.decided or view.asked).at)
        return [
            *asked,
            *(INVITE + view.id for view in invites if view.state is InviteState.OPEN),
            *(str(view.id) for view in decided if _fits(self.filter_text, view)),
            *(INVITE + view.id for view in invites if view.state is not InviteState.OPEN),
        ]

    def total(self) -> int:
        """Senders, also those that are not at hand, and invitations."""
        rows = self.mirror.work.gateway
        return rows.pairing_total + len(rows.invites)

    def changed(self, changes: Changes) -> Iterable[str]:
        """Senders that changed; all invitations when one did."""
        if changes.has_invites:
            return {*changes.pairings, *(INVITE + key for key in self.mirror.work.gateway.invites)}
        return changes.pairings

    def row(self, row_id: str) -> Row:
        """One sender, or one invitation."""
        rows = self.mirror.work.gateway
        if row_id.startswith(INVITE):
            invite = rows.invites.get(row_id.removeprefix(INVITE))
            return self._invite_row(row_id, invite) if invite else gone_row(row_id, len(self.COLUMNS))
        view = rows.pairings.get(row_id)
        return self._sender_row(row_id, view) if view else gone_row(row_id, len(self.COLUMNS))

    def _sender_row(self, row_id: str, view: PairingView) -> Row:
        is_open = view.state is PairingState.ASKED
        tone = "plain" if is_open else "quiet"
        left: Cell = ("-", tone)
        if is_open:
            tone_left = "failing" if is_soon(view.expires, self.stage.age_s) else "needs"
            left = (left_words(view.expires, self.stage.age_s), tone_left)
        name = text.clean(view.sender_name) or "-"
        # A name that passes for another one's is marked where it stands, not only in the pane.
        warned = f"! {name}" if view.warnings else name
        cells: tuple[Cell, ...] = (
            badge_cell(badge(view.state, use_ascii=self.stage.use_ascii)),
            (self.stage.short_id(text.clean(view.platform), _PLATFORM_WIDTH), tone),
            (text.clean(view.sender_id), "strong" if is_open else tone),
            (warned, "failing" if view.warnings else tone),
            (self.stage.age(view.asked if is_open else view.decided or view.asked), tone),
            left,
            (text.short_count(view.tries), tone),
            _told(view),
            (text.clean(view.decided_by) or "-", tone),
        )
        return Row(row_id, cells, version(view.version, int(self.stage.now())))

    def _invite_row(self, row_id: str, view: InviteView) -> Row:
        is_open = view.state is InviteState.OPEN
        tone = "plain" if is_open else "quiet"
        left = left_words(view.expires, self.stage.age_s) if is_open else "-"
        cells: tuple[Cell, ...] = (
            badge_cell(badge(view.state, use_ascii=self.stage.use_ascii)),
            (self.stage.short_id(text.clean(view.platform or "all"), _PLATFORM_WIDTH), tone),
            (f"invitation {text.clean(view.id)}", tone),
            (text.clean(view.note) or "-", tone),
            (self.stage.age(view.created), tone),
            (left, "needs" if is_open and is_soon(view.expires, self.stage.age_s) else tone),
            ("-", tone),
            ("-", tone),
            (text.clean(view.created_by), tone),
        )
        return Row(row_id, cells, version(view.version, int(self.stage.now())))

    def detail(self, row_id: str) -> list[Fact]:
        """All of the row under the cursor."""
        rows = self.mirror.work.gateway
        if row_id.startswith(INVITE):
            invite = rows.invites.get(row_id.removeprefix(INVITE))
            return invite_facts(invite, self.stage.age_s) if invite else []
        view = rows.pairings.get(row_id)
        return sender_facts(view, self.stage.age_s) if view else []

    def empty_text(self) -> str:
        """Nobody asks."""
        return (
            "Nobody asks for access.\n\n"
            "A stranger's direct message appears here when its connection asks for it (unauthorised: pair).\n"
            "I makes an invitation: a code that lets one sender in."
        )

    def crumb(self) -> tuple[list[Part], list[Part]]:
        """How many ask, since when; and why nothing can be changed, if that is so."""
        left, right = super().crumb()
        rows = self.mirror.work.gateway
        if rows.pairing_problem:
            left = [*left, (f"read-only: {text.clean(rows.pairing_problem)}", "failing")]
        waiting = rows.open_pairings
        if waiting:
            oldest_s = max(self.stage.age_s(view.asked) for view in waiting)
            right = [(f"{len(waiting)} ask", "needs"), (f"oldest {text.age(oldest_s)}", "plain"), *right]
        return left, right

    def target(self) -> Target:
        """What is under the cursor."""
        row_id = self.stage.table.cursor_id or ""
        if row_id.startswith(INVITE):
            return Target(invite_id=row_id.removeprefix(INVITE))
        return Target(pairing_id=row_id)

    def enter(self, argument: str) -> None:
        """Show the list; an id puts the cursor there."""
        view = self.mirror.work.gateway.pairings.get(argument)
        if view is not None:
            if not _fits(self.filter_text, view):
                self.filter_text = ""
            super().enter("")
            self.stage.table.move_to(argument)
        else:
            super().enter(argument)

    def act(self, action_id: str) -> bool:
        """The ways to who is let in, and why."""
        if action_id == "view.access":
            self.stage.go("access", "")
            return True
        view = self.mirror.work.gateway.pairings.get(self.stage.table.cursor_id or "")
        if action_id == "pairing.why" and view is not None:
            self.stage.go("why", f"{view.platform} {view.sender_id}")
            return True
        return False

    def opened(self, row_id: str) -> None:
        """To the sender's sessions."""
        view = self.mirror.work.gateway.pairings.get(row_id)
        if view is not None:
            self.stage.go("sessions", text.clean(view.chat))

    def raw(self) -> object | None:
        """The view under the cursor."""
        rows, row_id = self.mirror.work.gateway, self.stage.table.cursor_id or ""
        return rows.pairings.get(row_id) or rows.invites.get(row_id.removeprefix(INVITE))


def _told(view: PairingView) -> Cell:
    """Whether the sender heard of the last decision."""
    if view.notice is None:
        return "-", "quiet"
    if view.notice is DeliveryState.SENT:
        return "yes", "quiet"
    return ("failed", "failing") if view.notice is DeliveryState.DEAD else (view.notice.value, "needs")


def _fits(words: str, view: PairingView) -> bool:
    return matches(words, view.platform, view.sender_id, view.sender_name, view.state.value, view.decided_by)


def _invite_fits(words: str, view: InviteView) -> bool:
    return matches(words, view.id, view.platform or "all", view.note, view.state.value, view.created_by, "invitation")
