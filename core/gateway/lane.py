"""The working copy of one session in memory: what is stored, plus what is only true while a run goes on."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

import msgspec

from core.api.base import MailId, Mark, MessageId, RunId, SessionId
from core.api.runs import LeaseView, Phase, RunnerView, RunView, ToolCall
from core.api.sessions import MessageState, MessageView, Mode, SessionState, SessionView, Source
from core.clock import Clock, mark, rebased
from core.gateway.follower import Follower
from core.gateway.history import History
from core.gateway.session import Guard, GuardState, Place
from core.lease import may_write

_WAITING_PHASES = frozenset({Phase.APPROVAL, Phase.CLARIFY})


class Waiting(msgspec.Struct, frozen=True, omit_defaults=True):
    """An inbound message until it is answered; it waits in a mailbox.

    reply_to: what the answer replies to. is_said: it stands in the transcript already.
    mail_id: where it waits, 0 once it is settled; not stored. deliver: where the answer goes besides; deliver_to: what
    it replies to there. group_id: of the album that it is a part of, as its platform says.
    around: what stands before and behind the sender's own words, None where the text is nothing else.
    """

    message: MessageView
    sender_id: str = ""
    reply_to: str = ""
    is_said: bool = False
    mail_id: MailId = MailId(0)
    deliver: Source | None = None
    deliver_to: str = ""
    group_id: str = ""
    around: tuple[str, str] | None = None

    def place(self) -> Place:
        """How it is to be answered. What a core died under has its turn alone, so that it can spoil no other's."""
        message = self.message
        is_alone = (message.task_id or message.terms_of) is not None or message.attempt > 0
        due = 0.0 if message.due is None else message.due.mono
        return Place(message.effective_mode, is_alone, message.model, due, message.part_of or message.id)


class Live(msgspec.Struct):
    """What a run has brought so far.

    text: of the answer since the last finished tool call; answer: all of it. thought: likewise.
    calls: unfinished tool calls. actions: titles of what waits for a decision.
    shown_at: monotonic seconds of the last look at it on a screen. needs_break: a tool call
    stands between the text so far and what comes. token: of its lease. is_late: it has been
    told that the lease is gone. is_handed_over: the agent runtime has it; is_ending: and has ended it, which is
    yet to be stored.
    """

    run: RunView
    token: int = 0
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
    is_late: bool = False
    is_handed_over: bool = False
    is_ending: bool = False

    def view(self) -> RunView:
        """The run with its latest facts."""
        return msgspec.structs.replace(self.run, last_model_byte=self.model_byte, last_tool_event=self.tool_event)


class LaneLock:
    """Lets one in at a time, in the order of asking. wanted: how many are in, wait, or will come yet."""

    __slots__ = ("_lock", "wanted")

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self.wanted = 0

    async def __aenter__(self) -> None:
        self.wanted += 1
        try:
            await self._lock.acquire()
        except BaseException:
            self.wanted -= 1
            raise

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()
        self.wanted -= 1


class Lane:
    """One session. Whoever changes it holds `lock`; reading needs no lock.

    view: None until the session's first commit. revision: of its row. history: of the present
    epoch, None until it is needed. hold_count: orders that want nothing to begin meanwhile.
    is_timed: somebody looks again once it has collected.
    """

    def __init__(self, session_id: SessionId, runner_of: Callable[[SessionId], RunnerView | None]) -> None:
        self.session_id = session_id
        self._runner_of = runner_of
        self.lock = LaneLock()
        self.view: SessionView | None = None
        self.revision = 0
        self.is_loaded = False
        self.guard = Guard()
        self.waiting: dict[MessageId, Waiting] = {}
        self.followers: dict[MessageId, list[Follower]] = {}
        self.live: Live | None = None
        self.history: History | None = None
        self.hold_count = 0
        self.is_timed = False
        self.unsent = 0
        self.open_approvals = 0
        self.outbound_ack: Mark | None = None
        self._ended: dict[RunId, asyncio.Event] = {}

    @property
    def is_busy(self) -> bool:
        """Whether anything runs, waits or is on its way, or somebody wants the lane."""
        return self.is_engaged or bool(self.unsent) or self.lock.wanted > 0

    @property
    def is_engaged(self) -> bool:
        """Whether a run goes on, something waits, or an order wants the session to itself."""
        return self.guard.run_id is not None or bool(self.guard.queue) or self.hold_count > 0

    def may_write(self, live: Live) -> bool:
        """Whether a run still holds the lease that it began with."""
        return self.view is not None and may_write(self.view.lease, live.token)

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
            lease=base.lease if guard.run_id is not None else None,
            runner=self._runner_of(self.session_id),
        )

    def messages(self) -> tuple[MessageView, ...]:
        """Messages that are being answered, then those that wait."""
        order: Iterable[MessageId] = (*self.guard.running, *self.guard.queue)
        return together(tuple(self.waiting[item].message for item in order if item in self.waiting))

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


def places(guard: Guard, waiting: dict[MessageId, Waiting]) -> Sequence[Place]:
    """How the messages of a queue are to be answered, in their order."""
    return [waiting[item].place() for item in guard.queue]


def together(messages: tuple[MessageView, ...]) -> tuple[MessageView, ...]:
    """The messages as they are answered: those that collect due when the last of them is, parts with the first
    of their neighbours.
    """
    marks = [item.due for item in messages if item.due is not None and _is_collecting(item)]
    due = max(marks, key=lambda instant: instant.mono, default=None)
    shown: list[MessageView] = []
    group = first = MessageId("")
    for item in messages:
        own = item.part_of or item.id
        if own != group:
            group, first = own, item.id
        part_of = None if first == item.id else first
        is_due = due is not None and _is_collecting(item)
        if is_due or part_of != item.part_of:
            shown.append(msgspec.structs.replace(item, due=due if is_due else item.due, part_of=part_of))
        else:
            shown.append(item)
    return tuple(shown)


def _is_collecting(message: MessageView) -> bool:
    return message.effective_mode is Mode.COLLECT and message.state is MessageState.QUEUED


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
        runner=None,
        lease=_rebased_lease(view.lease, clock),
        last_outcome=None if outcome is None else msgspec.structs.replace(outcome, ended=rebased(outcome.ended, clock)),
    )


def _rebased(instant: Mark | None, clock: Clock) -> Mark | None:
    return None if instant is None else rebased(instant, clock)


def _rebased_lease(lease: LeaseView | None, clock: Clock) -> LeaseView | None:
    if lease is None:
        return None
    return msgspec.structs.replace(lease, since=rebased(lease.since, clock), renewed=rebased(lease.renewed, clock))


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
        "lease_renewed": None if view.lease is None else view.lease.renewed,
    }
    now = mark(clock).mono
    return {name: round(now - fact.mono, 3) for name, fact in facts.items() if fact is not None}
