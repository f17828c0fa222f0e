"""A relay of HotPlex as it is: it reads four fields, knows no task, says ok to all, and has one route."""

import asyncio
import json
from typing import Any

from tests.support.loopback import Loopback, read_request

STUB = {"task_id": "", "status": "ok", "timestamp": "0001-01-01T00:00:00Z", "duration": 0}


class HotplexPeer(Loopback):
    """heard: what it made of each message; headers: what came with it. is_down: it answers 500 to all."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[dict[str, str]] = []
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.is_down = False

    @property
    def url(self) -> str:
        """Base address."""
        return super().url.removesuffix("/v1")

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            first_line, headers, body = await read_request(reader)
            method, path, _ = first_line.split()
            if path != "/relay":
                await _answer(writer, "404 Not Found", "404 page not found\n")
            elif method != "POST":
                await _answer(writer, "405 Method Not Allowed", "")
            elif self.is_down:
                await _answer(writer, "500 Internal Server Error", json.dumps({"error": "engine not ready"}))
            else:
                self.headers.append(headers)
                self.bodies.append(body)
                self.heard.append({name: str(body.get(name, "")) for name in ("from", "to", "session_key", "message")})
                await _answer(writer, "200 OK", json.dumps(STUB) + "\n")


async def _answer(writer: asyncio.StreamWriter, status: str, body: str) -> None:
    raw = body.encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
    writer.write(head.encode() + raw)
    await writer.drain()
