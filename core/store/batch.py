"""What a batch may hold, what it makes of the rows, and which keys a prefix covers: the same for all stores."""

from collections.abc import Callable, Iterator, Sequence

import msgspec

from core.api.base import Seq
from core.api.errors import ConflictError, InvalidInput
from core.store.base import Batch, Committed

MAX_BODY_BYTES = 256 * 1024 * 1024
"""Of one row or entry, or of all mail of a batch; far above what is written here, far below what a medium refuses."""

PACK_BYTES = 4 * 1024 * 1024
"""A pack takes another batch's mail only up to this. One batch is never split, so alone it may be more."""

_LAST_CODE_POINT = 0x10FFFF
_FIRST_SURROGATE, _AFTER_SURROGATES = 0xD800, 0xE000


def check_text(text: str, field: str) -> None:
    """Raises InvalidInput for text that has no UTF-8 form."""
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"{field} holds half of a character", field=field, value=ascii(text), fix="send whole characters"
        ) from error


def check_not_negative(number: int | None, field: str) -> None:
    """Raises InvalidInput for a number below 0; None is fine."""
    if number is not None and number < 0:
        raise InvalidInput(f"{field} is {number}", field=field, value=number, fix="use 0 or more")


def _check_bytes(count: int, field: str) -> None:
    if count > MAX_BODY_BYTES:
        raise InvalidInput(f"{field} has {count} bytes", field=field, value=count, fix=f"at most {MAX_BODY_BYTES}")


def check_batch(batch: Batch) -> None:
    """Raises InvalidInput when a batch cannot be written, whatever the rows are now."""
    for put in batch.puts:
        if not put.key:
            raise InvalidInput("a row needs a key", field="key", value="", fix="give it one")
        check_text(put.key, "key")
        check_not_negative(put.expect, "expect")
        if put.body is not None:
            _check_bytes(len(put.body), "body")
    if len(batch.puts) > 1:
        keys = [put.key for put in batch.puts]
        if len(set(keys)) != len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise InvalidInput(f"{twice} stands in the batch twice", field="key", value=twice, fix="put it once")
    for entry in batch.entries:
        check_text(entry.subject, "subject")
        _check_bytes(len(entry.body), "body")
    check_not_negative(batch.mail_floor, "mail_floor")
    if batch.mail:
        _check_bytes(sum(map(len, batch.mail)), "mail")


def revisions_after(batch: Batch, revision_of: Callable[[str], int]) -> tuple[int, ...]:
    """Revision of each put once the batch is written; revision_of: what a key has now, 0 for no row.

    Raises ConflictError when a row is not at the revision that was expected.
    """
    revisions: list[int] = []
    for put in batch.puts:
        found = revision_of(put.key)
        if put.expect is not None and put.expect != found:
            raise ConflictError(
                f"{put.key} is at revision {found}, not {put.expect}", key=put.key, expected=put.expect, found=found
            )
        revisions.append(0 if put.body is None else found + 1)
    return tuple(revisions)


class Group:
    """Batches that are written together, one after another in effect; one that conflicts leaves no trace.

    revisions: what the keys of all batches have now; a key that is not there has no row.
    head, place: of the last entry and the last pack so far; mail_floor: of the last pack that was let go of.
    """

    def __init__(self, revisions: dict[str, int], head: Seq, place: int, mail_floor: int) -> None:
        self._revisions = revisions
        self._first_place = place + 1
        self._pack_bytes = 0
        self.head = head
        self._former_floor = mail_floor
        self.mail_floor: int = mail_floor
        self.packs: list[list[bytes]] = []
        self.rows: dict[str, tuple[int, bytes | None]] = {}
        self.entries: list[tuple[Seq, str, bytes]] = []

    @property
    def place(self) -> int:
        """Of the last pack, those of this group included."""
        return self._first_place + len(self.packs) - 1

    @property
    def lets_packs_go(self) -> bool:
        """Whether the floor of the mail log rises."""
        return self.mail_floor > self._former_floor

    def numbered_packs(self) -> Iterator[tuple[int, list[bytes]]]:
        """The packs of this group with their places."""
        return enumerate(self.packs, self._first_place)

    def add(self, batch: Batch) -> Committed:
        """Take a batch in. Raises ConflictError and takes nothing."""
        revisions = revisions_after(batch, self._revision_of)
        for put, revision in zip(batch.puts, revisions, strict=True):
            self._revisions[put.key] = revision
            self.rows[put.key] = (revision, put.body)
        first = self.head + 1
        for seq, entry in enumerate(batch.entries, first):
            self.entries.append((Seq(seq), entry.subject, entry.body))
        self.head = Seq(self.head + len(batch.entries))
        if batch.mail_floor > self.mail_floor:
            # Not beyond the packs that were there before: what this group writes stays.
            self.mail_floor = max(self.mail_floor, min(batch.mail_floor, self._first_place - 1))
        place = self._pack(batch.mail) if batch.mail else 0
        return Committed(tuple(map(Seq, range(first, self.head + 1))) if batch.entries else (), revisions, place)

    def _pack(self, records: Sequence[bytes]) -> int:
        size = sum(map(len, records))
        if self.packs and self._pack_bytes + size <= PACK_BYTES:
            self._pack_bytes += size
            self.packs[-1] += records
        else:
            self._pack_bytes = size
            self.packs.append([*records])
        return self.place

    def _revision_of(self, key: str) -> int:
        return self._revisions.get(key, 0)


class KeyRange(msgspec.Struct, frozen=True):
    """Keys from `low` (itself included or not) up to but without `high`; None: no upper end."""

    low: str
    is_low_included: bool
    high: str | None


def _past(prefix: str) -> str | None:
    """The least text that is greater than everything with this prefix, None when there is none."""
    stem = prefix.rstrip(chr(_LAST_CODE_POINT))
    if not stem:
        return None
    following = ord(stem[-1]) + 1
    return stem[:-1] + chr(_AFTER_SURROGATES if following == _FIRST_SURROGATE else following)


def key_range(prefix: str, after: str, *, newest_first: bool) -> KeyRange:
    """Where a scan has to look."""
    check_text(prefix, "prefix")
    check_text(after, "after")
    high = _past(prefix)
    if after and newest_first:
        return KeyRange(prefix, is_low_included=True, high=after if high is None else min(after, high))
    if after and after >= prefix:
        return KeyRange(after, is_low_included=False, high=high)
    return KeyRange(prefix, is_low_included=True, high=high)
