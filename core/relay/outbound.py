"""Messages that go out: orders of operators and agents, their mailboxes, attempts, dead letters, replays."""

import math
from collections.abc import Awaitable, Callable

from core.api.breakers import BreakerMode, BreakerState
from core.api.errors import HermesError
from core.api.relay_tasks import RelayDirection, RelayReason, RelayState
from core.clock import Clock, mark
from core.handlers import CommandHandlers
from core.ids import IdSource
from core.relay.bindings import Bindings
from core.relay.calling import Calling
from core.relay.ledger import Change, Ledger
from core.relay.mail_names import mailbox_of
from core.relay.mailing import Mailing, RelayMailroom
from core.relay.orders import Orders
from core.relay.plan import deadline
from core.relay.ports import Askers
from core.relay.recalls import Recalls
from core.relay.replays import Replays
from core.relay.sending import Sending, ended
from core.relay.targets import Targets
from core.relay.task import RelayTask, cause_of_death, died
from core.relay.timers import Timers
from core.relay.trails import Trails
from core.relay_settings import RelaySettings
from core.supervisor import Supervisor

_PAUSED_S = 60.0
_AFTER_PAUSE_S = 3_600.0
"""What a message has left at least, when the relay goes on after a pause in which its time ran out."""


class Outbound:
    """All that goes out. random: in [0, 1). cancel_in: stops a message that a peer sent."""

    def __init__(
        self,
        *,
        mail: RelayMailroom,
        clock: Clock,
        ids: IdSource,
        supervisor: Supervisor,
        settings: RelaySettings,
        bindings: Bindings,
        ledger: Ledger,
        targets: Targets,
        trails: Trails,
        calling: Calling,
        askers: Askers,
        is_paused: Callable[[], bool],
        random: Callable[[], float],
        cancel_in: Callable[[RelayTask, str], Awaitable[RelayTask]],
    ) -> None:
        self._clock = clock
        self._supervisor = supervisor
        self._settings = settings
        self._bindings = bindings
        self._ledger = ledger
        self._targets = targets
        self._is_paused = is_paused
        self._deadlines = Timers(clock, self._overdue)
        # No deadline counts before, monotonic seconds: the relay was paused when one passed.
        self._overdue_from = -math.inf
        recalls = Recalls(supervisor=supervisor, targets=targets, calling=calling)
        self.sending = Sending(
            clock=clock,
            settings=settings,
            calling=calling,
            ledger=ledger,
            targets=targets,
            trails=trails,
            random=random,
            canceled=recalls.tell,
            overdue_from=lambda: self._overdue_from,
        )
        self.mailing = self.sending.mailing = Mailing(
            mail=mail,
            clock=clock,
            targets=targets,
            handler=self.sending.deliver,
            concurrency=settings.in_flight,
            is_needed=self._is_needed,
        )
        self.orders = Orders(
            clock=clock,
            ids=ids,
            settings=settings,
            bindings=bindings,
            ledger=ledger,
            targets=targets,
            trails=trails,
            mailing=self.mailing,
            sending=self.sending,
            recalls=recalls,
            askers=askers,
            cancel_in=cancel_in,
        )
        self._replays = Replays(clock=clock, ledger=ledger, mailing=self.mailing, orders=self.orders, trails=trails)
        ledger.on_change(self._changed)

    async def start(self) -> None:
        """Take up the letters of what waits, and begin to send. Raises StoreError."""
        waiting = [task for task in self._ledger.live() if task.state is RelayState.QUEUED and task.origin]
        await self.mailing.recover(sorted({task.origin for task in waiting}))
        await self._mend(waiting)
        for task in waiting:
            self._deadlines.set(task.id, deadline(task, self._settings))
        self._supervisor.start("relay deadlines", self._deadlines.run)
        self._supervisor.start("relay mailboxes", self.mailing.run)
        for origin in sorted({task.origin for task in waiting}):
            await self.mailing.open(origin)

    @property
    def commands(self) -> CommandHandlers:
        """Who carries out which command."""
        return {**self.orders.commands, **self._replays.commands}

    async def _mend(self, waiting: list[RelayTask]) -> None:
        """Give a letter to those that have none: a store may lose mail, and an operator may let go of any."""
        for task in waiting:
            current = self._ledger.find_live(task.id)
            if current is None or current.state is not RelayState.QUEUED or self.mailing.find(task.id) is not None:
                continue
            await self.mailing.open(task.origin)
            transaction = self.mailing.transaction()
            try:
                self.mailing.post(transaction, task)
            except BaseException:
                transaction.cancel()
                raise
            await transaction.commit([], [])

    def _is_needed(self, origin: str) -> bool:
        tally = self._ledger.tally(origin)
        return bool(tally.waiting or self._bindings.bots_of(origin))

    def _changed(self, task: RelayTask) -> None:
        if task.direction is not RelayDirection.OUT:
            return
        self._targets.counts_changed(task.origin)
        if task.state is RelayState.QUEUED:
            if task.id not in self._deadlines:
                self._deadlines.set(task.id, deadline(task, self._settings))
            return
        self._deadlines.drop(task.id)
        letter = self.mailing.find(task.id)
        if letter is None:
            self.mailing.forget(task.id)
        elif task.id not in self.sending.attempts:
            # It ended while it waited, such as by an answer to an attempt that seemed lost.
            self._supervisor.spawn(f"relay letter:{task.id}", self.mailing.drop(letter))

    def _overdue(self, task_id: str) -> None:
        if self._is_paused():
            now = self._clock.monotonic()
            self._overdue_from = now + min(_AFTER_PAUSE_S, self._settings.deadline_s)
            self._deadlines.set(task_id, now + _PAUSED_S)
            return
        self._supervisor.spawn(f"relay deadline:{task_id}", self._give_up(task_id))

    async def _give_up(self, task_id: str) -> None:
        def decide(task: RelayTask) -> Change | None:
            now = mark(self._clock)
            if task.state is not RelayState.QUEUED or now.mono < self._deadline(task):
                return None
            transaction = self.mailing.transaction()
            self.mailing.settle(transaction, task.id)
            found = (self._hindrance(task.origin), task.error)
            why = ": ".join([f"not delivered within {self._settings.deadline_s:g} s", *filter(None, found)])
            reason = cause_of_death(task, RelayReason.UNDELIVERED)
            return Change(died(task, now, reason, why), ended, transaction)

        try:
            task = await self._ledger.change(task_id, decide)
        except HermesError:
            self._deadlines.set(task_id, self._clock.monotonic() + _PAUSED_S)
            return
        if task.state in {RelayState.QUEUED, RelayState.SENDING}:
            self._deadlines.set(task_id, max(self._deadline(task), self._clock.monotonic() + 1.0))

    def _deadline(self, task: RelayTask) -> float:
        return max(deadline(task, self._settings), self._overdue_from)

    def _hindrance(self, origin: str) -> str:
        """What keeps messages from being sent there, in words for people; "" for nothing but those before them."""
        if not self.mailing.is_giving(origin):
            return f"mailbox {mailbox_of(origin)} is paused"
        breaker = self._targets.breakers.view(origin)
        if breaker.mode is BreakerMode.HELD:
            return f"the breaker of {origin} is held open" + (f" ({breaker.reason})" if breaker.reason else "")
        if breaker.state is BreakerState.CLOSED:
            return ""
        return f"the breaker of {origin} is {breaker.state.value.replace('_', '-')} ({breaker.last_error})"
