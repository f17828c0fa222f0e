"""The MemoryProvider protocol: what keeps an agent's knowledge of somebody from one conversation to the next."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from core.api.base import AgentName, SessionId
from core.api.transcripts import EntryView


class MemoryOwner(msgspec.Struct, frozen=True):
    """Whose memory it is: an agent's, about one user as PLATFORM:ID; "" for work without a user."""

    agent: AgentName
    user: str


class MemoryTool(msgspec.Struct, frozen=True, kw_only=True):
    """A tool that the agent is offered. parameters: JSON schema of its arguments, an object."""

    name: str
    text: str
    parameters: Mapping[str, Any]


class EndedConversation(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation that is over. at: UTC seconds of its end. entries: the oldest first. summary: of all of it, made
    by the agent where it can, else by rule.
    """

    session_id: SessionId
    epoch: int
    at: float
    entries: Sequence[EntryView]
    summary: str


class MemoryTools(Protocol):
    """The memory tools of one turn, bound to whose memory it is."""

    tools: Sequence[MemoryTool]

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Carry out one of them; the result for the agent. Raises HermesError."""
        ...


class MemoryProvider(Protocol):
    """Keeps memories of many owners. Every call has a deadline; a provider that fails or hangs ends no turn."""

    name: str

    def tools(self) -> Sequence[MemoryTool]:
        """Tools for the agent; names must begin with `memory_`."""
        ...

    async def prefetch(self, owner: MemoryOwner, text: str) -> str:
        """What the agent is to know before it answers `text`; "" for nothing. Raises HermesError."""
        ...

    async def call(self, owner: MemoryOwner, name: str, arguments: Mapping[str, Any]) -> str:
        """Carry out one of the tools; the result for the agent. Raises HermesError, also for wrong arguments."""
        ...

    async def on_session_end(self, owner: MemoryOwner, ended: EndedConversation) -> None:
        """Keep of a conversation what is worth it. May come twice for the same one. Raises HermesError."""
        ...

    async def close(self) -> None:
        """Let go of everything. May be called twice."""
        ...
