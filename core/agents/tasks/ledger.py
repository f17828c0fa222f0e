"""The book of runs: what each commit of a session writes about the run that begins or ends in it, and about its tasks.

A run's row says whether it goes on, so the tasks of a run that goes on run too; their own rows are written when they
are handed to a session and when a run of theirs is over.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from core.agents.tasks.booked import Hooks, RunBegan, RunOver, is_put_back, usage_of_both, with_terms
from core.agents.tasks.register import Entry, Register, taken_back
from core.agents.tasks.rows import StoredRun, StoredTask, bare, lines_of, run_put, task_put, with_run
from core.agents.tasks.task import (
    ATTEMPT,
    RUN,
    TASK,
    AttemptStep,
    End,
    Marker,
    RunStep,
    TaskStep,
    attempt_step,
    is_asking,
    judge,
    run_step,
)
from core.api.base import AgentName, Event, Mark, MessageId, RunId, TaskId
from core.api.runs import Phase
from core.api.sessions import MessageState, MessageView
from core.api.tasks import (
    ANSWER_LIMIT,
    AttemptState,
    AttemptView,
    RunState,
    Snapshot,
    TaskEnded,
    TaskQueued,
    TaskRunView,
    TaskStarted,
    TaskState,
    TaskView,
    TaskWaiting,
)
from core.clock import Clock, mark
from core.journal import Journal
from core.pages import Pages
from core.store.base import Put

_ERROR_LIMIT = 2_000


class Ledger:
    """Runs and what becomes of their tasks. Nothing here waits."""

    def __init__(self, *, register: Register, journal: Journal, clock: Clock, boot: int, hooks: Hooks) -> None:
        self._register = register
        self._journal = journal
        self._clock = clock
        self._boot = boot
        self._hooks = hooks

    # -- what sessions ask while they make a commit

    def begun(self, start: RunBegan) -> Pages:
        """What to write when a run begins."""
        entries = self._entries(start.messages)
        rejected = [entry for entry in entries if _state(entry) is TaskState.CANCELLED]
        is_refused = bool(entries) and rejected == entries and all(message.task_id for message in start.messages)
        starting: list[tuple[Entry, TaskView]] = []
        for entry in entries:
            view = entry.view
            if view is not None and not TASK.is_final(view.state):
                entry.starting = self._started(view, start)
                starting.append((entry, entry.starting))
        run = self._new_run(
            start, [entry.facts.id for entry in entries], [view for _, view in starting], is_refused=is_refused
        )
        events: list[tuple[str, Event]] = [(view.session_id, TaskStarted(task=bare(view))) for _, view in starting]
        done = partial(self._has_begun, run, starting, is_refused)
        return Pages(run_put(run, is_over=False), events, done, taken_back(entry for entry, _ in starting))

    def closed(self, over: RunOver) -> Pages:
        """What to write when it is over."""
        run = self._ended(over)
        puts: list[Put] = []
        events: list[tuple[str, Event]] = []
        done: list[Callable[[], None]] = []
        lines = list(run.snapshots)
        for entry in self._entries(over.messages, run.task_ids):
            settled = self._settled(entry, run, over)
            if settled is None:
                if not TASK.is_final(_state(entry)):
                    lines.append(self._line(len(lines) + 1, run.view.state, Marker.ATTEMPT_SUPERSEDED))
                continue
            stored, retry_due = settled
            if retry_due:
                lines.append(self._line(len(lines) + 1, run.view.state, Marker.RETRY_SCHEDULED))
            entry.writing, entry.writer = stored, run.view.id
            puts.append(task_put(stored))
            events.append((stored.view.session_id, _told(stored.view)))
            done.append(partial(self._has_settled, entry, stored, retry_due))
        run = msgspec.structs.replace(run, snapshots=tuple(lines))
        undone = taken_back(entry for entry in self._entries((), run.task_ids) if entry.writer == run.view.id)
        return Pages([*run_put(run, is_over=True), *puts], events, partial(self._has_closed, run, done), undone)

    def let_go(self, messages: Sequence[MessageView], reason: str) -> Pages:
        """What to write when waiting messages are dropped."""
        puts: list[Put] = []
        events: list[tuple[str, Event]] = []
        done: list[Callable[[], None]] = []
        ending: list[Entry] = []
        gone = {message.id for message in messages}
        for entry in self._entries(messages):
            view = entry.view
            if view is None or view.state is not TaskState.QUEUED or view.message_id is None:
                continue
            if self._has_more(view, gone):
                continue
            ended = self._changed(
                view,
                state=TASK.step(view.state, TaskStep.CANCEL),
                ended=mark(self._clock),
                error=(reason or "its message was let go")[:_ERROR_LIMIT],
            )
            stored = self._with(entry, ended)
            entry.writing, entry.writer = stored, None
            puts.append(task_put(stored))
            events.append((view.session_id, TaskEnded(task=bare(ended))))
            done.append(partial(self._has_settled, entry, stored, 0.0))
            ending.append(entry)
        return Pages(puts, events, partial(_all, done), taken_back(ending))

    # -- what the runtime tells while a run goes on

    def note_phase(self, run_id: RunId, phase: Phase) -> None:
        """A run is busy with something else now. Never waits."""
        run = self._register.active.get(run_id)
        if run is None or run.phase is phase:
            return
        if not run.view.runner:
            run = msgspec.structs.replace(run, view=with_terms(run.view, self._hooks.terms(run.view.agent, None)))
        was_asking, asks = is_asking(run.phase), is_asking(phase)
        attempts = run.attempts
        if was_asking is not asks and attempts:
            step = AttemptStep.BLOCK if asks else AttemptStep.RELEASE
            last = attempts[-1]
            attempts = (*attempts[:-1], msgspec.structs.replace(last, state=ATTEMPT.step(last.state, step)))
        self._register.active[run_id] = msgspec.structs.replace(run, phase=phase, attempts=attempts)
        if was_asking is asks:
            return
        for task_id in run.task_ids:
            self._hold(self._register.find(task_id), run_id, asks=asks)

    def _hold(self, entry: Entry | None, run_id: RunId, *, asks: bool) -> None:
        """A task waits for a decision, or goes on. Not stored: a run does not survive the core."""
        if entry is None or entry.stored is None or entry.stored.view.target_run_id != run_id:
            return
        view = entry.stored.view
        step = TaskStep.HOLD if asks else TaskStep.GO_ON
        following = TASK.table[view.state].get(step)
        if following is None or following is view.state:
            return
        changed = self._changed(view, state=following)
        entry.stored = msgspec.structs.replace(entry.stored, view=changed)
        self._journal.publish(view.session_id, TaskWaiting(task=bare(changed)))

    # -- begin

    def _started(self, view: TaskView, start: RunBegan) -> TaskView:
        """The task with its run. Whatever it was before: the session has taken it up."""
        message = next(item for item in start.messages if item.task_id == view.id)
        now = start.began
        return self._changed(
            view,
            state=TaskState.RUNNING,
            message_id=message.id,
            target_run_id=start.run_id,
            attempt_count=view.attempt_count + 1,
            dispatched=now,
            retry=None,
            ended=None,
            dropped_reason=None,
            error="",
        )

    def _new_run(
        self, start: RunBegan, task_ids: list[TaskId], views: list[TaskView], *, is_refused: bool
    ) -> StoredRun:
        number = max((view.attempt_count for view in views), default=start.attempt)
        task_id = task_ids[0] if task_ids else None
        terms = self._hooks.terms(start.agent, task_id or start.messages[0].terms_of)
        marker = Marker.START_REJECTED_TERMINAL_RUN if is_refused else Marker.STARTED
        # Accepted and started in one breath: the core has no queue between the two.
        state = RUN.step(RunState.ACCEPTED, RunStep.START)
        view = TaskRunView(
            id=start.run_id,
            version=1,
            session_id=start.session_id,
            agent=start.agent,
            state=state,
            accepted=start.began,
            task_id=task_id,
            boot=start.boot,
            token=start.token,
            attempt_count=1,
            message_ids=tuple(message.id for message in start.messages),
            model=next((message.model for message in start.messages if message.model), "") or terms.model,
            runner=terms.runner,
            policy=terms.policy,
            timeout_ms=terms.timeout_ms,
            started=start.began,
        )
        if not task_ids:
            # Of a chat's run nothing is stored that can be told from its view: there are many.
            return StoredRun(view=view)
        attempt = AttemptView(
            run_id=start.run_id,
            number=number,
            state=ATTEMPT.step(AttemptState.PENDING, AttemptStep.START),
            strategy="primary" if number <= 1 else "retry",
            began=start.began,
            policy=terms.policy,
        )
        line = Snapshot(number=1, at=start.began.at, state=state, marker=marker)
        return StoredRun(view=view, task_ids=tuple(task_ids), attempts=(attempt,), snapshots=(line,))

    def _has_begun(self, run: StoredRun, starting: list[tuple[Entry, TaskView]], is_refused: bool) -> None:
        self._register.active[run.view.id] = run
        is_stopped = is_refused
        for entry, view in starting:
            entry.starting = None
            base = entry.stored or entry.writing
            if base is None or base.view.state in {TaskState.DONE, TaskState.CANCELLED}:
                # An order ended it while the run began.
                is_stopped = True
                continue
            entry.stored, entry.card = with_run(base, view, run.view.id), None
            self._register.hand(entry, is_handed=True)
        if is_stopped:
            self._hooks.reject(run.view.session_id, run.view.id)

    # -- end

    def _ended(self, over: RunOver) -> StoredRun:
        outcome, now = over.outcome, over.outcome.ended
        run = self._register.active.get(over.run_id) or self._unknown(over)
        # A run whose message waits again is over all the same: the next one has an id of its own.
        step = run_step(outcome.stop)
        state = RUN.step(run.view.state, step)
        is_orphan = run.view.boot != self._boot
        marker = Marker.ORPHAN_RECOVERED if is_orphan else Marker.PUT_BACK if over.is_requeued else Marker.FINISHED
        error = outcome.error[:_ERROR_LIMIT]
        attempts = tuple(
            attempt
            if ATTEMPT.is_final(attempt.state)
            else msgspec.structs.replace(
                attempt, state=ATTEMPT.step(attempt.state, attempt_step(step)), ended=now, error=error
            )
            for attempt in run.attempts
        )
        view = msgspec.structs.replace(
            run.view,
            version=run.view.version + 1,
            state=state,
            ended=now,
            stop=outcome.stop,
            error=error,
            code=outcome.code,
            usage=outcome.usage,
        )
        if marker is Marker.FINISHED and not run.snapshots:
            return msgspec.structs.replace(run, view=view)
        run = msgspec.structs.replace(run, snapshots=lines_of(run))
        line = self._line(len(run.snapshots) + 1, state, marker, error)
        return msgspec.structs.replace(run, view=view, attempts=attempts, snapshots=(*run.snapshots, line))

    def _unknown(self, over: RunOver) -> StoredRun:
        """A run of which only the session knew: one of before there was this book."""
        began = Mark(over.outcome.ended.at - over.outcome.duration_s, over.outcome.ended.mono - over.outcome.duration_s)
        view = TaskRunView(
            id=over.run_id,
            version=1,
            session_id=over.session_id,
            agent=AgentName(""),
            state=RunState.RUNNING,
            accepted=began,
            started=began,
            boot=self._boot,
            attempt_count=1,
            message_ids=tuple(message.id for message in over.messages),
        )
        return StoredRun(view=view, task_ids=tuple(entry.facts.id for entry in self._entries(over.messages)))

    def _settled(self, entry: Entry, run: StoredRun, over: RunOver) -> tuple[StoredTask, float] | None:
        """The task after its run, and when it is to be tried again (0 for never); None when it is no business of it."""
        # What this very run's end was to write before is decided anew; what an order writes goes before.
        base = entry.stored if entry.writer == run.view.id else entry.writing or entry.stored
        view = None if base is None else base.view
        if view is None or view.target_run_id != run.view.id:
            return None
        if view.state not in {TaskState.RUNNING, TaskState.WAITING} or view.message_id is None:
            return None
        outcome = over.outcome
        taken = {message.id for message in over.messages}
        judgement = judge(
            End(
                stop=outcome.stop,
                code=outcome.code,
                attempt=view.attempt_count,
                max_attempts=view.max_attempts,
                is_requeued=over.is_requeued and any(item.task_id == view.id for item in over.messages[:1]),
                has_more=self._has_more(view, taken),
                is_interactive=view.policy.interactive,
            )
        )
        now = outcome.ended
        state = TASK.step(view.state, judgement.step)
        retry = Mark(now.at, now.mono) if judgement.is_retry else None
        if retry is not None:
            delay_s = view.policy.retry.delay_ms / 1000
            retry = Mark(now.at + delay_s, now.mono + delay_s)
        is_answer = outcome.stop.is_answer
        after = self._changed(
            view,
            state=state,
            attempt_count=view.attempt_count - (state is TaskState.QUEUED and is_put_back(outcome)),
            message_id=view.message_id if state is TaskState.QUEUED and retry is None else None,
            ended=now if state.is_over else None,
            retry=retry,
            error="" if is_answer else outcome.error[:_ERROR_LIMIT],
            answer=over.answer[:ANSWER_LIMIT] if is_answer else view.answer,
            usage=usage_of_both(view.usage, outcome.usage),
        )
        return self._with(entry, after), 0.0 if retry is None else retry.mono

    def _has_settled(self, entry: Entry, stored: StoredTask, retry_due: float) -> None:
        if entry.writing is stored:
            entry.writing = entry.writer = None
        self._register.hand(entry, is_handed=stored.view.message_id is not None)
        self._register.set(entry, stored)
        if retry_due:
            self._hooks.retry(stored.view.id, retry_due)
        self._hooks.freed()

    def _has_closed(self, run: StoredRun, done: list[Callable[[], None]]) -> None:
        self._register.active.pop(run.view.id, None)
        self._register.orphans.discard(run.view.id)
        self._register.ended_run_count += 1
        _all(done)

    # -- inside

    def _entries(self, messages: Sequence[MessageView], more: Sequence[TaskId] = ()) -> list[Entry]:
        if not self._register.entries:
            return []
        ids = dict.fromkeys([*more, *(message.task_id for message in messages if message.task_id is not None)])
        return [entry for task_id in ids if (entry := self._register.entries.get(task_id)) is not None]

    def _has_more(self, view: TaskView, taken: set[MessageId]) -> bool:
        """Whether another message of the task waits in its session."""
        return any(
            message.task_id == view.id and message.state is MessageState.QUEUED and message.id not in taken
            for message in self._hooks.waiting(view.session_id)
        )

    def _changed(self, view: TaskView, **changes: Any) -> TaskView:
        return msgspec.structs.replace(view, version=view.version + 1, changed=mark(self._clock), **changes)

    def _with(self, entry: Entry, view: TaskView) -> StoredTask:
        base = entry.stored or entry.writing
        assert base is not None, "only a task that is at hand is changed"
        return msgspec.structs.replace(base, view=view)

    def _line(self, number: int, state: RunState, marker: Marker, error: str = "") -> Snapshot:
        return Snapshot(number=number, at=self._clock.now(), state=state, marker=marker, error=error)


def _state(entry: Entry) -> TaskState:
    view = entry.view
    return entry.facts.state if view is None else view.state


def _told(view: TaskView) -> Event:
    if view.state is TaskState.QUEUED:
        return TaskQueued(task=bare(view))
    return TaskWaiting(task=bare(view)) if view.state is TaskState.WAITING else TaskEnded(task=bare(view))


def _all(calls: Sequence[Callable[[], None]]) -> None:
    for call in calls:
        call()
