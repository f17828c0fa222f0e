"""Senders that ask for access and invitations, as the core last showed them (pure).

An older view never takes the place of a newer one.
"""

from console.changes import Changes
from core.api import pairings
from core.api.base import Event, Record
from core.api.pairings import InviteView, PairingList, PairingState, PairingView

_ABOUT_SENDERS = (
    pairings.PairingAsked,
    pairings.PairingApproved,
    pairings.PairingDenied,
    pairings.PairingExpired,
    pairings.PairingRevoked,
    pairings.SenderBlocked,
    pairings.SenderUnblocked,
    pairings.SenderLocked,
    pairings.PairingChanged,
)

HANDLED: frozenset[type[Event]] = frozenset(
    {*_ABOUT_SENDERS, pairings.InviteCreated, pairings.InviteEnded, pairings.SendersForgotten}
)


class GatewayRows:
    """Views by id. pairing_total: also of those that are not at hand; pairing_problem: why nothing can be changed."""

    def __init__(self) -> None:
        self.pairings: dict[str, PairingView] = {}
        self.invites: dict[str, InviteView] = {}
        self.pairing_total = 0
        self.pairing_problem = ""

    @property
    def open_pairings(self) -> list[PairingView]:
        """Requests that wait for a decision, the oldest first."""
        asked = [view for view in self.pairings.values() if view.state is PairingState.ASKED]
        return sorted(asked, key=lambda view: (view.asked.at, view.id))

    def load_pairings(self, view: PairingList, changes: Changes) -> None:
        """All that are kept, or the first page of them. What is not named is let go: nobody tells of it again."""
        changes.pairings |= self.pairings.keys()
        self.pairings = {str(pairing.id): pairing for pairing in view.pairings}
        changes.pairings |= self.pairings.keys()
        self.invites = {str(invite.id): invite for invite in view.invites}
        self.pairing_total = max(view.total, len(self.pairings))
        self.pairing_problem = view.problem
        changes.has_invites = True

    def apply(self, record: Record, changes: Changes) -> bool:
        """Take an event in; False when it is not about any of these."""
        event = record.event
        if isinstance(event, _ABOUT_SENDERS):
            self._put_pairing(event.pairing, changes)
        elif isinstance(event, pairings.InviteCreated | pairings.InviteEnded):
            self._put_invite(event.invite, changes)
        elif isinstance(event, pairings.SendersForgotten):
            self._forget(event, changes)
        else:
            return False
        return True

    def _forget(self, event: pairings.SendersForgotten, changes: Changes) -> None:
        """Whoever comes again under such an id begins with a first version."""
        for key in event.pairing_ids:
            self.pairings.pop(key, None)
            changes.pairings.add(key)
        for invite_id in event.invite_ids:
            self.invites.pop(invite_id, None)
            changes.has_invites = True
        self.pairing_total = max(len(self.pairings), self.pairing_total - len(event.pairing_ids))

    def _put_pairing(self, view: PairingView, changes: Changes) -> None:
        key = str(view.id)
        before = self.pairings.get(key)
        if before is None or before.version < view.version:
            self.pairings[key] = view
            self.pairing_total = max(self.pairing_total, len(self.pairings))
            changes.pairings.add(key)

    def _put_invite(self, view: InviteView, changes: Changes) -> None:
        before = self.invites.get(str(view.id))
        if before is None or before.version < view.version:
            self.invites[str(view.id)] = view
            changes.has_invites = True
