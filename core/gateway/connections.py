"""Keeps each account connected: tries again with patience, notices when one is deaf, and shows what changed.

Every account has a task of its own, so that what happens to one touches no other.
"""

import asyncio
import contextlib
import math
from collections.abc import Callable
from functools import partial

from core.api.base import SYSTEM, Actor, Event, Mark, PlatformName
from core.api.errors import ConfigError, HermesError, StoreError
from core.api.platforms import (
    PlatformActive,
    PlatformConnected,
    PlatformDeaf,
    PlatformDisconnected,
    PlatformProbe,
    PlatformState,
    PlatformView,
)
from core.clock import Clock, mark
from core.gateway.abilities import Hears, Probes
from core.gateway.deafness import Hearing, deaf_words, hearing, look_again_s
from core.gateway.delivery import one_line
from core.gateway.link import Link
from core.gateway.locks import CredentialLocks, Lease
from core.gateway.platform import Inbox, Platform, PlatformError, PlatformErrorKind
from core.gateway.reconnect import reconnect_wait_s
from core.journal import Journal
from core.supervisor import Supervisor
from core.waits import is_cancelled, task_group

PROBE_LIMIT_S = 10.0
"""How long a platform may take to answer when it is asked."""

QUIET_S = 60.0
"""After a conflict nobody else may have had the account for so long before it counts as connected."""

_STEADY_S = 60.0
_SHOW_EVERY_S = 1.0
_LEAST_LOOK_S = 1.0
_LONGEST_LOOK_S = 30.0
_AT_REST = frozenset({PlatformState.PAUSED, PlatformState.OFF})
_STALL_S = 5.0


class _DeafError(Exception):
    """Nothing is heard any more."""


