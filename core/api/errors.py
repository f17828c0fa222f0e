"""Everything that the facade raises.

HermesError
 ├─ InvalidInput        invalid      exit 2   a field has a value that cannot be; names field, value, fix
 ├─ NotFound            not_found    exit 4   no such entity
 ├─ Refused             refused      exit 5   understood, but a rule forbids it
 │   ├─ Unauthorised    unauthorised exit 5   credential missing or wrong
 │   └─ Overloaded      overloaded   exit 5   a bound is reached; retryable
 │       └─ MailboxFull mailbox_full exit 5   the mailbox holds as much as it may; retryable
 ├─ ConflictError       conflict     exit 6   the entity changed since it was looked at; retryable
 │   ├─ AlreadyDecided  decided      exit 6   somebody else was first
 │   └─ StaleLease      stale_lease  exit 6   the message is somebody else's by now, or settled
 ├─ Unavailable         unavailable  exit 7   not reachable or not running; retryable
 │   ├─ StoreError      store        exit 7   the store cannot be opened or written
 │   ├─ MailboxClosed   mailbox_closed exit 7 the mailbox takes nothing any more
 │   ├─ HomeBusy        home_busy    exit 7   another core holds this home
 │   └─ DeadlineExceeded deadline    exit 7   nothing came back in time
 ├─ Lagged              lagged       exit 7   a subscriber fell behind; take a new snapshot
 └─ ConfigError         config       exit 2   the configuration cannot be used; names file, line, key, fix
"""

from typing import ClassVar


class HermesError(Exception):
    """Base of all errors of the facade. `code` is stable, `facts` may be shown and logged."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, **facts: str | float | bool | None) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts


class InvalidInput(HermesError):
    """A field holds what it cannot hold. Facts: field, value, fix."""

    code = "invalid"
    exit_code = 2


class NotFound(HermesError):
    """There is no such entity. Facts: noun, id."""

    code = "not_found"
    exit_code = 4


class Refused(HermesError):
    """Understood, but a rule forbids it. Facts: rule."""

    code = "refused"
    exit_code = 5


class Unauthorised(Refused):
    """The credential is missing or wrong."""

    code = "unauthorised"


class Overloaded(Refused):
    """A bound is reached. Facts: bound, limit, retry_after_s."""

    code = "overloaded"
    retryable = True


class MailboxFull(Overloaded):
    """The mailbox holds as much as its policy allows. Facts: mailbox, bound, limit, fix."""

    code = "mailbox_full"


class ConflictError(HermesError):
    """The entity changed since it was looked at. Facts: key, expected, found."""

    code = "conflict"
    retryable = True
    exit_code = 6


class AlreadyDecided(ConflictError):
    """Somebody else was first. Facts: by, at, outcome."""

    code = "decided"
    retryable = False


class StaleLease(ConflictError):
    """The lease is over: the message is settled, or given out again. Nothing has changed. Facts: mail_id, attempt."""

    code = "stale_lease"
    retryable = False


class Unavailable(HermesError):
    """Not reachable or not running."""

    code = "unavailable"
    retryable = True
    exit_code = 7


class StoreError(Unavailable):
    """The store cannot be opened, read or written. Facts: path, cause (locked, unreadable,
    corrupt, full, io, newer_schema, closed), fix. After `io` nobody knows whether the write took place.
    """

    code = "store"


class MailboxClosed(Unavailable):
    """The mailbox takes nothing any more. Facts: mailbox, fix."""

    code = "mailbox_closed"
    retryable = False


class HomeBusy(Unavailable):
    """Another core holds this home. Facts: pid, home."""

    code = "home_busy"
    retryable = False


class DeadlineExceeded(Unavailable):
    """Nothing came back in time. Facts: what, limit_s."""

    code = "deadline"


class Lagged(HermesError):
    """A subscriber fell behind and records were let go; take a new snapshot and go on."""

    code = "lagged"
    retryable = True
    exit_code = 7


class ConfigError(HermesError):
    """The configuration cannot be used. Facts: file, line, key, value, fix."""

    code = "config"
    exit_code = 2
