"""Tasks over restarts and over time: what was left is taken up again, and what is old is let go."""

import contextlib
import heapq
from collections.abc import Callable, Sequence

from core.agents.ports import Conversations, QueuedTask, TaskPost
from core.agents.tasks.booked import RunOver
from core.agents.tasks.dispatch import Dispatch
from core.agents.tasks.ledger import Ledger
from core.agents.tasks.register import Card, Entry, Register
from core.agents.tasks.rows import PROFILES, RUNS, TASKS, StoredRun, find_letter, key_name, run_of, stored_of
from core.agents.tasks.task import TaskStep
from core.agents.tasks.terms import TaskTerms
from core.api.base import SYSTEM, Mark, TaskId
from core.api.errors import HermesError, NotFound
from core.api.policies import ExecutionPolicy
from core.api.runs import RunOutcome, Stop
from core.api.tasks import DropReason, TaskState, TaskView
from core.clock import Clock, mark, rebased
from core.journal import Journal
from core.pages import Pages
from core.store.base import Put, Store
from core.waits import breathe

KEPT = 10_000
"""Tasks that are over, and as many runs."""

KEPT_S = 30 * 86_400.0
_EVERY_S = 10.0
_STEP = 500
_BREATHE_EVERY = 2_000
_MISSING = "its message is in no session any more"


