"""A job of the clock: which of its times become runs, which are let go, and what became of the last one (pure).

A row says which times were decided (`decided_at`) and which runs are to come (`queue`). A time that is decided is never
looked at again, so none becomes two runs, whichever way the clock jumps.
"""

from collections.abc import Callable
from enum import StrEnum

import msgspec

from core.api.base import Mark, SessionId, TaskId
from core.api.errors import Overloaded
from core.api.jobs import JobPost, JobRunState, JobRunView, JobSpec, JobState, JobView, Misfire, Overlap
from core.api.tasks import ANSWER_LIMIT, TaskState, TaskView
from core.machine import Machine
from core.schedule import Schedule, between, following, words

QUEUE_LIMIT = 10
"""Runs of one job that may wait, and the most that are made up for after a pause of the machine."""

UNSENT_LIMIT = 10
"""Answers of one job that are kept until they can be sent; beyond that the oldest stays here."""

BACKWARDS_S = 3600.0
"""A clock that was set back by more is believed: decided times that lie further ahead are forgotten."""


class RunEvent(StrEnum):
    """What happens to a run."""

    START = "start"
    REFUSE = "refuse"
    ANSWER = "answer"
    FAIL = "fail"


JOB_RUN = Machine(
    "job run",
    JobRunState,
    {
        JobRunState.CLAIMED: {RunEvent.START: JobRunState.RUNNING, RunEvent.REFUSE: JobRunState.FAILED},
        JobRunState.RUNNING: {RunEvent.ANSWER: JobRunState.OK, RunEvent.FAIL: JobRunState.FAILED},
        JobRunState.OK: {},
        JobRunState.FAILED: {},
    },
)


