"""Messages of peers that agents here work on: given to them once each, looked after, and over when they are done."""

from collections.abc import Awaitable, Callable

import msgspec

from core.api.base import AgentName, Record, TaskId
from core.api.errors import ConflictError, HermesError, NotFound, Unavailable
from core.api.platforms import RELAY_PLATFORM
from core.api.relay_tasks import (
    RelayAnsweredLate,
    RelayDirection,
    RelayEnded,
    RelayReceived,
    RelayState,
    RelayTaskId,
)
from core.api.tasks import TaskEnded
from core.backoff import delay_s
from core.clock import Clock, mark
from core.journal import Journal
from core.relay import incoming
from core.relay.callbacks import Callbacks
from core.relay.ledger import Change, Ledger
from core.relay.ports import Work, Workers, WorkState
from core.relay.task import RelayTask
from core.supervisor import Supervisor

_BASE_S, _CAP_S = 0.5, 30.0
_FINAL = frozenset({RelayState.COMPLETED, RelayState.CANCELED, RelayState.DEAD})
"""What no end of the agent's work changes. One that failed may be tried again by an operator, and have an answer."""


class Working:
    """All of them. on_end: told of each once it is over and stored. on_fault(what, error): of ours."""

    def __init__(
        self,
        *,
        journal: Journal,
        clock: Clock,
        supervisor: Supervisor,
        ledger: Ledger,
        workers: Workers,
        callbacks: Callbacks,
        random: Callable[[], float],
        on_end: Callable[[RelayTask], None],
        on_fault: Callable[[str, Exception], None],
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._supervisor = supervisor
        self._ledger = ledger
        self._workers = workers
        self._callbacks = callbacks
        self._random = random
        self._on_end = on_end
        self._on_fault = on_fault
        journal.on_record(self._seen, TaskEnded)

    def mend(self) -> None:
        """Go on with what an earlier start of the core left."""
        for task in list(self._ledger.live()):
            if task.direction is not RelayDirection.IN or task.state.is_over:
                continue
            if task.task_id is None:
                self.give(task)
            else:
                self._look(task.id, task.task_id)

    def give(self, task: RelayTask) -> None:
        """Have an agent work on a message that is stored; tried again until it can."""
        self._supervisor.spawn(f"relay in:{task.id}", self._guarded(task.id, self._give(task)))

    async def cancel(self, task: RelayTask, reason: str) -> RelayTask:
        """Stop the work on a message; it is over when this returns. Raises HermesError."""
        if task.task_id is not None:
            await self._workers.cancel(task.task_id, reason)
            state = await self._state(task.task_id)
            if state.state.is_over:
                return await self._over(task.id, state)
        over = await self._over(task.id, WorkState(state=RelayState.CANCELED, error=reason))
        if task.task_id is None and over.task_id is not None:
            # It became known which work it is while this waited its turn.
            await self._workers.cancel(over.task_id, reason)
        return over

    # -- beginning

    async def _give(self, task: RelayTask) -> None:
        work = Work(
            peer=task.peer,
            wire_id=task.wire_id,
            agent=AgentName(task.name),
            conversation=task.context,
            text=task.text,
            key=f"relay:{task.id}",
            sender=task.sender,
        )
        failures = 0
        while True:
            try:
                task_id = await self._workers.start(work)
                break
            except HermesError as error:
                if not error.retryable or isinstance(error, ConflictError):
                    await self._end(task.id, WorkState(state=RelayState.FAILED, error=error.message))
                    return
            failures += 1
            await self._pause(failures)
            if self._is_over(task.id):
                # Somebody has called it off meanwhile.
                return
        await self._stored(lambda: self._note(task.id, task_id))
        # It may have ended before the message knew its work.
        await self._looked(task.id, task_id)

    async def _note(self, relay_id: RelayTaskId, task_id: TaskId) -> None:
        def decide(task: RelayTask) -> Change | None:
            is_known = task.state.is_over or task.task_id is not None
            return None if is_known else Change(msgspec.structs.replace(task, task_id=task_id))

        task = await self._ledger.change(relay_id, decide)
        if task.task_id == task_id and not task.state.is_over:
            # Only for those who look on: that it was received is in the journal.
            self._journal.publish(task.id, RelayReceived(task=self._ledger.view(task)))
        if task.state is RelayState.CANCELED:
            # Called off before anybody knew which work it was.
            await self._workers.cancel(task_id, "the peer took its message back")

    # -- ending

    def _seen(self, record: Record) -> None:
        """Work for a peer says whose it is, so that also work that is tried again long after finds its message."""
        event = record.event
        if isinstance(event, TaskEnded) and event.task.provenance.channel == RELAY_PLATFORM:
            of = event.task.provenance
            self._look(incoming.task_id_of(of.source, of.message_id), event.task.id)

    def _look(self, relay_id: RelayTaskId, task_id: TaskId) -> None:
        self._supervisor.spawn(f"relay in:{relay_id}", self._guarded(relay_id, self._looked(relay_id, task_id)))

    async def _looked(self, relay_id: RelayTaskId, task_id: TaskId) -> None:
        task = await self._ledger.find(relay_id)
        if task is None or task.task_id != task_id or task.state in _FINAL:
            # What says that it works for a message need not be its work.
            return
        state = await self._state(task_id)
        if state.state.is_over:
            await self._end(relay_id, state)

    async def _state(self, task_id: TaskId) -> WorkState:
        try:
            return await self._workers.look(task_id)
        except NotFound:
            return WorkState(state=RelayState.FAILED, error="the agent's task is not kept any more")

    def _is_over(self, relay_id: str) -> bool:
        task = self._ledger.find_live(relay_id)
        return task is None or task.state.is_over

    async def _end(self, relay_id: str, state: WorkState) -> None:
        await self._stored(lambda: self._over(relay_id, state))

    async def _over(self, relay_id: str, state: WorkState) -> RelayTask:
        def decide(task: RelayTask) -> Change | None:
            is_untold = self._callbacks.is_wanted(task.peer)
            if task.state.is_over:
                after = incoming.ended_late(task, state, mark(self._clock), is_untold=is_untold)
                return None if after is task else Change(after, lambda view: RelayAnsweredLate(task=view))
            over = incoming.ended(task, state, mark(self._clock), is_untold=is_untold)
            return Change(over, lambda view: RelayEnded(task=view))

        task = await self._ledger.change(relay_id, decide)
        if task.is_untold:
            self._callbacks.begin(task)
        self._on_end(task)
        return task

    async def _stored(self, change: Callable[[], Awaitable[object]]) -> None:
        """Try a change again until the store takes it."""
        failures = 0
        while True:
            try:
                await change()
            except Unavailable:
                failures += 1
                await self._pause(failures)
            else:
                return

    async def _pause(self, failures: int) -> None:
        await self._clock.sleep(delay_s(failures, base_s=_BASE_S, cap_s=_CAP_S, random=self._random))

    async def _guarded(self, relay_id: str, job: Awaitable[None]) -> None:
        """A fault of ours is told of, and leaves the message as it is: the next start looks at it again."""
        try:
            await job
        except Exception as error:  # noqa: BLE001 - whatever fails for one message, the others go on
            self._on_fault(f"relay {relay_id}", error)
