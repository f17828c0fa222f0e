"""The core, its parts and its rates as lines of facts."""

from collections.abc import Iterable

from console import text
from console.event_line import EventLine
from console.glyphs import badge, tone_badge
from console.mailbox_words import difference
from console.mirror import Mirror
from console.platform_facts import PLATFORM_ORDER, platform_facts
from console.relay_facts import overview_words
from console.screens.base import Stage
from console.session_facts import Fact
from console.widgets.meter import spark
from core.api.deliveries import DeliveryState
from core.api.platforms import TROUBLED, PlatformState
from core.api.profiles import PoolState, ProfileView
from core.api.sessions import SessionState
from core.api.tasks import TaskState

_ORDER = (
    SessionState.RUNNING,
    SessionState.WAITING,
    SessionState.QUEUED,
    SessionState.FAILED,
    SessionState.INTERRUPTING,
    SessionState.IDLE,
)
_SPARK_WIDTH = 24
_LATEST_LINES = 40
_PLATFORM_LIMIT = 12
_SUBJECT_WIDTH, _KIND_WIDTH = 18, 18
LATE_LAG_S = 0.25


def system_facts(stage: Stage) -> list[Fact]:
    """Sessions, queues, deliveries, platforms, agents, tasks, rates, core: one line each."""
    mirror = stage.mirror
    facts: list[Fact] = [("-- system", "", "")]
    if mirror.health is None:
        # Nothing is known yet, and nothing is not the same as none.
        return [*facts, *core_facts(stage)]
    facts += [("sessions", _sessions(stage), "plain"), _queues(mirror)]
    facts += _mailboxes(stage)
    facts += [("deliveries", *_deliveries(mirror)), *_relay(stage), *_platforms(stage)]
    facts += [*_agents(mirror), *_tasks(mirror), *_rates(stage)]
    core = core_facts(stage)
    # Beside a narrow terminal's list there is room for one line; the rest is in :vitals.
    return [*facts, *(core if stage.is_wide else core[:1])]


def _sessions(stage: Stage) -> str:
    mirror = stage.mirror
    counts = mirror.counts
    loaded, total = len(mirror.sessions), mirror.session_total
    words = [text.count(total) if loaded >= total else f"{text.count(loaded)} of {text.count(total)} loaded"]
    for state in _ORDER:
        if counts[state.value]:
            sign = badge(state, use_ascii=stage.use_ascii)
            words.append(f"{sign.glyph} {text.count(counts[state.value])} {sign.word}")
    return "   ".join(words)


def _queues(mirror: Mirror) -> Fact:
    health = mirror.health
    queued = health.queued_count if health else 0
    waiting = len(mirror.open_approvals)
    words = f"{text.counted(queued, 'message')} in queues   {text.counted(waiting, 'decision')} open"
    return "waiting", words, "plain"


def _mailboxes(stage: Stage) -> Iterable[Fact]:
    mail = stage.mirror.mail
    if mail.error:
        yield "mailboxes", "the core cannot show them: 4 says why", "failing"
    elif mail.views:
        marks = [view.oldest for view in mail.views.values() if view.oldest is not None]
        oldest = f", oldest {text.age(max(stage.age_s(mark) for mark in marks))}" if marks else ""
        told, tone = difference(mail.difference)
        depth, dead = text.count(mail.depth), text.count(mail.total.dead)
        words = f"{text.count(len(mail.views))}   {depth} in them{oldest}   {dead} dead   {told}"
        yield "mailboxes", words, "failing" if tone == "failing" else "plain"


def _deliveries(mirror: Mirror) -> tuple[str, str]:
    counts: dict[DeliveryState, int] = {}
    for delivery in mirror.deliveries.values():
        counts[delivery.state] = counts.get(delivery.state, 0) + 1
    if not counts:
        return "all answers arrived", "plain"
    words = "   ".join(f"{count} {state.value}" for state, count in sorted(counts.items()))
    return words, "failing" if counts.get(DeliveryState.DEAD) else "needs"


def _relay(stage: Stage) -> Iterable[Fact]:
    relay = stage.mirror.work.relay
    # Who relays nothing need not read of it.
    if relay.bindings or relay.targets or relay.is_paused or relay.error:
        yield "relay", *overview_words(relay, stage.age_s)


def _platforms(stage: Stage) -> Iterable[Fact]:
    groups: dict[PlatformState, list[str]] = {}
    for view in sorted(stage.mirror.platforms.values(), key=lambda item: item.name):
        groups.setdefault(view.state, []).append(text.clean(view.name))
    label = "platforms"
    for state in PLATFORM_ORDER:
        if names := groups.get(state):
            sign = badge(state, use_ascii=stage.use_ascii)
            more = f" and {len(names) - _PLATFORM_LIMIT} more" if len(names) > _PLATFORM_LIMIT else ""
            tone = sign.tone if state in TROUBLED or state is PlatformState.PAUSED else "plain"
            yield label, f"{sign.text}: {', '.join(names[:_PLATFORM_LIMIT])}{more}", tone
            label = ""
    if not groups:
        yield label, "none configured", "quiet"


