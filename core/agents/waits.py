"""A wait that somebody else can end early."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class CutShort(Exception):
    """The wait was ended from outside, not by what it waited for."""


class Waits:
    """One wait at a time, in one task; any other may cut it short."""

    def __init__(self) -> None:
        self._scope: asyncio.Timeout | None = None

    async def wait(self, what: Awaitable[T]) -> T:
        """The result of `what`. Raises CutShort when cut() comes first; `what` is cancelled then."""
        scope = self._scope = asyncio.timeout(None)
        try:
            async with scope:
                return await what
        except TimeoutError:
            if scope.expired():
                raise CutShort from None
            raise
        finally:
            self._scope = None

    def cut(self) -> None:
        """End the present wait. Without one nothing happens, so set a flag first that the waiter looks at."""
        scope, self._scope = self._scope, None
        if scope is not None:
            scope.reschedule(asyncio.get_running_loop().time())


async def breathe() -> None:
    """Let everything else on the loop run once."""
    loop = asyncio.get_running_loop()
    turn: asyncio.Future[None] = loop.create_future()
    loop.call_soon(_wake, turn)
    await turn


def _wake(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
