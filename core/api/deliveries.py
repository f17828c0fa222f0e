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
    """An answer on its way to its chat. next_try: while retrying. error: of the last attempt."""

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


class DeliveryList(View, frozen=True, kw_only=True):
    """Deliveries that are not sent yet, dead ones included, oldest first."""

    deliveries: tuple[DeliveryView, ...]
    seq: Seq


class ListDeliveries(Query[DeliveryList], frozen=True, kw_only=True):
    """What is still on its way, and what never arrived. limit: 1 to 1,000."""

    limit: int = 200


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
