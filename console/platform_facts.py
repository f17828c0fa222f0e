"""A connection in lines for people: how it stands, when it last did what, and what comes next (pure)."""

from collections.abc import Callable

from console import text
from console.glyphs import badge
from core.api.base import Mark
from core.api.platforms import TROUBLED, PlatformState, PlatformView

Line = tuple[str, str, str]
Age = Callable[[Mark], float]

PLATFORM_ORDER = (
    PlatformState.CONFLICT,
    PlatformState.DEAF,
    PlatformState.DOWN,
    PlatformState.CONNECTING,
    PlatformState.PAUSED,
    PlatformState.CONNECTED,
    PlatformState.OFF,
)
"""The worst first."""

_RANK = {state: place for place, state in enumerate(PLATFORM_ORDER)}


def rank(view: PlatformView) -> tuple[int, bool, str]:
    """By what a list is sorted: the worst first, one that stands but has a problem before one that has none."""
    return _RANK[view.state], not has_problem(view), view.name


def has_problem(view: PlatformView) -> bool:
    """Whether something about it does not work, though it may stand."""
    return bool(view.state in TROUBLED or view.last_error or (view.probe and view.probe.error))


def state_tone(view: PlatformView) -> str:
    """The tone of its state; one that stands with a problem needs somebody."""
    tone = badge(view.state).tone
    return "needs" if tone == "well" and has_problem(view) else tone


def next_words(view: PlatformView, age_s: Age) -> str:
    """The countdown to the next try; "-" while none is due."""
    if view.next_try is None:
        return "-"
    left_s = -age_s(view.next_try)
    return text.age(left_s) if left_s > 0 else "now"


def probe_words(view: PlatformView) -> tuple[str, str]:
    """What came of the last probe in a word, with its tone."""
    if view.probe is None:
        return "-", "quiet"
    if view.probe.latency_s is None:
        return "failed", "failing"
    return latency_words(view.probe.latency_s), "plain"


def latency_words(seconds: float) -> str:
    """How long an answer took."""
    return f"{seconds * 1000:.0f}ms" if seconds < 1 else f"{seconds:.1f}s"


def error_words(view: PlatformView) -> str:
    """Why it does not work, or who paused it; "" when all is well."""
    if view.pause is not None and not view.last_error:
        return f"paused by {text.clean(view.pause.by)}" + (
            f": {text.clean(view.pause.reason)}" if view.pause.reason else ""
        )
    if view.last_error:
        return text.clean(view.last_error)
    return f"asked, it failed: {text.clean(view.probe.error)}" if view.probe and view.probe.error else ""


def heard_tone(view: PlatformView, age_s: Age) -> str:
    """How the age of the last sign of life looks: silence beyond what is usual needs somebody."""
    if view.heard is None or not view.quiet_limit_s or view.state is not PlatformState.CONNECTED:
        return "plain"
    return "needs" if age_s(view.heard) > view.quiet_limit_s else "plain"


def platform_facts(
    view: PlatformView, age_s: Age, *, waiting: int, busy: int | None = None, use_ascii: bool = False
) -> list[Line]:
    """All of one connection. waiting: in its outbox; busy: sessions with a run, None where that is not known."""
    sign = badge(view.state, use_ascii=use_ascii)
    words = error_words(view)
    since = f"{sign.text} {text.age(max(0.0, age_s(view.since)))}, since {text.stamp(view.since.at)}"
    lines: list[Line] = [
        (f"-- {text.clean(view.name)}", "", ""),
        ("state", since, state_tone(view)),
        ("why", words or "all is well", ("failing" if view.state in TROUBLED else "needs") if words else "plain"),
    ]
    if view.holder:
        lines.append(("held by", text.clean(view.holder), "failing"))
    if view.pause is not None:
        lines.append(("paused", f"at {text.stamp(view.pause.at)}; it stays so over restarts", "needs"))
    if view.next_try is not None or view.failures:
        lines.append(("next try", _next_try(view, age_s), "needs"))
    lines += [
        ("heard", _heard(view, age_s), heard_tone(view, age_s)),
        ("in", _incoming(view, age_s), "needs" if view.refused_count else "plain"),
        ("out", f"{_ago(view.outbound_ack, age_s)}; {text.count(view.outbound_count)} in all", "plain"),
        ("outbox", f"{text.counted(waiting, 'message')} waiting", "needs" if waiting and words else "plain"),
        ("probe", _probe(view, age_s), probe_words(view)[1]),
        ("account", _account(view), "plain"),
        ("restarts", text.count(view.restart_count), "needs" if view.restart_count else "plain"),
    ]
    if busy is not None:
        lines.append(("busy now", text.counted(busy, "session"), "plain"))
    return lines


def _next_try(view: PlatformView, age_s: Age) -> str:
    failed = f"{text.counted(view.failures, 'try', 'tries')} failed in a row"
    if view.next_try is None:
        return f"it is being tried now; {failed}"
    countdown = next_words(view, age_s)
    return f"number {view.failures + 1} {'now' if countdown == 'now' else f'in {countdown}'}; {failed}"


def _heard(view: PlatformView, age_s: Age) -> str:
    if not view.heard_every_s:
        return f"{_ago(view.heard, age_s)}; it gives no signs by itself"
    return (
        f"{_ago(view.heard, age_s)}; every {text.age(view.heard_every_s)}"
        f" is usual, {text.age(view.quiet_limit_s)} is too long"
    )


def _incoming(view: PlatformView, age_s: Age) -> str:
    parts = [_ago(view.inbound, age_s), f"{text.count(view.inbound_count)} in all"]
    parts.append(f"{text.count(view.duplicate_count)} came again")
    parts.append(f"{text.count(view.refused_count)} refused")
    return "; ".join(parts)


def _probe(view: PlatformView, age_s: Age) -> str:
    if not view.can_probe:
        return "it cannot be asked"
    if view.probe is None:
        return "not asked yet"
    when = f"{text.age(max(0.0, age_s(view.probe.asked)))} ago"
    if view.probe.latency_s is None:
        return f"no good answer {when}: {text.clean(view.probe.error)}"
    return f"answered in {latency_words(view.probe.latency_s)}, {when}"


def _account(view: PlatformView) -> str:
    # The address begins with who it is, where that is known.
    return f"{text.clean(view.kind)}, {text.clean(view.address) or 'not known before it connects'}"


def _ago(mark: Mark | None, age_s: Age) -> str:
    return "never" if mark is None else f"{text.age(max(0.0, age_s(mark)))} ago"
