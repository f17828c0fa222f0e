"""What a stop leaves behind and a start picks up: no message is lost, and no run is believed to go on."""

import asyncio
import contextlib
from collections.abc import Callable

import msgspec

from core.api.base import EntryId, MailId, MessageId, RunId, SessionId
from core.api.errors import StoreError
from core.api.mail import DeadReason, MailState
from core.api.runs import RunOutcome, Stop
from core.api.sessions import MessageState, RunEnded, SessionView
from core.api.transcripts import EntryKind, EntryView
from core.clock import Clock, mark
from core.gateway import rows
from core.gateway.lane import Lane, Waiting
from core.gateway.lanes import Lanes
from core.gateway.ports import Agents, RunBook, RunClosed
from core.gateway.revivals import Revivals
from core.gateway.session import Guard, ended, may_begin, put_first
from core.gateway.turns import Turns
from core.gateway.unanswered import MAILBOX, STOPPED, policy, session_of, waiting_in
from core.ids import IdSource
from core.lease import acquired, execution, reconcile
from core.letters import Letter, Mailroom
from core.store.base import Put, Store

_PAGE = 100
_LOOK_S = 0.05
_NUDGE_EVERY_S = 5.0


class Recovered(msgspec.Struct):
    """What a start found. cut_off: runs of the start before; queued: messages; given_up: too often tried."""

    cut_off: int = 0
    queued: int = 0
    given_up: int = 0


class _Left(msgspec.Struct):
    """What a session is found with. to_bury: letters of what is given up and not dead yet."""

    queued: list[Waiting] = msgspec.field(default_factory=list[Waiting])
    given_up: list[Waiting] = msgspec.field(default_factory=list[Waiting])
    to_bury: list[MailId] = msgspec.field(default_factory=list[MailId])


