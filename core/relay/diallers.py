"""Connections to addresses that were checked, for the HTTP library. Imported when the first call is made."""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, cast

import httpcore

from core.clock import Clock
from core.relay.addresses import IpAddress, IpNetwork, permitted
from core.relay.resolvers import Resolve


class NoConnectionError(httpcore.ConnectError):
    """There is no connection. Says why in words for people."""


class LateConnectionError(httpcore.ConnectTimeout):
    """There is no connection yet, and the time is over. Says what was waited for."""


class NoMeansError(httpcore.ConnectError):
    """Nothing is left here to make a connection with, which says nothing about the far side."""


_MEANS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""Errors of the system for want of open files, or of memory for a connection."""


class Progress:
    """How far one call has come. has_left: bytes of the request may have left this machine.

    has_body: its head is to wait for its body, so that both leave at once. came_bytes: of the answer, until its status.
    """

    __slots__ = ("came_bytes", "has_body", "has_left")

    def __init__(self, *, has_body: bool) -> None:
        self.came_bytes = 0
        self.has_left = False
        self.has_body = has_body


READ_BYTES = 8_192
"""That are read at a time."""

_HEAD_BYTES = 262_144
"""Of an answer and of those that announce it, until its status: a far side could send such for ever."""

_CAUSES = 8
"""Deeper than any chain of causes."""

CALL: ContextVar[Progress | None] = ContextVar("relay_call", default=None)
"""The call that the present task makes: its first byte is noticed where it is written."""


class NoticingStream(httpcore.AsyncNetworkStream):
    """A connection that tells the call of the task that bytes leave. may_hold_more: bytes may have come unread."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner
        self._head = b""
        self.may_hold_more = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - of the library
        """Some bytes: so few that whatever is made of them holds nothing else up for long."""
        wanted = min(max_bytes, READ_BYTES)
        read = await self._inner.read(wanted, timeout)
        self.may_hold_more = len(read) == wanted
        progress = CALL.get()
        if progress is not None:
            progress.came_bytes += len(read)
            if progress.came_bytes > _HEAD_BYTES:
                raise httpcore.RemoteProtocolError("there is no end of what comes before the answer")
        return read

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - of the library
        """Send, and say so. What only asks a proxy for a way has not begun the request."""
        progress = CALL.get()
        if progress is not None and buffer and not progress.has_left and not buffer.startswith(b"CONNECT "):
            if progress.has_body:
                progress.has_body = False
                self._head = buffer
                return
            progress.has_left = True
            buffer, self._head = self._head + buffer, b""
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        """End it."""
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - of the library
    ) -> httpcore.AsyncNetworkStream:
        """The same, encrypted."""
        try:
            return NoticingStream(await self._inner.start_tls(ssl_context, server_hostname, timeout))
        except asyncio.CancelledError:
            # The library closes it after a failure alone.
            await self._inner.aclose()
            raise

    def get_extra_info(self, info: str) -> Any:
        """As the library asks for it."""
        return self._inner.get_extra_info(info)


class Dialler(httpcore.AsyncNetworkBackend):
    """Connects to hosts under one allow-list. networks: None for the way to a proxy, which the operator chose.

    is_closed: set when no more connections are wanted.
    """

    def __init__(self, resolve: Resolve, networks: Sequence[IpNetwork] | None, clock: Clock) -> None:
        self._resolve = resolve
        self._networks = networks
        self._clock = clock
        self.is_closed = False
        self._inner = cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - of the library
        local_address: str | None = None,  # noqa: ARG002 - of the library
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002 - of the library
    ) -> httpcore.AsyncNetworkStream:
        """Look the name up, check what was found, and connect to one of just those addresses.

        Raises ForbiddenError, NoConnectionError, LateConnectionError, NoMeansError.
        """
        limit_s = 10.0 if timeout is None else timeout
        ends = self._clock.monotonic() + limit_s
        addresses = await self.addresses(host, limit_s)
        stream, _ = await self.dialled(addresses, port, ends - self._clock.monotonic())
        if self.is_closed:
            # The pool was closed meanwhile and does not know of this one.
            await stream.aclose()
            raise NoConnectionError("no further connection is made")
        return NoticingStream(stream)

    async def addresses(self, host: str, limit_s: float) -> Sequence[IpAddress]:
        """Those of a host that may be called. Raises as connect_tcp."""
        try:
            async with asyncio.timeout(limit_s):
                found = await self._resolve(host)
        except TimeoutError:
            raise LateConnectionError(f"the name {host} was not resolved within {limit_s:g} s") from None
        except OSError as error:
            kind = _kind(error)
            raise kind(f"the name {host} cannot be resolved: {words(error)}") from None
        return found if self._networks is None else permitted(host, found, self._networks)

    async def dialled(
        self, addresses: Sequence[IpAddress], port: int, limit_s: float
    ) -> tuple[httpcore.AsyncNetworkStream, IpAddress]:
        """A connection to the first address that takes one; each has its share of the time. Raises as connect_tcp."""
        ends = self._clock.monotonic() + limit_s
        fault: Exception = NoConnectionError("the host has no address")
        for count, address in enumerate(addresses):
            share_s = (ends - self._clock.monotonic()) / (len(addresses) - count)
            where = f"{address} port {port}"
            try:
                return await self._inner.connect_tcp(str(address), port, timeout=max(0.0, share_s)), address
            except httpcore.ConnectTimeout:
                fault = LateConnectionError(f"no connection to {where} within {max(0.0, share_s):.3g} s")
            except httpcore.ConnectError as error:
                fault = _kind(error)(f"no connection to {where}: {words(error)}")
        raise fault

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - of the library
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002 - of the library
    ) -> httpcore.AsyncNetworkStream:
        """Never: no bot is called so."""
        raise NoConnectionError(f"{path} is no address of a bot ({timeout})")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._clock.sleep(seconds)


def words(error: BaseException) -> str:
    """What the system says went wrong, from the innermost cause."""
    for inner in _causes(error):
        if isinstance(inner, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted: {inner.verify_message}"
        if isinstance(inner, ssl.SSLError):
            return f"TLS failed: {inner.reason or inner.strerror or 'no reason given'}".lower().replace("tls", "TLS", 1)
        if isinstance(inner, socket.gaierror):
            return str(inner.strerror).lower()
        if isinstance(inner, OSError) and inner.errno:
            return os.strerror(inner.errno).lower()
    return type(error).__name__


def _kind(error: BaseException) -> type[NoConnectionError | NoMeansError]:
    """Whose fault it is that there is no connection."""
    for inner in _causes(error):
        if isinstance(inner, OSError) and not isinstance(inner, socket.gaierror | ssl.SSLError) and inner.errno:
            return NoMeansError if inner.errno in _MEANS else NoConnectionError
    return NoConnectionError


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came of, the innermost last."""
    inner: BaseException | None = error
    for _ in range(_CAUSES):
        if inner is None:
            return
        yield inner
        several = cast("BaseExceptionGroup[BaseException]", inner) if isinstance(inner, BaseExceptionGroup) else None
        first = inner.args[0] if inner.args else None
        # The library forgets causes on the way and keeps them as arguments.
        told = first if isinstance(first, BaseException) else None
        inner = several.exceptions[0] if several else told or inner.__cause__ or inner.__context__


def trusted() -> ssl.SSLContext:
    """How far sides must prove themselves: by the authorities of this system, and by the usual public ones.

    Reads files: call it off the loop.
    """
    return httpcore.default_ssl_context()
