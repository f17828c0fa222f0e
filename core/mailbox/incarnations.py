"""Numbers for the runs of agents, which are never used again, also not after a restart."""

import asyncio
from typing import Protocol

import msgspec

from core.journal import Journal
from core.store.base import MUST_NOT_EXIST, Put, Store

KEY = "incarnation"
_BLOCK = 1000

_numbers = msgspec.json.Decoder(int)


class Incarnations(Protocol):
    """Where the numbers come from."""

    async def take(self) -> int:
        """A number greater than all before it."""
        ...


class Counted:
    """Numbers that begin anew with the process: for agents that live in memory only."""

    def __init__(self, first: int = 1) -> None:
        self._next = first

    async def take(self) -> int:
        """A number greater than all before it."""
        number = self._next
        self._next += 1
        return number


class StoredIncarnations:
    """Numbers of a store. They are reserved in blocks, so that most registrations write nothing; some are skipped."""

    def __init__(self, store: Store, journal: Journal) -> None:
        self._store = store
        self._journal = journal
        self._next = 1
        self._end = 1
        self._reserving = asyncio.Lock()

    async def take(self) -> int:
        """A number greater than all before it. Raises StoreError."""
        if self._next >= self._end:
            async with self._reserving:
                if self._next >= self._end:
                    await self._reserve()
        number = self._next
        self._next += 1
        return number

    async def _reserve(self) -> None:
        row = await self._store.get(KEY)
        first = 1 if row is None else _numbers.decode(row.body)
        revision = MUST_NOT_EXIST if row is None else row.revision
        body = msgspec.json.encode(first + _BLOCK)
        await self._journal.commit([Put(KEY, body, revision)], ())
        self._next, self._end = first, first + _BLOCK
