"""Mailboxes in words: how one stands, what its rules mean, and whether all that came in is accounted for (pure)."""

from collections.abc import Callable

from console import text
from console.mailbox_rows import depth_of
from core.api.base import Mark
from core.api.mail import DeadReason
from core.api.mailboxes import Guarantee, MailboxPolicy, MailboxState, MailboxTally, MailboxView, Overflow

Age = Callable[[Mark], float]
_LONG_S, _SHORT_S, _LEAST_S = 60.0, 10.0, 0.001
_MANY, _SHORT_CELLS = 1000, 62
_PARTS = ("done", "queued", "delayed", "in_flight", "dead", "expired", "dropped")

REASONS = {
    DeadReason.MAX_DELIVERIES: "tries used up",
    DeadReason.REJECTED: "rejected",
    DeadReason.EXPIRED: "expired",
    DeadReason.OVERFLOW: "mailbox full",
    DeadReason.POISON: "poison",
    DeadReason.CORRUPT: "corrupt",
    DeadReason.UNDELIVERABLE: "no recipient",
    DeadReason.LATE_REPLY: "late reply",
    DeadReason.CLOSED: "mailbox closed",
}


def cause_words(reason: DeadReason, cause: str) -> str:
    """A cause without the reason before it: that has a column of its own."""
    return text.redact(text.clean(cause.removeprefix(f"{reason.value}: "))) or "no error given"


def rate(per_s: float) -> str:
    """Messages a second in at most five cells; `-` for none."""
    if per_s <= 0:
        return "-"
    return f"{per_s:.1f}" if per_s < _MANY else text.short_count(per_s)


def duration(seconds: float) -> str:
    """A short time with milliseconds, a long one as an age; `-` for none."""
    if seconds <= 0:
        return "-"
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms" if seconds >= _LEAST_S else "<1ms"
    return f"{seconds:.1f}s" if seconds < _SHORT_S else text.age(seconds)


def standing(view: MailboxView, age: Age) -> tuple[str, str]:
    """How a mailbox stands, the blocking thing first, and its tone."""
    if view.tally.difference:
        return f"{unexplained(view.tally.difference)}: a fault of the core", "failing"
    match view.state:
        case MailboxState.PAUSED:
            return _paused(view, age), "needs"
        case MailboxState.DRAINING if not is_stuck(view):
            return f"takes nothing in and gives out what it has: {text.count(depth_of(view))} left", "busy"
        case MailboxState.CLOSED:
            return "takes nothing in and gives nothing out", "quiet"
        case _:
            return _open(view, age)


def is_stuck(view: MailboxView) -> bool:
    """Whether messages wait and nobody takes them."""
    is_open = view.state in {MailboxState.OPEN, MailboxState.DRAINING}
    return bool(is_open and view.tally.queued and not view.consumers and not view.tally.in_flight)


def _open(view: MailboxView, age: Age) -> tuple[str, str]:
    waiting = view.tally.queued + view.tally.delayed
    if is_stuck(view):
        queued = view.tally.queued
        words = "1 waits and nobody takes it" if queued == 1 else f"{text.count(queued)} wait and nobody takes them"
        return f"{words}: no consumer", "needs"
    if waiting:
        is_old = view.oldest is not None and age(view.oldest) > _LONG_S
        return f"{text.counted(waiting, 'waits', 'wait')}, {view.consumers} at work", "needs" if is_old else "plain"
    if view.tally.in_flight:
        return f"{text.count(view.tally.in_flight)} in flight, nothing waits", "plain"
    return "empty", "quiet"


def _paused(view: MailboxView, age: Age) -> str:
    words = f"paused by {text.clean(view.paused_by) or 'somebody'}"
    if view.paused_reason:
        words += f": {text.clean(view.paused_reason)}"
    if view.paused_until is None:
        return f"{words}; until P resumes it"
    left_s = -age(view.paused_until)
    return f"{words}; goes on in {text.age(max(0.0, left_s))}"


