"""A message from bot to bot in lines for people: its state, its attempts, its way, and what did not happen (pure)."""

from collections.abc import Callable, Iterator

from console import text
from console.glyphs import badge
from console.relay_receipts import chat_words, short_task_id
from core.api.base import Mark
from core.api.breakers import BreakerMode, BreakerState
from core.api.relay_targets import TargetView
from core.api.relay_tasks import (
    AttemptResult,
    RelayAttempt,
    RelayDirection,
    RelayReason,
    RelayState,
    RelayTaskDetail,
    RelayTaskView,
    Trigger,
)

Line = tuple[str, str, str]
Age = Callable[[Mark], float]
Clock = Callable[[Mark], str]

REASONS = {
    RelayReason.NONE: "",
    RelayReason.REFUSED: "the far side saw it and does not want it",
    RelayReason.UNDELIVERED: "it cannot have been seen over there",
    RelayReason.UNANSWERED: "it was delivered, and no answer came",
    RelayReason.UNKNOWN: "nobody can tell whether it was delivered",
    RelayReason.LOOP: "a limit of hops or turns ended it",
    RelayReason.AGENT: "the agent tried, and failed",
    RelayReason.POLICY: "our own rules forbid it",
}
TRIGGERS = {
    Trigger.FIRST: "first try",
    Trigger.RETRY: "again within seconds",
    Trigger.SCHEDULE: "of the schedule",
    Trigger.REPLAY: "an operator's replay",
}
_RESULT_TONES = {
    AttemptResult.DELIVERED: "well",
    AttemptResult.CUT_OFF: "quiet",
    AttemptResult.UNKNOWN: "needs",
}
_UNDER_WAY = {
    RelayDirection.OUT: {RelayState.SENDING: "being sent", RelayState.WORKING: "far side has it"},
    RelayDirection.IN: {RelayState.WORKING: "the agent has it"},
}
_RANK = {
    RelayState.DEAD: 0,
    RelayState.FAILED: 2,
    RelayState.COMPLETED: 2,
    RelayState.CANCELED: 2,
}


def rank(task: RelayTaskView) -> tuple[int, float]:
    """By what lists are sorted: dead, under way, the rest; the latest first."""
    return _RANK.get(task.state, 1), -task.created.at


def result_tone(result: AttemptResult) -> str:
    """How loud the result of an attempt is."""
    return _RESULT_TONES.get(result, "failing")


def way_ends(task: RelayTaskView) -> tuple[str, str]:
    """From whom, and to whom."""
    here = text.clean(task.sender or task.session_id or "") or "here"
    other = text.clean(task.bot)
    return (other, "here") if task.direction is RelayDirection.IN else (here, other)


def next_words(task: RelayTaskView, age_s: Age, stop: str = "") -> str:
    """What comes next, or how it ended. stop: why nothing goes to its far side now, "" when it does."""
    if task.state.is_over:
        if task.state is RelayState.COMPLETED:
            late = "late answer" if task.is_late else "answered" if task.answer else "delivered"
            return f"{late} {text.age(age_s(task.answered or task.ended or task.created))} ago"
        late = "; an answer came late" if task.is_late else ""
        return (task.reason.value or task.state.value) + late
    if stop and task.state is RelayState.QUEUED:
        return stop
    if task.due is None:
        return _UNDER_WAY[task.direction].get(task.state, "waits its turn")
    left_s = -age_s(task.due)
    when = f"in {text.age(left_s)}" if left_s > 0 else "now"
    return f"asked again {when}" if task.state is RelayState.WORKING else f"next try {when}"


