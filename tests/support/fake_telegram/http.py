"""HTTP/1.1 as a Bot API server needs it: JSON, forms and files in, JSON out, and lines that break when told."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

LARGEST_BODY = 60 * 1024 * 1024


@dataclass
class Request:
    """One request. params: of the query and the body; files: by field name, as (file name, contents)."""

    method: str
    path: str
    headers: dict[str, str]
    params: dict[str, Any] = field(default_factory=dict)
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)


@dataclass
class Reply:
    """One answer. cut_at: the line breaks after so many bytes of the body."""

    status: int
    body: bytes
    content_type: str = "application/json"
    cut_at: int | None = None


class Malformed(Exception):
    """What came is no request that can be read."""


def json_reply(status: int, value: object) -> Reply:
    """An answer of JSON."""
    return Reply(status, json.dumps(value).encode())


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request on a line; None when the line has ended."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except asyncio.IncompleteReadError:
        return None
    method, target, _ = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await _body(reader, headers)
    url = urlsplit(target)
    request = Request(method, unquote(url.path), headers, dict(parse_qsl(url.query, keep_blank_values=True)))
    _read_body(request, body)
    return request


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        length = int(headers.get("content-length", "0"))
        if length > LARGEST_BODY:
            raise Malformed
        return await reader.readexactly(length)
    parts: list[bytes] = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(parts)


def _read_body(request: Request, body: bytes) -> None:
    kind, _, options = request.headers.get("content-type", "").partition(";")
    if not body:
        return
    if kind == "application/json":
        try:
            value = json.loads(body)
        except ValueError:
            raise Malformed from None
        if not isinstance(value, dict):
            raise Malformed
        request.params |= value
    elif kind == "application/x-www-form-urlencoded":
        request.params |= dict(parse_qsl(body.decode(), keep_blank_values=True))
    elif kind == "multipart/form-data":
        _read_parts(request, body, options.partition("boundary=")[2].strip().strip('"'))
    else:
        raise Malformed


def _read_parts(request: Request, body: bytes, boundary: str) -> None:
    if not boundary or not body.rstrip().endswith(f"--{boundary}--".encode()):
        raise Malformed
    for part in body.split(f"--{boundary}".encode())[1:-1]:
        head, found, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        if not found or not content.endswith(b"\r\n"):
            raise Malformed
        options = _disposition(head.decode())
        name = options.get("name", "")
        if not name or name in request.params or name in request.files:
            raise Malformed
        if "filename" in options:
            request.files[name] = (options["filename"], content[:-2])
        else:
            request.params[name] = content[:-2].decode()


def _disposition(head: str) -> dict[str, str]:
    lines = {name.strip().lower(): value for name, _, value in (line.partition(":") for line in head.split("\r\n"))}
    kind, *options = lines.get("content-disposition", "").split(";")
    if kind.strip() != "form-data":
        raise Malformed
    pairs = (option.strip().partition("=") for option in options)
    return {name: unquote(value.strip('"')) for name, _, value in pairs}


async def write_reply(writer: asyncio.StreamWriter, reply: Reply) -> bool:
    """Send an answer; whether the line still stands."""
    head = (
        f"HTTP/1.1 {reply.status} X\r\ncontent-type: {reply.content_type}\r\n"
        f"content-length: {len(reply.body)}\r\nconnection: keep-alive\r\n\r\n"
    )
    body = reply.body if reply.cut_at is None else reply.body[: reply.cut_at]
    writer.write(head.encode() + body)
    await writer.drain()
    return reply.cut_at is None
