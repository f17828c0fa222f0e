"""What the agents need from others: conversations in which tasks are done, a mailbox of tasks, tools that run apart."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from core.api.base import Actor, AgentName, DeliveryId, MailId, MessageId, RunId, SessionId, TaskId
from core.api.policies import ExecutionPolicy, RuntimeView
from core.api.sessions import MessageView, Mode, SendReceipt, Source
from core.api.tasks import Routing
from core.api.transcripts import EntryView
from core.pages import Pages


class ToolResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a tool process left. output: standard output and error as they came, cut at a limit. why: it was ended, such
    as "time limit", "cancelled"; "" when it ended by itself.
    """

    exit_code: int | None
    output: str
    why: str = ""


class ToolHost(Protocol):
    """Runs tool processes as a policy wants it, or refuses."""

    def runtimes(self) -> Sequence[RuntimeView]:
        """What is there, as probed at the start."""
        ...

    def refusal(self, policy: ExecutionPolicy) -> str:
        """Why a policy cannot be kept on this machine; "" when it can."""
        ...

    async def run(self, argv: Sequence[str], *, policy: ExecutionPolicy, workspace: Path, limit_s: float) -> ToolResult:
        """Run a program to its end; cancelling ends it and all its children.

        Raises Refused (rule runtime) when the policy cannot be kept: nothing was run then.
        """
        ...

    def wrapped(
        self, argv: Sequence[str], *, policy: ExecutionPolicy, workspace: Path, readable: Sequence[Path] = ()
    ) -> Sequence[str]:
        """The command line that runs a long-lived program as the policy wants it. Raises Refused."""
        ...


class Handover(msgspec.Struct, frozen=True, kw_only=True):
    """A message that a task puts to its session. pages: stored in the same commit, made from the message's id and what
    became of it. deliver: where the answer goes besides; None is nowhere. terms_of: a task that is over, and under
    whose terms it is answered all the same.
    """

    session_id: str
    agent: str
    text: str
    sender: str
    mode: Mode
    task_id: TaskId | None
    actor: Actor
    pages: Callable[[SendReceipt], Pages]
    model: str = ""
    title: str = ""
    deliver: Routing | None = None
    terms_of: TaskId | None = None


class Conversations(Protocol):
    """Sessions, as far as tasks use them."""

    def new_session_id(self, task_id: TaskId) -> SessionId:
        """The id of a session for one task alone."""
        ...

    def check_session(self, session_id: SessionId) -> None:
        """Raises InvalidInput when it can be the id of no session."""
        ...

    def check_delivery(self, routing: Routing, *, has_own: bool) -> None:
        """Raises InvalidInput when an answer cannot be sent where it is to go. has_own: its session may be a chat."""
        ...

    async def hand_over(self, handover: Handover) -> SendReceipt:
        """Put a message into the queue of its session, which is made when it is not there.

        Raises Overloaded when the queue is full, Unavailable while the core stops, NotFound, InvalidInput, StoreError:
        then nothing is stored.
        """
        ...

    def live_run(self, session_id: SessionId) -> RunId | None:
        """The run that holds the session."""
        ...

    def waiting(self, session_id: SessionId) -> Sequence[MessageView]:
        """Messages that wait in a session that is in memory."""
        ...

    async def stop(self, session_id: SessionId, *, message_id: MessageId | None, reason: str, actor: Actor) -> bool:
        """Let a waiting message go, or stop the run that answers it; None: whatever runs. False when it is neither."""
        ...

    async def said(self, session_id: SessionId, epoch: int) -> Sequence[EntryView]:
        """What was said in one epoch of a session, the newest 5,000 entries, the oldest first. Raises StoreError."""
        ...

    async def note(self, session_id: SessionId, text: str, actor: Actor) -> None:
        """Put an operator's note to a session as a followup."""
        ...


class Courier(Protocol):
    """Takes messages of agents to chats."""

    def addressed(self, target: str, session_id: SessionId) -> tuple[str, Source]:
        """The one chat that is meant, and what it is called where targets are written. session_id: who says it.

        Raises InvalidInput, NotFound, Refused, Unavailable, and says what to write instead.
        """
        ...

    async def send_from(
        self, session_id: SessionId, source: Source, text: str, *, agent: AgentName, key: str
    ) -> Sequence[DeliveryId]:
        """Store a message for delivery, and note it in the session of its chat. Nothing when that key was used before.

        Raises HermesError: then nothing is sent.
        """
        ...


class Bots(Protocol):
    """Bots elsewhere, as far as agents write to them."""

    def names(self, session_id: SessionId) -> Sequence[str]:
        """Those that a conversation can reach, by name."""
        ...

    def addressed(self, name: str, session_id: SessionId) -> str:
        """Where the bot is that is meant. Raises NotFound, ConflictError, and Refused while nothing may be sent."""
        ...

    async def send_to(
        self, session_id: SessionId, name: str, text: str, *, agent: AgentName, key: str, wait_s: float = 0.0
    ) -> str:
        """Store a message for a bot, once for each key; what the agent is told: the answer when it comes within wait_s,
        else it comes into the conversation later.

        Raises HermesError: then nothing is sent.
        """
        ...


class QueuedTask(msgspec.Struct, frozen=True):
    """A task as it waits in its mailbox. body: as it was posted, decoded by its owner."""

    mail_id: MailId
    body: bytes


class TaskPost(Protocol):
    """The mailbox in which accepted tasks wait until their session takes them."""

    async def open(self) -> None:
        """Make the mailbox when it is not there."""
        ...

    async def post(self, body: Any, *, order_key: str) -> MailId:
        """Store a task; returns once it is durable. body: what MessagePack can hold, structs too.

        Raises InvalidInput, Overloaded, StoreError.
        """
        ...

    def waiting(self) -> Sequence[QueuedTask]:
        """All that wait, by id."""
        ...

    async def settle(self, mail_id: MailId, pages: Pages, *, actor: Actor) -> None:
        """Take a task out for good, with rows and events in the same commit. Raises NotFound, StoreError."""
        ...

    @property
    def is_paused(self) -> bool:
        """Whether an operator holds it."""
        ...
