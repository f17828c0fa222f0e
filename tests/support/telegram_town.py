"""A fake Telegram on a loop of its own, for tests that are no coroutines: people write, and bots answer."""

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.support.fake_telegram import FakeTelegram

TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
_LIMIT_S = 20.0

T = TypeVar("T")


class TelegramTown:
    """Everything is done on the loop of the server, one thing after another."""

    def __init__(self) -> None:
        self.server = FakeTelegram()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="telegram town")

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self.server.start)
        self.do(lambda: self.server.world.add_bot(TOKEN, "helper_bot"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._run(self.server.stop)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_LIMIT_S)
        self._loop.close()

    @property
    def url(self) -> str:
        """Its address."""
        return self.server.url

    def do(self, act: Callable[[], T]) -> T:
        """Carry something out there."""

        async def done() -> T:
            return act()

        return self._run(done)

    def say(self, number: int, name: str, text: str) -> None:
        """Somebody writes to the bot in a direct chat."""
        people = self.server.people
        person = people.person(number, name)
        self.do(lambda: people.say(people.private(person), person, text))

    def told(self, number: int) -> list[str]:
        """What the bot wrote to somebody."""
        chat = self.server.world.chats.get(number)
        return [] if chat is None else self.do(lambda: self.server.texts(chat))

    def wait_told(self, number: int, holds: Callable[[list[str]], bool]) -> list[str]:
        """Wait until what the bot wrote to somebody is so."""
        chat = self.do(lambda: self.server.world.chats[number])

        async def told() -> None:
            await self.server.until(lambda: holds(self.server.texts(chat)))

        self._run(told)
        return self.told(number)

    def _run(self, make: Callable[[], Any]) -> Any:
        async def within() -> Any:
            async with asyncio.timeout(_LIMIT_S):
                return await make()

        return asyncio.run_coroutine_threadsafe(within(), self._loop).result(_LIMIT_S + 5)
