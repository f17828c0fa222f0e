"""What a stop leaves behind and a start picks up: no message is lost, and no run is believed to go on."""

import asyncio
import contextlib
from itertools import groupby

import msgspec

from core.api.base import EntryId, MessageId, RunId, SessionId
from core.api.errors import StoreError
from core.api.runs import RunOutcome, Stop
from core.api.sessions import MessageState, RunEnded, SessionView
from core.api.transcripts import EntryKind, EntryView
from core.clock import Clock, mark
from core.gateway import rows
from core.gateway.lane import Lane, Waiting
from core.gateway.lanes import Lanes
from core.gateway.ports import Agents
from core.gateway.session import Guard, ended, held, may_begin
from core.gateway.turns import Turns
from core.ids import IdSource
from core.store.base import Put, Store

_PAGE = 500
_LOOK_S = 0.05
_NUDGE_EVERY_S = 5.0


class Recovered(msgspec.Struct):
    """What a start found. cut_off: runs of the start before; queued: messages; given_up: too often tried."""

    cut_off: int = 0
    queued: int = 0
    given_up: int = 0


class Restart:
    """max_attempts: runs of one message before it is given up because the core died under each."""

    def __init__(
        self,
        *,
        lanes: Lanes,
        turns: Turns,
        agents: Agents,
        store: Store,
        clock: Clock,
        ids: IdSource,
        max_attempts: int,
    ) -> None:
        self._lanes = lanes
        self._turns = turns
        self._agents = agents
        self._store = store
        self._clock = clock
        self._ids = ids
        self._max_attempts = max_attempts

    async def recover(self) -> Recovered:
        """Put every unanswered message back in its queue, in order, and close the runs that were cut off."""
        recovered = Recovered()
        after = ""
        pending: list[Waiting] = []
        while page := await self._store.scan(rows.INBOUND, after=after, limit=_PAGE):
            after = page[-1].key
            pending += [rows.waiting_of(row.body) for row in page]
            if len(page) < _PAGE:
                break
        for session_id, group in groupby(pending, key=lambda item: item.message.session_id):
            await self._requeue(session_id, list(group), recovered)
        return recovered

    async def resume(self) -> None:
        """Begin what waits."""
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

    async def drain(self, limit_s: float) -> int:
        """Begin nothing new, give runs limit_s seconds, then put what they answer back in the queue.

        Returns how many runs were cut off.
        """
        lanes = self._lanes.in_memory()
        for lane in lanes:
            lane.guard = held(lane.guard, is_held=True)
        deadline = self._clock.monotonic() + limit_s
        while any(lane.guard.run_id for lane in lanes) and self._clock.monotonic() < deadline:
            await self._clock.sleep(_LOOK_S)
        left = [(lane, lane.guard.run_id) for lane in lanes if lane.guard.run_id is not None]
        await asyncio.gather(*(self._park(lane, run_id) for lane, run_id in left))
        return len(left)

    async def _requeue(self, session_id: SessionId, found: list[Waiting], recovered: Recovered) -> None:
        lane = self._lanes.lane(session_id)
        async with lane.lock:
            await self._lanes.load(lane)
            view = self._lanes.view(lane)
            found.sort(key=lambda item: (item.message.state is not MessageState.RUNNING, item.message.id))
            gone = [item for item in found if self._is_given_up(item)]
            kept = [_queued_again(item) for item in found if not self._is_given_up(item)]
            cut_off = next((item.message.run_id for item in found if item.message.run_id is not None), None)
            base, events_outcome = self._closed(view, cut_off, is_final=bool(gone))
            entries = [self._gave_up(view, item) for item in gone]
            recovered.cut_off += cut_off is not None
            recovered.queued += len(kept)
            recovered.given_up += len(gone)
            await self._lanes.commit(
                lane,
                base=base,
                guard=Guard(queue=tuple(item.message.id for item in kept)),
                waiting={item.message.id: item for item in kept},
                puts=[Put(rows.inbound_key(session_id, item.message.id), rows.body_of(item)) for item in kept]
                + [Put(rows.inbound_key(session_id, item.message.id), None) for item in gone],
                entries=entries,
                events=lambda after: (
                    []
                    if events_outcome is None
                    else [RunEnded(session=after, outcome=events_outcome, entries=tuple(entries))]
                ),
            )

    def _is_given_up(self, item: Waiting) -> bool:
        return item.message.state is MessageState.RUNNING and item.message.attempt >= self._max_attempts

    def _closed(
        self, view: SessionView, run_id: RunId | None, *, is_final: bool
    ) -> tuple[SessionView, RunOutcome | None]:
        base = msgspec.structs.replace(view, run=None, lane_holder=None)
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
            running: tuple[MessageId, ...] = lane.guard.running[:1]
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
            freed = ended(lane.guard, run_id)
            lane.live = None
            await self._lanes.commit(
                lane,
                base=msgspec.structs.replace(view, last_outcome=outcome),
                guard=msgspec.structs.replace(freed, queue=(*running, *freed.queue)),
                waiting={**lane.waiting, **parked},
                puts=[Put(rows.inbound_key(lane.session_id, key), rows.body_of(item)) for key, item in parked.items()],
                events=lambda after: [RunEnded(session=after, outcome=outcome, entries=())],
            )
        await self._agents.interrupt(run_id, "the core stops")


def _queued_again(item: Waiting) -> Waiting:
    message = msgspec.structs.replace(item.message, state=MessageState.QUEUED, run_id=None)
    return msgspec.structs.replace(item, message=message)


def _parked(item: Waiting) -> Waiting:
    # An orderly stop is not held against the message.
    message = msgspec.structs.replace(
        item.message, state=MessageState.QUEUED, run_id=None, attempt=item.message.attempt - 1
    )
    return msgspec.structs.replace(item, message=message)
