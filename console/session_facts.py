"""All facts of a session as label, value and tone, each with its age (pure)."""

from console import text
from console.event_line import outcome_words
from console.glyphs import badge
from console.session_runtime import (
    Fact,
    alarms,
    asks_words,
    lease_facts,
    lease_words,
    memory_facts,
    meter,
    runner_facts,
    runner_words,
    usage_words,
)
from console.session_words import Age, doing, exact, is_quiet, run_words, silent_s
from core.api.approvals import ApprovalView
from core.api.base import Mark
from core.api.deliveries import DeliveryView
from core.api.runs import RunOutcome, RunView
from core.api.sessions import MessageView, SessionView

__all__ = [
    "Age",
    "Fact",
    "all_facts",
    "approval_facts",
    "delivery_facts",
    "disagreement",
    "message_facts",
    "message_words",
    "peek",
    "queue_words",
    "usage_words",
]


def _ago(mark: Mark | None, age: Age) -> str:
    return "never" if mark is None else f"{text.age(age(mark))} ago"


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
    facts += [("look", words, tone) for words, tone in alarms(view, age)]
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
        ("context", *meter(view, use_ascii=use_ascii)),
        ("runner", *runner_words(view.runner, use_ascii=use_ascii)),
        ("lease", *lease_words(view, age)),
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
        ("phase", run.phase.value.replace("_", " "), "plain"),
        ("does", run_words(run, age), "busy"),
        ("held by", text.clean(run.waits_for) or "nothing", "needs" if run.waits_for else "plain"),
        ("in phase", exact(run.phase_since, age), "plain"),
        ("started", f"{exact(run.started, age)}   limit {total}", "plain"),
        ("attempt", str(run.attempt), "plain"),
        ("tool", text.clean(run.tool) or "none", "plain"),
        ("model byte", exact(run.last_model_byte, age), "plain"),
        ("tool event", exact(run.last_tool_event, age), "plain"),
        ("silent", f"{text.age(silence)}   limit {limit}", "needs" if is_quiet(run, age) else "plain"),
        ("interrupt", "not asked" if run.interrupt_asked is None else exact(run.interrupt_asked, age), "plain"),
        ("retry", retry, "plain" if run.retry is None else "needs"),
        ("answers", ", ".join(text.clean(item) for item in run.message_ids) or "nothing", "plain"),
        ("task", text.clean(run.task_id or "") or "none", "plain"),
        ("model", text.clean(run.model) or "the agent's own", "plain"),
        ("mode", _run_mode(run), "plain" if run.asks else "failing"),
        ("usage", usage_words(run.usage), "plain"),
    ]
    for place, step in enumerate(run.plan):
        facts.append(("plan" if not place else "", f"[{step.status}] {text.clean(step.text)}", "plain"))
    return facts


def _run_mode(run: RunView) -> str:
    return (text.clean(run.mode) or "its only one") if run.asks else asks_words(run.mode)


def _outcome_facts(outcome: RunOutcome, age: Age) -> list[Fact]:
    tone = "well" if outcome.answered else "failing"
    return [
        (f"-- last run {text.clean(outcome.run_id)}", "", ""),
        ("stop", outcome.stop.value, tone),
        ("answered", "yes" if outcome.answered else "no", tone),
        ("ended", exact(outcome.ended, age), "plain"),
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
        ("created", exact(view.created, age), "plain"),
        ("heard", exact(view.inbound, age), "plain"),
        ("acknowledged", exact(view.outbound_ack, age), "plain"),
        ("queue", queue_words(view, age), "needs" if view.queue_depth else "plain"),
        ("queue head", exact(view.queue_head, age) if view.queue_head else "none", "plain"),
        ("lane holder", text.clean(view.lane_holder or "") or "nobody", "plain"),
        ("approvals", f"{view.open_approvals} open", "needs" if view.open_approvals else "plain"),
        ("unsent", f"{view.unsent} answers on their way", "needs" if view.unsent else "plain"),
        ("transcript", f"{text.count(view.entry_count)} entries", "plain"),
        ("tokens", f"in {text.count(view.input_tokens)}   out {text.count(view.output_tokens)}", "plain"),
        ("epoch", _epoch(view), "plain"),
        ("archived", "yes: the next message begins a new epoch" if view.is_archived else "no", _archived_tone(view)),
        ("whose", text.clean(view.user) or "nobody's in particular", "plain"),
        ("version", f"{view.version} of start {view.boot}", "plain"),
    ]
    if wrong := disagreement(view):
        facts.append(("disagree", wrong, "failing"))
    facts += [
        *runner_facts(view.runner, age, use_ascii=use_ascii),
        *lease_facts(view, age),
        *memory_facts(view, use_ascii=use_ascii),
    ]
    if view.run is not None:
        facts += _run_facts(view.run, age)
    else:
        facts += [("-- run", "", ""), ("", "no run goes on", "quiet")]
    if view.last_outcome is not None:
        facts += _outcome_facts(view.last_outcome, age)
    return facts


def _epoch(view: SessionView) -> str:
    words = f"{view.epoch}"
    if view.last_epoch is not None and view.last_epoch != view.epoch:
        words += f"   taken up again; the newest is {view.last_epoch}"
    if view.begun_by is not None:
        words += f"   begun by itself ({view.begun_by.value}); the chat is told with its next message"
    return words


def _archived_tone(view: SessionView) -> str:
    return "needs" if view.is_archived else "plain"


