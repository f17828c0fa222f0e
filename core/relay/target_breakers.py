"""What operators do to the breakers of targets; see core.breaker_book.BreakerOwner."""

from collections.abc import Callable, Sequence

from core.api.base import Actor
from core.api.breakers import BreakerChanged, BreakerView
from core.api.errors import StoreError
from core.api.relay_targets import RELAY
from core.breaker import Breaker, BreakerMode, disabled, half_opened, held_open, reset
from core.breaker_book import not_held, not_to_probe
from core.breaker_settings import BreakerSettings
from core.breaker_view import breaker_view
from core.clock import Clock, mark
from core.journal import Journal
from core.relay.locks import Locks
from core.relay.target_rows import TargetRows


class TargetBreakers:
    """The breakers of all targets, by origin. changed: told after an order."""

    def __init__(self, rows: TargetRows, journal: Journal, clock: Clock, changed: Callable[[str], None]) -> None:
        self._rows = rows
        self._journal = journal
        self._clock = clock
        self._changed = changed
        self._locks = Locks()

    def view(self, origin: str) -> BreakerView:
        """One as it is now."""
        target, now = self._rows.get(origin).target, mark(self._clock)
        target.refresh(now.mono)
        return breaker_view(RELAY, origin, target.breaker, now, self._rows.settings)

    def breaker_views(self) -> Sequence[BreakerView]:
        """All breakers, by origin."""
        return [self.view(origin) for origin in self._rows.names()]

    async def reset_breaker(self, name: str, reason: str, actor: Actor) -> BreakerView:
        """Close it and let it decide by itself, and forget that the far side asked to be left alone."""
        return await self._order(name, lambda breaker, now: reset(breaker, now, self._rules, reason), actor, lifts=True)

    async def hold_breaker(self, name: str, reason: str, actor: Actor) -> BreakerView:
        """Let nothing through until it is released."""
        return await self._order(name, lambda breaker, now: held_open(breaker, now, self._rules, reason), actor)

    async def release_breaker(self, name: str, actor: Actor) -> BreakerView:
        """End a hold. Raises ConflictError when there is none."""

        def released(breaker: Breaker, now: float) -> Breaker:
            if breaker.mode is not BreakerMode.HELD:
                raise not_held(name, breaker)
            return reset(breaker, now, self._rules, "released")

        return await self._order(name, released, actor)

    async def disable_breaker(self, name: str, reason: str, actor: Actor) -> BreakerView:
        """Let everything through until it is reset."""
        return await self._order(name, lambda breaker, now: disabled(breaker, now, self._rules, reason), actor)

    async def probe_breaker(self, name: str, actor: Actor) -> BreakerView:
        """End its open time now, and the wait that the far side asked for. Raises ConflictError when it is not open."""

        def opened(breaker: Breaker, now: float) -> Breaker:
            found = half_opened(breaker, now, self._rules)
            if found is None:
                raise not_to_probe(name, breaker)
            return found

        return await self._order(name, opened, actor, lifts=True)

    @property
    def _rules(self) -> BreakerSettings:
        return self._rows.settings

    async def _order(
        self, name: str, step: Callable[[Breaker, float], Breaker], actor: Actor, *, lifts: bool = False
    ) -> BreakerView:
        # One after the other: what cannot be stored goes back to what is.
        async with self._locks.alone(name):
            known = self._rows.demand(name)
            target = known.target
            before, hold = target.breaker, target.hold
            after = target.breaker = known.told = step(before, self._clock.monotonic())
            if lifts:
                target.hold = None
            view = self.view(name)
            event = BreakerChanged(breaker=view)
            try:
                # To keep a far side from being called must also be possible when the disk is almost full.
                await self._journal.commit([self._rows.put(name)], [(name, event)], actor=actor, is_relief=True)
            except StoreError:
                if target.breaker is after:
                    target.breaker = known.told = before
                    target.hold = target.hold or hold
                raise
            finally:
                self._changed(name)
            return view
