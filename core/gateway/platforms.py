"""Connections: builds the adapters, keeps them running, counts what goes through them, and says how they stand."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import partial

from core.api.base import Event, Mark, PlatformName, SessionId
from core.api.errors import ConfigError, HermesError, StoreError
from core.api.platforms import (
    RESERVED_PLATFORMS,
    ListPlatforms,
    PlatformActive,
    PlatformConnected,
    PlatformDisconnected,
    PlatformList,
    PlatformState,
    PlatformView,
)
from core.backoff import ceiling_s
from core.clock import Clock, mark
from core.gateway.adapters import load_adapter
from core.gateway.delivery import Failure, one_line
from core.gateway.platform import (
    Accepted,
    Inbound,
    Inbox,
    Limits,
    Outbound,
    Platform,
    PlatformContext,
    PlatformError,
    PlatformErrorKind,
)
from core.journal import Journal
from core.settings import PlatformSettings, Settings
from core.supervisor import Supervisor

_RECONNECT_BASE_S = 1.0
_RECONNECT_CAP_S = 60.0
_OPERATOR_WAIT_S = 300.0
_STEADY_S = 60.0
_SHOW_EVERY_S = 1.0


class _Link:
    """One configured connection and what is known of it. version grows with every shown change."""

    def __init__(self, name: PlatformName, settings: PlatformSettings, since: Mark) -> None:
        self.name = name
        self.settings = settings
        self.kind = _kind(settings)
        self.platform: Platform | None = None
        self.state = PlatformState.CONNECTING
        self.since = since
        self.version = 1
        self.address = ""
        self.inbound: Mark | None = None
        self.outbound_ack: Mark | None = None
        self.inbound_count = 0
        self.outbound_count = 0
        self.refused_count = 0
        self.restart_count = 0
        self.last_error = ""
        self.shown_mono = since.mono - _SHOW_EVERY_S
        self.is_showing = False

    def view(self) -> PlatformView:
        """The connection as it is now."""
        return PlatformView(
            name=self.name,
            kind=self.kind,
            version=self.version,
            state=self.state,
            since=self.since,
            address=self.address,
            inbound=self.inbound,
            outbound_ack=self.outbound_ack,
            inbound_count=self.inbound_count,
            outbound_count=self.outbound_count,
            refused_count=self.refused_count,
            restart_count=self.restart_count,
            last_error=self.last_error,
        )


class CountingInbox:
    """The inbox that an adapter is given: counts what comes in and passes it on."""

    def __init__(self, name: PlatformName, inner: Inbox, platforms: "Platforms") -> None:
        self._name = name
        self._inner = inner
        self._platforms = platforms

    async def receive(self, inbound: Inbound, *, follow: bool = False) -> Accepted:
        """Take a message in; see platform.Inbox."""
        try:
            accepted = await self._inner.receive(inbound, follow=follow)
        except HermesError:
            self._platforms.note_refused(self._name)
            raise
        self._platforms.note_inbound(self._name)
        return accepted

    async def interrupt(self, session_id: SessionId, reason: str) -> bool:
        """Stop the session's run."""
        return await self._inner.interrupt(session_id, reason)

    def connected(self, address: str) -> None:
        """Say that the connection stands."""
        self._platforms.note_connected(self._name, address)
        self._inner.connected(address)


def _check_name(name: PlatformName) -> None:
    if name in RESERVED_PLATFORMS:
        key = f"platforms.{name}"
        raise ConfigError(f"{key}: the name is the core's own", key=key, fix="choose another")


