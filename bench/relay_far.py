"""A bare far side of the relay, in a process of its own: takes every message at once. Its port, then a black hole's."""

import asyncio
import socket
import sys

ANSWER = b'{"task_id":"","status":"ok","timestamp":"0001-01-01T00:00:00Z","duration":0}\n'
_WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
_BACKLOG = 4096


class Taking(asyncio.Protocol):
    """Answers each request on a connection."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._seen = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody is there."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Some bytes of requests."""
        self._seen += data
        while (end := self._seen.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._seen[:end]).lower()
            _, _, after = head.partition(b"content-length:")
            whole = end + 4 + int(after.split(b"\r\n", 1)[0] or b"0")
            if len(self._seen) < whole:
                return
            del self._seen[:whole]
            assert self._transport is not None
            self._transport.write(_WHOLE)


async def main() -> None:
    """Serve until the other end of the standard input is closed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Taking, "0.0.0.0", 0, backlog=_BACKLOG)
    # Connections stand in its queue, and nobody ever takes them from there.
    with socket.create_server(("0.0.0.0", 0), backlog=_BACKLOG) as hole:
        print(server.sockets[0].getsockname()[1], hole.getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
