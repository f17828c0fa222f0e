"""Turns: begins a run for the head of a queue and ends it in one commit with its answer."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import msgspec

from core.api.base import SYSTEM, Actor, EntryId, Event, MessageId, PlatformName, RunId
from core.api.errors import StoreError
from core.api.runs import Phase, RunOutcome, RunView, Stop, TurnEnded
from core.api.sessions import MessageState, RunEnded, RunStarted, SessionView, Voice
from core.api.transcripts import EntryKind, EntryView
from core.clock import Clock, mark
from core.gateway.deliveries import Deliveries
from core.gateway.lane import Lane, Live, Waiting
from core.gateway.lanes import Lanes
from core.gateway.outcome import outbound_text, outcome
from core.gateway.platform import Limits, Outbound
from core.gateway.ports import Agents, MailTransaction
from core.gateway.reports import Reports
from core.gateway.session import Guard, begun, ended, may_begin
from core.gateway.unanswered import MAILBOX
from core.ids import IdSource
from core.store.base import Put
from core.supervisor import Supervisor

T = TypeVar("T")

_STORE_RETRY_S = 1.0


class Begin(msgspec.Struct, frozen=True):
    """A run that begins with the commit it is part of."""

    guard: Guard
    waiting: dict[MessageId, Waiting]
    live: Live
    entries: tuple[EntryView, ...]


class Turns:
    """Runs of all sessions.

    on_fault(what, error): told of a fault of ours that ended a run.
    """

    def __init__(
        self,
        *,
        lanes: Lanes,
        agents: Agents,
        reports: Reports,
        deliveries: Deliveries,
        limits: Callable[[PlatformName], Limits | None],
        clock: Clock,
        ids: IdSource,
        supervisor: Supervisor,
        on_fault: Callable[[str, Exception], None],
    ) -> None:
        self._lanes = lanes
        self._agents = agents
        self._reports = reports
        self._deliveries = deliveries
        self._limits = limits
        self._clock = clock
        self._ids = ids
        self._supervisor = supervisor
        self._on_fault = on_fault
        self._store_problem = ""

    @property
    def problem(self) -> str:
        """Why runs do not go on as they should, "" mostly."""
        if self._store_problem or self._lanes.is_giving:
            return self._store_problem
        return f"mailbox {MAILBOX} is paused: messages are taken in, and no run begins"

    async def commit(
        self,
        lane: Lane,
        mail: MailTransaction,
        *,
        base: SessionView,
        guard: Guard,
        waiting: dict[MessageId, Waiting],
        facts: Callable[[SessionView], list[Event]],
        puts: Sequence[Put] = (),
        entries: Sequence[EntryView] = (),
        actor: Actor = SYSTEM,
        correlation: str = "",
    ) -> bool:
        """Store a change of a lane, and with it the beginning of the next run, if one may begin; True when it does.

        The caller holds the lock. facts: events about the change.
        """
        begin = self._begin(base, guard, waiting, mail)
        before = lane.live
        if begin is not None:
            guard, waiting, lane.live = begin.guard, begin.waiting, begin.live
            entries = (*entries, *begin.entries)

        def events(after: SessionView) -> list[Event]:
            return facts(after) if begin is None else [*facts(after), RunStarted(session=after, entries=begin.entries)]

        try:
            await self._lanes.commit(
                lane,
                base=base,
                guard=guard,
                waiting=waiting,
                puts=puts,
                entries=entries,
                events=events,
                actor=actor,
                correlation=correlation,
                mail=mail,
            )
        except BaseException:
            lane.live = before
            raise
        if begin is not None:
            self._supervisor.spawn(f"run:{begin.live.run.id}", self._run(lane, begin.live))
        return begin is not None

    async def commit_next(self, lane: Lane, base: SessionView, guard: Guard) -> None:
        """Begin the head of the queue in a commit of its own, if it may. The caller holds the lock."""
        if not self._may_begin(guard):
            return
        with self._lanes.mail() as mail:
            await self.commit(
                lane,
                mail,
                base=base,
                guard=guard,
                waiting=lane.waiting,
                facts=lambda _: [],
                correlation=guard.queue[0],
            )

    def _may_begin(self, guard: Guard) -> bool:
        return may_begin(guard) and self._lanes.is_giving

    def _begin(
        self, base: SessionView, guard: Guard, waiting: dict[MessageId, Waiting], mail: MailTransaction
    ) -> Begin | None:
        """What to commit so that the head of the queue runs; None when it may not."""
        if not self._may_begin(guard):
            return None
        run_id = RunId(self._ids.new_id())
        following = begun(guard, run_id)
        message_id = following.running[0]
        head = waiting[message_id]
        mail.take(MAILBOX, head.mail_id)
        message = msgspec.structs.replace(
            head.message, state=MessageState.RUNNING, attempt=head.message.attempt + 1, run_id=run_id
        )
        taken = msgspec.structs.replace(head, message=message, is_said=True)
        entries = () if head.is_said else (self._said(base, taken, run_id),)
        live = Live(self._new_run(base, run_id, message.attempt, following.running))
        return Begin(following, {**waiting, message_id: taken}, live, entries)

    def _new_run(self, base: SessionView, run_id: RunId, attempt: int, messages: tuple[MessageId, ...]) -> RunView:
        now = mark(self._clock)
        stall_s, total_s = self._agents.limits_s(base.agent)
        return RunView(
            id=run_id,
            attempt=attempt,
            started=now,
            phase=Phase.ADMITTING,
            phase_since=now,
            message_ids=messages,
            stall_limit_s=stall_s,
            total_limit_s=total_s,
        )

    def _said(self, view: SessionView, waiting: Waiting, run_id: RunId) -> EntryView:
        message = waiting.message
        return EntryView(
            id=EntryId(self._ids.new_id()),
            at=self._clock.now(),
            kind=EntryKind.NOTE if message.voice is Voice.NOTE else EntryKind.USER,
            author=message.sender,
            text=message.text,
            epoch=view.epoch,
            run_id=run_id,
            message_id=message.id,
        )

    async def _run(self, lane: Lane, live: Live) -> None:
        try:
            end = await self._driven(lane, live)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not hold the lane for ever
            self._on_fault(f"run {live.run.id}", error)
            end = TurnEnded(stop=Stop.DIED, error=f"a fault in the core: {type(error).__name__}", code="core_fault")
        await self._until_stored(partial(self._end, lane, live, end))

    async def _driven(self, lane: Lane, live: Live) -> TurnEnded:
        history = await self._until_stored(partial(self._lanes.history, lane))
        view = self._lanes.view(lane)
        answered = set(live.run.message_ids)
        stream = self._agents.run(
            session_id=lane.session_id,
            epoch=view.epoch,
            agent=view.agent,
            run_id=live.run.id,
            attempt=live.run.attempt,
            messages=[lane.waiting[item].message for item in live.run.message_ids],
            history=[entry for entry in history if entry.message_id not in answered],
        )
        async for report in stream:
            if isinstance(report, TurnEnded):
                return report
            await self._until_stored(partial(self._reports.take, lane, live, report))
        return TurnEnded(stop=Stop.DIED, error="the agent runtime ended without a word", code="no_end")

    async def _until_stored(self, call: Callable[[], Awaitable[T]]) -> T:
        # A run that cannot be written holds its lane and says why; letting go would lose the answer.
        while True:
            try:
                result = await call()
            except StoreError as error:
                self._store_problem = f"the store fails: {error.message}"
                await self._clock.sleep(_STORE_RETRY_S)
            else:
                self._store_problem = ""
                return result

    async def _end(self, lane: Lane, live: Live, end: TurnEnded) -> None:
        async with lane.lock:
            if lane.guard.run_id != live.run.id:
                return
            answer = "".join(live.answer).strip()
            result = outcome(live.run, end, answer=answer, now=mark(self._clock))
            followers = [item for message in lane.guard.running for item in lane.followers.pop(message, [])]
            try:
                await self._commit_end(lane, live, result, answer)
            except BaseException:
                for message in lane.guard.running[:1]:
                    lane.followers.setdefault(message, []).extend(followers)
                raise
            shown = (
                end
                if not result.error
                else TurnEnded(stop=end.stop, usage=end.usage, error=result.error, code=result.code)
            )
            for follower in followers:
                follower.push(shown)

    async def _commit_end(self, lane: Lane, live: Live, result: RunOutcome, answer: str) -> None:
        view = self._lanes.view(lane)
        guard = ended(lane.guard, live.run.id)
        done = lane.guard.running
        waiting = {key: item for key, item in lane.waiting.items() if key not in done}
        base = msgspec.structs.replace(
            view,
            last_outcome=result,
            input_tokens=view.input_tokens + result.usage.input_tokens,
            output_tokens=view.output_tokens + result.usage.output_tokens,
        )
        closing = self._reports.closing_entries(view, live, result)
        outbound = self._outbound(lane, view, outbound_text(result, answer), done[0])
        if outbound is not None:
            await self._deliveries.open_outbox(outbound.source.platform)
        before = (lane.live, lane.unsent, lane.open_approvals)
        lane.live = None
        lane.unsent += outbound is not None
        lane.open_approvals = 0
        try:
            with self._lanes.mail() as mail:
                # What was steered in is settled since.
                mail.settle(MAILBOX, lane.waiting[done[0]].mail_id)
                if outbound is not None:
                    self._deliveries.post(mail, outbound)
                await self.commit(
                    lane,
                    mail,
                    base=base,
                    guard=guard,
                    waiting=waiting,
                    facts=lambda after: [RunEnded(session=after, outcome=result, entries=closing)],
                    entries=closing,
                    correlation=done[0],
                )
        except BaseException:
            lane.live, lane.unsent, lane.open_approvals = before
            raise
        if outbound is not None:
            self._deliveries.posted(outbound)

    def _outbound(self, lane: Lane, view: SessionView, text: str, message_id: MessageId) -> Outbound | None:
        limits = self._limits(view.source.platform)
        if not text or limits is None or not limits.sends_answers:
            return None
        return Outbound(
            delivery_id=self._deliveries.new_id(),
            session_id=lane.session_id,
            source=view.source,
            text=text,
            message_id=message_id,
            reply_to=lane.waiting[message_id].reply_to,
        )
