"""What the gateway needs from others: agents that answer."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from core.api.base import AgentName, RunId, SessionId
from core.api.runs import RunReport
from core.api.sessions import MessageView
from core.api.transcripts import EntryView


class Agents(Protocol):
    """Agents, by name."""

    def find_agent(self, name: str | None) -> AgentName | None:
        """The agent of that name, the default one for None; None when there is none such."""
        ...

    def can_steer(self, name: AgentName) -> bool:
        """Whether text can be put into a turn that goes on."""
        ...

    def limits_s(self, name: AgentName) -> tuple[float, float]:
        """Stall limit and total limit of its turns, in seconds."""
        ...

    def run(
        self,
        *,
        session_id: SessionId,
        epoch: int,
        agent: AgentName,
        run_id: RunId,
        attempt: int,
        messages: Sequence[MessageView],
        history: Sequence[EntryView],
    ) -> AsyncIterator[RunReport]:
        """Answer the messages. Ends with exactly one TurnEnded; begins with PhaseChanged
        (admitting while it waits for a free slot). Never raises but CancelledError.
        """
        ...

    async def steer(self, run_id: RunId, text: str) -> bool:
        """Put text into the run. False when it cannot take any."""
        ...

    async def interrupt(self, run_id: RunId, reason: str) -> bool:
        """Ask the run to stop, also when it waits for a slot or a decision. False when it is gone."""
        ...

    async def forget(self, session_id: SessionId) -> None:
        """Drop what the session's runner remembers; its next turn starts afresh."""
        ...
