"""Serves any Hermes over a Unix socket that only its owner may use."""

import asyncio
import contextlib
import os
import socket
import stat
import struct
from collections.abc import Callable
from pathlib import Path

from core.api.errors import ConfigError, Overloaded, Unauthorised
from core.api.port import Hermes
from core.attach.connection import Connection
from core.attach.frames import CoreWire

_CONNECTION_LIMIT = 64
_BACKLOG = 64
_PEER = struct.Struct("3i")


class AttachServer:
    """Listens at `path` until `run` is cancelled. The caller must hold the home.

    greeting_limit_s: how long a caller may take to say Hello. drain_limit_s: how long
    requests under way may take when the server is stopped. on_error: told of a fault of
    ours that ended one connection.
    """

    def __init__(
        self,
        hermes: Hermes,
        path: Path,
        *,
        version: str,
        greeting_limit_s: float = 5.0,
        drain_limit_s: float = 1.0,
        on_error: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        self.path = path
        self.is_listening = asyncio.Event()
        self._hermes = hermes
        self._version = version
        self._greeting_limit_s = greeting_limit_s
        self._drain_limit_s = drain_limit_s
        self._on_error = on_error
        self._connections: set[Connection] = set()

    @property
    def connection_count(self) -> int:
        """Callers that are connected."""
        return len(self._connections)

    async def run(self) -> None:
        """Listen and serve until cancelled. Raises ConfigError when the socket cannot be made."""
        listener = await asyncio.to_thread(_bound, self.path)
        try:
            async with asyncio.TaskGroup() as tasks:
                server = await asyncio.start_unix_server(
                    lambda reader, writer: self._accept(reader, writer, tasks), sock=listener
                )
                try:
                    self.is_listening.set()
                    await asyncio.Event().wait()
                finally:
                    self.is_listening.clear()
                    server.close()
                    await asyncio.gather(*(caller.drained(self._drain_limit_s) for caller in self._connections))
        finally:
            listener.close()
            await asyncio.to_thread(self.path.unlink, missing_ok=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tasks: asyncio.TaskGroup) -> None:
        wire = CoreWire(self._version)
        if not self.is_listening.is_set():
            writer.close()
            return
        uid = _uid_of(writer)
        if uid != os.geteuid():
            wire.reject(Unauthorised("this core serves another user", rule="owner"))
        elif len(self._connections) >= _CONNECTION_LIMIT:
            wire.reject(Overloaded("too many callers", bound="connections", limit=_CONNECTION_LIMIT))
        else:
            tasks.create_task(self._serve(reader, writer))
            return
        writer.write(wire.outgoing())
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(
            self._hermes, reader, writer, version=self._version, greeting_limit_s=self._greeting_limit_s
        )
        self._connections.add(connection)
        try:
            await connection.run()
        except Exception as error:  # noqa: BLE001 - one connection's fault must not end the others
            self._on_error(error)
        finally:
            self._connections.discard(connection)


def _uid_of(writer: asyncio.StreamWriter) -> int | None:
    """User at the other end; None when it cannot be told."""
    with contextlib.suppress(OSError):
        peer = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        uid: int = _PEER.unpack(peer)[1]
        return uid
    return None


def _bound(path: Path) -> socket.socket:
    """A bound socket of mode 600 that does not listen yet, so nobody can come in before its mode is right."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _clear(path)
        listener.bind(str(path))
        path.chmod(0o600)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen at {path}: {error.strerror or error}",
            key="home",
            value=str(path),
            fix="choose another home with --home or HERMES_CONSOLE_HOME",
        ) from error
    listener.listen(_BACKLOG)
    return listener


def _clear(path: Path) -> None:
    """Remove the socket that a killed core left behind; anything else is not ours to remove."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise OSError(None, "something else than a socket is there")
        path.unlink()
