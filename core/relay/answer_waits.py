"""Agents that wait for the answer of a bot within their turn: it is theirs then, and no message of its own."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager


class Waiter:
    """Somebody who waits for what becomes of one message."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.text: asyncio.Future[str] = loop.create_future()
        self.taken: asyncio.Future[bool] = loop.create_future()

    async def answer(self, limit_s: float) -> str | None:
        """What became of it; None when nothing has by then."""
        try:
            async with asyncio.timeout(limit_s):
                text = await asyncio.shield(self.text)
        except TimeoutError:
            return None
        self.taken.set_result(True)
        return text


class AnswerWaits:
    """All who wait, by the id of the message."""

    def __init__(self) -> None:
        self._waiting: dict[str, Waiter] = {}

    @contextmanager
    def expecting(self, task_id: str) -> Generator[Waiter]:
        """From here on, and until the end of the block, somebody may wait for it."""
        waiter = self._waiting[task_id] = Waiter()
        try:
            yield waiter
        finally:
            if self._waiting.get(task_id) is waiter:
                del self._waiting[task_id]
            if not waiter.taken.done():
                waiter.taken.set_result(False)
            waiter.text.cancel()

    async def give(self, task_id: str, text: str) -> bool:
        """Give it to who waits; False when nobody has taken it."""
        waiter = self._waiting.get(task_id)
        if waiter is None or waiter.text.done():
            return False
        waiter.text.set_result(text)
        return await asyncio.shield(waiter.taken)
