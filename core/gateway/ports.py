"""What the gateway needs from others: agents that answer, and books about their runs."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from core.api.base import AgentName, Mark, RunId, SessionId, TaskId
from core.api.runs import Compacted, RunOutcome, RunReport
from core.api.sessions import MessageView, Mode
from core.api.transcripts import EntryView
from core.pages import Pages


class Agents(Protocol):
    """Agents, by name."""

    def find_agent(self, name: str | None) -> AgentName | None:
        """The agent of that name, the default one for None; None when there is none such."""
        ...

    def refusal(self, name: AgentName) -> str:
        """Why the agent takes no messages, such as that it is disabled; "" when it does."""
        ...

    def can_steer(self, name: AgentName) -> bool:
        """Whether text can be put into a turn that goes on."""
        ...

    def default_mode(self, name: AgentName) -> Mode | None:
        """What a message does to its busy session where nobody says; None for the gateway's own default."""
        ...

    def limits_s(self, name: AgentName, task_id: TaskId | None = None) -> tuple[float, float]:
        """Stall limit and total limit of its turns, in seconds; those of a task are its own."""
        ...

    def workspace(self, name: AgentName, user: str) -> Path | None:
        """The folder that an agent has for a user, links followed; None when it is gone or leads where it must not.

        Blocks: call it off the loop.
        """
        ...

    def give(self, name: AgentName, user: str, paths: Sequence[Path]) -> Sequence[str]:
        """Copy files into that folder, once; what the agent can call each there, "" for one that it cannot be given.

        Blocks: call it off the loop.
        """
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
        user: str = "",
    ) -> AsyncIterator[RunReport]:
        """Answer the messages. Ends with exactly one TurnEnded; begins with PhaseChanged
        (admitting while it waits for a free slot). Never raises but CancelledError.
        user: whose session it is, as platform:id.
        """
        ...

    def holds(self, run_id: RunId) -> bool:
        """Whether the run goes on here, in whatever stage."""
        ...

    async def steer(self, run_id: RunId, text: str) -> bool:
        """Put text into the run. False when it cannot take any."""
        ...

    async def interrupt(self, run_id: RunId, reason: str, *, is_core_stopping: bool = False) -> bool:
        """Ask the run to stop, also when it waits for a slot or a decision. False when it is gone.

        is_core_stopping: nobody is against it; what it has asked can be asked again after the next start.
        """
        ...

    async def forget(self, session_id: SessionId) -> None:
        """Drop what the session's runner remembers; its next turn starts afresh."""
        ...

    async def compact(self, session_id: SessionId, agent: AgentName, history: Sequence[EntryView]) -> Compacted:
        """Make a summary of what can be spared, because an operator asked for it. No run of the session may go on."""
        ...


class RunBegun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that takes up messages. token: fencing token of the session's lease."""

    run_id: RunId
    session_id: SessionId
    agent: AgentName
    boot: int
    token: int
    attempt: int
    messages: Sequence[MessageView]
    began: Mark


class RunClosed(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is over. answer: its text, whatever it is worth. is_requeued: its first message waits again."""

    run_id: RunId
    session_id: SessionId
    outcome: RunOutcome
    messages: Sequence[MessageView]
    answer: str = ""
    is_requeued: bool = False


class RunBook(Protocol):
    """Who keeps books about runs: asked while a commit is made, told by the pages' `done` that it is stored."""

    def begun(self, run: RunBegun) -> Pages:
        """What to write when a run begins."""
        ...

    def closed(self, run: RunClosed) -> Pages:
        """What to write when it is over."""
        ...

    def let_go(self, messages: Sequence[MessageView], reason: str) -> Pages:
        """What to write when waiting messages are dropped."""
        ...
