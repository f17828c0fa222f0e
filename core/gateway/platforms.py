"""Connections: builds the adapters, counts what goes through them, sends, and says how they stand."""

import asyncio
from collections.abc import Callable, Sequence
from difflib import get_close_matches

from core.api.base import PlatformName
from core.api.errors import ConfigError, HermesError, NotFound
from core.api.platforms import RESERVED_PLATFORMS, ListPlatforms, PlatformList, PlatformState, PlatformView
from core.api.system import AlarmRaised
from core.clock import Clock, mark
from core.gateway.adapters import load_adapter
from core.gateway.connections import Connections
from core.gateway.counting import CountingInbox
from core.gateway.delivery import Failure, one_line
from core.gateway.link import Link
from core.gateway.locks import CredentialLocks
from core.gateway.pauses import Pauses
from core.gateway.platform import Inbox, Limits, Outbound, Platform, PlatformContext, PlatformError, PlatformErrorKind
from core.gateway.platform_orders import PlatformOrders
from core.journal import Journal
from core.settings import Settings
from core.store.base import Store
from core.supervisor import Supervisor
from core.waits import is_cancelled


def _check_name(name: PlatformName) -> None:
    if name in RESERVED_PLATFORMS:
        key = f"platforms.{name}"
        raise ConfigError(f"{key}: the name is the core's own", key=key, fix="choose another")


