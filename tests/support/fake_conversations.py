"""Sessions as tasks use them: a queue each, one run at a time, everything in one commit, in the hands of a test."""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from core.agents.ports import Handover
from core.agents.tasks.booked import CORE_STOPPED, RunBegan, RunOver
from core.agents.tasks.ledger import Ledger
from core.api.base import SYSTEM, Actor, AgentName, MessageId, RunId, SessionId, TaskId
from core.api.errors import HermesError
from core.api.runs import RunOutcome, Stop, Usage
from core.api.sessions import MessageState, MessageView, Mode, Outcome, SendReceipt, Voice
from core.api.tasks import Routing
from core.api.transcripts import EntryView
from core.clock import Clock, mark
from core.journal import Journal
from core.pages import Pages


class Running(msgspec.Struct):
    """A run that goes on."""

    run_id: RunId
    messages: list[MessageView]


class FakeConversations:
    """Conversations of one core after the other; `ledger` and `journal` are those of the present one.

    errors: raised by the next hand-overs, one each. begins: False keeps runs from beginning by themselves.
    pages_first: the pages of a hand-over are asked for before the run that begins with it is booked.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._messages = itertools.count(1)
        self._runs = itertools.count(1)
        self.journal: Journal | None = None
        self.ledger: Ledger | None = None
        self.boot = 1
        self.begins = True
        self.pages_first = False
        self.errors: list[HermesError] = []
        self._locks: defaultdict[SessionId, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.queues: dict[SessionId, list[MessageView]] = {}
        self.running: dict[SessionId, Running] = {}
        self.agents: dict[SessionId, AgentName] = {}
        self.said: list[tuple[str, str]] = []
        self.handovers: list[Handover] = []

    # -- Conversations

    def new_session_id(self, task_id: TaskId) -> SessionId:
        """The id of a session for one task alone."""
        return SessionId(f"task:dm:{task_id}")

    def check_session(self, session_id: SessionId) -> None:
        """Every id is one."""
        del session_id

    def check_delivery(self, routing: Routing, *, has_own: bool) -> None:
        """Every chat is one that can be sent to."""
        del routing, has_own

    async def hand_over(self, handover: Handover) -> SendReceipt:
        """Put a message into the queue of its session, and stop what it interrupts."""
        session_id = SessionId(handover.session_id)
        async with self._locks[session_id]:
            receipt, busy = await self._taken_in(handover)
        if receipt.outcome is Outcome.INTERRUPTED and busy is self.running.get(session_id):
            await self.end(session_id, Stop.CANCELLED)
        return receipt

    async def _taken_in(self, handover: Handover) -> tuple[SendReceipt, Running | None]:
        if self.errors:
            raise self.errors.pop(0)
        session_id = SessionId(handover.session_id)
        message = MessageView(
            id=MessageId(f"m{next(self._messages):05}"),
            session_id=session_id,
            received=mark(self._clock),
            voice=Voice.USER,
            sender=handover.sender,
            text=handover.text,
            state=MessageState.QUEUED,
            mode=handover.mode,
            effective_mode=handover.mode,
            task_id=handover.task_id,
            terms_of=handover.terms_of,
            model=handover.model,
        )
        self.agents.setdefault(session_id, AgentName(handover.agent))
        queue = [*self.queues.get(session_id, []), message]
        is_direct = self.begins and session_id not in self.running and len(queue) == 1
        busy = self.running.get(session_id)
        interrupts = handover.mode is Mode.INTERRUPT and busy is not None
        outcome = Outcome.DIRECT if is_direct else Outcome.INTERRUPTED if interrupts else Outcome.QUEUED
        receipt = SendReceipt(
            session_id=session_id,
            message_id=message.id,
            position=len(queue) - 1,
            mode=handover.mode,
            effective_mode=handover.mode,
            outcome=outcome,
        )
        pages = [handover.pages(receipt)] if self.pages_first else []
        begun = self._begun(session_id, [message]) if is_direct else None
        if begun is not None:
            pages.append(begun[1])
        if not self.pages_first:
            pages.append(handover.pages(receipt))
        await self._commit(pages, handover.actor)
        self.queues[session_id] = [] if begun is not None else queue
        if begun is not None:
            self.running[session_id] = begun[0]
        self.said.append((handover.session_id, handover.text))
        self.handovers.append(handover)
        return receipt, busy

    def live_run(self, session_id: SessionId) -> RunId | None:
        """The run that holds the session."""
        running = self.running.get(session_id)
        return None if running is None else running.run_id

    def waiting(self, session_id: SessionId) -> Sequence[MessageView]:
        """Messages that wait."""
        return self.queues.get(session_id, [])

    async def stop(self, session_id: SessionId, *, message_id: MessageId | None, reason: str, actor: Actor) -> bool:
        """Let a waiting message go, or end the run that answers it."""
        waiting = [item for item in self.queues.get(session_id, []) if item.id == message_id]
        if waiting:
            await self.let_go(session_id, waiting, reason)
            return True
        running = self.running.get(session_id)
        if running is None or not (message_id is None or any(item.id == message_id for item in running.messages)):
            return False
        await self.end(session_id, Stop.CANCELLED, error=reason)
        return True

    async def said(self, session_id: SessionId, epoch: int) -> Sequence[EntryView]:
        """No transcripts are kept."""
        return ()

    async def note(self, session_id: SessionId, text: str, actor: Actor) -> None:
        """Nothing here."""

    # -- in the hands of a test

    async def let_go(self, session_id: SessionId, messages: list[MessageView], reason: str = "") -> None:
        """Drop waiting messages."""
        assert self.ledger is not None
        async with self._locks[session_id]:
            await self._commit([self.ledger.let_go(messages, reason)])
            gone = {item.id for item in messages}
            self.queues[session_id] = [item for item in self.queues[session_id] if item.id not in gone]

    async def begin(self, session_id: SessionId, count: int = 1) -> RunId:
        """Begin a run for the first messages of a queue."""
        queue = self.queues[session_id]
        running, pages = self._begun(session_id, queue[:count])
        await self._commit([pages])
        self.queues[session_id] = queue[count:]
        self.running[session_id] = running
        return running.run_id

    async def end(
        self,
        session_id: SessionId,
        stop: Stop = Stop.END_TURN,
        *,
        answer: str = "done",
        error: str = "",
        code: str = "",
        is_requeued: bool = False,
        fails: HermesError | None = None,
    ) -> RunId:
        """End the run of a session, and begin the next in the same commit. fails: the first try to write it does."""
        asked = self.running[session_id]
        async with self._locks[session_id]:
            if self.running.get(session_id) is asked:
                await self._ended(
                    session_id, asked, stop, answer, error=error, code=code, is_requeued=is_requeued, fails=fails
                )
        return asked.run_id

    async def _ended(
        self,
        session_id: SessionId,
        running: Running,
        stop: Stop,
        answer: str,
        *,
        error: str,
        code: str,
        is_requeued: bool,
        fails: HermesError | None,
    ) -> None:
        assert self.ledger is not None
        over = RunOver(
            run_id=running.run_id,
            session_id=session_id,
            outcome=self.outcome(running.run_id, stop, error=error, code=code),
            messages=running.messages,
            answer=answer,
            is_requeued=is_requeued,
        )
        if fails is not None:
            self.ledger.closed(over)
        queue = list(self.queues.get(session_id, []))
        if is_requeued:
            queue = [*running.messages, *queue]
            self.queues[session_id] = queue
        pages = [self.ledger.closed(over)]
        following = self._begun(session_id, queue[:1]) if queue and self.begins else None
        if following is not None:
            pages.append(following[1])
            queue = queue[1:]
        await self._commit(pages)
        self.queues[session_id] = queue
        del self.running[session_id]
        if following is not None:
            self.running[session_id] = following[0]

    def outcome(self, run_id: RunId, stop: Stop, *, error: str = "", code: str = "") -> RunOutcome:
        """How a run ended."""
        return RunOutcome(
            run_id=run_id,
            stop=stop,
            ended=mark(self._clock),
            duration_s=1.0,
            answered=stop.is_answer,
            error=error,
            code=code,
            usage=Usage(input_tokens=3, output_tokens=2),
        )

    async def restarted(self, *, settles: bool) -> None:
        """The core was killed: runs are gone. settles: each session tells of its run and lets its messages wait."""
        begins, self.begins = self.begins, False
        for session_id, running in list(self.running.items()):
            if settles:
                await self.end(session_id, Stop.DIED, error="the core stopped", code="core_stopped", is_requeued=True)
            else:
                del self.running[session_id]
                self.queues[session_id] = [*running.messages, *self.queues.get(session_id, [])]
        self.begins = begins

    async def stopped(self) -> None:
        """The core is stopped in order: what runs is put back, and nothing begins any more."""
        self.begins = False
        for session_id in list(self.running):
            await self.end(session_id, Stop.CANCELLED, code=CORE_STOPPED, is_requeued=True)

    def _begun(self, session_id: SessionId, messages: Sequence[MessageView]) -> tuple[Running, Pages]:
        assert self.ledger is not None
        run_id = RunId(f"r{next(self._runs):05}")
        pages = self.ledger.begun(
            RunBegan(
                run_id=run_id,
                session_id=session_id,
                agent=self.agents[session_id],
                boot=self.boot,
                token=1,
                attempt=1,
                messages=messages,
                began=mark(self._clock),
            )
        )
        return Running(run_id, list(messages)), pages

    async def _commit(self, pages: Sequence[Pages], actor: Actor = SYSTEM) -> None:
        assert self.journal is not None
        puts = [put for page in pages for put in page.puts]
        assert len({put.key for put in puts}) == len(puts), "a key stands in a commit once"
        await self.journal.commit(puts, [event for page in pages for event in page.events], actor=actor)
        for page in pages:
            page.done()
