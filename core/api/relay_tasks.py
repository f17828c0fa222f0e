"""Bot-to-bot messages and what became of them: id, states, view, queries, commands, events."""

from enum import StrEnum
from typing import NewType

from core.api.base import Command, Event, Mark, Query, Seq, SessionId, TaskId, View, Word
from core.api.bindings import RelayProtocol

RelayTaskId = NewType("RelayTaskId", str)
"""Of a message from bot to bot: 32 hexadecimal digits with hyphens where we made it, else as the peer wrote it.

Those that came in are kept apart by peer; on the facade they are PEER/ID.
"""

TEXT_LIMIT = 2_000
"""Characters of a text in lists; all of it is in the detail."""


class RelayDirection(StrEnum):
    """out: from here to a bot; in: from a peer to an agent here."""

    OUT = "out"
    IN = "in"


class RelayState(StrEnum):
    """Where a message is. working: the far side has it; completed: it answered, or there is nothing to wait for.

    dead: given up here, an operator can send it again.
    """

    QUEUED = "queued"
    SENDING = "sending"
    WORKING = "working"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    DEAD = "dead"

    @property
    def is_over(self) -> bool:
        """Whether nothing is done for it any more."""
        return self not in _UNDER_WAY


_UNDER_WAY = frozenset({RelayState.QUEUED, RelayState.SENDING, RelayState.WORKING})


class RelayReason(StrEnum):
    """What is known about a message that did not end well, or has no answer.

    refused: the far side has seen it and does not want it. undelivered: it cannot have seen it. unanswered: it has it,
    and no answer came. unknown: nobody can tell whether it has it. loop: a limit of hops or turns. agent: it tried, and
    failed. policy: our own rules forbid it, such as an address that may not be called.
    """

    NONE = ""
    REFUSED = "refused"
    UNDELIVERED = "undelivered"
    UNANSWERED = "unanswered"
    UNKNOWN = "unknown"
    LOOP = "loop"
    AGENT = "agent"
    POLICY = "policy"


class AttemptResult(StrEnum):
    """What one attempt came to. cut_off: our own stop or cancellation, so nothing is said about the far side."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    UNDELIVERED = "undelivered"
    UNKNOWN = "unknown"
    CUT_OFF = "cut_off"


class Trigger(StrEnum):
    """Why an attempt was made: the first, a repeat within seconds, one of the schedule, or an operator's replay."""

    FIRST = "first"
    RETRY = "retry"
    SCHEDULE = "schedule"
    REPLAY = "replay"


class RelayAttempt(View, frozen=True, kw_only=True):
    """One try to deliver. number: from 1. url: where it went. status: of HTTP, 0 without. latency_s: until the answer
    or the failure.
    """

    number: int
    began: Mark
    url: str
    result: AttemptResult
    trigger: Trigger
    status: int = 0
    latency_s: float = 0.0
    error: str = ""


class RelayTaskView(View, frozen=True, kw_only=True):
    """A message from bot to bot.

    bot: name of the far side in its binding, or of the peer that sent it. platform, chat: of the binding. text, answer:
    2,000 characters at most in lists. session_id: the conversation that it came from or is answered in. sender: who
    asked for it here, or whom the peer names (it proves nothing). due: next attempt or poll. is_late: the answer came
    when it was over. repeats: how often the peer sent it again. hops, path, conversation: for the limits of loops.
    group: of a fan-out, the same for all. task_id: of the agent's work on one that came in. remote_id: the peer's own
    id.
    """

    id: RelayTaskId
    version: int
    direction: RelayDirection
    state: RelayState
    bot: str
    text: str
    created: Mark
    url: str = ""
    origin: str = ""
    protocol: RelayProtocol = RelayProtocol.HOTPLEX
    peer: str = ""
    platform: str = ""
    chat: str = ""
    sender: str = ""
    session_id: SessionId | None = None
    reason: RelayReason = RelayReason.NONE
    error: str = ""
    answer: str = ""
    attempt_count: int = 0
    last_status: int = 0
    changed: Mark | None = None
    ended: Mark | None = None
    due: Mark | None = None
    answered: Mark | None = None
    is_late: bool = False
    repeats: int = 0
    hops: int = 0
    path: tuple[str, ...] = ()
    conversation: str = ""
    group: str = ""
    task_id: TaskId | None = None
    remote_id: str = ""


class RelayTaskDetail(View, frozen=True, kw_only=True):
    """One message whole: all of its text and answer, its attempts, the others of its fan-out.

    context: name of the conversation over there, by which another message goes on with it; "" for none.
    """

    task: RelayTaskView
    text: str
    answer: str
    attempts: tuple[RelayAttempt, ...]
    group: tuple[RelayTaskView, ...]
    seq: Seq
    context: str = ""


class GetRelayTask(Query[RelayTaskDetail], frozen=True, kw_only=True):
    """One message. id: all of it, or the first letters that fit no other."""

    id: str


