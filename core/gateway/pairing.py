"""What may happen to a sender that asks for access, and to an invitation: states, limits, codes (pure)."""

import hashlib
import hmac
from collections.abc import Callable
from enum import StrEnum

import msgspec

from core.api.base import DeliveryId, Mark, PlatformName
from core.api.deliveries import DeliveryState
from core.api.pairings import InviteId, InviteState, InviteView, PairingId, PairingState, PairingView
from core.api.sessions import Source
from core.gateway.platform import Inbound
from core.machine import Machine

ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
CODE_LETTERS = 8
SALT_BYTES = 16
TTL_S = 3600.0
"""How long a request waits for a decision."""
RATE_S = 600.0
"""From one request of an identity to its next one."""
NOTICE_S = 3600.0
"""A stranger is told at most so often that the request was passed on."""
ANNOUNCED_LIMIT = 3
"""Requests of a connection that are rung for and answered at once; later ones wait in line and can be decided there."""
LINE_LIMIT = 100
"""Requests of a connection that wait in line; one more takes the place of the one that waits longest."""
FAILURE_LIMIT = 5
LOCK_S = 3600.0
FIRST_TEXT_LIMIT = 2_000
KEPT_TEXT_LIMIT = 20_000
NAME_LIMIT = 200
_ID_LETTERS = 20
_BLANKS = str.maketrans("", "", " -")


class Step(StrEnum):
    """What can happen to a sender."""

    ASK = "ask"
    APPROVE = "approve"
    REDEEM = "redeem"
    DENY = "deny"
    EXPIRE = "expire"
    REVOKE = "revoke"
    BLOCK = "block"
    UNBLOCK = "unblock"


_OUTSIDE = {
    Step.ASK: PairingState.ASKED,
    Step.APPROVE: PairingState.APPROVED,
    Step.REDEEM: PairingState.APPROVED,
    Step.BLOCK: PairingState.BLOCKED,
}

PAIRING = Machine[PairingState, Step](
    "pairing",
    PairingState,
    {
        PairingState.ASKED: {
            Step.APPROVE: PairingState.APPROVED,
            Step.REDEEM: PairingState.APPROVED,
            Step.DENY: PairingState.DENIED,
            Step.EXPIRE: PairingState.EXPIRED,
            Step.BLOCK: PairingState.BLOCKED,
        },
        PairingState.APPROVED: {Step.REVOKE: PairingState.REVOKED, Step.BLOCK: PairingState.BLOCKED},
        PairingState.DENIED: _OUTSIDE,
        PairingState.EXPIRED: _OUTSIDE,
        PairingState.REVOKED: _OUTSIDE,
        PairingState.BLOCKED: {Step.UNBLOCK: PairingState.REVOKED},
    },
)


class InviteStep(StrEnum):
    """What can happen to an invitation."""

    USE = "use"
    EXPIRE = "expire"
    VOID = "void"


INVITE = Machine[InviteState, InviteStep](
    "invite",
    InviteState,
    {
        InviteState.OPEN: {
            InviteStep.USE: InviteState.USED,
            InviteStep.EXPIRE: InviteState.EXPIRED,
            InviteStep.VOID: InviteState.VOIDED,
        },
        InviteState.USED: {},
        InviteState.EXPIRED: {},
        InviteState.VOIDED: {},
    },
)


class PairingRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A sender as it is stored.

    source: where it wrote. first: the message that was held back, None when there is none or it is too long. material:
    the version of the last change that an operator has to have seen before deciding. told: when it was last told that
    its request was passed on. notice_id: of the last message to it. codes_before: no code that was made before then
    lets it in, None for no such time. is_replaying: `first` is to be given to the agent.
    """

    view: PairingView
    source: Source | None = None
    first: Inbound | None = None
    material: int = 1
    told: Mark | None = None
    notice_id: DeliveryId | None = None
    codes_before: Mark | None = None
    is_replaying: bool = False


class InviteRow(msgspec.Struct, frozen=True, kw_only=True):
    """An invitation as it is stored. salt, digest: of its code, in hex; the code itself is nowhere."""

    view: InviteView
    salt: str
    digest: str


def pairing_id(platform: PlatformName, sender_id: str) -> PairingId:
    """The id of an identity at a connection. sender_id: as access.same_id() gives it."""
    digest = hashlib.sha256(msgspec.json.encode((platform, sender_id))).hexdigest()
    return PairingId(f"p-{digest[:_ID_LETTERS]}")


def new_row(platform: PlatformName, sender_id: str, name: str, chat: str, now: Mark) -> PairingRow:
    """A sender of whom nothing was known; it stands as somebody whose request is long over."""
    return PairingRow(
        view=PairingView(
            id=pairing_id(platform, sender_id),
            version=0,
            platform=platform,
            sender_id=sender_id,
            sender_name=name[:NAME_LIMIT],
            chat=chat,
            state=PairingState.EXPIRED,
            asked=now,
            tries=0,
        )
    )


def changed(row: PairingRow, **fields: object) -> PairingRow:
    """The row with other values in its view: a new version, which an operator need not have seen to decide."""
    view = msgspec.structs.replace(row.view, version=row.view.version + 1, **fields)
    return msgspec.structs.replace(row, view=view)


def material(row: PairingRow, **fields: object) -> PairingRow:
    """The same for a change that an operator has to have seen."""
    after = changed(row, **fields)
    return msgspec.structs.replace(after, material=after.view.version)


def may_ask(row: PairingRow, now: Mark) -> bool:
    """Whether a message of this sender begins a request, and is not just another try."""
    if Step.ASK not in PAIRING.table[row.view.state]:
        return False
    return row.view.tries == 0 or now.mono - row.view.asked.mono >= RATE_S


def asked(row: PairingRow, inbound: Inbound, now: Mark, *, is_in_line: bool, is_kept: bool) -> PairingRow:
    """The request that a message begins. is_kept: its text can be given to the agent later."""
    after = material(
        row,
        state=PAIRING.step(row.view.state, Step.ASK),
        sender_name=inbound.sender_name[:NAME_LIMIT],
        chat=inbound.source.chat,
        asked=now,
        expires=after_s(now, TTL_S),
        decided=None,
        decided_by="",
        reason="",
        tries=1,
        first_text=inbound.text[:FIRST_TEXT_LIMIT] if is_kept else "",
        invite_id=None,
        is_in_line=is_in_line,
    )
    first = msgspec.structs.replace(inbound, imported=(), mode=None) if is_kept and _may_keep(inbound) else None
    return msgspec.structs.replace(after, source=inbound.source, first=first, is_replaying=False)


def _may_keep(inbound: Inbound) -> bool:
    """Whether a message that is held back is one for an agent, and not too long to be stored."""
    return bool(inbound.text.strip()) and len(inbound.text) + len(inbound.quoted) <= KEPT_TEXT_LIMIT


def announced(row: PairingRow, now: Mark) -> PairingRow:
    """A request that waited in line gets its turn, and its whole time."""
    return changed(row, is_in_line=False, expires=after_s(now, TTL_S))


def decided(row: PairingRow, step: Step, now: Mark, *, by: str, reason: str = "") -> PairingRow:
    """What a decision makes of a sender. Raises IllegalTransition when there is nothing like it to decide."""
    state = PAIRING.step(row.view.state, step)
    keeps = state in {PairingState.APPROVED, PairingState.EXPIRED, PairingState.DENIED}
    is_clear = state is PairingState.APPROVED or step is Step.UNBLOCK
    after = material(
        row,
        state=state,
        decided=now,
        decided_by=by,
        reason=reason,
        expires=None,
        first_text=row.view.first_text if keeps else "",
        failures=0 if is_clear else row.view.failures,
        locked_until=None if is_clear else row.view.locked_until,
        is_in_line=False,
    )
    return msgspec.structs.replace(
        after,
        first=row.first if keeps else None,
        is_replaying=False,
        # Whoever was let in before may still hold a code that was made for somebody else.
        codes_before=now if state in {PairingState.REVOKED, PairingState.BLOCKED} else row.codes_before,
    )


def unlocked(row: PairingRow) -> PairingRow:
    """A sender whose codes count again."""
    return material(row, failures=0, locked_until=None)


def is_locked(row: PairingRow, now: Mark) -> bool:
    """Whether no code of this sender counts for now."""
    until = row.view.locked_until
    return until is not None and now.mono < until.mono


def wrong_code(row: PairingRow, now: Mark) -> PairingRow:
    """Counts a wrong code; the last one that is allowed locks the sender out for a while."""
    before = 0 if row.view.locked_until is not None else row.view.failures
    failures = before + 1
    until = after_s(now, LOCK_S) if failures >= FAILURE_LIMIT else None
    return changed(row, failures=failures, locked_until=until)


def noticed(row: PairingRow, state: DeliveryState, error: str = "") -> PairingRow:
    """What became of the last message to the sender."""
    return changed(row, notice=state, notice_error=error)


def after_s(now: Mark, delay_s: float) -> Mark:
    """The instant that many seconds later."""
    return Mark(now.at + delay_s, now.mono + delay_s)


def is_due(until: Mark | None, now: Mark) -> bool:
    """Whether an instant has come."""
    return until is not None and until.mono <= now.mono


# -- codes -------------------------------------------------------------------


def new_code(pick: Callable[[int], int]) -> str:
    """A code. `pick(n)` gives a number from 0 to n-1 that nobody can guess."""
    return "".join(ALPHABET[pick(len(ALPHABET))] for _ in range(CODE_LETTERS))


def find_code(text: str) -> str | None:
    """The code that a whole message is, however it was typed; None for any other message."""
    if len(text) > 4 * CODE_LETTERS:
        return None
    code = text.strip().translate(_BLANKS).upper()
    return code if len(code) == CODE_LETTERS and all(letter in ALPHABET for letter in code) else None


def code_digest(code: str, salt: str) -> str:
    """What is stored of a code. salt: in hex."""
    return hashlib.sha256(bytes.fromhex(salt) + code.encode()).hexdigest()


def is_code_of(row: InviteRow, code: str) -> bool:
    """Whether it is this invitation's code; takes as long for a wrong one as for the right one."""
    return hmac.compare_digest(row.digest, code_digest(code, row.salt))


def ended(row: InviteRow, step: InviteStep, *, used_by: PairingId | None = None) -> InviteRow:
    """An invitation after it was used, voided or too old. Raises IllegalTransition when it was so before."""
    view = msgspec.structs.replace(
        row.view, version=row.view.version + 1, state=INVITE.step(row.view.state, step), used_by=used_by
    )
    return msgspec.structs.replace(row, view=view)


def why_not(row: InviteRow, codes_before: Mark | None, now: Mark) -> str:
    """Why the right code lets this sender in no more, in words for the sender; "" when it does."""
    view = row.view
    if view.state is InviteState.USED:
        return "That code was used already."
    if view.state is InviteState.EXPIRED or (view.state is InviteState.OPEN and is_due(view.expires, now)):
        return "That code is too old."
    is_void = view.state is InviteState.VOIDED or (codes_before is not None and _is_before(view.created, codes_before))
    return "That code is not valid any more." if is_void else ""


def _is_before(instant: Mark, other: Mark) -> bool:
    """Whether either clock says so: one may have been set, the other begins anew with each start of the machine."""
    return instant.at <= other.at or instant.mono <= other.mono


def invite_id(text: str) -> InviteId:
    """An id of an invitation."""
    return InviteId(f"i-{text}")
