"""Tasks and runs as they are asked for: filtered, page by page, one by one."""

import base64
import binascii
from collections import Counter

from core.agents.tasks.check import check_limit
from core.agents.tasks.register import Card, Register
from core.agents.tasks.rows import RUNS, StoredRun, attempts_of, bare, lines_of, run_of
from core.api import tasks as words
from core.api.base import RunId, TaskId
from core.api.errors import InvalidInput, NotFound
from core.api.tasks import (
    GetRun,
    GetTask,
    ListRuns,
    ListTasks,
    RunDetail,
    RunFilter,
    RunPage,
    TaskDetail,
    TaskFilter,
    TaskPage,
    TaskView,
)
from core.clock import Clock
from core.handlers import QueryHandlers
from core.journal import Journal
from core.store.base import Store
from core.waits import breathe

_BREATHE_EVERY = 2_000
_PAGE = 200
_CHILDREN = 200
_RUNS = 50
_TASK_CURSOR, _RUN_CURSOR = "t", "r"


class TaskLists:
    """Every question about tasks and runs."""

    def __init__(self, *, register: Register, store: Store, journal: Journal, clock: Clock) -> None:
        self._register = register
        self._store = store
        self._journal = journal
        self._clock = clock

    @property
    def queries(self) -> QueryHandlers:
        """Who answers which question."""
        return {
            words.ListTasks: self.list_tasks,
            words.GetTask: self.get_task,
            words.ListRuns: self.list_runs,
            words.GetRun: self.get_run,
        }

    async def list_tasks(self, query: ListTasks) -> TaskPage:
        """Tasks, the latest first. Raises InvalidInput."""
        check_limit(query.limit)
        before = _place(query.cursor, _TASK_CURSOR)
        seq = await self._journal.head()
        counts: Counter[str] = Counter()
        found: list[TaskView] = []
        has_more = False
        for count, task_id in enumerate(sorted(self._register.entries, reverse=True)):
            if count % _BREATHE_EVERY == _BREATHE_EVERY - 1:
                await breathe()
            entry = self._register.entries.get(task_id)
            if entry is None or not _fits(entry.facts, query.only):
                continue
            wants = not before or task_id < before
            view: TaskView | None = None
            if query.only.text or (wants and len(found) < query.limit):
                view = await self._read(task_id)
                if view is None or (query.only.text and not _says(view, query.only.text)):
                    continue
            counts[entry.facts.state.value] += 1
            if wants and view is not None and len(found) < query.limit:
                found.append(bare(view))
            elif wants:
                has_more = True
        cursor = _cursor(_TASK_CURSOR, found[-1].id) if has_more else ""
        return TaskPage(tasks=tuple(found), cursor=cursor, has_more=has_more, seq=seq, counts=dict(counts))

    async def get_task(self, query: GetTask) -> TaskDetail:
        """One task whole. Raises NotFound."""
        seq = await self._journal.head()
        stored = await self._register.read(query.task_id)
        entry = self._register.get(query.task_id)
        view = entry.stored.view if entry.stored is not None else stored.view
        runs = [
            run
            for run_id in list(reversed(stored.run_ids))[:_RUNS]
            if (run := await self._find_run(run_id)) is not None
        ]
        made = [task_id for task_id, other in self._register.entries.items() if other.facts.parent_id == view.id]
        children = [found for task_id in made[-_CHILDREN:] if (found := await self._read(task_id)) is not None]
        return TaskDetail(
            task=view,
            runs=tuple(run.view for run in runs),
            attempts=tuple(attempt for run in reversed(runs) for attempt in attempts_of(run)),
            children=tuple(bare(child) for child in children),
            seq=seq,
        )

    async def list_runs(self, query: ListRuns) -> RunPage:
        """Runs, the latest first. Raises InvalidInput, StoreError."""
        check_limit(query.limit)
        before = _place(query.cursor, _RUN_CURSOR)
        seq = await self._journal.head()
        wanted = query.limit + 1
        active = [run for run in self._register.active.values() if not before or run.view.id < before]
        found = {run.view.id: run.view for run in active if _run_fits(run, query.only)}
        after = RUNS + before if before else ""
        ended = 0
        while ended < wanted:
            rows = await self._store.scan(RUNS, after=after, limit=_PAGE, newest_first=True)
            for row in rows:
                run = run_of(row, self._clock)
                if _run_fits(run, query.only):
                    found[run.view.id] = run.view
                    ended += 1
            if len(rows) < _PAGE:
                break
            after = rows[-1].key
            await breathe()
        latest = [found[run_id] for run_id in sorted(found, reverse=True)]
        runs, has_more = latest[: query.limit], len(latest) > query.limit
        cursor = _cursor(_RUN_CURSOR, runs[-1].id) if has_more else ""
        return RunPage(runs=tuple(runs), cursor=cursor, has_more=has_more, seq=seq)

    async def get_run(self, query: GetRun) -> RunDetail:
        """One run. Raises NotFound, StoreError."""
        seq = await self._journal.head()
        run = await self._register.read_run(query.run_id)
        return RunDetail(run=run.view, attempts=attempts_of(run), snapshots=lines_of(run), seq=seq)

    async def _find_run(self, run_id: RunId) -> StoredRun | None:
        try:
            return await self._register.read_run(run_id)
        except NotFound:
            return None

    async def _read(self, task_id: TaskId) -> TaskView | None:
        try:
            return (await self._register.read(task_id)).view
        except NotFound:
            return None


def _fits(facts: TaskView | Card, only: TaskFilter) -> bool:
    return (
        (not only.states or facts.state in only.states)
        and (only.agent is None or facts.agent == only.agent)
        and (only.session_id is None or facts.session_id == only.session_id)
        and (not only.label or facts.label == only.label)
        and (not only.spawned_by or facts.spawned_by == only.spawned_by)
        and (only.parent_id is None or facts.parent_id == only.parent_id)
        and (only.kind is None or facts.kind is only.kind)
        and (only.archived is None or (facts.archived is not None) is only.archived)
    )


def _says(view: TaskView, text: str) -> bool:
    """Whether a task speaks of something, in whatever case."""
    wanted = text.casefold()
    return any(wanted in said.casefold() for said in (view.text, view.answer, view.label, view.error, view.id))


def _run_fits(run: StoredRun, only: RunFilter) -> bool:
    return (
        (not only.states or run.view.state in only.states)
        and (only.agent is None or run.view.agent == only.agent)
        and (only.session_id is None or run.view.session_id == only.session_id)
        and (only.task_id is None or only.task_id in run.task_ids)
    )


def _cursor(kind: str, place: str) -> str:
    return base64.urlsafe_b64encode(f"{kind}:{place}".encode()).decode().rstrip("=")


def _place(cursor: str, kind: str) -> str:
    """The id after which a page goes on. Raises InvalidInput."""
    if not cursor:
        return ""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        text = ""
    if not text.startswith(kind + ":"):
        raise InvalidInput("this is no cursor of such a list", field="cursor", value=cursor, fix="pass on the last one")
    return text[2:]
