"""Senders that ask for access or were given it, and invitations: ids, states, views, queries, commands, events."""

from enum import StrEnum
from typing import NewType

from core.api.base import Command, Event, Mark, PlatformName, Query, Seq, View
from core.api.deliveries import DeliveryState

PairingId = NewType("PairingId", str)
InviteId = NewType("InviteId", str)


class PairingState(StrEnum):
    """How a sender stands. approved lets in; all others don't. blocked: asks in vain until unblocked."""

    ASKED = "asked"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    REVOKED = "revoked"
    BLOCKED = "blocked"


class PairingView(View, frozen=True, kw_only=True):
    """One identity at one connection: there is one row however often its client tries again.

    id: derived from platform and sender_id. chat: where the sender wrote and is answered. asked, expires: of the
    present request. tries: messages since it was asked. first_text: of the message that was held back, "" once it
    was replayed or let go. warnings: such as a name that looks like another one's, or letters that turn the direction
    of text. notice: of the last message to the sender about this, None when there was none; notice_error: why it
    failed. failures: wrong codes since the last success. locked_until: no code counts before then. invite_id: used.
    is_in_line: asked, but nobody was rung for it yet, since others at that connection came before.
    """

    id: PairingId
    version: int
    platform: PlatformName
    sender_id: str
    sender_name: str
    chat: str
    state: PairingState
    asked: Mark
    expires: Mark | None = None
    decided: Mark | None = None
    decided_by: str = ""
    reason: str = ""
    tries: int = 1
    first_text: str = ""
    warnings: tuple[str, ...] = ()
    notice: DeliveryState | None = None
    notice_error: str = ""
    failures: int = 0
    locked_until: Mark | None = None
    invite_id: InviteId | None = None
    is_in_line: bool = False


class InviteState(StrEnum):
    """How an invitation stands. Only an open one lets anybody in, once."""

    OPEN = "open"
    USED = "used"
    EXPIRED = "expired"
    VOIDED = "voided"


class InviteView(View, frozen=True, kw_only=True):
    """An invitation, without its code: that is shown once, to who made it. platform: None for all connections."""

    id: InviteId
    version: int
    platform: PlatformName | None
    state: InviteState
    created: Mark
    expires: Mark
    created_by: str
    note: str = ""
    used_by: PairingId | None = None


class InviteReceipt(View, frozen=True, kw_only=True):
    """A new invitation and its code. The code is nowhere else: it is stored as a hash."""

    invite: InviteView
    code: str


class PairingReceipt(View, frozen=True, kw_only=True):
    """A sender after an operator decided. stopped_runs: runs that were told to stop. is_replayed: whether the message
    that was held back went to the agent.
    """

    pairing: PairingView
    stopped_runs: int = 0
    is_replayed: bool = False


class PairingList(View, frozen=True, kw_only=True):
    """Requests first, oldest first, then the others, the newest first. problem: why nothing can be changed, or ""."""

    pairings: tuple[PairingView, ...]
    invites: tuple[InviteView, ...]
    total: int
    problem: str
    seq: Seq


class ListPairings(Query[PairingList], frozen=True, kw_only=True):
    """Who asks and who was decided about. states: empty for all. limit: 1 to 1,000."""

    states: tuple[PairingState, ...] = ()
    limit: int = 500


class GetPairing(Query[PairingView], frozen=True, kw_only=True):
    """One sender. pairing_id: here and in orders also `PLATFORM:ID` with the raw id. Raises NotFound."""

    pairing_id: PairingId


class ApprovePairing(Command[PairingReceipt], frozen=True, kw_only=True):
    """Let a sender in: effective for the very next message. version: as it was looked at (ConflictError), None for
    any. replays: also give the agent the message that was held back.
    """

    pairing_id: PairingId
    version: int | None = None
    replays: bool = False


class DenyPairing(Command[PairingReceipt], frozen=True, kw_only=True):
    """Turn a request down. reason: told to the sender, "" for none."""

    pairing_id: PairingId
    version: int | None = None
    reason: str = ""


class RevokePairing(Command[PairingReceipt], frozen=True, kw_only=True):
    """Take access back: effective for the very next message. stops_runs: also stop what the sender has running."""

    pairing_id: PairingId
    version: int | None = None
    stops_runs: bool = False
    reason: str = ""


class BlockSender(Command[PairingReceipt], frozen=True, kw_only=True):
    """Ignore a sender whatever the lists say, and every request of theirs. It may never have written."""

    platform: PlatformName
    sender_id: str
    stops_runs: bool = False
    reason: str = ""


class UnblockSender(Command[PairingReceipt], frozen=True, kw_only=True):
    """End a block, or a lockout after wrong codes. The sender stands as revoked and may ask again."""

    pairing_id: PairingId


class ImportPairing(Command[PairingReceipt], frozen=True, kw_only=True):
    """Let in a sender that another gateway had let in; nobody is told. source: where that was read. Raises
    AlreadyDecided for one that was decided about here: that stands.
    """

    platform: PlatformName
    sender_id: str
    sender_name: str = ""
    source: str = ""


class CreateInvite(Command[InviteReceipt], frozen=True, kw_only=True):
    """Make a code that lets one sender in. ttl_s: 60 to 604,800. platform: None for all connections."""

    platform: PlatformName | None = None
    ttl_s: float = 3600.0
    note: str = ""


class VoidInvite(Command[InviteView], frozen=True, kw_only=True):
    """Make an open invitation worthless."""

    invite_id: InviteId


class PairingAsked(Event, frozen=True, kw_only=True):
    """A sender asks for access. Written once a request, not for every message."""

    pairing: PairingView


class PairingApproved(Event, frozen=True, kw_only=True):
    """A sender is let in."""

    pairing: PairingView


class PairingDenied(Event, frozen=True, kw_only=True):
    """A request was turned down."""

    pairing: PairingView


class PairingExpired(Event, frozen=True, kw_only=True):
    """Nobody decided in time."""

    pairing: PairingView


class PairingRevoked(Event, frozen=True, kw_only=True):
    """Access was taken back."""

    pairing: PairingView


class SenderBlocked(Event, frozen=True, kw_only=True):
    """A sender is ignored from now on."""

    pairing: PairingView


class SenderUnblocked(Event, frozen=True, kw_only=True):
    """A block or a lockout was ended."""

    pairing: PairingView


class SenderLocked(Event, frozen=True, kw_only=True):
    """Too many wrong codes: none of this sender counts for a while."""

    pairing: PairingView


class PairingChanged(Event, frozen=True, kw_only=True):
    """Something small changed: another try, the fate of the notice, a message that was replayed."""

    pairing: PairingView


class SendersForgotten(Event, frozen=True, kw_only=True):
    """Senders that were never let in, and invitations that are over, were let go for good after a time."""

    pairing_ids: tuple[PairingId, ...]
    invite_ids: tuple[InviteId, ...]


class InviteCreated(Event, frozen=True, kw_only=True):
    """An invitation was made."""

    invite: InviteView


class InviteEnded(Event, frozen=True, kw_only=True):
    """An invitation was used, voided, or is too old."""

    invite: InviteView
