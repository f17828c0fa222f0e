"""A scripted Hermes in memory, for tests of screens, of the shell and of the socket.

    hermes = FakeHermes(sessions=[session("ana"), session("bo", phase=Phase.TOOL)])
    hermes.emit(SessionActive(session=session("ana", version=2)))
    hermes.fail_next(Unavailable("the core is gone"))
    ... assert hermes.commands == [InterruptSession(session_id=...)]

Events that carry a view replace the one that is held, so that a later query agrees with
what was emitted. Commands are recorded and answered in the plainest way: a sent message
is queued and stays there until the test emits what became of it.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import Any

import msgspec

from core.api import approvals, deliveries, session_queue, sessions, system
from core.api.approvals import ApprovalView
from core.api.base import SYSTEM, Actor, Command, Event, MessageId, Query, R, Record, Seq, SessionId, V
from core.api.errors import AlreadyDecided, ConflictError, InvalidInput, Lagged, Unavailable
from core.api.platforms import PlatformView
from core.api.sessions import Mode, SessionState
from tests.support import fake_platforms
from tests.support.fake_state import FakeState, get_view
from tests.support.views import (
    NOW,
    ago,
    answer,
    approval,
    config,
    delivery,
    entry,
    health,
    message,
    outcome,
    platform,
    profile,
    run,
    session,
)

__all__ = [
    "NOW",
    "FakeHermes",
    "ago",
    "answer",
    "approval",
    "config",
    "delivery",
    "entry",
    "health",
    "message",
    "outcome",
    "platform",
    "profile",
    "run",
    "session",
]


class FakeHermes(FakeState):
    """The port with its state in the open.

    commands: what was executed, in order; actors: by whom; queries: what was asked. notes: what was said to be shown.
    records: the stored journal. receipts: put an answer here by command type to override the plain one.
    buffer_limit: records that a subscriber may be behind before it gets Lagged.
    """

    def __init__(self, *, buffer_limit: int = 10_000, **views: Any) -> None:
        super().__init__(**views)
        self.commands: list[Command[Any]] = []
        self.notes: list[approvals.NoteApproval] = []
        self.actors: list[Actor] = []
        self.queries: list[Query[Any]] = []
        self.receipts: dict[type[Command[Any]], Any] = {}
        self.is_closed = False
        self._keys: dict[tuple[SessionId, str], MessageId] = {}
        self._buffer_limit = buffer_limit
        self._failures: list[Exception] = []
        self._gate: asyncio.Event | None = None
        self._subscriptions: set[_Subscription] = set()

    # ── what a test does ────────────────────────────────────────────────────────────────

    @property
    def subscriber_count(self) -> int:
        """Subscriptions that are being read or wait to be."""
        return len(self._subscriptions)

    def emit(
        self,
        event: Event,
        *,
        subject: str | None = None,
        actor: Actor = SYSTEM,
        durable: bool = True,
        at: float = NOW.at,
    ) -> Record:
        """Let something happen: views in the event are kept, every subscriber gets the record."""
        seq = Seq(self.seq + 1) if durable else self.seq
        record = Record(
            seq=seq,
            at=at,
            actor=actor,
            subject=_subject(event) if subject is None else subject,
            event=event,
            durable=durable,
        )
        self.keep_views(event)
        if durable:
            self.records.append(record)
        for subscription in list(self._subscriptions):
            subscription.put(record)
        return record

    def fail_next(self, error: Exception) -> None:
        """The next command or query raises this instead of being answered."""
        self._failures.append(error)

    def hold(self) -> asyncio.Event:
        """From now on nothing is answered until the event is set."""
        self._gate = asyncio.Event()
        return self._gate

    def forget(self, *, up_to: Seq) -> None:
        """Drop old records from the journal, as a long run does."""
        self.records = [record for record in self.records if record.seq > up_to]
        self.kept_after = up_to

    def lag(self) -> None:
        """Every present subscriber fell behind."""
        for subscription in list(self._subscriptions):
            subscription.end(Lagged("the reader fell behind"))

    def break_streams(self, error: Exception) -> None:
        """Every present subscriber gets the error instead of the next record."""
        for subscription in list(self._subscriptions):
            subscription.end(error)

    def lose(self) -> None:
        """The core goes away: all that is under way ends with Unavailable."""
        self.is_closed = True
        for subscription in list(self._subscriptions):
            subscription.end(Unavailable("the core is gone"))

    # ── the port ────────────────────────────────────────────────────────────────────────

    async def execute(self, command: Command[R], *, actor: Actor) -> R:
        """Record the command and answer it."""
        await self._before()
        if isinstance(command, approvals.NoteApproval):
            # Sent by a screen for what it shows, whatever a test is about.
            self.notes.append(command)
        else:
            self.commands.append(command)
            self.actors.append(actor)
        if type(command) in self.receipts:
            receipt: R = self.receipts[type(command)]
            return receipt
        carried_out: R = self._carry_out(command, actor)
        return carried_out

    async def query(self, query: Query[V]) -> V:
        """Answer from what is held."""
        await self._before()
        self.queries.append(query)
        found: V = self.answer(query)
        return found

    async def subscribe(self, *, after: Seq) -> AsyncGenerator[Record, None]:
        """Replay, then live."""
        if self.is_closed:
            raise Unavailable("the core is gone")
        if after < self.kept_after:
            raise Lagged(f"records up to {self.kept_after} are not kept any more")
        subscription = _Subscription([record for record in self.records if record.seq > after], self._buffer_limit)
        self._subscriptions.add(subscription)
        try:
            while True:
                yield await subscription.next_record()
        finally:
            self._subscriptions.discard(subscription)

    async def close(self) -> None:
        """As lose(); a second time does nothing."""
        self.lose()

    # ── inside ──────────────────────────────────────────────────────────────────────────

    async def _before(self) -> None:
        if self._gate is not None:
            await self._gate.wait()
        if self.is_closed:
            raise Unavailable("the core is gone")
        if self._failures:
            raise self._failures.pop(0)

    def _carry_out(self, command: Command[Any], actor: Actor) -> Any:  # noqa: PLR0911, PLR0912 - one line for each command
        match command:
            case sessions.OpenSession():
                return self._open(command, actor)
            case sessions.SendMessage():
                return self._send(command, actor)
            case sessions.InterruptSession():
                return self._interrupt(command, actor)
            case sessions.ResetSession():
                view = _changed(self.get_session(command.session_id), epoch=1, state=SessionState.IDLE, run=None)
                dropped = [waiting for waiting in self.messages if waiting.session_id == view.id]
                count = len(dropped) if command.drop_queue else 0
                if count:
                    self.messages = [waiting for waiting in self.messages if waiting not in dropped]
                self.emit(sessions.SessionReset(session=view, reason=command.reason, dropped=count), actor=actor)
                return sessions.ResetReceipt(session_id=view.id, epoch=view.epoch, interrupted=None, dropped=count)
            case session_queue.DropMessage():
                return self._drop(command, actor)
            case approvals.AnswerApproval():
                return self._decide(command, actor)
            case deliveries.RetryDelivery() | deliveries.DropDelivery():
                view = get_view(self.deliveries, command.delivery_id, "delivery")
                if isinstance(command, deliveries.DropDelivery):
                    del self.deliveries[view.id]
                return view
            case system.Shutdown():
                self.emit(system.ShutdownStarted(reason=command.reason), subject="core", actor=actor)
                return system.ShutdownReceipt(running=0, queued=len(self.messages), drain_s=command.drain_s)
            case _:
                receipt = self.mail.carry_out(command, actor, self.emit)
                if receipt is None:
                    receipt = self.work.carry_out(command, actor, self, self.emit)
                if receipt is None:
                    receipt = self.desk.carry_out(command, actor, self.emit)
                if receipt is None:
                    receipt = self.automation.carry_out(command, actor, self.emit)
                if receipt is None:
                    # Before the outboxes: a breaker of the relay is asked for with the same orders.
                    receipt = self.relay.carry_out(command, actor, self.emit)
                if receipt is None:
                    receipt = self.outboxes.carry_out(command, actor, self.emit)
                if receipt is None:
                    receipt = fake_platforms.carry_out(command, self.platforms, actor, self.emit)
                if receipt is None:
                    raise InvalidInput(f"no handler for {type(command).__name__}", field="command")
                return receipt

    def _open(self, command: sessions.OpenSession, actor: Actor) -> sessions.SendReceipt:
        get_view(self.platforms, command.platform, "platform")
        view = session(f"{command.platform}:dm:{command.chat}", created=NOW)
        if view.id not in self.sessions:
            self.emit(sessions.SessionOpened(session=view), actor=actor)
        return self._send(sessions.SendMessage(session_id=view.id, text=command.text), actor)

    def _send(self, command: sessions.SendMessage, actor: Actor) -> sessions.SendReceipt:
        view = self.get_session(command.session_id)
        if not command.text.strip():
            raise InvalidInput("text is empty", field="text", value="", fix="say something")
        mode = command.mode or Mode.QUEUE
        key = (view.id, command.idempotency_key)
        known = self._keys.get(key) if command.idempotency_key else None
        if known is None:
            sent = message(
                command.text,
                id=MessageId(f"sent-{len(self.commands)}"),
                session_id=view.id,
                voice=command.voice,
                sender=actor.name,
                mode=mode,
                effective_mode=mode,
                received=NOW,
            )
            depth = view.queue_depth + 1
            queued = _changed(view, queue_depth=depth, state=SessionState.QUEUED if view.run is None else view.state)
            self.emit(sessions.MessageQueued(session=queued, message=sent), actor=actor)
            self._keys[key] = sent.id
        return sessions.SendReceipt(
            session_id=view.id,
            message_id=known or MessageId(f"sent-{len(self.commands)}"),
            position=view.queue_depth,
            mode=mode,
            effective_mode=mode,
            is_duplicate=known is not None,
        )

    def _interrupt(self, command: sessions.InterruptSession, actor: Actor) -> sessions.InterruptReceipt:
        view = self.get_session(command.session_id)
        running = view.run.id if view.run else None
        if command.run_id is not None and command.run_id != running:
            raise ConflictError("another run", key="run_id", expected=command.run_id, found=running)
        if running is not None:
            stopped = _changed(view, state=SessionState.INTERRUPTING)
            self.emit(sessions.SessionInterrupted(session=stopped, reason=command.reason), actor=actor)
        return sessions.InterruptReceipt(
            session_id=view.id, run_id=running, is_released=True, holder=None, queue_depth=view.queue_depth
        )

    def _drop(self, command: session_queue.DropMessage, actor: Actor) -> session_queue.DropReceipt:
        view = self.get_session(command.session_id)
        waiting = get_view({held.id: held for held in self.messages}, command.message_id, "message")
        fewer = _changed(view, queue_depth=max(0, view.queue_depth - 1))
        self.emit(session_queue.MessageDropped(session=fewer, message=waiting, reason=command.reason), actor=actor)
        return session_queue.DropReceipt(session_id=view.id, message_id=waiting.id)

    def _decide(self, command: approvals.AnswerApproval, actor: Actor) -> ApprovalView:
        view: ApprovalView = get_view(self.approvals, command.approval_id, "approval")
        if view.state != "open":
            raise AlreadyDecided("already decided", by=view.decided_by, outcome=view.state.value)
        state = approvals.ApprovalState.APPROVED if command.allow else approvals.ApprovalState.DENIED
        decided: ApprovalView = _changed(
            view,
            state=state,
            decided=NOW,
            decided_by=actor.name,
            option_id=command.option_id,
            reason=command.reason,
            delivery="sent",
        )
        self.emit(approvals.ApprovalDecided(approval=decided), actor=actor)
        return decided


class _Subscription:
    """What one reader has not taken yet, bounded."""

    def __init__(self, replayed: list[Record], limit: int) -> None:
        self._replayed = deque(replayed)
        self._waiting: deque[Record] = deque()
        self._error: Exception | None = None
        self._ready = asyncio.Event()
        self._limit = limit

    def put(self, record: Record) -> None:
        if len(self._waiting) >= self._limit:
            self.end(Lagged("the reader fell behind"))
            return
        self._waiting.append(record)
        self._ready.set()

    def end(self, error: Exception) -> None:
        self._error = error
        if isinstance(error, Lagged):
            self._replayed.clear()
            self._waiting.clear()
        self._ready.set()

    async def next_record(self) -> Record:
        while True:
            if self._replayed:
                return self._replayed.popleft()
            if self._waiting:
                return self._waiting.popleft()
            if self._error is not None:
                raise self._error
            self._ready.clear()
            await self._ready.wait()


def _changed(view: Any, **values: Any) -> Any:
    return msgspec.structs.replace(view, version=view.version + 1, **values)


def _subject(event: Event) -> str:
    for field in ("session", "approval", "delivery", "pairing", "invite"):
        if (view := getattr(event, field, None)) is not None:
            return str(view.id)
    named = getattr(event, "platform", None)
    if isinstance(named, PlatformView):
        return named.name
    found: str = getattr(event, "session_id", "") or "core"
    return found
