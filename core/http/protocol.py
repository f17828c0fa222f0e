"""HTTP/1.1 connections with a deadline for headers, a bound on their number, and errors as JSON.

Imports uvicorn, so it is imported only once the server runs.
"""

import asyncio
import sys
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from core.http.refusal import HttpRefusal

HEAD_LIMIT_BYTES = 32_768
_LINGER_S = 0.5
_LINGERING_LIMIT = 64

_CODES = {
    400: ("malformed_request", "this is not a well-formed HTTP request"),
    431: ("headers_too_large", f"request line and headers may have {HEAD_LIMIT_BYTES} bytes"),
    501: ("unsupported_encoding", "this transfer encoding is not known here"),
}


def bounded_protocol(*, header_timeout_s: float, connection_limit: int) -> type[H11Protocol]:
    """A protocol class with these bounds, for uvicorn."""

    class Bounded(_BoundedProtocol):
        _header_timeout_s = header_timeout_s
        _connection_limit = connection_limit

    return Bounded


class _BoundedProtocol(H11Protocol):
    _header_timeout_s: float
    _connection_limit: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._has_spoken = False
        self._is_turned_away = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        surplus = len(self.connections) - self._connection_limit
        if surplus > _LINGERING_LIMIT:
            self.transport.abort()
            return
        if surplus > 0:
            self._turn_away()
            return
        self._deadline = self.loop.call_later(self._header_timeout_s, self._headers_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_turned_away:
            return
        self._has_spoken = True
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
            self._disarm()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self._header_timeout_s, self._headers_late)

    def _turn_away(self) -> None:
        # Closed at once, with the request unread, the system would send a reset that can overtake the answer.
        self._is_turned_away = True
        self._answer(HttpRefusal(503, "too_many_connections", "all connections are taken; try again in a moment"))
        self.transport.write_eof()
        self._deadline = self.loop.call_later(_LINGER_S, self.transport.close)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words are replaced by ours
        error = sys.exc_info()[1]
        hint = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        status = hint if hint in _CODES else 400
        self._refuse(HttpRefusal(status, *_CODES[status]))

    def _headers_late(self) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        if self._has_spoken:
            limit_s = self._header_timeout_s
            self._refuse(HttpRefusal(408, "header_timeout", f"the headers were not whole after {limit_s:g} s"))
        else:
            self.transport.close()

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, refusal: HttpRefusal) -> None:
        if self.cycle is not None:  # pyright: ignore[reportUnnecessaryComparison] - None until the first request
            # What the app still sends must not follow this answer.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._answer(refusal)
        self.transport.close()

    def _answer(self, refusal: HttpRefusal) -> None:
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            body = refusal.body()
            head = h11.Response(
                status_code=refusal.status,
                headers=[
                    (b"content-type", b"application/json"),
                    (b"content-length", str(len(body)).encode()),
                    (b"connection", b"close"),
                ],
            )
            for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
