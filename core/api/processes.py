"""The process of a core, what a stop waits for, and the homes of one user: states, views, queries."""

from enum import StrEnum

from core.api.base import Mark, Query, RunId, SessionId, View


class ProcessStanding(StrEnum):
    """How the core of a home stands, by what can be proved about its process.

    failed: the last start ended before it was ready. crashed: the process is gone and did not say that it stopped.
    hung: the process is there and has shown no life for three intervals.
    """

    NEVER = "never"
    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"
    CRASHED = "crashed"
    HUNG = "hung"


class HolderView(View, frozen=True, kw_only=True):
    """A run that a stop waits for. phase: running, waiting or interrupting. age_s: of the phase."""

    session_id: SessionId
    run_id: RunId
    phase: str
    age_s: float


class DrainView(View, frozen=True, kw_only=True):
    """What holds up a stop. Without one going on: what would hold it up now; began and deadline are None then.

    holders: the longest first, 100 at most; holder_count: all of them. queued_count: messages that stay for the next
    start. now: the core's clocks at the answer. cut_off_count: runs that had not ended at the deadline.
    """

    is_draining: bool
    reason: str
    now: Mark
    began: Mark | None
    deadline: Mark | None
    holders: tuple[HolderView, ...]
    holder_count: int
    queued_count: int
    cut_off_count: int = 0


class GetDrain(Query[DrainView], frozen=True, kw_only=True):
    """What a stop waits for, or would."""


class FailedStart(View, frozen=True, kw_only=True):
    """A start that ended before the core was ready. at: UTC seconds. part: what was being started, "" when unknown.

    message: names key, file and line where the configuration is at fault. code: of the error, "crashed" when the
    process went without a word.
    """

    at: float
    part: str
    code: str
    message: str
    fix: str = ""


class ProcessView(View, frozen=True, kw_only=True):
    """The core of a home, as anybody can see it without asking the core.

    pid: of the process that was last known, 0 for none. started_at, heartbeat_at: UTC seconds, 0 for never; ages are
    counted on the machine's monotonic clock while that has not been restarted, so a jump of the wall clock changes
    none. interval_s: between two heartbeats. step: what is being started, "" otherwise. reason: of the stop, failure
    or crash. drain: as the core last wrote it. failed_starts: since the last start that became ready, oldest first.
    safe_mode: why nothing that talks to the outside was started; "" when all was. log: of the last start as a daemon.
    """

    home: str
    state: ProcessStanding
    pid: int = 0
    version: str = ""
    started_at: float = 0.0
    age_s: float = 0.0
    heartbeat_at: float = 0.0
    heartbeat_age_s: float = 0.0
    interval_s: float = 0.0
    step: str = ""
    reason: str = ""
    safe_mode: str = ""
    drain: DrainView | None = None
    failed_starts: tuple[FailedStart, ...] = ()
    log: str = ""


class ProfileHome(View, frozen=True, kw_only=True):
    """A home of this user. name: of the profile, "" for the default one."""

    name: str
    process: ProcessView


class ProfileHomes(View, frozen=True, kw_only=True):
    """The default home and every profile below it, by name."""

    profiles: tuple[ProfileHome, ...]


class Taken(StrEnum):
    """What an import does with one thing. take: as it is. change: in another form. have: it is here already."""

    TAKE = "take"
    CHANGE = "change"
    HAVE = "have"
    SKIP = "skip"


class ImportItem(View, frozen=True, kw_only=True):
    """One thing of the home that is read. source: file and key or line, without the home's path. target: where it goes
    here, "" when it is not taken. why: of a change or a skip.
    """

    kind: str
    source: str
    target: str
    verdict: Taken
    why: str = ""


class ImportedPairing(View, frozen=True, kw_only=True):
    """A sender that was let in there. approved_at: UTC seconds, 0 when unknown."""

    platform: str
    sender_id: str
    sender_name: str
    approved_at: float


class ImportView(View, frozen=True, kw_only=True):
    """What an import takes, or took. problems: what could not be read. is_written: False for a look beforehand.

    written: files that were changed, with how. pairings: senders that only a core can let in.
    """

    source: str
    home: str
    items: tuple[ImportItem, ...]
    problems: tuple[str, ...]
    is_written: bool
    written: tuple[str, ...] = ()
    pairings: tuple[ImportedPairing, ...] = ()
