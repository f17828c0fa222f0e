"""Who is next: four priority lanes, weighted, with a bound on how long a lane can be passed over (pure).

A lane of weight w that holds something waits for at most W - w deliveries from other lanes,
W being the sum of all weights. Two rules keep that: among lanes with credit the highest goes
first, and as soon as waiting lanes could no longer all be served within their bounds
otherwise, the one with the least slack goes first.
"""

from collections import deque

from core.api.mail import MailState
from core.mailbox.message import NORMAL, Mail

WEIGHTS: tuple[int, ...] = (1, 2, 4, 8)
"""Deliveries of a full round, by rank: low, normal, high, critical."""

BOUNDS: tuple[int, ...] = tuple(sum(WEIGHTS) - weight for weight in WEIGHTS)
"""The most deliveries from other lanes that a waiting lane sees before its own, by rank."""

_RANKS = tuple(range(len(WEIGHTS)))
# Rank of the only lane in a mask, -1 when there is none or more than one.
_ONLY = tuple(mask.bit_length() - 1 if mask and not mask & (mask - 1) else -1 for mask in range(1 << len(WEIGHTS)))
_NORMAL_BIT = 1 << NORMAL
_QUEUED = MailState.QUEUED
_STALE_KEPT = 256


class Lanes:
    """Messages that may go out, by rank. One whose state is no longer `queued` is passed over silently.

    normal: the lane of the rank that nearly every message has. others: one bit for each other
    lane that holds something. While it is 0, `normal` is all there is: the queue appends to it
    and takes from it by itself.
    """

    __slots__ = ("_credits", "_lanes", "_slack", "normal", "others")

    def __init__(self) -> None:
        self.normal: deque[Mail] = deque()
        self.others = 0
        self._lanes: dict[int, deque[Mail]] = {NORMAL: self.normal}
        self._credits = list(WEIGHTS)
        self._slack = list(BOUNDS)

    def push(self, mail: Mail) -> None:
        """Put a message behind the others of its rank."""
        rank = mail.rank
        if rank == NORMAL and not self.others:
            # Its slack stays as it was: too small at most, which serves it too early and never too late.
            self.normal.append(mail)
            return
        lane = self._lanes.get(rank)
        if lane is None:
            lane = self._lanes[rank] = deque()
        if not lane:
            self.others |= (1 << rank) & ~_NORMAL_BIT
            self._slack[rank] = BOUNDS[rank]
        lane.append(mail)

    def pop(self) -> Mail | None:
        """The message that is next, None when there is none."""
        while mask := self.others | (_NORMAL_BIT if self.normal else 0):
            rank = _ONLY[mask]
            if rank < 0:
                rank = self._choose()
                if rank < 0:
                    continue
            lane = self._lanes[rank]
            mail = lane.popleft()
            if not lane:
                self.others &= ~(1 << rank)
            if mail.noted is _QUEUED:
                return mail
        return None

    def trim(self, live_count: int) -> None:
        """Let go of what was passed over, once that is most of it. live_count: messages that may still go out."""
        if sum(len(lane) for lane in self._lanes.values()) <= 2 * live_count + _STALE_KEPT:
            return
        for rank, lane in self._lanes.items():
            kept = [mail for mail in lane if mail.noted is _QUEUED]
            lane.clear()
            lane.extend(kept)
            if not lane:
                self.others &= ~(1 << rank)

    def peek(self) -> Mail | None:
        """The message that would be next, were nothing to come; nothing is changed but lanes cleaned."""
        waiting = self._waiting()
        if not waiting:
            return None
        return self._lanes[waiting[0] if len(waiting) == 1 else self._best(waiting)[0]][0]

    def _choose(self) -> int:
        """The lane to serve, which is accounted for; -1 when less than two are left after cleaning."""
        waiting = self._waiting()
        if len(waiting) < 2:  # noqa: PLR2004 -- the caller's fast path serves a lone lane
            return -1
        rank, is_refill = self._best(waiting)
        if is_refill:
            self._credits = list(WEIGHTS)
        if self._credits[rank]:
            self._credits[rank] -= 1
        for other in waiting:
            self._slack[other] -= 1
        self._slack[rank] = BOUNDS[rank]
        return rank

    def _best(self, waiting: list[int]) -> tuple[int, bool]:
        """The rank to serve next, and whether a new round of credits begins with it."""
        by_slack = sorted(waiting, key=self._slack.__getitem__)
        # Some k + 1 lanes have room for k deliveries only: earliest deadline first is all that is left.
        if any(self._slack[rank] <= place for place, rank in enumerate(by_slack)):
            return by_slack[0], False
        rich = [rank for rank in waiting if self._credits[rank]]
        return max(rich or waiting), not rich

    def _waiting(self) -> list[int]:
        """Ranks of lanes whose head may go out; stale heads are let go."""
        waiting: list[int] = []
        for rank in _RANKS:
            lane = self._lanes.get(rank)
            while lane and lane[0].noted is not _QUEUED:
                lane.popleft()
            if lane:
                waiting.append(rank)
            else:
                self.others &= ~(1 << rank)
        return waiting
