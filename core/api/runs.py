"""What one run of an agent reports, from its first byte to its end.

A run is one turn of an agent on a session. Its reports are the language between
agents and gateway, and what a caller who waits for the answer reads as it comes.
"""

from enum import StrEnum

import msgspec

from core.api.base import AgentName, EntryId, Mark, MessageId, RunId, SessionId, TaskId, View, Word


class Phase(StrEnum):
    """What a run, or a message before it, is busy with."""

    QUEUED = "queued"
    ADMITTING = "admitting"
    MODEL = "model"
    TOOL = "tool"
    APPROVAL = "approval"
    CLARIFY = "clarify"
    COMPACTION = "compaction"
    RETRY_BACKOFF = "retry_backoff"
    DELIVERING = "delivering"
    DRAINING = "draining"


class Stop(StrEnum):
    """Why a run ended."""

    END_TURN = "end_turn"
    MAX_TOKENS = "max_tokens"
    MAX_TURNS = "max_turns"
    REFUSAL = "refusal"
    CANCELLED = "cancelled"
    ERROR = "error"
    TIMEOUT = "timeout"
    DIED = "died"
    WAITING_FOR_INPUT = "waiting_for_input"

    @property
    def is_answer(self) -> bool:
        """Whether the text of the run is an answer and not what is left of a failure."""
        return self in _ANSWERS


_ANSWERS = frozenset({Stop.END_TURN, Stop.MAX_TOKENS, Stop.MAX_TURNS, Stop.REFUSAL, Stop.WAITING_FOR_INPUT})


class ToolStatus(StrEnum):
    """How far a tool call is. `ended` is a call whose end was never reported."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    ENDED = "ended"

    @property
    def is_final(self) -> bool:
        """Whether nothing more is expected of the call."""
        return self in {ToolStatus.COMPLETED, ToolStatus.FAILED, ToolStatus.ENDED}


class ToolKind(StrEnum):
    """What a tool call does to the world."""

    READ = "read"
    EDIT = "edit"
    DELETE = "delete"
    MOVE = "move"
    SEARCH = "search"
    EXECUTE = "execute"
    THINK = "think"
    FETCH = "fetch"
    OTHER = "other"


class ToolCall(Word, frozen=True, kw_only=True):
    """One tool call as known so far. Reports of the same id replace each other."""

    id: str
    title: str
    kind: ToolKind = ToolKind.OTHER
    status: ToolStatus = ToolStatus.PENDING
    input: str = ""
    output: str = ""
    diff: str = ""


class PlanStep(Word, frozen=True, kw_only=True):
    """One step of an agent's plan. status: pending, in_progress or completed."""

    text: str
    status: str = "pending"
    priority: str = "medium"


class Usage(Word, frozen=True, kw_only=True):
    """Tokens of a run. context_tokens of context_limit are in use; 0 means unknown."""

    input_tokens: int = 0
    output_tokens: int = 0
    context_tokens: int = 0
    context_limit: int = 0
    cost_usd: float = 0.0


class OptionKind(StrEnum):
    """What choosing an option of an approval means."""

    ALLOW_ONCE = "allow_once"
    ALLOW_ALWAYS = "allow_always"
    REJECT_ONCE = "reject_once"
    REJECT_ALWAYS = "reject_always"

    @property
    def allows(self) -> bool:
        """Whether the agent may go on with what it asked."""
        return self in {OptionKind.ALLOW_ONCE, OptionKind.ALLOW_ALWAYS}


class ActionOption(Word, frozen=True, kw_only=True):
    """One answer that the agent accepts. `label` is the agent's own text."""

    id: str
    label: str
    kind: OptionKind


class TextDelta(Word, frozen=True, kw_only=True):
    """More of the answer."""

    text: str


class ThoughtDelta(Word, frozen=True, kw_only=True):
    """More of what the model thinks."""

    text: str


class ToolReported(Word, frozen=True, kw_only=True):
    """A tool call began, changed or ended."""

    call: ToolCall


class PlanReported(Word, frozen=True, kw_only=True):
    """The whole plan, in place of the one before."""

    steps: tuple[PlanStep, ...]


class ActionKind(StrEnum):
    """What is wanted of the operator: a yes or no, or an answer in words."""

    APPROVAL = "approval"
    QUESTION = "question"


class ActionRequested(Word, frozen=True, kw_only=True):
    """The agent waits for a decision.

    action_id: the runner's own, unique within the run. detail: exact arguments, nothing
    hidden. deadline_s: seconds after which the agent no longer listens; None is for ever.
    tool, target: what the policy looks at: a tool's name, and the whole command line, path or address;
    "" when the agent does not say. cwd: where it would happen. diff: of a file, as unified text.
    chain: names of the agents between the session's own and the one that asks, the outermost first.
    """

    action_id: str
    title: str
    detail: str
    kind: ToolKind
    options: tuple[ActionOption, ...]
    tool_call_id: str = ""
    deadline_s: float | None = None
    action_kind: ActionKind = ActionKind.APPROVAL
    tool: str = ""
    target: str = ""
    cwd: str = ""
    diff: str = ""
    chain: tuple[str, ...] = ()


