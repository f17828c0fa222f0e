"""Connections to ACP agents: a child process and the JSON-RPC spoken with it. Every wait ends when the child does."""

import asyncio
from collections.abc import Callable
from typing import assert_never

from core.agents import processes
from core.agents.acp_wire import Answered, Asked, Fields, Nonsense, Told, Wire, answer, notification, refusal
from core.agents.launches import Launch
from core.clock import Clock

Then = Callable[[Answered | None], None]


class GoneError(Exception):
    """The agent ended before it answered."""


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
        self.child: processes.Child | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the agent can be spoken to."""
        return self.child is not None and self.child.is_alive

    async def start(self, launch: Launch, clock: Clock) -> None:
        """Start the agent. Raises Unavailable."""
        self.child = await processes.start(
            launch.argv,
            cwd=launch.folder,
            environment=launch.environment,
            clock=clock,
            on_line=self._take,
            on_end=self._ended,
            redact=launch.redact,
            hide=launch.hide,
        )

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
        return self.child.last_words() if self.child is not None else "never started"

    async def end(self) -> None:
        """End the agent and all its children."""
        if self.child is not None:
            await self.child.end()

    def _write(self, line: bytes) -> bool:
        return self.child is not None and self.child.write(line)

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
