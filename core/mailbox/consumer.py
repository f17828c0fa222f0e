"""The words of a consumer: its handler, what a handler can say, and what that means for the message (pure)."""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Protocol, cast

import msgspec

from core.api.base import MailboxName, MailId, Mark
from core.api.errors import StaleLease
from core.api.mail import DeadReason
from core.api.mailboxes import MailboxPolicy
from core.breaker import Breaker, Outcome
from core.mailbox.message import Mail
from core.mailbox.supervision import Restart

_TEXT_LIMIT = 300


class Settlement(StrEnum):
    """What a handler may return. done, as None: acknowledge it. settled: the handler has, in a commit of its own."""

    DONE = "done"
    SETTLED = "settled"


Handler = Callable[[Mail], Awaitable[Settlement | None]]
"""Deals with one message. A normal return acknowledges it, an exception is a failed delivery."""


class Reject(Exception):
    """No delivery of this message can succeed: it is a dead letter at once. Says nothing about the destination."""


class Retry(Exception):
    """Try it again later. delay_s: when; None is the backoff of the mailbox.

    is_failure: it speaks against the destination; False for a message that is merely too early.
    """

    def __init__(self, error: str, delay_s: float | None = None, *, is_failure: bool = True) -> None:
        super().__init__(error)
        self.delay_s = delay_s
        self.is_failure = is_failure


class TooEarly(Exception):
    """Its time has not come: put it off for delay_s seconds. That was no delivery, and nobody is to blame."""

    def __init__(self, delay_s: float, error: str = "") -> None:
        super().__init__(error)
        self.delay_s = delay_s


class Gate(Protocol):
    """What else has a say in whether a consumer may take a message."""

    def wait_s(self) -> float:
        """Seconds for which none may be taken: 0 when one may now, infinity until Consumers.wake()."""
        ...

    def admit(self) -> bool:
        """One is taken now; False when it may not be after all, and then wait_s() is not 0."""
        ...


class Crash(Exception):
    """The consumer itself is broken, not the message: its messages are given back and it starts again."""


class Supply(Protocol):
    """What a consumer needs of a mailbox. Settling raises StaleLease, and then nothing has changed."""

    policy: MailboxPolicy

    @property
    def name(self) -> MailboxName:
        """Under which it is found."""
        ...

    async def receive(self, *, timeout_s: float | None = None) -> Mail:
        """The next message on lease. Cancelled, it has taken none. Raises DeadlineExceeded, MailboxClosed."""
        ...

    def peek(self) -> Mail | None:
        """The message that would be next; nothing is taken."""
        ...

    def ack(self, mail: Mail) -> None:
        """It is dealt with."""
        ...

    def nack(self, mail: Mail, *, error: str, delay_s: float | None = None) -> None:
        """The delivery failed."""
        ...

    def reject(self, mail: Mail, *, error: str, reason: DeadReason = ...) -> None:
        """Make it a dead letter."""
        ...

    def release(self, mail: Mail) -> None:
        """Give it back unharmed."""
        ...

    def put_off(self, mail: Mail, *, delay_s: float, error: str = "") -> None:
        """Give it back for a while; that was no delivery."""
        ...

    def extend(self, mail: Mail) -> None:
        """Its holder is alive."""
        ...


class Act(StrEnum):
    """What to do with a message after its delivery."""

    ACK = "ack"
    NACK = "nack"
    REJECT = "reject"
    PUT_OFF = "put off"
    NOTHING = "nothing"


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What a delivery came to: for the message, and for the breaker of its destination."""

    act: Act
    outcome: Outcome
    error: str = ""
    delay_s: float | None = None


class Cut(StrEnum):
    """Why a handler was cancelled by us: its time was over, or somebody else has the message by now."""

    OVERDUE = "over the work limit"
    LOST = "the lease was lost"


_DONE = Verdict(Act.ACK, Outcome.SUCCESS)
_SETTLED = Verdict(Act.NOTHING, Outcome.SUCCESS)
_LOST = Verdict(Act.NOTHING, Outcome.NEUTRAL, Cut.LOST.value)
STRAY = Verdict(Act.NACK, Outcome.NEUTRAL, "the handler cancelled itself")
"""A handler that ended by a cancellation that nobody asked for."""


def after_return(answer: Settlement | None) -> Verdict:
    """A handler came to its end."""
    return _SETTLED if answer is Settlement.SETTLED else _DONE


def after_error(error: Exception) -> Verdict:
    """A handler raised."""
    text = one_line(error)
    if isinstance(error, Reject):
        return Verdict(Act.REJECT, Outcome.NEUTRAL, text)
    if isinstance(error, Retry):
        return Verdict(Act.NACK, Outcome.FAILURE if error.is_failure else Outcome.NEUTRAL, text, error.delay_s)
    if isinstance(error, TooEarly):
        return Verdict(Act.PUT_OFF, Outcome.NEUTRAL, text if str(error) else "", error.delay_s)
    if isinstance(error, StaleLease):
        return _LOST
    return Verdict(Act.NACK, Outcome.FAILURE, text)


def after_cut(cut: Cut, limit_s: float) -> Verdict:
    """A handler was cancelled by us."""
    if cut is Cut.LOST:
        return _LOST
    return Verdict(Act.NACK, Outcome.FAILURE, f"cut off after {limit_s:g} s: {cut.value}")


def one_line(error: BaseException) -> str:
    """The first line of an error, bounded, with its kind unless it is one of ours."""
    cause = _cause(error)
    lines = str(cause).strip().splitlines()
    said = lines[0].strip() if lines else ""
    kind = type(cause).__name__
    if isinstance(cause, Reject | Retry | TooEarly | Crash):
        return (said or kind)[:_TEXT_LIMIT]
    return (f"{kind}: {said}" if said else kind)[:_TEXT_LIMIT]


def _cause(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error


class Placement(msgspec.Struct, frozen=True, gc=False):
    """Where a consumer stands among others. group: "" for one of its own, under its own name."""

    group: str = ""
    restart: Restart = Restart.PERMANENT


class ConsumerState(StrEnum):
    """running takes messages, draining only ends what it has, stopped does nothing.

    given_up: its group was restarted too often and waits for an operator.
    """

    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"
    GIVEN_UP = "given_up"


class Work(msgspec.Struct, frozen=True, gc=False):
    """One delivery that goes on. deadline: when its handler is cut off, None for never."""

    mail_id: MailId
    attempt: int
    since: Mark
    deadline: Mark | None


class ConsumerStats(msgspec.Struct, frozen=True, kw_only=True):
    """A consumer as it is now. Counts are of all its lives since it was attached.

    since: of its present life. handled: acknowledged; failed: to be tried again or dead by that;
    rejected: dead letters at once; stale: ended when the message was no longer its own;
    released: given back untouched. breaker: None when it has none.
    """

    name: str
    mailbox: MailboxName
    group: str
    state: ConsumerState
    since: Mark
    concurrency: int
    running: tuple[Work, ...] = ()
    handled: int = 0
    failed: int = 0
    rejected: int = 0
    stale: int = 0
    released: int = 0
    restarts: int = 0
    last_error: str = ""
    breaker: Breaker | None = None