class RelayTaskFilter(Word, frozen=True, kw_only=True):
    """Which messages; empty fields do not narrow. since: created at or after, UTC seconds."""

    states: tuple[RelayState, ...] = ()
    direction: RelayDirection | None = None
    bot: str = ""
    origin: str = ""
    peer: str = ""
    reason: RelayReason | None = None
    conversation: str = ""
    since: float = 0.0
    text: str = ""


class RelayTaskPage(View, frozen=True, kw_only=True):
    """Messages, the latest first. cursor: opaque, "" at the end. counts: by state, of all messages."""

    tasks: tuple[RelayTaskView, ...]
    cursor: str
    counts: dict[str, int]
    seq: Seq


class ListRelayTasks(Query[RelayTaskPage], frozen=True, kw_only=True):
    """Messages. limit: 1 to 500."""

    only: RelayTaskFilter = RelayTaskFilter()
    limit: int = 100
    cursor: str = ""


class RelayReceipt(View, frozen=True, kw_only=True):
    """Messages that are stored, one for each target. is_duplicate: the id was used before for the same."""

    tasks: tuple[RelayTaskView, ...]
    is_duplicate: bool = False


class SendRelay(Command[RelayReceipt], frozen=True, kw_only=True):
    """Send a text to a bot; it is stored before the first byte leaves.

    to: names of bots; several make a fan-out with a result for each. platform, chat: whose binding counts, "" for any.
    url: in place of a binding's, one of those that the name has. id: chosen by the caller, so that repeating the order
    sends nothing twice; for one target only. session_id: the conversation that gets the answer; what is known of its
    hops and turns counts. Raises NotFound for no binding, ConflictError for several that fit, InvalidInput, Refused for
    a loop (the message is kept as dead), Overloaded.
    """

    to: tuple[str, ...]
    text: str
    platform: str = ""
    chat: str = ""
    url: str = ""
    id: str = ""
    session_id: SessionId | None = None
    context: str = ""


class CancelRelay(Command[RelayReceipt], frozen=True, kw_only=True):
    """Stop a message: one that waits is not sent, of one that is under way the far side is told.

    Raises NotFound, ConflictError when it is over.
    """

    id: RelayTaskId
    reason: str = ""


class ReplayReceipt(View, frozen=True, kw_only=True):
    """Dead messages that were sent again, or would be. skipped: those that were not, with why."""

    tasks: tuple[RelayTaskView, ...]
    skipped: tuple[str, ...]
    is_dry_run: bool


class ReplayRelay(Command[ReplayReceipt], frozen=True, kw_only=True):
    """Send dead messages again, under their own ids, so that a peer that has one does it only once.

    ids: these; without any, all dead ones that fit bot and since (UTC seconds). is_dry_run: only say which.
    Raises NotFound for an id that is not there, ConflictError for a single one that is not dead.
    """

    ids: tuple[RelayTaskId, ...] = ()
    bot: str = ""
    since: float = 0.0
    is_dry_run: bool = False


class RetargetRelay(Command[RelayReceipt], frozen=True, kw_only=True):
    """Give a message that waits or is dead another address; a dead one stays dead until it is replayed.

    to, platform, chat: as in SendRelay. Raises NotFound, ConflictError when it is being sent, is working or is over.
    """

    id: RelayTaskId
    to: str
    platform: str = ""
    chat: str = ""
    url: str = ""


class RelayQueued(Event, frozen=True, kw_only=True):
    """A message waits to be sent, for the first time or again."""

    task: RelayTaskView


class RelaySending(Event, frozen=True, kw_only=True):
    """An attempt begins. Live only."""

    task: RelayTaskView


class RelayDelivered(Event, frozen=True, kw_only=True):
    """The far side has it."""

    task: RelayTaskView


class RelayAttemptFailed(Event, frozen=True, kw_only=True):
    """An attempt failed; the view says when the next is."""

    task: RelayTaskView


class RelayEnded(Event, frozen=True, kw_only=True):
    """A message is completed, failed, canceled or dead: its state and reason say which."""

    task: RelayTaskView


class RelayAnsweredLate(Event, frozen=True, kw_only=True):
    """An answer came when the message was over. It is kept."""

    task: RelayTaskView


class RelayReceived(Event, frozen=True, kw_only=True):
    """A peer sent a message, which an agent here is given."""

    task: RelayTaskView


class RelayRepeated(Event, frozen=True, kw_only=True):
    """A peer sent a message again that is here already. Live only."""

    task: RelayTaskView


class RelayRefused(Event, frozen=True, kw_only=True):
    """A request from outside was not taken. peer: "" when it could not say who it is. At most one a second for each
    peer and cause; count: since the last one. Live only.
    """

    peer: str
    status: int
    why: str
    count: int = 1


class RelayRetargeted(Event, frozen=True, kw_only=True):
    """A message has another address."""

    task: RelayTaskView
