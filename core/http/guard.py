"""What stands before every app: bounds on requests, headers for browsers, errors as one line of JSON."""

import asyncio
import contextlib
from collections.abc import Callable

import msgspec

from core.api.errors import HermesError
from core.http import asgi
from core.http.asgi import App, ClientGone, Message, Receive, Scope, Send, header
from core.http.origin import is_loopback_host, is_same_origin
from core.http.refusal import HttpRefusal, one_line, refusal_of

_LINGER_S = 1.0
_SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
_CLOSE = (b"connection", b"close")


class RequestLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one request. body_timeout_s: from the first to the last byte of the body."""

    body_bytes: int
    body_timeout_s: float
    target_bytes: int = 8_192
    header_bytes: int = 32_768
    header_count: int = 100


class Guard:
    """An ASGI app round another. Whatever the inner one raises, the caller gets a proper answer.

    is_loopback: whether only this machine can call, so that the Host header must name it.
    log: takes one line for each failure that is ours.
    """

    def __init__(self, app: App, *, limits: RequestLimits, is_loopback: bool, log: Callable[[str], None]) -> None:
        self._app = app
        self._limits = limits
        self._is_loopback = is_loopback
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        exchange = _Exchange(scope, receive, send, self._limits)
        try:
            self._check(scope)
            await self._app(scope, exchange.receive, exchange.send)
        except HttpRefusal as refusal:
            await exchange.refuse(refusal)
        except HermesError as error:
            await exchange.refuse(refusal_of(error))
        except ClientGone:
            return
        except asyncio.CancelledError:
            await exchange.refuse(HttpRefusal(503, "stopping", "the server is stopping; try again in a moment"))
            raise
        except Exception as error:  # noqa: BLE001 - the caller learns that it failed, the log learns what
            self._log(f"{scope['method']} {one_line(scope['path'])} failed: {_named(error)}")
            await exchange.refuse(HttpRefusal(500, "internal", "this request failed on our side; the log says why"))

    def _check(self, scope: Scope) -> None:
        limits = self._limits
        if len(scope.get("raw_path") or b"") + len(scope.get("query_string") or b"") > limits.target_bytes:
            raise HttpRefusal(414, "target_too_long", f"the address is longer than {limits.target_bytes} bytes")
        size = sum(len(key) + len(value) + 4 for key, value in scope["headers"])
        if size > limits.header_bytes or len(scope["headers"]) > limits.header_count:
            raise HttpRefusal(
                431,
                "headers_too_large",
                f"headers may have {limits.header_bytes} bytes in {limits.header_count} lines",
            )
        self._check_browser(scope)
        declared = header(scope, "content-length") or ""
        if declared.isascii() and declared.isdigit() and int(declared[:20]) > limits.body_bytes:
            raise _too_large(limits)

    def _check_browser(self, scope: Scope) -> None:
        host = header(scope, "host")
        # Only HTTP/1.0 may leave the name out, and no browser speaks that.
        if self._is_loopback and host is not None and not is_loopback_host(host):
            raise HttpRefusal(403, "bad_host", "the Host header names another machine; call 127.0.0.1 or localhost")
        origin = header(scope, "origin")
        if origin is not None and not is_same_origin(origin, host or ""):
            raise HttpRefusal(403, "cross_origin", "web pages of other origins may not call this server")


class _Exchange:
    """One request and its response, with what has happened to them so far."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits: RequestLimits) -> None:
        self._receive = receive
        self._send = send
        self._limits = limits
        self._is_started = False
        self._is_read = not _has_body(scope)
        self._may_linger = header(scope, "expect") is None

    async def receive(self) -> Message:
        """The whole body as one message, then what the server says. Raises HttpRefusal 413 or 408."""
        if self._is_read:
            return await self._receive()
        try:
            async with asyncio.timeout(self._limits.body_timeout_s):
                body = await self._bounded_body()
        except TimeoutError:
            limit_s = self._limits.body_timeout_s
            raise HttpRefusal(408, "body_timeout", f"the body was not whole after {limit_s:g} s") from None
        return {"type": "http.request", "body": body, "more_body": False}

    async def _bounded_body(self) -> bytes:
        body = bytearray()
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                self._is_read = True
                raise ClientGone
            body += message.get("body", b"")
            self._is_read = not message.get("more_body", False)
            if len(body) > self._limits.body_bytes:
                raise _too_large(self._limits)
            if self._is_read:
                return bytes(body)

    async def send(self, message: Message) -> None:
        """Send what the app sends, with our headers."""
        if message["type"] == "http.response.start":
            self._is_started = True
            headers = [*message.get("headers", []), *_SECURITY_HEADERS]
            if not self._is_read:
                headers.append(_CLOSE)
            await self._send({**message, "headers": headers})
        elif self._is_read or message.get("more_body", False):
            await self._send(message)
        else:
            await self._send({**message, "more_body": True})
            await self._linger()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def refuse(self, refusal: HttpRefusal) -> None:
        """Answer with an error; when an answer has begun, it is left cut off, which the caller can see."""
        if not self._is_started:
            await asgi.respond(self.send, refusal.status, refusal.body(), headers=refusal.headers)

    async def _linger(self) -> None:
        # Closing while the caller still writes would reset the connection and take our answer with it.
        if not self._may_linger:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                more = True
                while more:
                    message = await self._receive()
                    more = message["type"] == "http.request" and message.get("more_body", False)


def _has_body(scope: Scope) -> bool:
    declared = header(scope, "content-length")
    return header(scope, "transfer-encoding") is not None or (declared is not None and declared.strip() != "0")


def _too_large(limits: RequestLimits) -> HttpRefusal:
    return HttpRefusal(413, "body_too_large", f"the body is larger than {limits.body_bytes} bytes")


def _named(error: BaseException) -> str:
    match error:
        case BaseExceptionGroup(exceptions=(first, *_)):
            return _named(first)
        case _:
            return one_line(f"{type(error).__name__}: {error}")