def task_facts(
    task: RelayTaskView, age_s: Age, *, use_ascii: bool, whole: RelayTaskDetail | None = None, stop: str = ""
) -> list[Line]:
    """What it is, how it stands, its text and answer. stop: as in next_words."""
    sign = badge(task.state, use_ascii=use_ascii)
    why = REASONS[task.reason]
    to = "from" if task.direction is RelayDirection.IN else "to"
    facts: list[Line] = [
        (f"-- message {short_task_id(task.id)} {to} {text.clean(task.bot)}", "", ""),
        ("state", f"{sign.text}, {next_words(task, age_s, stop)}" + (f": {why}" if why else ""), sign.tone),
    ]
    if task.error:
        facts.append(("error", text.redact(text.clean(task.error)), "failing"))
    if task.state is RelayState.DEAD:
        facts.append(("next", "R sends it again under its own id, M gives it another address first", "needs"))
    facts += [
        ("text", text.clean(whole.text if whole else task.text, keep_newlines=True) or "(nothing)", "plain"),
        ("answer", *_answer(task, whole.answer if whole else task.answer)),
        _came(task, age_s),
        *_where(task),
    ]
    return facts


def _came(task: RelayTaskView, age_s: Age) -> Line:
    ago = f"{text.age(age_s(task.created))} ago"
    if task.direction is RelayDirection.IN:
        return "came", ago, "plain"
    tries = text.counted(task.attempt_count, "attempt")
    status = f", last status {task.last_status}" if task.last_status else ""
    return "sent", f"{ago}, {tries}{status}", "plain"


def _answer(task: RelayTaskView, answer: str) -> tuple[str, str]:
    if answer:
        return ("(late) " if task.is_late else "") + text.clean(answer, keep_newlines=True), "plain"
    return "none" if task.state.is_over else "not yet", "quiet"


def _where(task: RelayTaskView) -> Iterator[Line]:
    if task.url:
        yield "address", f"{text.clean(task.url)} ({task.protocol.value})", "plain"
    if task.platform:
        yield "binding", chat_words(task.platform, task.chat), "plain"
    if task.peer:
        yield "peer", text.clean(task.peer), "plain"
    who = text.clean(task.sender) or "nobody who gave a name"
    claims = " (as it says; it proves nothing)" if task.direction is RelayDirection.IN else ""
    yield "asked by", who + claims, "plain"
    if task.session_id:
        yield "session", text.clean(task.session_id), "plain"
    if task.repeats:
        yield "repeats", f"the peer sent it {text.counted(task.repeats, 'more time')}; it was done once", "needs"
    if task.path or task.hops:
        yield "path", f"{' > '.join(map(text.clean, task.path)) or '-'}, {text.counted(task.hops, 'hop')}", "plain"
    yield "id", text.clean(task.id), "quiet"
    if task.remote_id:
        yield "over there", text.clean(task.remote_id), "quiet"


# -- attempts and trace


def attempt_words(attempt: RelayAttempt) -> str:
    """One attempt in a few words."""
    status = f" {attempt.status}" if attempt.status else ""
    error = f"  {text.redact(text.clean(attempt.error))}" if attempt.error else ""
    result = attempt.result.value.replace("_", " ")
    return f"{result}{status} in {attempt.latency_s:.2f} s, {TRIGGERS[attempt.trigger]}{error}"


def attempt_facts(attempt: RelayAttempt, clock: Clock) -> list[Line]:
    """All of an attempt."""
    return [
        (f"-- attempt {attempt.number}", "", ""),
        ("began", clock(attempt.began), "plain"),
        ("address", text.clean(attempt.url), "plain"),
        ("result", attempt_words(attempt), result_tone(attempt.result)),
    ]


def trace_lines(
    found: RelayTaskDetail, target: TargetView | None, age_s: Age, clock: Clock, *, is_paused: bool
) -> list[Line]:
    """The way of a message hop by hop, with what did not happen and why."""
    task = found.task
    lines: list[Line] = [("-- where it came from", "", "")]
    lines += _origin_lines(found)
    lines += [("-- what happened", "", ""), ("stored", f"{clock(task.created)}  before the first byte left", "well")]
    if task.direction is RelayDirection.IN:
        lines += _inward(task)
    for attempt in found.attempts:
        words = f"{clock(attempt.began)}  {attempt_words(attempt)}"
        lines.append((f"attempt {attempt.number}", words, result_tone(attempt.result)))
    if task.answered is not None:
        late = ", when it was over" if task.is_late else ""
        lines.append(("answer", f"{clock(task.answered)}  {len(found.answer)} characters{late}", "well"))
    if task.ended is not None:
        lines.append(("ended", f"{clock(task.ended)}  {task.state.value}", badge(task.state).tone))
    missing = list(_missing(found, target, age_s, is_paused=is_paused))
    lines.append(("-- what did not happen, and why", "", ""))
    lines += missing or [("", "nothing: it went the whole way", "well")]
    return lines


