"""The two lines at the top: the core and the console in a few words, always with the age of what is said."""

from console import text
from console.feed import Feed, LineState
from console.mirror import Mirror
from console.relay_facts import is_tripped
from console.screens.base import Stage
from console.widgets.status_bar import Part

LATE_S = 1.0
_FRESH_S = 6.0


def core_part(stage: Stage) -> Part:
    """How the core is: starting, ok with its lag, late, stopping, or lost."""
    feed, mirror = stage.feed, stage.mirror
    if stage.has_failed:
        return "no core", "failing"
    if feed is None or (feed.line.state is LineState.OPENING and mirror.health is None):
        return "core starting", "busy"
    if feed.line.state is LineState.RECONNECTING:
        return _lost(feed, mirror, stage.now())
    return _heard(feed, mirror)


def _heard(feed: Feed, mirror: Mirror) -> Part:
    late_s = feed.late_s()
    if late_s > LATE_S:
        return f"core LATE {text.age(late_s)}", "failing"
    health = mirror.health
    if mirror.is_draining or health is None:
        return "core stopping" if mirror.is_draining else "core starting", "needs"
    lag_ms = health.loop_lag_p99_s * 1000
    heard_s = feed.heard_s()
    age = f", heard {text.age(heard_s)} ago" if heard_s is not None and heard_s > _FRESH_S else ""
    if health.problems:
        return f"core {len(health.problems)} problems{age}", "failing"
    return f"core ok {lag_ms:.0f} ms{age}", "stale" if age else "well"


def _lost(feed: Feed, mirror: Mirror, now: float) -> Part:
    line = feed.line
    words = "no core"
    if line.retry_at is not None:
        left_s = max(0.0, line.retry_at - now)
        words = f"reconnecting {text.age(left_s)}"
    if line.as_of is not None:
        at = mirror.core_wall(line.as_of)
        if at is not None:
            words += f" (data as of {text.clock_time(at)})"
    return words, "failing"


def head_parts(stage: Stage, *, read_only: bool, is_demo: bool) -> tuple[list[Part], list[Part]]:
    """The first line: name, core, console, clock."""
    mirror = stage.mirror
    left: list[Part] = [("HERMES", "strong")]
    if is_demo:
        left.append(("demo", "accent"))
    if read_only:
        left.append(("read-only", "needs"))
    left.append(core_part(stage))
    if stage.feed is not None and stage.feed.line.state is LineState.RECONNECTING:
        # What is said about the loss needs the room, and carries a time of its own.
        return left, _waiting(mirror)
    key_s = stage.vitals.keys.quantile(0.99)
    if key_s is not None:
        left.append((f"ui {key_s * 1000:.0f} ms", "quiet"))
    if stage.vitals.dropped_frames and stage.is_wide:
        left.append((f"{stage.vitals.dropped_frames} frames dropped", "needs"))
    at = mirror.core_wall(stage.now())
    right: list[Part] = [] if at is None else [(text.clock_time(at, show_offset=stage.is_wide), "quiet")]
    return left, [*_waiting(mirror), *right]


def _waiting(mirror: Mirror) -> list[Part]:
    counts = mirror.counts
    waiting = len(mirror.open_approvals)
    facts: list[Part] = []
    if waiting:
        facts.append((f"{waiting} to decide", "needs"))
    asking = len(mirror.work.gateway.open_pairings)
    if asking:
        facts.append((f"{asking} at the door", "needs"))
    relay = mirror.work.relay
    if relay.is_paused:
        facts.append(("relay paused", "needs"))
    elif tripped := sum(is_tripped(view) for view in relay.targets.values()):
        facts.append((text.counted(tripped, "breaker") + " OPEN", "failing"))
    if counts["failed"]:
        facts.append((f"{text.count(counts['failed'])} failed", "failing"))
    return facts


def live_part(stage: Stage, *, paused: int | None) -> Part:
    """The right end of the second line: live, loading, paused or not connected."""
    feed = stage.feed
    if paused is not None:
        return f"paused, {text.count(paused)} changes wait", "needs"
    if stage.has_failed:
        return "not live", "failing"
    state = feed.line.state if feed else LineState.OPENING
    match state:
        case LineState.LIVE:
            return f"live {stage.rates.per_s('events', 5):.0f}/s", "well"
        case LineState.LOADING:
            return f"loading {text.count(feed.line.loaded if feed else 0)}", "busy"
        case LineState.RECONNECTING:
            return "not live", "failing"
        case _:
            return "opening", "busy"
