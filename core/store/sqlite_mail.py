"""The mail log in SQLite: one row for a pack, with lengths and checksums ahead of the records that stand end to end."""

import sys
from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any
from zlib import crc32

import apsw
import msgspec

from core.store.base import Loss, Pack
from core.store.batch import Group
from core.store.sqlite_connection import Act
from core.store.sqlite_statement import number, run

_WORD = 0xFFFFFFFF
_WORD_BYTES = 4
_FLOOR_BYTES = 8
# Places that cannot be read weigh something, so that a page of them has an end.
_PACK_WEIGHT = 64

_PUT = "INSERT INTO mail VALUES (?, ?, ?, ?)"
_READ = "SELECT place, heads, body, crc FROM mail WHERE place > ? ORDER BY place"
_READ_ONE = "SELECT place, heads, body, crc FROM mail WHERE place = ?"


def write_mail(connection: apsw.Connection, group: Group) -> None:
    """Write the packs of a group, and let go of those that it has no use for."""
    for place, records in group.numbered_packs():
        heads = _heads(records)
        run(connection, _PUT, (place, heads, b"".join(records), crc32(heads, place & _WORD)))
    if group.lets_packs_go:
        run(connection, "DELETE FROM mail WHERE place <= ?", (group.mail_floor,))
        write_mail_floor(connection, group.mail_floor)


def find_pack(place: int, heads: Any, body: Any, crc: Any) -> Pack | None:
    """The pack with its damaged records named, or None when not even that can be told."""
    # A damaged header may turn a value into one of another type.
    if type(heads) is not bytes or type(body) is not bytes or crc != crc32(heads, place & _WORD):
        return None
    words = _words(heads)
    count = len(words) // 2
    lengths, sums = words[:count], words[count:]
    records = tuple(body[first:past] for first, past in pairwise(accumulate(lengths, initial=0)))
    if array("I", map(crc32, records)) == sums:
        return Pack(place, records)
    return Pack(place, records, tuple(at for at in range(count) if crc32(records[at]) != sums[at]))


def read_packs(after: int, last: int, lost: Sequence[Loss], limit_bytes: int) -> Act:
    """Packs beyond a place. One that should be there up to `last`, and is not known to be lost, is given as damaged."""

    def act(connection: apsw.Connection) -> list[Pack]:
        run(connection, "BEGIN")
        first = max(after, _mail_floor(connection)) + 1
        found: list[Pack] = []
        size = 0
        for pack in _packs(connection, first, last, lost):
            size += sum(map(len, pack.records)) or (_PACK_WEIGHT if pack.damaged else 0)
            if found and size > limit_bytes:
                break
            found.append(pack)
        run(connection, "COMMIT")
        return found

    return act


def _packs(connection: apsw.Connection, first: int, last: int, lost: Sequence[Loss]) -> Iterator[Pack]:
    driver: Any = connection
    nameless: list[bytes] = []
    try:
        for place, heads, body, crc in driver.execute(_READ, (first - 1,)):
            pack = find_pack(place, heads, body, crc)
            if pack is None:
                # Its own place may be what is damaged: it gets the first one that turns out to be missing.
                nameless.append(body if type(body) is bytes else b"")
            elif place >= first:
                yield from _missing(first, place - 1, lost, nameless)
                yield pack
                first = place + 1
    except apsw.CorruptError:
        # One page that cannot be followed must not hide the packs behind it.
        for place in range(first, last + 1):
            yield from _one(connection, place, lost)
        return
    yield from _missing(first, last, lost, nameless)


def _missing(first: int, last: int, lost: Sequence[Loss], nameless: list[bytes]) -> Iterator[Pack]:
    for place in range(first, last + 1):
        if not any(loss.first <= place <= loss.last for loss in lost):
            yield Pack(place, (nameless.pop(0) if nameless else b"",), (0,))
    nameless.clear()


def _one(connection: apsw.Connection, place: int, lost: Sequence[Loss]) -> Iterator[Pack]:
    nameless: list[bytes] = []
    try:
        for _, heads, body, crc in run(connection, _READ_ONE, (place,)):
            pack = find_pack(place, heads, body, crc)
            if pack is not None:
                yield pack
                return
            nameless.append(body if type(body) is bytes else b"")
    except apsw.CorruptError:
        nameless.clear()
    yield from _missing(place, place, lost, nameless)


def write_mail_floor(connection: apsw.Connection, floor: int) -> None:
    """Note up to which place packs were let go of. Raises apsw.Error."""
    value = floor.to_bytes(_FLOOR_BYTES, "big")
    run(connection, "UPDATE meta SET v = ? WHERE k = 'mail_floor'", (value + _floor_sum(value),))


def _mail_floor(connection: apsw.Connection) -> int:
    found = run(connection, "SELECT v FROM meta WHERE k = 'mail_floor'")
    noted = found[0][0] if found else b""
    # A wrong floor would hide packs that are there.
    if type(noted) is not bytes or noted[_FLOOR_BYTES:] != _floor_sum(noted[:_FLOOR_BYTES]):
        raise apsw.CorruptError(f"the floor of the mail log is damaged: {noted!r}")
    return int.from_bytes(noted[:_FLOOR_BYTES], "big")


def _floor_sum(value: bytes) -> bytes:
    # Begun so that eight zeros have the sum 0, as they stand in a new file.
    return (crc32(value) ^ crc32(bytes(_FLOOR_BYTES))).to_bytes(_WORD_BYTES, "big")


class MailSurvey(msgspec.Struct, frozen=True):
    """What is there of the mail log: packs from floor + 1 to `last`, but for those that are lost."""

    floor: int
    last: int
    count: int
    lost: tuple[Loss, ...]


def survey_mail(connection: apsw.Connection) -> MailSurvey:
    """Look where the mail log begins and ends, and which packs are missing in between. Raises apsw.Error."""
    try:
        floor = _mail_floor(connection)
    except apsw.CorruptError:
        # What was let go of is gone; so it ends before the first pack that is there.
        floor = number(connection, "SELECT coalesce(min(place), 1) - 1 FROM mail")
        write_mail_floor(connection, floor)
    last = max(floor, _newest(connection))
    try:
        count = number(connection, "SELECT count(*) FROM mail")
        if count == last - floor:
            return MailSurvey(floor, last, count, ())
        places = [place for (place,) in run(connection, "SELECT place FROM mail ORDER BY place")]
    except apsw.CorruptError:
        # Reading it will tell which packs that are.
        return MailSurvey(floor, last, last - floor, ())
    ends = [floor, *(place for place in places if floor < place <= last), last + 1]
    lost = tuple(Loss("mail", before + 1, after - 1) for before, after in pairwise(ends) if after - before > 1)
    return MailSurvey(floor, last, count, lost)


def _newest(connection: apsw.Connection) -> int:
    """Place of the newest pack; one whose place cannot be believed follows the one before it."""
    driver: Any = connection
    doubted = 0
    for place, heads, crc in driver.execute("SELECT place, heads, crc FROM mail ORDER BY place DESC"):
        if type(heads) is bytes and crc == crc32(heads, place & _WORD):
            return int(place) + doubted
        doubted += 1
    return doubted


def _heads(records: Sequence[bytes]) -> bytes:
    words = array("I", map(len, records))
    words.extend(map(crc32, records))
    if sys.byteorder == "big":
        words.byteswap()
    return words.tobytes()


def _words(heads: bytes) -> "array[int]":
    words = array("I", heads[: len(heads) - len(heads) % _WORD_BYTES])
    if sys.byteorder == "big":
        words.byteswap()
    return words
