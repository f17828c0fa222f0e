"""Names of hosts to addresses, in threads of its own: a name server that hangs holds up nothing else."""

import asyncio
import errno
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from threading import Thread

from core.relay.addresses import IpAddress, literal_of
from core.waits import is_cancelled

Resolve = Callable[[str], Awaitable[Sequence[IpAddress]]]
"""All addresses of a host. Raises OSError."""

_THREADS = 32
_ADDRESSES = 8

_Asked = asyncio.Future[list[IpAddress]]


class Resolver:
    """Asks the system. Several that ask for one name at a time share the answer; nothing is kept for later."""

    def __init__(self) -> None:
        self._asked: dict[str, _Asked] = {}
        self._waiting: deque[str] = deque()
        self._thread_count = 0

    async def __call__(self, host: str) -> Sequence[IpAddress]:
        """All addresses of a host, the most wanted first, at most eight. Raises OSError.

        Has no deadline of its own. Whoever gives up leaves the question to the others that wait for it.
        """
        literal = literal_of(host)
        if literal is not None:
            return [literal]
        asked = self._asked.get(host)
        if asked is None:
            asked = self._asked[host] = asyncio.get_running_loop().create_future()
            asked.add_done_callback(lambda done: self._answered(host, done))
            self._waiting.append(host)
            self._begin()
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            raise OSError("the relay is being stopped") from None

    def close(self) -> None:
        """Forget what was not asked yet."""
        for host in self._waiting:
            self._asked[host].cancel()
        self._waiting.clear()

    def _begin(self) -> None:
        while self._waiting and self._thread_count < _THREADS:
            host = self._waiting.popleft()
            asked = self._asked[host]
            args = (host, asked.get_loop(), partial(self._over, asked))
            self._thread_count += 1
            try:
                # None that the end of the program would wait for: the system gives up after a minute, or not at all.
                Thread(target=_ask, args=args, name="relay-names", daemon=True).start()
            except RuntimeError:
                self._thread_count -= 1
                asked.set_exception(OSError(errno.ENOMEM, "no thread to be had"))

    def _over(self, asked: _Asked, found: list[IpAddress] | Exception) -> None:
        self._thread_count -= 1
        if isinstance(found, Exception):
            asked.set_exception(found)
        else:
            asked.set_result(found)
        self._begin()

    def _answered(self, host: str, done: _Asked) -> None:
        self._asked.pop(host, None)
        if not done.cancelled():
            # Looked at, so that one whose askers all gave up is no complaint of the loop.
            done.exception()


def _ask(host: str, loop: asyncio.AbstractEventLoop, tell: Callable[[list[IpAddress] | Exception], None]) -> None:
    try:
        found: list[IpAddress] | Exception = _looked_up(host)
    except Exception as error:  # noqa: BLE001 - handed to whoever waits
        found = error
    # The loop may have ended meanwhile.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(tell, found)


def _looked_up(host: str) -> list[IpAddress]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except socket.gaierror:
        # Without a file to open it knows no name, and does not say why.
        socket.socket(type=socket.SOCK_DGRAM).close()
        raise
    except UnicodeError:
        raise OSError("this is no name of a host") from None
    # Once each, in the order that the system prefers.
    texts = dict.fromkeys(str(entry[4][0]) for entry in found)
    return [address for text in texts if (address := literal_of(text)) is not None][:_ADDRESSES]
