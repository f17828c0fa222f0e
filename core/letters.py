"""Messages in mailboxes as the parts of the core use them: what waits, is given to a handler, is settled with rows."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import msgspec

from core.api.base import SYSTEM, Actor, Event, MailId, Mark
from core.api.mail import DeadReason, MailState
from core.api.mailboxes import MailboxPolicy
from core.store.base import Committed, Put


class Letter(msgspec.Struct, frozen=True, gc=False):
    """A message in a mailbox, as it was when it was looked at.

    body: the payload as MessagePack. attempt: deliveries begun. due: when it may go out again.
    replays: how often an operator sent it again after it was dead. failures: deliveries that left an error
    or came too early.
    """

    id: MailId
    mailbox: str
    state: MailState
    body: bytes
    key: str
    order_key: str
    attempt: int
    created: Mark
    due: Mark | None = None
    error: str = ""
    replays: int = 0
    crashes: int = 0
    failures: int = 0


class Outline(msgspec.Struct, frozen=True, gc=False):
    """What a mailbox holds. depth: everything that is not over, in_flight of it held. oldest: of what waits."""

    depth: int = 0
    in_flight: int = 0
    dead: int = 0
    oldest: Mark | None = None


class TryAgain(Exception):
    """Raised by a handler: the delivery failed. delay_s: until the next one."""

    def __init__(self, error: str, delay_s: float) -> None:
        super().__init__(error)
        self.delay_s = delay_s


class TooEarly(Exception):
    """Raised by a handler: put the message off for delay_s seconds, or until a restart. That was no delivery.

    error: kept as the message's error when not empty.
    """

    def __init__(self, delay_s: float, error: str = "") -> None:
        super().__init__(error)
        self.delay_s = delay_s


class Gate(Protocol):
    """What decides besides whether the messages of a mailbox may be given to their handler."""

    def wait_s(self) -> float:
        """Seconds for which none may be: 0 when one may now, infinity until Mailroom.wake()."""
        ...

    def admit(self) -> bool:
        """One is given to the handler now; False when it may not be after all, and then wait_s() is not 0."""
        ...


class GiveUp(Exception):
    """Raised by a handler: no delivery can succeed, so it is a dead letter at once."""


class MailTransaction(Protocol):
    """What happens to messages together with rows and events: all of it, or nothing.

    Every method but `commit` only notes. Whoever does not commit calls `cancel`.
    """

    def post(
        self, mailbox: str, payload: Any, *, sender: str, order_key: str, key: str = "", correlation: str = ""
    ) -> MailId:
        """Put a message in. payload: what MessagePack can hold, structs too. Raises MailboxClosed, InvalidInput."""
        ...

    def take(self, mailbox: str, mail_id: MailId) -> None:
        """Hold a message that waits, wherever it stands, or that this very transaction posts. Raises NotFound."""
        ...

    def settle(self, mailbox: str, mail_id: MailId) -> None:
        """Be done with a message, held or waiting or dead. Raises NotFound."""
        ...

    def put_back(self, mailbox: str, mail_id: MailId, *, is_counted: bool = True, note: str = "") -> None:
        """Let a held message wait again at its place. note: kept as its error when not empty. Raises NotFound."""
        ...

    def bury(self, mailbox: str, mail_id: MailId, reason: DeadReason, error: str) -> None:
        """Make a dead letter of a held message. Raises NotFound."""
        ...

    def redrive(self, mailbox: str, mail_id: MailId) -> MailId:
        """Send a dead letter again as a new message. Raises NotFound."""
        ...

    async def commit(
        self,
        puts: Sequence[Put],
        events: Sequence[tuple[str, Event]],
        *,
        actor: Actor = SYSTEM,
        correlation: str = "",
    ) -> Committed:
        """Do all of it, durably. Raises ConflictError, StoreError; then nothing has happened."""
        ...

    def cancel(self) -> None:
        """Give back what it holds."""
        ...


class Owner(msgspec.Struct, frozen=True):
    """Who alone puts messages into a mailbox and takes waiting ones out.

    name: as operators know it. put_in, take_out, rules: what they do instead. redriven: told of dead
    letters that an operator sent again, by their new ids; it must not wait or fail.
    """

    name: str
    put_in: str
    take_out: str
    rules: str
    redriven: Callable[[Sequence[MailId]], None]


LetterHandler = Callable[[Letter], Awaitable[None]]
"""Deals with one message: it has settled it itself when it returns, or raises TryAgain, TooEarly or GiveUp."""


class Mailroom(Protocol):
    """Mailboxes, as far as other parts of the core use them."""

    async def ensure(self, mailbox: str, policy: MailboxPolicy, *, owner: Owner | None = None) -> None:
        """Make a mailbox when it is not there, or give it these rules.

        owner: operators put nothing in and take nothing out behind its back.
        """
        ...

    def transaction(self) -> MailTransaction:
        """Several changes in one commit."""
        ...

    def names(self, prefix: str) -> Sequence[str]:
        """All mailboxes whose name begins so."""
        ...

    def letters(self, mailbox: str) -> Sequence[Letter]:
        """Everything that waits, is held or is dead, by id. Nothing for a mailbox that is not there."""
        ...

    def find_letter(self, mailbox: str, mail_id: MailId) -> Letter | None:
        """One message that is live or dead."""
        ...

    def is_giving(self, mailbox: str) -> bool:
        """False while an operator has it paused."""
        ...

    def counts(self, prefix: str) -> tuple[int, int]:
        """Live messages and dead letters in all mailboxes whose name begins so."""
        ...

    def outline(self, mailbox: str) -> Outline:
        """What it holds, without looking at each message. Nothing for a mailbox that is not there."""
        ...

    def hurry(self, mailbox: str, mail_id: MailId, *, is_afresh: bool = True) -> bool:
        """Let a message that waits for its next try go out now. is_afresh: its deliveries are counted anew.

        False when it does not wait for one.
        """
        ...

    def consume(
        self,
        mailbox: str,
        handler: LetterHandler,
        *,
        concurrency: int,
        work_limit_s: float,
        ready: Callable[[], Awaitable[None]],
        gate: Gate | None = None,
    ) -> None:
        """Give the messages of a mailbox to a handler once it is ready, one of each ordering key at a time.

        work_limit_s: then a handler is cut off; 0 is never. gate: asked before each message.
        """
        ...

    def wake(self, mailbox: str) -> None:
        """Have the gate of a mailbox asked again."""
        ...