def message_words(message: MessageView, age: Age) -> str:
    """A queued message in one line."""
    steps = f", attempt {message.attempt + 1}" if message.attempt else ""
    why = f" ({text.clean(message.mode_reason)})" if message.mode_reason else ""
    mode = f"{message.mode.value}, done as {message.effective_mode.value}{why}"
    mode = message.effective_mode.value if message.mode is message.effective_mode else mode
    return f"{message.state.value} {text.age(age(message.received))}, {mode}{steps}"


def message_facts(message: MessageView, age: Age, *, place: str) -> list[Fact]:
    """All of a message that is not answered yet. place: in the queue, in words."""
    differs = message.mode is not message.effective_mode
    done = message.effective_mode.value if not differs else f"{message.effective_mode.value}, not {message.mode.value}"
    why = text.clean(message.mode_reason) or ("the core does not say" if differs else "as it was asked")
    facts: list[Fact] = [
        (f"-- message {text.clean(message.id)}", "", ""),
        ("place", place, "plain"),
        ("asked as", message.mode.value, "plain"),
        ("taken as", done, "needs" if differs else "plain"),
        ("because", why, "plain"),
        ("from", f"{text.clean(message.sender)} as {message.voice.value}", "plain"),
        ("came", exact(message.received, age), "plain"),
        ("task", text.clean(message.task_id or "") or "none", "plain"),
    ]
    if message.run_id:
        facts.append(("run", f"{text.clean(message.run_id)}, {message.state.value}", "plain"))
    if message.attempt:
        facts.append(("attempt", str(message.attempt + 1), "needs"))
    if message.due is not None:
        left_s = -age(message.due)
        facts.append(("waits", f"for {text.age(left_s)} more" if left_s > 0 else "no longer", "plain"))
    if message.part_of:
        facts.append(("part of", f"{text.clean(message.part_of)}: answered together; U takes it out", "plain"))
    if message.model:
        facts.append(("model", text.clean(message.model), "plain"))
    facts.append(("says", text.clean(message.text, keep_newlines=True), "strong"))
    return facts


def approval_facts(approval: ApprovalView, age: Age, *, behind: int) -> list[Fact]:
    """All of an approval: what is asked in full, by whom, and what became of it."""
    facts: list[Fact] = [
        (f"-- {text.clean(approval.title)}", "", ""),
        *((("warning", text.clean(item), "failing")) for item in approval.warnings),
        ("asks", text.reveal(approval.detail) or "nothing more", "strong"),
        *([("where", text.clean(approval.cwd), "plain")] if approval.cwd else []),
        ("kind", f"{approval.action_kind.value}, {approval.kind.value}", "plain"),
        ("asked by", _asker(approval), "plain"),
        ("because", text.clean(approval.why_asked) or "the agent asks", "plain"),
        ("session", text.clean(approval.session_id), "plain"),
        ("asked", exact(approval.asked, age), "plain"),
        ("deadline", _deadline(approval, age), "plain"),
        ("behind it", text.counted(behind, "queued message") if behind else "nothing", "needs" if behind else "plain"),
        ("answers", ", ".join(text.clean(option.label) for option in approval.options) or "yes or no", "plain"),
        ("digest", approval.digest, "plain"),
        ("shown on", _surfaces(approval, age), "plain" if approval.surfaces else "failing"),
        *([("asked before", f"{approval.replaces}, orphaned by a restart", "plain")] if approval.replaces else []),
        *([("asked again", str(approval.replaced_by), "plain")] if approval.replaced_by else []),
    ]
    if approval.decided is not None:
        facts += [
            ("decided", _decision(approval), "strong"),
            ("", exact(approval.decided, age), "plain"),
            ("reason", text.clean(approval.reason) or "none given", "plain"),
            ("told agent", approval.delivery or "not yet", "plain"),
            *([("answer", text.clean(approval.answer), "plain")] if approval.answer else []),
            *([("result", text.clean(approval.result), "plain")] if approval.result else []),
        ]
    return facts


def _asker(approval: ApprovalView) -> str:
    chain = " > ".join(map(text.clean, (approval.agent, *approval.chain)))
    wanted = f", for {text.clean(approval.requester)}" if approval.requester else ""
    return f"{chain}, run {text.clean(approval.run_id)}, runner {approval.generation}{wanted}"


def _surfaces(approval: ApprovalView, age: Age) -> str:
    shown = [
        f"{text.clean(item.name)}{f' seen {text.age(age(item.seen))} ago' if item.seen else ''}"
        for item in approval.surfaces
    ]
    return ", ".join(shown) or "no surface shows it"


def _decision(approval: ApprovalView) -> str:
    why = f" ({approval.ended.value})" if approval.ended else ""
    reach = f", for this {approval.scope.value}" if approval.scope.value != "once" else ""
    return f"{approval.state.value}{why} by {text.clean(approval.decided_by)}{reach}"


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
        ("created", exact(delivery.created, age), "plain"),
        ("session", text.clean(delivery.session_id), "plain"),
        ("platform", text.clean(delivery.platform), "plain"),
        *([("part", f"{delivery.part} of {delivery.part_count}", "plain")] if delivery.part_count > 1 else []),
        *([("file", text.clean(delivery.file), "plain")] if delivery.file else []),
        ("text", text.clean(delivery.text, keep_newlines=True), "plain"),
    ]
