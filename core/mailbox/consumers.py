"""The delivery manager: attaches handlers to mailboxes, keeps them going, and stops them without losing anything."""

from collections.abc import Awaitable, Callable

import msgspec

from core.api.errors import InvalidInput, NotFound
from core.breaker import Breaker
from core.breaker_settings import GUARDED, BreakerSettings
from core.clock import Clock, mark
from core.mailbox.consumer import ConsumerState, ConsumerStats, Gate, Handler, Placement, Supply
from core.mailbox.fuses import Fuse
from core.mailbox.heartbeats import Heartbeats
from core.mailbox.slots import Slots
from core.mailbox.supervision import Group, Intensity, Strategy
from core.mailbox.trees import Seat, Tree, ended
from core.mailbox.workers import Counted, Floor, Plan
from core.supervisor import Supervisor

MOST_CONCURRENT = 10_000
_CANCEL_GRACE_S = 1.0


class StopReport(msgspec.Struct, frozen=True, gc=False):
    """What a stop came to. handled: acknowledged while it waited; released: given back unfinished.

    cut_off: consumers whose handlers did not end in time; stuck: those that do not even now.
    """

    handled: int = 0
    released: int = 0
    cut_off: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()


class Consumers:
    """All consumers of one core; lives on one loop.

    max_concurrent_deliveries: handlers at a time over all consumers. random: gives numbers in
    [0, 1). on_alarm(group, why): a group was restarted too often and stopped.
    on_breaker(name, breaker): the breaker of a consumer changed its state. service: name of what watches its leases.
    """

    def __init__(
        self,
        clock: Clock,
        supervisor: Supervisor,
        *,
        random: Callable[[], float],
        on_alarm: Callable[[str, str], None],
        on_breaker: Callable[[str, Breaker], None] = lambda _name, _breaker: None,
        max_concurrent_deliveries: int = 100,
        service: str = "mail heartbeats",
    ) -> None:
        _check("max_concurrent_deliveries", max_concurrent_deliveries)
        self._clock = clock
        self._supervisor = supervisor
        self._random = random
        self._on_alarm = on_alarm
        self._on_breaker = on_breaker
        self._service = service
        self._floor = Floor(clock, Slots(max_concurrent_deliveries), Heartbeats(clock))
        self._trees: dict[str, Tree] = {}
        self._seats: dict[str, tuple[Seat, Tree]] = {}
        self._is_beating = False
        self._is_stopping = False

    # -- set up

    def add_group(
        self, name: str, strategy: Strategy = Strategy.ONE_FOR_ONE, intensity: Intensity | None = None
    ) -> None:
        """A group for consumers to be attached to, with its restart strategy. Raises InvalidInput when there is one."""
        if name in self._trees:
            raise InvalidInput(f"there is a group {name} already", field="group", value=name, fix="take another name")
        group = Group(strategy=strategy, intensity=intensity or Intensity())
        self._trees[name] = Tree(name, group, floor=self._floor, supervisor=self._supervisor, on_alarm=self._on_alarm)

    def attach(
        self,
        mailbox: Supply,
        handler: Handler,
        *,
        name: str,
        concurrency: int = 1,
        breaker: BreakerSettings | None = GUARDED,
        breaker_before: Breaker | None = None,
        work_limit_s: float = 600.0,
        prepare: Callable[[], Awaitable[None]] | None = None,
        child: Placement | None = None,
        gate: Gate | None = None,
    ) -> None:
        """Give the messages of a mailbox to a handler from now on, at most `concurrency` at a time.

        breaker: None for none; breaker_before: as it was stored, already on this clock.
        work_limit_s: then a handler is cancelled, which is a failed delivery; 0 is never.
        prepare: awaited at the begin of each life of the consumer. child: where it stands when
        something breaks. gate: asked before each message; call wake() when it opens. Raises InvalidInput
        for a name that is taken, NotFound for a group that is not there.
        """
        _check("concurrency", concurrency)
        if self._is_stopping or name in self._seats:
            why = "the consumers are stopping" if self._is_stopping else f"there is a consumer {name} already"
            raise InvalidInput(why, field="name", value=name, fix="take another name, or detach that one")
        place = child or Placement()
        tree = self._tree(place, name)
        plan = Plan(
            name=name,
            supply=mailbox,
            handler=handler,
            concurrency=concurrency,
            work_limit_s=work_limit_s,
            prepare=prepare,
            gate=gate,
        )
        seat = Seat(plan, Counted(), None, mark(self._clock))
        if breaker is not None:
            seat.fuse = Fuse(breaker, self._clock, self._random, lambda now: self._changed(seat, now), breaker_before)
        if not self._is_beating:
            self._is_beating = True
            self._supervisor.start(self._service, self._floor.heartbeats.run)
        self._floor.slots.join(name)
        self._seats[name] = (seat, tree)
        tree.add(seat, place.restart)

    async def detach(self, name: str, *, deadline_s: float = 10.0) -> StopReport:
        """Stop one consumer as stop() does, and forget it. Raises NotFound."""
        seat, tree = self._get(name)
        tree.remove(name)
        report = await self._drain([seat], deadline_s)
        if not tree.seats and tree.name == name:
            del self._trees[name]
        del self._seats[name]
        self._floor.slots.leave(name)
        return report

    def start_group(self, name: str) -> None:
        """Let a group that gave up begin again; what does not run is started. Raises NotFound."""
        tree = self._trees.get(name)
        if tree is None:
            raise NotFound(f"there is no group {name}", noun="group", id=name)
        tree.start_again()

    def wake(self, name: str) -> None:
        """Have a consumer ask its gate again. Nothing happens when there is none of that name."""
        seat = self._seats.get(name)
        if seat is not None and seat[0].worker is not None:
            seat[0].worker.ask_again()

    # -- breakers

    def reset_breaker(self, name: str, reason: str) -> None:
        """Close the breaker of a consumer. Raises NotFound when it has none."""
        self._fuse(name).reset(reason)

    def hold_breaker(self, name: str, reason: str) -> None:
        """Give nothing to a consumer until its breaker is reset. Raises NotFound when it has none."""
        self._fuse(name).hold_open(reason)

    def disable_breaker(self, name: str, reason: str) -> None:
        """Give it messages whatever fails, until its breaker is reset. Raises NotFound when it has none."""
        self._fuse(name).disable(reason)

    # -- seen

    def has(self, name: str) -> bool:
        """Whether there is a consumer of that name."""
        return name in self._seats

    def stats(self) -> tuple[ConsumerStats, ...]:
        """All consumers, in the order in which they were attached."""
        return tuple(_stats(seat, tree) for seat, tree in self._seats.values())

    def stats_of(self, name: str) -> ConsumerStats:
        """One consumer. Raises NotFound."""
        return _stats(*self._get(name))

    @property
    def running_count(self) -> int:
        """Handlers that run now."""
        return self._floor.slots.taken

    # -- end

    async def stop(self, *, deadline_s: float) -> StopReport:
        """Take nothing more, wait for the handlers, give back what is left at the deadline."""
        self._is_stopping = True
        for tree in self._trees.values():
            tree.close()
        report = await self._drain([seat for seat, _ in self._seats.values()], deadline_s)
        if self._is_beating:
            self._is_beating = False
            await self._supervisor.stop_service(self._service)
        return report

    async def _drain(self, seats: list[Seat], deadline_s: float) -> StopReport:
        handled = _handled(seats)
        released = sum(seat.counted.released for seat in seats)
        for seat in seats:
            if seat.worker is not None and seat.state is ConsumerState.RUNNING:
                seat.state = ConsumerState.DRAINING
                seat.worker.drain()
        tasks = {seat.task for seat in seats if seat.task is not None}
        late = await ended(tasks, deadline_s, self._supervisor, self._clock)
        cut_off = [seat for seat in seats if seat.task in late]
        for seat in cut_off:
            if seat.worker is not None:
                seat.worker.let_go()
            if seat.task is not None:
                seat.task.cancel()
        stuck = await ended(late, _CANCEL_GRACE_S, self._supervisor, self._clock)
        return StopReport(
            handled=_handled(seats) - handled,
            released=sum(seat.counted.released for seat in seats) - released,
            cut_off=tuple(seat.plan.name for seat in cut_off),
            stuck=tuple(seat.plan.name for seat in cut_off if seat.task in stuck),
        )

    # -- inside

    def _tree(self, place: Placement, name: str) -> Tree:
        if place.group and place.group not in self._trees:
            raise NotFound(f"there is no group {place.group}", noun="group", id=place.group, fix="add it first")
        if not place.group:
            self.add_group(name)
        return self._trees[place.group or name]

    def _get(self, name: str) -> tuple[Seat, Tree]:
        found = self._seats.get(name)
        if found is None:
            raise NotFound(f"there is no consumer {name}", noun="consumer", id=name)
        return found

    def _fuse(self, name: str) -> Fuse:
        fuse = self._get(name)[0].fuse
        if fuse is None:
            raise NotFound(f"consumer {name} has no breaker", noun="breaker", id=name)
        return fuse

    def _changed(self, seat: Seat, breaker: Breaker) -> None:
        if seat.worker is not None:
            seat.worker.wake()
        self._on_breaker(seat.plan.name, breaker)


def _stats(seat: Seat, tree: Tree) -> ConsumerStats:
    counted = seat.counted
    return ConsumerStats(
        name=seat.plan.name,
        mailbox=seat.plan.supply.name,
        group=tree.name,
        state=seat.state,
        since=seat.since,
        concurrency=seat.plan.concurrency,
        running=() if seat.worker is None else seat.worker.works(),
        handled=counted.handled,
        failed=counted.failed,
        rejected=counted.rejected,
        stale=counted.stale,
        released=counted.released,
        restarts=counted.restarts,
        last_error=counted.last_error,
        breaker=None if seat.fuse is None else seat.fuse.breaker,
    )


def _handled(seats: list[Seat]) -> int:
    return sum(seat.counted.handled for seat in seats)


def _check(field: str, value: int) -> None:
    if not 1 <= value <= MOST_CONCURRENT:
        raise InvalidInput(
            f"{field} is {value}; it can be 1 to {MOST_CONCURRENT}",
            field=field,
            value=value,
            fix=f"a number from 1 to {MOST_CONCURRENT}",
        )
