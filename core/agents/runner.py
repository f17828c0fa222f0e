"""The Runner protocol: how an agent is driven, whatever it is made of.

A runner serves one session. It decides nothing: queueing, deadlines, storing and policy
are the core's. `turn` ends with exactly one TurnEnded, also on cancel, crash and
timeout; after it no action of that turn is open and no tool call is unfinished.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from core.agents.memory_provider import MemoryTools
from core.agents.ports import Bots, Courier, ToolHost
from core.api.base import AgentName, RunId, SessionId, TaskId
from core.api.policies import ExecutionPolicy, FieldEnforcement, Runtime
from core.api.runs import RunReport, Stop, TurnEnded
from core.api.sessions import MessageView
from core.api.transcripts import EntryView
from core.clock import Clock
from core.ids import IdSource
from core.secrets import Secret


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a runner can do.

    approvals: it asks before it acts and obeys the answer. resume: it keeps the conversation itself, so that only new
    messages go to it. summarizes: it can be asked for a summary. runtimes: what may carry it, its own first. isolation:
    in words for the screen, who enforces what; enforcement: the same for each field of the policy.
    """

    approvals: bool
    steer: bool
    resume: bool = False
    summarizes: bool = False
    runtimes: tuple[Runtime, ...] = (Runtime.REMOTE,)
    isolation: str = "remote (unknown)"
    enforcement: tuple[FieldEnforcement, ...] = ()


class TurnRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One turn: what is to be answered and what was said before.

    messages: in order, at least one. history: entries of the present epoch before them, the oldest first; a summary
    stands for what came before it. model: in place of the agent's own; the core has made the runner for it already.
    extra_system_prompt: after the agent's own. memory: its memory tools, None for none.
    policy: what the run may do. total_s: the longest that it may take.
    """

    session_id: SessionId
    epoch: int
    agent: AgentName
    run_id: RunId
    attempt: int
    messages: Sequence[MessageView]
    history: Sequence[EntryView] = ()
    model: str = ""
    extra_system_prompt: str = ""
    policy: ExecutionPolicy = ExecutionPolicy()
    task_id: TaskId | None = None
    total_s: float = 600.0
    memory: MemoryTools | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to an action. option_id: one of those that were offered. answer: to a question, in words."""

    allow: bool
    option_id: str
    reason: str = ""
    answer: str = ""


class Runner(Protocol):
    """Drives one agent for one session."""

    kind: str
    capabilities: Capabilities

    @property
    def is_alive(self) -> bool:
        """Whether it can take another turn. One that is not is replaced."""
        ...

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

    async def summarize(self, text: str, *, model: str) -> str:
        """A summary of a conversation, by the agent's own model or the one that is named; "" when it cannot.

        Not while a turn goes on. Raises HermesError.
        """
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
    tools: runs the core's tools, sandboxed. policy: of the profile. courier: takes messages to chats, None for nobody.
    bots: bots elsewhere that messages can be sent to.
    """

    clock: Clock
    ids: IdSource
    home: Path
    workspace: Path
    secret: Callable[[str], Secret]
    random: Callable[[], float]
    tools: ToolHost
    policy: ExecutionPolicy = ExecutionPolicy()
    courier: Courier | None = None
    bots: Bots | None = None


def unready(*, is_open: bool, is_closed: bool, is_busy: bool) -> TurnEnded | None:
    """The end of a turn that a runner cannot begin; None when it can."""
    if not is_closed and is_open and not is_busy:
        return None
    code = "closed" if is_closed else "busy" if is_open else "not_open"
    return TurnEnded(stop=Stop.ERROR, error=f"this runner is {code.replace('_', ' ')}", code=code)
