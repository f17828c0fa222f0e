"""An outbox in lines for people: what it does, what holds it up, for how long (pure)."""

from collections.abc import Callable

from console import text
from core.api.base import Mark
from core.api.breakers import BreakerMode, BreakerState
from core.api.outboxes import OutboxView

Line = tuple[str, str, str]
_BREAKER_TONES = {BreakerState.CLOSED: "well", BreakerState.OPEN: "failing", BreakerState.HALF_OPEN: "needs"}


def next_words(view: OutboxView, age_s: Callable[[Mark], float]) -> str:
    """The countdown to the next try; "-" when nothing waits for a time."""
    if view.next_try is None:
        return "-"
    left_s = -age_s(view.next_try)
    return text.age(left_s) if left_s > 0 else "now"


def breaker_words(view: OutboxView) -> tuple[str, str]:
    """The breaker in a word, with its tone."""
    word = view.breaker.value.replace("_", "-")
    if view.breaker_mode is not BreakerMode.AUTOMATIC:
        word = view.breaker_mode.value
    return word, _BREAKER_TONES[view.breaker]


def rate_words(view: OutboxView) -> str:
    """Its limits in words."""
    account = f"{view.rate_per_s:g} a second, {view.burst} at once" if view.rate_per_s else "any number"
    chat = f"; to one chat {view.chat_rate_per_s:g} a second" if view.chat_rate_per_s else ""
    left = f"; {view.tokens:g} left now" if view.rate_per_s else ""
    return account + left + chat


def outbox_facts(view: OutboxView, age_s: Callable[[Mark], float]) -> list[Line]:
    """All of an outbox."""
    word, tone = breaker_words(view)
    since = "" if view.breaker_since is None else f" for {text.age(max(0.0, age_s(view.breaker_since)))}"
    none_waits = "all that waits is being sent" if view.waiting else "nothing waits"
    oldest = none_waits if view.oldest is None else f"{text.age(max(0.0, age_s(view.oldest)))} old"
    countdown = next_words(view, age_s)
    due = {"-": "not waiting for a time", "now": "due now"}.get(countdown, f"in {countdown}")
    return [
        (f"-- outbox of {text.clean(view.platform)}", "", ""),
        ("why", text.clean(view.why) or "nothing holds it up", "needs" if view.why else "plain"),
        ("next try", due, "needs" if view.next_try else "plain"),
        ("waiting", f"{view.waiting}, {view.in_flight} of them being sent; {view.dead} dead", "plain"),
        ("oldest", oldest, "plain"),
        ("breaker", word + since, tone),
        ("limit", rate_words(view), "plain"),
        ("sent", f"{view.sent} since the start of the core", "plain"),
        ("last error", text.clean(view.error) or "none", "failing" if view.error else "plain"),
    ]
