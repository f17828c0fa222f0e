"""All tasks that are kept: what is being done whole in memory, what is over by the facts that lists look at."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable

import msgspec

from core.agents.tasks.accepted import Accepted, Known
from core.agents.tasks.line import Lane
from core.agents.tasks.rows import (
    INPUT_KEYS,
    PROFILES,
    RUNNING,
    RUNS,
    TASKS,
    Letter,
    StoredRun,
    StoredTask,
    key_of,
    run_of,
    task_of,
    with_run,
)
from core.api.base import AgentName, MailId, Mark, RunId, SessionId, TaskId
from core.api.errors import NotFound
from core.api.tasks import TaskKind, TaskState, TaskView
from core.clock import Clock
from core.store.base import Store

_PAGE = 500


class Card(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What lists ask of a task that is over; named as in its view. at: UTC seconds of its last change."""

    id: TaskId
    agent: AgentName
    kind: TaskKind
    state: TaskState
    session_id: SessionId
    label: str
    spawned_by: str
    parent_id: TaskId | None
    archived: Mark | None
    profile_fingerprint: str
    at: float


class Entry(msgspec.Struct, eq=False, gc=False):
    """A task. stored: whole, None when it is over and only its row has it. mail_id: while it waits in its mailbox.

    writing: what a commit under way makes of it; writer: the run whose end that is, None for an order. starting: the
    view with a run that begins in a commit under way. is_handed: its session has a message of it that is not answered.
    lock: held while an order changes it.
    """

    stored: StoredTask | None
    card: Card | None = None
    mail_id: MailId | None = None
    writing: StoredTask | None = None
    writer: RunId | None = None
    starting: TaskView | None = None
    is_handed: bool = False
    own_lock: asyncio.Lock | None = None

    @property
    def lock(self) -> asyncio.Lock:
        """One order at a time."""
        if self.own_lock is None:
            self.own_lock = asyncio.Lock()
        return self.own_lock

    @property
    def facts(self) -> TaskView | Card:
        """What lists look at."""
        if self.stored is not None:
            return self.stored.view
        assert self.card is not None
        return self.card

    @property
    def view(self) -> TaskView | None:
        """The task as it is now or will be with the commit under way; None when only its row has it."""
        found = self.writing or self.stored
        return None if found is None else found.view


