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
    """Changes that happen together. A key stands in `puts` at most once.

    mail: records for the mail log, in their order. mail_floor: let go of all packs of the mail
    log up to that place; 0 lets none go. is_relief: it makes room or ends work, so it is
    still written when the disk is full and the store lives on its reserve. Other batches are then
    refused with StoreError (cause full) without a try, until there is room again.
    """

    puts: Sequence[Put] = ()
    entries: Sequence[Entry] = ()
    mail: Sequence[bytes] = ()
    mail_floor: int = 0
    is_relief: bool = False


class Committed(msgspec.Struct, frozen=True, gc=False):
    """What a commit wrote.

    seqs: of the entries, in their order; revisions: of the puts, 0 for a deleted row.
    place: of the pack that holds the mail records, 0 when there were none.
    """

    seqs: tuple[Seq, ...]
    revisions: tuple[int, ...]
    place: int = 0


class Pack(msgspec.Struct, frozen=True, gc=False):
    """Mail records that were written together. Places grow by one with each pack and are not used again.

    damaged: indices of records that are not what was written; their bytes are given as they were read.
    """

    place: int
    records: tuple[bytes, ...]
    damaged: tuple[int, ...] = ()


class Loss(msgspec.Struct, frozen=True, gc=False):
    """What a store once confirmed and no longer has. what: mail or journal; first, last: places.

    Lost mail is told at each opening until the floor of the mail log has passed it.
    """

    what: str
    first: int
    last: int


class StoreStats(msgspec.Struct, frozen=True):
    """Counts since opening.

    commit_p99_s: over the last thousand commits, from request to disk.
    head: place of the last entry that this process knows to be stored.
    mail_first, mail_last: places of the oldest and newest pack of mail; last < first when there is none.
    is_full: the disk has no room, and only relief is written. losses: found missing when it was opened.
    """

    commit_count: int
    group_count: int
    commit_p99_s: float
    size_bytes: int
    head: Seq = Seq(0)
    mail_first: int = 1
    mail_last: int = 0
    is_full: bool = False
    losses: tuple[Loss, ...] = ()


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

    async def read_packs(self, *, after: int = 0, limit_bytes: int = 1_048_576) -> list[Pack]:
        """Packs of the mail log beyond a place, in order: at least one when there is one, then up to limit_bytes.

        A damaged record is named, not raised. A pack of which not even that can be told is given with
        its raw bytes as its only record, and that one damaged.
        """
        ...

    def stats(self) -> StoreStats:
        """Counts since opening. Never waits."""
        ...

    async def close(self) -> None:
        """Finish what was asked for, then let go of the medium. May be called twice."""
        ...
