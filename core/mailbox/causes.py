"""Dead letters by what they died of: errors without their accidents, groups, and what to do about each (pure)."""

import re
from collections.abc import Iterable
from functools import lru_cache

import msgspec

from core.api.base import MailboxName, Mark
from core.api.mail import DeadGroup, DeadReason
from core.mailbox.message import Mail
from core.mailbox.shown import mail_view, past_mark

GROUPS_LIMIT = 500
"""Groups that are shown; there are more only when errors have no words in common."""

_READ = 400
_KEPT = 160
_CANARY = "send one alone first, the rest when it arrives"

ADVICE: dict[DeadReason, str] = {
    DeadReason.MAX_DELIVERIES: f"Every delivery failed. Read the error and mend what the consumer needs; {_CANARY}.",
    DeadReason.REJECTED: f"The consumer refused it. Mend the consumer or the message; {_CANARY}.",
    DeadReason.EXPIRED: f"Nobody took it in time. Check that it still matters and that a consumer runs; {_CANARY}.",
    DeadReason.OVERFLOW: f"The mailbox was full. Check that its consumer keeps up or raise its capacity; {_CANARY}.",
    DeadReason.POISON: (
        "Not safe to redrive blindly: the core went down while this was in flight, more than once. "
        "Find out why first; then send one alone and watch it."
    ),
    DeadReason.CORRUPT: (
        "Not safe to redrive blindly: the stored bytes are not those that were written. "
        "Check the disk, and ask the sender to send it anew."
    ),
    DeadReason.UNDELIVERABLE: f"Its destination took nothing. Check that it exists, or name another target; {_CANARY}.",
    DeadReason.LATE_REPLY: "It came after its caller had given up. Read it, then purge it: sent again it helps nobody.",
    DeadReason.CLOSED: f"The mailbox was closed. Open it again or name another target; {_CANARY}.",
}
"""What to check for each reason, in one line."""

_ALIKE = str.maketrans("123456789", "000000000")
_STATUS = re.compile(r"(?:(?<=^)|(?<=\bhttp )|(?<=\bstatus[ =:])|(?<=\bcode[ =:]))[45]\d\d(?![\w.])", re.IGNORECASE)
_SPACES = re.compile(r"[\s\x00-\x1f\x7f]+")
# The first alternative that fits at a place wins, so what contains others stands before them.
_ACCIDENTS = re.compile(
    r"""
      (?P<text>"[^"]*"|“[^”]*”|«[^»]*»|`[^`]*`|(?<!\w)'[^']*'(?!\w))
    | (?P<status>(?:(?<=^)|(?<=\bhttp\ )|(?<=\bstatus[\ =:])|(?<=\bcode[\ =:]))[45]\d\d(?![\w.]))
    | (?P<address>
          \b[a-z][a-z0-9+.-]{1,15}://[^\s"'<>)\]]+
        | \b[\w.+-]+@[\w-]+(?:\.[\w-]+)+
        | (?<![\w:])(?=[0-9a-f]*::|[0-9a-f]+(?::[0-9a-f]+)*::|(?:[0-9a-f]+:){3})[0-9a-f:]+(?![\w:])
        | \b\d{1,3}(?:\.\d{1,3}){3}\b(?::\d{1,5}\b)?
        | \b(?:localhost|[a-z0-9-]+(?:\.[a-z0-9-]+)+):\d{2,5}\b
        | \b[a-z][a-z0-9-]*:\d{4,5}\b
      )
    | (?P<path>(?<![\w<])(?:(?:~|\.{1,2}|[a-z]:)(?:[/\\][\w.@+~-]+)+|(?:/[\w.@+~-]+){2,})[/\\]?)
    | (?P<id>
          \b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b
        | \b0x[0-9a-f]+\b
        | \b(?=[a-f]*\d)[0-9a-f]*[a-f][0-9a-f]*\b(?<=\w{7})
        | \b(?=[a-z_-]*\d)(?=[\d_-]*[a-z])[\w-]{5,}\b
      )
    | (?P<number>(?:(?<!\w)[-+])?\d+(?:[.,:]\d+)*)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_STAND_INS = {"text": "<text>", "address": "<address>", "path": "<path>", "id": "<id>", "number": "#"}


def fingerprint(error: str) -> str:
    """The words of an error that say its kind, at most 160 characters on one line.

    Numbers, ids, quoted text, paths and addresses become stand-ins. An HTTP status of a failure stays: it
    is a kind. Names of hosts without a port stay too: there are few, and they say where.
    """
    front = error[:_READ]
    if _STATUS.search(front) is None:
        # Which digits they are says nothing, and errors that differ in them only are then looked up, not worked out.
        front = front.translate(_ALIKE)
    return _kind(front)


@lru_cache(maxsize=2048)
def _kind(error: str) -> str:
    words = _SPACES.sub(" ", error).strip()
    plain = _ACCIDENTS.sub(_stand_in, words)
    return plain if len(plain) <= _KEPT else plain[: _KEPT - 1].rstrip() + "…"


def cause_of(reason: DeadReason | None, error: str) -> str:
    """What a message died of, the same for all that died so: the reason, and the kind of error if there is one."""
    kind = fingerprint(error)
    if reason is None:
        return kind
    return f"{reason.value}: {kind}" if kind else reason.value


class _Group(msgspec.Struct):
    count: int
    first_at: float
    last: Mail


class Grouping:
    """Dead letters counted by mailbox, reason and cause, one after another."""

    def __init__(self) -> None:
        self._groups: dict[tuple[MailboxName, DeadReason, str], _Group] = {}
        self.total = 0

    def add(self, mail: Mail) -> None:
        """Count one dead letter."""
        reason = mail.reason or DeadReason.REJECTED
        key = (mail.mailbox, reason, cause_of(mail.reason, mail.error))
        self.total += 1
        group = self._groups.get(key)
        if group is None:
            self._groups[key] = _Group(1, mail.died_at, mail)
            return
        group.count += 1
        group.first_at = min(group.first_at, mail.died_at)
        if (mail.died_at, mail.id) >= (group.last.died_at, group.last.id):
            group.last = mail

    def groups(self, now: Mark, limit: int = GROUPS_LIMIT) -> tuple[DeadGroup, ...]:
        """The largest groups, the largest first. now: the present instant of the core."""
        ranked = sorted(self._groups.items(), key=lambda item: (-item[1].count, item[0]))
        return tuple(_shown(*key, group, now) for key, group in ranked[:limit])


def dead_groups(mails: Iterable[Mail], now: Mark) -> tuple[DeadGroup, ...]:
    """A few dead letters by cause, the largest group first."""
    grouping = Grouping()
    for mail in mails:
        grouping.add(mail)
    return grouping.groups(now)


def _shown(mailbox: MailboxName, reason: DeadReason, cause: str, group: _Group, now: Mark) -> DeadGroup:
    return DeadGroup(
        mailbox=mailbox,
        reason=reason,
        cause=cause,
        count=group.count,
        first=past_mark(group.first_at, now),
        last=past_mark(group.last.died_at, now),
        example=mail_view(group.last, now),
        advice=ADVICE[reason],
    )


def _stand_in(found: re.Match[str]) -> str:
    kind = found.lastgroup
    assert kind is not None
    return _STAND_INS.get(kind, found[0])
