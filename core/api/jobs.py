"""Work that begins by the clock: id, states, views, queries, commands, events."""

from enum import StrEnum

from core.api.base import Command, Event, Mark, Query, Seq, SessionId, TaskId, View, Word
from core.api.tasks import TaskState


class JobState(StrEnum):
    """What a job is doing. done: its only time has come and gone. broken: its schedule or zone cannot be used."""

    WAITING = "waiting"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    BROKEN = "broken"


class JobRunState(StrEnum):
    """How far one run of a job is. claimed: its time has come, and nobody else takes it."""

    CLAIMED = "claimed"
    RUNNING = "running"
    OK = "ok"
    FAILED = "failed"


class Misfire(StrEnum):
    """What becomes of times that went by while nobody could start the job."""

    SKIP = "skip"
    RUN_ONCE = "run_once"
    RUN_ALL = "run_all"


class Overlap(StrEnum):
    """What becomes of a time that comes while the run before is not over."""

    SKIP = "skip"
    QUEUE = "queue"


class JobPost(StrEnum):
    """Where the answer of a run is. kept: only here, because it is to go nowhere; waiting: the way is not there yet.

    sent: in the outbox, or taken. failed: it could not be handed over, or a part of it is dead in the outbox.
    """

    KEPT = "kept"
    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"


class JobSpec(Word, frozen=True, kw_only=True):
    """What a job does and when.

    schedule: five fields of cron, `every 30m`, or one instant such as 2026-12-24T18:00. timezone: of the fields and of
    an instant without offset. first_s: of `every`, from when the job became known to its first time; 0 is the period.
    deliver: where the answer goes, such as home or telegram:8841; "" keeps it here. parts: further tasks, made below
    it. misfire_grace_s: how late a start still counts as in time.
    """

    schedule: str
    text: str
    timezone: str = "UTC"
    first_s: float = 0.0
    agent: str = ""
    deliver: str = ""
    misfire: Misfire = Misfire.RUN_ONCE
    misfire_grace_s: float = 60.0
    overlap: Overlap = Overlap.SKIP
    lane: str = "cron"
    label: str = ""
    parts: tuple[str, ...] = ()


class JobRunView(View, frozen=True, kw_only=True):
    """One run of a job. due_at: the time that it stands for, UTC seconds. late_s: how long after that it began.

    key: the same for the same time, on every core. answer: 10,000 characters at most. post_error: of the last try.
    """

    key: str
    due_at: float
    state: JobRunState
    is_manual: bool = False
    claimed: Mark | None = None
    began: Mark | None = None
    ended: Mark | None = None
    late_s: float = 0.0
    duration_s: float = 0.0
    task_id: TaskId | None = None
    outcome: TaskState | None = None
    answer: str = ""
    error: str = ""
    post: JobPost = JobPost.KEPT
    post_error: str = ""
    post_tries: int = 0


class JobView(View, frozen=True, kw_only=True):
    """A job, its next time and its last run.

    words: the schedule for people. next_at: UTC seconds, None when there is none; `next` is the same instant, to count
    down to. queued: runs that wait for the one before; unsent: answers that wait for their way. missed_count: times
    that nobody started; skipped_count: that came while the run before was not over. is_configured: written in
    config.yaml, so it can be paused and not removed. session_id: of its conversation; each run begins a new epoch
    there. owner: the core that keeps the time now, "" for this one.
    """

    name: str
    version: int
    state: JobState
    spec: JobSpec
    words: str
    is_configured: bool
    session_id: SessionId
    next_at: float | None = None
    next: Mark | None = None
    running: JobRunView | None = None
    last: JobRunView | None = None
    queued: int = 0
    unsent: int = 0
    run_count: int = 0
    failed_count: int = 0
    missed_count: int = 0
    skipped_count: int = 0
    missed_at: float | None = None
    paused_by: str = ""
    paused_reason: str = ""
    problem: str = ""
    owner: str = ""


class JobList(View, frozen=True, kw_only=True):
    """All jobs by name."""

    jobs: tuple[JobView, ...]
    seq: Seq = Seq(0)


class ScheduleView(View, frozen=True, kw_only=True):
    """What a schedule means. times_at: the next ones, UTC seconds."""

    schedule: str
    timezone: str
    words: str
    times_at: tuple[float, ...]


class ListJobs(Query[JobList], frozen=True, kw_only=True):
    """All jobs."""


class PreviewSchedule(Query[ScheduleView], frozen=True, kw_only=True):
    """When a schedule would come round. count: 1 to 50. Raises InvalidInput for one that cannot be."""

    schedule: str
    timezone: str = "UTC"
    count: int = 5


class AddJob(Command[JobView], frozen=True, kw_only=True):
    """Make a job that is kept until somebody removes it. Raises InvalidInput, ConflictError for a name in use."""

    name: str
    spec: JobSpec


class RemoveJob(Command[JobView], frozen=True, kw_only=True):
    """Let a job go; a run that goes on ends as usual. Refused for one of config.yaml. The view is its last."""

    name: str


class PauseJob(Command[JobView], frozen=True, kw_only=True):
    """Let its times go by until it is resumed."""

    name: str
    reason: str = ""


class ResumeJob(Command[JobView], frozen=True, kw_only=True):
    """Go on from now; what went by meanwhile is not made up for."""

    name: str


class RunJob(Command[JobView], frozen=True, kw_only=True):
    """Run it now, also a paused one; after the present run, when one goes on."""

    name: str


class JobChanged(Event, frozen=True, kw_only=True):
    """A job was made, changed, paused or resumed."""

    job: JobView


class JobRemoved(Event, frozen=True, kw_only=True):
    """A job is gone."""

    name: str


class JobStarted(Event, frozen=True, kw_only=True):
    """A run of a job began: its task is stored."""

    job: JobView


class JobEnded(Event, frozen=True, kw_only=True):
    """A run of a job is over: the view says how, and where its answer is."""

    job: JobView


class JobMissed(Event, frozen=True, kw_only=True):
    """Times of a job went by without a run. count: how many; why: in words."""

    job: JobView
    count: int
    why: str
