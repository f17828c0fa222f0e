"""All facts of a session as label, value and tone, each with its age (pure)."""

from collections.abc import Callable

from console import text
from console.event_line import outcome_words
from console.glyphs import badge
from console.session_words import doing, is_quiet, run_words, silent_s
from core.api.approvals import ApprovalView
from core.api.base import Mark
from core.api.deliveries import DeliveryView
from core.api.runs import RunOutcome, RunView, Usage
from core.api.sessions import MessageView, SessionView

Fact = tuple[str, str, str]
Age = Callable[[Mark], float]


def _ago(mark: Mark | None, age: Age) -> str:
    return "never" if mark is None else f"{text.age(age(mark))} ago"


def _exact(mark: Mark | None, age: Age) -> str:
    return "never" if mark is None else f"{text.age(age(mark))} ago   {text.stamp(mark.at)}"


def usage_words(usage: Usage) -> str:
    """Tokens and cost in one line."""
    words = f"in {text.short_count(usage.input_tokens)}   out {text.short_count(usage.output_tokens)}"
    if usage.context_limit:
        words += f"   context {text.short_count(usage.context_tokens)}/{text.short_count(usage.context_limit)}"
    return f"{words}   ${usage.cost_usd:.4f}" if usage.cost_usd else words


def disagreement(view: SessionView) -> str:
    """Where the session's own books and the agent runtime do not say the same; "" where they do."""
    running = view.run.id if view.run else None
    if view.lane_holder == running:
        return ""
    return f"the lane is held by {view.lane_holder or 'nobody'}, the runtime runs {running or 'nothing'}"


def peek(view: SessionView, approval: ApprovalView | None, age: Age, *, use_ascii: bool) -> list[Fact]:
    """The few facts that a list shows of the session under its cursor."""
    sign = badge(view.state, use_ascii=use_ascii)
    facts: list[Fact] = [(f"-- {text.clean(view.id)}", "", "")]
    facts.append(("state", f"{sign.text}   {doing(view, approval, age)}", sign.tone))
    if wrong := disagreement(view):
        facts.append(("disagree", wrong, "failing"))
    if view.run is not None and is_quiet(view.run, age):
        silence, limit = text.age(silent_s(view.run, age)), text.age(view.run.stall_limit_s)
        facts.append(("silent", f"{silence} of {limit} allowed", "needs"))
    heard = f"in {_ago(view.inbound, age)}   out {_ago(view.outbound_ack, age)}"
    facts += [
        ("queue", queue_words(view, age), "needs" if view.queue_depth else "plain"),
        ("traffic", heard, "plain"),
    ]
    if view.run is not None:
        run = view.run
        started = f"{run.id} started {_ago(run.started, age)}, attempt {run.attempt}"
        facts.append(("run", started, "plain"))
    if view.last_outcome is not None:
        outcome = view.last_outcome
        ended = f"{text.clean(outcome_words(outcome))}, {_ago(outcome.ended, age)}"
        facts.append(("last run", ended, "plain" if outcome.answered else "failing"))
    facts += [
        ("agent", text.clean(view.agent), "plain"),
        ("platform", f"{text.clean(view.source.platform)} {view.source.kind.value}", "plain"),
        ("transcript", f"{text.count(view.entry_count)} entries, epoch {view.epoch}", "plain"),
        ("tokens", f"in {text.short_count(view.input_tokens)}   out {text.short_count(view.output_tokens)}", "plain"),
    ]
    return facts


def queue_words(view: SessionView, age: Age) -> str:
    """How many wait, of how many that may, and since when the first one does."""
    if not view.queue_depth:
        return "empty"
    oldest = f", the oldest {text.age(age(view.queue_head))}" if view.queue_head else ""
    return f"{view.queue_depth} of {view.queue_limit} waiting{oldest}"


def _run_facts(run: RunView, age: Age) -> list[Fact]:
    retry = "none"
    if run.retry is not None:
        due = max(0.0, -age(run.retry.next_at))
        retry = f"try {run.retry.count + 1} in {text.age(due)}: {text.clean(run.retry.reason)}"
    silence = silent_s(run, age)
    limit = text.age(run.stall_limit_s) if run.stall_limit_s else "none"
    total = text.age(run.total_limit_s) if run.total_limit_s else "none"
    facts: list[Fact] = [
        (f"-- run {text.clean(run.id)}", "", ""),
        ("phase", run_words(run, age), "busy"),
        ("in phase", _exact(run.phase_since, age), "plain"),
        ("started", f"{_exact(run.started, age)}   limit {total}", "plain"),
        ("attempt", str(run.attempt), "plain"),
        ("tool", text.clean(run.tool) or "none", "plain"),
        ("model byte", _exact(run.last_model_byte, age), "plain"),
        ("tool event", _exact(run.last_tool_event, age), "plain"),
        ("silent", f"{text.age(silence)}   limit {limit}", "needs" if is_quiet(run, age) else "plain"),
        ("interrupt", "not asked" if run.interrupt_asked is None else _exact(run.interrupt_asked, age), "plain"),
        ("retry", retry, "plain" if run.retry is None else "needs"),
        ("answers", ", ".join(text.clean(item) for item in run.message_ids) or "nothing", "plain"),
        ("usage", usage_words(run.usage), "plain"),
    ]
    for place, step in enumerate(run.plan):
        facts.append(("plan" if not place else "", f"[{step.status}] {text.clean(step.text)}", "plain"))
    return facts


