"""The words of admission: states of an agent's pool, what moves them, what a run waits for (pure)."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from core.api.base import AgentName
from core.api.profiles import PoolState
from core.machine import Machine


class PoolStep(StrEnum):
    """What can happen to the admission of an agent."""

    FAIL = "fail"
    TRY = "try"
    LOSE_TRY = "lose try"
    SUCCEED = "succeed"
    PAUSE = "pause"
    RESUME = "resume"
    DISABLE = "disable"
    ENABLE = "enable"


_ORDERS = {PoolStep.PAUSE: PoolState.PAUSED, PoolStep.RESUME: PoolState.READY, PoolStep.DISABLE: PoolState.DISABLED}

POOL: Machine[PoolState, PoolStep] = Machine(
    "pool",
    PoolState,
    {
        PoolState.READY: {PoolStep.FAIL: PoolState.DEGRADED, **_ORDERS},
        PoolState.PAUSED: _ORDERS,
        PoolState.DEGRADED: {PoolStep.TRY: PoolState.PROBING, PoolStep.SUCCEED: PoolState.READY, **_ORDERS},
        PoolState.PROBING: {
            PoolStep.FAIL: PoolState.DEGRADED,
            PoolStep.LOSE_TRY: PoolState.DEGRADED,
            PoolStep.SUCCEED: PoolState.READY,
            **_ORDERS,
        },
        PoolState.DISABLED: {PoolStep.ENABLE: PoolState.READY, PoolStep.DISABLE: PoolState.DISABLED},
    },
)


class Ended(StrEnum):
    """How a run ended, as far as its agent is to blame. neutral: it was stopped, or never began."""

    OK = "ok"
    FAILED = "failed"
    NEUTRAL = "neutral"


class WaitReason(StrEnum):
    """Why a run has no slot. runners: no further runner is allowed; probing: one run tries the agent alone."""

    LIMIT = "limit"
    LANE = "lane"
    RUNNERS = "runners"
    PAUSED = "paused"
    DEGRADED = "degraded"
    PROBING = "probing"
    DISABLED = "disabled"


_WAITS = {
    WaitReason.LIMIT: "has as many runs as it may have",
    WaitReason.LANE: "has as many runs in this lane as it may have",
    WaitReason.RUNNERS: "has as many runners as it may have",
    WaitReason.PAUSED: "is paused",
    WaitReason.DEGRADED: "is held back",
    WaitReason.PROBING: "is held back",
    WaitReason.DISABLED: "is disabled",
}
_ORDERED = frozenset({WaitReason.PAUSED, WaitReason.DISABLED})
HELD = {
    WaitReason.PAUSED: PoolState.PAUSED,
    WaitReason.DEGRADED: PoolState.DEGRADED,
    WaitReason.PROBING: PoolState.PROBING,
    WaitReason.DISABLED: PoolState.DISABLED,
}
"""The states of an agent that a run can wait for."""


def waits_for(agent: AgentName, reason: WaitReason, *, by: str = "", why: str = "") -> str:
    """What an operator reads of a run that has no slot. by: whose order it is; why: what they said about it."""
    ordered = f" by {by}" if by and reason in _ORDERED else ""
    return f"agent {agent} {_WAITS[reason]}{ordered}{f': {why}' if why else ''}"


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What a profile says about admission. lanes: runs at a time in each; runner_limit: 0 is none."""

    limit: int
    lanes: Mapping[str, int] = msgspec.field(default_factory=dict[str, int])
    runner_limit: int = 0
    failure_limit: int = 5
    recovery_s: float = 30.0


class Load(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How an agent stands. busy, waiting: runs; retry_at: monotonic seconds, while it is degraded."""

    state: PoolState
    busy: int
    waiting: int
    failure_count: int
    retry_at: float | None
