"""Connections to ACP agents: a child process and the JSON-RPC spoken with it. Every wait ends when the child does."""

import asyncio
from collections.abc import Callable
from typing import assert_never

from core.agents.acp.wire import Answered, Asked, Fields, Nonsense, Told, Wire, answer, notification, refusal
from core.agents.launches import Launch, started
from core.agents.processes import Child, GoneError
from core.clock import Clock

Then = Callable[[Answered | None], None]


class Link:
    """One agent.

    on_asked, on_told: what it wants and says, as it comes. on_nonsense: a line that was left out, and why. on_end:
    called once when it is gone, after everybody who waits was told.
    """

    def __init__(
        self,
        *,
        on_asked: Callable[[Asked], None],
        on_told: Callable[[Told], None],
        on_nonsense: Callable[[str], None],
        on_end: Callable[[], None],
    ) -> None:
        self._on_asked = on_asked
        self._on_told = on_told
        self._on_nonsense = on_nonsense
        self._on_end = on_end
        self._wire = Wire()
        self._waiting: dict[int, Then] = {}
        self._child: Child | None = None

    async def start(self, launch: Launch, clock: Clock) -> Child:
        """Start the agent. Raises Unavailable."""
        child = self._child = await started(launch, clock, on_line=self._take, on_end=self._ended)
        return child

    def ask(self, method: str, params: Fields, then: Then) -> None:
        """Send a request. then: called once, with the answer, or None when the agent ended before it."""
        number, line = self._wire.request(method, params)
        if self._write(line):
            self._waiting[number] = then
        else:
            then(None)

    async def call(self, method: str, params: Fields, *, at_once: Callable[[Fields], None] = lambda _: None) -> Fields:
        """The result of a request. at_once: called with it before anything that the agent sends after it is looked at.

        Raises WireError when it is refused, GoneError.
        """
        found: asyncio.Future[Answered | None] = asyncio.get_running_loop().create_future()

        def then(answered: Answered | None) -> None:
            if answered is not None and answered.error is None:
                at_once(answered.result)
            if not found.done():
                found.set_result(answered)

        self.ask(method, params, then)
        answered = await found
        if answered is None:
            raise GoneError
        if answered.error is not None:
            raise answered.error
        return answered.result

    def tell(self, method: str, params: Fields) -> None:
        """Say something that wants no answer."""
        self._write(notification(method, params))

    def reply(self, asked: Asked, result: Fields) -> bool:
        """Answer a request of the agent. False when nobody is there any more."""
        return self._write(answer(asked.id, result))

    def refuse(self, asked: Asked, code: int, why: str) -> None:
        """Refuse a request of the agent."""
        self._write(refusal(asked.id, code, why))

    def last_words(self) -> str:
        """How the agent ended, in one line."""
        return self._child.last_words() if self._child is not None else "never started"

    def _write(self, line: bytes) -> bool:
        return self._child is not None and self._child.write(line)

    def _take(self, line: bytes) -> None:
        message = self._wire.take(line)
        match message:
            case Asked():
                self._on_asked(message)
            case Told():
                self._on_told(message)
            case Answered():
                then = self._waiting.pop(message.number, None)
                if then is not None:
                    then(message)
            case Nonsense():
                self._on_nonsense(message.why)
            case _:
                assert_never(message)

    def _ended(self) -> None:
        while self._waiting:
            _, then = self._waiting.popitem()
            then(None)
        self._on_end()
