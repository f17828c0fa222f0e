"""A mailbox: mail in over IMAP, answers out over SMTP. One sender is one chat.

Parts: email_wire and email_imap speak IMAP, email_reader reads the folder, email_intake, email_trust and email_reading
make messages of mails, email_writing and email_smtp mails of messages.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from core.api.base import PlatformName
from core.api.errors import ConfigError
from core.gateway.adapters.email_account import Account, check_server
from core.gateway.adapters.email_reader import Held, Reader
from core.gateway.adapters.email_reading import file_of
from core.gateway.adapters.email_smtp import hand_over
from core.gateway.adapters.email_threads import Threads
from core.gateway.adapters.email_trust import is_address
from core.gateway.adapters.email_writing import Answered, Letter, compose, message_id_of
from core.gateway.adapters.recent import Recent
from core.gateway.platform import (
    Inbox,
    Limits,
    Outbound,
    OutboundFile,
    PlatformContext,
    PlatformError,
    PlatformErrorKind,
)
from core.platform_settings import EmailSettings

_HOUR_S = 3_600.0
_PIECE_BYTES = 65_536
_TEXT_LIMIT = 50_000
_AT_ONCE = 4
_THREAD_LIMIT = 5_000
_THREADS_OF_ONE = 4
_SENT_KEPT = 10_000
_SENT_KEEP_S = 86_400.0


def create(name: PlatformName, settings: EmailSettings, context: PlatformContext) -> "EmailPlatform":
    """The mailbox of the configuration. Raises ConfigError when it would be unsafe, or its password is not there."""
    if not is_address(settings.address) or not settings.address.rpartition("@")[0].isascii():
        raise ConfigError(
            "address: not a mail address", key="address", value=settings.address, fix="such as agent@example.org"
        )
    if settings.trust == "authenticated" and not settings.authserv_id.strip():
        raise ConfigError(
            "authserv_id: without it nobody can tell who wrote a mail, and none is taken in",
            key="authserv_id",
            value="",
            fix="the first word of Authentication-Results in a mail that you got; trust: none only in a closed system",
        )
    check_server("imap", settings.imap)
    check_server("smtp", settings.smtp)
    return EmailPlatform(name, Account(settings, context.secret(settings.password), context.home), context)


class EmailPlatform:
    """One mailbox."""

    kind = "email"

    def __init__(self, name: PlatformName, account: Account, context: PlatformContext) -> None:
        self.name = name
        self.limits = Limits(
            text_limit=_TEXT_LIMIT,
            opens_chats=True,
            file_bytes=account.settings.file_bytes,
            files_with_text=True,
            has_threads=True,
        )
        self._account = account
        self._settings = account.settings
        self._clock = context.clock
        self._held = Held()
        self._threads = Threads(account, context.clock.monotonic)
        self._reader = Reader(name, account, context.clock, self._held, self._threads)
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._sent: Recent[str, str] = Recent(limit=_SENT_KEPT, keep_s=_SENT_KEEP_S)
        limit = account.settings.replies_per_thread_per_hour
        self._replies = Replies(limit, context.clock.monotonic)
        # A program that knows of no threads begins one with each mail.
        self._all_replies = Replies(limit * _THREADS_OF_ONE, context.clock.monotonic, what="address")

    @property
    def credential(self) -> tuple[str, str]:
        """The folder: two programs that read one would answer everything twice."""
        server = self._settings.imap
        return "email", f"{self._account.user}@{server.host}:{server.port}/{self._settings.folder}"

    @property
    def heard_every_s(self) -> float:
        """Longest time between two looks at the folder."""
        return self._settings.poll_s

    async def run(self, inbox: Inbox) -> None:
        """Read the folder until cancelled. Raises PlatformError."""
        await self._reader.run(inbox)

    async def probe(self) -> None:
        """Log in on a connection of its own, and open the folder. Raises PlatformError."""
        async with self._account.opened(read_only=True) as (imap, _):
            await imap.noop()

    async def fetch(self, ref: str) -> AsyncIterator[bytes]:
        """A file of a mail in pieces. Raises PlatformError."""
        place, _, number = ref.rpartition("/")
        if not all(part.isascii() and part.isdigit() for part in ref.split("/")) or ref.count("/") != 2:  # noqa: PLR2004
            raise PlatformError(PlatformErrorKind.GONE, "this is no file of a mail")
        held = self._held.find(place)
        if held is None:
            data = await self._threads.contents(place, int(number))
        else:
            data = await asyncio.to_thread(lambda: file_of(held, int(number)) or b"")
        for begin in range(0, len(data), _PIECE_BYTES):
            yield data[begin : begin + _PIECE_BYTES]

    async def send(self, message: Outbound) -> str:
        """Send a mail to the sender of the chat; returns its Message-ID. Raises PlatformError.

        The same delivery has the same Message-ID on every attempt, so what was sent twice is seen as one mail.
        """
        message_id = message_id_of(message, self._account.address)
        if self._sent.find(message_id, self._clock.monotonic()) is not None:
            return message_id
        to = message.source.chat
        if not is_address(to) or to.lower() == self._account.address:
            raise PlatformError(PlatformErrorKind.REFUSED, "this is no address that an answer can be sent to")
        answers = await self._threads.answered(message)
        is_reply = answers is not None
        thread = f"{to} {answers.thread if answers else ''}"
        with self._all_replies.one_more(to, is_reply=is_reply), self._replies.one_more(thread, is_reply=is_reply):
            await self._hand_over(message, message_id, answers)
        self._threads.sent(message, message_id, answers)
        self._sent.put(message_id, message_id, self._clock.monotonic())
        return message_id

    async def _hand_over(self, message: Outbound, message_id: str, answers: Answered | None) -> None:
        letter = Letter(
            message_id=message_id,
            sender=self._account.address,
            sender_name=self._settings.name,
            to=message.source.chat,
            at=self._clock.now(),
            answers=answers,
            has_html=self._settings.html,
        )
        try:
            mail = await asyncio.to_thread(lambda: compose(letter, message, _contents(message.files)))
        except ValueError as error:
            raise PlatformError(PlatformErrorKind.REFUSED, f"no mail can be made of it: {error}") from error
        except OSError as error:
            raise PlatformError(PlatformErrorKind.REFUSED, "a file to send cannot be read") from error
        tls = await self._account.tls(self._settings.smtp)
        async with self._gate:
            await hand_over(
                self._settings.smtp, tls, self._account.user, self._account.password, mail, self._settings.deadline_s
            )


class Replies:
    """Counts answers to each thread, or whatever else: two programs that answer each other must not go on for ever."""

    def __init__(self, limit: int, monotonic: Callable[[], float], *, what: str = "thread") -> None:
        self._limit = limit
        self._what = what
        self._monotonic = monotonic
        self._sent_at: dict[str, deque[float]] = {}

    @contextmanager
    def one_more(self, thread: str, *, is_reply: bool) -> Generator[None]:
        """Count one, and take it back if the block fails. Raises PlatformError when there were too many."""
        if not is_reply:
            yield
            return
        now = self._monotonic()
        sent_at = self._sent_at.setdefault(thread, deque())
        while sent_at and now - sent_at[0] >= _HOUR_S:
            sent_at.popleft()
        if len(sent_at) >= self._limit:
            raise PlatformError(
                PlatformErrorKind.RETRY_AFTER,
                f"{self._limit} answers went to this {self._what} within an hour",
                retry_after_s=_HOUR_S - (now - sent_at[0]),
                is_for_chat=True,
            )
        sent_at.append(now)
        try:
            yield
        except BaseException:
            sent_at.remove(now)
            raise
        finally:
            self._forget(now)

    def _forget(self, now: float) -> None:
        if len(self._sent_at) > _THREAD_LIMIT:
            self._sent_at = {
                thread: sent_at for thread, sent_at in self._sent_at.items() if sent_at and now - sent_at[-1] < _HOUR_S
            }


def _contents(files: Sequence[OutboundFile]) -> Sequence[bytes]:
    return [Path(file.path).read_bytes() for file in files]
