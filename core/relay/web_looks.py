"""How far one gets on the way to a far side: its address, a connection, TLS. Imported when it is first asked."""

import asyncio
import ssl
from collections.abc import Sequence

import httpcore

from core.api.relay_targets import TargetFinding, TargetStep
from core.clock import Clock
from core.relay.addresses import ForbiddenError, IpAddress, Place, networks_of, permitted, refusal
from core.relay.diallers import LateConnectionError, NoConnectionError, NoMeansError, words
from core.relay.web_pools import Pools


async def looked(
    pools: Pools, place: Place, networks: tuple[str, ...], limit_s: float, clock: Clock
) -> Sequence[TargetFinding]:
    """The three steps over a connection of its own; those that were not reached are not there. Never raises."""
    look = _Look(pools, place, networks, limit_s, clock)
    try:
        await look.go()
    finally:
        if look.stream is not None:
            await look.stream.aclose()
    return look.findings


class _Look:
    def __init__(self, pools: Pools, place: Place, networks: tuple[str, ...], limit_s: float, clock: Clock) -> None:
        self._pools = pools
        self._place = place
        self._networks = networks_of(networks)
        self._clock = clock
        self._ends = clock.monotonic() + limit_s
        self._since = clock.monotonic()
        self._dialler = pools.dialler(self._networks)
        self.findings: list[TargetFinding] = []
        self.stream: httpcore.AsyncNetworkStream | None = None

    @property
    def _left_s(self) -> float:
        return max(0.0, self._ends - self._clock.monotonic())

    async def go(self) -> None:
        """Until the first step that fails."""
        addresses = await self._address()
        if addresses and self._pools.proxy_place is not None:
            self._found(TargetStep.CONNECT, None, f"left to the proxy at {self._pools.proxy_place.authority}")
        elif addresses and await self._connect(addresses) and self._place.scheme == "https":
            await self._tls()
        elif self.stream is not None:
            self._found(TargetStep.TLS, None, "none: what is sent can be read on the way")

    def _found(self, step: TargetStep, is_ok: bool | None, detail: str) -> None:
        now = self._clock.monotonic()
        self.findings.append(TargetFinding(step=step, is_ok=is_ok, seconds=now - self._since, detail=detail))
        self._since = now

    async def _address(self) -> Sequence[IpAddress]:
        host = self._place.host
        try:
            async with asyncio.timeout(self._left_s):
                found = await self._pools.resolve(host)
            good = permitted(host, found, self._networks)
        except TimeoutError:
            self._found(TargetStep.ADDRESS, False, f"the name {host} was not resolved in time")
        except OSError as error:
            is_last = self._pools.proxy is None
            self._found(
                TargetStep.ADDRESS, False if is_last else None, f"the name {host} cannot be resolved: {words(error)}"
            )
        except ForbiddenError as error:
            self._found(TargetStep.ADDRESS, False, str(error))
        else:
            left = "".join(f"; {why}" for address in found if (why := refusal(address, self._networks)))
            self._found(TargetStep.ADDRESS, True, ", ".join(map(str, good)) + left)
            return good
        return []

    async def _connect(self, addresses: Sequence[IpAddress]) -> bool:
        try:
            self.stream, address = await self._dialler.dialled(addresses, self._place.port, self._left_s)
        except (NoConnectionError, LateConnectionError, NoMeansError) as error:
            self._found(TargetStep.CONNECT, False, str(error))
            return False
        self._found(TargetStep.CONNECT, True, f"{address} port {self._place.port}")
        return True

    async def _tls(self) -> None:
        assert self.stream is not None
        try:
            self.stream = await self.stream.start_tls(self._pools.tls, self._place.host, self._left_s)
        except (httpcore.NetworkError, httpcore.TimeoutException, OSError) as error:
            late = isinstance(error, httpcore.TimeoutException)
            self._found(TargetStep.TLS, False, "no answer to the greeting in time" if late else words(error))
            return
        session = self.stream.get_extra_info("ssl_object")
        assert isinstance(session, ssl.SSLObject)
        self._found(TargetStep.TLS, True, _certificate(session))


def _certificate(session: ssl.SSLObject) -> str:
    shown = session.getpeercert() or {}
    subject = shown.get("subject", ())
    pairs = [pair for group in subject if isinstance(group, tuple) for pair in group if isinstance(pair, tuple)]
    name = next((str(pair[1]) for pair in pairs if pair[0] == "commonName"), "no name")
    return f"{session.version()}, certificate of {name} until {shown.get('notAfter', 'unknown')}"