def conservation(tally: MailboxTally, *, is_short: bool) -> str:
    """What came in and where it is, as a sum. is_short: what lives is one part, and what is nothing is left out."""
    if not tally.accepted and not any(getattr(tally, name) for name in _PARTS):
        return "nothing came in yet"
    if not is_short:
        parts = [f"{text.count(getattr(tally, name))} {name.replace('_', ' ')}" for name in _PARTS]
        return f"{text.count(tally.accepted)} accepted = {' + '.join(parts)}"
    words = _short_sum(tally, text.count)
    return words if len(words) <= _SHORT_CELLS else _short_sum(tally, text.short_count)


def _short_sum(tally: MailboxTally, number: Callable[[int], str]) -> str:
    live = tally.queued + tally.delayed + tally.in_flight
    counts = (tally.done, live, tally.dead, tally.expired, tally.dropped)
    names = ("done", "live", "dead", "expired", "dropped")
    parts = [f"{number(count)} {name}" for count, name in zip(counts, names, strict=True) if count]
    return f"{number(tally.accepted)} in = {' + '.join(parts) or '0'}"


def unexplained(value: int) -> str:
    """How many messages no sum explains."""
    return f"{text.counted(abs(value), 'message is', 'messages are')} not accounted for"


def difference(value: int) -> tuple[str, str]:
    """What the sum leaves unexplained, loud unless it is nothing."""
    if not value:
        return "difference 0", "well"
    noun = "a message is" if abs(value) == 1 else "messages are"
    return f"DIFFERENCE {text.count(value)}: {noun} not accounted for", "failing"


_OVERFLOWS = {
    Overflow.REJECT: "one more is refused",
    Overflow.DROP_OLDEST: "one more pushes the oldest out",
    Overflow.DROP_NEWEST: "one more is dropped",
    Overflow.DEAD_LETTER: "one more becomes a dead letter",
}
_GUARANTEES = {
    Guarantee.AT_MOST_ONCE: "at most once: never given out again, lost when its consumer fails",
    Guarantee.AT_LEAST_ONCE: "at least once: may come twice after a failure",
    Guarantee.EXACTLY_ONCE: "exactly once inside the store; repeats are known by their key",
}


def policy_words(policy: MailboxPolicy) -> list[tuple[str, str]]:
    """The rules as label and sentence."""
    room = "any number of messages"
    if policy.capacity:
        beyond = _OVERFLOWS.get(policy.overflow, f"one more waits up to {duration(policy.block_s)} for room")
        room = f"{text.counted(policy.capacity, 'message')}; {beyond}"
    flight = (
        f"at most {text.count(policy.in_flight_limit)} at a time" if policy.in_flight_limit else "any number at a time"
    )
    kept = "kept as a dead letter" if policy.keep_expired else "forgotten"
    return [
        ("keeps", "what is accepted survives a crash" if policy.durable else "in memory only: a crash loses all of it"),
        ("room", room),
        ("order", "of each sender one at a time, in order" if policy.ordered else "none kept"),
        ("delivery", _GUARANTEES[policy.guarantee]),
        ("gives out", f"{flight}; again when not settled in {duration(policy.visibility_s)}"),
        (
            "tries",
            (
                f"{policy.max_deliveries}, then dead; between them up to {duration(policy.retry_base_s)}, "
                f"doubled each time, at most {duration(policy.retry_cap_s)}"
            ),
        ),
        ("poison", f"dead when {text.counted(policy.max_crashes, 'start')} of the core found it in flight"),
        ("expires", f"after {duration(policy.ttl_s)}, then {kept}" if policy.ttl_s else "never"),
        ("repeats", f"a key is known for {duration(policy.dedupe_s)}" if policy.dedupe_s else "are not noticed"),
        ("size", f"at most {text.size(policy.body_limit_bytes)} each"),
        ("dead", _dead_words(policy)),
    ]


def _dead_words(policy: MailboxPolicy) -> str:
    kept = policy.dead_keep_count
    many = f"the newest {text.counted(kept, 'is', 'are')} kept" if kept else "all are kept"
    return f"{many}, each for {duration(policy.dead_keep_s)}" if policy.dead_keep_s else f"{many}, for ever"
