"""What works for a session: its runner, its lease, its memory and how full that is, as facts and words (pure)."""

from collections.abc import Iterator, Mapping

from console import text
from console.glyphs import badge
from console.session_words import Age, exact
from console.widgets.meter import bar
from core.api.approvals import ApprovalView
from core.api.runs import Compacted, CompactionState, LeaseView, RunnerView, Usage
from core.api.sessions import SessionView

Fact = tuple[str, str, str]
"""Label, value, tone of the value."""

LEASE_STALE_S = 30.0
"""The core renews the lease of a run that goes on every ten seconds; three missed ones are a finding."""

_BAR_CELLS = 8
_NEARLY_FULL = 0.8
_ALARM_CELLS = 60


def asks_words(mode: str) -> str:
    """That an agent acts without asking, in the mode that it names."""
    return f"{text.clean(mode)}: it does not ask" if mode else "it does not ask"


def unasked(view: SessionView) -> str:
    """That the agent of a session acts without asking; "" while it asks."""
    if view.run is not None and not view.run.asks:
        return asks_words(view.run.mode)
    if view.runner is not None and not view.runner.asks:
        return asks_words(view.runner.mode)
    return ""


def lease_problem(view: SessionView, age: Age) -> str:
    """Why a lease is not worth what it says; "" for a good one and for none."""
    lease = view.lease
    if lease is None:
        return ""
    if lease.boot != view.boot:
        return f"lease of start {lease.boot}, and the core is at {view.boot}"
    renewed_s = age(lease.renewed)
    return f"lease stale: renewed {text.age(renewed_s)} ago" if renewed_s > LEASE_STALE_S else ""


def alarms(view: SessionView, age: Age) -> list[tuple[str, str]]:
    """What an operator must not miss about a session, each with its tone, the worst first."""
    found: list[tuple[str, str]] = [(words, "failing") for words in (unasked(view), lease_problem(view, age)) if words]
    if view.compaction is not None and view.compaction.state is not CompactionState.DONE:
        found.append(
            (text.cut(compaction_words(view.compaction), _ALARM_CELLS, ellipsis="~"), badge(view.compaction.state).tone)
        )
    if view.is_archived:
        found.append(("archived", "stale"))
    return found


# -- memory --------------------------------------------------------------------


def compaction_words(found: Compacted) -> str:
    """What became of the last try to make the agent's memory shorter."""
    sizes = f"{text.short_count(found.before_tokens)}->{text.short_count(found.after_tokens)}"
    limit = f" (limit {text.short_count(found.limit_tokens)})" if found.limit_tokens else ""
    if found.state is CompactionState.INEFFECTIVE:
        return f"compaction ineffective {sizes}{limit}"
    if found.state is CompactionState.FAILED:
        return f"compaction failed: {text.redact(text.clean(found.error)) or 'no reason given'}"
    by_rule = ", by rule and not by a model" if found.is_digest else ""
    return f"compacted {sizes}{limit}{by_rule}"


def context(view: SessionView) -> tuple[int, int, str]:
    """Tokens that the agent is given, how many it takes (0 is unknown), and where the figures come from."""
    limit = view.compaction.limit_tokens if view.compaction is not None else 0
    if view.run is not None and view.run.usage.context_tokens:
        usage = view.run.usage
        return usage.context_tokens, usage.context_limit or limit, "as the agent says"
    outcome = view.last_outcome
    # After a reset the agent knows nothing, whatever the run before it was given.
    if outcome is not None and outcome.usage.context_tokens and view.context_tokens:
        usage = outcome.usage
        return usage.context_tokens, usage.context_limit or limit, "as the last run ended"
    return view.context_tokens, limit, "estimate"


def meter(view: SessionView, *, use_ascii: bool) -> tuple[str, str]:
    """How full the memory is: a bar with its figures, and a tone."""
    used, limit, source = context(view)
    if not limit:
        return f"{text.short_count(used)} tokens, {source}", "plain"
    share = used / limit
    figures = f"{text.short_count(used)}/{text.short_count(limit)} {share:.0%}"
    tone = "failing" if share > 1 else "needs" if share >= _NEARLY_FULL else "plain"
    return f"{bar(used, limit, _BAR_CELLS, use_ascii)} {figures}, {source}", tone


