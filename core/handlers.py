"""Who carries out which command and answers which query: one handler for each, no overlap."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from core.api.base import Actor, Command, Query, R, V
from core.api.errors import InvalidInput

CommandHandlers = Mapping[type[Command[Any]], Callable[[Any, Actor], Awaitable[Any]]]
QueryHandlers = Mapping[type[Query[Any]], Callable[[Any], Awaitable[Any]]]

T = TypeVar("T")


class Handlers:
    """The handlers of all parts in one table. Raises ValueError when two want the same word."""

    def __init__(self) -> None:
        self._commands: dict[type[Command[Any]], Callable[[Any, Actor], Awaitable[Any]]] = {}
        self._queries: dict[type[Query[Any]], Callable[[Any], Awaitable[Any]]] = {}

    def add(self, *, commands: CommandHandlers | None = None, queries: QueryHandlers | None = None) -> None:
        """Take in the handlers of one part."""
        _merge(self._commands, commands or {})
        _merge(self._queries, queries or {})

    @property
    def words(self) -> frozenset[type[Any]]:
        """Every command and query that somebody handles."""
        return frozenset(self._commands) | frozenset(self._queries)

    async def execute(self, command: Command[R], actor: Actor) -> R:
        """Carry out a command. Raises InvalidInput when nobody can."""
        handler = self._commands.get(type(command))
        if handler is None:
            raise InvalidInput(f"no handler for {type(command).__name__}", field="command", fix="use a known command")
        receipt: R = await handler(command, actor)
        return receipt

    async def query(self, query: Query[V]) -> V:
        """Answer a query. Raises InvalidInput when nobody can."""
        handler = self._queries.get(type(query))
        if handler is None:
            raise InvalidInput(f"no handler for {type(query).__name__}", field="query", fix="use a known query")
        view: V = await handler(query)
        return view


def _merge(into: dict[type[Any], T], more: Mapping[type[Any], T]) -> None:
    for word, handler in more.items():
        if word in into:
            raise ValueError(f"two handlers for {word.__name__}")
        into[word] = handler
