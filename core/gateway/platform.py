"""The Platform protocol: what an adapter is told and what it tells; failures in four kinds."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import msgspec

from core.api.base import DeliveryId, MessageId, PlatformName, SessionId
from core.api.runs import RunReport
from core.api.sessions import Mode, Source
from core.clock import Clock
from core.ids import IdSource
from core.secrets import Secret

AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]


class Inbound(msgspec.Struct, frozen=True, kw_only=True):
    """A message from outside, in one shape for all platforms.

    native_id: the platform's id of the message, for dedupe ("" when it has none). proof_id:
    what proved the message, such as its signature: used once, whatever the id says. text and
    names are data and never markup. mode: how the sender wants it taken when the session is
    busy; None is the session's default. agent: None for the platform's default.
    imported: earlier turns that the sender brought along, as (role, text), for a new session.
    """

    platform: PlatformName
    source: Source
    sender_id: str
    sender_name: str
    text: str
    native_id: str = ""
    proof_id: str = ""
    mode: Mode | None = None
    agent: str | None = None
    title: str = ""
    imported: Sequence[tuple[str, str]] = ()
    reply_to: str = ""


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """A message that is stored for good. position: what is before it; 0 is next.

    reports: of the run that answers it, when the adapter asked to follow; ends after
    TurnEnded. Closing it early lets the run go on.
    """

    session_id: SessionId
    message_id: MessageId
    position: int
    is_duplicate: bool = False
    reports: AsyncIterator[RunReport] | None = None


class Inbox(Protocol):
    """Where an adapter hands in what it received."""

    async def receive(self, inbound: Inbound, *, follow: bool = False) -> Accepted:
        """Take a message in; returns when it is durable.

        Raises Refused when it may not come in, Overloaded when the session's queue is full,
        InvalidInput when a field is wrong, StoreError when it cannot be kept: then nothing is kept.
        """
        ...

    async def interrupt(self, session_id: SessionId, reason: str) -> bool:
        """Stop the session's run, as when the caller hung up. False when none was running."""
        ...

    def connected(self, address: str) -> None:
        """Say that the connection stands."""
        ...


class Outbound(msgspec.Struct, frozen=True, kw_only=True):
    """A message to a chat. delivery_id: the same on every attempt, for dedupe on the far side.

    reply_to: native id of the message that it answers, or "". callback_url: where a webhook
    route wants its answer.
    """

    delivery_id: DeliveryId
    session_id: SessionId
    source: Source
    text: str
    message_id: MessageId | None = None
    reply_to: str = ""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a platform can carry. sends_answers: False where the caller waits for the answer
    itself, so that nothing is sent afterwards. opens_chats: whether an operator may begin a chat.
    """

    text_limit: int = 100_000
    sends_answers: bool = True
    opens_chats: bool = False


class PlatformErrorKind(StrEnum):
    """What a failure means for the next attempt."""

    RETRY_AFTER = "retry_after"
    REFUSED = "refused"
    UNAUTHORISED = "unauthorised"
    GONE = "gone"


class PlatformError(Exception):
    """An adapter's failure. retry_after_s: only with RETRY_AFTER; None leaves it to the backoff."""

    def __init__(self, kind: PlatformErrorKind, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.retry_after_s = retry_after_s


class Platform(Protocol):
    """One connection to the outside. One file implements it, and decides nothing."""

    name: PlatformName
    kind: str
    limits: Limits

    async def run(self, inbox: Inbox) -> None:
        """Connect and hand in what comes until cancelled. Raises PlatformError when the
        connection fails; the core calls again after a while.
        """
        ...

    async def send(self, message: Outbound) -> str:
        """Send; returns the platform's id of what it sent. Raises PlatformError."""
        ...


class HttpHost(Protocol):
    """The one HTTP server of the core, for adapters that are called from outside."""

    @property
    def url(self) -> str:
        """Where it listens, such as http://127.0.0.1:8642; "" while it does not."""
        ...

    def mount(self, prefix: str, app: AsgiApp) -> None:
        """Hand all requests below `prefix` to an ASGI app. Raises ValueError when it is taken."""
        ...

    def unmount(self, prefix: str) -> None:
        """Answer 404 below `prefix` again."""
        ...


class PlatformContext(msgspec.Struct, frozen=True, kw_only=True):
    """What an adapter is built with. secret: resolves a reference of the configuration.

    api_key: of the HTTP API; None when there is none. agents: names of all agents.
    home: what relative paths of the configuration start from.
    """

    clock: Clock
    ids: IdSource
    http: HttpHost
    secret: Callable[[str], Secret]
    api_key: Secret | None = None
    agents: Callable[[], Sequence[str]] = tuple
    home: Path = Path("/")
