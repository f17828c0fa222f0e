"""Calls of the relay with a name server of the test."""

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from core.clock import SystemClock
from core.relay.addresses import IpAddress
from core.relay.web import CallError, Web
from core.relay_settings import RelaySettings

LOOPBACK = ("127.0.0.0/8", "::1/128")
LIMIT_S = 10.0
SHORT_S = 0.2


class Names:
    """A name server of a test. found: addresses by name; asked: what was looked up."""

    def __init__(self, **found: Sequence[str]) -> None:
        self.found = {name.replace("_", "."): list(texts) for name, texts in found.items()}
        self.asked: list[str] = []
        self.hangs = False

    async def __call__(self, host: str) -> Sequence[IpAddress]:
        """As the resolver of the system."""
        self.asked.append(host)
        if self.hangs:
            await asyncio.Event().wait()
        if host in self.found:
            return [ipaddress.ip_address(text) for text in self.found[host]]
        try:
            return [ipaddress.ip_address(host)]
        except ValueError:
            raise OSError(2, "no such name") from None


@asynccontextmanager
async def web_of(
    names: Names | None = None, *, proxy: str | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Web]:
    """Calls that end with the test."""
    web = Web(RelaySettings(proxy=proxy), SystemClock(), resolve=names, tls=tls)
    try:
        yield web
    finally:
        await web.close()


async def failed(web: Web, url: str, *, networks: Sequence[str] = LOOPBACK, limit_s: float = LIMIT_S) -> CallError:
    """What a call that fails says."""
    with pytest.raises(CallError) as caught:
        await web.call("POST", url, headers={}, body=b"{}", networks=networks, limit_s=limit_s)
    return caught.value
