"""Outbound messages on their way: id, states, views, queries, commands, events."""

from enum import StrEnum

from core.api.base import Command, DeliveryId, Event, Mark, PlatformName, Query, Seq, SessionId, View


class DeliveryState(StrEnum):
    """Where an outbound message is. `sent` and `dead` are final unless an operator retries."""

    QUEUED = "queued"
    SENDING = "sending"
    RETRYING = "retrying"
    SENT = "sent"
    DEAD = "dead"


class DeliveryView(View, frozen=True, kw_only=True):
    """An answer on its way to its chat. next_try: while it is put off. error: of the last attempt.

    part, part_count: of an answer that was too long for one message. file: name of the file that it carries, "" for
    none. chat, thread: native ids of where it goes; chat "" in records of earlier versions.
    """

    id: DeliveryId
    version: int
    session_id: SessionId
    platform: PlatformName
    state: DeliveryState
    created: Mark
    text: str
    attempt: int = 0
    next_try: Mark | None = None
    error: str = ""
    part: int = 1
    part_count: int = 1
    file: str = ""
    chat: str = ""
    thread: str | None = None


class DeliveryList(View, frozen=True, kw_only=True):
    """Deliveries that are not sent yet, dead ones included, oldest first."""

    deliveries: tuple[DeliveryView, ...]
    seq: Seq


class ListDeliveries(Query[DeliveryList], frozen=True, kw_only=True):
    """What is still on its way, and what never arrived. limit: 1 to 1,000."""

    limit: int = 200


class GetDelivery(Query[DeliveryView], frozen=True, kw_only=True):
    """One that is not sent yet, with its whole text. Raises NotFound."""

    delivery_id: DeliveryId


class SentToTarget(View, frozen=True, kw_only=True):
    """What is on its way now, to each chat that was meant."""

    deliveries: tuple[DeliveryView, ...]


class SendToTarget(Command[SentToTarget], frozen=True, kw_only=True):
    """Send a text, and files, somewhere: to all of the targets, or to none and say why.

    target: origin, home, PLATFORM, PLATFORM:CHAT, PLATFORM:CHAT:THREAD, all, or several with commas between; see
    docs/concepts/delivery.md. origin: the session that it comes from. files: paths below the files folder of the home.
    is_noted: whether the session of each chat is told what was sent there. idempotency_key: a second command with it
    sends nothing, as long as the first is on its way; "" for none.
    """

    target: str
    text: str
    files: tuple[str, ...] = ()
    origin: SessionId | None = None
    is_noted: bool = True
    idempotency_key: str = ""


class RetryDelivery(Command[DeliveryView], frozen=True, kw_only=True):
    """Try a dead or waiting delivery again now."""

    delivery_id: DeliveryId


class DropDelivery(Command[DeliveryView], frozen=True, kw_only=True):
    """Let a dead or waiting delivery go. Its text stays in the transcript."""

    delivery_id: DeliveryId
    reason: str = ""


class DeliveryQueued(Event, frozen=True, kw_only=True):
    """An answer is stored and will be sent; written only when it could not be sent at once."""

    delivery: DeliveryView


class DeliverySent(Event, frozen=True, kw_only=True):
    """The platform took it."""

    delivery: DeliveryView


class DeliveryRetrying(Event, frozen=True, kw_only=True):
    """An attempt failed; the view says when the next is due."""

    delivery: DeliveryView


class DeliveryDied(Event, frozen=True, kw_only=True):
    """It will not be tried again unless somebody asks."""

    delivery: DeliveryView


class DeliveryDropped(Event, frozen=True, kw_only=True):
    """An operator let it go."""

    delivery: DeliveryView
    reason: str
