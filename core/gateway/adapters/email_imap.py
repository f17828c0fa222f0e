"""A small IMAP client on asyncio streams: the commands that reading one folder takes, and nothing else.

Our own, because what there is does not fit: aioimaplib 2.0.3 is under the GPL, has no types, starts tasks of its own,
and hangs in IDLE when the server says BYE; imaplib blocks a thread that nobody can cancel, and has no IDLE before
Python 3.14. Every command has a deadline, and after a missed one the connection is of no use any more.
"""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Self

import msgspec

from core.gateway.adapters.email_headers import one_line
from core.gateway.adapters.email_wire import (
    Feed,
    Item,
    Reply,
    WireError,
    fetched,
    folder_name,
    number_in,
    numbers,
    quoted,
)
from core.platform_settings import MailServer
from core.secrets import Secret

_FETCH_LIMIT_S = 600.0
_GOODBYE_S = 2.0
_READ_BYTES = 65_536
_OVERHEAD_BYTES = 1024 * 1024
_MORE_BYTES = 32 * 1024 * 1024
_TEXT_LIMIT = 200
_SECRET = frozenset({"LOGIN", "AUTHENTICATE"})
_ID = 'ID ("name" "hermes-console")'


class ImapLost(Exception):
    """The connection cannot be made, broke, went silent, or speaks no IMAP."""


class ImapRefused(Exception):
    """The server said NO or BAD. command: its first word; code: in capitals, "" when it gave none."""

    def __init__(self, command: str, code: str, text: str) -> None:
        # Some servers repeat what they did not understand, and here that is the password.
        text = code if command in _SECRET else one_line(text)[:_TEXT_LIMIT]
        super().__init__(f"{command} was refused: {text}" if text else f"{command} was refused")
        self.command = command
        self.code = code


class Folder(msgspec.Struct, frozen=True, kw_only=True):
    """A folder that was selected. uid_next: the next message gets this one or a larger one; None when nobody said."""

    validity: int
    uid_next: int | None


