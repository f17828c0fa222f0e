"""What is true of every run of a mailbox: order of pairs, a bound on waiting, and sets that must agree."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Protocol

import msgspec

from core.mailbox.message import Mail
from core.mailbox.order import BOUNDS

Value = tuple[str, int]
"""A message as its sender counts it: who, and which of theirs (1 is the first)."""


class Chooser(Protocol):
    """Lanes, or something in their place."""

    def push(self, mail: Mail) -> None:
        """Put a message behind the others of its rank."""
        ...

    def pop(self) -> Mail | None:
        """The message that is next."""
        ...


def overtaken(values: Iterable[Value]) -> list[Value]:
    """Values that came after a later one of the same sender; none when the order of pairs was kept."""
    last: defaultdict[str, int] = defaultdict(int)
    found: list[Value] = []
    for sender, number in values:
        if number < last[sender]:
            found.append((sender, number))
        last[sender] = max(last[sender], number)
    return found


def waits(lanes: Chooser, steps: Sequence[int]) -> list[int]:
    """For each rank the most deliveries from other lanes that a waiting lane saw before its own.

    steps: a rank for an arrival of that rank, -1 for a delivery.
    """
    worst, waited, waiting = ([0] * len(BOUNDS) for _ in range(3))
    number = 0
    for step in steps:
        if step >= 0:
            number += 1
            lanes.push(Mail(number, "box", "", b"", rank=step))  # type: ignore[arg-type] # plain ids and names
            waiting[step] += 1
            continue
        mail = lanes.pop()
        assert (mail is None) == (not any(waiting))
        if mail is None:
            continue
        waiting[mail.rank] -= 1
        for rank, count in enumerate(waiting):
            # A lane that was empty or is served begins to wait anew.
            waited[rank] = 0 if rank == mail.rank or not count else waited[rank] + 1
            worst[rank] = max(worst[rank], waited[rank])
    return worst


class StrictLanes:
    """Lanes as they must not be: the highest goes first, always."""

    def __init__(self) -> None:
        self._lanes: tuple[list[Mail], ...] = tuple([] for _ in BOUNDS)

    def push(self, mail: Mail) -> None:
        """Put a message behind the others of its rank."""
        self._lanes[mail.rank].append(mail)

    def pop(self) -> Mail | None:
        """The first of the highest."""
        return next((lane.pop(0) for lane in reversed(self._lanes) if lane), None)


class Accounts(msgspec.Struct):
    """Jepsen's sets. sent: begun; acked: confirmed to their sender; received: taken and settled, start by start.

    effects: what exactly-once consumers left behind, in order. dead: kept as dead letters.
    """

    sent: set[Value] = msgspec.field(default_factory=set[Value])
    acked: set[Value] = msgspec.field(default_factory=set[Value])
    received: list[list[Value]] = msgspec.field(default_factory=list[list[Value]])
    dead: set[Value] = msgspec.field(default_factory=set[Value])
    effects: list[Value] = msgspec.field(default_factory=list[Value])

    @property
    def seen(self) -> set[Value]:
        """All that came out in one way or another."""
        return set(self.effects) | self.dead | set(chain.from_iterable(self.received))

    @property
    def lost(self) -> set[Value]:
        """Confirmed, and never seen again."""
        return self.acked - self.seen

    @property
    def unexpected(self) -> set[Value]:
        """Seen, and never sent."""
        return self.seen - self.sent

    @property
    def twice(self) -> set[Value]:
        """In effect more than once."""
        return {value for value, count in Counter(self.effects).items() if count > 1}

    def faults(self) -> list[str]:
        """What is wrong, in words; none when every promise was kept."""
        found = [
            f"{word}: {sorted(values)[:5]}"
            for word, values in (("lost", self.lost), ("unexpected", self.unexpected), ("twice", self.twice))
            if values
        ]
        # At least once may repeat after a start, in order again; effects are one order over all starts.
        disorder = [value for run in (*self.received, self.effects) for value in overtaken(run)]
        return [*found, f"out of order: {disorder[:5]}"] if disorder else found

    def __str__(self) -> str:
        return (
            f"sent={len(self.sent)} acked={len(self.acked)} received={len(self.seen)} dead={len(self.dead)} "
            f"lost={len(self.lost)} duplicated effects under exactly-once={len(self.twice)} "
            f"unexpected={len(self.unexpected)}"
        )