def _outcome_facts(outcome: RunOutcome, age: Age) -> list[Fact]:
    tone = "well" if outcome.answered else "failing"
    return [
        (f"-- last run {text.clean(outcome.run_id)}", "", ""),
        ("stop", outcome.stop.value, tone),
        ("answered", "yes" if outcome.answered else "no", tone),
        ("ended", _exact(outcome.ended, age), "plain"),
        ("took", f"{outcome.duration_s:.2f} s", "plain"),
        ("error", text.clean(outcome.error) or "none", "failing" if outcome.error else "plain"),
        ("code", text.clean(outcome.code) or "none", "plain"),
        ("usage", usage_words(outcome.usage), "plain"),
    ]


def all_facts(view: SessionView, age: Age, *, use_ascii: bool) -> list[Fact]:
    """Every field of a session and of its run, with ages and absolute times."""
    sign = badge(view.state, use_ascii=use_ascii)
    source = view.source
    facts: list[Fact] = [
        ("-- session", "", ""),
        ("id", text.clean(view.id), "strong"),
        ("state", sign.text, sign.tone),
        ("title", text.clean(view.title) or "none", "plain"),
        ("platform", text.clean(source.platform), "plain"),
        ("kind", source.kind.value, "plain"),
        ("chat", text.clean(source.chat), "plain"),
        ("chat name", text.clean(source.chat_name) or "none", "plain"),
        ("thread", text.clean(source.thread or "") or "none", "plain"),
        ("user", text.clean(source.user or "") or "all who are in the chat", "plain"),
        ("agent", text.clean(view.agent), "plain"),
        ("created", _exact(view.created, age), "plain"),
        ("heard", _exact(view.inbound, age), "plain"),
        ("acknowledged", _exact(view.outbound_ack, age), "plain"),
        ("queue", queue_words(view, age), "needs" if view.queue_depth else "plain"),
        ("queue head", _exact(view.queue_head, age) if view.queue_head else "none", "plain"),
        ("lane holder", text.clean(view.lane_holder or "") or "nobody", "plain"),
        ("approvals", f"{view.open_approvals} open", "needs" if view.open_approvals else "plain"),
        ("unsent", f"{view.unsent} answers on their way", "needs" if view.unsent else "plain"),
        ("transcript", f"{text.count(view.entry_count)} entries", "plain"),
        ("tokens", f"in {text.count(view.input_tokens)}   out {text.count(view.output_tokens)}", "plain"),
        ("epoch", f"{view.epoch}", "plain"),
        ("version", f"{view.version} of start {view.boot}", "plain"),
    ]
    if wrong := disagreement(view):
        facts.append(("disagree", wrong, "failing"))
    if view.run is not None:
        facts += _run_facts(view.run, age)
    else:
        facts += [("-- run", "", ""), ("", "no run goes on", "quiet")]
    if view.last_outcome is not None:
        facts += _outcome_facts(view.last_outcome, age)
    return facts


def message_words(message: MessageView, age: Age) -> str:
    """A queued message in one line."""
    steps = f", attempt {message.attempt + 1}" if message.attempt else ""
    why = f" ({text.clean(message.mode_reason)})" if message.mode_reason else ""
    mode = f"{message.mode.value}, done as {message.effective_mode.value}{why}"
    mode = message.effective_mode.value if message.mode is message.effective_mode else mode
    return f"{message.state.value} {text.age(age(message.received))}, {mode}{steps}"


def approval_facts(approval: ApprovalView, age: Age, *, behind: int) -> list[Fact]:
    """All of an approval: what is asked in full, by whom, and what became of it."""
    facts: list[Fact] = [
        (f"-- {text.clean(approval.title)}", "", ""),
        ("asks", text.reveal(approval.detail) or "nothing more", "strong"),
        ("kind", approval.kind.value, "plain"),
        ("asked by", f"{text.clean(approval.agent)}, run {text.clean(approval.run_id)}", "plain"),
        ("session", text.clean(approval.session_id), "plain"),
        ("asked", _exact(approval.asked, age), "plain"),
        ("deadline", _deadline(approval, age), "plain"),
        ("behind it", f"{behind} queued messages" if behind else "nothing", "needs" if behind else "plain"),
        ("answers", ", ".join(text.clean(option.label) for option in approval.options) or "yes or no", "plain"),
        ("digest", approval.digest, "plain"),
    ]
    if approval.decided is not None:
        facts += [
            ("decided", f"{approval.state.value} by {text.clean(approval.decided_by)}", "strong"),
            ("", _exact(approval.decided, age), "plain"),
            ("reason", text.clean(approval.reason) or "none given", "plain"),
            ("told agent", approval.delivery or "not yet", "plain"),
        ]
    return facts


def _deadline(approval: ApprovalView, age: Age) -> str:
    if approval.deadline is None:
        return "never expires"
    left_s = -age(approval.deadline)
    return f"in {text.age(left_s)}, then it expires" if left_s > 0 else "passed"


def delivery_facts(delivery: DeliveryView, age: Age, *, use_ascii: bool) -> list[Fact]:
    """All of a delivery."""
    sign = badge(delivery.state, use_ascii=use_ascii)
    due = "none planned"
    if delivery.next_try is not None:
        left_s = -age(delivery.next_try)
        due = f"in {text.age(left_s)}" if left_s > 0 else "due now"
    return [
        (f"-- {text.clean(delivery.id)}", "", ""),
        ("state", sign.text, sign.tone),
        ("error", text.clean(delivery.error) or "none", "failing" if delivery.error else "plain"),
        ("attempt", str(delivery.attempt), "plain"),
        ("next try", due, "plain"),
        ("created", _exact(delivery.created, age), "plain"),
        ("session", text.clean(delivery.session_id), "plain"),
        ("platform", text.clean(delivery.platform), "plain"),
        ("text", text.clean(delivery.text, keep_newlines=True), "plain"),
    ]