class Restart:
    """max_attempts: runs of one message before it is given up because the core died under each."""

    def __init__(
        self,
        *,
        lanes: Lanes,
        turns: Turns,
        agents: Agents,
        revivals: Revivals,
        mail: Mailroom,
        store: Store,
        clock: Clock,
        ids: IdSource,
        max_attempts: int,
        books: RunBook,
    ) -> None:
        self._lanes = lanes
        self._turns = turns
        self._agents = agents
        self._revivals = revivals
        self._mail = mail
        self._store = store
        self._clock = clock
        self._ids = ids
        self._max_attempts = max_attempts
        self._books = books

    async def open(self) -> None:
        """Make the mailbox of the sessions when it is not there, and give it its rules. Raises StoreError."""
        await self._mail.ensure(MAILBOX, policy(self._max_attempts), owner=self._revivals.owner)

    async def recover(self) -> Recovered:
        """Put every unanswered message back in its queue, in order, and close the runs that were cut off.

        The mailboxes have dealt already with what was in flight at a crash: it waits again, or is dead.
        """
        await self.open()
        await self._move_old_rows()
        recovered = Recovered()
        by_session: dict[SessionId, list[Letter]] = {}
        for letter in self._mail.letters(MAILBOX):
            by_session.setdefault(session_of(letter), []).append(letter)
        for session_id, letters in by_session.items():
            await self._requeue(session_id, letters, recovered)
        return recovered

    async def resume(self) -> None:
        """Begin what waits, unless the mailbox is paused or the core stops."""
        if self._lanes.is_draining or not self._lanes.is_giving:
            return
        for lane in self._lanes.in_memory():
            if may_begin(lane.guard):
                async with lane.lock:
                    await self._turns.commit_next(lane, self._lanes.view(lane), lane.guard)

    async def nudge(self) -> None:
        """Look now and then for lanes that could go on and do not, as after a full disk; until cancelled."""
        while True:
            await self._clock.sleep(_NUDGE_EVERY_S)
            with contextlib.suppress(StoreError):
                await self.resume()

    async def drain(self, limit_s: float, is_over: Callable[[], bool] | None = None) -> int:
        """Begin nothing new, give runs limit_s seconds, then put what they answer back in the queue.

        is_over: says instead of limit_s when the wait ends. Returns how many runs were cut off.
        """
        self._lanes.is_draining = True
        lanes = self._lanes.in_memory()
        deadline = self._clock.monotonic() + limit_s
        is_late = is_over or (lambda: self._clock.monotonic() >= deadline)
        while any(lane.guard.run_id for lane in lanes) and not is_late():
            await self._clock.sleep(_LOOK_S)
        left = [(lane, lane.guard.run_id) for lane in lanes if lane.guard.run_id is not None]
        await asyncio.gather(*(self._park(lane, run_id) for lane, run_id in left))
        return len(left)

    async def _move_old_rows(self) -> None:
        """Post what versions before 0.2 kept in rows, in steps; each message is in one place at any time."""
        while page := await self._store.scan(rows.OLD_INBOUND, limit=_PAGE):
            with self._lanes.mail() as mail:
                for row in page:
                    waiting = rows.waiting_of(row.body)
                    session_id = waiting.message.session_id
                    mail.post(
                        MAILBOX,
                        waiting,
                        sender=waiting.message.sender,
                        order_key=session_id,
                        correlation=waiting.message.id,
                    )
                await mail.commit([Put(row.key, None, row.revision) for row in page], ())

    async def _requeue(self, session_id: SessionId, letters: list[Letter], recovered: Recovered) -> None:
        waiting = [letter for letter in letters if letter.state is not MailState.DEAD]
        async with self._lanes.entered(session_id) as lane:
            if lane.view is None:
                await self._revivals.refuse(waiting, f"there is no session {session_id}")
            elif (waiting or lane.view.lane_holder is not None) and self._is_free(lane.view):
                left = await self._left(lane.view, letters)
                recovered.cut_off += lane.view.lane_holder is not None
                recovered.queued += len(left.queued)
                recovered.given_up += len(left.given_up)
                await self._take_up(lane, lane.view, left)

    def _is_free(self, view: SessionView) -> bool:
        """Whether nothing holds the session, or what holds it is gone."""
        if view.lane_holder is None:
            return True
        # Versions before 0.3 stored no lease.
        lease = view.lease or acquired(0, boot=0, run_id=view.lane_holder, now=view.created)
        is_held = self._agents.holds(view.lane_holder)
        return reconcile(lease, execution(lease, boot=self._lanes.boot, is_held=is_held)).is_released

    async def _left(self, view: SessionView, letters: list[Letter]) -> _Left:
        """Sort out what the letters of a session are; those that are no messages are dead from now on."""
        found = [(letter.state is MailState.DEAD, letter, waiting_in(letter, self._clock)) for letter in letters]
        unreadable = [letter for is_dead, letter, waiting in found if waiting is None and not is_dead]
        await self._revivals.refuse(unreadable, "this is no message of a session")
        is_cut_off = view.lane_holder is not None and view.run is not None
        answered = view.run.message_ids if is_cut_off and view.run is not None else ()
        left = _Left()
        for is_dead, _, waiting in found:
            if waiting is None:
                continue
            is_cut = waiting.message.id in answered
            # One that is dead died at this start, for the session still believes that it runs.
            # One that lives and is worn out has been so by a rule that is new.
            if is_cut and (is_dead or waiting.message.attempt >= self._max_attempts):
                left.given_up.append(waiting)
                left.to_bury += [] if is_dead else [waiting.mail_id]
            elif not is_dead:
                left.queued.append(waiting)
        return left

    async def _take_up(self, lane: Lane, view: SessionView, left: _Left) -> None:
        base, outcome = self._closed(view, view.lane_holder, is_final=bool(left.given_up))
        pages = [] if outcome is None else [self._books.closed(_closing(view, outcome, left))]
        entries = tuple(self._gave_up(view, item) for item in left.given_up)
        with self._lanes.mail() as mail:
            for mail_id in left.to_bury:
                mail.take(MAILBOX, mail_id)
                mail.bury(MAILBOX, mail_id, DeadReason.POISON, "the core stopped during each of its runs")
            await self._lanes.commit(
                lane,
                base=base,
                guard=Guard(queue=tuple(item.message.id for item in left.queued)),
                waiting={item.message.id: item for item in left.queued},
                entries=entries,
                events=lambda after: (
                    [] if outcome is None else [RunEnded(session=after, outcome=outcome, entries=entries)]
                ),
                mail=mail,
                pages=pages,
            )

    def _closed(
        self, view: SessionView, run_id: RunId | None, *, is_final: bool
    ) -> tuple[SessionView, RunOutcome | None]:
        base = msgspec.structs.replace(view, run=None, lane_holder=None, lease=None)
        if run_id is None:
            return base, None
        started = view.run.started if view.run is not None else mark(self._clock)
        outcome = RunOutcome(
            run_id=run_id,
            stop=Stop.DIED,
            ended=mark(self._clock),
            duration_s=round(max(0.0, self._clock.now() - started.at), 3),
            answered=False,
            error="the core stopped during the run" + ("; given up" if is_final else "; its message waits again"),
            code="orphaned",
        )
        return msgspec.structs.replace(base, last_outcome=outcome), outcome

    def _gave_up(self, view: SessionView, item: Waiting) -> EntryView:
        return EntryView(
            id=EntryId(self._ids.new_id()),
            at=self._clock.now(),
            kind=EntryKind.SYSTEM,
            author="core",
            text=f"gave up on this message: the core stopped during each of {item.message.attempt} runs",
            epoch=view.epoch,
            message_id=item.message.id,
        )

    async def _park(self, lane: Lane, run_id: RunId) -> None:
        async with lane.lock:
            if lane.guard.run_id != run_id or lane.live is None:
                return
            view = self._lanes.view(lane)
            # What was steered in is settled since.
            running: tuple[MessageId, ...] = tuple(item for item in lane.guard.running if lane.waiting[item].mail_id)
            parked = {key: _parked(lane.waiting[key]) for key in running}
            outcome = RunOutcome(
                run_id=run_id,
                stop=Stop.CANCELLED,
                ended=mark(self._clock),
                duration_s=round(self._clock.monotonic() - lane.live.run.started.mono, 3),
                answered=False,
                error="",
                code="core_stopped",
            )
            closed = RunClosed(
                run_id=run_id,
                session_id=lane.session_id,
                outcome=outcome,
                messages=[item.message for item in parked.values()],
                answer="".join(lane.live.answer).strip(),
                is_requeued=True,
            )
            freed = ended(lane.guard, run_id)
            # What it still says until it has heard of the stop is no fault of its.
            lane.live.is_late = True
            lane.live = None
            try:
                with self._lanes.mail() as mail:
                    for item in parked.values():
                        mail.put_back(MAILBOX, item.mail_id, is_counted=False, note=STOPPED)
                    await self._lanes.commit(
                        lane,
                        base=msgspec.structs.replace(view, last_outcome=outcome, lease=None),
                        guard=put_first(freed, running),
                        waiting={**lane.waiting, **parked},
                        events=lambda after: [RunEnded(session=after, outcome=outcome, entries=())],
                        mail=mail,
                        pages=[self._books.closed(closed)],
                    )
            except StoreError:
                # The next start finds it as after a crash. How it ends now must not be written: its message waits on.
                lane.view = msgspec.structs.replace(self._lanes.view(lane), lease=None)
        await self._agents.interrupt(run_id, "the core stops", is_core_stopping=True)


def _closing(view: SessionView, outcome: RunOutcome, left: _Left) -> RunClosed:
    """What the books are told of a run that its core did not outlive."""
    answered = view.run.message_ids if view.run is not None else ()
    waiting = [item.message for item in left.queued if item.message.id in answered]
    given_up = [item.message for item in left.given_up]
    order = {message_id: place for place, message_id in enumerate(answered)}
    messages = sorted((*waiting, *given_up), key=lambda message: order.get(message.id, len(order)))
    return RunClosed(
        run_id=outcome.run_id,
        session_id=view.id,
        outcome=outcome,
        messages=messages,
        is_requeued=bool(messages) and messages[0] in waiting,
    )


def _parked(item: Waiting) -> Waiting:
    # An orderly stop is not held against the message.
    message = msgspec.structs.replace(
        item.message, state=MessageState.QUEUED, run_id=None, attempt=item.message.attempt - 1
    )
    return msgspec.structs.replace(item, message=message)
