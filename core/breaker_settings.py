"""The rules of a circuit breaker: when it opens, for how long, and how it closes again."""

import msgspec

from core.api.errors import InvalidInput

_DAY_S = 86_400.0
_LIMITS = {
    "failures": (1, 1_000_000),
    "open_s": (0.001, _DAY_S),
    "probes": (1, 1000),
    "interval_s": (0.0, _DAY_S),
    "probe_deadline_s": (0.0, _DAY_S),
    "growth": (1.0, 100.0),
    "open_cap_s": (0.001, _DAY_S),
    "jitter": (0.0, 1.0),
    "calm_s": (0.0, 100 * _DAY_S),
    "flap_count": (1, 100),
    "flap_window_s": (0.0, 100 * _DAY_S),
}


class BreakerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of one breaker. Raises InvalidInput for a value that cannot be.

    failures: in a row that open it. open_s: how long it lets nothing through. probes: calls at
    a time while half-open, and successes that close it. interval_s: counts of a closed one start
    afresh after that; 0 is never. probe_deadline_s: a probe without answer frees its place after that;
    0 is never. growth: open_s times that with each opening that follows another, up to open_cap_s.
    jitter: 0 to 1, the part of the open time that is drawn by lot; it only shortens. calm_s: closed
    for longer than that, the next opening is a first one. flap_count openings of a closed
    one within flap_window_s are flapping.
    """

    failures: int = 5
    open_s: float = 30.0
    probes: int = 1
    interval_s: float = 0.0
    probe_deadline_s: float = 0.0
    growth: float = 1.0
    open_cap_s: float = 300.0
    jitter: float = 0.0
    calm_s: float = 300.0
    flap_count: int = 3
    flap_window_s: float = 600.0

    def __post_init__(self) -> None:
        for field, (least, most) in _LIMITS.items():
            value = getattr(self, field)
            if not least <= value <= most:
                raise InvalidInput(
                    f"{field} of a breaker is {value}; it can be {least} to {most}",
                    field=field,
                    value=value,
                    fix=f"a number from {least} to {most}",
                )


GUARDED = BreakerSettings(probe_deadline_s=60.0, growth=2.0, jitter=0.1)
"""The same machine with what keeps it from being stuck or predictable."""
