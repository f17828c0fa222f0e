"""Connections that are kept, one pool for each far side and allow-list. Imported when the first call is made.

The library's own pools look at every connection and every waiting request again for each request, which at a hundred
at a time costs more than the requests; here they only make connections.
"""

import resource
import ssl
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import unquote, urlsplit

import httpcore

from core.clock import Clock
from core.relay.addresses import ForbiddenError, IpNetwork, Place, networks_of, permitted, place_of
from core.relay.diallers import Dialler, NoMeansError
from core.relay.resolvers import Resolve
from core.waits import breathe

_IDLE_S = 15.0
_IDLE_COUNT = 256
_IDLE_PART = 4
"""Of the files that this program may have open, one in so many may be a connection that nobody uses."""

_IDLE_MOST = 4_096

_BREATH_EVERY = 20

_Key = tuple[str, str, int, tuple[str, ...]]


class Room:
    """How many connections that nobody uses may be kept, of all far sides together."""

    def __init__(self, limit: int) -> None:
        self.left = limit


class Pool:
    """Connections to one far side under one allow-list; how many there may be is for its callers to bound."""

    __slots__ = ("_dialler", "_factory", "_idle", "_origin", "_room", "_used")

    def __init__(self, factory: httpcore.AsyncConnectionPool, dialler: Dialler, place: Place, room: Room) -> None:
        self._factory = factory
        self._dialler = dialler
        self._origin = httpcore.Origin(place.scheme.encode(), place.host.encode(), place.port)
        self._room = room
        # The one that was used longest ago stands first.
        self._idle: deque[httpcore.AsyncConnectionInterface] = deque()
        self._used: set[httpcore.AsyncConnectionInterface] = set()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is lost when it is forgotten."""
        return not self._idle and not self._used

    def useless(self) -> httpcore.AsyncConnectionInterface | None:
        """One that take() would give and that is of no use any more, taken out; it is to be closed."""
        if not self._idle or (self._idle[-1].is_available() and not self._idle[-1].has_expired()):
            return None
        self._room.left += 1
        return self._idle.pop()

    def unused(self, *, is_expired: bool) -> httpcore.AsyncConnectionInterface | None:
        """The one that was used longest ago, taken out; it is to be closed. is_expired: only if it waited too long."""
        if not self._idle or (is_expired and not self._idle[0].has_expired()):
            return None
        self._room.left += 1
        return self._idle.popleft()

    def take(self) -> httpcore.AsyncConnectionInterface:
        """One that nobody uses: the one that was used last, else a new one, which connects with its first request."""
        if self._idle:
            self._room.left += 1
            found = self._idle.pop()
        else:
            found = self._factory.create_connection(self._origin)
        self._used.add(found)
        return found

    async def give(self, connection: httpcore.AsyncConnectionInterface) -> None:
        """A request is over. What has not come to a clean end is closed."""
        self._used.discard(connection)
        has_room = self._room.left > 0 and len(self._idle) < _IDLE_COUNT and not self._dialler.is_closed
        if has_room and connection.is_available():
            self._room.left -= 1
            self._idle.append(connection)
        else:
            await connection.aclose()

    async def close(self) -> None:
        """End all connections, those too that are only being made."""
        self._dialler.is_closed = True
        everything = [*self._idle, *self._used]
        self._idle.clear()
        for connection in everything:
            await connection.aclose()


class Pools:
    """All of them. A connection made under one allow-list is never used under another.

    proxy: URL of the one that all calls go through, None for none. Raises ForbiddenError when it cannot be one.
    """

    def __init__(self, resolve: Resolve, clock: Clock, tls: ssl.SSLContext, proxy: str | None) -> None:
        self.resolve = resolve
        self.tls = tls
        self.proxy = None if proxy is None else _proxy(proxy, tls)
        self.proxy_place = None if proxy is None else place_of(_without_user(proxy))
        self._clock = clock
        self._pools: dict[_Key, Pool] = {}
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._room = Room(_IDLE_MOST if files == resource.RLIM_INFINITY else min(files // _IDLE_PART, _IDLE_MOST))

    @asynccontextmanager
    async def using(self, place: Place, networks: tuple[str, ...]) -> AsyncGenerator[httpcore.AsyncConnectionInterface]:
        """A connection that a call under this allow-list may use, for one request."""
        pool = self._pool(place, networks)
        while (useless := pool.useless()) is not None:
            await useless.aclose()
            # It may have been forgotten meanwhile.
            pool = self._pool(place, networks)
        connection = pool.take()
        try:
            yield connection
        except NoMeansError:
            # What is kept here may be what is missing.
            await self.sweep(is_expired=False)
            raise
        finally:
            await pool.give(connection)

    def dialler(self, networks: Sequence[IpNetwork] | None) -> Dialler:
        """What connects under an allow-list; None: without a check, for the proxy."""
        return Dialler(self.resolve, networks, self._clock)

    async def check(self, place: Place, networks: tuple[str, ...]) -> None:
        """Behind a proxy, which connects for us: look at the addresses that the host has here, if it has any.

        Raises ForbiddenError. Without a proxy that is found when it connects.
        """
        if self.proxy is None:
            return
        try:
            found = await self.resolve(place.host)
        except OSError:
            return
        permitted(place.host, found, networks_of(networks))

    async def sweep(self, *, is_expired: bool = True) -> None:
        """Close what nobody uses, and forget far sides that nobody calls. is_expired: only what waited for too long."""
        for number, (key, pool) in enumerate(list(self._pools.items())):
            while (unused := pool.unused(is_expired=is_expired)) is not None:
                await unused.aclose()
            if pool.is_empty:
                self._pools.pop(key, None)
            # All at once would hold up everything else while hundreds are closed.
            if number % _BREATH_EVERY == _BREATH_EVERY - 1:
                await breathe()

    async def close(self) -> None:
        """Close all connections."""
        pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            await pool.close()

    def _pool(self, place: Place, networks: tuple[str, ...]) -> Pool:
        key = (place.scheme, place.host, place.port, networks)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = self._made(place, networks)
        return pool

    def _made(self, place: Place, networks: tuple[str, ...]) -> Pool:
        dialler = self.dialler(None if self.proxy else networks_of(networks))
        factory = httpcore.AsyncConnectionPool(
            ssl_context=self.tls, proxy=self.proxy, keepalive_expiry=_IDLE_S, network_backend=dialler
        )
        return Pool(factory, dialler, place, self._room)


def _proxy(url: str, tls: ssl.SSLContext) -> httpcore.Proxy:
    parts = urlsplit(url)
    who = (unquote(parts.username or ""), unquote(parts.password or ""))
    # Without one of ours the library reads the authorities anew for each connection, on the loop.
    is_encrypted = parts.scheme == "https"
    return httpcore.Proxy(_without_user(url), auth=who if any(who) else None, ssl_context=tls if is_encrypted else None)


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    try:
        place = place_of(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl())
    except ForbiddenError as error:
        raise ForbiddenError(f"relay.proxy cannot be used: {error}") from None
    return f"{place.origin}/"
