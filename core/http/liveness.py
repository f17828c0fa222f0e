"""Whether the core does its work, judged by when it last did some (pure)."""

import msgspec

from core.api.system import HealthView

LOOP_LAG_LIMIT_S = 1.0
COMMIT_AGE_LIMIT_S = 60.0


class Liveness(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of /healthz. late: one line for each thing that is overdue; status: ok or late."""

    status: str
    late: tuple[str, ...]
    version: str
    uptime_s: float
    loop_lag_p99_s: float
    last_commit_age_s: float | None
    is_draining: bool


def liveness(
    health: HealthView, *, loop_lag_limit_s: float = LOOP_LAG_LIMIT_S, commit_age_limit_s: float = COMMIT_AGE_LIMIT_S
) -> Liveness:
    """What is late, if anything. Before the first commit the start counts as one."""
    now = health.now.mono
    commit_age_s = None if health.last_commit is None else max(0.0, now - health.last_commit.mono)
    silent_s = now - health.started.mono if commit_age_s is None else commit_age_s
    late: list[str] = []
    if health.loop_lag_p99_s > loop_lag_limit_s:
        late.append(f"loop: p99 lag {health.loop_lag_p99_s:.3f} s is over {loop_lag_limit_s:g} s")
    if silent_s > commit_age_limit_s:
        late.append(f"store: the last commit is {silent_s:.0f} s old, over {commit_age_limit_s:g} s")
    late += [f"service: {item.name} has failed" for item in health.services if item.state == "failed"]
    return Liveness(
        status="late" if late else "ok",
        late=tuple(late),
        version=health.version,
        uptime_s=round(now - health.started.mono, 3),
        loop_lag_p99_s=round(health.loop_lag_p99_s, 6),
        last_commit_age_s=None if commit_age_s is None else round(commit_age_s, 3),
        is_draining=health.is_draining,
    )
