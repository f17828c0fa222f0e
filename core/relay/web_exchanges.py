"""One request over HTTP and what comes back of it. Imported when the first call is made."""

import codecs
import re
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, cast

import httpcore

from core.relay.addresses import ForbiddenError, Place
from core.relay.diallers import (
    CALL,
    LateConnectionError,
    NoConnectionError,
    NoMeansError,
    NoticingStream,
    Progress,
    words,
)

ERROR_LIMIT_BYTES = 2_048
"""Of the body of an answer that is no success."""

FAULTS = (
    ForbiddenError,
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
    OSError,
    httpcore.ConnectionNotAvailable,
    # By the protocol library, for bytes after the end and for headers that are none.
    RuntimeError,
    ValueError,
)
"""What a call may fail with, apart from being cut off."""

_AGENT = b"hermes-console"
_LINE_END = re.compile(r"\r\n|\n|\r")
_SAID: tuple[tuple[type[Exception], str], ...] = (
    (httpcore.ConnectTimeout, "no connection in time"),
    (httpcore.ConnectError, "no connection: {}"),
    (httpcore.ProxyError, "the proxy gives no connection: {}"),
    (httpcore.RemoteProtocolError, "what came back is not HTTP"),
    (httpcore.LocalProtocolError, "the request cannot be put into HTTP"),
)


_DUST_COUNT, _DUST_BYTES = 10_000, 8


class TooLargeError(ValueError):
    """An answer that is read line by line has more bytes than were asked for, or comes in far too many pieces."""