class Register:
    """Tasks by id, runs that go on, keys, copies of profiles. Reads rows; writes none."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.entries: dict[TaskId, Entry] = {}
        self.active: dict[RunId, StoredRun] = {}
        self.orphans: set[RunId] = set()
        self.accepted = Accepted()
        self.profiles: dict[str, bytes] = {}
        self.ended_run_count = 0
        self.busy: Counter[Lane] = Counter()

    async def open(self) -> None:
        """Read what is stored, before anything of it goes on. Raises StoreError."""
        for row in await self._store.scan(PROFILES):
            self.profiles[row.key.removeprefix(PROFILES)] = row.body
        after = ""
        while page := await self._store.scan(TASKS, after=after, limit=_PAGE):
            after = page[-1].key
            for row in page:
                self._take_in(task_of(row, self._clock))
        for row in await self._store.scan(INPUT_KEYS):
            key = key_of(row)
            if key.task_id in self.entries:
                known = Known(key.content, key.task_id, key.outcome, key.run_id)
                self.accepted.remember(key.agent, key.key, known)
        for row in await self._store.scan(RUNNING):
            self._take_up(run_of(row, self._clock))
        self.ended_run_count = await self._store.count(RUNS)

    def add(self, entry: Entry) -> None:
        """Take in a new task."""
        self.entries[entry.facts.id] = entry

    def find(self, task_id: TaskId | None) -> Entry | None:
        """The task, whole or not."""
        return None if task_id is None else self.entries.get(task_id)

    def get(self, task_id: TaskId) -> Entry:
        """The task. Raises NotFound."""
        entry = self.entries.get(task_id)
        if entry is None:
            raise NotFound(f"no task {task_id}", noun="task", id=task_id, fix="see `tasks list`")
        return entry

    def is_over(self, task_id: TaskId) -> bool:
        """Whether nothing more is done for a task by itself; also for one that is kept no longer."""
        entry = self.entries.get(task_id)
        if entry is None:
            return True
        state = entry.facts.state
        return state.is_over and state is not TaskState.IDLE

    async def read(self, task_id: TaskId) -> StoredTask:
        """A task whole. Raises NotFound, StoreError."""
        entry = self.get(task_id)
        if entry.stored is not None:
            return entry.stored
        row = await self._store.get(TASKS + task_id)
        if row is None:
            raise NotFound(f"no task {task_id}", noun="task", id=task_id, fix="see `tasks list`")
        return task_of(row, self._clock)

    async def read_run(self, run_id: RunId) -> StoredRun:
        """A run, whether it goes on or is over. Raises NotFound, StoreError."""
        run = self.active.get(run_id)
        if run is not None:
            return run
        row = await self._store.get(RUNS + run_id)
        if row is None:
            raise NotFound(f"no run {run_id}", noun="run", id=run_id, fix="see `tasks runs`")
        return run_of(row, self._clock)

    def set(self, entry: Entry, stored: StoredTask) -> None:
        """A task is stored as it is now."""
        if stored.view.state.is_over:
            self.hand(entry, is_handed=False)
            entry.card = card_of(stored.view)
            entry.stored = None
        else:
            entry.stored, entry.card = stored, None

    def hand(self, entry: Entry, *, is_handed: bool) -> None:
        """Whether its session has it."""
        if entry.is_handed is not is_handed:
            entry.is_handed = is_handed
            self.busy[lane_of(entry.facts)] += 1 if is_handed else -1

    def forget(self, task_id: TaskId) -> None:
        """A task is gone."""
        entry = self.entries.pop(task_id, None)
        if entry is not None and entry.is_handed:
            self.hand(entry, is_handed=False)
        self.accepted.forget_task(task_id)

    def remember(self, letter: Letter) -> None:
        """The key of a task that waits."""
        if letter.idempotency_key:
            self.accepted.remember(letter.agent, letter.idempotency_key, Known(letter.content, letter.id))

    def _take_in(self, stored: StoredTask) -> None:
        view = stored.view
        entry = Entry(None, card_of(view)) if view.state.is_over else Entry(stored)
        self.entries[view.id] = entry
        if view.state is TaskState.QUEUED and view.message_id is not None:
            self.hand(entry, is_handed=True)
        if view.idempotency_key:
            run_id = view.target_run_id if view.kind is TaskKind.RUN_INPUT else None
            self.accepted.remember(view.agent, view.idempotency_key, Known(stored.content, view.id, run_id=run_id))

    def _take_up(self, run: StoredRun) -> None:
        """What an earlier start left: its tasks run until somebody says what became of it."""
        self.active[run.view.id] = run
        self.orphans.add(run.view.id)
        for task_id in run.task_ids:
            entry = self.entries.get(task_id)
            if entry is None or entry.stored is None or entry.stored.view.state is not TaskState.QUEUED:
                continue
            started = msgspec.structs.replace(
                entry.stored.view,
                state=TaskState.RUNNING,
                target_run_id=run.view.id,
                attempt_count=entry.stored.view.attempt_count + 1,
                dispatched=run.view.started,
                version=entry.stored.view.version + 1,
            )
            entry.stored = with_run(entry.stored, started, run.view.id)
            self.hand(entry, is_handed=True)


def taken_back(entries: Iterable[Entry]) -> Callable[[], None]:
    """Forgets, when it is called, what a commit that is under way now would have made of them: it was refused."""
    before = [(entry, entry.writing, entry.starting) for entry in entries]

    def undo() -> None:
        for entry, writing, starting in before:
            if entry.writing is writing:
                entry.writing = entry.writer = None
            if entry.starting is starting:
                entry.starting = None

    return undo


def lane_of(facts: TaskView | Card) -> Lane:
    """Where a task counts. One that is over counts nowhere, so its lane is of no interest."""
    return (facts.agent, facts.lane) if isinstance(facts, TaskView) else (facts.agent, "")


def card_of(view: TaskView) -> Card:
    """The facts of a task that is over."""
    last = view.changed or view.ended or view.accepted
    return Card(
        id=view.id,
        agent=view.agent,
        kind=view.kind,
        state=view.state,
        session_id=view.session_id,
        label=view.label,
        spawned_by=view.spawned_by,
        parent_id=view.parent_id,
        archived=view.archived,
        profile_fingerprint=view.profile_fingerprint,
        at=last.at,
    )