class Connections:
    """Runs what Links say. inbox_for: what an adapter is given. backlog_of: how much waits in an outbox."""

    def __init__(
        self,
        *,
        journal: Journal,
        clock: Clock,
        supervisor: Supervisor,
        locks: CredentialLocks,
        inbox_for: Callable[[Link], Inbox],
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._supervisor = supervisor
        self._locks = locks
        self._inbox_for = inbox_for
        self.backlog_of: Callable[[PlatformName], int] = lambda _: 0

    def start(self, link: Link) -> None:
        """Keep a connection from now on."""
        self._supervisor.start(link.service, partial(self._keep, link))

    async def stop(self, link: Link) -> None:
        """Keep it no more; returns when its adapter has let go. Nothing happens when it is not kept."""
        await self._supervisor.stop_service(link.service)

    def view(self, link: Link) -> PlatformView:
        """The connection as it is now."""
        return link.view(self.backlog_of(link.name))

    # -- what is told of it

    def connected(self, link: Link, address: str, problem: str) -> None:
        """It stands, but for a problem. Saying so again changes nothing."""
        is_known = link.address == address and link.last_error == one_line(problem)
        if link.state in _AT_REST or (link.state is PlatformState.CONNECTED and is_known):
            return
        link.address = address
        link.next_try = None
        left_s = link.contested + QUIET_S - self._clock.monotonic()
        if left_s <= 0:
            self._stands(link, problem)
        elif link.settled_life != link.life:
            link.settled_life = link.life
            words = f"identity conflict: it reads again, and counts as settled after {QUIET_S:.0f} s alone"
            link.change(PlatformState.CONFLICT, words, mark(self._clock))
            self.show_soon(link)
            self._supervisor.spawn(f"{link.service}:settled", self._settle(link, problem, left_s))

    async def set_down(self, link: Link, error: str) -> None:
        """It is down."""
        await self._fell_to(link, PlatformState.DOWN, error)

    async def switch_off(self, link: Link) -> None:
        """The core takes nothing in any more."""
        link.next_try = None
        link.change(PlatformState.OFF, "", mark(self._clock))
        await self.stop(link)
        # It is off whether or not that can be written: a full disk must not keep the core from stopping.
        with contextlib.suppress(StoreError):
            await self._commit(link, PlatformDisconnected(platform=self.view(link)))

    async def probe(self, link: Link) -> PlatformProbe:
        """Ask whether it hears us; what came of it is kept. Raises nothing but CancelledError."""
        asked = mark(self._clock)
        error = await _asked(link.platform)
        latency_s = None if error else self._clock.monotonic() - asked.mono
        link.probe = PlatformProbe(asked=asked, latency_s=latency_s, error=one_line(error))
        self.show_soon(link)
        return link.probe

    # -- its life

    async def _keep(self, link: Link) -> None:
        # The account stays ours between two attempts, so that no other core takes it over for a moment.
        async with self._locks.lease(link.name) as lease:
            await self._keep_running(link, lease)

    async def _keep_running(self, link: Link, lease: Lease) -> None:
        inbox = self._inbox_for(link)
        while link.platform is not None:
            link.life += 1
            began = self._clock.monotonic()
            error = await self._lived(link, link.platform, lease, inbox)
            if error is None:
                return
            now = mark(self._clock)
            is_deaf = link.state is PlatformState.DEAF and link.last_error == one_line(error.message)
            lasted_s = (link.heard.mono if link.heard else began) - began if is_deaf else now.mono - began
            link.failures = 1 if lasted_s > _STEADY_S else link.failures + 1
            link.holder = error.holder
            if error.is_conflict and not error.holder:
                link.contested = now.mono
            wait_s = reconnect_wait_s(error, link.failures)
            link.next_try = Mark(now.at + wait_s, now.mono + wait_s)
            if is_deaf:
                # It was told when it was noticed; only when the next try comes is new.
                self.show_soon(link)
            elif error.is_conflict:
                await self._fell_to(link, PlatformState.CONFLICT, f"identity conflict: {error.message}")
            else:
                await self._fell_to(link, PlatformState.DOWN, error.message)
            await self._clock.sleep(wait_s)
            link.next_try = None
            link.restart_count += 1
            self.show_soon(link)

    async def _lived(self, link: Link, platform: Platform, lease: Lease, inbox: Inbox) -> PlatformError | None:
        """Connect and stay; returns why that ended, None when trying again cannot help."""
        try:
            await lease.take(platform)
            await self._heard_out(link, platform, inbox)
        except PlatformError as failure:
            return failure
        except _DeafError as failure:
            return PlatformError(PlatformErrorKind.RETRY_AFTER, str(failure))
        except ConfigError as failure:
            # Trying again cannot help before somebody changes the configuration.
            await self.set_down(link, failure.message)
            return None
        except HermesError as failure:
            return PlatformError(PlatformErrorKind.RETRY_AFTER, failure.message)
        except Exception as failure:  # noqa: BLE001 - a connection is tried again, whatever its library raises
            return PlatformError(PlatformErrorKind.RETRY_AFTER, f"the adapter failed with {type(failure).__name__}")
        return PlatformError(PlatformErrorKind.RETRY_AFTER, "the connection ended by itself")

    async def _heard_out(self, link: Link, platform: Platform, inbox: Inbox) -> None:
        """Run the adapter for as long as something is heard."""
        try:
            async with task_group() as group:
                watching = group.create_task(self._watch(link))
                try:
                    await platform.run(inbox)
                except Exception:
                    if is_cancelled() and not _has_failed(watching):
                        # An adapter that answers its end with an error of its own ends all the same.
                        raise asyncio.CancelledError from None
                    raise
                watching.cancel()
        except BaseExceptionGroup as errors:
            deaf = next((error for error in errors.exceptions if isinstance(error, _DeafError)), None)
            raise deaf or errors.exceptions[0] from None

    async def _watch(self, link: Link) -> None:
        """Raises _DeafError when a connection is silent for too long, and says so before its adapter lets go."""
        if not isinstance(link.platform, Hears) and not link.can_probe:
            return
        answered: bool | None = None
        since = before = self._clock.monotonic()
        heard = -math.inf
        while True:
            quiet_s = before - max(since, heard)
            left_s = look_again_s(quiet_s, link.heard_every_s, answered=answered)
            wait_s = min(_LONGEST_LOOK_S, max(_LEAST_LOOK_S, left_s))
            await self._clock.sleep(wait_s)
            now = self._clock.monotonic()
            if link.busy_count or now - before - wait_s > _STALL_S:
                # It is we who were slow, and what has come meanwhile is not read yet.
                since, answered = now, None
            last = link.heard.mono if link.heard else -math.inf
            if last > heard:
                heard, answered = last, None
            quiet_s, before = now - max(since, heard), now
            found = hearing(quiet_s, link.heard_every_s, can_ask=link.can_probe, answered=answered)
            if found is Hearing.ASK:
                answered = not (await self.probe(link)).error
                before = self._clock.monotonic()
                last = link.heard.mono if link.heard else -math.inf
                quiet_s = before - max(since, last)
                found = hearing(quiet_s, link.heard_every_s, can_ask=True, answered=answered)
                if answered and not link.heard_every_s:
                    since, answered = before, None
            if found is Hearing.DEAF:
                error = link.probe.error if link.probe else ""
                words = deaf_words(quiet_s, link.heard_every_s, error, answered=answered)
                await self._fell_to(link, PlatformState.DEAF, words)
                raise _DeafError(words)

    # -- shown

    def _stands(self, link: Link, problem: str) -> None:
        link.holder = ""
        link.change(PlatformState.CONNECTED, problem, mark(self._clock))
        event = PlatformConnected(platform=self.view(link))
        self._supervisor.spawn(f"{link.service}:connected", self._commit(link, event))

    async def _settle(self, link: Link, problem: str, wait_s: float) -> None:
        """Say that a conflict is over, unless it broke out again meanwhile."""
        life = link.life
        await self._clock.sleep(wait_s)
        if link.life == life and link.state is PlatformState.CONFLICT and link.next_try is None:
            self._stands(link, problem)

    async def _fell_to(self, link: Link, state: PlatformState, error: str) -> None:
        if link.state in _AT_REST:
            return
        if link.state is state and link.last_error == one_line(error):
            self.show_soon(link)
            return
        link.change(state, error, mark(self._clock))
        kind = PlatformDeaf if state is PlatformState.DEAF else PlatformDisconnected
        await self._commit(link, kind(platform=self.view(link)))

    async def _commit(self, link: Link, event: Event) -> None:
        await self._journal.commit((), ((str(link.name), event),))

    async def told(self, link: Link, event: Event, actor: Actor = SYSTEM) -> None:
        """Write what an operator did. Raises StoreError."""
        await self._journal.commit((), ((str(link.name), event),), actor=actor)

    def show_soon(self, link: Link) -> None:
        """Show it, at most once a second."""
        if link.is_showing:
            return
        wait_s = link.shown_mono + _SHOW_EVERY_S - self._clock.monotonic()
        if wait_s <= 0:
            self._show(link)
        else:
            link.is_showing = True
            self._supervisor.spawn(f"{link.service}:counts", self._show_later(link, wait_s))

    async def _show_later(self, link: Link, wait_s: float) -> None:
        try:
            await self._clock.sleep(wait_s)
        finally:
            link.is_showing = False
        self._show(link)

    def _show(self, link: Link) -> None:
        link.shown_mono = self._clock.monotonic()
        link.version += 1
        self._journal.publish(str(link.name), PlatformActive(platform=self.view(link)))


def _has_failed(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None


async def _asked(platform: Platform | None) -> str:
    """Ask a platform; why it did not answer, "" when it did."""
    if not isinstance(platform, Probes):
        return "it cannot be asked"
    error = ""
    try:
        async with asyncio.timeout(PROBE_LIMIT_S):
            await platform.probe()
    except (PlatformError, HermesError) as failure:
        error = failure.message or "it did not answer"
    except TimeoutError:
        error = f"no answer within {PROBE_LIMIT_S:g} s"
    except asyncio.CancelledError:
        # Only our own end is a cancellation; one that an adapter let slip must not pass for it.
        if is_cancelled():
            raise
        error = "the adapter gave up"
    except Exception as failure:  # noqa: BLE001 - an adapter's own words may hold a secret; their type does not
        error = f"the adapter failed with {type(failure).__name__}"
    return error
