"""What the gateway needs from others: agents that answer, and mailboxes in which messages and answers wait."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from core.api.base import SYSTEM, Actor, AgentName, Event, MailId, Mark, RunId, SessionId, TaskId
from core.api.mail import DeadReason, MailState
from core.api.mailboxes import MailboxPolicy
from core.api.runs import Compacted, RunOutcome, RunReport
from core.api.sessions import MessageView, Mode
from core.api.transcripts import EntryView
from core.pages import Pages
from core.store.base import Committed, Put


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


class Letter(msgspec.Struct, frozen=True, gc=False):
    """A message in a mailbox, as it was when it was looked at.

    body: the payload as MessagePack. attempt: deliveries begun. due: when it may go out again.
    replays: how often an operator sent it again after it was dead. failures: deliveries that left an error
    or came too early.
    """

    id: MailId
    mailbox: str
    state: MailState
    body: bytes
    key: str
    order_key: str
    attempt: int
    created: Mark
    due: Mark | None = None
    error: str = ""
    replays: int = 0
    crashes: int = 0
    failures: int = 0


class Outline(msgspec.Struct, frozen=True, gc=False):
    """What a mailbox holds. depth: everything that is not over, in_flight of it held. oldest: of what waits."""

    depth: int = 0
    in_flight: int = 0
    dead: int = 0
    oldest: Mark | None = None


class TryAgain(Exception):
    """Raised by a handler: the delivery failed. delay_s: until the next one."""

    def __init__(self, error: str, delay_s: float) -> None:
        super().__init__(error)
        self.delay_s = delay_s


class TooEarly(Exception):
    """Raised by a handler: put the message off for delay_s seconds, or until a restart. That was no delivery.

    error: kept as the message's error when not empty.
    """

    def __init__(self, delay_s: float, error: str = "") -> None:
        super().__init__(error)
        self.delay_s = delay_s


class Gate(Protocol):
    """What decides besides whether the messages of a mailbox may be given to their handler."""

    def wait_s(self) -> float:
        """Seconds for which none may be: 0 when one may now, infinity until Mailroom.wake()."""
        ...

    def admit(self) -> bool:
        """One is given to the handler now; False when it may not be after all, and then wait_s() is not 0."""
        ...


class GiveUp(Exception):
    """Raised by a handler: no delivery can succeed, so it is a dead letter at once."""


class MailTransaction(Protocol):
    """What happens to messages together with rows and events: all of it, or nothing.

    Every method but `commit` only notes. Whoever does not commit calls `cancel`.
    """

    def post(
        self, mailbox: str, payload: Any, *, sender: str, order_key: str, key: str = "", correlation: str = ""
    ) -> MailId:
        """Put a message in. payload: what MessagePack can hold, structs too. Raises MailboxClosed, InvalidInput."""
        ...

    def take(self, mailbox: str, mail_id: MailId) -> None:
        """Hold a message that waits, wherever it stands, or that this very transaction posts. Raises NotFound."""
        ...

    def settle(self, mailbox: str, mail_id: MailId) -> None:
        """Be done with a message, held or waiting or dead. Raises NotFound."""
        ...

    def put_back(self, mailbox: str, mail_id: MailId, *, is_counted: bool = True, note: str = "") -> None:
        """Let a held message wait again at its place. note: kept as its error when not empty. Raises NotFound."""
        ...

    def bury(self, mailbox: str, mail_id: MailId, reason: DeadReason, error: str) -> None:
        """Make a dead letter of a held message. Raises NotFound."""
        ...

    def redrive(self, mailbox: str, mail_id: MailId) -> MailId:
        """Send a dead letter again as a new message. Raises NotFound."""
        ...

    async def commit(
        self,
        puts: Sequence[Put],
        events: Sequence[tuple[str, Event]],
        *,
        actor: Actor = SYSTEM,
        correlation: str = "",
    ) -> Committed:
        """Do all of it, durably. Raises ConflictError, StoreError; then nothing has happened."""
        ...

    def cancel(self) -> None:
        """Give back what it holds."""
        ...


class Owner(msgspec.Struct, frozen=True):
    """Who alone puts messages into a mailbox and takes waiting ones out.

    name: as operators know it. put_in, take_out, rules: what they do instead. redriven: told of dead
    letters that an operator sent again, by their new ids; it must not wait or fail.
    """

    name: str
    put_in: str
    take_out: str
    rules: str
    redriven: Callable[[Sequence[MailId]], None]


LetterHandler = Callable[[Letter], Awaitable[None]]
"""Deals with one message: it has settled it itself when it returns, or raises TryAgain, TooEarly or GiveUp."""


class Mailroom(Protocol):
    """Mailboxes, as far as the gateway uses them."""

    async def ensure(self, mailbox: str, policy: MailboxPolicy, *, owner: Owner | None = None) -> None:
        """Make a mailbox when it is not there, or give it these rules.

        owner: operators put nothing in and take nothing out behind its back.
        """
        ...

    def transaction(self) -> MailTransaction:
        """Several changes in one commit."""
        ...

    def names(self, prefix: str) -> Sequence[str]:
        """All mailboxes whose name begins so."""
        ...

    def letters(self, mailbox: str) -> Sequence[Letter]:
        """Everything that waits, is held or is dead, by id. Nothing for a mailbox that is not there."""
        ...

    def find_letter(self, mailbox: str, mail_id: MailId) -> Letter | None:
        """One message that is live or dead."""
        ...

    def is_giving(self, mailbox: str) -> bool:
        """False while an operator has it paused."""
        ...

    def counts(self, prefix: str) -> tuple[int, int]:
        """Live messages and dead letters in all mailboxes whose name begins so."""
        ...

    def outline(self, mailbox: str) -> Outline:
        """What it holds, without looking at each message. Nothing for a mailbox that is not there."""
        ...

    def hurry(self, mailbox: str, mail_id: MailId, *, is_afresh: bool = True) -> bool:
        """Let a message that waits for its next try go out now. is_afresh: its deliveries are counted anew.

        False when it does not wait for one.
        """
        ...

    def consume(
        self,
        mailbox: str,
        handler: LetterHandler,
        *,
        concurrency: int,
        work_limit_s: float,
        ready: Callable[[], Awaitable[None]],
        gate: Gate | None = None,
    ) -> None:
        """Give the messages of a mailbox to a handler once it is ready, one of each ordering key at a time.

        work_limit_s: then a handler is cut off; 0 is never. gate: asked before each message.
        """
        ...

    def wake(self, mailbox: str) -> None:
        """Have the gate of a mailbox asked again."""
        ...
