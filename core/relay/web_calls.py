"""What does the calls of the relay, with the HTTP library. Imported when the first call is made."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import httpcore

from core.api.relay_targets import TargetFinding, TargetStep
from core.api.relay_tasks import AttemptResult
from core.clock import Clock
from core.relay.addresses import ForbiddenError, Place, place_of
from core.relay.diallers import NoMeansError, trusted
from core.relay.resolvers import Resolve
from core.relay.web import CallError, Request, StoppedError, WebAnswer
from core.relay.web_exchanges import FAULTS, Exchange
from core.relay.web_looks import looked
from core.relay.web_pools import Pools
from core.retry_after import retry_after_s


class WebCalls:
    """Calls over connections that are kept. Raises ForbiddenError for a proxy that cannot be one.

    tls: None for the authorities of the system, which are read then: make it off the loop.
    """

    def __init__(self, resolve: Resolve, clock: Clock, tls: ssl.SSLContext | None, proxy: str | None) -> None:
        self._clock = clock
        self._pools = Pools(resolve, clock, tls or trusted(), proxy)
        self._is_closed = False

    async def call(self, request: Request) -> WebAnswer:
        """Ask once. Raises CallError."""
        place = _place(request.url)
        exchange = _exchange(place, request)
        try:
            async with asyncio.timeout(request.limit_s), self._pools.using(place, request.networks) as connection:
                try:
                    await self._pools.check(place, request.networks)
                    await exchange.begin(connection)
                    await exchange.read(request.limit_bytes)
                finally:
                    await exchange.close()
        except FAULTS as error:
            if not exchange.status:
                raise self._failed(exchange, error, request.limit_s) from None
            exchange.is_cut = True
        return self._answer(exchange)

    async def lines(self, request: Request) -> AsyncGenerator[str | WebAnswer, None]:
        """Ask once and give what comes line by line. Raises CallError."""
        ends = self._clock.monotonic() + request.limit_s
        place = _place(request.url)
        exchange = _exchange(place, request)
        lines = exchange.lines(request.limit_bytes)
        async with self._pools.using(place, request.networks) as connection, aclosing(lines):
            try:
                # A deadline around a yield would end whoever reads: each wait has one of its own.
                async with asyncio.timeout(request.limit_s):
                    await self._pools.check(place, request.networks)
                    await exchange.begin(connection)
                yield self._answer(exchange)
                while True:
                    async with asyncio.timeout(ends - self._clock.monotonic()):
                        line = await anext(lines, None)
                    if line is None:
                        return
                    yield line
            except FAULTS as error:
                raise self._failed(exchange, error, request.limit_s) from None
            finally:
                await exchange.close()

    async def look(self, url: str, networks: tuple[str, ...], limit_s: float) -> Sequence[TargetFinding]:
        """Address, connection and TLS. Never raises."""
        try:
            place = place_of(url)
        except ForbiddenError as error:
            return [TargetFinding(step=TargetStep.ADDRESS, is_ok=False, seconds=0.0, detail=str(error))]
        return await looked(self._pools, place, networks, limit_s, self._clock)

    async def sweep(self) -> None:
        """Close connections that nobody uses any more."""
        await self._pools.sweep()

    async def close(self) -> None:
        """Close all connections."""
        self._is_closed = True
        await self._pools.close()

    def _failed(self, exchange: Exchange, error: Exception, limit_s: float) -> CallError:
        if self._is_closed:
            return StoppedError()
        if isinstance(error, NoMeansError):
            return CallError(str(error), AttemptResult.CUT_OFF)
        result = AttemptResult.UNKNOWN if exchange.has_left else AttemptResult.UNDELIVERED
        if isinstance(error, TimeoutError):
            what = "no answer" if exchange.has_left else "no connection"
            what = "no end of the answer" if exchange.status else what
            return CallError(f"{what} within {limit_s:g} s", result)
        # Nothing of a request is written that breaks the rules of HTTP: the far side has no part in that.
        is_unwritable = isinstance(error, httpcore.LocalProtocolError) and not exchange.has_left
        return CallError(exchange.fault(error), result, is_ours=is_unwritable or isinstance(error, ForbiddenError))

    def _answer(self, exchange: Exchange) -> WebAnswer:
        asked = exchange.headers.get("retry-after", "")
        return WebAnswer(
            exchange.status,
            exchange.headers,
            bytes(exchange.body),
            is_cut=exchange.is_cut,
            retry_after_s=retry_after_s(asked, self._clock.now()) if asked else None,
        )


def _place(url: str) -> Place:
    try:
        return place_of(url)
    except ForbiddenError as error:
        raise CallError(str(error), AttemptResult.UNDELIVERED, is_ours=True) from None


def _exchange(place: Place, request: Request) -> Exchange:
    try:
        return Exchange(request.method, place, request.headers, request.body, request.limit_s)
    except ValueError:
        raise CallError("the request cannot be put into HTTP", AttemptResult.UNDELIVERED, is_ours=True) from None
