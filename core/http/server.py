"""The one HTTP server of the core: binds early, serves until cancelled, stops without hanging."""

import asyncio
import contextlib
import errno
import ipaddress
import logging
import socket
from collections.abc import Callable, Generator
from typing import Any

from core.api.errors import ConfigError, Unavailable
from core.http.asgi import App
from core.http.guard import Guard, RequestLimits
from core.http.holders import find_holder
from core.http.mounts import Mounts
from core.http.refusal import one_line
from core.secrets import Secret
from core.settings import HttpSettings

_KEY_MIN_LENGTH = 16
_BACKLOG = 512
# Below the usual limit of 1,024 open files, so that the store can always open its own.
_CONNECTION_LIMIT = 800
_GRACE_S = 2
_CANCEL_S = 1.0
_TICK_S = 0.1
_LAST_S = 0.02


class HttpServer:
    """Implements gateway.platform.HttpHost.

    key: of the API; None when there is none. log: takes one line for each failure.
    """

    def __init__(self, settings: HttpSettings, key: Secret | None, log: Callable[[str], None]) -> None:
        self._settings = settings
        self._key = key
        self._log = log
        self._mounts = Mounts()
        self._socket: socket.socket | None = None
        self._url = ""
        self._is_loopback = True
        self._server: Any = None
        self._is_running = False
        self._must_stop = False
        self._told = asyncio.Event()
        self._ended = asyncio.Event()

    @property
    def url(self) -> str:
        """Where it listens, such as http://127.0.0.1:8642; "" while it does not."""
        return self._url

    @property
    def api_key(self) -> Secret | None:
        """The key that callers of the API must have; None when there is none."""
        return self._key

    @property
    def probe_key(self) -> Secret | None:
        """The key that /metrics must ask for; None where only this machine can call."""
        return None if self._is_loopback else self._key

    def mount(self, prefix: str, app: App) -> None:
        """Hand all requests below `prefix` to an ASGI app. Raises ValueError when it is taken."""
        self._mounts.mount(prefix, app)

    def unmount(self, prefix: str) -> None:
        """Answer 404 below `prefix` again."""
        self._mounts.unmount(prefix)

    async def bind(self) -> None:
        """Take the port and begin to listen; callers wait until run() serves them.

        Raises ConfigError when the host can be reached from elsewhere and the key is missing or
        short, Unavailable when the host is unknown or the port cannot be taken.
        """
        self._must_stop = False
        if self._socket is not None:
            return
        family, address = await self._resolved()
        is_loopback = ipaddress.ip_address(address[0].partition("%")[0]).is_loopback
        if not is_loopback:
            self._demand_key()
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setblocking(False)
            # Only lets us take a port back from connections that are closing, never from a listener.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            # Two sockets can be bound to one port while neither listens.
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            raise await self._not_bound(error) from error
        self._socket = listener
        self._is_loopback = is_loopback
        host = self._settings.host.strip("[]")
        self._url = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"

    async def run(self) -> None:
        """Serve until cancelled or stop(); open answers get two seconds to end. Binds where bind() has not."""
        if self._must_stop:
            # Told to stop between bind() and the first step of this task.
            return
        self._is_running = True
        self._ended.clear()
        self._told.clear()
        try:
            await self.bind()
            listener = self._socket
            assert listener is not None, "bind() leaves a socket or raises"
            server = self._server = await asyncio.to_thread(self._made)
            server.should_exit = self._must_stop
            with _uvicorn_lines(self._log):
                await server.startup(sockets=[listener])
                try:
                    await self._tick(server)
                finally:
                    await _shut(server, listener)
        finally:
            self._server, self._is_running = None, False
            self._close()
            self._ended.set()

    async def stop(self) -> None:
        """Stop serving and let the port go; returns when run() is at its end."""
        self._must_stop = True
        if not self._is_running:
            self._close()
            return
        if self._server is not None:
            self._server.should_exit = True
        self._told.set()
        await self._ended.wait()

    async def _tick(self, server: Any) -> None:
        """Like the server's own loop, but a stop need not wait for the next tick."""
        count = 0
        while not await server.on_tick(count):
            count += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_S):
                    await self._told.wait()

    def _made(self) -> Any:
        import uvicorn

        from core.http.protocol import HEAD_LIMIT_BYTES, bounded_protocol

        settings = self._settings
        limits = RequestLimits(body_bytes=settings.body_limit_bytes, body_timeout_s=settings.body_timeout_s)
        guard: Any = Guard(self._mounts, limits=limits, is_loopback=self._is_loopback, log=self._log)
        config = uvicorn.Config(
            guard,
            http=bounded_protocol(header_timeout_s=settings.header_timeout_s, connection_limit=_CONNECTION_LIMIT),
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=max(1, round(settings.idle_timeout_s)),
            timeout_graceful_shutdown=_GRACE_S,
            h11_max_incomplete_event_size=HEAD_LIMIT_BYTES,
        )
        config.load()
        # serve() would take over SIGINT and SIGTERM and end the process on some failures; its parts do not.
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        return server

    async def _resolved(self) -> tuple[int, Any]:
        host, port = self._settings.host, self._settings.port
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        except (OSError, UnicodeError) as error:
            raise Unavailable(
                f"cannot listen on {one_line(host)}: {one_line(str(error))}", host=host, port=port, fix="set http.host"
            ) from error
        family, _, _, _, address = found[0]
        return family, address

    def _demand_key(self) -> None:
        if self._key is not None and len(self._key.reveal()) >= _KEY_MIN_LENGTH:
            return
        host = self._settings.host
        raise ConfigError(
            f"{one_line(host)} can be reached from other machines, and http.key is missing or shorter than "
            f"{_KEY_MIN_LENGTH} characters",
            key="http.host",
            value=host,
            fix="set http.key to a longer one, or http.host to 127.0.0.1",
        )

    async def _not_bound(self, error: OSError) -> Unavailable:
        host, port = self._settings.host, self._settings.port
        pid: int | None = None
        cause, fix = one_line(error.strerror or str(error)), "set http.host and http.port"
        if error.errno == errno.EADDRINUSE:
            pid = await asyncio.to_thread(find_holder, port)
            cause = "the port is in use" + (f" by process {pid}" if pid is not None else "")
            fix = "stop the program that holds it, or set http.port (0 takes a free one)"
        return Unavailable(f"cannot listen on {host}:{port}: {cause}", host=host, port=port, pid=pid, fix=fix)

    def _close(self) -> None:
        self._url = ""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


async def _shut(server: Any, listener: socket.socket) -> None:
    state = server.server_state
    if not state.connections and not state.tasks:
        # shutdown() would wait a while for callers to hang up; there are none but those that go already.
        for accepting in server.servers:
            accepting.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_S):
                await asyncio.Event().wait()
    if not state.connections and not state.tasks:
        return
    await server.shutdown(sockets=[listener])
    await _settled(state.tasks)


async def _settled(tasks: set[asyncio.Task[None]]) -> None:
    if tasks:
        await asyncio.wait(set(tasks), timeout=_CANCEL_S)


class _LineHandler(logging.Handler):
    """Passes on what uvicorn could not do as one line, and never a trace; malformed requests are no news."""

    def __init__(self, log: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record."""
        # Answers that a stop cuts off are no failure.
        if record.exc_info is not None and isinstance(record.exc_info[1], asyncio.CancelledError):
            return
        self._log(one_line(record.getMessage()))


@contextlib.contextmanager
def _uvicorn_lines(log: Callable[[str], None]) -> Generator[None]:
    # Without a handler of ours Python would print warnings on the terminal, over the screen.
    logger = logging.getLogger("uvicorn.error")
    handler = _LineHandler(log)
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
