"""All facts of an agent, its pool and its runners as label, value and tone (pure)."""

from collections.abc import Iterator

from console import text
from console.glyphs import Badge, badge, tone_badge
from console.session_facts import Age, Fact
from console.session_runtime import told_facts
from core.api.policies import Enforcement, ExecutionPolicy
from core.api.profiles import PoolState, PoolView, ProfileView
from core.api.runs import RunnerView

_TONES = {Enforcement.ENFORCED: "well", Enforcement.ADVISORY: "needs", Enforcement.UNKNOWN: "stale"}


def state_of(view: ProfileView) -> PoolState:
    """Whether its runs may start; a fault in its profile is not looked at."""
    if not view.is_enabled:
        return PoolState.DISABLED
    return view.pool.state if view.pool else PoolState.READY


def agent_badge(view: ProfileView, *, use_ascii: bool) -> Badge:
    """The state of an agent: a fault in its profile counts more than its pool."""
    if view.problem:
        return tone_badge("failing", "faulty", use_ascii=use_ascii)
    return badge(state_of(view), use_ascii=use_ascii)


def pool_words(view: ProfileView, age: Age) -> str:
    """How busy it is, and why nothing starts when nothing does."""
    pool = view.pool
    if pool is None:
        return f"{view.busy} of {view.limit} running, {view.waiting} waiting"
    words = f"{pool.busy} of {pool.limit} running, {pool.waiting} waiting"
    if pool.limit != pool.configured_limit:
        words += f"   (limit by operator; the profile says {pool.configured_limit})"
    if pool.state is PoolState.DEGRADED and pool.retry is not None:
        words += f"   next try in {text.age(max(0.0, -age(pool.retry)))}"
    return words


def why_words(pool: PoolView) -> str:
    """Who or what holds it back; "" when nothing does."""
    if pool.state is PoolState.PAUSED:
        by = f"paused by {text.clean(pool.changed_by)}" if pool.changed_by else "paused"
        return f"{by}: {text.clean(pool.reason)}" if pool.reason else by
    if pool.state in {PoolState.DEGRADED, PoolState.PROBING}:
        return text.clean(pool.reason) or f"{pool.failure_count} failures in a row"
    return ""


def agent_peek(view: ProfileView, age: Age, *, use_ascii: bool) -> list[Fact]:
    """The few facts that the list shows of the agent under its cursor."""
    sign = agent_badge(view, use_ascii=use_ascii)
    facts: list[Fact] = [(f"-- {text.clean(view.name)}", "", ""), ("state", sign.text, sign.tone)]
    if view.problem:
        facts.append(("problem", text.clean(view.problem), "failing"))
    if view.pool is not None and (why := why_words(view.pool)):
        facts.append(("held by", why, "needs"))
    facts += [
        ("pool", pool_words(view, age), "plain"),
        ("runner", f"{view.runner}   {text.clean(view.model)}", "plain"),
        ("asks", _asks(view), "plain" if view.approvals else "needs"),
        ("isolation", text.clean(view.isolation), "plain"),
    ]
    if view.pool is not None:
        facts.append(("runners", _runners(view.pool), "plain"))
    return facts


def _asks(view: ProfileView) -> str:
    if not view.approvals:
        return "never: this runner has no approvals"
    unasked = view.pool.unasked_count if view.pool else 0
    without = f"   {text.counted(unasked, 'action')} ran without asking" if unasked else ""
    return f"{view.policy.security.value}, {view.policy.ask.value}{without}"


def _runners(pool: PoolView) -> str:
    bound = f" of {pool.runner_limit}" if pool.runner_limit else ""
    gone = f"reaped {pool.reaped_count}, reset {pool.reset_count}, compacted {pool.compacted_count}"
    return f"{pool.runner_count}{bound} live   since the start: {gone}"


def agent_facts(view: ProfileView, age: Age, *, use_ascii: bool) -> list[Fact]:
    """Everything about an agent."""
    written = {"config": "the configuration", "file": text.clean(view.file), "stored": "the store"}
    synced = f"   read {text.age(age(view.synced))} ago" if view.synced is not None else ""
    default = "   the default agent" if view.is_default else ""
    return [
        *agent_peek(view, age, use_ascii=use_ascii),
        ("written in", f"{written[view.origin.value]}{synced}{default}", "plain"),
        ("fingerprint", view.fingerprint or "-", "quiet"),
        ("fast model", text.clean(view.fast_model) or "the model itself", "plain"),
        ("steering", "takes text in while it works" if view.steer else "takes nothing in while it works", "plain"),
        ("", "", ""),
        *policy_facts(view.policy),
        ("", "", ""),
        *_enforced(view),
    ]


def policy_facts(policy: ExecutionPolicy) -> Iterator[Fact]:
    """What a run may do."""
    limits = policy.resources
    bounds = [
        f"{limits.cpu_s} s of processor" if limits.cpu_s else "",
        f"{text.size(limits.memory_bytes)} of memory" if limits.memory_bytes else "",
        f"{limits.process_count} processes" if limits.process_count else "",
        f"files up to {text.size(limits.file_bytes)}" if limits.file_bytes else "",
    ]
    yield ("-- policy", "", "")
    yield ("may", f"{policy.security.value}; asks {policy.ask.value}", "plain")
    yield ("without ask", ", ".join(text.clean(item) for item in policy.allow) or "nothing is listed", "plain")
    yield ("carried by", f"{policy.runtime_type.value}, tools in the {policy.host.value}", "plain")
    yield ("workspace", policy.workspace_access.value, "plain")
    yield ("network", "on" if policy.network_enabled else "off", "plain")
    yield ("bounds", ", ".join(item for item in bounds if item) or "none of ours", "plain")
    yield ("retry", f"{policy.retry.max_attempts} attempts, {policy.retry.delay_ms} ms between", "plain")


def _enforced(view: ProfileView) -> Iterator[Fact]:
    if not view.enforcement:
        return
    yield ("-- who keeps the policy", "", "")
    for item in view.enforcement:
        yield (text.clean(item.field), f"{item.enforcement.value}: {text.clean(item.why)}", _TONES[item.enforcement])


def runner_facts(view: RunnerView, age: Age, *, use_ascii: bool) -> list[Fact]:
    """All of a runner."""
    sign = badge(view.state, use_ascii=use_ascii)
    mode = f"{text.clean(view.mode)}, it does not ask" if view.mode and not view.asks else text.clean(view.mode)
    return [
        (f"-- runner of {text.clean(view.session_id)}", "", ""),
        ("state", f"{sign.text}   for {text.age(age(view.since))}", sign.tone),
        ("last sign", f"{text.age(age(view.active))} ago", "plain"),
        ("kind", f"{view.kind}   generation {view.generation}", "plain"),
        ("model", text.clean(view.model) or "-", "plain"),
        ("mode", mode or "-", "plain" if view.asks else "failing"),
        ("user", text.clean(view.user) or "-", "plain"),
        ("run", str(view.run_id or "-"), "plain"),
        *((name[:11], value, "quiet") for name, value in told_facts(view.facts)),
    ]
