"""What the relay needs from others: agents that answer peers, and conversations that asked something of a bot."""

from typing import Protocol

import msgspec

from core.api.base import AgentName, SessionId, TaskId
from core.api.relay_tasks import RelayState


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What a peer wants of an agent here. wire_id: as the peer calls its message. key: the same for the same message,
    whatever happens in between.
    """

    peer: str
    wire_id: str
    agent: AgentName | None
    conversation: str
    text: str
    key: str
    sender: str = ""


class WorkState(msgspec.Struct, frozen=True, kw_only=True):
    """How far it is. state: working, completed, failed or canceled. answer: once it is over; error: why it failed."""

    state: RelayState
    answer: str = ""
    error: str = ""


class Workers(Protocol):
    """Agents here, as far as peers get them to work."""

    def find(self, name: str | None) -> AgentName | None:
        """The agent of that name, the default one for None; None when there is none such."""
        ...

    def session_of(self, peer: str, conversation: str, agent: AgentName) -> SessionId:
        """The conversation here in which an agent answers a peer's messages of one conversation."""
        ...

    async def start(self, work: Work) -> TaskId:
        """Give it to the agent; returns once that is durable. With a key that was used: the task that there is. Its
        provenance names the relay, the peer and the id of its message.

        Raises Overloaded, Unavailable, NotFound, StoreError.
        """
        ...

    async def look(self, task_id: TaskId) -> WorkState:
        """How far it is. Raises NotFound."""
        ...

    async def cancel(self, task_id: TaskId, reason: str) -> None:
        """Stop it. One that is over stays as it is."""
        ...


class Askers(Protocol):
    """Conversations here that asked a bot."""

    def exists(self, session_id: SessionId) -> bool:
        """Whether it can be the id of one."""
        ...

    async def tell(
        self, session_id: SessionId, text: str, *, bot: str, is_answer: bool, key: str = "", by: str = ""
    ) -> None:
        """Put what became of it into the conversation. is_answer: the bot's own words, which the agent is given;
        if not, a note of ours that begins no turn. key: told twice under one, it is there once. by: the sender of the
        message: what a person asked for in a chat comes back to the chat itself, and begins no turn either.

        Raises HermesError: then it was not told.
        """
        ...
