"""A message: what a sender gives (Draft), and what waits in a mailbox until it is settled (Mail)."""

from typing import Any, Generic, TypeVar

import msgspec

from core.api.base import MailboxName, MailId
from core.api.errors import InvalidInput
from core.api.mail import DeadReason, MailAttempt, MailKind, MailState, Priority
from core.api.mailboxes import Guarantee

RANKS: dict[Priority, int] = {priority: rank for rank, priority in enumerate(Priority)}
"""Place of a priority: 0 is low, 3 is critical."""

PRIORITIES: tuple[Priority, ...] = tuple(Priority)
"""The priority of a rank."""

NORMAL = RANKS[Priority.NORMAL]

encode = msgspec.msgpack.Encoder().encode
"""A payload as bytes. Raises UNFIT; encode_payload() says what is wrong."""

UNFIT = (TypeError, ValueError, OverflowError, RecursionError, UnicodeEncodeError)
"""What encode() raises for a payload that JSON cannot hold."""

TEXT_HEAD_BYTES = 5
"""The most that a text takes beyond its characters when it is encoded."""

_payloads: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder()


_QUEUED, _IN_FLIGHT = MailState.QUEUED, MailState.IN_FLIGHT


class Draft(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A message as its sender gives it.

    payload: anything JSON can hold; it is copied, so that nobody shares it afterwards.
    order_key: messages of one key keep their order; "" is the sender. key: idempotency
    key; a second message with it within the mailbox's window is a duplicate. delay_s: not
    before that many seconds. ttl_s: given up after that many; None is the mailbox's rule.
    guarantee: None is the mailbox's. causation: id of the message that caused this one.
    """

    payload: Any
    sender: str = ""
    kind: MailKind = MailKind.CAST
    message_type: str = ""
    priority: Priority = Priority.NORMAL
    key: str = ""
    order_key: str = ""
    correlation: str = ""
    causation: int = 0
    delay_s: float = 0.0
    ttl_s: float | None = None
    guarantee: Guarantee | None = None
    headers: dict[str, str] | None = None


class Past(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What few messages have behind them: failed deliveries, restarts, redrives, their death.

    put_offs: how often it came too early.
    """

    attempts: list[MailAttempt] | None = None
    crashes: int = 0
    replays: int = 0
    redriven_from: int = 0
    reason: DeadReason | None = None
    error: str = ""
    died_at: float = 0
    put_offs: int = 0


_NO_PAST = Past()
T = TypeVar("T")


class _OfPast(Generic[T]):
    """A field of a message's past, seen as one of the message: only those that have a past pay for it."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, mail: "Mail", owner: type) -> T:
        found: T = getattr(mail.past or _NO_PAST, self._name)
        return found

    def __set__(self, mail: "Mail", value: T) -> None:
        past = mail.past or _NO_PAST
        # Copies of a message share their past, so it is never changed but replaced.
        if getattr(past, self._name) != value:
            mail.past = msgspec.structs.replace(past, **{self._name: value})


class Mail(msgspec.Struct, gc=False, array_like=True, eq=False):
    """A message in a mailbox. Whoever takes it holds this very object as its lease.

    Given out once more, it is another object: settling the old one is refused as stale. Only
    the queue changes it. The fields up to `noted` are what a store keeps, but for `posted`.
    rank: of the priority. packed: the encoded payload, bytes; or a text that is in memory only,
    which nobody can change. created_at, due_at, expires_at: UTC
    seconds, 0 for none. attempt: deliveries begun. crashes: starts of the core that found it in
    flight. noted: its state, but that a first delivery is told by `taken` alone, since writing
    costs. place: pack of the store's mail that holds it, 0 while in none. posted, taken, until,
    due, expires: monotonic seconds of this start; until: end of the lease, 0 while it is the
    policy's time after `taken`.
    """

    id: MailId
    mailbox: MailboxName
    sender: str
    packed: Any
    kind: MailKind = MailKind.CAST
    message_type: str = ""
    rank: int = NORMAL
    created_at: float = 0
    key: str = ""
    order_key: str = ""
    correlation: str = ""
    causation: int = 0
    guarantee: Guarantee = Guarantee.AT_LEAST_ONCE
    headers: dict[str, str] | None = None
    posted: float = 0
    attempt: int = 0
    past: Past | None = None
    due_at: float = 0
    expires_at: float = 0
    noted: MailState = MailState.QUEUED
    place: int = 0
    taken: float = 0
    until: float = 0
    due: float = 0
    expires: float = 0

    attempts = _OfPast[list[MailAttempt] | None]()
    crashes = _OfPast[int]()
    replays = _OfPast[int]()
    redriven_from = _OfPast[int]()
    reason = _OfPast[DeadReason | None]()
    error = _OfPast[str]()
    died_at = _OfPast[float]()
    put_offs = _OfPast[int]()

    @property
    def state(self) -> MailState:
        """Where it is. One that was acked stays in flight to whoever still looks at it."""
        return _IN_FLIGHT if self.taken and self.noted is _QUEUED else self.noted

    @state.setter
    def state(self, state: MailState) -> None:
        self.noted = state

    @property
    def payload(self) -> Any:
        """A copy of what the sender gave, as JSON would give it back."""
        packed: bytes | str = self.packed
        return packed if isinstance(packed, str) else _payloads.decode(packed)

    @property
    def body(self) -> bytes:
        """The encoded payload."""
        packed: bytes | str = self.packed
        return encode(packed) if isinstance(packed, str) else packed


def encode_payload(payload: Any, limit_bytes: int) -> bytes:
    """A payload as it is stored. Raises InvalidInput when JSON cannot hold it or it is too long."""
    try:
        body = encode(payload)
    except UNFIT as error:
        raise InvalidInput(
            f"the payload cannot be sent: {error}",
            field="payload",
            value=type(payload).__name__,
            fix="send text, numbers, lists and mappings",
        ) from error
    if len(body) > limit_bytes:
        raise InvalidInput(
            f"the payload has {len(body)} bytes; this mailbox takes at most {limit_bytes}",
            field="payload",
            value=len(body),
            fix="send less, or a reference to it",
        )
    return body
