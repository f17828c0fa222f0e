"""The account of a connection over mail: opens its folder, and says what a failure means."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

from core.api.errors import ConfigError
from core.gateway.adapters.email_imap import Folder, Imap, ImapLost, ImapRefused
from core.gateway.platform import PlatformError, PlatformErrorKind
from core.platform_settings import EmailSettings, MailServer
from core.secrets import Secret

_PASSING = frozenset({"UNAVAILABLE", "INUSE", "LIMIT", "SERVERBUG", "OVERQUOTA"})
_HERE = frozenset({"localhost", "127.0.0.1", "::1"})


class Account:
    """One mailbox with its password. home: what ca_file starts from."""

    def __init__(self, settings: EmailSettings, password: Secret, home: Path) -> None:
        self.settings = settings
        self.password = password
        self.address = settings.address.lower()
        self.user = settings.user or settings.address
        self._home = home
        self._tls: ssl.SSLContext | None = None

    async def tls(self, server: MailServer) -> ssl.SSLContext | None:
        """How to prove a server; None where nothing is proved. Raises ConfigError when ca_file cannot be used."""
        if server.security == "none":
            return None
        if self._tls is None:
            self._tls = await asyncio.to_thread(self._prepared)
        return self._tls

    @contextlib.asynccontextmanager
    async def opened(self, *, read_only: bool = False) -> AsyncGenerator[tuple[Imap, Folder]]:
        """The folder, on a connection of its own. What fails meanwhile is raised as PlatformError."""
        with told():
            tls = await self.tls(self.settings.imap)
            limit, deadline_s = self.settings.mail_bytes, self.settings.deadline_s
            imap = await Imap.open(self.settings.imap, tls, mail_bytes=limit, deadline_s=deadline_s)
            try:
                await imap.log_in(self.user, self.password)
                yield imap, await imap.select(self.settings.folder, read_only=read_only)
            finally:
                await imap.close()

    def _prepared(self) -> ssl.SSLContext:
        name = self.settings.ca_file
        try:
            return ssl.create_default_context(cafile=str(self._home / name) if name else None)
        except OSError as error:
            raise ConfigError(
                f"ca_file: {name} cannot be used: {error.strerror or type(error).__name__}",
                key="ca_file",
                value=name,
                fix="name a PEM file with the certificate of the authority",
            ) from error


def check_server(key: str, server: MailServer) -> None:
    """Raises ConfigError when a password would cross a network in the open, or the host cannot be a name."""
    try:
        server.host.encode("idna")
    except UnicodeError as error:
        raise ConfigError(
            f"{key}.host: not a name of a server",
            key=f"{key}.host",
            value=server.host,
            fix="a name such as mail.example.org, or a number",
        ) from error
    if server.security == "none" and server.host not in _HERE:
        raise ConfigError(
            f"{key}.security: none is for servers of this machine, not for {server.host}",
            key=f"{key}.security",
            value="none",
            fix="ssl or starttls",
        )


@contextlib.contextmanager
def told() -> Generator[None]:
    """What went wrong with the server, as the core understands it."""
    try:
        yield
    except ImapLost as error:
        raise PlatformError(PlatformErrorKind.RETRY_AFTER, f"the IMAP server: {error}") from error
    except ImapRefused as error:
        raise PlatformError(_kind(error), f"the IMAP server: {error}") from error


def _kind(error: ImapRefused) -> PlatformErrorKind:
    if error.code in _PASSING:
        return PlatformErrorKind.RETRY_AFTER
    if error.command in {"LOGIN", "AUTHENTICATE"}:
        return PlatformErrorKind.UNAUTHORISED
    if error.command in {"SELECT", "EXAMINE", "STARTTLS"}:
        return PlatformErrorKind.REFUSED
    return PlatformErrorKind.RETRY_AFTER
