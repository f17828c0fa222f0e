"""A supervised group of consumers at work: starts them, and does what the strategy decides when one breaks."""

import asyncio
from collections import deque
from collections.abc import Callable

import msgspec

from core.api.base import Mark
from core.clock import Clock, mark
from core.mailbox.consumer import ConsumerState, one_line
from core.mailbox.fuses import Fuse
from core.mailbox.supervision import Child, Group, Restart, after_end, begun_again, joined, parted
from core.mailbox.workers import Counted, Floor, Plan, Worker
from core.supervisor import Supervisor

STOP_GRACE_S = 5.0
"""A sibling that is stopped and does not end within that is left behind; its messages are given back already."""


class Seat(msgspec.Struct, eq=False):
    """A consumer over all its lives. life: number of the present one; worker, task: of that."""

    plan: Plan
    counted: Counted
    fuse: Fuse | None
    since: Mark
    state: ConsumerState = ConsumerState.STOPPED
    life: int = 0
    worker: Worker | None = None
    task: "asyncio.Task[None] | None" = None


class Tree:
    """Consumers that live and die together. on_alarm(group, why): the group was restarted too often and stopped."""

    def __init__(
        self,
        name: str,
        group: Group,
        *,
        floor: Floor,
        supervisor: Supervisor,
        on_alarm: Callable[[str, str], None],
    ) -> None:
        self.name = name
        self.group = group
        self.seats: dict[str, Seat] = {}
        self._floor = floor
        self._supervisor = supervisor
        self._on_alarm = on_alarm
        self._ends: deque[tuple[Seat, int]] = deque()
        self._is_busy = False
        self._is_closed = False

    def add(self, seat: Seat, restart: Restart) -> None:
        """One more consumer, started after the others. Raises InvalidInput when its name is taken."""
        name = seat.plan.name
        self.group = joined(self.group, Child(name, restart, not self.group.has_given_up))
        self.seats[name] = seat
        if self.group.has_given_up:
            seat.state = ConsumerState.GIVEN_UP
        else:
            self._launch(seat)

    def remove(self, name: str) -> None:
        """Restart a consumer no more, and forget it."""
        self.group = parted(self.group, name)
        self.seats.pop(name).life += 1

    def start_again(self) -> None:
        """An operator lets the group begin again; what it was restarted before is forgotten."""
        self.group, decision = begun_again(self.group)
        for name in decision.start:
            self._launch(self.seats[name])

    def close(self) -> None:
        """Restart nothing from now on."""
        self._is_closed = True

    def _launch(self, seat: Seat) -> None:
        seat.life += 1
        seat.since = mark(self._floor.clock)
        seat.state = ConsumerState.RUNNING
        seat.worker = Worker(seat.plan, self._floor, seat.counted, seat.fuse)
        name = f"consumer {seat.plan.name}"
        seat.task = self._supervisor.spawn(name, self._live(seat, seat.worker, seat.life))

    async def _live(self, seat: Seat, worker: Worker, life: int) -> None:
        try:
            await worker.run()
        except Exception as error:  # noqa: BLE001 - whatever breaks a consumer, the strategy answers it
            if seat.life == life:
                seat.counted.last_error = one_line(error)
                self._broke(seat, life)
            return
        finally:
            if seat.life == life:
                seat.state = ConsumerState.STOPPED
        if seat.life == life:
            # Drained, or its mailbox is closed: there is nothing to start it again for.
            self.group = parted(self.group, seat.plan.name)

    def _broke(self, seat: Seat, life: int) -> None:
        self._ends.append((seat, life))
        if not self._is_busy and not self._is_closed:
            self._is_busy = True
            self._supervisor.spawn(f"restart {self.name}", self._answer())

    async def _answer(self) -> None:
        """Carry out one decision after the other, so that no two restarts cross."""
        try:
            while self._ends and not self._is_closed:
                seat, life = self._ends.popleft()
                # An end that an earlier decision has answered already counts no more.
                if seat.life == life and seat.state is ConsumerState.STOPPED:
                    await self._carry_out(seat.plan.name)
        finally:
            self._is_busy = False

    async def _carry_out(self, name: str) -> None:
        now = self._floor.clock.monotonic()
        self.group, decision = after_end(self.group, name, now, failed=True)
        error = self.seats[name].counted.last_error
        for seat in [self.seats[other] for other in decision.stop]:
            await self._stop(seat)
        if decision.alarm:
            for child in self.group.children:
                self.seats[child.name].state = ConsumerState.GIVEN_UP
            self._on_alarm(self.name, f"{decision.alarm}: {error}")
        for other in decision.start:
            # It may have been taken away, or all may be stopping, while the others were stopped.
            if other in self.seats and not self._is_closed:
                self.seats[other].counted.restarts += 1
                self._launch(self.seats[other])

    async def _stop(self, seat: Seat) -> None:
        """End a life from outside; its end is no failure."""
        task, worker = seat.task, seat.worker
        seat.life += 1
        seat.state = ConsumerState.STOPPED
        if worker is not None:
            worker.let_go()
        if task is not None:
            task.cancel()
            await ended({task}, STOP_GRACE_S, self._supervisor, self._floor.clock)


async def ended(
    tasks: "set[asyncio.Task[None]]", deadline_s: float, supervisor: Supervisor, clock: Clock
) -> "set[asyncio.Task[None]]":
    """Wait for all these tasks, at most deadline_s seconds. Returns those that have not ended."""
    pending: list[asyncio.Task[None]] = [task for task in tasks if not task.done()]
    if pending and deadline_s > 0:
        limit: asyncio.Task[None] = supervisor.spawn("deadline", clock.sleep(deadline_s))
        try:
            while pending and not limit.done():
                await asyncio.wait([*pending, limit], return_when=asyncio.FIRST_COMPLETED)
                pending = [task for task in pending if not task.done()]
        finally:
            limit.cancel()
    return set(pending)
