"""The port: four verbs, the same for the screen, the shell command and a remote operator."""

from collections.abc import AsyncIterator
from typing import Protocol

from core.api.base import Actor, Command, Query, R, Record, Seq, V


class Hermes(Protocol):
    """A running core, near or far.

    Implemented by the kernel, by a kernel on its own thread, and by a socket client.
    """

    async def execute(self, command: Command[R], *, actor: Actor) -> R:
        """Carry out an order. Returns its receipt once the change is stored; raises HermesError."""
        ...

    async def query(self, query: Query[V]) -> V:
        """Answer a question. Raises NotFound, InvalidInput or Unavailable."""
        ...

    def subscribe(self, *, after: Seq) -> AsyncIterator[Record]:
        """All stored records after `after` in order, then live ones, without a gap.

        Records with durable=False come live only. Raises Lagged when the reader falls
        behind or `after` is older than what is kept, Unavailable when the core is gone.
        """
        ...

    async def close(self) -> None:
        """Let go of the core: an embedded one is drained and stopped, an attached one goes on."""
        ...
