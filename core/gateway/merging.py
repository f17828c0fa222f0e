"""Which messages are parts of one: pictures of an album, lines that somebody typed in a burst (pure)."""

from core.api.base import Mark, MessageId
from core.api.sessions import Mode, Voice
from core.gateway.lane import Waiting

ALBUM_S = 0.8
"""Quiet time after which an album is whole."""

_LONGEST_BURST = 3
_APART = frozenset({Mode.QUEUE, Mode.INTERRUPT})


def part_of(
    queue: tuple[Waiting, ...], sender_id: str, group_id: str, mode: Mode, *, now: Mark, burst_s: float
) -> MessageId | None:
    """The first part of what a message belongs to that has just come; None when it stands for itself.

    queue: what waits, in order. group_id: of an album, "" for none. mode: the effective one; those that share turns
    anyway need no parts. burst_s: longest pause between the lines of a burst, which lasts three times as long at most;
    0 leaves every line on its own.
    """
    if not queue or not sender_id:
        return None
    last = queue[-1]
    first = last.message.part_of or last.message.id
    if last.sender_id != sender_id or last.group_id != group_id or last.message.voice is not Voice.USER:
        return None
    if group_id:
        return first
    if last.message.task_id is not None or mode not in _APART or last.message.effective_mode is not mode:
        return None
    began = next((item.message.received for item in queue if item.message.id == first), last.message.received)
    is_burst = now.mono - last.message.received.mono <= burst_s
    return first if is_burst and now.mono - began.mono <= _LONGEST_BURST * burst_s else None


def split(queue: tuple[Waiting, ...], message_id: MessageId) -> dict[MessageId, MessageId | None]:
    """What each part belongs to once one of them stands for itself; only those that change. The rest stays together."""
    chosen = next(item.message for item in queue if item.message.id == message_id)
    first = chosen.part_of or chosen.id
    parts = [item.message.id for item in queue if (item.message.part_of or item.message.id) == first]
    at = parts.index(message_id)
    changes: dict[MessageId, MessageId | None] = {message_id: None}
    for place, part in enumerate(parts[at + 1 :]):
        changes[part] = parts[at + 1] if place else None
    return changes