class Imap:
    """One connection. Not for several tasks at once."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, mail_bytes: int, deadline_s: float
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._feed = Feed(mail_bytes + _OVERHEAD_BYTES)
        self._answer_bytes = mail_bytes + _MORE_BYTES
        self._heard_bytes = 0
        self._deadline_s = deadline_s
        self._count = 0
        self._abilities: frozenset[str] = frozenset()
        self._mail_count: int | None = None
        self.has_news = False

    @classmethod
    async def open(cls, server: MailServer, tls: ssl.SSLContext | None, *, mail_bytes: int, deadline_s: float) -> Self:
        """Connect and wait for the greeting. tls: None only without any. Raises ImapLost, ImapRefused."""
        at_once = tls if server.security == "ssl" else None
        try:
            async with asyncio.timeout(deadline_s):
                reader, writer = await asyncio.open_connection(server.host, server.port, ssl=at_once)
        except TimeoutError as error:
            raise ImapLost(f"no connection within {deadline_s:g} s") from error
        except OSError as error:
            raise ImapLost(_cause(error)) from error
        imap = cls(reader, writer, mail_bytes=mail_bytes, deadline_s=deadline_s)
        try:
            await imap._greeted()
            if server.security == "starttls" and tls is not None:
                await imap._start_tls(tls, server.host)
            await imap._learn()
        except BaseException:
            await imap.close()
            raise
        return imap

    @property
    def has_idle(self) -> bool:
        """Whether the server tells of new messages by itself."""
        return "IDLE" in self._abilities

    async def log_in(self, user: str, password: Secret) -> None:
        """Say who we are. Raises ImapLost, ImapRefused."""
        if "AUTH=PLAIN" in self._abilities:
            proof = base64.b64encode(f"\0{user}\0{password.reveal()}".encode()).decode()
            if "SASL-IR" in self._abilities:
                await self._run(f"AUTHENTICATE PLAIN {proof}")
            else:
                await self._run("AUTHENTICATE PLAIN", more=proof)
        else:
            await self._run(f"LOGIN {_said(user)} {_said(password.reveal())}")
        await self._learn()
        if "ID" in self._abilities:
            # Some providers show no folder to a program that does not say its name.
            with contextlib.suppress(ImapRefused):
                await self._run(_ID)

    async def select(self, folder: str, *, read_only: bool = False) -> Folder:
        """Open a folder. Raises ImapLost, ImapRefused."""
        replies = await self._run(f"{'EXAMINE' if read_only else 'SELECT'} {folder_name(folder)}")
        told = {reply.code: reply.argument for reply in replies if reply.code}
        validity = told.get("UIDVALIDITY", "")
        if not validity.isdigit():
            raise ImapLost("the server gives no UIDVALIDITY: its messages cannot be told apart")
        self.has_news = False
        following = told.get("UIDNEXT", "")
        return Folder(validity=int(validity[:20]), uid_next=int(following[:20]) if following.isdigit() else None)

    async def search(self, criteria: str) -> Sequence[int]:
        """UIDs that fit, smallest first. Raises ImapLost, ImapRefused."""
        self.has_news = False
        replies = await self._run(f"UID SEARCH {criteria}")
        return sorted({number for reply in replies if reply.word == "SEARCH" for number in _checked(reply)})

    async def fetch(self, uids: str, what: str) -> Mapping[int, Mapping[str, Item]]:
        """What the server tells of messages, by UID; those that are gone are left out. Raises ImapLost, ImapRefused."""
        told: dict[int, dict[str, Item]] = {}
        for reply in await self._run(f"UID FETCH {uids} (UID {what})", limit_s=_FETCH_LIMIT_S):
            if reply.word == "FETCH":
                try:
                    one = fetched(reply)
                except WireError as error:
                    raise ImapLost(str(error)) from error
                uid = number_in(one.get("UID"))
                if uid is not None:
                    told.setdefault(uid, {}).update(one)
        return told

    async def mark_seen(self, uid: int) -> None:
        """Say that a message was read. Raises ImapLost, ImapRefused."""
        await self._run(f"UID STORE {uid} +FLAGS.SILENT (\\Seen)")

    async def noop(self) -> None:
        """Ask whether the connection still stands, and for news. Raises ImapLost, ImapRefused."""
        await self._run("NOOP")

    async def idle(self, limit_s: float) -> None:
        """Wait until the server tells of a change, and limit_s at most. Raises ImapLost, ImapRefused."""
        if self.has_news:
            return
        tag = self._send("IDLE")
        async with self._deadline(self._deadline_s):
            while (reply := await self._reply()).tag != "+":
                if reply.tag == tag:
                    raise ImapRefused("IDLE", reply.code, reply.text)
        try:
            async with asyncio.timeout(limit_s):
                while not self.has_news:
                    if (reply := await self._reply()).tag == tag:
                        raise ImapLost("the server ended IDLE by itself")
        except TimeoutError:
            pass
        # What a server that went deaf does not answer shows that it did.
        self._write(b"DONE\r\n")
        await self._answer(tag, "IDLE", self._deadline_s)

    async def close(self) -> None:
        """Hang up. Says goodbye only to a server that listens. Raises nothing."""
        try:
            async with asyncio.timeout(_GOODBYE_S):
                self._write(b"bye LOGOUT\r\n")
                await self._writer.drain()
        except (OSError, ImapLost, TimeoutError):
            pass
        finally:
            self._writer.close()
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            # Nobody takes what is left to say.
            self._writer.transport.abort()

    async def _greeted(self) -> None:
        async with self._deadline(self._deadline_s):
            reply = await self._reply()
        if reply.word not in {"OK", "PREAUTH"}:
            raise ImapLost(f"the server does not want us: {one_line(reply.text)[:_TEXT_LIMIT]}")

    async def _start_tls(self, tls: ssl.SSLContext, host: str) -> None:
        await self._run("STARTTLS")
        if not self._feed.is_empty:
            raise ImapLost("something was said before TLS began, which nobody can prove")
        async with self._deadline(self._deadline_s):
            try:
                # Without the name any certificate of any server would do.
                await self._writer.start_tls(tls, server_hostname=host)
            except OSError as error:
                raise ImapLost(_cause(error)) from error

    async def _learn(self) -> None:
        replies = await self._run("CAPABILITY")
        words = [item for reply in replies if reply.word == "CAPABILITY" for item in reply.items]
        self._abilities = frozenset(
            word.decode("ascii", "replace").upper() for word in words if isinstance(word, bytes)
        )

    async def _run(self, command: str, *, more: str = "", limit_s: float | None = None) -> Sequence[Reply]:
        word = command.partition(" ")[0]
        tag = self._send(command)
        if more:
            async with self._deadline(self._deadline_s):
                while (reply := await self._reply()).tag != "+":
                    if reply.tag == tag:
                        raise ImapRefused(word, reply.code, reply.text)
            self._write(f"{more}\r\n".encode())
        return await self._answer(tag, word, limit_s or self._deadline_s)

    async def _answer(self, tag: str, word: str, limit_s: float) -> Sequence[Reply]:
        replies: list[Reply] = []
        async with self._deadline(limit_s):
            while (reply := await self._reply()).tag != tag:
                replies.append(reply)
        if reply.word != "OK":
            raise ImapRefused(word, reply.code, reply.text)
        return [*replies, reply]

    def _send(self, command: str) -> str:
        self._count += 1
        self._heard_bytes = 0
        tag = f"a{self._count}"
        self._write(f"{tag} {command}\r\n".encode())
        return tag

    def _write(self, data: bytes) -> None:
        if self._writer.is_closing():
            raise ImapLost("the connection is closed")
        self._writer.write(data)

    async def _reply(self) -> Reply:
        while True:
            try:
                reply = self._feed.next()
            except WireError as error:
                raise ImapLost(str(error)) from error
            if reply is not None:
                break
            try:
                data = await self._reader.read(_READ_BYTES)
            except OSError as error:
                raise ImapLost(_cause(error)) from error
            if not data:
                raise ImapLost("the server hung up")
            self._heard_bytes += len(data)
            if self._heard_bytes > self._answer_bytes:
                raise ImapLost(f"the server answers with more than {self._answer_bytes} bytes")
            self._feed.feed(data)
        if reply.word == "BYE":
            raise ImapLost(f"the server hung up: {one_line(reply.text)[:_TEXT_LIMIT]}")
        if reply.number is not None:
            self._count_mails(reply)
        return reply

    def _count_mails(self, reply: Reply) -> None:
        # Some servers say how many there are again and again: that is no news.
        if reply.word == "EXISTS" and reply.number != self._mail_count:
            self.has_news = True
            self._mail_count = reply.number
        elif reply.word == "EXPUNGE" and self._mail_count:
            self._mail_count -= 1

    @contextlib.asynccontextmanager
    async def _deadline(self, limit_s: float) -> AsyncGenerator[None]:
        try:
            async with asyncio.timeout(limit_s):
                yield
        except TimeoutError as error:
            raise ImapLost(f"no answer within {limit_s:g} s") from error


def _checked(reply: Reply) -> Sequence[int]:
    try:
        return numbers(reply)
    except WireError as error:
        raise ImapLost(str(error)) from error


def _said(text: str) -> str:
    try:
        return quoted(text)
    except WireError as error:
        raise ImapRefused(
            "LOGIN", "AUTHENTICATIONFAILED", "this server takes ASCII only in user and password"
        ) from error


def _cause(error: OSError) -> str:
    """Of our own making: a library's words may hold an address."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of the server is not good: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or type(error).__name__}"
    return error.strerror or type(error).__name__