class TaskKeeping:
    """Recovery and upkeep. on_fault(what, error): told of a letter that nobody can read."""

    def __init__(
        self,
        *,
        register: Register,
        ledger: Ledger,
        dispatch: Dispatch,
        terms: TaskTerms,
        conversations: Conversations,
        post: TaskPost,
        store: Store,
        journal: Journal,
        clock: Clock,
        on_fault: Callable[[str, Exception], None],
        kept: int = KEPT,
    ) -> None:
        self._register = register
        self._ledger = ledger
        self._dispatch = dispatch
        self._terms = terms
        self._conversations = conversations
        self._post = post
        self._store = store
        self._journal = journal
        self._clock = clock
        self._on_fault = on_fault
        self._kept = kept
        self._missed: set[TaskId] = set()
        # Wall time before which no run that a look has seen is too old.
        self._runs_old_at = 0.0

    # -- at the start

    async def recover(self) -> int:
        """Take up what an earlier start left, once sessions have settled what was theirs. Returns runs given up.

        Raises StoreError.
        """
        for queued in self._post.waiting():
            await self._take_up(queued)
        orphans = [run for run_id in sorted(self._register.orphans) if (run := self._register.active.get(run_id))]
        for run in orphans:
            await self._give_up(run)
        for entry in list(self._register.entries.values()):
            view = entry.view
            if view is not None and view.state is TaskState.QUEUED and entry.mail_id is None:
                await self._go_on(entry, view)
            elif view is None and self._is_waited_for(entry.facts):
                self._terms.remember((await self._register.read(entry.facts.id)).view)
        return len(orphans)

    async def _take_up(self, queued: QueuedTask) -> None:
        letter = find_letter(queued.body)
        if letter is None:
            self._on_fault(f"task m-{queued.mail_id}", ValueError("a waiting task cannot be read, and is let go"))
        if letter is None or letter.id in self._register.entries:
            # Its session had it before the core stopped.
            with contextlib.suppress(NotFound):
                await self._post.settle(queued.mail_id, Pages(), actor=SYSTEM)
            return
        copy = self._terms.find_kept(letter.profile)
        own = copy.policy if copy is not None else ExecutionPolicy()
        stored = stored_of(letter, own, rebased(Mark(letter.accepted_at, 0.0), self._clock))
        self._register.add(Entry(stored, mail_id=queued.mail_id))
        self._register.remember(letter)
        self._dispatch.add(stored.view)

    async def _give_up(self, run: StoredRun) -> None:
        """A run of an earlier start that its session knows nothing of."""
        ids = set(run.view.message_ids)
        waiting = [item for item in self._conversations.waiting(run.view.session_id) if item.id in ids]
        began = run.view.started or run.view.accepted
        now = mark(self._clock)
        outcome = RunOutcome(
            run_id=run.view.id,
            stop=Stop.DIED,
            ended=now,
            duration_s=max(0.0, now.mono - began.mono),
            answered=False,
            error="the core stopped while it went on",
            code="orphaned",
        )
        over = RunOver(
            run_id=run.view.id,
            session_id=run.view.session_id,
            outcome=outcome,
            messages=waiting,
            is_requeued=bool(waiting),
        )
        pages = self._ledger.closed(over)
        await self._journal.commit(pages.puts, pages.events)
        pages.done()

    def _is_waited_for(self, facts: TaskView | Card) -> bool:
        """Whether a message waits that is to be answered under the terms of a task that is over."""
        waiting = self._conversations.waiting(facts.session_id)
        return any(facts.id in {item.task_id, item.terms_of} for item in waiting)

    async def _go_on(self, entry: Entry, view: TaskView) -> None:
        """A task that waits although it is in no mailbox: for its next try, or in its session."""
        if not entry.is_handed:
            self._dispatch.add(view, due=self._clock.monotonic() if view.retry is None else view.retry.mono)
            return
        if any(item.task_id == view.id for item in self._conversations.waiting(view.session_id)):
            return
        async with entry.lock:
            reason = DropReason.RUN_INPUT_MISSING_MESSAGE
            await self._dispatch.drop(entry, reason, _MISSING)

    # -- as time goes on

    async def run(self) -> None:
        """Let old tasks and runs go, until cancelled."""
        while True:
            await self._clock.sleep(_EVERY_S)
            with contextlib.suppress(HermesError):
                await self.reconcile()
                await self.drop_missing()
                await self.prune()

    async def reconcile(self) -> int:
        """End tasks whose run is over without them, because the store failed just then. Returns how many."""
        left = await self._fitting(self._is_stuck)
        for entry in left:
            async with entry.lock:
                view = entry.view
                if view is not None and self._is_stuck(entry):
                    error = "its run ended while the store failed"
                    await self._dispatch.end(entry, view, TaskStep.FAIL, error=error, actor=SYSTEM)
        return len(left)

    async def drop_missing(self) -> int:
        """Drop tasks that wait in their session for the second time although it has no message of them.

        Returns how many. Nothing is known that leaves one like that; it would wait for ever.
        """
        at_work = {task_id for run in self._register.active.values() for task_id in run.task_ids}
        missing = await self._fitting(lambda entry: self._is_missing(entry) and entry.facts.id not in at_work)
        before, self._missed = self._missed, {entry.facts.id for entry in missing}
        again = self._missed & before
        for task_id in again:
            entry = self._register.get(task_id)
            async with entry.lock:
                if self._is_missing(entry):
                    await self._dispatch.drop(entry, DropReason.RUN_INPUT_MISSING_MESSAGE, _MISSING)
        return len(again)

    def _is_missing(self, entry: Entry) -> bool:
        """Whether a task waits in a session that has no message of it."""
        if not entry.is_handed or entry.stored is None or entry.writing is not None or entry.starting is not None:
            return False
        view = entry.stored.view
        if view.state is not TaskState.QUEUED:
            return False
        return all(item.task_id != view.id for item in self._conversations.waiting(view.session_id))

    def _is_stuck(self, entry: Entry) -> bool:
        if entry.stored is None or entry.writing is not None:
            return False
        view = entry.stored.view
        if view.state is TaskState.QUEUED or view.message_id is None:
            return False
        return view.target_run_id not in self._register.active

    async def _fitting(self, fits: Callable[[Entry], bool]) -> list[Entry]:
        """The entries that are so. There may be very many, so others have their turn meanwhile."""
        found: list[Entry] = []
        for count, entry in enumerate(list(self._register.entries.values()), start=1):
            if count % _BREATHE_EVERY == 0:
                await breathe()
            if fits(entry):
                found.append(entry)
        return found

    async def prune(self) -> tuple[int, int]:
        """Let go of what is too old or too many. Returns how many tasks and runs went. Raises StoreError."""
        gone = await self._prune_tasks()
        return gone, await self._prune_runs()

    async def _prune_tasks(self) -> int:
        over = await self._fitting(lambda entry: entry.stored is None)
        cards = [entry.card for entry in over if entry.card is not None and entry.card.state.is_over]
        oldest_at = self._clock.now() - KEPT_S
        spare = max(0, len(cards) - self._kept)
        old = {card.id for card in cards if card.at < oldest_at}
        old.update(card.id for card in heapq.nsmallest(spare, cards, key=_at))
        gone = sorted(old)
        for first in range(0, len(gone), _STEP):
            await self._forget(gone[first : first + _STEP])
        if gone:
            await self._prune_profiles()
        return len(gone)

    async def _forget(self, ids: Sequence[TaskId]) -> None:
        puts: list[Put] = []
        # One that an order works on at this moment stays until the next time.
        going = [task_id for task_id in ids if _is_left(self._register.find(task_id))]
        for task_id in going:
            puts.append(Put(TASKS + task_id, None))
            puts += [Put(key_name(place), None) for place in self._register.accepted.places_of(task_id)]
        if puts:
            await self._journal.commit(puts, [])
        for task_id in going:
            self._register.forget(task_id)
            self._terms.forget_task(task_id)

    async def _prune_profiles(self) -> None:
        used = {entry.facts.profile_fingerprint for entry in self._register.entries.values()}
        # What is accepted at this moment is under one of these.
        used |= self._terms.present()
        unused = [mark_ for mark_ in self._register.profiles if mark_ not in used]
        for mark_ in unused:
            # Forgotten first: whoever accepts a task meanwhile stores it anew, after this.
            self._terms.forget(mark_)
        if unused:
            await self._journal.commit([Put(PROFILES + mark_, None) for mark_ in unused], [])

    async def _prune_runs(self) -> int:
        gone = 0
        while True:
            spare = max(0, self._register.ended_run_count - self._kept)
            now = self._clock.now()
            # Nothing can be further off than that, unless the clock was set back since.
            if not spare and now < self._runs_old_at <= now + KEPT_S:
                return gone
            rows = await self._store.scan(RUNS, limit=_STEP)
            ended = {row.key: _ended_at(run_of(row, self._clock)) for row in rows[spare:]}
            old = [row.key for row in rows[:spare]]
            old += [key for key, ended_at in ended.items() if ended_at < now - KEPT_S]
            if not old:
                self._runs_old_at = min((now, *ended.values())) + KEPT_S
                return gone
            # Others come into the step for those that go.
            self._runs_old_at = 0.0
            await self._journal.commit([Put(key, None) for key in old], [])
            self._register.ended_run_count -= len(old)
            gone += len(old)


def _at(card: Card) -> float:
    return card.at


def _ended_at(run: StoredRun) -> float:
    return (run.view.ended or run.view.accepted).at


def _is_left(entry: Entry | None) -> bool:
    return entry is not None and entry.stored is None and entry.writing is None and not entry.lock.locked()
