"""Events about senders, invitations and what people order in chats as one short line for people (pure)."""

from collections.abc import Callable
from typing import Any

from console.text import clipped, counted
from core.api import chat_commands, pairings
from core.api.base import Event

Words = tuple[str, str, str]


def _who(pairing: pairings.PairingView) -> str:
    name = f" ({clipped(pairing.sender_name)})" if pairing.sender_name else ""
    return f"{pairing.platform}:{clipped(pairing.sender_id)}{name}"


def _pairing(level: str, kind: str) -> Callable[[Any], Words]:
    def words(event: Any) -> Words:
        pairing = event.pairing
        by = f" by {clipped(pairing.decided_by)}" if pairing.decided_by else ""
        why = f": {clipped(pairing.reason)}" if pairing.reason else ""
        return level, kind, f"{_who(pairing)}{by}{why}"

    return words


def _asked(event: pairings.PairingAsked) -> Words:
    warned = f", {counted(len(event.pairing.warnings), 'warning')}" if event.pairing.warnings else ""
    return "warn", "access asked", f"{_who(event.pairing)}{warned}"


def _locked(event: pairings.SenderLocked) -> Words:
    return "warn", "sender locked", f"{_who(event.pairing)} after {counted(event.pairing.failures, 'wrong code')}"


def _changed(event: pairings.PairingChanged) -> Words:
    pairing = event.pairing
    notice = f", notice {pairing.notice.value}" if pairing.notice else ""
    error = f": {clipped(pairing.notice_error)}" if pairing.notice_error else ""
    tries = counted(pairing.tries, "message")
    return "info", "sender changed", f"{_who(pairing)} {pairing.state.value}, {tries}{notice}{error}"


def _invite(event: Any) -> Words:
    invite = event.invite
    where = invite.platform or "all connections"
    note = f": {clipped(invite.note)}" if invite.note else ""
    return "info", f"invitation {invite.state.value}", f"{invite.id} for {where}{note}"


def _forgotten(event: pairings.SendersForgotten) -> Words:
    senders, invites = counted(len(event.pairing_ids), "sender"), counted(len(event.invite_ids), "invitation")
    return "info", "senders let go", f"{senders} never let in, {invites} over for long"


def _command(event: chat_commands.ChatCommandUsed) -> Words:
    level = {"done": "info", "cut_off": "fail"}.get(event.outcome.value, "warn")
    why = f": {clipped(event.reason)}" if event.reason else ""
    who = clipped(event.sender_name or event.sender_id)
    words = f"{who}: /{clipped(event.command)} {clipped(event.arguments)}".rstrip()
    return level, f"command {event.outcome.value.replace('_', ' ')}", f"{words}{why}"


def _branched(event: chat_commands.SessionBranched) -> Words:
    left_out = f", without {counted(event.left_out, 'turn')}" if event.left_out else ""
    return "info", "session branched", f"epoch {event.session.epoch} from {event.from_epoch}{left_out}"


GATEWAY_WORDS: dict[type[Event], Callable[[Any], Words]] = {
    pairings.PairingAsked: _asked,
    pairings.PairingApproved: _pairing("good", "access given"),
    pairings.PairingDenied: _pairing("warn", "access denied"),
    pairings.PairingExpired: _pairing("warn", "request expired"),
    pairings.PairingRevoked: _pairing("warn", "access taken back"),
    pairings.SenderBlocked: _pairing("warn", "sender blocked"),
    pairings.SenderUnblocked: _pairing("info", "sender unblocked"),
    pairings.SenderLocked: _locked,
    pairings.PairingChanged: _changed,
    pairings.InviteCreated: _invite,
    pairings.InviteEnded: _invite,
    pairings.SendersForgotten: _forgotten,
    chat_commands.ChatCommandUsed: _command,
    chat_commands.SessionTitled: lambda event: ("info", "session titled", clipped(event.session.title)),
    chat_commands.SessionBranched: _branched,
}
