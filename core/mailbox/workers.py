"""One life of a consumer: takes messages while nothing hinders it, runs the handler, settles what came of it."""

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable

import msgspec

from core.api.base import Mark
from core.api.errors import DeadlineExceeded, MailboxClosed, StaleLease, StoreError
from core.api.mailboxes import Guarantee
from core.breaker import BreakerState, Outcome
from core.clock import Clock, mark
from core.mailbox.consumer import (
    STRAY,
    Act,
    Crash,
    Gate,
    Handler,
    Supply,
    Verdict,
    Work,
    after_cut,
    after_error,
    after_return,
    one_line,
)
from core.mailbox.fuses import Fuse
from core.mailbox.heartbeats import Heartbeats, Held
from core.mailbox.message import Mail
from core.mailbox.slots import Slots
from core.waits import CutShort, Waits, breathe, task_group

_BREATH_EVERY = 16
_STORE_REST_S = 1.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a consumer is to do. work_limit_s: of one handler; prepare: runs at the begin of each life."""

    name: str
    supply: Supply
    handler: Handler
    concurrency: int = 1
    work_limit_s: float = 600.0
    prepare: Callable[[], Awaitable[None]] | None = None
    gate: Gate | None = None


class Counted(msgspec.Struct):
    """What a consumer has done, over all its lives. restarts: of its own accord or with its group."""

    handled: int = 0
    failed: int = 0
    rejected: int = 0
    stale: int = 0
    released: int = 0
    restarts: int = 0
    last_error: str = ""


class Floor(msgspec.Struct, frozen=True):
    """What all consumers share."""

    clock: Clock
    slots: Slots
    heartbeats: Heartbeats


class Worker:
    """One life of a consumer. counted, fuse: those of the consumer, which outlive it."""

    def __init__(self, plan: Plan, floor: Floor, counted: Counted, fuse: Fuse | None) -> None:
        self._plan = plan
        self._supply = plan.supply
        self._floor = floor
        self._counted = counted
        self._fuse = fuse
        self._running: dict[Held, None] = {}
        self._occupied: set[Held] = set()
        self._waits = Waits()
        self._turn: asyncio.Future[None] | None = None
        self._is_draining = False
        self._is_pausing = False
        self._in_a_row = 0

    async def run(self) -> None:
        """Work until drained, or until the mailbox is closed. Raises what broke it; it holds nothing any more then."""
        try:
            if self._plan.prepare is not None:
                await self._plan.prepare()
            async with task_group() as jobs:
                while not self._is_draining:
                    await self._next(jobs)
        finally:
            self.let_go()
            # A job that is cancelled before its first step cleans up nothing itself.
            for held in list(self._occupied):
                self._vacate(held)

    def drain(self) -> None:
        """Take nothing more; run() ends when the handlers have."""
        self._is_draining = True
        self.wake()

    def wake(self) -> None:
        """Look again whether something hinders it: the breaker has changed."""
        self._nudge()
        self._waits.cut()

    def ask_again(self) -> None:
        """Look again whether something hinders it, unless nothing does: one that awaits a message goes on awaiting."""
        self._nudge()
        if self._is_pausing:
            self._waits.cut()

    def let_go(self) -> None:
        """Take nothing more and give back every message at once, without waiting for a handler."""
        # First of all it must not be the one who gets what it gives back.
        self.drain()
        for held in list(self._running):
            self._release(held)

    def works(self) -> tuple[Work, ...]:
        """The deliveries that go on, the oldest first."""
        return tuple(_work(held) for held in sorted(self._running, key=_begin))

    # -- taking

    async def _next(self, jobs: asyncio.TaskGroup) -> None:
        """Take one message and deliver it, or wait a turn for what hinders it."""
        hindrance_s = self._hindrance_s()
        try:
            if hindrance_s:
                await self._pause(hindrance_s)
                return
            held = await self._take_ready() if self._supply.peek() is not None else None
            held = held or await self._take_first()
        except CutShort:
            return
        except MailboxClosed:
            self._is_draining = True
            return
        except StoreError as error:
            # The disk does not answer for now: neither the message nor the consumer is to blame.
            self._counted.last_error = one_line(error)
            with contextlib.suppress(CutShort):
                await self._pause(_STORE_REST_S)
            return
        if self._fuse is not None:
            held.ticket = self._fuse.admit()
            if held.ticket is None:
                self._release(held)
                self._vacate(held)
                return
        if self._plan.gate is not None and not self._plan.gate.admit():
            # It was not handed over, so that was no delivery.
            held.mail.attempt -= 1
            self._release(held)
            self._vacate(held)
            return
        if self._plan.concurrency == 1:
            await self._deliver(held)
            self._in_a_row += 1
            if self._in_a_row % _BREATH_EVERY == 0:
                # A full mailbox and a handler that never waits would keep the loop to themselves.
                await breathe()
        else:
            jobs.create_task(self._deliver(held), name=f"{self._plan.name} m-{held.mail.id}")

    def _hindrance_s(self) -> float:
        """Seconds for which nothing may be taken; 0 when nothing hinders, infinity until somebody wakes it."""
        if len(self._occupied) >= self._plan.concurrency:
            return math.inf
        gate_s = 0.0 if self._plan.gate is None else self._plan.gate.wait_s()
        return gate_s if self._fuse is None else max(gate_s, self._fuse.wait_s())

    async def _pause(self, delay_s: float) -> None:
        if math.isinf(delay_s):
            self._turn = asyncio.get_running_loop().create_future()
            await self._turn
        else:
            self._is_pausing = True
            try:
                await self._waits.wait(self._floor.clock.sleep(delay_s))
            finally:
                self._is_pausing = False

    async def _take_ready(self) -> Held | None:
        """A message that waits already: first the place, then the message, so that none is held in vain."""
        slots, name = self._floor.slots, self._plan.name
        if not slots.try_take(name):
            await self._waits.wait(slots.take(name))
        try:
            mail = await self._supply.receive(timeout_s=0.0)
        except DeadlineExceeded:
            slots.give(name)
            return None
        except BaseException:
            slots.give(name)
            raise
        held = self._hold(mail)
        self._occupied.add(held)
        return held

    async def _take_first(self) -> Held:
        """The first message of an empty mailbox: it comes when it comes, and is held until there is a place."""
        slots, name = self._floor.slots, self._plan.name
        held = self._hold(await self._waits.wait(self._supply.receive()))
        if not slots.try_take(name):
            try:
                await self._waits.wait(slots.take(name))
            except CutShort:
                self._release(held)
                raise
        self._occupied.add(held)
        return held

    def _hold(self, mail: Mail) -> Held:
        held = Held(mail, self._supply, mark(self._floor.clock))
        self._running[held] = None
        self._floor.heartbeats.add(held)
        return held

    # -- delivering

    async def _deliver(self, held: Held) -> None:
        try:
            self._settle(held, await self._handled(held))
        except Crash as crash:
            self._blame(held, crash)
            self.let_go()
            raise
        except Exception:
            self.let_go()
            raise
        finally:
            self._release(held)
            self._vacate(held)

    async def _handled(self, held: Held) -> Verdict:
        task = held.task = asyncio.current_task()
        assert task is not None
        limit_s = self._plan.work_limit_s
        if limit_s:
            held.since = mark(self._floor.clock)
            held.deadline = held.since.mono + limit_s
            self._floor.heartbeats.changed(held)
        try:
            return after_return(await self._plan.handler(held.mail))
        except asyncio.CancelledError:
            if task.cancelling() > (held.cut_by is not None):
                raise
            return STRAY if held.cut_by is None else after_cut(held.cut_by, limit_s)
        except Crash:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is a failed delivery
            return after_error(error)
        finally:
            if held.cut_by is not None:
                task.uncancel()

    def _settle(self, held: Held, verdict: Verdict) -> None:
        if held not in self._running:
            self._counted.stale += 1
            return
        self._end(held, verdict.outcome, verdict.error)
        counted, mail = self._counted, held.mail
        if verdict.error:
            counted.last_error = verdict.error
        try:
            match verdict.act:
                case Act.ACK:
                    self._supply.ack(mail)
                    counted.handled += 1
                case Act.NACK:
                    self._supply.nack(mail, error=verdict.error, delay_s=verdict.delay_s)
                    counted.failed += 1
                case Act.REJECT:
                    self._supply.reject(mail, error=verdict.error)
                    counted.rejected += 1
                case Act.PUT_OFF:
                    self._supply.put_off(mail, delay_s=verdict.delay_s or 0.0, error=verdict.error)
                    counted.released += 1
                case Act.NOTHING:
                    counted.handled += verdict.outcome is Outcome.SUCCESS
                    counted.stale += verdict.outcome is not Outcome.SUCCESS
        except StaleLease:
            counted.stale += 1

    def _blame(self, held: Held, crash: Crash) -> None:
        """A message that was there at too many crashes is not given out for ever."""
        if held in self._running and held.mail.attempt >= self._supply.policy.max_deliveries:
            self._settle(held, Verdict(Act.NACK, Outcome.NEUTRAL, one_line(crash)))

    def _release(self, held: Held) -> None:
        if held not in self._running:
            return
        self._end(held, Outcome.NEUTRAL)
        try:
            if held.task is not None and held.mail.guarantee is Guarantee.AT_MOST_ONCE:
                # Its handler has seen it: nobody else may.
                self._supply.nack(held.mail, error="its consumer ended")
                self._counted.failed += 1
                return
            self._supply.release(held.mail)
        except StaleLease:
            self._counted.stale += 1
        else:
            self._counted.released += 1

    def _end(self, held: Held, outcome: Outcome, error: str = "") -> None:
        self._running.pop(held, None)
        self._floor.heartbeats.discard(held)
        ticket, held.ticket = held.ticket, None
        if ticket is not None and self._fuse is not None:
            self._fuse.settle(ticket, outcome, error)
            if self._fuse.breaker.state is not BreakerState.CLOSED:
                # A probe without verdict has freed its place, and nothing else tells of that.
                self.wake()

    def _vacate(self, held: Held) -> None:
        if held in self._occupied:
            self._occupied.discard(held)
            self._floor.slots.give(self._plan.name)
            self._nudge()

    def _nudge(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None and not turn.done():
            turn.set_result(None)


def _begin(held: Held) -> float:
    return held.since.mono


def _work(held: Held) -> Work:
    since = held.since
    left_s = held.deadline - since.mono
    deadline = None if math.isinf(left_s) else Mark(since.at + left_s, since.mono + left_s)
    return Work(held.mail.id, held.mail.attempt, since, deadline)
