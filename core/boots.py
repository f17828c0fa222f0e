"""Starts of the core on one store: numbered, and never at the same instant as one before."""

import msgspec

from core.clock import Clock
from core.journal import Journal
from core.store.base import Put, Store

_KEY = "meta/boot"


class Boot(msgspec.Struct, frozen=True):
    """One start. number: 1 for the first. at: UTC seconds."""

    number: int
    at: float


_boots = msgspec.json.Decoder(Boot)


async def next_boot(store: Store, clock: Clock) -> tuple[Boot, float]:
    """The start that begins now, and the time before which no new id may sort. Raises StoreError."""
    row = await store.get(_KEY)
    before = Boot(0, 0.0) if row is None else _boots.decode(row.body)
    last = await Journal(store, clock).read(limit=1)
    return Boot(before.number + 1, clock.now()), max([before.at, *(record.at for record in last)])


def boot_put(boot: Boot) -> Put:
    """The change that remembers a start."""
    return Put(_KEY, msgspec.json.encode(boot))
