"""The five words of the facade: Command, Query, View, Event, Record.

Every type that crosses the facade is a frozen struct with a tag and refuses
unknown fields, so that what one side does not understand is an error there and
not a silent loss.
"""

from enum import StrEnum
from typing import Generic, NewType, TypeVar

import msgspec

R = TypeVar("R")
V = TypeVar("V")

Seq = NewType("Seq", int)
"""Place in the journal. Grows, never repeats, may skip."""

SessionId = NewType("SessionId", str)
MessageId = NewType("MessageId", str)
EntryId = NewType("EntryId", str)
RunId = NewType("RunId", str)
ApprovalId = NewType("ApprovalId", str)
DeliveryId = NewType("DeliveryId", str)
TaskId = NewType("TaskId", str)
GrantId = NewType("GrantId", str)
AgentName = NewType("AgentName", str)
PlatformName = NewType("PlatformName", str)
MailboxName = NewType("MailboxName", str)

MailId = NewType("MailId", int)
"""Of a message in a mailbox. Grows over all mailboxes of a store, never repeats, may skip; shown as m-ID."""


class Word(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True, gc=False):
    """Anything that crosses the facade.

    Words are trees of frozen values and hold no cycle, so the collector need not walk through them.
    """


class Command(Word, Generic[R], frozen=True):
    """An order. R is its receipt; exactly one handler carries it out or raises."""


class Query(Word, Generic[V], frozen=True):
    """A question. V is its answer; asking changes nothing."""


class View(Word, frozen=True):
    """What an entity looks like from outside, or a receipt. Holds no secret."""


class Event(Word, frozen=True):
    """A fact. Carries the whole new view of what changed, so applying it twice is harmless."""


class Mark(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An instant, for two uses: `at` to show, `mono` to measure.

    at: UTC seconds since 1970. mono: seconds on the monotonic clock of the core
    that reports it; ages are differences of `mono` values, so a jump of the wall
    clock changes no age. Marks from an earlier start of the core are rebased on `at`.
    """

    at: float
    mono: float


class ActorKind(StrEnum):
    """Who can cause a change."""

    OPERATOR = "operator"
    SENDER = "sender"
    AGENT = "agent"
    SYSTEM = "system"


class Actor(msgspec.Struct, frozen=True, gc=False):
    """Who caused a change: an operator's login, a platform sender, an agent, or the core itself."""

    kind: ActorKind
    name: str


SYSTEM = Actor(ActorKind.SYSTEM, "core")


class Record(msgspec.Struct, frozen=True, tag=True, gc=False):
    """One event with its place and cause.

    seq: place in the journal; a record with `durable=False` was never stored and
    carries the seq of the last stored one. at: UTC seconds. subject: the id of the
    entity that the event is about (a session id, a platform name). correlation: id
    of the message or command that started the chain, "" when there is none.
    """

    seq: Seq
    at: float
    actor: Actor
    subject: str
    event: Event
    durable: bool = True
    correlation: str = ""
