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


class FileKind(StrEnum):
    """What a file is to people in a chat."""

    PHOTO = "photo"
    VIDEO = "video"
    AUDIO = "audio"
    VOICE = "voice"
    STICKER = "sticker"
    DOCUMENT = "document"


class InboundFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that came with a message. The core fetches its contents once the sender is let in.

    ref: by which the adapter fetches it. size_bytes: as announced, None when nobody said.
    """

    kind: FileKind
    ref: str
    name: str = ""
    mime: str = ""
    size_bytes: int | None = None


class Inbound(msgspec.Struct, frozen=True, kw_only=True):
    """A message from outside, in one shape for all platforms.

    native_id: the platform's id of the message, for dedupe ("" when it has none). proof_id:
    what proved the message, such as its signature: used once, whatever the id says. text and
    names are data and never markup. mode: how the sender wants it taken when the session is
    busy; None is the session's default. agent: None for the platform's default.
    imported: earlier turns that the sender brought along, as (role, text), for a new session.
    reply_to: native id of the message that it answers; quoted: the text of that. files: what came with it.
    group_id: the same for all parts of one album, "" for a message of its own. aliases: further ids of the same
    sender at this platform. is_bot: written by a program. is_addressed: False for what was said in a shared chat and
    not to us. may_command: False where a slash at the start is plain text.
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
    quoted: str = ""
    files: Sequence[InboundFile] = ()
    group_id: str = ""
    aliases: Sequence[str] = ()
    is_bot: bool = False
    is_addressed: bool = True
    may_command: bool = True


class InboundEdit(msgspec.Struct, frozen=True, kw_only=True):
    """The sender changed a message after sending it. native_id: of the message; edit_id: of the change, for dedupe.

    aliases: as those of Inbound.
    """

    platform: PlatformName
    source: Source
    sender_id: str
    native_id: str
    text: str
    edit_id: str = ""
    aliases: Sequence[str] = ()


