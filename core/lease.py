"""The lease of a session: who may write to it, by a fencing token that only grows (pure).

A run gets a lease with its beginning and loses it with its end. Whoever writes later
still, because it hung or was given up, shows an older token and is refused. What a
lease of an earlier start of the core, or one whose holder seems gone, is worth is
decided by `reconcile`; without proof that the holder is gone the lease is kept.
"""

from enum import StrEnum

import msgspec

from core.api.base import Mark, RunId
from core.api.runs import LeaseView

RENEW_EVERY_S = 10.0
"""How often the lease of a run that goes on is renewed."""


class Execution(StrEnum):
    """What is known about the holder of a lease. `unproven`: nothing, not even that it is gone."""

    UNPROVEN = "unproven"
    UNKNOWN = "unknown"
    LIVE = "live"
    OVER = "over"


class Verdict(msgspec.Struct, frozen=True):
    """Whether a lease is to be released, and why, in words."""

    is_released: bool
    why: str


_VERDICTS = {
    Execution.UNPROVEN: Verdict(is_released=False, why="nothing proves that the holder is gone"),
    Execution.UNKNOWN: Verdict(is_released=True, why="there is no such run here"),
    Execution.LIVE: Verdict(is_released=False, why="the run goes on"),
    Execution.OVER: Verdict(is_released=True, why="the run is over"),
}


def acquired(last_token: int, *, boot: int, run_id: RunId, now: Mark) -> LeaseView:
    """The lease of a run that begins. last_token: of the session's last holder, 0 before the first."""
    return LeaseView(boot=boot, run_id=run_id, token=last_token + 1, since=now, renewed=now)


def renewed(lease: LeaseView, now: Mark) -> LeaseView:
    """The same lease, shown to be alive; never with an earlier instant than before."""
    if now.mono <= lease.renewed.mono:
        return lease
    return msgspec.structs.replace(lease, renewed=now)


def may_write(lease: LeaseView | None, token: int) -> bool:
    """Whether the holder of that token still holds the lease."""
    return lease is not None and lease.token == token


def reconcile(lease: LeaseView | None, execution: Execution) -> Verdict:
    """What becomes of a lease. One without a holder's name proves nothing and is kept."""
    if lease is None or not lease.run_id:
        return _VERDICTS[Execution.UNPROVEN]
    return _VERDICTS[execution]


def execution(lease: LeaseView, *, boot: int, is_held: bool) -> Execution:
    """What is known about a holder. boot: number of this start; is_held: the runtime of this start has the run.

    Runs end with the core that they are part of: those of an earlier start are over.
    """
    if is_held:
        return Execution.LIVE
    return Execution.OVER if lease.boot < boot else Execution.UNKNOWN
