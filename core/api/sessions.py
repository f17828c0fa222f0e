"""Who talks to which agent: id, states, views, queries, commands, events."""

from enum import StrEnum

from core.api.base import (
    AgentName,
    Command,
    EntryId,
    Event,
    Mark,
    MessageId,
    PlatformName,
    Query,
    RunId,
    Seq,
    SessionId,
    TaskId,
    View,
    Word,
)
from core.api.runs import Compacted, LeaseView, Phase, RunnerView, RunOutcome, RunView
from core.api.transcripts import EntryView


class ChatKind(StrEnum):
    """What sort of place a conversation happens in."""

    DM = "dm"
    GROUP = "group"
    CHANNEL = "channel"
    THREAD = "thread"


class Source(Word, frozen=True, kw_only=True):
    """Where a conversation happens. The session id is derived from it and can be read back.

    platform: configured name of the connection. chat, thread, user: native ids, as they are; thread: None outside
    threads; user: only where each member of a shared chat has a session. chat_name: for people, not part of the id.
    """

    platform: PlatformName
    kind: ChatKind
    chat: str
    thread: str | None = None
    user: str | None = None
    chat_name: str = ""


class SessionState(StrEnum):
    """What an operator is told a session is doing."""

    IDLE = "idle"
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    INTERRUPTING = "interrupting"
    FAILED = "failed"


class Mode(StrEnum):
    """What a message does when the session is busy. Order of arrival is kept in all of them.

    queue: waits for a turn of its own. followup: waits, and shares one turn with the followups next to it.
    steer: offered to the run that goes on, else like followup. steer-backlog: offered to it and answered
    afterwards all the same. interrupt: the run is told to stop first. collect: waits until nothing more has come for
    a while, also when the session is idle, and shares one turn with what came.
    """

    QUEUE = "queue"
    FOLLOWUP = "followup"
    STEER = "steer"
    STEER_BACKLOG = "steer-backlog"
    INTERRUPT = "interrupt"
    COLLECT = "collect"


class Outcome(StrEnum):
    """What became of a message at once: its turn began or it was steered in, it waits, the run before it was told to
    stop, or it begins again what was over.
    """

    DIRECT = "direct"
    QUEUED = "queued"
    INTERRUPTED = "interrupted"
    RESTARTED = "restarted"


class Voice(StrEnum):
    """As whom a message is put to the agent."""

    USER = "user"
    NOTE = "note"


class ResetCause(StrEnum):
    """Why a session began anew: it was ordered, nobody wrote for long, or a new day began."""

    ORDER = "order"
    IDLE = "idle"
    DAILY = "daily"


class MessageState(StrEnum):
    """Where an inbound message is."""

    QUEUED = "queued"
    RUNNING = "running"
    STEERED = "steered"


class MessageView(View, frozen=True, kw_only=True):
    """An inbound message that has not been answered yet.

    mode: what was asked; effective_mode: what was done; mode_reason: why they differ.
    attempt: how often a run took it up. task_id: the task that it carries. due: until when it waits for more. model:
    in place of the agent's own. terms_of: a task that is over, under whose profile and policy it is answered.
    native_id: at its platform. part_of: the first of neighbours that are answered together because they came as parts
    of one message, such as an album or lines typed in a burst; None when it is itself the first, or alone.
    """

    id: MessageId
    session_id: SessionId
    received: Mark
    voice: Voice
    sender: str
    text: str
    state: MessageState
    mode: Mode
    effective_mode: Mode
    mode_reason: str = ""
    attempt: int = 0
    run_id: RunId | None = None
    task_id: TaskId | None = None
    due: Mark | None = None
    model: str = ""
    terms_of: TaskId | None = None
    native_id: str = ""
    part_of: MessageId | None = None


class SessionView(View, frozen=True, kw_only=True):
    """A session and the facts about it, each with its age.

    version: grows with each change. boot: the core's start that the marks belong to. epoch: grows with each reset; the
    agent sees only entries of the present one. lane_holder: the run that holds the session's lane, by its own books;
    run: what the agent runtime says is running; where the two disagree something is wrong. lease: of the holder.
    compaction: the last try, its text left to the entry. context_tokens: estimate. is_archived: the next message
    begins a new epoch. user: PLATFORM:ID or group:PLATFORM:CHAT. summary_id: entry that stands for what came before
    it. last_epoch: the newest one, since an earlier one was taken up again; None while that never happened.
    begun_by: why the present epoch began by itself; None once the people in the chat were told, and for any other.
    """

    id: SessionId
    version: int
    boot: int
    source: Source
    agent: AgentName
    state: SessionState
    created: Mark
    epoch: int = 0
    title: str = ""
    inbound: Mark | None = None
    outbound_ack: Mark | None = None
    queue_depth: int = 0
    queue_limit: int = 0
    queue_head: Mark | None = None
    lane_holder: RunId | None = None
    run: RunView | None = None
    last_outcome: RunOutcome | None = None
    open_approvals: int = 0
    unsent: int = 0
    entry_count: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    lease: LeaseView | None = None
    lease_token: int = 0
    runner: RunnerView | None = None
    compaction: Compacted | None = None
    context_tokens: int = 0
    is_archived: bool = False
    user: str = ""
    summary_id: EntryId | None = None
    last_epoch: int | None = None
    begun_by: ResetCause | None = None

    @property
    def phase(self) -> tuple[Phase, Mark] | None:
        """What the session is busy with and since when; None while it is idle."""
        if self.run is not None:
            return self.run.phase, self.run.phase_since
        if self.queue_head is not None:
            return Phase.QUEUED, self.queue_head
        if self.unsent and self.last_outcome is not None:
            return Phase.DELIVERING, self.last_outcome.ended
        return None


