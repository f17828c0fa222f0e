"""One thing that can be asked over HTTP: its method, path, words and who answers (pure)."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from core.api.base import Actor, ActorKind, Command, Query, R, V
from core.api.port import Hermes
from core.clock import Clock
from core.http.asgi import Receive, Scope, Send

B = TypeVar("B")
Q = TypeVar("Q")

CALLER = Actor(ActorKind.OPERATOR, "http")
"""Who did what is ordered here: the key is the operator's."""


class Reply(msgspec.Struct, frozen=True):
    """An answer."""

    value: object
    status: int = 200


class Asked(msgspec.Struct, Generic[B, Q], frozen=True, kw_only=True):
    """One request. path: what stands in place of the names in the route's path."""

    hermes: Hermes
    clock: Clock
    keepalive_s: float
    path: Mapping[str, str]
    body: B
    query: Q
    scope: Scope
    receive: Receive
    send: Send

    async def look(self, query: Query[V]) -> Reply:
        """The answer of the core to a question."""
        found: V = await self.hermes.query(query)
        return Reply(found)

    async def order(self, command: Command[R], status: int = 200) -> Reply:
        """The receipt of the core for an order."""
        receipt: R = await self.hermes.execute(command, actor=CALLER)
        return Reply(receipt, status)


class Route(msgspec.Struct, Generic[B, Q], frozen=True, kw_only=True):
    """A line of the API.

    path: with names in braces. answer: gives the reply, or None when it has answered by itself. results: by status,
    what the answer is. refusals: statuses with which it is refused, besides those of every route. names: what fields
    of the core are called here. stream: what events hold where the answer is a stream of them.
    """

    name: str
    method: str
    path: str
    summary: str
    answer: Callable[[Asked[B, Q]], Awaitable[Reply | None]]
    results: Mapping[int, type[Any]]
    body: type[B]
    query: type[Q]
    refusals: tuple[int, ...] = ()
    names: Mapping[str, str] = {}
    stream: type[Any] | None = None

    @property
    def parts(self) -> list[str]:
        """The path in its parts."""
        return self.path.strip("/").split("/")

    @property
    def takes_body(self) -> bool:
        """Whether a body is read. A route whose body is Nothing takes an empty object, or none."""
        return self.method in {"POST", "PATCH"}


def matched(parts: list[str], given: list[str]) -> dict[str, str] | None:
    """What stands in place of the names, when the path fits; no part may be empty."""
    if len(parts) != len(given):
        return None
    found: dict[str, str] = {}
    for part, value in zip(parts, given, strict=True):
        if part.startswith("{"):
            if not value:
                return None
            found[part[1:-1]] = value
        elif part != value:
            return None
    return found
