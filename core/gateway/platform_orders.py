"""What operators do with one connection: pause it, resume it, connect it anew, ask it. No other one is touched."""

import asyncio
from collections.abc import Awaitable, Callable

from core.api.base import Actor, PlatformName
from core.api.errors import ConflictError, Refused, StoreError, Unavailable
from core.api.platforms import (
    PausePlatform,
    PlatformPause,
    PlatformPaused,
    PlatformProbed,
    PlatformReconnecting,
    PlatformResumed,
    PlatformState,
    PlatformView,
    ProbePlatform,
    ReconnectPlatform,
    ResumePlatform,
)
from core.clock import Clock, mark
from core.gateway.connections import Connections
from core.gateway.link import Link
from core.gateway.pauses import Pauses
from core.handlers import CommandHandlers
from core.supervisor import Supervisor

LET_GO_S = 10.0
"""How long an order waits for an adapter to let go; it is waited for all the same."""


class PlatformOrders:
    """find: a connection of the configuration, raising NotFound. build: makes its adapter when there is none yet.

    on_change: told of a connection that may send again, or no longer.
    """

    def __init__(
        self,
        *,
        connections: Connections,
        pauses: Pauses,
        clock: Clock,
        supervisor: Supervisor,
        find: Callable[[PlatformName], Link],
        build: Callable[[Link], Awaitable[None]],
        on_change: Callable[[PlatformName], None],
    ) -> None:
        self._connections = connections
        self._pauses = pauses
        self._clock = clock
        self._supervisor = supervisor
        self._find = find
        self._build = build
        self._on_change = on_change
        self._locks: dict[PlatformName, asyncio.Lock] = {}

    @property
    def commands(self) -> CommandHandlers:
        """Who carries out which command."""
        return {
            PausePlatform: self.pause,
            ResumePlatform: self.resume,
            ReconnectPlatform: self.reconnect,
            ProbePlatform: self.probe,
        }

    async def pause(self, command: PausePlatform, actor: Actor) -> PlatformView:
        """Take nothing in and send nothing."""
        link = self._usable(command.platform)
        if link.pause is not None:
            raise ConflictError(
                f"{link.name} is paused already, by {link.pause.by}",
                key="state",
                expected="running",
                found="paused",
                fix="resume it first to give another reason",
            )
        before = link.state, link.last_error, link.since
        trying = link.next_try, link.failures, link.holder
        link.pause = PlatformPause(by=actor.name, reason=command.reason, at=self._clock.now())
        link.next_try, link.failures, link.holder = None, 0, ""
        link.change(PlatformState.PAUSED, "", mark(self._clock))
        try:
            await self._pauses.keep(link.name, link.pause, PlatformPaused(platform=self._connections.view(link)), actor)
        except StoreError:
            link.pause = None
            state, error, since = before
            link.change(state, error, since)
            link.next_try, link.failures, link.holder = trying
            raise
        self._on_change(link.name)
        await self._renewed(link)
        return self._connections.view(link)

    async def resume(self, command: ResumePlatform, actor: Actor) -> PlatformView:
        """Connect again."""
        link = self._usable(command.platform)
        if link.pause is None:
            raise ConflictError(f"{link.name} is not paused", key="state", expected="paused", found=link.state.value)
        before, link.pause = link.pause, None
        link.change(PlatformState.CONNECTING, "", mark(self._clock))
        try:
            await self._pauses.keep(link.name, None, PlatformResumed(platform=self._connections.view(link)), actor)
        except StoreError:
            link.pause = before
            link.change(PlatformState.PAUSED, "", mark(self._clock))
            raise
        self._on_change(link.name)
        await self._renewed(link)
        return self._connections.view(link)

    async def reconnect(self, command: ReconnectPlatform, actor: Actor) -> PlatformView:
        """Let it go and connect anew."""
        link = self._usable(command.platform)
        if link.pause is not None:
            raise ConflictError(
                f"{link.name} is paused by {link.pause.by}", key="state", found="paused", fix="resume it instead"
            )
        await self._connections.told(link, PlatformReconnecting(platform=self._connections.view(link)), actor)
        if link.pause is not None or link.state is PlatformState.OFF:
            # Somebody was faster while this was written.
            return self._connections.view(link)
        link.failures, link.next_try, link.holder = 0, None, ""
        link.restart_count += 1
        link.change(PlatformState.CONNECTING, "", mark(self._clock))
        await self._renewed(link)
        self._connections.show_soon(link)
        return self._connections.view(link)

    async def probe(self, command: ProbePlatform, actor: Actor) -> PlatformView:
        """Ask it."""
        link = self._find(command.platform)
        if not link.can_probe:
            why = "its adapter could not be built" if link.platform is None else f"a {link.kind} cannot be asked"
            raise Refused(f"{link.name} cannot be asked: {why}", rule="probe", fix="see its ages instead")
        await self._connections.probe(link)
        link.version += 1
        view = self._connections.view(link)
        await self._connections.told(link, PlatformProbed(platform=view), actor)
        return view

    def _usable(self, name: PlatformName) -> Link:
        link = self._find(name)
        if link.state is PlatformState.OFF:
            raise Unavailable(f"{name} is off: the core is stopping, or in safe mode")
        return link

    async def _renewed(self, link: Link) -> None:
        """Let it go, and connect anew unless it is paused; waits for that only so long."""
        job = self._supervisor.spawn(f"{link.service}:renew", self._renew(link))
        done, _ = await asyncio.wait({job}, timeout=LET_GO_S)
        if not done:
            words = f"its adapter has not let go for {LET_GO_S:g} s; it is waited for"
            link.change(link.state, words, mark(self._clock))
            self._connections.show_soon(link)

    async def _renew(self, link: Link) -> None:
        async with self._locks.setdefault(link.name, asyncio.Lock()):
            await self._connections.stop(link)
            if link.state is PlatformState.OFF:
                return
            if link.pause is not None:
                if link.last_error:
                    # It has let go at last.
                    link.change(PlatformState.PAUSED, "", mark(self._clock))
                    self._connections.show_soon(link)
                return
            if link.platform is None:
                await self._build(link)
            if link.platform is not None:
                self._connections.start(link)
