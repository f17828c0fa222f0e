"""Where reading of a folder stopped, and what is still to be read (pure).

Messages are numbered (UID) for as long as the folder's UIDVALIDITY stays. When that changes, as after a restore, all
numbers mean something else: then what arrived since shortly before the last message that was read is looked at again,
and what was read before is known by its Message-ID.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256

import msgspec

_KNOWN_LIMIT = 500
_DIGEST_LETTERS = 16
_SLACK_S = 3_600.0
_DAY_S = 86_400.0
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DATE = re.compile(r"\s*(\d{1,2})-([A-Za-z]{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)\s*")


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """validity: of the folder. uid: the last message that is done with. at: when the newest of them arrived, UTC
    seconds. known: marks of the last messages. below: messages with a smaller UID are read again if they arrived
    after since (UTC seconds), because the folder was numbered anew; 0 when it was not. owed: UIDs up to `uid` that
    could not be handed in yet, each with the time of its arrival.
    """

    validity: int
    uid: int
    at: float = 0.0
    known: tuple[str, ...] = ()
    below: int = 0
    since: float = 0.0
    owed: tuple[tuple[int, float], ...] = ()

    @property
    def is_again(self) -> bool:
        """Whether some of what comes next may have been read before."""
        return self.uid + 1 < self.below

    @property
    def criteria(self) -> str:
        """The search for what comes next. A folder may answer with its last message though nothing is new."""
        if not self.is_again:
            return f"UID {self.uid + 1}:*"
        return f"UID {self.uid + 1}:{self.below - 1} SINCE {_day(self.since - _DAY_S)}"

    def is_wanted(self, uid: int, at: float | None) -> bool:
        """Whether a message that was found is to be read. at: when it arrived, None when nobody knows."""
        if uid <= self.uid:
            return False
        return uid >= self.below or at is None or at >= self.since

    def knows(self, name: str) -> bool:
        """Whether a message was read before, under whatever number."""
        return _digest(name) in self.known

    def after(self, uid: int, *, name: str = "", at: float | None = None) -> "Cursor":
        """The cursor once a message is done with. name: "" for one that nobody looked at."""
        known = (*self.known, _digest(name))[-_KNOWN_LIMIT:] if name else self.known
        owed = tuple(item for item in self.owed if item[0] != uid)
        return msgspec.structs.replace(self, uid=max(uid, self.uid), at=max(self.at, at or 0.0), known=known, owed=owed)

    def owing(self, uid: int, *, at: float | None) -> "Cursor":
        """The cursor once a message was put off."""
        if any(item[0] == uid for item in self.owed):
            return self
        return msgspec.structs.replace(self, uid=max(uid, self.uid), owed=(*self.owed, (uid, at or self.at)))

    def at_end_of_again(self) -> "Cursor":
        """The cursor once nothing is left of what may have been read before."""
        return msgspec.structs.replace(self, uid=max(self.uid, self.below - 1), below=0, since=0.0)


_cursors = msgspec.json.Decoder(Cursor)


def text_of_cursor(cursor: Cursor) -> str:
    """As it is kept."""
    return msgspec.json.encode(cursor).decode()


def cursor_in(text: str) -> Cursor | None:
    """What was kept; None when nothing was, or nothing that can be read."""
    try:
        return _cursors.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return None


def at_start(kept: Cursor | None, *, validity: int, uid_next: int, now: float) -> Cursor:
    """Where to begin. The first time: at the end, for old mail was written to somebody else."""
    if kept is None:
        return Cursor(validity=validity, uid=uid_next - 1, at=now)
    if kept.validity == validity:
        return kept
    arrivals = [kept.at, *(at for _, at in kept.owed)]
    since = min([*arrivals, kept.since] if kept.below else arrivals)
    return Cursor(
        validity=validity, uid=0, at=kept.at, known=kept.known, below=uid_next, since=max(0.0, since - _SLACK_S)
    )


def arrival(text: str) -> float | None:
    """An INTERNALDATE in UTC seconds; None when it is none."""
    found = _DATE.fullmatch(text)
    if found is None or found[2].title() not in _MONTHS:
        return None
    hours, minutes = int(found[8]), int(found[9])
    offset = timedelta(hours=hours, minutes=minutes)
    try:
        zone = timezone(offset if found[7] == "+" else -offset)
        month = _MONTHS.index(found[2].title()) + 1
        return datetime(
            int(found[3]), month, int(found[1]), int(found[4]), int(found[5]), int(found[6]), tzinfo=zone
        ).timestamp()
    except (ValueError, OverflowError):
        return None


def uid_set(uids: Sequence[int]) -> str:
    """Some messages in a command."""
    return ",".join(str(uid) for uid in uids)


def _day(at: float) -> str:
    day = datetime.fromtimestamp(max(0.0, at), tz=UTC)
    return f"{day.day}-{_MONTHS[day.month - 1]}-{day.year}"


def _digest(name: str) -> str:
    return sha256(name.encode("utf-8", "replace")).hexdigest()[:_DIGEST_LETTERS]
