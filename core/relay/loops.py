"""What ends a loop of bots that relay to each other (pure).

Three limits, each enough by itself: of bots that a message passes through, of visits of one bot by the messages that
follow from one, and of messages of one conversation here within a window. The last also bounds what follows from one
message that is sent on to several: all of it is the same conversation.
"""

import msgspec

from core.relay.wire import Trail

VISIT_LIMIT = 2
"""Times that what follows from one message may pass through the same bot: a question back is none too many."""

_SHOWN = 12


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """hops: bots that a message may pass through. turns: messages of a conversation within window_s, seconds."""

    hops: int
    turns: int
    window_s: float


def begun(conversation: str, own: str) -> Trail:
    """The trail of a message that begins here. own: how we call ourselves in paths."""
    return Trail(conversation=conversation, path=(own,))


def onward(trail: Trail, own: str) -> Trail:
    """The trail of a message that follows from one that came in with this trail."""
    return Trail(conversation=trail.conversation, hops=passed(trail) + 1, path=(*trail.path, own))


def before(trail: Trail) -> Trail:
    """The trail of the message that one with this trail follows from: onward() taken back."""
    return Trail(conversation=trail.conversation, hops=max(0, trail.hops - 1), path=trail.path[:-1])


def passed(trail: Trail) -> int:
    """Bots that it passed, as far as its sender and its path tell."""
    return max(trail.hops, len(trail.path))


def way_words(trail: Trail, target: str) -> str:
    """The path for people, up to where it wants to go: a > b > c."""
    names = [*trail.path, target]
    unknown = passed(trail) - len(trail.path)
    left_out = len(names) - _SHOWN
    if left_out > 0:
        names = [f"({left_out} more)", *names[left_out:]]
    if unknown > 0:
        names = [f"({unknown} unknown)", *names]
    return " > ".join(names)


def refusal(trail: Trail, target: str, *, own: str, turns: int, limits: Limits) -> str:
    """Why a message may go no further, with its path and the limit; "" when it may.

    target: where it goes, an agent here for one that came in. turns: messages of its conversation within the window.
    """
    way = way_words(trail, target)
    if passed(trail) > limits.hops:
        return f"loop: {way} is longer than {limits.hops} hops (relay.hop_limit)"
    # One that goes out has our name at its end already.
    visits = trail.path.count(own) + (not trail.path or trail.path[-1] != own)
    if visits > VISIT_LIMIT:
        return f"loop: {way} would pass through {own} {visits} times; {VISIT_LIMIT} are the limit"
    if turns >= limits.turns:
        most = f"{limits.turns} messages of one conversation within {_span(limits.window_s)}"
        return f"loop: {way} would be more than {most} (relay.turn_limit)"
    return ""


def _span(seconds: float) -> str:
    for unit_s, word in ((3600.0, "h"), (60.0, "min")):
        if seconds >= unit_s and seconds % unit_s == 0:
            return f"{seconds / unit_s:g} {word}"
    return f"{seconds:g} s"
