"""Dead messages that are sent again, under the ids that they have."""

from collections.abc import Sequence

from core.api.base import Actor, MailId
from core.api.errors import ConflictError, InvalidInput, NotFound, Overloaded, Refused
from core.api.relay_tasks import (
    RelayDirection,
    RelayQueued,
    RelayReason,
    RelayState,
    RelayTaskFilter,
    RelayTaskId,
    RelayTaskView,
    ReplayReceipt,
    ReplayRelay,
)
from core.clock import Clock, mark
from core.handlers import CommandHandlers
from core.relay.ledger import Change, Ledger
from core.relay.mailing import Mailing
from core.relay.orders import Orders
from core.relay.task import RelayTask, replayed
from core.relay.trails import Trails
from core.waits import breathe

REPLAY_LIMIT = 10_000
"""Messages of one order; what is left is named."""

_SKIPPED_SHOWN = 100


class Replays:
    """The dead-letter list of the relay, as far as it is brought back."""

    def __init__(self, *, clock: Clock, ledger: Ledger, mailing: Mailing, orders: Orders, trails: Trails) -> None:
        self._clock = clock
        self._ledger = ledger
        self._mailing = mailing
        self._orders = orders
        self._trails = trails

    @property
    def commands(self) -> CommandHandlers:
        """Who carries out which command."""
        return {ReplayRelay: self.replay}

    async def replay(self, command: ReplayRelay, actor: Actor) -> ReplayReceipt:
        """Send them again, each in a commit of its own: what was done stays done when a later one fails."""
        tasks = await self._wanted(command)
        if len(command.ids) == 1:
            self._check_single(tasks[0])
        views: list[RelayTaskView] = []
        skipped: list[str] = []
        for task in tasks[:REPLAY_LIMIT]:
            why = _hindrance(task)
            try:
                if not why:
                    after = task if command.is_dry_run else await self._again(task, actor)
                    views.append(self._ledger.view(after))
                    await breathe()
            except (ConflictError, NotFound, Overloaded, Refused) as error:
                if len(command.ids) == 1:
                    raise
                why = error.message
            if why:
                skipped.append(f"{task.id}: {why}")
        left = len(tasks) - REPLAY_LIMIT
        if left > 0:
            skipped = [f"there are more than {REPLAY_LIMIT}: give the order again for the others", *skipped]
        return ReplayReceipt(tasks=tuple(views), skipped=tuple(skipped[:_SKIPPED_SHOWN]), is_dry_run=command.is_dry_run)

    async def _wanted(self, command: ReplayRelay) -> Sequence[RelayTask]:
        if command.ids:
            return await self._named(command.ids)
        only = RelayTaskFilter(
            states=(RelayState.DEAD,), direction=RelayDirection.OUT, bot=command.bot, since=command.since
        )
        found = await self._ledger.matching(only, limit=REPLAY_LIMIT + 1)
        # The oldest first: in the order in which they were meant to arrive.
        return found[::-1]

    async def _named(self, ids: Sequence[RelayTaskId]) -> Sequence[RelayTask]:
        if len(ids) > REPLAY_LIMIT:
            raise InvalidInput(
                f"{len(ids)} ids at once", field="ids", value=len(ids), fix=f"name {REPLAY_LIMIT} at most"
            )
        tasks: list[RelayTask] = []
        for task_id in dict.fromkeys(ids):
            task = await self._ledger.find(task_id)
            if task is None:
                raise NotFound(f"no message {task_id}", noun="relay task", id=task_id, fix="see `relay tasks`")
            tasks.append(task)
        return tasks

    def _check_single(self, task: RelayTask) -> None:
        why = _hindrance(task)
        if why:
            raise ConflictError(f"message {task.id} {why}", key=task.id, found=task.state.value, fix="see `relay show`")

    async def _again(self, task: RelayTask, actor: Actor) -> RelayTask:
        self._orders.check_room([task.origin], len(task.text))
        why = self._trails.refusal(task.trail, task.name) if task.reason is RelayReason.LOOP else ""
        if why:
            raise Refused(why, rule="relay_loop", field="ids", value=task.id, fix="end the loop")
        await self._mailing.open(task.origin)

        def decide(current: RelayTask) -> Change:
            why = _hindrance(current)
            if why:
                raise ConflictError(f"message {current.id} {why}", key=current.id, found=current.state.value)
            after = replayed(current, mark(self._clock))
            places.append(self._mailing.place_of(current.id))
            transaction = self._mailing.transaction()
            try:
                self._mailing.post(transaction, after)
            except BaseException:
                transaction.cancel()
                raise
            return Change(after, _queued, transaction)

        places: list[tuple[str, MailId] | None] = []
        try:
            return await self._ledger.change(task.id, decide, actor=actor)
        except BaseException:
            for place in places:
                self._mailing.put_back(task.id, place)
            raise


def _queued(view: RelayTaskView) -> RelayQueued:
    return RelayQueued(task=view)


def _hindrance(task: RelayTask) -> str:
    """Why it cannot be sent again; "" when it can."""
    if task.direction is not RelayDirection.OUT:
        return "came in, and is never sent"
    return "" if task.state is RelayState.DEAD else f"is {task.state.value}, not dead"