def _origin_lines(found: RelayTaskDetail) -> Iterator[Line]:
    task = found.task
    for place, name in enumerate(task.path, 1):
        yield f"hop {place}", text.clean(name), "failing" if task.reason is RelayReason.LOOP else "plain"
    if task.direction is RelayDirection.OUT:
        missed = "not reached" if task.state.is_over else "not reached yet"
        reached = "reached" if _is_delivered(found) else missed
        tone = "well" if _is_delivered(found) else "failing" if task.state.is_over else "needs"
        yield f"hop {len(task.path) + 1}", f"{text.clean(task.bot)}, {reached}", tone
    if task.session_id:
        yield "session", text.clean(task.session_id), "plain"
    if task.conversation:
        yield "talk", f"{text.clean(task.conversation)}: all that follows from one message", "quiet"


def _is_delivered(found: RelayTaskDetail) -> bool:
    return any(attempt.result is AttemptResult.DELIVERED for attempt in found.attempts)


def _inward(task: RelayTaskView) -> Iterator[Line]:
    yield "proof", f"the request proved to be of peer {text.clean(task.peer)}", "well"
    if task.task_id:
        yield "agent", f"works on it as task {text.clean(task.task_id)}", "plain"


def _missing(found: RelayTaskDetail, target: TargetView | None, age_s: Age, *, is_paused: bool) -> Iterator[Line]:
    task, is_delivered = found.task, _is_delivered(found)
    if task.direction is RelayDirection.OUT and not is_delivered:
        if not found.attempts:
            yield "attempt", f"none was made: {_why_none(task, target, age_s, is_paused=is_paused)}", "needs"
        unknown = any(attempt.result is AttemptResult.UNKNOWN for attempt in found.attempts)
        doubt = "an attempt broke off after it was sent: nobody can tell" if unknown else "no attempt got through"
        yield "delivery", doubt, "failing" if task.state.is_over else "needs"
    if task.answered is None:
        yield "answer", _why_no_answer(task, is_delivered=is_delivered), "quiet"
    if task.state is RelayState.DEAD:
        why = REASONS[task.reason] or "the schedule is over"
        yield "next try", f"none: {why}; only a replay sends it again", "failing"


def _why_none(task: RelayTaskView, target: TargetView | None, age_s: Age, *, is_paused: bool) -> str:
    if task.reason in {RelayReason.LOOP, RelayReason.POLICY}:
        return f"{REASONS[task.reason]}, before the first byte"
    if task.state is RelayState.CANCELED:
        return "it was canceled before"
    if is_paused:
        return "the relay is paused"
    return "it waits its turn" if target is None else _why_stopped(target, age_s)


def _why_stopped(target: TargetView, age_s: Age) -> str:
    if target.breaker.mode is BreakerMode.HELD:
        return "an operator holds the breaker open"
    if target.breaker.state is BreakerState.OPEN:
        due = target.breaker.next_probe
        left_s = -age_s(due) if due is not None else 0.0
        return f"the breaker is OPEN, probe in {text.age(left_s)}" if left_s > 0 else "the breaker is OPEN"
    if target.held is not None and age_s(target.held) < 0:
        return "the far side asked to be left alone"
    return "it waits its turn"


def _why_no_answer(task: RelayTaskView, *, is_delivered: bool) -> str:
    if task.direction is RelayDirection.IN:
        return (
            "the agent has not answered" if not task.state.is_over else REASONS[task.reason] or "there was none to give"
        )
    if not is_delivered:
        return "none can come: it was not delivered" if task.state.is_over else "none yet: it is not delivered"
    if task.state.is_over:
        return REASONS[task.reason] or "the far side answers nothing"
    return "the far side works on it"
