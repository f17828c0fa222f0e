"""A Hermes that answers what a test has put in, by the kind of the question, and keeps what it was asked."""

from collections.abc import AsyncIterator, Callable
from typing import Any

from core.api.base import Actor, Command, Query, R, Record, Seq, V


class CannedHermes:
    """Answers are functions of the question; what they raise is raised. `asked` and `ordered` are what came."""

    def __init__(self, answers: dict[type[Any], Callable[[Any], Any]]) -> None:
        self.answers = answers
        self.asked: list[Query[Any]] = []
        self.ordered: list[tuple[Command[Any], Actor]] = []

    async def execute(self, command: Command[R], *, actor: Actor) -> R:
        """Note the order and give its receipt."""
        self.ordered.append((command, actor))
        receipt: R = self.answers[type(command)](command)
        return receipt

    async def query(self, query: Query[V]) -> V:
        """Note the question and give its answer; a function that must wait is waited for."""
        self.asked.append(query)
        found: Any = self.answers[type(query)](query)
        answer: V = await found if hasattr(found, "__await__") else found
        return answer

    async def subscribe(self, *, after: Seq) -> AsyncIterator[Record]:
        """Nothing ever happens."""
        for record in ():
            yield record

    async def close(self) -> None:
        """Nothing to let go of."""
