"""A store that forgets: what the other stores are measured against, and what tests run on."""

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from operator import attrgetter

from core.api.base import Seq
from core.api.errors import Lagged, StoreError
from core.store.base import Batch, Committed, Pack, Row, StoredEntry, StoreStats
from core.store.batch import check_batch, check_not_negative, check_text, key_range, revisions_after

_seq_of = attrgetter("seq")
_place_of = attrgetter("place")


class MemoryStore:
    """Rows in a dict with a sorted list of keys; journal and mail log in lists, a pack for each batch."""

    def __init__(self) -> None:
        self.url = "memory:"
        self._rows: dict[str, Row] = {}
        self._keys: list[str] = []
        self._entries: list[StoredEntry] = []
        self._about: defaultdict[str, list[StoredEntry]] = defaultdict(list)
        self._head = Seq(0)
        self._floor = Seq(0)
        self._packs: list[Pack] = []
        self._place = 0
        self._commit_count = 0
        self._size_bytes = 0
        self._is_closed = False

    async def get(self, key: str) -> Row | None:
        """The row, or None when there is none."""
        self._check_open()
        check_text(key, "key")
        return self._rows.get(key)

    async def scan(
        self, prefix: str, *, after: str = "", limit: int | None = None, newest_first: bool = False
    ) -> list[Row]:
        """Rows whose key starts with `prefix`, in the order of their keys' code points."""
        self._check_open()
        check_not_negative(limit, "limit")
        keys = self._covered(prefix, after, newest_first=newest_first)
        if newest_first:
            keys.reverse()
        return [self._rows[key] for key in keys[:limit]]

    async def count(self, prefix: str) -> int:
        """How many rows have a key that starts with `prefix`."""
        self._check_open()
        return len(self._covered(prefix, "", newest_first=False))

    def submit(self, batch: Batch) -> asyncio.Future[Committed]:
        """Write now; the future ends in the next round of the loop, as it does with a real medium."""
        self._check_open()
        check_batch(batch)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Committed] = loop.create_future()
        try:
            loop.call_soon(_succeed, future, self._write(batch))
        except Exception as error:  # noqa: BLE001 -- whatever it is belongs to the one who waits
            loop.call_soon(_fail, future, error)
        return future

    async def commit(self, batch: Batch) -> Committed:
        """Write all or nothing."""
        return await self.submit(batch)

    async def read(
        self,
        *,
        after: Seq | None = None,
        before: Seq | None = None,
        subject: str = "",
        limit: int = 500,
    ) -> list[StoredEntry]:
        """Journal entries in order."""
        self._check_open()
        check_not_negative(limit, "limit")
        check_text(subject, "subject")
        if after is not None and after < self._floor:
            raise Lagged(f"the journal begins behind {self._floor}, not {after}", after=after, floor=self._floor)
        entries = self._about.get(subject, []) if subject else self._entries
        first = 0 if after is None else bisect_right(entries, after, key=_seq_of)
        past = len(entries) if before is None else bisect_left(entries, before, key=_seq_of)
        if after is None:
            return entries[max(0, past - limit) : past]
        return entries[first : min(past, first + limit)]

    async def head(self) -> Seq:
        """Place of the last entry; 0 when there is none."""
        self._check_open()
        return self._head

    async def trim(self, keep: int) -> int:
        """Let go of all but the newest `keep` entries."""
        self._check_open()
        check_not_negative(keep, "keep")
        past = max(0, len(self._entries) - keep)
        for entry in self._entries[:past]:
            self._floor = entry.seq
            self._about[entry.subject].pop(0)
            self._size_bytes -= len(entry.body)
            if not self._about[entry.subject]:
                del self._about[entry.subject]
        del self._entries[:past]
        return past

    async def read_packs(self, *, after: int = 0, limit_bytes: int = 1_048_576) -> list[Pack]:
        """Packs of the mail log beyond a place, in order."""
        self._check_open()
        check_not_negative(after, "after")
        check_not_negative(limit_bytes, "limit_bytes")
        found: list[Pack] = []
        size = 0
        for pack in self._packs[bisect_right(self._packs, after, key=_place_of) :]:
            size += sum(map(len, pack.records))
            if found and size > limit_bytes:
                break
            found.append(pack)
        return found

    def stats(self) -> StoreStats:
        """Counts since opening; a commit takes no time that is worth a number."""
        self._check_open()
        return StoreStats(
            commit_count=self._commit_count,
            group_count=self._commit_count,
            commit_p99_s=0.0,
            size_bytes=self._size_bytes,
            head=self._head,
            mail_first=self._place - len(self._packs) + 1,
            mail_last=self._place,
        )

    async def close(self) -> None:
        """Forget everything."""
        self._is_closed = True
        self._rows.clear()
        self._keys.clear()
        self._entries.clear()
        self._about.clear()
        self._packs.clear()

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreError("the store is closed", path=self.url, cause="closed", fix="open it again")

    def _covered(self, prefix: str, after: str, *, newest_first: bool) -> list[str]:
        span = key_range(prefix, after, newest_first=newest_first)
        find_low = bisect_left if span.is_low_included else bisect_right
        low = find_low(self._keys, span.low)
        return self._keys[low : len(self._keys) if span.high is None else bisect_left(self._keys, span.high)]

    def _revision_of(self, key: str) -> int:
        row = self._rows.get(key)
        return 0 if row is None else row.revision

    def _write(self, batch: Batch) -> Committed:
        revisions = revisions_after(batch, self._revision_of)
        for put, revision in zip(batch.puts, revisions, strict=True):
            self._set(put.key, revision, put.body)
        first = self._head + 1
        for seq, entry in enumerate(batch.entries, first):
            stored = StoredEntry(Seq(seq), entry.subject, entry.body)
            self._entries.append(stored)
            self._about[entry.subject].append(stored)
            self._size_bytes += len(entry.body)
        self._head = Seq(self._head + len(batch.entries))
        self._commit_count += 1
        return Committed(tuple(map(Seq, range(first, self._head + 1))), revisions, self._write_mail(batch))

    def _write_mail(self, batch: Batch) -> int:
        if batch.mail_floor:
            past = bisect_right(self._packs, batch.mail_floor, key=_place_of)
            self._size_bytes -= sum(len(record) for pack in self._packs[:past] for record in pack.records)
            del self._packs[:past]
        if not batch.mail:
            return 0
        self._place += 1
        self._packs.append(Pack(self._place, tuple(batch.mail)))
        self._size_bytes += sum(map(len, batch.mail))
        return self._place

    def _set(self, key: str, revision: int, body: bytes | None) -> None:
        former = self._rows.pop(key, None)
        if former is not None:
            self._size_bytes -= len(former.body)
        if body is not None:
            self._rows[key] = Row(key, revision, body)
            self._size_bytes += len(body)
            if former is None:
                insort(self._keys, key)
        elif former is not None:
            del self._keys[bisect_left(self._keys, key)]


def _succeed(future: asyncio.Future[Committed], committed: Committed) -> None:
    if not future.done():
        future.set_result(committed)


def _fail(future: asyncio.Future[Committed], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