def platform_lines(stage: Stage, name: str) -> list[Fact]:
    """All of one connection."""
    view = stage.mirror.platforms.get(name)
    if view is None:
        return []
    busy = sum(1 for item in stage.mirror.busy_sessions() if item.source.platform == view.name)
    waiting = stage.mirror.work.outboxes.waiting_on(view)
    return platform_facts(view, stage.age_s, waiting=waiting, busy=busy, use_ascii=stage.use_ascii)


_AGENT_LIMIT = 8
_TASK_ORDER = (TaskState.RUNNING, TaskState.WAITING, TaskState.QUEUED, TaskState.ERROR, TaskState.DROPPED)


def _agents(mirror: Mirror) -> Iterable[Fact]:
    views = sorted(mirror.profiles.values(), key=lambda item: item.name)
    words = [f"{text.clean(view.name)} {_load(view)}" for view in views[:_AGENT_LIMIT]]
    if len(views) > _AGENT_LIMIT:
        words.append(f"and {len(views) - _AGENT_LIMIT} more")
    if words:
        yield "agents", "   ".join(words), "needs" if mirror.work.troubled else "plain"


def _load(view: ProfileView) -> str:
    """How busy an agent is, or what holds it back."""
    pool = view.pool
    if view.problem or not view.is_enabled:
        return "faulty" if view.problem else "disabled"
    busy, limit, waiting = (
        (view.busy, view.limit, view.waiting) if pool is None else (pool.busy, pool.limit, pool.waiting)
    )
    words = f"{busy}/{limit} busy" if pool is None or pool.state is PoolState.READY else pool.state.value
    return f"{words}, {waiting} wait" if waiting else words


def _tasks(mirror: Mirror) -> Iterable[Fact]:
    counts = mirror.work.counts
    words = [f"{text.count(counts[state])} {state.value}" for state in _TASK_ORDER if counts[state]]
    if words:
        yield "tasks", "   ".join(words), "plain"


_RATES = (("in", "messages in"), ("out", "runs ended"), ("failed", "runs failed"))


def _rates(stage: Stage) -> Iterable[Fact]:
    rates = stage.rates
    if not stage.is_wide:
        words = [f"{label} {rates.per_s(name):.1f}" for name, label in _RATES]
        yield "a second", "   ".join(words), "plain"
        return
    for name, label in _RATES:
        bars = spark(rates.bars(name, _SPARK_WIDTH), _SPARK_WIDTH, stage.use_ascii)
        yield label, f"{rates.per_s(name):5.1f}/s  {bars}", "plain"


def core_facts(stage: Stage) -> list[Fact]:
    """How the core is, by ages and measurements."""
    mirror, now = stage.mirror, stage.now()
    health = mirror.health
    if health is None:
        return [("core", "not heard of yet", "stale")]
    lag = f"lag p99 {health.loop_lag_p99_s * 1000:.1f} ms, most {health.loop_lag_max_s * 1000:.0f} ms"
    commit = f"commit p99 {health.commit_p99_s * 1000:.1f} ms, last {stage.age(health.last_commit)} ago"
    if health.last_commit is None:
        commit = "nothing stored yet"
    up = text.age(mirror.age_s(health.started, now))
    store = f"{text.clean(health.store_url)} {text.size(health.store_bytes)}   {commit}"
    tone = "needs" if health.loop_lag_p99_s > LATE_LAG_S else "plain"
    facts: list[Fact] = [
        ("core", f"{health.version}, pid {health.pid}, up {up}   {lag}", tone),
        ("store", store, "plain"),
        ("http", text.clean(health.http_url) or "not up", "plain" if health.http_url else "needs"),
    ]
    if health.is_draining:
        facts.insert(0, ("core", "is stopping: it takes nothing in any more", "needs"))
    return facts


_LEVEL_TONES = {"good": "well", "warn": "needs", "fail": "failing", "info": "quiet"}


def latest_facts(stage: Stage, *, since_seq: int | None, away_s: float | None) -> list[Fact]:
    """The newest lines of the journal that say more than daily business; or those since somebody looked."""
    lines = [line for line in stage.mirror.last_events(4_000) if _is_notable(line)]
    title = "latest"
    if since_seq is not None and away_s is not None:
        lines = [line for line in lines if line.seq > since_seq]
        title = f"since you looked, {text.age(away_s)}"
    facts: list[Fact] = [(f"-- {title}", "", "")]
    for line in lines[-_LATEST_LINES:][::-1]:
        # The sign carries the level; a page of red lines would say nothing any more.
        sign = tone_badge(_LEVEL_TONES.get(line.level, "quiet"), line.kind, use_ascii=stage.use_ascii)
        subject = text.fit(text.short_id(line.subject, _SUBJECT_WIDTH), _SUBJECT_WIDTH)
        words = f"{text.fit(sign.text, _KIND_WIDTH)} {subject} {text.clean(line.text)}"
        facts.append((text.clock_time(line.at), words, "plain"))
    if not lines:
        facts.append(("", "nothing out of the ordinary", "quiet"))
    return facts


def _is_notable(line: EventLine) -> bool:
    return line.level in {"warn", "fail"} or line.kind in {"platform up", "core started", "session opened"}