class Platforms:
    """All connections of the configuration. inbox_for: where what a connection receives goes."""

    def __init__(
        self,
        *,
        journal: Journal,
        clock: Clock,
        supervisor: Supervisor,
        settings: Settings,
        context: PlatformContext,
        inbox_for: Callable[[PlatformName], Inbox],
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._supervisor = supervisor
        self._context = context
        self._inbox_for = inbox_for
        self._is_built = asyncio.Event()
        now = mark(clock)
        self._links = {
            PlatformName(name): _Link(PlatformName(name), section, now) for name, section in settings.platforms.items()
        }

    async def start(self) -> None:
        """Build every adapter and run it; one that cannot be built is down and stops no other."""
        for link in self._links.values():
            try:
                _check_name(link.name)
                module = await asyncio.to_thread(load_adapter, link.kind)
                link.platform = module.create(link.name, link.settings, self._context)
            except HermesError as error:
                await self._set_down(link, error.message)
            except Exception as error:  # noqa: BLE001 - a broken adapter must not keep the others from starting
                await self._set_down(link, f"the adapter failed with {type(error).__name__}")
            else:
                self._supervisor.start(_service(link.name), partial(self._keep, link))
        self._is_built.set()

    async def wait_built(self) -> None:
        """Wait until start() has built what can be built."""
        await self._is_built.wait()

    async def stop_intake(self) -> None:
        """Take nothing in any more. What is still to be sent can be."""
        async with asyncio.TaskGroup() as group:
            for link in self._links.values():
                if link.platform is not None and link.state is not PlatformState.OFF:
                    group.create_task(self._switch_off(link))

    def get(self, name: PlatformName) -> Platform | None:
        """The connection's adapter; None when it is not configured or could not be built."""
        link = self._links.get(name)
        return None if link is None else link.platform

    def limits(self, name: PlatformName) -> Limits | None:
        """What a connection can carry; None when it is not configured or could not be built."""
        platform = self.get(name)
        return None if platform is None else platform.limits

    @property
    def views(self) -> Sequence[PlatformView]:
        """All connections by name."""
        return [self._links[name].view() for name in sorted(self._links)]

    async def list_platforms(self, query: ListPlatforms) -> PlatformList:  # noqa: ARG002 - every query has one
        """All connections."""
        seq = await self._journal.head()
        return PlatformList(platforms=tuple(self.views), seq=seq)

    async def attempt(self, outbound: Outbound, *, timeout_s: float) -> Failure | None:
        """Send once; None when the platform took it. Raises nothing but CancelledError."""
        name = outbound.source.platform
        link = self._links.get(name)
        if link is None:
            return Failure(PlatformErrorKind.GONE, f"no connection is called {name}{self._nearest(name)}")
        if link.platform is None:
            return Failure(PlatformErrorKind.RETRY_AFTER, f"the connection {name} could not be set up")
        failure = await _failure(link.platform, outbound, timeout_s)
        if failure is None:
            self.note_outbound(name)
        return failure

    def note_inbound(self, name: PlatformName) -> None:
        """A message came in and is stored."""
        link = self._links[name]
        link.inbound = mark(self._clock)
        link.inbound_count += 1
        self._show_soon(link)

    def note_outbound(self, name: PlatformName) -> None:
        """The platform took a message."""
        link = self._links[name]
        link.outbound_ack = mark(self._clock)
        link.outbound_count += 1
        self._show_soon(link)

    def note_refused(self, name: PlatformName) -> None:
        """A message came in and was not taken."""
        link = self._links[name]
        link.refused_count += 1
        self._show_soon(link)

    def note_connected(self, name: PlatformName, address: str) -> None:
        """A connection stands. Saying so again changes nothing."""
        link = self._links[name]
        if link.state is PlatformState.CONNECTED and link.address == address:
            return
        link.address = address
        self._change(link, PlatformState.CONNECTED, "")
        event = PlatformConnected(platform=link.view())
        self._supervisor.spawn(f"{_service(name)}:connected", self._commit(link, event))

    def _nearest(self, name: PlatformName) -> str:
        near = get_close_matches(name, list(self._links), 1)
        return f"; did you mean {near[0]}?" if near else ""

    async def _keep(self, link: _Link) -> None:
        failures = 0
        inbox = CountingInbox(link.name, self._inbox_for(link.name), self)
        while link.platform is not None:
            began = self._clock.monotonic()
            try:
                await link.platform.run(inbox)
                error = PlatformError(PlatformErrorKind.RETRY_AFTER, "the connection ended by itself")
            except PlatformError as failure:
                error = failure
            except ConfigError as failure:
                # Trying again cannot help before somebody changes the configuration.
                await self._set_down(link, failure.message)
                return
            except HermesError as failure:
                error = PlatformError(PlatformErrorKind.RETRY_AFTER, failure.message)
            except Exception as failure:  # noqa: BLE001 - a connection is tried again, whatever its library raises
                error = PlatformError(
                    PlatformErrorKind.RETRY_AFTER, f"the adapter failed with {type(failure).__name__}"
                )
            is_steady = self._clock.monotonic() - began > _STEADY_S
            failures = 1 if is_steady else failures + 1
            await self._set_down(link, error.message)
            await self._clock.sleep(_reconnect_wait_s(error, failures))
            link.restart_count += 1
            self._show_soon(link)

    async def _switch_off(self, link: _Link) -> None:
        await self._supervisor.stop_service(_service(link.name))
        self._change(link, PlatformState.OFF, "")
        # It is off whether or not that can be written: a full disk must not keep the core from stopping.
        with contextlib.suppress(StoreError):
            await self._commit(link, PlatformDisconnected(platform=link.view()))

    async def _set_down(self, link: _Link, error: str) -> None:
        is_news = link.state is not PlatformState.DOWN or link.last_error != one_line(error)
        if is_news:
            self._change(link, PlatformState.DOWN, error)
            await self._commit(link, PlatformDisconnected(platform=link.view()))

    def _change(self, link: _Link, state: PlatformState, error: str) -> None:
        if link.state is not state:
            link.since = mark(self._clock)
        link.state = state
        link.last_error = one_line(error)
        link.version += 1

    async def _commit(self, link: _Link, event: Event) -> None:
        await self._journal.commit((), ((str(link.name), event),))

    def _show_soon(self, link: _Link) -> None:
        if link.is_showing:
            return
        wait_s = link.shown_mono + _SHOW_EVERY_S - self._clock.monotonic()
        if wait_s <= 0:
            self._show(link)
        else:
            link.is_showing = True
            self._supervisor.spawn(f"{_service(link.name)}:counts", self._show_later(link, wait_s))

    async def _show_later(self, link: _Link, wait_s: float) -> None:
        try:
            await self._clock.sleep(wait_s)
        finally:
            link.is_showing = False
        self._show(link)

    def _show(self, link: _Link) -> None:
        link.shown_mono = self._clock.monotonic()
        link.version += 1
        self._journal.publish(str(link.name), PlatformActive(platform=link.view()))


def _service(name: PlatformName) -> str:
    return f"platform:{name}"


def _kind(settings: PlatformSettings) -> str:
    return str(type(settings).__struct_config__.tag)


def _reconnect_wait_s(error: PlatformError, failures: int) -> float:
    if error.retry_after_s is not None:
        return max(0.0, error.retry_after_s)
    if error.kind is not PlatformErrorKind.RETRY_AFTER:
        return _OPERATOR_WAIT_S
    return ceiling_s(failures, base_s=_RECONNECT_BASE_S, cap_s=_RECONNECT_CAP_S)


async def _failure(platform: Platform, outbound: Outbound, timeout_s: float) -> Failure | None:
    try:
        async with asyncio.timeout(timeout_s):
            await platform.send(outbound)
    except PlatformError as error:
        return Failure(error.kind, error.message, error.retry_after_s)
    except TimeoutError:
        return Failure(PlatformErrorKind.RETRY_AFTER, f"no answer within {timeout_s:g} s")
    except asyncio.CancelledError:
        # Only our own end is a cancellation; one that an adapter let slip must not pass for it.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        return Failure(PlatformErrorKind.RETRY_AFTER, "the adapter gave up")
    except Exception as error:  # noqa: BLE001 - an adapter's own words may hold a secret; their type does not
        return Failure(PlatformErrorKind.RETRY_AFTER, f"the adapter failed with {type(error).__name__}")
    return None