class ActionSettled(Word, frozen=True, kw_only=True):
    """The agent no longer waits for that decision. outcome: approved, denied, expired or withdrawn.

    by: who decided, "" when nobody did.
    """

    action_id: str
    outcome: str
    by: str = ""


class UsageReported(Word, frozen=True, kw_only=True):
    """Tokens of the run so far, in place of the report before."""

    usage: Usage


class RunRetry(Word, frozen=True, kw_only=True):
    """The next try after a failure. next_at: when; count: tries so far; reason: of the last failure."""

    next_at: Mark
    count: int
    reason: str


class PhaseChanged(Word, frozen=True, kw_only=True):
    """The run is busy with something else now. tool: its name while phase is tool.

    waits_for: why it has not begun yet, in words, while phase is admitting; "" when nothing holds it.
    """

    phase: Phase
    tool: str = ""
    retry: RunRetry | None = None
    waits_for: str = ""


class RunLogged(Word, frozen=True, kw_only=True):
    """A remark of the runner. level: debug, info, warning or error."""

    level: str
    text: str


class ModeReported(Word, frozen=True, kw_only=True):
    """The agent works in a mode of its own. asks: whether it still asks for approval there."""

    mode: str
    asks: bool


class CompactionState(StrEnum):
    """What became of the last try to shorten what the agent is given of the conversation."""

    DONE = "done"
    FAILED = "failed"
    INEFFECTIVE = "ineffective"


class Compacted(Word, frozen=True, kw_only=True):
    """Earlier entries stand as a summary from now on, or could not be made shorter.

    The transcript itself is never changed. covers_until: the last entry that the summary stands for; None unless
    done. is_digest: made by rule and not by a model. before_tokens, after_tokens: estimates. tries: so far in a row.
    """

    state: CompactionState
    summary: str = ""
    covers_until: EntryId | None = None
    is_digest: bool = False
    before_tokens: int = 0
    after_tokens: int = 0
    limit_tokens: int = 0
    tries: int = 0
    error: str = ""


class TurnEnded(Word, frozen=True, kw_only=True):
    """The last report of every run, exactly once.

    error: one line for people when stop is error, timeout or died; code: its stable name.
    """

    stop: Stop
    usage: Usage = Usage()
    error: str = ""
    code: str = ""


RunReport = (
    TextDelta
    | ThoughtDelta
    | ToolReported
    | PlanReported
    | ActionRequested
    | ActionSettled
    | UsageReported
    | PhaseChanged
    | RunLogged
    | ModeReported
    | Compacted
    | TurnEnded
)


class RunnerState(StrEnum):
    """What a runner is doing. `stale` runners are replaced before their next turn."""

    OPENING = "opening"
    BUSY = "busy"
    IDLE = "idle"
    STALE = "stale"
    DEAD = "dead"


class RunnerView(View, frozen=True, kw_only=True):
    """The runner of a session.

    generation: grows with each runner of a core's start; an action is bound to it. user: who the session belongs to.
    facts: of the runner itself, such as pid, url, version. asks: False when it acts without asking.
    """

    session_id: SessionId
    agent: AgentName
    kind: str
    state: RunnerState
    generation: int
    since: Mark
    active: Mark
    model: str = ""
    mode: str = ""
    asks: bool = True
    user: str = ""
    run_id: RunId | None = None
    facts: dict[str, str] = msgspec.field(default_factory=dict[str, str])


class LeaseView(View, frozen=True, kw_only=True):
    """Who may write to a session. token: fencing token, grows with each holder; a smaller one is refused."""

    boot: int
    run_id: RunId
    token: int
    since: Mark
    renewed: Mark


class RunView(View, frozen=True, kw_only=True):
    """A run that goes on.

    attempt: 1 for the first. message_ids: what it answers. last_model_byte: last text or
    thought; last_tool_event: last change of a tool call; None before the first.
    interrupt_asked: when an interrupt was asked for and has not ended the run yet.
    stall_limit_s, total_limit_s: the deadlines that the core holds it to. waits_for: why it has not begun, in words.
    """

    id: RunId
    attempt: int
    started: Mark
    phase: Phase
    phase_since: Mark
    message_ids: tuple[MessageId, ...]
    tool: str = ""
    last_model_byte: Mark | None = None
    last_tool_event: Mark | None = None
    interrupt_asked: Mark | None = None
    retry: RunRetry | None = None
    stall_limit_s: float = 0.0
    total_limit_s: float = 0.0
    usage: Usage = Usage()
    plan: tuple[PlanStep, ...] = ()
    task_id: TaskId | None = None
    model: str = ""
    mode: str = ""
    asks: bool = True
    waits_for: str = ""


class RunOutcome(View, frozen=True, kw_only=True):
    """How a run ended. answered: whether its text became the answer."""

    run_id: RunId
    stop: Stop
    ended: Mark
    duration_s: float
    answered: bool
    error: str = ""
    code: str = ""
    usage: Usage = Usage()
