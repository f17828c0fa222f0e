"""Jobs of the clock: decides their times, starts each as a task, keeps what came of it, sends it where it is to go.

A time is decided and stored before its task is started, and the task has a key made of job and time: after a crash in
between it is started again under the same key, which is the same task. Several cores on one store take turns by a
lease, and each change of a row is refused where another core was first.
"""

import asyncio
from collections.abc import Callable, Iterable

from core.api.base import AgentName, DeliveryId, Event, Mark, Record, TaskId
from core.api.deliveries import DeliveryDied, DeliverySent
from core.api.errors import ConflictError, HermesError, InvalidInput, NotFound
from core.api.jobs import (
    JobChanged,
    JobEnded,
    JobMissed,
    JobPost,
    JobRemoved,
    JobRunView,
    JobSpec,
    JobStarted,
    JobView,
)
from core.api.tasks import StartTask, TaskEnded
from core.clock import Clock, mark
from core.gateway import job as rules
from core.gateway.job_check import check_deliver
from core.gateway.job_lease import JobLease
from core.gateway.job_orders import JobOrders
from core.gateway.job_ports import MAKER, Office, Post
from core.gateway.job_rows import JobRows, session_of
from core.ids import IdSource
from core.journal import Journal
from core.schedule import parsed
from core.store.base import Store
from core.waits import CutShort, Waits

LOOK_EVERY_S = 30.0
"""Longest time between two looks at the wall clock, so that a jump of it is noticed."""

_ENDING_LOOKS = 5
_ENDING_S = 0.05
_START_TRIES_S = 600.0
_POST_TRIES = 20
_POST_EVERY_S = 30.0
_LONG_S = 3600.0
_HANDED_OVER = frozenset({JobPost.SENT, JobPost.FAILED})


