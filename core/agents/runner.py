"""The Runner protocol: how an agent is driven, whatever it is made of.

A runner serves one session. It decides nothing: queueing, deadlines, storing and policy
are the core's. `turn` ends with exactly one TurnEnded, also on cancel, crash and
timeout; after it no action of that turn is open and no tool call is unfinished.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from core.api.base import AgentName, RunId, SessionId
from core.api.runs import RunReport
from core.api.sessions import MessageView
from core.api.transcripts import EntryView
from core.clock import Clock
from core.ids import IdSource
from core.secrets import Secret


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a runner can do.

    approvals: it asks before it acts and obeys the answer. resume: it keeps the conversation
    itself over restarts. action_deadline_s: how long it waits for a decision; None is for ever.
    isolation: in words for the screen, who enforces what.
    """

    approvals: bool
    cancel: bool
    steer: bool
    resume: bool = False
    images: bool = False
    action_deadline_s: float | None = None
    isolation: str = "remote (unknown)"


class TurnRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One turn: what is to be answered and what was said before.

    messages: in order, at least one. history: entries of the present epoch before them.
    """

    session_id: SessionId
    epoch: int
    agent: AgentName
    run_id: RunId
    attempt: int
    messages: Sequence[MessageView]
    history: Sequence[EntryView] = ()


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to an action. option_id: one of those that were offered."""

    allow: bool
    option_id: str
    reason: str = ""


class Runner(Protocol):
    """Drives one agent for one session."""

    kind: str
    capabilities: Capabilities

    async def open(self) -> None:
        """Start what must be started. Raises HermesError with a hint what is missing."""
        ...

    def turn(self, request: TurnRequest) -> AsyncIterator[RunReport]:
        """Answer. One turn at a time."""
        ...

    async def decide(self, action_id: str, decision: Decision) -> bool:
        """Pass a decision on. False when the agent no longer waits for it."""
        ...

    async def steer(self, text: str) -> bool:
        """Put text into the turn that goes on. False when that cannot be done."""
        ...

    async def cancel(self, reason: str) -> None:
        """Ask the turn to stop; its iterator still ends with TurnEnded. May be called twice."""
        ...

    async def close(self) -> None:
        """Let go of everything, at once. May be called twice."""
        ...

    def describe(self) -> Mapping[str, str]:
        """Facts for the screen: model, url, pid, version. No secrets."""
        ...


class RunnerContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a runner is built with. home: files of the configuration are relative to it;
    workspace: its only folder, which may not be there yet; secret: resolves a
    reference of the configuration (reads the disk: call it off the loop); random: numbers in [0, 1).
    """

    clock: Clock
    ids: IdSource
    home: Path
    workspace: Path
    secret: Callable[[str], Secret]
    random: Callable[[], float]
