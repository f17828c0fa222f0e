"""Waits of a task: one that somebody else can end early, and one that lets the others run."""

import asyncio
import types
from collections.abc import AsyncGenerator, Awaitable, Generator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")


class CutShort(Exception):
    """The wait was ended from outside, not by what it waited for."""


def is_cancelled() -> bool:
    """Whether the present task was told to end, whatever else was raised since."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Waits:
    """One wait at a time, in one task; any other may cut it short."""

    def __init__(self) -> None:
        self._waiting: asyncio.Task[Any] | None = None
        self._is_cut = False

    async def wait(self, what: Awaitable[T]) -> T:
        """The result of `what`. Raises CutShort when cut() comes first; `what` is cancelled then."""
        task = asyncio.current_task()
        assert task is not None
        before = task.cancelling()
        self._waiting, self._is_cut = task, False
        try:
            return await what
        except asyncio.CancelledError:
            if self._is_cut and task.cancelling() == before + 1:
                raise CutShort from None
            raise
        finally:
            self._waiting = None
            if self._is_cut:
                task.uncancel()

    def cut(self) -> None:
        """End the present wait: what it waits for is cancelled when this returns.

        Without a wait nothing happens, so set a flag first that the waiter looks at.
        """
        task, self._waiting = self._waiting, None
        if task is not None:
            self._is_cut = True
            task.cancel()


@asynccontextmanager
async def task_group() -> AsyncGenerator[asyncio.TaskGroup]:
    """A TaskGroup that can fail in a task which then goes on.

    Before Python 3.11.4 a failed group leaves its own request to cancel behind, and the next
    timeout in that task would end it.
    """
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup:
        while task.cancelling() > before:
            task.uncancel()
        raise


@types.coroutine
def breathe() -> Generator[None, None, None]:
    """Let everything else on the loop run once. A bare yield: cheaper than a future or a sleep, for tight loops."""
    yield
