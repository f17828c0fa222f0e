"""The breakers of all parts of the core in one list, and what operators do to them."""

from collections.abc import Sequence
from typing import Protocol

from core.api.base import Actor
from core.api.breakers import (
    BreakerList,
    BreakerView,
    DisableBreaker,
    HoldBreakerOpen,
    ListBreakers,
    ProbeBreaker,
    ReleaseBreaker,
    ResetBreaker,
)
from core.api.errors import ConflictError, NotFound
from core.breaker import Breaker, BreakerMode, BreakerState
from core.handlers import CommandHandlers, QueryHandlers
from core.journal import Journal


class BreakerOwner(Protocol):
    """A part of the core that calls far sides through breakers. An order is stored with its event before it returns.

    Orders raise NotFound for a name that is not there, StoreError when they cannot be kept.
    """

    def breaker_views(self) -> Sequence[BreakerView]:
        """All of its breakers, by name."""
        ...

    async def reset_breaker(self, name: str, reason: str, actor: Actor) -> BreakerView:
        """Close one and let it decide by itself."""
        ...

    async def hold_breaker(self, name: str, reason: str, actor: Actor) -> BreakerView:
        """Let nothing through one until it is released."""
        ...

    async def release_breaker(self, name: str, actor: Actor) -> BreakerView:
        """End a hold. Raises ConflictError when there is none."""
        ...

    async def disable_breaker(self, name: str, reason: str, actor: Actor) -> BreakerView:
        """Let everything through one until it is reset."""
        ...

    async def probe_breaker(self, name: str, actor: Actor) -> BreakerView:
        """End its open time, and a wait that the far side asked for. Raises ConflictError when it is not open."""
        ...


def not_held(name: str, breaker: Breaker) -> ConflictError:
    """Nobody holds it, so nobody can end that."""
    return ConflictError(
        f"nobody holds the breaker of {name}",
        key="mode",
        expected=BreakerMode.HELD.value,
        found=breaker.mode.value,
        fix="reset it to close it",
    )


def not_to_probe(name: str, breaker: Breaker) -> ConflictError:
    """There is no open time that could be ended."""
    is_held = breaker.mode is BreakerMode.HELD
    return ConflictError(
        f"the breaker of {name} is {'held by an operator' if is_held else breaker.state.value.replace('_', '-')}",
        key="state",
        expected=BreakerState.OPEN.value,
        found=breaker.mode.value if is_held else breaker.state.value,
        fix="release it first" if is_held else "it lets calls through: nothing needs to be done",
    )


class BreakerBook:
    """Who owns which breakers."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._owners: dict[str, BreakerOwner] = {}

    def add(self, name: str, owner: BreakerOwner) -> None:
        """Take in the breakers of a part. Raises ValueError when there is one of that name."""
        if name in self._owners:
            raise ValueError(f"two owners of breakers are called {name}")
        self._owners[name] = owner

    @property
    def commands(self) -> CommandHandlers:
        """Who carries out which command."""
        return {
            ResetBreaker: self.reset,
            HoldBreakerOpen: self.hold,
            ReleaseBreaker: self.release,
            DisableBreaker: self.disable,
            ProbeBreaker: self.probe,
        }

    @property
    def queries(self) -> QueryHandlers:
        """Who answers which question."""
        return {ListBreakers: self.list_breakers}

    async def list_breakers(self, query: ListBreakers) -> BreakerList:
        """All breakers, or those of one owner."""
        seq = await self._journal.head()
        owners = [self._owner(query.owner)] if query.owner else [self._owners[name] for name in sorted(self._owners)]
        return BreakerList(breakers=tuple(view for owner in owners for view in owner.breaker_views()), seq=seq)

    async def reset(self, command: ResetBreaker, actor: Actor) -> BreakerView:
        """Close one."""
        return await self._owner(command.owner).reset_breaker(command.name, command.reason, actor)

    async def hold(self, command: HoldBreakerOpen, actor: Actor) -> BreakerView:
        """Hold one open."""
        return await self._owner(command.owner).hold_breaker(command.name, command.reason, actor)

    async def release(self, command: ReleaseBreaker, actor: Actor) -> BreakerView:
        """End a hold."""
        return await self._owner(command.owner).release_breaker(command.name, actor)

    async def disable(self, command: DisableBreaker, actor: Actor) -> BreakerView:
        """Let everything through one."""
        return await self._owner(command.owner).disable_breaker(command.name, command.reason, actor)

    async def probe(self, command: ProbeBreaker, actor: Actor) -> BreakerView:
        """Let one be tried now."""
        return await self._owner(command.owner).probe_breaker(command.name, actor)

    def _owner(self, name: str) -> BreakerOwner:
        owner = self._owners.get(name)
        if owner is None:
            known = ", ".join(sorted(self._owners)) or "none"
            raise NotFound(
                f"no part of the core called {name} has breakers", noun="owner", id=name, fix=f"known: {known}"
            )
        return owner
