"""Waiting until mailboxes are empty, with a deadline and a report of what is left and where."""

from collections.abc import Iterable

import msgspec

from core.api.base import MailboxName
from core.api.mailboxes import MailboxState
from core.clock import Clock
from core.mailbox.mailbox import Mailbox

_LOOK_EVERY_S = 0.02


class Left(msgspec.Struct, frozen=True, gc=False):
    """What a mailbox still held. is_durable: it is there again at the next start, or else gone with the process."""

    mailbox: MailboxName
    queued: int
    delayed: int
    in_flight: int
    is_durable: bool

    @property
    def count(self) -> int:
        """All of it."""
        return self.queued + self.delayed + self.in_flight


class DrainReport(msgspec.Struct, frozen=True):
    """How a shutdown went. took_s: how long. left: mailboxes that still held messages, by name."""

    took_s: float
    left: tuple[Left, ...]

    @property
    def is_drained(self) -> bool:
        """Whether nothing was left."""
        return not self.left

    @property
    def kept_count(self) -> int:
        """Messages that wait in the store for the next start."""
        return sum(left.count for left in self.left if left.is_durable)

    @property
    def lost_count(self) -> int:
        """Messages of mailboxes in memory, which end with the process."""
        return sum(left.count for left in self.left if not left.is_durable)


async def drain(boxes: Iterable[Mailbox], clock: Clock, *, deadline_s: float) -> DrainReport:
    """Wait until the boxes hold nothing that could still be given out, at most deadline_s seconds.

    It does not wait for messages put off to a later time, those behind them, nor for a paused mailbox.
    """
    began = clock.monotonic()
    waiting = list(boxes)
    # All of them each time: what one gives out can lead to mail in another.
    while any(map(_is_busy, waiting)) and clock.monotonic() - began < deadline_s:
        await clock.sleep(min(_LOOK_EVERY_S, deadline_s))
    left = sorted((_left(box) for box in waiting if box.depth), key=lambda entry: entry.mailbox)
    return DrainReport(clock.monotonic() - began, tuple(left))


def _is_busy(box: Mailbox) -> bool:
    is_giving = box.state in {MailboxState.OPEN, MailboxState.DRAINING}
    return bool(box.leases) or (is_giving and box.peek() is not None)


def _left(box: Mailbox) -> Left:
    tally = box.tally()
    return Left(box.name, tally.queued, tally.delayed, tally.in_flight, box.policy.durable)
