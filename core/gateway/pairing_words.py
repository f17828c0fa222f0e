"""What a sender is told about its access, and what an operator is warned of (pure)."""

import heapq
from collections.abc import Iterable

from core.api.pairings import PairingState, PairingView
from core.gateway.look_alike import hidden_letters

CODE_TAKEN = "The code is right: you have access from your next message on."
CODE_WRONG = "That code is not right."
CODE_LOCKED = "That code is not right. No code of yours counts for the next hour."

_STANDS = {
    PairingState.APPROVED: "who is let in",
    PairingState.ASKED: "who asks too",
    PairingState.BLOCKED: "who is blocked",
}
_RANKS = {state: rank for rank, state in enumerate(_STANDS)}
_WARNING_LIMIT = 8


def asked_words(sender_id: str) -> str:
    """That an operator was asked."""
    return f"You have no access here yet. An operator was asked and decides about it. Your id here is {sender_id}"


def decision_words(state: PairingState, reason: str) -> str:
    """What was decided."""
    words = {
        PairingState.APPROVED: "You have access now.",
        PairingState.DENIED: "Your request was turned down.",
        PairingState.REVOKED: "Your access was taken back.",
        PairingState.BLOCKED: "You are blocked: nothing that you write is read any more.",
    }[state]
    return f"{words} {reason}".rstrip()


def warnings(name: str, alike: Iterable[PairingView]) -> tuple[str, ...]:
    """What is odd about a name. alike: other senders whose name looks the same, of whom foremost() are named."""
    found = hidden_letters(name)
    for other in foremost(alike)[: _WARNING_LIMIT - len(found)]:
        stands = _STANDS[other.state]
        found.append(f"the name looks like that of {other.sender_name} ({other.platform}:{other.sender_id}), {stands}")
    return tuple(found)


def foremost(alike: Iterable[PairingView]) -> list[PairingView]:
    """As many as can be named beside one of them: who is let in first, then who is blocked, then who asked first.

    So strangers, however many take a name, crowd nobody out who was decided about, and do not change what is said
    of those who asked before.
    """
    known = (view for view in alike if view.state in _RANKS)
    return heapq.nsmallest(_WARNING_LIMIT + 1, known, key=lambda view: (_RANKS[view.state], view.asked.at, view.id))