class SessionPage(View, frozen=True, kw_only=True):
    """Sessions in the order of their ids. cursor: pass it on for the next page; "" at the end.

    seq: every change up to it is in the page, later ones come as events.
    """

    sessions: tuple[SessionView, ...]
    cursor: str
    seq: Seq
    total: int


class SessionDetail(View, frozen=True, kw_only=True):
    """One session with what waits in it.

    live_text: of the answer that is being written. entries: the newest of the transcript. ages_s: of every known fact.
    """

    session: SessionView
    messages: tuple[MessageView, ...]
    live_text: str
    seq: Seq
    ages_s: dict[str, float]
    entries: tuple[EntryView, ...] = ()


class SendReceipt(View, frozen=True, kw_only=True):
    """A message that is stored. position: what is before it. is_duplicate: its key was used before, for message_id."""

    session_id: SessionId
    message_id: MessageId
    position: int
    mode: Mode
    effective_mode: Mode
    mode_reason: str = ""
    is_duplicate: bool = False
    outcome: Outcome = Outcome.QUEUED


class InterruptReceipt(View, frozen=True, kw_only=True):
    """What an interrupt did. run_id: that was told to stop. is_released: whether the lane was free again in time."""

    session_id: SessionId
    run_id: RunId | None
    is_released: bool
    holder: RunId | None
    queue_depth: int


class ResetReceipt(View, frozen=True, kw_only=True):
    """What a reset did. dropped: messages that were let go because that was asked for."""

    session_id: SessionId
    epoch: int
    interrupted: RunId | None
    dropped: int


class ListSessions(Query[SessionPage], frozen=True, kw_only=True):
    """Sessions by id. limit: 1 to 5,000. prefix: of the id, "" for all."""

    after: str = ""
    limit: int = 500
    prefix: str = ""


class GetSession(Query[SessionDetail], frozen=True, kw_only=True):
    """One session whole. entry_limit: newest entries of the transcript to bring along, 0 to 1,000."""

    session_id: SessionId
    entry_limit: int = 0


class OpenSession(Command[SendReceipt], frozen=True, kw_only=True):
    """Begin a conversation on a platform that lets us, with a first message."""

    platform: PlatformName
    chat: str
    text: str
    agent: AgentName | None = None


class SendMessage(Command[SendReceipt], frozen=True, kw_only=True):
    """Put a message to the agent of a session. mode None is the session's default.

    idempotency_key: "" for none; the same key on the same session is accepted once, and with other content it is a
    conflict. model: in place of the agent's own, for this turn.
    """

    session_id: SessionId
    text: str
    voice: Voice = Voice.NOTE
    mode: Mode | None = None
    idempotency_key: str = ""
    model: str = ""


class InterruptSession(Command[InterruptReceipt], frozen=True, kw_only=True):
    """Stop the run of a session, only `run_id` if given (ConflictError); what is written and what is queued stays."""

    session_id: SessionId
    reason: str = ""
    run_id: RunId | None = None


class ResetSession(Command[ResetReceipt], frozen=True, kw_only=True):
    """Begin a new epoch: the agent forgets, the transcript stays on record."""

    session_id: SessionId
    reason: str = ""
    drop_queue: bool = False


class SessionOpened(Event, frozen=True, kw_only=True):
    """A conversation that was not known before."""

    session: SessionView


class MessageQueued(Event, frozen=True, kw_only=True):
    """A message is stored and waits, or its run begins in the same breath."""

    session: SessionView
    message: MessageView


class MessageRefused(Event, frozen=True, kw_only=True):
    """A message was not taken in. Nothing of it is stored but this. code: of the error."""

    platform: PlatformName
    session_id: SessionId
    code: str
    reason: str


class MessageSteered(Event, frozen=True, kw_only=True):
    """A message was put into the run that goes on."""

    session: SessionView
    message: MessageView
    entry: EntryView


class RunStarted(Event, frozen=True, kw_only=True):
    """A run took up messages. entries: the messages as they now stand in the transcript."""

    session: SessionView
    entries: tuple[EntryView, ...]


class SessionActive(Event, frozen=True, kw_only=True):
    """New ages, phase or counts of a session. Live only."""

    session: SessionView


class RunOutput(Event, frozen=True, kw_only=True):
    """More text of a run. offset: characters before it. Live only; the whole text is stored at the end."""

    session_id: SessionId
    run_id: RunId
    offset: int
    text: str
    is_thought: bool = False


class EntryAdded(Event, frozen=True, kw_only=True):
    """An entry was added while the run goes on: a finished tool call, a remark."""

    session: SessionView
    entry: EntryView


class RunEnded(Event, frozen=True, kw_only=True):
    """A run ended; entries: what it leaves in the transcript."""

    session: SessionView
    outcome: RunOutcome
    entries: tuple[EntryView, ...]


class SessionInterrupted(Event, frozen=True, kw_only=True):
    """Somebody asked the run to stop; RunEnded says when it did."""

    session: SessionView
    reason: str


class SessionReset(Event, frozen=True, kw_only=True):
    """A new epoch began. dropped: messages let go. cause: somebody ordered it, or the conversation was over by itself.

    ended_epoch: the one that is over; None in what an older version wrote.
    """

    session: SessionView
    reason: str
    dropped: int
    cause: ResetCause = ResetCause.ORDER
    ended_epoch: int | None = None
