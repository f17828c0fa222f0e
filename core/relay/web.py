"""Calls over HTTP to addresses that may be called, and only those: checked when the connection is made."""

import asyncio
import importlib
import importlib.util
import logging
import ssl
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from types import ModuleType
from typing import Protocol, cast

import msgspec

from core.api.relay_targets import TargetFinding, TargetStep
from core.api.relay_tasks import AttemptResult
from core.clock import Clock
from core.relay.addresses import ForbiddenError
from core.relay.resolvers import Resolve, Resolver
from core.relay_settings import RelaySettings

_CALLS = "core.relay.web_calls"
_OPTIONAL = "sniffio"
_SWEEP_EVERY_S = 15.0
_HEAVY = ("anyio", "anyio._backends._asyncio", "encodings.idna", "httpcore", _CALLS)


class CallError(Exception):
    """No answer came. result: whether the far side may have seen the request. is_ours: a rule of ours forbade it."""

    def __init__(self, error: str, result: AttemptResult, *, is_ours: bool = False) -> None:
        super().__init__(error)
        self.result = result
        self.is_ours = is_ours


class StoppedError(CallError):
    """The relay ends, so nothing is said about the far side."""

    def __init__(self) -> None:
        super().__init__("the relay is being stopped", AttemptResult.CUT_OFF)


class WebAnswer(msgspec.Struct, frozen=True):
    """What came back, whatever its status. headers: names in lower case.

    body: cut at the limit, is_cut then; also cut when its end did not come, or when it was packed although that was
    not asked for: the status alone says already that the far side has seen the request.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_cut: bool = False
    retry_after_s: float | None = None


class Request(msgspec.Struct, frozen=True):
    """What is asked. networks: private ones that the address may be in. limit_s, limit_bytes: of the whole answer."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    networks: tuple[str, ...]
    limit_s: float
    limit_bytes: int


class Calls(Protocol):
    """What does it, with the library; it is loaded with the first call."""

    async def call(self, request: Request) -> WebAnswer:
        """As Web.call."""
        ...

    def lines(self, request: Request) -> AsyncGenerator[str | WebAnswer, None]:
        """As Web.lines."""
        ...

    async def look(self, url: str, networks: tuple[str, ...], limit_s: float) -> Sequence[TargetFinding]:
        """As Web.look."""
        ...

    async def sweep(self) -> None:
        """Close connections that nobody uses any more."""
        ...

    async def close(self) -> None:
        """As Web.close."""
        ...


class Web:
    """Keeps connections. Redirects are never followed; proxies only from the configuration.

    Behind a proxy the address of the target is checked here as far as its name can be resolved here; what the proxy
    makes of the name is the proxy's. resolve, tls: in place of the system's, for tests.
    """

    def __init__(
        self,
        settings: RelaySettings,
        clock: Clock,
        *,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._resolver = Resolver()
        self._resolve = resolve or self._resolver
        self._tls = tls
        self._calls: Calls | None = None
        self._making = asyncio.Lock()
        self._is_closed = False

    @property
    def clock(self) -> Clock:
        """The clock of the core, for what a call has to say of its time."""
        return self._clock

    async def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes = b"",
        networks: Sequence[str] = (),
        limit_s: float,
        limit_bytes: int = 1_048_576,
    ) -> WebAnswer:
        """Ask once. networks: private ones that the address may be in. Raises CallError."""
        calls = await self._ready()
        return await calls.call(Request(method, url, headers, body, self._allowed(networks), limit_s, limit_bytes))

    async def lines(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes = b"",
        networks: Sequence[str] = (),
        limit_s: float,
        limit_bytes: int = 1_048_576,
    ) -> AsyncGenerator[str | WebAnswer, None]:
        """Ask once and give the lines of the body as they come, after one WebAnswer without body.

        Raises CallError, also when the body does not end within limit_s or limit_bytes. Close it when you stop early.
        """
        calls = await self._ready()
        request = Request(method, url, headers, body, self._allowed(networks), limit_s, limit_bytes)
        async with aclosing(calls.lines(request)) as found:
            async for item in found:
                yield item

    async def look(self, url: str, *, networks: Sequence[str], limit_s: float) -> Sequence[TargetFinding]:
        """Address, connection and TLS of an origin, step by step, over a connection of its own. Never raises."""
        try:
            calls = await self._ready()
        except CallError as error:
            return [TargetFinding(step=TargetStep.ADDRESS, is_ok=False, seconds=0.0, detail=str(error))]
        return await calls.look(url, self._allowed(networks), limit_s)

    async def run(self) -> None:
        """Close connections that nobody uses any more, until cancelled; each within half a minute."""
        while True:
            await self._clock.sleep(_SWEEP_EVERY_S)
            if self._calls is not None:
                await self._calls.sweep()

    async def close(self) -> None:
        """Close all connections. What is under way is cut off."""
        self._is_closed = True
        self._resolver.close()
        if self._calls is not None:
            await self._calls.close()

    def _allowed(self, networks: Sequence[str]) -> tuple[str, ...]:
        return (*networks, *self._settings.networks)

    async def _ready(self) -> Calls:
        if self._is_closed:
            raise StoppedError
        if self._calls is not None:
            return self._calls
        async with self._making:
            if self._calls is None:
                try:
                    self._calls = await asyncio.to_thread(self._made)
                except ForbiddenError as error:
                    raise CallError(str(error), AttemptResult.UNDELIVERED, is_ours=True) from None
                except (OSError, ImportError) as error:
                    # Files of ours that cannot be read now, such as for want of open ones: no fault of the far side.
                    raise CallError(f"no call can be made: {error}", AttemptResult.CUT_OFF) from None
        if self._is_closed:
            raise StoppedError
        return self._calls

    def _made(self) -> Calls:
        # Imported here, off the loop: it could wait for another thread that imports.
        for name in _HEAVY:
            importlib.import_module(name)
        if importlib.util.find_spec(_OPTIONAL) is None:
            # The HTTP library looks for it again with every connection, on the loop, through all of the search path.
            sys.modules[_OPTIONAL] = cast("ModuleType", None)
        # At a lower level it tells every header of every call, tokens included.
        logging.getLogger("httpcore").setLevel(logging.WARNING)
        make = cast("Callable[..., Calls]", importlib.import_module(_CALLS).WebCalls)
        return make(self._resolve, self._clock, self._tls, self._settings.proxy)
