"""Hands accepted tasks to their sessions: in order, as lanes and operators let it, each exactly once."""

import contextlib
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from core.agents.ports import Conversations, Handover, TaskPost
from core.agents.tasks.check import handed_text
from core.agents.tasks.line import Lane, TaskLine
from core.agents.tasks.register import Entry, Register, lane_of
from core.agents.tasks.rows import StoredTask, bare, task_put
from core.agents.tasks.task import TASK, TaskStep
from core.agents.tasks.terms import TaskTerms
from core.agents.tools.assets import Attachments
from core.api.base import SYSTEM, Actor, Event, TaskId
from core.api.errors import HermesError, InvalidInput, NotFound, Overloaded, StoreError, Unavailable
from core.api.sessions import Mode, SendReceipt
from core.api.tasks import DropReason, TaskEnded, TaskQueued, TaskState, TaskView
from core.backoff import ceiling_s
from core.clock import Clock, mark
from core.journal import Journal
from core.pages import Pages
from core.store.base import Put
from core.supervisor import Supervisor
from core.waits import CutShort, Waits

_SERVICE = "task dispatch"
_AT_A_TIME = 32
_LOOK_S = 0.5
_BUSY_S = 1.0
_TRIES = 8
_SLOWEST_S = 30.0


class Dispatch:
    """The line of waiting tasks and who works it off. on_fault(what, error): told of a fault of ours."""

    def __init__(
        self,
        *,
        register: Register,
        terms: TaskTerms,
        conversations: Conversations,
        post: TaskPost,
        journal: Journal,
        clock: Clock,
        supervisor: Supervisor,
        attachments: Attachments,
        on_fault: Callable[[str, Exception], None],
    ) -> None:
        self._attachments = attachments
        self._register = register
        self._terms = terms
        self._conversations = conversations
        self._post = post
        self._journal = journal
        self._clock = clock
        self._supervisor = supervisor
        self._on_fault = on_fault
        self._line = TaskLine()
        self._failures: dict[TaskId, int] = {}
        self._for_room: dict[TaskId, float] = {}
        self._out = 0
        self._waits = Waits()
        self._is_awake = True

    @property
    def waiting_count(self) -> int:
        """Tasks that are in no session yet."""
        return len(self._line)

    def start(self) -> None:
        """Begin to hand out."""
        self._supervisor.start(_SERVICE, self._work)

    def add(self, view: TaskView, *, due: float = 0.0) -> None:
        """Put a task in line. due: monotonic seconds of its next try."""
        self._line.add(view.id, view.session_id, (view.agent, view.lane), due=due)
        if not self._is_awake:
            self.wake()

    def retry(self, task_id: TaskId, due: float) -> None:
        """Put a task that failed in line again, for that time."""
        entry = self._register.find(task_id)
        if entry is not None and entry.view is not None:
            self.add(entry.view, due=due)

    def remove(self, task_id: TaskId) -> None:
        """It waits no more."""
        self._line.remove(task_id)
        self._failures.pop(task_id, None)
        self._for_room.pop(task_id, None)

    def wake(self) -> None:
        """Look again whether any can go: a lane has room, an agent or the mailbox is let go."""
        self._is_awake = True
        self._waits.cut()

    # -- the service

    async def _work(self) -> None:
        while True:
            self._is_awake = False
            self._hand_out()
            if self._is_awake:
                continue
            try:
                await self._waits.wait(self._clock.sleep(self._wait_s()))
            except CutShort:
                continue

    def _wait_s(self) -> float:
        """Until there may be something to do although nobody says so."""
        due = self._line.next_due()
        rest_s = 3600.0 if due is None else max(0.0, due - self._clock.monotonic())
        return min(rest_s, _LOOK_S) if self._line.has_ready or self._for_room else rest_s

    def _hand_out(self) -> None:
        self._look_for_room()
        self._line.wake(self._clock.monotonic())
        if self._post.is_paused:
            return
        while self._out < _AT_A_TIME:
            task_id = self._line.next(self._has_room)
            if task_id is None:
                return
            entry = self._register.find(task_id)
            if entry is None:
                self.remove(task_id)
                continue
            self._for_room.pop(task_id, None)
            self._out += 1
            # Room is kept from now on, so that two that go at once do not both take the last of it.
            lane = lane_of(entry.facts)
            self._register.busy[lane] += 1
            self._supervisor.spawn(f"task:{task_id}", self._guarded(entry, lane))

    def _look_for_room(self) -> None:
        """Let the one that has waited longest for the store try again, once somebody else could write since."""
        first = next(iter(self._for_room), None)
        last = self._journal.last_commit
        if first is not None and last is not None and last.mono > self._for_room[first]:
            del self._for_room[first]
            self._line.put_off(first, self._clock.monotonic())

    def _has_room(self, lane: Lane) -> bool:
        agent, name = lane
        staff = self._terms.staff
        if not staff.may_start(agent):
            return False
        settings = staff.settings(agent)
        limit = None if settings is None or not name else settings.lanes.get(name)
        return limit is None or self._register.busy[lane] < limit

    async def _guarded(self, entry: Entry, lane: Lane) -> None:
        task_id = entry.facts.id
        wait_s: float | None = None
        try:
            await self._hand_over(entry)
        except Exception as error:  # noqa: BLE001 - whatever fails for one task, the others go on
            wait_s = await self._failed(entry, error)
        finally:
            self._out -= 1
            self._register.busy[lane] -= 1
            if wait_s is None:
                self.remove(task_id)
                self._line_up_again(entry)
                # It has been written, so the others that wait for the store need not wait any longer.
                for other in self._for_room:
                    self._line.put_off(other, self._clock.monotonic())
                self._for_room.clear()
            else:
                self._line.put_off(task_id, self._clock.monotonic() + wait_s)
            self.wake()

    def _line_up_again(self, entry: Entry) -> None:
        """A task whose run failed before it was out of the line goes back to it."""
        view = entry.view
        if view is not None and view.state is TaskState.QUEUED and not entry.is_handed:
            self.add(view, due=self._clock.monotonic() if view.retry is None else view.retry.mono)

    async def _failed(self, entry: Entry, error: Exception) -> float | None:
        """Seconds until the next try; None when there is none."""
        task_id = entry.facts.id
        if isinstance(error, Overloaded):
            return _BUSY_S
        count = self._failures[task_id] = self._failures.get(task_id, 0) + 1
        wait_s = ceiling_s(count, base_s=1.0, cap_s=_SLOWEST_S)
        if isinstance(error, StoreError):
            self._for_room[task_id] = self._clock.monotonic()
        if isinstance(error, Unavailable | StoreError):
            return wait_s
        if isinstance(error, InvalidInput | NotFound):
            reason = DropReason.RUN_MATERIALIZATION_FAILED
        elif count < _TRIES:
            return wait_s
        else:
            self._on_fault(f"task {task_id}", error)
            reason = DropReason.DISPATCH_RETRY_EXHAUSTED
        text = error.message if isinstance(error, HermesError) else type(error).__name__
        try:
            async with entry.lock:
                await self.drop(entry, reason, text)
        except HermesError:
            return wait_s
        return None

    # -- one task

    async def _hand_over(self, entry: Entry) -> None:
        """Hand a task to its session, unless it has it. Raises what hand_over raises."""
        async with entry.lock:
            base = entry.stored
            if base is not None and base.view.state is TaskState.QUEUED and not entry.is_handed:
                refusal = self._refusal(base.view)
                if refusal is not None:
                    await self.drop(entry, *refusal)
                    return
                view = base.view
                kept = await self._attachments.kept(view.agent, view.attachments)
                text = handed_text(msgspec.structs.replace(view, attachments=kept))
                await self.put(entry, base, text=text, mode=view.queue_mode)
            await self.settle(entry)

    async def put(
        self,
        entry: Entry,
        base: StoredTask,
        *,
        text: str,
        mode: Mode,
        actor: Actor | None = None,
        more: Callable[[SendReceipt], Sequence[Put]] = lambda _: (),
    ) -> SendReceipt:
        """Put a message of a task to its session, and store the task with it. The caller holds the lock.

        actor: None for whoever started the task. more: rows for the same commit. Raises what
        Conversations.hand_over raises; then nothing has changed.
        """
        view = base.view
        handover = Handover(
            session_id=view.session_id,
            agent=view.agent,
            text=text,
            sender=view.provenance.source or base.actor.name,
            mode=mode,
            task_id=view.id,
            actor=actor or base.actor,
            pages=partial(self._pages, entry, base, more),
            model=view.model,
            title=view.label,
            deliver=view.routing if view.deliver else None,
        )
        # A run that begins with it is booked before it has pages of its own.
        entry.writing, entry.writer = base, None
        try:
            return await self._conversations.hand_over(handover)
        finally:
            entry.starting = None
            if entry.writer is None:
                entry.writing = None

    def _pages(
        self, entry: Entry, base: StoredTask, more: Callable[[SendReceipt], Sequence[Put]], receipt: SendReceipt
    ) -> Pages:
        starting = entry.starting
        has_begun = starting is not None and starting.message_id == receipt.message_id
        view = msgspec.structs.replace(
            base.view,
            version=base.view.version + 1,
            state=TaskState.QUEUED,
            message_id=receipt.message_id,
            changed=mark(self._clock),
            retry=None,
        )
        stored = msgspec.structs.replace(base, view=view)
        entry.writing, entry.writer = stored, None
        # A run that begins in the same breath has told of the task already.
        events: list[tuple[str, Event]] = [] if has_begun else [(view.session_id, TaskQueued(task=bare(view)))]
        return Pages([task_put(stored), *more(receipt)], events, partial(self._has_put, entry, stored))

    def _has_put(self, entry: Entry, stored: StoredTask) -> None:
        if entry.writing is stored:
            entry.writing = None
        now = entry.stored
        if now is None or now.view.target_run_id == stored.view.target_run_id:
            self._register.set(entry, stored)
        self._register.hand(entry, is_handed=True)

    async def settle(self, entry: Entry) -> None:
        """Take a task that is stored out of its mailbox. The caller holds the lock."""
        if entry.mail_id is None:
            return
        with contextlib.suppress(NotFound):
            await self._post.settle(entry.mail_id, Pages(), actor=SYSTEM)
        entry.mail_id = None

    def _refusal(self, view: TaskView) -> tuple[DropReason, str] | None:
        staff = self._terms.staff
        if staff.find(view.agent) is None:
            return DropReason.AGENT_GONE, f"there is no agent {view.agent} any more"
        refusal = staff.policy_refusal(view.policy)
        return (DropReason.POLICY_UNAVAILABLE, refusal) if refusal else None

    async def drop(self, entry: Entry, reason: DropReason, text: str) -> None:
        """Give a task up that was not begun. The caller holds the lock. Raises StoreError."""
        view = entry.view
        if view is None or TASK.table[view.state].get(TaskStep.DROP) is None:
            return
        await self.end(entry, view, TaskStep.DROP, error=text, reason=reason, actor=SYSTEM)

    async def end(
        self,
        entry: Entry,
        view: TaskView,
        step: TaskStep,
        *,
        error: str,
        actor: Actor,
        reason: DropReason | None = None,
    ) -> TaskView:
        """End a task by an order, wherever it is. The caller holds the lock. Raises StoreError."""
        now = mark(self._clock)
        base = entry.stored or await self._register.read(view.id)
        ended = msgspec.structs.replace(
            view,
            version=view.version + 1,
            state=TASK.step(view.state, step),
            changed=now,
            ended=now,
            retry=None,
            message_id=None,
            error=error[:2_000],
            dropped_reason=reason,
        )
        await self.write(entry, msgspec.structs.replace(base, view=ended), TaskEnded(task=bare(ended)), actor)
        self.remove(view.id)
        self.wake()
        return ended

    async def write(self, entry: Entry, stored: StoredTask, event: Event, actor: Actor) -> None:
        """Store a task as an order made it, and take it out of its mailbox with that. Raises StoreError."""
        entry.writing, entry.writer = stored, None
        puts: list[Put] = [task_put(stored)]
        events = [(str(stored.view.session_id), event)]
        try:
            if entry.mail_id is None:
                await self._journal.commit(puts, events, actor=actor)
            else:
                await self._post.settle(entry.mail_id, Pages(puts, events), actor=actor)
                entry.mail_id = None
        finally:
            if entry.writing is stored:
                entry.writing = None
        self._register.set(entry, stored)
