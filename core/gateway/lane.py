"""The working copy of one session in memory: what is stored, plus what is only true while a run goes on."""

import asyncio
from collections import deque
from collections.abc import Iterable

import msgspec

from core.api.base import MailId, Mark, MessageId, RunId, SessionId
from core.api.runs import Phase, RunView, ToolCall
from core.api.sessions import MessageView, SessionState, SessionView
from core.api.transcripts import EntryView
from core.clock import Clock, mark, rebased
from core.gateway.follower import Follower
from core.gateway.session import Guard, GuardState

_WAITING_PHASES = frozenset({Phase.APPROVAL, Phase.CLARIFY})


class Waiting(msgspec.Struct, frozen=True, omit_defaults=True):
    """An inbound message until it is answered; it waits in a mailbox.

    reply_to: what the answer replies to. is_said: it stands in the transcript already.
    mail_id: where it waits, 0 once it is settled; not stored.
    """

    message: MessageView
    sender_id: str = ""
    reply_to: str = ""
    is_said: bool = False
    mail_id: MailId = MailId(0)


class Live(msgspec.Struct):
    """What a run has brought so far.

    text: of the answer since the last finished tool call; answer: all of it. thought: likewise.
    calls: unfinished tool calls. actions: titles of what waits for a decision.
    shown_at: monotonic seconds of the last look at it on a screen. needs_break: a tool call
    stands between the text so far and what comes.
    """

    run: RunView
    text: list[str] = msgspec.field(default_factory=list[str])
    answer: list[str] = msgspec.field(default_factory=list[str])
    answer_length: int = 0
    thought: list[str] = msgspec.field(default_factory=list[str])
    thought_length: int = 0
    calls: dict[str, ToolCall] = msgspec.field(default_factory=dict[str, ToolCall])
    actions: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    model_byte: Mark | None = None
    tool_event: Mark | None = None
    shown_at: float = 0.0
    needs_break: bool = False

    def view(self) -> RunView:
        """The run with its latest facts."""
        return msgspec.structs.replace(self.run, last_model_byte=self.model_byte, last_tool_event=self.tool_event)


class Lane:
    """One session. Whoever changes it holds `lock`; reading needs no lock.

    view: None until the session's first commit. revision: of its row. history: newest entries
    of the present epoch, None until they are needed.
    """

    def __init__(self, session_id: SessionId) -> None:
        self.session_id = session_id
        self.lock = asyncio.Lock()
        self.view: SessionView | None = None
        self.revision = 0
        self.is_loaded = False
        self.guard = Guard()
        self.waiting: dict[MessageId, Waiting] = {}
        self.followers: dict[MessageId, list[Follower]] = {}
        self.live: Live | None = None
        self.history: deque[EntryView] | None = None
        self.unsent = 0
        self.open_approvals = 0
        self.outbound_ack: Mark | None = None
        self._ended: dict[RunId, asyncio.Event] = {}

    @property
    def is_busy(self) -> bool:
        """Whether anything runs, waits or is on its way."""
        return self.guard.run_id is not None or bool(self.guard.queue) or bool(self.unsent) or self.lock.locked()

    def next_view(self, base: SessionView, guard: Guard, waiting: dict[MessageId, Waiting]) -> SessionView:
        """The session as it will be: `base` with everything derived from the guard and the run."""
        run = self.live.view() if self.live is not None and self.live.run.id == guard.run_id else None
        head = waiting[guard.queue[0]].message.received if guard.queue else None
        return msgspec.structs.replace(
            base,
            version=base.version + 1,
            state=session_state(guard, run, base),
            queue_depth=len(guard.queue),
            queue_head=head,
            lane_holder=guard.run_id,
            run=run,
            open_approvals=self.open_approvals,
            unsent=self.unsent,
            outbound_ack=self.outbound_ack,
        )

    def messages(self) -> tuple[MessageView, ...]:
        """Messages that are being answered, then those that wait."""
        order: Iterable[MessageId] = (*self.guard.running, *self.guard.queue)
        return tuple(self.waiting[item].message for item in order if item in self.waiting)

    async def run_ended(self, run_id: RunId) -> None:
        """Wait until that run no longer holds the lane."""
        if self.guard.run_id == run_id:
            await self._ended.setdefault(run_id, asyncio.Event()).wait()

    def let_go(self) -> None:
        """Wake who waits for runs that hold the lane no more."""
        for run_id in [item for item in self._ended if item != self.guard.run_id]:
            self._ended.pop(run_id).set()

    def holder(self) -> RunId | None:
        """The run that holds the lane."""
        return self.guard.run_id


def session_state(guard: Guard, run: RunView | None, base: SessionView) -> SessionState:
    """The word an operator sees."""
    if guard.state is GuardState.INTERRUPTING:
        return SessionState.INTERRUPTING
    if guard.state is GuardState.BUSY:
        phase = run.phase if run is not None else Phase.ADMITTING
        if phase in _WAITING_PHASES:
            return SessionState.WAITING
        return SessionState.QUEUED if phase is Phase.ADMITTING else SessionState.RUNNING
    if guard.queue:
        return SessionState.QUEUED
    return SessionState.FAILED if has_failed(base) else SessionState.IDLE


def has_failed(view: SessionView) -> bool:
    """Whether the last run ended in a failure that nothing has followed yet."""
    outcome = view.last_outcome
    return outcome is not None and bool(outcome.error) and not outcome.answered


def rebased_view(view: SessionView, boot: int, clock: Clock) -> SessionView:
    """A stored view as of this start of the core: no run goes on, and ages count from the wall clock."""
    if view.boot == boot:
        return view
    outcome = view.last_outcome
    return msgspec.structs.replace(
        view,
        boot=boot,
        created=rebased(view.created, clock),
        inbound=_rebased(view.inbound, clock),
        outbound_ack=_rebased(view.outbound_ack, clock),
        queue_head=_rebased(view.queue_head, clock),
        open_approvals=0,
        last_outcome=None if outcome is None else msgspec.structs.replace(outcome, ended=rebased(outcome.ended, clock)),
    )


def _rebased(instant: Mark | None, clock: Clock) -> Mark | None:
    return None if instant is None else rebased(instant, clock)


def ages_s(view: SessionView, clock: Clock) -> dict[str, float]:
    """The age of every fact that is known, in seconds on the monotonic clock, by the fact's name."""
    run, phase = view.run, view.phase
    facts: dict[str, Mark | None] = {
        "created": view.created,
        "inbound": view.inbound,
        "outbound_ack": view.outbound_ack,
        "queue_head": view.queue_head,
        "phase": None if phase is None else phase[1],
        "last_outcome": None if view.last_outcome is None else view.last_outcome.ended,
        "run_started": None if run is None else run.started,
        "last_model_byte": None if run is None else run.last_model_byte,
        "last_tool_event": None if run is None else run.last_tool_event,
        "interrupt_asked": None if run is None else run.interrupt_asked,
    }
    now = mark(clock).mono
    return {name: round(now - fact.mono, 3) for name, fact in facts.items() if fact is not None}
