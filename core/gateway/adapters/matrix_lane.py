"""What of one Matrix room is still to be handed in, oldest first (pure)."""

from collections import deque
from collections.abc import Callable

import msgspec

from core.gateway.adapters import loose
from core.gateway.adapters.loose import Json
from core.gateway.adapters.matrix_events import is_membership
from core.waits import Waits

KEPT = 500
"""Events of one room that are remembered while they wait; what is more is read back from the server."""

PAGE = 100
"""Events that are asked for at once."""


class Batch(msgspec.Struct, kw_only=True):
    """What one sync brought of a room, not looked at yet.

    number, since: of the sync, and where it began. is_limited: it left events out, which are read back from `begin`
    ("" for nothing) into `gap`, newest first and `page` at once; gap_bytes is about its size. is_new: we joined in
    it. is_opening: that has begun.
    """

    number: int
    since: str
    events: list[Json] = msgspec.field(default_factory=list[Json])
    state: list[Json] = msgspec.field(default_factory=list[Json])
    is_limited: bool = False
    begin: str = ""
    is_new: bool = False
    is_opening: bool = False
    gap: list[Json] = msgspec.field(default_factory=list[Json])
    gap_bytes: int = 0
    page: int = PAGE


class Due(msgspec.Struct, kw_only=True):
    """An event that is to be handed in. number, since: as in Batch. must_apply: it may change what is known of the
    room. fault_count: how often handling it failed; miss_count: how often what it refers to could not be had.
    """

    number: int
    since: str
    event: Json
    must_apply: bool = False
    may_overtake: bool = False
    fault_count: int = 0
    miss_count: int = 0


class Lane:
    """One room's. next_try: monotonic time before which nothing is tried again but what may overtake.

    is_shut: the room itself cannot be read, so nothing may overtake. failures: in a row; reason: of the last one.
    ahead: ids of events that went before others. is_fresh: something came since the last look; is_busy: nobody has
    looked at that to its end.
    """

    def __init__(self, room_id: str) -> None:
        self.room_id = room_id
        self.batches: deque[Batch] = deque()
        self.events: list[Due] = []
        self.rest = Waits()
        self.next_try = 0.0
        self.failures = 0
        self.is_shut = False
        self.reason = ""
        self.is_fresh = False
        self.is_busy = False
        self.ahead: set[str] = set()

    @property
    def size(self) -> int:
        """Events that are remembered."""
        return len(self.events) + sum(len(batch.events) for batch in self.batches)

    @property
    def oldest(self) -> tuple[int, str] | None:
        """Number and begin of the sync that brought the oldest of it; None when there is nothing."""
        heads = [(batch.number, batch.since) for batch in self.batches]
        return min([*heads, *((due.number, due.since) for due in self.events)], default=None)

    def add(self, batch: Batch, after: str, overtakes: Callable[[Json], bool]) -> None:
        """Take a batch. after: where the sync after it begins. When too much waits already only what may overtake is
        remembered, and the whole is read back later: what then comes twice is known by its id.
        """
        self.is_fresh = self.is_busy = True
        if not self.size or self.size + len(batch.events) <= KEPT:
            self.batches.append(batch)
            return
        self.events += [
            Due(number=batch.number, since=batch.since, event=event, may_overtake=True)
            for event in batch.events
            if overtakes(event)
        ]
        last = self.batches[-1] if self.batches else None
        if last is None or last.is_opening or not last.is_limited or last.events:
            last = Batch(number=batch.number, since=batch.since, is_limited=True)
            self.batches.append(last)
        last.begin = after

    def clear(self) -> None:
        """Forget all of it."""
        self.batches.clear()
        self.events.clear()

    def hold(self, reason: str, wait_s: float, now: float, *, is_shut: bool = False) -> None:
        """Try again after a while."""
        self.failures += 1
        self.reason, self.is_shut = reason, is_shut
        self.next_try = now + wait_s

    def is_due(self, now: float) -> bool:
        """Whether everything may be tried."""
        return not self.failures or now >= self.next_try

    def is_over(self) -> None:
        """What held it up is over."""
        self.failures, self.is_shut, self.reason = 0, False, ""


def batch_of(found: Json, number: int, since: str, me: str) -> Batch | None:
    """What a sync says of a room; None when that is nothing."""
    timeline = loose.below(found, "timeline")
    state = list(loose.objects(loose.below(found, "state"), "events"))
    events = list(loose.objects(timeline, "events"))
    if not events and not state:
        return None
    return Batch(
        number=number,
        since=since,
        events=events,
        state=state,
        is_limited=loose.flag(timeline, "limited"),
        begin=loose.text(timeline, "prev_batch"),
        is_new=any(is_membership(event, me, "join") for event in (*state, *events)),
    )


def own_begin(events: list[Json], me: str) -> int:
    """Where our time in a room begins: at the invitation, else at our joining; 0 when neither is there."""
    joined = [at for at, event in enumerate(events) if is_membership(event, me, "join")]
    end = joined[-1] if joined else len(events)
    invited = [at for at, event in enumerate(events[:end]) if is_membership(event, me, "invite")]
    if invited:
        return invited[-1] + 1
    return joined[-1] + 1 if joined else 0
