"""Bindings, far sides, peers and the pause in lines for people: how each stands, why, and what comes next (pure)."""

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from console import text
from console.glyphs import Badge, badge
from console.relay_receipts import chat_words, still_running
from console.relay_rows import RelayRows
from core.api.base import Mark
from core.api.bindings import BindingView, Bot
from core.api.breakers import BreakerMode, BreakerState, BreakerTransition, BreakerView
from core.api.relay_targets import PeerView, RelayPause, TargetReport, TargetView
from core.api.relay_tasks import RelayTaskView

Line = tuple[str, str, str]
Age = Callable[[Mark], float]

_PORTS = {"http": 80, "https": 443}
_HELD_SIGN = ("■", "=")
_OFF_SIGN = ("·", "-")
_TOLD_SIGN = ("◌", "o")
_LAST_TRANSITIONS = 5
_BETWEEN = " > "
_WHO_CELLS, _WHY_CELLS = 16, 40
_ORDERED = {"hold": "held", "disable": "disabled"}
_BY_HAND = frozenset({*_ORDERED, "reset"})


def origin_of(url: str) -> str:
    """Scheme, host and port of an address, "" when it is none."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return ""
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}:{port}" if host and port else ""


def host_of(url: str) -> str:
    """Host and port of an address, as short as they can be said."""
    origin = origin_of(url)
    host = origin.partition("://")[2] or url
    for scheme, port in _PORTS.items():
        if origin.startswith(f"{scheme}:"):
            host = host.removesuffix(f":{port}")
    return text.clean(host)


def two_ends(left: str, right: str, cells: int, shorten: Callable[[str, int], str]) -> str:
    """From one to the other in so many cells; what one end does not need the other has."""
    room = cells - len(_BETWEEN)
    half = room // 2
    left_cells, right_cells = text.cell_width(left), text.cell_width(right)
    first = min(left_cells, max(half, room - right_cells))
    return f"{shorten(left, first)}{_BETWEEN}{shorten(right, room - first)}"


def target_of(rows: RelayRows, url: str) -> TargetView | None:
    """The far side that an address leads to; None while nothing is known of it."""
    origin = origin_of(url)
    scheme, _, rest = origin.partition("://")
    short = f"{scheme}://{rest.removesuffix(f':{_PORTS.get(scheme)}')}"
    return rows.targets.get(origin) or rows.targets.get(short)


# -- breakers


def _left(mark: Mark | None, age_s: Age) -> str:
    """The countdown to a time; "" without one, "due" when it is over."""
    if mark is None:
        return ""
    left_s = -age_s(mark)
    return text.age(left_s) if left_s > 0 else "due"


def _span(seconds: float) -> str:
    whole = max(0, int(seconds))
    return f"{whole // 60:02d}:{whole % 60:02d}"


def probe_words(view: BreakerView, age_s: Age) -> str:
    """How long the probe of a half-open breaker is out: `probe 00:12 of 00:30`; "" without one."""
    if view.probe_began is None:
        return ""
    limit = f" of {_span(view.probe_limit_s)}" if view.probe_limit_s else ""
    return f"probe {_span(age_s(view.probe_began))}{limit}"


def breaker_sign(view: BreakerView, age_s: Age, *, use_ascii: bool = False) -> Badge:
    """The breaker in a glyph and a word, with its countdown."""
    if view.mode is BreakerMode.HELD:
        return Badge(_HELD_SIGN[use_ascii], "held", "needs")
    if view.mode is BreakerMode.DISABLED:
        return Badge(_OFF_SIGN[use_ascii], "disabled", "needs")
    sign = badge(view.state, use_ascii=use_ascii)
    if view.state is BreakerState.OPEN:
        return Badge(sign.glyph, f"OPEN {_left(view.next_probe, age_s)}".rstrip(), sign.tone)
    if view.state is BreakerState.HALF_OPEN:
        since = f" {_span(age_s(view.probe_began))}" if view.probe_began else ""
        return Badge(sign.glyph, f"half{since}", sign.tone)
    return Badge(sign.glyph, "flapping" if view.is_flapping else sign.word, "needs" if view.is_flapping else sign.tone)


def bot_sign(bot: Bot, target: TargetView | None, age_s: Age, *, use_ascii: bool = False) -> Badge:
    """How one bot stands: off, told to wait, or as its breaker."""
    if not bot.enabled:
        return Badge(_OFF_SIGN[use_ascii], "off", "quiet")
    if target is None:
        return Badge(_OFF_SIGN[use_ascii], "unused", "quiet")
    return target_sign(target, age_s, use_ascii=use_ascii)


def target_sign(target: TargetView, age_s: Age, *, use_ascii: bool = False) -> Badge:
    """How a far side stands: as its breaker, or told to wait."""
    is_closed = target.breaker.state is BreakerState.CLOSED
    if is_closed and target.held is not None and age_s(target.held) < 0:
        return Badge(_TOLD_SIGN[use_ascii], f"told {_left(target.held, age_s)}", "needs")
    return breaker_sign(target.breaker, age_s, use_ascii=use_ascii)


def stop_words(rows: RelayRows, task: RelayTaskView, age_s: Age) -> str:
    """Why nothing goes to the far side of a message now, in at most 18 cells; "" when it does."""
    if rows.is_paused:
        return "relay paused"
    target = rows.targets.get(task.origin)
    if target is None or not is_stopped(target, age_s):
        return ""
    is_open = target.breaker.state is BreakerState.OPEN
    return f"{'breaker' if is_open else 'far side'} {target_sign(target, age_s).word}"


def rank(target: TargetView | None, age_s: Age) -> int:
    """By what lists are sorted: open, half-open, held, told to wait, disabled, the rest."""
    if target is None:
        return 6
    view = target.breaker
    if view.mode is BreakerMode.HELD:
        return 2
    if view.mode is BreakerMode.DISABLED:
        return 4
    if view.state is not BreakerState.CLOSED:
        return 0 if view.state is BreakerState.OPEN else 1
    return 3 if view.is_flapping or (target.held is not None and age_s(target.held) < 0) else 5


def is_stopped(target: TargetView, age_s: Age) -> bool:
    """Whether nothing goes there now."""
    return target.breaker.state is BreakerState.OPEN or (target.held is not None and age_s(target.held) < 0)


def is_tripped(target: TargetView) -> bool:
    """Whether its breaker opened by itself."""
    return target.breaker.state is BreakerState.OPEN and target.breaker.mode is BreakerMode.AUTOMATIC


def last_words(target: TargetView | None, age_s: Age) -> tuple[str, str]:
    """What the last attempt came to, with its tone."""
    if target is None or (target.last_ok is None and not target.last_error):
        return "-", "quiet"
    if target.last_error:
        status = str(target.last_status) if target.last_status else "error"
        failures = target.breaker.failures
        return (f"{status} x{failures}" if failures > 1 else status), "failing"
    return f"ok {text.age(age_s(target.last_ok))}" if target.last_ok else "-", "plain"


def fail_words(target: TargetView | None) -> tuple[str, str]:
    """The share of attempts that failed."""
    if target is None or target.success_rate is None:
        return "-", "quiet"
    ratio = 1 - target.success_rate
    return f"{ratio:.0%}", "failing" if ratio > 0.5 else "needs" if ratio else "plain"  # noqa: PLR2004 - half of them


def seconds_words(seconds: float | None) -> str:
    """A latency in at most five cells."""
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.0f}ms" if seconds < 1 else text.age(seconds) if seconds >= 10 else f"{seconds:.1f}s"  # noqa: PLR2004


# -- panes


def target_facts(target: TargetView, age_s: Age, *, clock: Callable[[Mark], str]) -> Iterator[Line]:
    """How a far side stands: breaker, cause, what waits, health, credential, what its breaker did."""
    yield from _breaker_lines(target, age_s)
    held_up = is_stopped(target, age_s) and target.waiting
    oldest = f", oldest {text.age(age_s(target.oldest))}" if target.oldest else ""
    kept = "held, none is lost" if held_up else f"{target.in_flight} being sent"
    counts = f"{target.waiting} wait{oldest} ({kept}); {target.working} unanswered; {target.dead} dead"
    yield "messages", counts, "needs" if held_up else "failing" if target.dead else "plain"
    if target.success_rate is None:
        yield "health", "no attempt yet", "quiet"
    else:
        ok = f", last ok {text.age(age_s(target.last_ok))} ago" if target.last_ok else ", never ok"
        times = f"p50 {seconds_words(target.p50_s)} p95 {seconds_words(target.p95_s)}"
        yield "health", f"{target.success_rate:.0%} of the last {target.sample_count} ok, {times}{ok}", "plain"
    status = f"{target.last_status} " if target.last_status else ""
    cause = f"{status}{target.last_error}" if target.last_error else ""
    # Where there is little room nothing is said twice.
    if cause and not (_says_cause(target.breaker) and target.breaker.last_error in {cause, target.last_error}):
        yield "last error", text.redact(text.clean(cause)), "failing"
    yield "key", _key_words(target, age_s), "plain"
    opened = text.counted(target.breaker.trip_count, "time")
    refused = f"{text.count(target.breaker.refused)} not let through; it opened {opened}"
    yield "refused", refused, "plain"
    yield from transition_lines(target.breaker.transitions, clock)


def _says_cause(view: BreakerView) -> bool:
    return bool(view.last_error) and view.state is not BreakerState.CLOSED


def _breaker_lines(target: TargetView, age_s: Age) -> Iterator[Line]:
    view = target.breaker
    since = text.age(age_s(view.since))
    probe = probe_words(view, age_s)
    left = _left(view.next_probe, age_s)
    if view.mode is BreakerMode.HELD:
        yield (
            "breaker",
            f"held open for {since}: {text.clean(view.reason) or 'no reason given'}; B releases it",
            "needs",
        )
    elif view.mode is BreakerMode.DISABLED:
        words = f"disabled for {since}: {text.clean(view.reason) or 'no reason given'}; all goes through until a reset"
        yield "breaker", words, "needs"
    elif view.state is BreakerState.OPEN:
        due = "the next message probes it" if left == "due" else f"probe in {left}" if left else "no probe is due"
        yield "breaker", f"OPEN for {since}, {due}; B probes now, holds or resets", "failing"
    elif view.state is BreakerState.HALF_OPEN:
        yield "breaker", f"half-open for {since}, {probe or 'the next message is the probe'}", "needs"
    else:
        row = f", {view.failures} failed in a row" if view.failures else ""
        yield "breaker", f"closed for {since}{row}", "needs" if view.failures else "well"
    if view.is_flapping:
        yield "", "it flaps: it opened often of late, with recoveries between", "needs"
    if target.held is not None and age_s(target.held) < 0:
        why = text.clean(target.held_why) or "it asked to be left alone"
        yield "told", f"to wait {_left(target.held, age_s)}: {why}", "needs"
    if _says_cause(view):
        yield "cause", text.redact(text.clean(view.last_error)), "failing"


def _key_words(target: TargetView, age_s: Age) -> str:
    if not target.peer:
        return "none is sent"
    if not target.fingerprint:
        return f"of peer {text.clean(target.peer)}, which has none to send"
    age = f", for {text.age(age_s(target.fingerprint_since))}" if target.fingerprint_since else ""
    return f"{text.clean(target.fingerprint)} of peer {text.clean(target.peer)}{age}"


def transition_lines(found: tuple[BreakerTransition, ...], clock: Callable[[Mark], str]) -> Iterator[Line]:
    """What a breaker did lately, the latest first."""
    lines: list[tuple[str, str]] = []
    before = ""
    for step in found[-_LAST_TRANSITIONS:]:
        # Open and held are one state for the machine, and not for whoever reads this.
        after = _ORDERED.get(step.step) or _state_word(step.after)
        cause = text.redact(text.clean(step.cause)) or ("an operator gave no reason" if step.step in _BY_HAND else "")
        words = f"{clock(step.at)}  {before or _state_word(step.before)} > {after}  {cause}".rstrip()
        tone = "needs" if step.step in _ORDERED else "failing" if step.after is BreakerState.OPEN else "plain"
        lines.append((words, tone))
        before = after
    label = "history"
    for words, tone in lines[::-1]:
        yield label, words, tone
        label = ""


def _state_word(state: BreakerState) -> str:
    return state.value.replace("_", "-")


def binding_facts(
    binding: BindingView, bot: Bot, target: TargetView | None, age_s: Age, *, clock: Callable[[Mark], str]
) -> list[Line]:
    """One bot of a binding, and the far side that it leads to."""
    where = chat_words(binding.platform, binding.chat)
    facts: list[Line] = [(f"-- {text.clean(bot.name)} of {where}", "", "")]
    if not bot.enabled:
        facts.append(("off", "nothing is sent to it; E switches it on", "needs"))
    facts += (
        list(target_facts(target, age_s, clock=clock)) if target else [("breaker", "nothing was sent yet", "quiet")]
    )
    facts.append(("address", f"{text.clean(bot.url)} ({bot.protocol.value})", "plain"))
    if bot.networks:
        facts.append(("private", f"may be in {text.clean(', '.join(bot.networks))}", "plain"))
    changed = f"{text.age(age_s(binding.changed))} ago" + (
        f" by {text.clean(binding.changed_by)}" if binding.changed_by else ""
    )
    facts.append(("binding", f"priority {bot.priority}, version {binding.version}, changed {changed}", "plain"))
    return facts


def target_pane(target: TargetView, age_s: Age, *, clock: Callable[[Mark], str]) -> list[Line]:
    """All of a far side."""
    facts: list[Line] = [(f"-- {text.clean(target.origin)}", "", "")]
    facts += target_facts(target, age_s, clock=clock)
    names = text.clean(", ".join(target.bots)) or "none any more: it fades when nothing waits"
    facts.append(("bots", names, "plain" if target.is_bound else "stale"))
    facts.append(("protocol", ", ".join(name.value for name in target.protocols) or "-", "plain"))
    return facts


def report_lines(report: TargetReport) -> list[Line]:
    """A check step by step."""
    lines: list[Line] = []
    for found in report.findings:
        word, tone = {True: ("ok", "well"), False: ("FAIL", "failing"), None: ("-", "quiet")}[found.is_ok]
        took = f"{found.seconds * 1000:.0f} ms  " if found.is_ok is not None else ""
        detail = text.redact(text.clean(found.detail)) or ("" if found.is_ok else "not reached")
        lines.append((found.step.value, f"{word:4} {took}{detail}", tone))
    who = f", calls itself {text.clean(report.identity)}" if report.identity else ""
    if report.is_ok:
        lines.append(
            ("result", f"it can be reached in {seconds_words(report.latency_s)}{who}; no agent did anything", "well")
        )
    else:
        lines.append(("result", f"it cannot be reached{who}; no agent did anything", "failing"))
    return lines


def peer_facts(peer: PeerView, age_s: Age) -> list[Line]:
    """All of a peer."""
    proofs = [text.counted(peer.key_count, "key")] if peer.key_count else []
    proofs += ["bearer token"] if peer.has_bearer else []
    prints = f": {text.clean(', '.join(peer.fingerprints))}" if peer.fingerprints else ""
    seen = f"{text.age(age_s(peer.last_seen))} ago" if peer.last_seen else "never since the start of the core"
    facts: list[Line] = [(f"-- peer {text.clean(peer.name)}", "", "")]
    if peer.problem:
        facts.append(("problem", text.redact(text.clean(peer.problem)), "failing"))
    facts += [
        ("answers", f"agent {text.clean(peer.agent) or 'by default'}", "plain"),
        ("proof", (" and ".join(proofs) or "none: it cannot call us") + prints, "plain" if proofs else "needs"),
        ("last seen", seen, "plain"),
        ("requests", f"{peer.taken} taken, {peer.repeated} repeated, {peer.refused} refused", "plain"),
        ("at work", f"{peer.in_flight} now, at most {peer.rate_per_min} a minute", "plain"),
        ("callback", text.clean(peer.callback) or "none: it asks for answers", "plain"),
    ]
    return facts


def pause_words(pause: RelayPause, age_s: Age) -> str:
    """The banner of a paused relay: since when, by whom, why, what still runs."""
    since = f" {text.age(age_s(pause.since))}" if pause.since else ""
    by = f" by {text.cut(text.clean(pause.by), _WHO_CELLS)}" if pause.by else ""
    why = f": {text.cut(text.clean(pause.reason), _WHY_CELLS)}" if pause.reason else ""
    return f"PAUSED{since}{by}{why}   {still_running(pause)}   P goes on"


def overview_words(rows: RelayRows, age_s: Age) -> tuple[str, str]:
    """The relay in one line: how many bindings, how their breakers stand, who is left alone."""
    if rows.error:
        return "the core cannot show it: 5 says why", "failing"
    views = [view.breaker for view in rows.targets.values()]
    closed = sum(view.state is BreakerState.CLOSED for view in views)
    half = sum(view.state is BreakerState.HALF_OPEN for view in views)
    words = [text.counted(len(rows.bindings), "binding")] + ([f"{closed} closed"] if views else [])
    words += [f"{half} half-open"] if half else []
    held = sum(view.mode is BreakerMode.HELD for view in views)
    words += [f"{held} held"] if held else []
    is_open = sorted((view for view in rows.targets.values() if is_tripped(view)), key=lambda view: -view.waiting)
    if is_open:
        words.append(f"{len(is_open)} OPEN {_open_words(is_open[0], age_s)}")
    if rows.pause is not None and rows.pause.is_paused:
        return f"PAUSED   {'   '.join(words)}", "needs"
    return "   ".join(words), "failing" if is_open else "plain"


def _open_words(target: TargetView, age_s: Age) -> str:
    name = text.clean(target.bots[0]) if target.bots else host_of(target.origin)
    left = _left(target.breaker.next_probe, age_s)
    return f"{name} (probe {'due' if left == 'due' else f'in {left}'})" if left else name
