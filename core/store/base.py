"""What a store must do: rows with compare-and-set, and a journal, changed together or not at all."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import msgspec

from core.api.base import Seq

MUST_NOT_EXIST = 0
"""For `Put.expect`: the row must not be there yet."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """One stored value. revision: 1 at first, grows by one with each change of the key."""

    key: str
    revision: int
    body: bytes


class Put(msgspec.Struct, frozen=True, gc=False):
    """One change of one row.

    body: None deletes it. expect: the revision it must have now, MUST_NOT_EXIST, or None for any.
    """

    key: str
    body: bytes | None
    expect: int | None = None


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A journal entry to be written. subject: id of the entity that it is about."""

    subject: str
    body: bytes


class StoredEntry(msgspec.Struct, frozen=True, gc=False):
    """A journal entry with its place."""

    seq: Seq
    subject: str
    body: bytes


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Changes that happen together. A key stands in `puts` at most once."""

    puts: Sequence[Put] = ()
    entries: Sequence[Entry] = ()


class Committed(msgspec.Struct, frozen=True, gc=False):
    """What a commit wrote.

    seqs: of the entries, in their order; revisions: of the puts, 0 for a deleted row.
    """

    seqs: tuple[Seq, ...]
    revisions: tuple[int, ...]


class StoreStats(msgspec.Struct, frozen=True):
    """Counts since opening.

    commit_p99_s: over the last thousand commits, from request to disk.
    head: place of the last entry that this process knows to be stored.
    """

    commit_count: int
    group_count: int
    commit_p99_s: float
    size_bytes: int
    head: Seq = Seq(0)


class Store(Protocol):
    """Rows and a journal.

    All implementations pass one contract suite; one may be slower, never different.
    Every method raises StoreError when the medium fails or the store is closed, and
    InvalidInput (facts: field, value, fix) for an argument that cannot be. One event loop uses it.
    """

    url: str

    async def get(self, key: str) -> Row | None:
        """The row, or None when there is none."""
        ...

    async def scan(
        self, prefix: str, *, after: str = "", limit: int | None = None, newest_first: bool = False
    ) -> list[Row]:
        """Rows whose key starts with `prefix`, in the order of their keys' code points.

        after: only keys beyond that one in the direction of travel. limit: None for all.
        """
        ...

    async def count(self, prefix: str) -> int:
        """How many rows have a key that starts with `prefix`."""
        ...

    def submit(self, batch: Batch) -> asyncio.Future[Committed]:
        """Ask for a commit now; the future ends when it is durable, or with what `commit` raises.

        Futures end in the order of the requests. Cancelling one does not stop its write.
        """
        ...

    async def commit(self, batch: Batch) -> Committed:
        """Write all or nothing; returns when it is durable.

        Commits are written in the order in which they were asked for. Raises ConflictError
        (facts: key, expected, found) when a row is not at the revision that was expected.
        """
        ...

    async def read(
        self,
        *,
        after: Seq | None = None,
        before: Seq | None = None,
        subject: str = "",
        limit: int = 500,
    ) -> list[StoredEntry]:
        """Journal entries in order.

        With `after`: the first `limit` beyond it. Otherwise the last `limit` (before `before`).
        Raises Lagged when `after` is older than what is kept.
        """
        ...

    async def head(self) -> Seq:
        """Place of the last entry; 0 when there is none."""
        ...

    async def trim(self, keep: int) -> int:
        """Let go of all but the newest `keep` entries, in small steps between commits.

        Returns how many went. Cancelled half way, it has let go of some. Places are not used again.
        """
        ...

    def stats(self) -> StoreStats:
        """Counts since opening. Never waits."""
        ...

    async def close(self) -> None:
        """Finish what was asked for, then let go of the medium. May be called twice."""
        ...
