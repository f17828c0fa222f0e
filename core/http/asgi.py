"""What an app reads from a request and how it answers as a whole: headers, body, JSON."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Iterable[tuple[str, str]]

JSON = "application/json"


class ClientGone(Exception):
    """The caller hung up before the request was whole. There is nobody to answer."""


def header(scope: Scope, name: str) -> str | None:
    """The value of a header, None when it is absent. Several of one name are joined by commas,
    so that a second key or signature never passes for a single one.
    """
    wanted = name.lower().encode("latin-1")
    values = [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == wanted]
    return ", ".join(values) if values else None


def media_type(scope: Scope) -> str:
    """The type of the body, in small letters and without parameters; JSON when the caller names none."""
    return (header(scope, "content-type") or JSON).partition(";")[0].strip().lower()


async def hung_up(receive: Receive) -> None:
    """Wait until the caller is gone. What it still sends is let go."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def read_body(receive: Receive) -> bytes:
    """The whole body. Raises ClientGone when the caller hangs up first."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def start(send: Send, status: int, headers: Headers) -> None:
    """Send status and headers."""
    encoded = [(key.lower().encode("latin-1"), value.encode("latin-1")) for key, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": encoded})


async def chunk(send: Send, body: bytes, *, more: bool) -> None:
    """Send a piece of the body; the last one says more=False."""
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def respond(send: Send, status: int, body: bytes, *, content_type: str = JSON, headers: Headers = ()) -> None:
    """Send a whole response."""
    await start(send, status, [("content-type", content_type), ("content-length", str(len(body))), *headers])
    await chunk(send, body, more=False)


async def respond_json(send: Send, status: int, value: object, *, headers: Headers = ()) -> None:
    """Send a value as one line of JSON."""
    await respond(send, status, msgspec.json.encode(value) + b"\n", headers=headers)