class Exchange:
    """A request and its answer, so far. status: 0 until it came; headers: of the answer, names in lower case."""

    __slots__ = ("_connection", "_progress", "_request", "_response", "body", "headers", "is_cut", "status")

    def __init__(self, method: str, place: Place, headers: Mapping[str, str], body: bytes, limit_s: float) -> None:
        sent = [(b"Host", place.authority.encode()), (b"User-Agent", _AGENT), (b"Accept-Encoding", b"identity")]
        sent.extend((name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items())
        if body or method not in {"GET", "HEAD", "DELETE"}:
            sent.append((b"Content-Length", str(len(body)).encode()))
        url = httpcore.URL(
            scheme=place.scheme.encode(), host=place.host.encode(), port=place.port, target=place.target.encode()
        )
        self._request = httpcore.Request(
            method, url, headers=sent, content=body, extensions={"timeout": {"connect": limit_s}}
        )
        self._connection: httpcore.AsyncConnectionInterface | None = None
        self._response: httpcore.Response | None = None
        self._progress = Progress(has_body=bool(body))
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.is_cut = False

    @property
    def has_left(self) -> bool:
        """Whether bytes of the request may have left this machine."""
        return self._progress.has_left

    async def begin(self, connection: httpcore.AsyncConnectionInterface) -> None:
        """Send it and wait for the status. Raises FAULTS."""
        self._connection = connection
        token = CALL.set(self._progress)
        try:
            self._response = response = await connection.handle_async_request(self._request)
        finally:
            CALL.reset(token)
        self.headers = {
            name.decode("latin-1").lower(): value.decode("latin-1").strip() for name, value in response.headers
        }
        self.status = response.status

    async def read(self, limit_bytes: int) -> None:
        """Take the body, up to the limit. Raises FAULTS; what came until then is kept."""
        if not 200 <= self.status < 300:  # noqa: PLR2004 - the statuses of success
            limit_bytes = min(limit_bytes, ERROR_LIMIT_BYTES)
        if self._is_packed:
            self.is_cut = True
            return
        assert self._response is not None
        count = 0
        async for piece in self._response.aiter_stream():
            self.body += piece
            count += 1
            if _is_dust(count, len(self.body)):
                self.is_cut = True
                return
            if len(self.body) > limit_bytes:
                del self.body[limit_bytes:]
                self.is_cut = True
                return

    async def lines(self, limit_bytes: int) -> AsyncGenerator[str, None]:
        """The body line by line, without their ends. Raises FAULTS, TooLargeError."""
        if self._is_packed:
            return
        assert self._response is not None
        splitter = LineSplitter()
        count = size = 0
        async with aclosing(self._pieces(self._response)) as pieces:
            async for piece in pieces:
                count += 1
                size += len(piece)
                if size > limit_bytes:
                    raise TooLargeError(f"the answer has more than {limit_bytes} bytes")
                if _is_dust(count, size):
                    raise TooLargeError(f"the answer comes in {count} pieces of a few bytes")
                for line in splitter.feed(piece):
                    yield line
        for line in splitter.end():
            yield line

    async def close(self) -> None:
        """Give the connection back, or end it when the body was not read to its end, or when more came than that."""
        if self._response is None or self._connection is None:
            return
        await self._response.aclose()
        if self._connection.is_available() and _has_more(self._connection, self._response):
            await self._connection.aclose()

    def fault(self, error: Exception) -> str:
        """What went wrong, in words."""
        if isinstance(error, ForbiddenError | NoConnectionError | LateConnectionError | NoMeansError | TooLargeError):
            return str(error)
        said = next((said for kind, said in _SAID if isinstance(error, kind)), "the connection broke: {}")
        if isinstance(error, httpcore.RemoteProtocolError) and "disconnected" in str(error):
            said = "the connection was closed without an answer"
        return said.format(error if isinstance(error, httpcore.ProxyError) else words(error))

    @property
    def _is_packed(self) -> bool:
        return self.headers.get("content-encoding", "identity") not in {"", "identity"}

    @staticmethod
    async def _pieces(response: httpcore.Response) -> AsyncGenerator[bytes, None]:
        async for piece in response.aiter_stream():
            yield piece


def _is_dust(count: int, size: int) -> bool:
    """Whether a body comes in so many so small pieces that to put them together is all that the core would do."""
    return count > _DUST_COUNT and size < count * _DUST_BYTES


def _has_more(connection: httpcore.AsyncConnectionInterface, response: httpcore.Response) -> bool:
    """Whether bytes of the far side are left that nobody asked for: they would be the answer to the next request.

    What the system still holds of them is seen when the connection is taken again.
    """
    inner: object = connection
    # The library looks at the system's part alone, and shows its own and that of TLS to nobody.
    while inner is not None and not hasattr(inner, "_h11_state"):
        inner = getattr(inner, "_connection", None)
    if getattr(getattr(inner, "_h11_state", None), "trailing_data", None) != (b"", False):
        return True
    # The library does not say what its extensions are.
    stream: object = cast("Any", response).extensions.get("network_stream")
    if not isinstance(stream, NoticingStream) or stream.may_hold_more:
        return True
    session: object = stream.get_extra_info("ssl_object")
    if not isinstance(session, ssl.SSLObject):
        return False
    try:
        session.read(1)
    except ssl.SSLWantReadError:
        return False
    except ssl.SSLError:
        return True
    return True


class LineSplitter:
    """Cuts UTF-8 that comes in pieces into lines; they end as server-sent events do: LF, CR LF or CR.

    However small the pieces, each letter is looked at once.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun: list[str] = []
        self._held = ""

    def feed(self, piece: bytes) -> list[str]:
        """The lines that are complete now."""
        text = self._held + self._decoder.decode(piece)
        # The second half of an end may still be under way.
        self._held = "\r" if text.endswith("\r") else ""
        lines = _LINE_END.split(text.removesuffix(self._held))
        last = lines.pop()
        if lines:
            lines[0] = "".join((*self._begun, lines[0]))
            self._begun.clear()
        if last:
            self._begun.append(last)
        return lines

    def end(self) -> list[str]:
        """What is left."""
        rest = "".join((*self._begun, self._held, self._decoder.decode(b"", final=True))).removesuffix("\r")
        self._begun.clear()
        self._held = ""
        return [rest] if rest else []
