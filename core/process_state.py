"""What can be said of a core from what it last wrote and whether its process is there (pure)."""

from enum import StrEnum

import msgspec

from core.api.processes import DrainView, FailedStart, ProcessStanding

STALE_INTERVALS = 3
"""Heartbeats that may be missed before a process counts as hung."""


class Identity(msgspec.Struct, frozen=True):
    """One process, never another. start: its start in the system's own words, "" when unknown. boot: of its machine."""

    pid: int
    boot: str
    start: str = ""


class Phase(StrEnum):
    """What a core says of itself."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What a core writes every interval_s. `_at`: UTC seconds; `_mono`: seconds on the clock of this boot."""

    process: Identity
    phase: Phase
    version: str
    interval_s: float
    started_at: float
    started_mono: float
    heartbeat_at: float
    heartbeat_mono: float
    step: str = ""
    reason: str = ""
    safe_mode: str = ""
    drain: DrainView | None = None


class Verdict(msgspec.Struct, frozen=True):
    """How a core stands. Ages in seconds; 0 when there is nothing to count from."""

    state: ProcessStanding
    reason: str
    age_s: float
    heartbeat_age_s: float


_SAID = {
    Phase.STARTING: ProcessStanding.STARTING,
    Phase.RUNNING: ProcessStanding.RUNNING,
    Phase.DRAINING: ProcessStanding.DRAINING,
}


def judge(status: Status | None, *, is_alive: bool, boot: str, now: float, mono: float) -> Verdict:
    """How a core stands. is_alive: whether that very process is there. boot, now, mono: of the machine, now."""
    if status is None:
        return Verdict(ProcessStanding.NEVER, "", 0.0, 0.0)
    is_same_boot = status.process.boot == boot
    # Nobody knows how the wall clock was set in between; within one boot it does not matter.
    age_s = max(0.0, mono - status.started_mono if is_same_boot else now - status.started_at)
    beat_s = max(0.0, mono - status.heartbeat_mono if is_same_boot else now - status.heartbeat_at)
    match status.phase:
        case Phase.STOPPED:
            return Verdict(ProcessStanding.STOPPED, status.reason, age_s, beat_s)
        case Phase.FAILED:
            return Verdict(ProcessStanding.FAILED, status.reason, age_s, beat_s)
        case _ if not is_alive:
            reason = f"process {status.process.pid} is gone; it was {_SAID[status.phase].value}"
            if not is_same_boot:
                reason = f"the machine was restarted; the core was {_SAID[status.phase].value}"
            return Verdict(ProcessStanding.CRASHED, reason, age_s, beat_s)
        case _ if beat_s > STALE_INTERVALS * status.interval_s:
            reason = f"no sign of life for {beat_s:.0f} s; it was {_SAID[status.phase].value}"
            return Verdict(ProcessStanding.HUNG, reason, age_s, beat_s)
        case _:
            return Verdict(_SAID[status.phase], status.reason, age_s, beat_s)


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """A start. digest: of everything that the configuration is read from. failure: None while nobody knows better."""

    process: Identity
    at: float
    mono: float
    digest: str
    part: str = ""
    failure: FailedStart | None = None


CRASH_LOOP_STARTS = 3
CRASH_LOOP_WINDOW_S = 600.0
"""So many starts in a row that failed within this time, on the same configuration, are a loop."""


def failed(attempt: Attempt) -> FailedStart:
    """How an attempt failed. One that left no word died."""
    if attempt.failure is not None:
        return attempt.failure
    what = f"while starting {attempt.part}" if attempt.part else "at once"
    return FailedStart(at=attempt.at, part=attempt.part, code="crashed", message=f"the process died {what}")


def looping(attempts: tuple[Attempt, ...], *, digest: str, boot: str, now: float, mono: float) -> FailedStart | None:
    """The last failure of a crash loop; None while it is none.

    attempts: failed ones since the last start that became ready, oldest first. Whoever changes the configuration
    has tried to mend it, and begins to count anew.
    """

    def age_s(attempt: Attempt) -> float:
        return mono - attempt.mono if attempt.process.boot == boot else now - attempt.at

    recent = [item for item in attempts if item.digest == digest and 0 <= age_s(item) <= CRASH_LOOP_WINDOW_S]
    return failed(recent[-1]) if len(recent) >= CRASH_LOOP_STARTS else None