class Platforms:
    """All connections of the configuration. inbox_for: where what a connection receives goes.

    on_taken: told of every message that a platform took, with its id there; quick. on_pause: told of a connection that
    is paused or no longer.
    """

    def __init__(
        self,
        *,
        store: Store,
        journal: Journal,
        clock: Clock,
        supervisor: Supervisor,
        settings: Settings,
        context: PlatformContext,
        inbox_for: Callable[[PlatformName], Inbox],
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._context = context
        self._is_built = asyncio.Event()
        self.on_taken: list[Callable[[Outbound, str], None]] = []
        self.on_pause: list[Callable[[PlatformName], None]] = []
        now = mark(clock)
        self._links = {
            PlatformName(name): Link(PlatformName(name), section, now) for name, section in settings.platforms.items()
        }
        self.connections: Connections = Connections(
            journal=journal,
            clock=clock,
            supervisor=supervisor,
            locks=CredentialLocks(context.home, clock),
            inbox_for=lambda link: CountingInbox(link, inbox_for(link.name), self),
        )
        self._pauses = Pauses(store, journal)
        self.orders = PlatformOrders(
            connections=self.connections,
            pauses=self._pauses,
            clock=clock,
            supervisor=supervisor,
            find=self._existing,
            build=self._build,
            on_change=self._pause_changed,
        )

    async def start(self) -> None:
        """Build every adapter and run it; one that cannot be built is down and stops no other. Raises StoreError."""
        pauses = await self._pauses.load()
        for link in self._links.values():
            link.pause = pauses.get(link.name)
            if link.pause is not None:
                link.change(PlatformState.PAUSED, "", mark(self._clock))
            await self._build(link)
            if link.platform is not None and link.pause is None:
                self.connections.start(link)
        self._is_built.set()

    async def wait_built(self) -> None:
        """Wait until start() has built what can be built."""
        await self._is_built.wait()

    async def stop_intake(self) -> None:
        """Take nothing in any more. What is still to be sent can be."""
        async with asyncio.TaskGroup() as group:
            for link in self._links.values():
                if link.state is PlatformState.CONNECTING or (link.platform and link.state is not PlatformState.OFF):
                    group.create_task(self.connections.switch_off(link))

    def get(self, name: PlatformName) -> Platform | None:
        """The connection's adapter; None when it is not configured or could not be built."""
        link = self._links.get(name)
        return None if link is None else link.platform

    def unpaused(self, name: PlatformName) -> Platform | None:
        """The same, and None too while an operator has it paused: for what is said without being asked."""
        return None if self.paused_why(name) else self.get(name)

    def paused_why(self, name: PlatformName) -> str:
        """Who paused a connection and why, in words; "" when nobody did."""
        link = self._links.get(name)
        if link is None or link.pause is None:
            return ""
        why = f": {link.pause.reason}" if link.pause.reason else ""
        return f"the connection is paused by {link.pause.by}{why}"

    def limits(self, name: PlatformName) -> Limits | None:
        """What a connection can carry; None when it is not configured or could not be built."""
        platform = self.get(name)
        return None if platform is None else platform.limits

    @property
    def views(self) -> Sequence[PlatformView]:
        """All connections by name."""
        return [self.connections.view(self._links[name]) for name in sorted(self._links)]

    async def list_platforms(self, query: ListPlatforms) -> PlatformList:  # noqa: ARG002 - every query has one
        """All connections."""
        seq = await self._journal.head()
        return PlatformList(platforms=tuple(self.views), seq=seq)

    async def attempt(self, outbound: Outbound, *, timeout_s: float) -> Failure | str:
        """Send once; the platform's id of the message when it took it. Raises nothing but CancelledError."""
        name = outbound.source.platform
        link = self._links.get(name)
        if link is None:
            return Failure(PlatformErrorKind.GONE, f"no connection is called {name}{self._nearest(name)}")
        if link.platform is None:
            return Failure(PlatformErrorKind.RETRY_AFTER, f"the connection {name} could not be set up")
        result = await _attempted(link.platform, outbound, timeout_s)
        if isinstance(result, str):
            self.note_outbound(name)
            for callback in self.on_taken:
                callback(outbound, result)
        return result

    def note_inbound(self, name: PlatformName) -> None:
        """A message came in and is stored."""
        link = self._links[name]
        link.inbound = link.heard = mark(self._clock)
        link.inbound_count += 1
        self.connections.show_soon(link)

    def note_duplicate(self, name: PlatformName) -> None:
        """A message came again and was known."""
        link = self._links[name]
        link.heard = mark(self._clock)
        link.duplicate_count += 1
        self.connections.show_soon(link)

    def note_heard(self, name: PlatformName) -> None:
        """The platform gave a sign of life, with or without a message."""
        link = self._links[name]
        link.heard = mark(self._clock)
        self.connections.show_soon(link)

    def note_outbound(self, name: PlatformName) -> None:
        """The platform took a message."""
        link = self._links[name]
        link.outbound_ack = mark(self._clock)
        link.outbound_count += 1
        self.connections.show_soon(link)

    def note_refused(self, name: PlatformName, reason: str = "") -> None:
        """A message came in and was not taken. reason: why the adapter itself did not; an operator is told once."""
        link = self._links[name]
        if link.is_new_refusal(reason):
            error = one_line(f"a message was not taken in: {reason}")
            self._journal.publish(str(name), AlarmRaised(what=f"platform {name}", error=error))
        link.heard = mark(self._clock)
        link.refused_count += 1
        self.connections.show_soon(link)

    def note_connected(self, name: PlatformName, address: str, problem: str = "") -> None:
        """A connection stands, but for a problem. Saying so again changes nothing."""
        self.connections.connected(self._links[name], address, problem)

    async def _build(self, link: Link) -> None:
        try:
            _check_name(link.name)
            module = await asyncio.to_thread(load_adapter, link.kind)
            link.platform = module.create(link.name, link.settings, self._context)
        except HermesError as error:
            await self.connections.set_down(link, error.message)
        except Exception as error:  # noqa: BLE001 - a broken adapter must not keep the others from starting
            await self.connections.set_down(link, f"the adapter failed with {type(error).__name__}")

    def _existing(self, name: PlatformName) -> Link:
        link = self._links.get(name)
        if link is None:
            raise NotFound(
                f"no connection is called {name}{self._nearest(name)}",
                noun="platform",
                id=str(name),
                fix="see `platforms list`",
            )
        return link

    def _pause_changed(self, name: PlatformName) -> None:
        for callback in self.on_pause:
            callback(name)

    def _nearest(self, name: PlatformName) -> str:
        near = get_close_matches(name, list(self._links), 1)
        return f"; did you mean {near[0]}?" if near else ""


async def _attempted(platform: Platform, outbound: Outbound, timeout_s: float) -> Failure | str:
    try:
        async with asyncio.timeout(timeout_s):
            return await platform.send(outbound)
    except PlatformError as error:
        return Failure(error.kind, error.message, error.retry_after_s, error.is_for_chat)
    except TimeoutError:
        return Failure(PlatformErrorKind.RETRY_AFTER, f"no answer within {timeout_s:g} s")
    except asyncio.CancelledError:
        # Only our own end is a cancellation; one that an adapter let slip must not pass for it.
        if is_cancelled():
            raise
        return Failure(PlatformErrorKind.RETRY_AFTER, "the adapter gave up")
    except Exception as error:  # noqa: BLE001 - an adapter's own words may hold a secret; their type does not
        return Failure(PlatformErrorKind.RETRY_AFTER, f"the adapter failed with {type(error).__name__}")