class Press(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody used a button of a message of ours.

    token: of the button; where a platform has reactions only: "" and the sign that was used. answers: native id of
    the message that carries it. native_id: of the press itself, for dedupe. aliases: as those of Inbound.
    """

    platform: PlatformName
    source: Source
    sender_id: str
    sender_name: str
    answers: str
    token: str = ""
    sign: str = ""
    native_id: str = ""
    aliases: Sequence[str] = ()


def inbound_of(press: Press) -> Inbound:
    """A message without words of whoever used a button: it is authorised and answered like any other."""
    return Inbound(
        platform=press.platform,
        source=press.source,
        sender_id=press.sender_id,
        sender_name=press.sender_name,
        text="",
        native_id=press.native_id,
        aliases=press.aliases,
    )


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """A message that is stored for good. position: what is before it; 0 is next.

    reports: of the run that answers it, when the adapter asked to follow; ends after
    TurnEnded. Closing it early lets the run go on. command: its name when it was one, "" for a message.
    """

    session_id: SessionId
    message_id: MessageId
    position: int
    is_duplicate: bool = False
    command: str = ""
    reports: AsyncIterator[RunReport] | None = None


NOT_ADDRESSED = "not_addressed"
"""Rule by which talk of others in a shared chat is left alone; it counts as nothing refused."""


class Inbox(Protocol):
    """Where an adapter hands in what it received."""

    async def receive(self, inbound: Inbound, *, follow: bool = False) -> Accepted:
        """Take a message in; returns when it is durable. What came twice is taken once, by its native_id.

        Raises Refused when it may not come in, Overloaded when the session's queue is full,
        InvalidInput when a field is wrong, StoreError when it cannot be kept: then nothing is kept.
        An error that is `retryable` asks for the same message again later, so what acknowledges it to the platform
        must wait; after any other one it is done with.
        """
        ...

    async def edited(self, edit: InboundEdit) -> None:
        """Hand in a change of a message. Changes what waits still; raises as receive() does."""
        ...

    async def pressed(self, press: Press) -> str:
        """Hand in the use of a button; returns what to tell whoever used it. Raises as receive() does."""
        ...

    def heard(self) -> None:
        """Say that the platform gave a sign of life, though there was no message."""
        ...

    def refused(self, reason: str) -> None:
        """Say that the adapter itself did not take a message in. reason: the same words for the same cause."""
        ...

    async def cursor(self) -> str:
        """Where reading stopped last time, as kept; "" at the first time. Raises StoreError."""
        ...

    async def keep_cursor(self, cursor: str) -> None:
        """Keep for good where to go on reading. Raises StoreError: then the same is read again."""
        ...

    async def interrupt(self, session_id: SessionId, reason: str) -> bool:
        """Stop the session's run, as when the caller hung up. False when none was running."""
        ...

    def connected(self, address: str, *, problem: str = "") -> None:
        """Say that the connection stands. problem: what does not work though, in one line; "" when all does."""
        ...


class OutboundFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file to send. path: absolute, of a file of the core's own; the adapter reads it off the loop."""

    kind: FileKind
    name: str
    mime: str
    path: str
    size_bytes: int


class ButtonStyle(StrEnum):
    """How a button looks, where a platform can show it."""

    PLAIN = "plain"
    YES = "yes"
    NO = "no"


class Button(msgspec.Struct, frozen=True, kw_only=True):
    """A choice under a message. token: comes back in a Press, at most 32 bytes of ASCII. sign: one emoji, for
    platforms with reactions only.
    """

    token: str
    label: str
    sign: str
    style: ButtonStyle = ButtonStyle.PLAIN


class Outbound(msgspec.Struct, frozen=True, kw_only=True):
    """A message to a chat. delivery_id: the same on every attempt, for dedupe on the far side.

    reply_to: native id of the message that it answers, or "". text: Markdown, cut to what the platform carries.
    part, part_count: of an answer that was cut. edits: native id of the message of ours that it replaces, "" for a new
    one; buttons: under it, none takes those of the edited message away.
    """

    delivery_id: DeliveryId
    session_id: SessionId
    source: Source
    text: str
    message_id: MessageId | None = None
    reply_to: str = ""
    files: tuple[OutboundFile, ...] = ()
    buttons: tuple[Button, ...] = ()
    edits: str = ""
    part: int = 1
    part_count: int = 1


class TextUnit(StrEnum):
    """What a platform counts the length of a text in."""

    CHARACTERS = "characters"
    UTF16 = "utf16"
    BYTES = "bytes"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a platform can carry. sends_answers: False where the caller waits for the answer
    itself, so that nothing is sent afterwards. opens_chats: whether an operator may begin a chat.

    text_limit: of one message, in text_unit. proves_senders: the connection itself knows who writes, so that access
    rules do not apply. rate_per_s, burst: messages that one account may send; 0 for any number. chat_rate_per_s: to
    one chat. typing_s: how long a typing sign lasts, 0 where there is none. file_bytes: largest file to send, 0 where
    none can be; files_with_text: one message carries text and any number of files. buttons: most under one message, 0
    where there are none; reactions count as buttons.
    """

    text_limit: int = 100_000
    text_unit: TextUnit = TextUnit.CHARACTERS
    sends_answers: bool = True
    opens_chats: bool = False
    proves_senders: bool = False
    rate_per_s: float = 0.0
    burst: int = 1
    chat_rate_per_s: float = 0.0
    typing_s: float = 0.0
    file_bytes: int = 0
    files_with_text: bool = False
    buttons: int = 0
    can_edit: bool = False
    has_threads: bool = False


class PlatformErrorKind(StrEnum):
    """What a failure means for the next attempt."""

    RETRY_AFTER = "retry_after"
    REFUSED = "refused"
    UNAUTHORISED = "unauthorised"
    GONE = "gone"


class PlatformError(Exception):
    """An adapter's failure. retry_after_s: only with RETRY_AFTER; None leaves it to the backoff.

    is_for_chat: what was said about waiting concerns this chat only, and not the whole account. is_conflict: somebody
    else has the account; holder: who, in words, where that is known.
    """

    def __init__(
        self,
        kind: PlatformErrorKind,
        message: str,
        *,
        retry_after_s: float | None = None,
        is_for_chat: bool = False,
        is_conflict: bool = False,
        holder: str = "",
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.retry_after_s = retry_after_s
        self.is_for_chat = is_for_chat
        self.is_conflict = is_conflict
        self.holder = holder


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