def memory_facts(view: SessionView, *, use_ascii: bool) -> Iterator[Fact]:
    """What the agent is given of the conversation."""
    words, tone = meter(view, use_ascii=use_ascii)
    yield ("-- memory", "", "")
    yield ("context", words, tone)
    yield ("estimate", f"{text.count(view.context_tokens)} tokens", "plain")
    found = view.compaction
    if found is None:
        yield ("compaction", "never tried", "plain")
    else:
        tries = f"   {text.counted(found.tries, 'try', 'tries')} in a row" if found.tries else ""
        sign = badge(found.state, use_ascii=use_ascii)
        yield ("compaction", f"{sign.glyph} {compaction_words(found)}{tries}", sign.tone)
    summary = f"entry {text.clean(view.summary_id)} stands for what came before it" if view.summary_id else "none"
    yield ("summary", summary, "plain")


def usage_words(usage: Usage) -> str:
    """Tokens and cost in one line."""
    words = f"in {text.short_count(usage.input_tokens)}   out {text.short_count(usage.output_tokens)}"
    if usage.context_limit:
        words += f"   context {text.short_count(usage.context_tokens)}/{text.short_count(usage.context_limit)}"
    return f"{words}   ${usage.cost_usd:.4f}" if usage.cost_usd else words


# -- runner and lease ----------------------------------------------------------


def runner_words(runner: RunnerView | None, *, use_ascii: bool) -> tuple[str, str]:
    """A runner in one line."""
    if runner is None:
        return "none is kept; the next turn gets one", "quiet"
    sign = badge(runner.state, use_ascii=use_ascii)
    words = f"{sign.text}   {text.clean(runner.kind)} {runner.generation}"
    return (f"{words}   {asks_words(runner.mode)}", "failing") if not runner.asks else (words, sign.tone)


def told_facts(facts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What a runner tells of itself, harmless: label and value of each fact."""
    for name, value in facts.items():
        # A name that looked like a heading would be drawn as one.
        yield text.clean(name).lstrip("- ") or "fact", text.redact(text.clean(value))


def runner_facts(runner: RunnerView | None, age: Age, *, use_ascii: bool) -> Iterator[Fact]:
    """All of the runner of a session."""
    yield ("-- runner", "", "")
    if runner is None:
        yield ("runner", runner_words(None, use_ascii=use_ascii)[0], "quiet")
        return
    sign = badge(runner.state, use_ascii=use_ascii)
    yield ("runner", f"{sign.text}   for {text.age(age(runner.since))}", sign.tone)
    yield ("its kind", f"{text.clean(runner.kind)}   generation {runner.generation}", "plain")
    yield ("last sign", f"{text.age(age(runner.active))} ago", "plain")
    yield ("model", text.clean(runner.model) or "the agent's own", "plain")
    if runner.asks:
        yield ("mode", text.clean(runner.mode) or "its only one", "plain")
    else:
        yield ("mode", asks_words(runner.mode), "failing")
    yield ("its user", text.clean(runner.user) or "nobody in particular", "plain")
    yield ("works on", text.clean(runner.run_id or "") or "nothing", "plain")
    for name, value in told_facts(runner.facts):
        yield (name, value, "plain")


def lease_words(view: SessionView, age: Age) -> tuple[str, str]:
    """The lease in one line."""
    lease = view.lease
    if lease is None:
        return "nobody holds it", "quiet"
    renewed = f"token {lease.token}, renewed {text.age(age(lease.renewed))} ago"
    problem = lease_problem(view, age)
    return f"{text.clean(lease.run_id)}, {problem or renewed}", "failing" if problem else "plain"


def lease_facts(view: SessionView, age: Age) -> Iterator[Fact]:
    """Who may write to a session, and how sure that is."""
    lease: LeaseView | None = view.lease
    yield ("-- lease", "", "")
    if lease is None:
        yield ("held by", f"nobody; the last token was {view.lease_token}", "quiet")
        return
    problem = lease_problem(view, age)
    yield ("held by", f"{text.clean(lease.run_id)}   token {lease.token} of {view.lease_token}", "plain")
    yield ("since", f"{exact(lease.since, age)}   start {lease.boot}", "plain")
    renewed = exact(lease.renewed, age)
    yield ("renewed", f"{renewed}   {problem}" if problem else renewed, "failing" if problem else "plain")


# -- decisions -----------------------------------------------------------------


def left_words(approval: ApprovalView, age: Age) -> str:
    """How long a decision may still be made."""
    if approval.deadline is None:
        return "never expires"
    left_s = -age(approval.deadline)
    return f"{text.age(left_s)} left" if left_s > 0 else "over"


def hangs_words(approval: ApprovalView, queue_depth: int) -> str:
    """What goes on only after a decision."""
    words = [f"run {text.clean(approval.run_id)}"]
    if approval.task_id:
        words.append(f"task {text.clean(approval.task_id)}")
    if queue_depth:
        words.append(text.counted(queue_depth, "queued message"))
    return ", ".join(words)