class JobRow(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it is stored. anchor_at: from which periods are counted. is_enabled: as config.yaml has it.

    unsent: runs whose answers are still to go out, the oldest first.
    """

    name: str
    spec: JobSpec
    anchor_at: float
    decided_at: float
    version: int = 1
    is_configured: bool = False
    is_enabled: bool = True
    is_paused: bool = False
    paused_by: str = ""
    paused_reason: str = ""
    queue: tuple[JobRunView, ...] = ()
    running: JobRunView | None = None
    last: JobRunView | None = None
    unsent: tuple[JobRunView, ...] = ()
    run_count: int = 0
    failed_count: int = 0
    missed_count: int = 0
    skipped_count: int = 0
    missed_at: float | None = None

    @property
    def is_held(self) -> bool:
        """Whether its times go by without a run."""
        return self.is_paused or not self.is_enabled


class Lost(msgspec.Struct, frozen=True):
    """Times that become no run. why: in words."""

    count: int
    why: str


def made(name: str, spec: JobSpec, now: float, *, is_configured: bool = False, is_enabled: bool = True) -> JobRow:
    """A job that becomes known now: no earlier time of it counts."""
    return JobRow(
        name=name,
        spec=spec,
        anchor_at=_anchor(spec, now),
        decided_at=_whole(now),
        is_configured=is_configured,
        is_enabled=is_enabled,
    )


def respecified(row: JobRow, spec: JobSpec, now: float, *, is_enabled: bool) -> JobRow:
    """The job with what config.yaml says now. With another schedule its times begin anew; runs stay as they are."""
    before, after = row.spec, spec
    is_other = (before.schedule, before.timezone, before.first_s) != (after.schedule, after.timezone, after.first_s)
    times = made(row.name, spec, now) if is_other or (is_enabled and not row.is_enabled) else row
    return msgspec.structs.replace(
        row,
        spec=spec,
        is_configured=True,
        is_enabled=is_enabled,
        anchor_at=times.anchor_at if is_other else row.anchor_at,
        decided_at=times.decided_at,
    )


def next_at(row: JobRow, schedule: Schedule) -> float | None:
    """The next time to be decided, UTC seconds; None when there is none, or the job is held."""
    return None if row.is_held else following(schedule, row.decided_at, anchor=row.anchor_at)


def is_over(row: JobRow, schedule: Schedule) -> bool:
    """Whether its only time has come and gone."""
    is_busy = row.running is not None or bool(row.queue)
    return not is_busy and following(schedule, row.decided_at, anchor=row.anchor_at) is None


def due(row: JobRow, schedule: Schedule, now: Mark) -> tuple[JobRow, Lost | None]:
    """Decide all times up to now: the row with the runs that they become, and what was lost of them."""
    if row.is_held:
        return row, None
    if row.decided_at > now.at + BACKWARDS_S:
        row = msgspec.structs.replace(row, decided_at=now.at, anchor_at=min(row.anchor_at, _anchor(row.spec, now.at)))
    found = between(schedule, row.decided_at, now.at, anchor=row.anchor_at, keep=QUEUE_LIMIT)
    if not found.count:
        return row, None
    chosen = _chosen(row.spec, found.latest, now.at)
    missed = found.count - len(chosen)
    row = msgspec.structs.replace(
        row,
        decided_at=found.latest[-1],
        missed_count=row.missed_count + missed,
        missed_at=_newest_missed(found.latest, chosen) if missed else row.missed_at,
    )
    row, skipped = _queued(row, chosen, now)
    return row, _lost(missed, skipped, is_more=found.is_more)


def _chosen(spec: JobSpec, latest: tuple[float, ...], now: float) -> tuple[float, ...]:
    """Which times become runs."""
    if spec.misfire is Misfire.RUN_ALL:
        return latest
    is_in_time = now - latest[-1] <= spec.misfire_grace_s
    return latest[-1:] if is_in_time or spec.misfire is Misfire.RUN_ONCE else ()


def _newest_missed(latest: tuple[float, ...], chosen: tuple[float, ...]) -> float:
    left = [at for at in latest if at not in chosen]
    return left[-1] if left else latest[0]


def _queued(row: JobRow, chosen: tuple[float, ...], now: Mark) -> tuple[JobRow, int]:
    is_busy = row.running is not None or bool(row.queue)
    room = QUEUE_LIMIT - len(row.queue)
    taken = () if is_busy and row.spec.overlap is Overlap.SKIP else chosen[:room]
    skipped = len(chosen) - len(taken)
    runs = tuple(
        JobRunView(key=key_of(row.name, at), due_at=at, state=JobRunState.CLAIMED, claimed=now) for at in taken
    )
    return (
        msgspec.structs.replace(row, queue=(*row.queue, *runs), skipped_count=row.skipped_count + skipped),
        skipped,
    )


def _lost(missed: int, skipped: int, *, is_more: bool) -> Lost | None:
    if not missed and not skipped:
        return None
    least = "at least " if is_more else ""
    parts = [f"{least}{missed} went by while nobody could start it"] * bool(missed)
    parts += [f"{skipped} came while the run before was not over"] * bool(skipped)
    return Lost(missed + skipped, ", ".join(parts))


def key_of(name: str, at: float) -> str:
    """What a run at a time is called on every core."""
    return f"{name}@{at:.0f}"


def ordered(row: JobRow, now: Mark, mark: str) -> JobRow:
    """The job with a run that somebody asked for. mark: makes its key unique. Raises Overloaded."""
    if len(row.queue) >= QUEUE_LIMIT:
        raise Overloaded(
            f"{len(row.queue)} runs of {row.name} wait already", bound="queue", limit=QUEUE_LIMIT, retry_after_s=None
        )
    run = JobRunView(key=f"{row.name}@{mark}", due_at=now.at, state=JobRunState.CLAIMED, claimed=now, is_manual=True)
    return msgspec.structs.replace(row, queue=(*row.queue, run))


def started(row: JobRow, task_id: TaskId, now: Mark) -> JobRow:
    """The first of the queue is under way, as a task."""
    run = row.queue[0]
    run = msgspec.structs.replace(
        run,
        state=JOB_RUN.step(run.state, RunEvent.START),
        began=now,
        late_s=max(0.0, now.at - run.due_at),
        task_id=task_id,
    )
    return msgspec.structs.replace(row, queue=row.queue[1:], running=run, run_count=row.run_count + 1)


def refused(row: JobRow, error: str, now: Mark) -> JobRow:
    """The first of the queue could not be started."""
    run = row.queue[0]
    run = msgspec.structs.replace(run, state=JOB_RUN.step(run.state, RunEvent.REFUSE), ended=now, error=error)
    return msgspec.structs.replace(
        row, queue=row.queue[1:], last=run, run_count=row.run_count + 1, failed_count=row.failed_count + 1
    )


def ended(row: JobRow, task: TaskView | None, now: Mark, *, error: str = "") -> JobRow:
    """The run is over, as its task is; None: nobody knows the task any more."""
    run = row.running
    assert run is not None, "only what runs can end"
    is_answer = task is not None and task.state in {TaskState.DONE, TaskState.IDLE}
    to_post = is_answer and bool(row.spec.deliver)
    over = msgspec.structs.replace(
        run,
        state=JOB_RUN.step(run.state, RunEvent.ANSWER if is_answer else RunEvent.FAIL),
        ended=now,
        duration_s=max(0.0, now.mono - run.began.mono) if run.began else 0.0,
        outcome=task.state if task else None,
        answer=task.answer[:ANSWER_LIMIT] if task else "",
        error=error or ("" if is_answer or task is None else _why(task)),
        post=JobPost.WAITING if to_post else JobPost.KEPT,
    )
    return msgspec.structs.replace(
        row,
        running=None,
        last=over,
        unsent=(*row.unsent, *[over] * to_post)[-UNSENT_LIMIT:],
        failed_count=row.failed_count + (over.state is JobRunState.FAILED),
    )


def _why(task: TaskView) -> str:
    """Why a task is no answer, in words."""
    reason = task.dropped_reason.value.replace("_", " ") if task.dropped_reason else ""
    return task.error or reason or f"its task was {task.state.value}"


def posted(row: JobRow, post: JobPost, error: str = "") -> JobRow:
    """Where the oldest unsent answer is now."""
    run = row.unsent[0]
    run = msgspec.structs.replace(run, post=post, post_error=error, post_tries=run.post_tries + 1)
    is_last = row.last is not None and row.last.key == run.key
    unsent = (run, *row.unsent[1:]) if post is JobPost.WAITING else row.unsent[1:]
    return msgspec.structs.replace(row, unsent=unsent, last=run if is_last else row.last)


def settled(row: JobRow, post: JobPost, error: str) -> JobRow:
    """What became of the last answer after it was handed over."""
    assert row.last is not None, "only what was handed over can settle"
    return msgspec.structs.replace(row, last=msgspec.structs.replace(row.last, post=post, post_error=error))


def letter(run: JobRunView, session_id: SessionId) -> str:
    """The answer as it is sent: one that is cut says so, and where the rest is."""
    if len(run.answer) < ANSWER_LIMIT:
        return run.answer
    return f"{run.answer}\n\n[cut here; the whole answer is in {session_id}]"


def rebased(row: JobRow, to_now: Callable[[Mark], Mark]) -> JobRow:
    """The row as read by a later start of the core. to_now: a mark on its monotonic clock."""

    def run(view: JobRunView) -> JobRunView:
        changes = {
            field: to_now(found)
            for field in ("claimed", "began", "ended")
            if (found := getattr(view, field)) is not None
        }
        return msgspec.structs.replace(view, **changes)

    return msgspec.structs.replace(
        row,
        queue=tuple(run(view) for view in row.queue),
        unsent=tuple(run(view) for view in row.unsent),
        running=run(row.running) if row.running else None,
        last=run(row.last) if row.last else None,
    )


def paused(row: JobRow, by: str, reason: str) -> JobRow:
    """Its times go by from now on; what waits in its queue is let go, and counted as missed unless it was ordered."""
    missed = [run.due_at for run in row.queue if not run.is_manual]
    return msgspec.structs.replace(
        row,
        is_paused=True,
        paused_by=by,
        paused_reason=reason,
        queue=(),
        missed_count=row.missed_count + len(missed),
        missed_at=missed[-1] if missed else row.missed_at,
    )


def resumed(row: JobRow, now: float) -> JobRow:
    """It goes on with the next time after now."""
    return msgspec.structs.replace(
        row, is_paused=False, paused_by="", paused_reason="", decided_at=max(row.decided_at, _whole(now))
    )


def view_of(
    row: JobRow, schedule: Schedule | None, now: Mark, *, session_id: SessionId, owner: str = "", problem: str = ""
) -> JobView:
    """The job as operators see it. schedule: None when it cannot be used, and problem says why."""
    at = None if schedule is None else next_at(row, schedule)
    return JobView(
        name=row.name,
        version=row.version,
        state=_state(row, schedule),
        spec=row.spec,
        words=words(schedule) if schedule else row.spec.schedule,
        is_configured=row.is_configured,
        session_id=session_id,
        next_at=at,
        next=None if at is None else Mark(at, now.mono + at - now.at),
        running=row.running,
        last=row.last,
        queued=len(row.queue),
        unsent=len(row.unsent),
        run_count=row.run_count,
        failed_count=row.failed_count,
        missed_count=row.missed_count,
        skipped_count=row.skipped_count,
        missed_at=row.missed_at,
        paused_by=row.paused_by or ("" if row.is_enabled else "config.yaml"),
        paused_reason=row.paused_reason or ("" if row.is_enabled else "enabled: false"),
        problem=problem,
        owner=owner,
    )


def _state(row: JobRow, schedule: Schedule | None) -> JobState:
    if row.running is not None:
        return JobState.RUNNING
    if schedule is None:
        return JobState.BROKEN
    if row.is_held:
        return JobState.PAUSED
    return JobState.DONE if is_over(row, schedule) else JobState.WAITING


def _anchor(spec: JobSpec, now: float) -> float:
    """The first time of a period: after first_s, or after one period, which the anchor stands for then itself."""
    return _whole(now) + (spec.first_s or 0.0)


def _whole(now: float) -> float:
    return float(int(now))