class Jobs:
    """The jobs of a core. is_alone: no other core can have this store open. on_fault: told of a fault of ours."""

    def __init__(
        self,
        *,
        store: Store,
        journal: Journal,
        clock: Clock,
        ids: IdSource,
        office: Office,
        agents: Callable[[], Iterable[str]],
        is_alone: bool,
        on_fault: Callable[[str, Exception], None],
        post: Post | None = None,
    ) -> None:
        self._clock = clock
        self._office = office
        self._on_fault = on_fault
        self._journal = journal
        self.post = post
        self._rows = JobRows(store, journal, clock)
        self._lease = JobLease(store, journal, clock, owner=ids.new_id(), is_alone=is_alone)
        self._is_shared = not is_alone
        self._waits = Waits()
        self._is_cut = False
        self._watched: set[str] = set()
        # Keys of runs whose session was begun anew; when an answer is tried again, by the name of its job.
        self._begun_anew: set[str] = set()
        self._post_at: dict[str, float] = {}
        # Jobs by the tag of their last answer's deliveries; which of these are dead, and why; what is yet to be said.
        self._tags: dict[str, str] = {}
        self._dead: dict[str, dict[DeliveryId, str]] = {}
        self._fates: set[str] = set()
        self.orders = JobOrders(
            rows=self._rows, journal=journal, clock=clock, ids=ids, agents=agents, check=self._check, wake=self._cut
        )
        # Ends that the journal told of: how often to look soon whether the tasks themselves say so.
        self._ending = 0

    # -- life

    async def open(self, configured: dict[str, tuple[JobSpec, bool]]) -> None:
        """Read what is stored and lay the configuration over it. configured: by name, with whether it is enabled."""
        await asyncio.to_thread(_warm, [spec for spec, _ in configured.values()])
        await self._rows.load()
        now = self._clock.now()
        async with self._rows.lock:
            for name, (spec, is_enabled) in configured.items():
                held = self._rows.find(name)
                if held is None:
                    row = rules.made(name, spec, now, is_configured=True, is_enabled=is_enabled)
                else:
                    row = rules.respecified(held.row, spec, now, is_enabled=is_enabled)
                if held is None or row != held.row:
                    await self._rows.keep(name, row, lambda view: [JobChanged(job=view)])
            for held in self._rows.all():
                if held.row.is_configured and held.row.name not in configured:
                    await self._rows.remove(held.row.name, [JobRemoved(name=held.row.name)])
            self._watch_all()
        for name, (spec, _) in configured.items():
            self._check_target(name, spec.deliver)
        self._journal.on_record(self._note, TaskEnded, DeliveryDied, DeliverySent)
        if self._tags:
            for delivery_id, error in (await self._office.dead()).items():
                self._died(delivery_id, error)

    def _check_target(self, name: str, target: str) -> None:
        """One that can never be is told at once, and not when the first answer cannot be sent."""
        try:
            check_deliver(target, self._check)
        except InvalidInput as error:
            self._on_fault(f"cron.{name}.deliver", error)

    async def show(self) -> None:
        """Read what is stored and act on nothing."""
        await self._rows.load()

    async def run(self) -> None:
        """Start what is due, until cancelled."""
        try:
            while True:
                self._is_cut = False
                async with self._rows.lock:
                    if await self._holds():
                        await self._look()
                if self._is_cut:
                    continue
                try:
                    await self._waits.wait(self._clock.sleep(self._rest_s()))
                except CutShort:
                    continue
        finally:
            await self._lease.release()

    def _rest_s(self) -> float:
        """Until the next time, or the next look at the clocks."""
        if not self._lease.is_held:
            return self._lease.retry_s
        if self._ending:
            self._ending -= 1
            return _ENDING_S
        now = self._clock.now()
        times = [at for held in self._rows.all() if held.schedule and (at := rules.next_at(held.row, held.schedule))]
        return min(LOOK_EVERY_S, max(0.0, min(times, default=now + LOOK_EVERY_S) - now))

    def _check(self, target: str) -> None:
        if self.post is not None:
            self.post.check(target)

    def _cut(self) -> None:
        self._is_cut = True
        self._waits.cut()

    async def _holds(self) -> bool:
        was_held = self._lease.is_held
        is_held = await self._lease.hold()
        self._rows.owner = "" if is_held else self._lease.other
        if not is_held:
            if not was_held:
                # Somebody else keeps the time: show what they do.
                await self._refresh()
            return False
        if not was_held or self._is_shared:
            # Another core may have been given an order.
            await self._refresh()
        return True

    async def _refresh(self) -> None:
        await self._rows.load()
        self._watch_all()

    def _watch_all(self) -> None:
        self._watched = {str(run.task_id) for held in self._rows.all() if (run := held.row.running) and run.task_id}
        self._tag_all()

    def _tag_all(self) -> None:
        if self.post is not None:
            last = [(held.row.name, held.row.last) for held in self._rows.all()]
            self._tags = {self.post.tag(_key(run)): name for name, run in last if run and run.post in _HANDED_OVER}
            self._dead = {tag: dead for tag, dead in self._dead.items() if tag in self._tags}

    def _note(self, record: Record) -> None:
        """A task ended: maybe one of ours, or a part of one. Or an answer will never arrive, or did after all."""
        event = record.event
        if isinstance(event, DeliveryDied):
            self._died(event.delivery.id, event.delivery.error)
        elif isinstance(event, DeliverySent):
            tag = event.delivery.id.partition("-")[0]
            if self._dead.get(tag, {}).pop(event.delivery.id, None) is not None:
                self._fates.add(self._tags[tag])
                self._cut()
        elif isinstance(event, TaskEnded) and (event.task.id in self._watched or event.task.parent_id in self._watched):
            self._ending = _ENDING_LOOKS
            self._cut()

    def _died(self, delivery_id: DeliveryId, error: str) -> None:
        tag = delivery_id.partition("-")[0]
        if tag in self._tags:
            self._dead.setdefault(tag, {})[delivery_id] = error
            self._fates.add(self._tags[tag])
            self._cut()

    async def _look(self) -> None:
        for held in self._rows.all():
            try:
                await self._look_at(held.row.name)
            except ConflictError:
                continue
            except HermesError as error:
                self._on_fault(f"cron {held.row.name}", error)

    async def _look_at(self, name: str) -> None:
        held = self._rows.get(name)
        if held.schedule is not None:
            now = mark(self._clock)
            if now.at - held.row.decided_at > _LONG_S:
                # After a pause of the machine there may be hundreds of times to find.
                row, lost = await asyncio.to_thread(rules.due, held.row, held.schedule, now)
            else:
                row, lost = rules.due(held.row, held.schedule, now)
            if row != held.row:
                events = self._told_of(lost)
                before = {run.key for run in held.row.queue}
                await self._rows.keep(name, row, events)
                self._rows.claimed |= {run.key for run in row.queue} - before
        await self._settle(name)
        await self._send(name)
        await self._follow(name)
        await self._begin(name)

    @staticmethod
    def _told_of(lost: rules.Lost | None) -> Callable[[JobView], list[Event]]:
        if lost is None:
            return lambda view: [JobChanged(job=view)]
        return lambda view: [JobMissed(job=view, count=lost.count, why=lost.why)]

    # -- one run

    async def _begin(self, name: str) -> None:
        row = self._rows.get(name).row
        if row.running is not None or not row.queue:
            return
        run = row.queue[0]
        try:
            if run.key not in self._begun_anew:
                if await self._office.anew(session_of(name)):
                    self._begun_anew.add(run.key)
                elif run.key in self._rows.claimed:
                    return
                # Else what goes on there may be this very run, begun before the core was stopped.
            receipt = await self._office.start(_order(row, run))
            for number, text in enumerate(row.spec.parts, start=1):
                await self._office.start(_order(row, run, text=text, part=number, parent_id=receipt.task.id))
        except HermesError as error:
            # Another task has this key: it will not go away.
            is_lasting = isinstance(error, ConflictError) or not error.retryable
            if not is_lasting and run.claimed and self._clock.monotonic() - run.claimed.mono < _START_TRIES_S:
                self._on_fault(f"cron {name}", error)
                return
            row = rules.refused(row, error.message, self._now())
            await self._rows.keep(name, row, lambda view: [JobEnded(job=view)])
        else:
            row = rules.started(row, receipt.task.id, self._now())
            self._watched.add(str(receipt.task.id))
            await self._rows.keep(name, row, lambda view: [JobStarted(job=view)])
            # It may have ended before its row said that it runs.
            await self._settle(name)
        self._rows.claimed.discard(run.key)
        self._begun_anew.discard(run.key)
        if self._rows.get(name).row.queue:
            self._cut()

    async def _settle(self, name: str) -> None:
        row = self._rows.get(name).row
        run = row.running
        if run is None or run.task_id is None:
            return
        try:
            found = await self._office.find(run.task_id)
        except NotFound:
            after = rules.ended(row, None, self._now(), error="its task is not known any more")
        else:
            if not all(task.state.is_over for task in (found.task, *found.children)):
                return
            after = rules.ended(row, found.task, self._now())
        self._watched.discard(str(run.task_id))
        await self._rows.keep(name, after, lambda view: [JobEnded(job=view)])

    async def _send(self, name: str) -> None:
        """Hand the answer of the last run to the outbox; what does not work yet is tried at the next look."""
        row = self._rows.get(name).row
        now = self._clock.monotonic()
        # A look may come at any time, and tries are few.
        if self.post is None or not row.unsent or now < self._post_at.get(name, now):
            return
        run = row.unsent[0]
        # Before, since it may die before its row says that it was handed over.
        self._tags[self.post.tag(_key(run))] = name
        try:
            await self.post.send(row.spec.deliver, rules.letter(run, session_of(name)), key=_key(run))
        except HermesError as error:
            self._post_at[name] = now + _POST_EVERY_S
            is_over = not error.retryable or run.post_tries + 1 >= _POST_TRIES
            row = rules.posted(row, JobPost.FAILED if is_over else JobPost.WAITING, error.message)
        else:
            self._post_at.pop(name, None)
            row = rules.posted(row, JobPost.SENT)
        await self._rows.keep(name, row, lambda view: [JobChanged(job=view)])
        self._tag_all()
        if row.unsent and row.unsent[0].key != run.key:
            self._cut()

    async def _follow(self, name: str) -> None:
        """Say of the last answer what became of it in the outbox."""
        row = self._rows.get(name).row
        if name not in self._fates or self.post is None or row.last is None:
            return
        self._fates.discard(name)
        dead = self._dead.get(self.post.tag(_key(row.last)))
        if dead is None:
            return
        error = next(iter(dead.values()), "")
        row = rules.settled(row, JobPost.FAILED if error else JobPost.SENT, error)
        await self._rows.keep(name, row, lambda view: [JobChanged(job=view)])

    def _now(self) -> Mark:
        return mark(self._clock)


def _key(run: JobRunView) -> str:
    return f"{MAKER}-{run.key}"


def _order(
    row: rules.JobRow, run: JobRunView, *, text: str = "", part: int = 0, parent_id: TaskId | None = None
) -> StartTask:
    spec = row.spec
    return StartTask(
        text=text or spec.text,
        agent=AgentName(spec.agent) if spec.agent else None,
        session_id="" if part else session_of(row.name),
        idempotency_key=f"{_key(run)}-{part}" if part else _key(run),
        lane=spec.lane,
        label=spec.label or row.name,
        spawned_by=MAKER,
        parent_id=parent_id,
    )


def _warm(specs: Iterable[JobSpec]) -> None:
    """Understand schedules once, off the loop: zones are read from the disk."""
    for spec in specs:
        try:
            parsed(spec.schedule, spec.timezone)
        except InvalidInput:
            continue
