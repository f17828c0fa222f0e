"""Turns: begins a run for the head of a queue and ends it in one commit with its answer."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import msgspec

from core.api.base import SYSTEM, Actor, Event, MessageId, PlatformName
from core.api.errors import StoreError
from core.api.runs import RunOutcome, Stop, TurnEnded
from core.api.sessions import RunEnded, RunStarted, SessionView
from core.api.transcripts import EntryView
from core.clock import Clock, mark
from core.gateway.beginning import Beginning, user_of
from core.gateway.deliveries import Deliveries
from core.gateway.file_copies import FileCopies
from core.gateway.lane import Lane, Live, Waiting, places
from core.gateway.lanes import Lanes
from core.gateway.outcome import outbound_text, outcome
from core.gateway.platform import Limits, Outbound
from core.gateway.ports import Agents, RunBook, RunClosed
from core.gateway.reports import Reports
from core.gateway.session import Guard, GuardState, ended, may_begin, turn_size, whole_at
from core.gateway.unanswered import MAILBOX
from core.ids import IdSource
from core.letters import MailTransaction
from core.pages import Pages
from core.store.base import Put
from core.supervisor import Supervisor

T = TypeVar("T")

_STORE_RETRY_S = 1.0


def _has_parts(guard: Guard, waiting: dict[MessageId, Waiting]) -> bool:
    first, *rest = guard.queue[:2]
    return any(waiting[item].message.part_of == (waiting[first].message.part_of or first) for item in rest)


def _no_pages(_is_begun: bool) -> Sequence[Pages]:
    return ()


class Turns:
    """Runs of all sessions.

    on_fault(what, error): told of a fault of ours that ended a run. copies: what agents are told of files.
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
        books: RunBook,
        copies: FileCopies,
    ) -> None:
        self._lanes = lanes
        self._agents = agents
        self.copies = copies
        self._reports = reports
        self._deliveries = deliveries
        self._limits = limits
        self._clock = clock
        self._books = books
        self._beginning = Beginning(agents=agents, books=books, clock=clock, ids=ids, boot=lanes.boot)
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
        pages: Callable[[bool], Sequence[Pages]] = _no_pages,
    ) -> bool:
        """Store a change of a lane, and with it the beginning of the next run, if one may begin; True when it does.

        The caller holds the lock. facts: events about the change. pages: what others write, by whether a run begins.
        """
        size = self._size(guard, waiting)
        begin = self._beginning.of(base, guard, waiting, size, mail) if size else None
        before = lane.live
        written = list(pages(begin is not None))
        if begin is not None:
            base, guard, waiting, lane.live = begin.base, begin.guard, begin.waiting, begin.live
            entries = (*entries, *begin.entries)
            written.append(begin.pages)

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
                pages=written,
            )
        except BaseException:
            lane.live = before
            raise
        if begin is not None:
            self._supervisor.spawn(f"run:{begin.live.run.id}", self._run(lane, begin.live))
        else:
            self._wait_for_more(lane)
        return begin is not None

    async def commit_next(self, lane: Lane, base: SessionView, guard: Guard) -> None:
        """Begin the head of the queue in a commit of its own, if it may. The caller holds the lock."""
        if not self._size(guard, lane.waiting):
            self._wait_for_more(lane)
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

    def _size(self, guard: Guard, waiting: dict[MessageId, Waiting]) -> int:
        """How many messages the next turn takes up now; 0 for none."""
        if not may_begin(guard) or not self._lanes.is_giving or self._lanes.is_draining:
            return 0
        place = waiting[guard.queue[0]].place()
        # Most messages have their turn alone: the others are not looked at then.
        if not place.may_share and not place.due and not _has_parts(guard, waiting):
            return 1
        return turn_size(places(guard, waiting), self._clock.monotonic())

    def _wait_for_more(self, lane: Lane) -> None:
        """Have somebody look again once a session has collected."""
        if lane.is_timed or not may_begin(lane.guard):
            return
        due = whole_at(places(lane.guard, lane.waiting))
        # What is due already and cannot begin waits for something else.
        if due > self._clock.monotonic():
            lane.is_timed = True
            self._supervisor.spawn(f"collect:{lane.session_id}", self._when_collected(lane, due))

    async def _when_collected(self, lane: Lane, due: float) -> None:
        left_s = due - self._clock.monotonic()
        if left_s > 0:
            await self._clock.sleep(left_s)
        async with lane.lock:
            # From here on it is looked after anew: by the turn that begins, or by the next who waits.
            lane.is_timed = False
            if lane.view is not None:
                await self.commit_next(lane, lane.view, lane.guard)

    async def _run(self, lane: Lane, live: Live) -> None:
        try:
            end = await self._driven(lane, live)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not hold the lane for ever
            self._on_fault(f"run {live.run.id}", error)
            end = TurnEnded(stop=Stop.DIED, error=f"a fault in the core: {type(error).__name__}", code="core_fault")
        await self._until_stored(partial(self._end, lane, live, end))

    async def _driven(self, lane: Lane, live: Live) -> TurnEnded:
        history = await self._until_stored(partial(self._lanes.history, lane))
        if (end := self._missed(lane, live)) is not None:
            return end
        view = self._lanes.view(lane)
        user = user_of(view, lane.waiting[live.run.message_ids[0]])
        answered = set(live.run.message_ids)
        messages, history = await self.copies.of_turn(
            view.agent,
            user,
            [lane.waiting[item].message for item in live.run.message_ids],
            [entry for entry in history if entry.message_id not in answered],
        )
        if (end := self._missed(lane, live)) is not None:
            return end
        stream = self._agents.run(
            session_id=lane.session_id,
            epoch=view.epoch,
            agent=view.agent,
            run_id=live.run.id,
            attempt=live.run.attempt,
            messages=messages,
            history=history,
            user=user,
        )
        async for report in stream:
            live.is_handed_over = True
            if isinstance(report, TurnEnded):
                live.is_ending = True
                return report
            await self._until_stored(partial(self._reports.take, lane, live, report))
        return TurnEnded(stop=Stop.DIED, error="the agent runtime ended without a word", code="no_end")

    def _missed(self, lane: Lane, live: Live) -> TurnEnded | None:
        """How a run ends that the runtime is not given any more; None when it is."""
        if not lane.may_write(live):
            return TurnEnded(stop=Stop.DIED, error="its lease was released before it began", code="lease_released")
        if lane.guard.state is GuardState.INTERRUPTING:
            # The runtime did not know of the run when it was told to stop.
            return TurnEnded(stop=Stop.CANCELLED, error="it was stopped before it began", code="interrupted")
        return None

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
            if self._lanes.may_write(lane, live):
                await self.close(lane, live, end)

    async def close(
        self,
        lane: Lane,
        live: Live,
        end: TurnEnded,
        *,
        facts: Callable[[SessionView], list[Event]] = lambda _: [],
        actor: Actor = SYSTEM,
        lease_token: int | None = None,
    ) -> None:
        """End the run that holds the lane, with its answer, and begin the next. The caller holds the lock.

        facts: events besides. lease_token: the last one that was given out, in place of the run's own.
        """
        answer = "".join(live.answer).strip()
        result = outcome(live.run, end, answer=answer, now=mark(self._clock))
        running = lane.guard.running
        followers = [item for message in running for item in lane.followers.pop(message, [])]
        try:
            await self._commit_end(lane, live, result, answer, facts=facts, actor=actor, lease_token=lease_token)
        except BaseException:
            lane.followers.setdefault(running[0], []).extend(followers)
            raise
        shown = (
            end if not result.error else TurnEnded(stop=end.stop, usage=end.usage, error=result.error, code=result.code)
        )
        for follower in followers:
            follower.push(shown)

    async def _commit_end(
        self,
        lane: Lane,
        live: Live,
        result: RunOutcome,
        answer: str,
        *,
        facts: Callable[[SessionView], list[Event]],
        actor: Actor,
        lease_token: int | None,
    ) -> None:
        view = self._lanes.view(lane)
        guard = ended(lane.guard, live.run.id)
        done = lane.guard.running
        waiting = {key: item for key, item in lane.waiting.items() if key not in done}
        base = msgspec.structs.replace(
            view,
            last_outcome=result,
            input_tokens=view.input_tokens + result.usage.input_tokens,
            output_tokens=view.output_tokens + result.usage.output_tokens,
            lease=None,
            lease_token=view.lease_token if lease_token is None else lease_token,
        )
        closing = self._reports.closing_entries(view, live, result)
        outbounds = await self._deliveries.prepared(
            self._outbounds(lane, view, outbound_text(result, answer), done),
            agent=view.agent,
            user=user_of(view, lane.waiting[done[0]]),
        )
        for outbound in outbounds:
            await self._deliveries.open_outbox(outbound.source.platform)
        closed = RunClosed(
            run_id=live.run.id,
            session_id=lane.session_id,
            outcome=result,
            messages=[lane.waiting[item].message for item in done],
            answer=answer,
        )
        before = (lane.live, lane.unsent, lane.open_approvals)
        lane.live = None
        lane.unsent += len(outbounds)
        lane.open_approvals = 0
        try:
            with self._lanes.mail() as mail:
                for item in done:
                    # What was steered in is settled since.
                    if lane.waiting[item].mail_id:
                        mail.settle(MAILBOX, lane.waiting[item].mail_id)
                for outbound in outbounds:
                    self._deliveries.post(mail, outbound)
                pages = self._books.closed(closed)
                await self.commit(
                    lane,
                    mail,
                    base=base,
                    guard=guard,
                    waiting=waiting,
                    facts=lambda after: [RunEnded(session=after, outcome=result, entries=closing), *facts(after)],
                    entries=closing,
                    actor=actor,
                    correlation=done[0],
                    pages=lambda _: (pages,),
                )
        except BaseException:
            lane.live, lane.unsent, lane.open_approvals = before
            raise
        for outbound in outbounds:
            self._deliveries.posted(outbound)

    def _outbounds(self, lane: Lane, view: SessionView, text: str, done: tuple[MessageId, ...]) -> list[Outbound]:
        """The answer to the chat of the session, and to wherever else its messages want it."""
        first = lane.waiting[done[0]]
        ways = [(view.source, first.reply_to, done[0])]
        for item in done:
            waiting = lane.waiting[item]
            if waiting.deliver is not None and waiting.deliver != view.source:
                ways.append((waiting.deliver, waiting.deliver_to, item))
        return [
            Outbound(
                delivery_id=self._deliveries.new_id(),
                session_id=lane.session_id,
                source=source,
                text=text,
                message_id=message_id,
                reply_to=reply_to,
            )
            for source, reply_to, message_id in ways
            if text and self.sends_to(source.platform)
        ]

    def sends_to(self, platform: PlatformName) -> bool:
        """Whether a platform is there and takes answers."""
        limits = self._limits(platform)
        return limits is not None and limits.sends_answers
