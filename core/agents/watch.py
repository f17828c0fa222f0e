"""Deadlines of a run: which one is over now, and what that makes of the run (pure)."""

from enum import StrEnum

import msgspec

from core.api.runs import Stop, TurnEnded

GRACE_S = 5.0
TOOL_FACTOR = 5.0


class Stage(StrEnum):
    """How far a run is. `waiting` is before it has a slot; `compacting` has a deadline of its own."""

    WAITING = "waiting"
    OPENING = "opening"
    COMPACTING = "compacting"
    TURNING = "turning"
    CLOSING = "closing"


_UNWATCHED = frozenset({Stage.WAITING, Stage.COMPACTING, Stage.CLOSING})


class Due(StrEnum):
    """A deadline that is over."""

    OPEN = "open"
    STALL = "stall"
    TOTAL = "total"
    GRACE = "grace"


class Watched(msgspec.Struct):
    """What the deadlines are measured on, all in monotonic seconds.

    since: start of the stage. active_at: last report, or the time up to which silence is
    announced. is_asking: whether a decision is open. has_tool: whether a tool runs.
    stop_asked_at: when the run was told to stop, None before.
    """

    since: float
    active_at: float
    stage: Stage = Stage.WAITING
    is_asking: bool = False
    has_tool: bool = False
    stop_asked_at: float | None = None

    def enter(self, stage: Stage, now: float) -> None:
        """Begin a stage."""
        self.stage = stage
        self.since = self.active_at = now


class Bounds(msgspec.Struct, frozen=True):
    """The deadlines of a run in seconds: to open its runner, of silence, of all."""

    open_s: float
    stall_s: float
    total_s: float


def find_due(watched: Watched, now: float, bounds: Bounds) -> Due | None:
    """The deadline that is over; None while there is none."""
    if watched.stage in _UNWATCHED:
        return None
    if watched.stop_asked_at is not None:
        return Due.GRACE if now - watched.stop_asked_at >= GRACE_S else None
    if watched.stage is Stage.OPENING:
        return Due.OPEN if now - watched.since >= bounds.open_s else None
    if now - watched.since >= bounds.total_s:
        return Due.TOTAL
    if watched.is_asking:
        return None
    limit_s = bounds.stall_s * (TOOL_FACTOR if watched.has_tool else 1.0)
    return Due.STALL if now - watched.active_at >= limit_s else None


def verdict(due: Due, bounds: Bounds, *, has_tool: bool) -> TurnEnded:
    """How a run ends that was stopped for a deadline."""
    if due is Due.OPEN:
        return _timeout("start_timeout", f"the agent did not start within {bounds.open_s:g} s")
    if due is Due.STALL:
        silent_s = bounds.stall_s * (TOOL_FACTOR if has_tool else 1.0)
        return _timeout("stalled", f"nothing came for {silent_s:g} s")
    return _timeout("total_limit", f"not done after {bounds.total_s:g} s")


def _timeout(code: str, error: str) -> TurnEnded:
    return TurnEnded(stop=Stop.TIMEOUT, error=error, code=code)


def ending(reported: TurnEnded | None, asked: TurnEnded | None) -> TurnEnded:
    """The one end of a run. reported: by the runner; asked: why the core stopped it.

    An answer that was whole before the stop arrived stays an answer.
    """
    if asked is None:
        return reported or TurnEnded(stop=Stop.DIED, error="the agent ended without saying so", code="no_end")
    if reported is None:
        return asked
    if reported.stop.is_answer:
        return reported
    return msgspec.structs.replace(asked, usage=reported.usage)
