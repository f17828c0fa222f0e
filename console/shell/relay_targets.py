"""Shell commands about the far sides of the relay: health, checks, peers, the pause of all, who relays to whom."""

import argparse

from console.exit_codes import Exit
from console.relay_facts import report_lines, seconds_words
from console.relay_graph import branches
from console.relay_receipts import checked, pause_is
from console.shell.breakers import breaker_state
from console.shell.call import Call, Verb
from console.shell.flags import add_nothing, add_reason
from console.shell.printing import facts, since, table
from console.shell.relay_flags import add_bot, add_chat, bot_of
from console.text import clean, stamp
from core.api.base import Mark
from core.api.errors import InvalidInput, NotFound
from core.api.relay_targets import (
    CheckTarget,
    GetRelayGraph,
    ListTargets,
    PauseRelay,
    PeerView,
    RelayGraph,
    RelayPause,
    ResumeRelay,
    TargetList,
    TargetView,
)


def _add_test(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", default="", help="of the bot")
    parser.add_argument("--to", default="", metavar="NAME", help="the same")
    add_chat(parser)
    parser.add_argument("--url", default="", help="look at this address, whether the bot is bound or not")
    add_bot(parser)


async def _test(call: Call) -> int:
    args = call.args
    name = args.name or args.to
    if not name or (args.name and args.to):
        raise InvalidInput("say which bot, once", field="name", value=args.to, fix="relay test_relay NAME")
    bot = bot_of(args, name, args.url) if args.url else None
    report = await call.execute(CheckTarget(name="" if bot else name, platform=args.platform, chat=args.chat, bot=bot))
    call.give(report, lambda: facts([(label, words) for label, words, _ in report_lines(report)]))
    call.narrate(checked(report)[0])
    return Exit.OK if report.is_ok else Exit.UNAVAILABLE


async def _targets(call: Call) -> None:
    found = await call.query(ListTargets())
    now = await call.now()
    call.give(found, lambda: _target_rows(found, now, call.width))
    if not found.targets:
        call.narrate("no bot is bound and nothing waits; `relay add_binding` binds one")
    if found.pause.is_paused:
        call.narrate(pause_is(found.pause)[0])


def _target_rows(found: TargetList, now: Mark, width: int | None) -> list[str]:
    head = (
        "target",
        "breaker",
        "waiting",
        "sending",
        "working",
        "dead",
        "oldest",
        "ok",
        "p50",
        "p95",
        "last ok",
        "key",
    )
    rows = [_target(view, now) for view in found.targets]
    return table((*head, "bots", "error"), rows, width=width) if rows else []


def _target(view: TargetView, now: Mark) -> tuple[str, ...]:
    return (
        view.origin,
        breaker_state(view.breaker),
        str(view.waiting),
        str(view.in_flight),
        str(view.working),
        str(view.dead),
        since(view.oldest, now) or "-",
        "-" if view.success_rate is None else f"{view.success_rate:.0%}",
        seconds_words(view.p50_s),
        seconds_words(view.p95_s),
        since(view.last_ok, now) or "never",
        view.fingerprint or "-",
        ",".join(view.bots) or "-",
        view.held_why if view.held is not None and view.held.mono > now.mono else view.last_error or "-",
    )


async def _peers(call: Call) -> None:
    found = await call.query(ListTargets())
    now = await call.now()
    call.give(found, lambda: _peer_rows(found, now, call.width))
    if found.listening:
        call.narrate(f"they reach us at {found.listening}/relay")
    else:
        call.narrate("nobody reaches us: http or relay is switched off")
    if not found.peers:
        call.narrate("no peer is known; relay.peers of config.yaml names them")


def _peer_rows(found: TargetList, now: Mark, width: int | None) -> list[str]:
    head = (
        "peer",
        "agent",
        "proof",
        "prints",
        "seen",
        "taken",
        "repeated",
        "refused",
        "at work",
        "a minute",
        "problem",
    )
    return table(head, [_peer(view, now) for view in found.peers], width=width) if found.peers else []


def _peer(view: PeerView, now: Mark) -> tuple[str, ...]:
    proofs = [f"{view.key_count} key{'s' if view.key_count > 1 else ''}"] if view.key_count else []
    proofs += ["bearer"] if view.has_bearer else []
    return (
        view.name,
        view.agent or "-",
        "+".join(proofs) or "none",
        ",".join(view.fingerprints) or "-",
        since(view.last_seen, now) or "never",
        str(view.taken),
        str(view.repeated),
        str(view.refused),
        str(view.in_flight),
        str(view.rate_per_min),
        view.problem or "-",
    )


async def _pause(call: Call) -> None:
    await _give(call, await call.execute(PauseRelay(reason=call.args.reason)))


async def _resume(call: Call) -> None:
    await _give(call, await call.execute(ResumeRelay()))


async def _give(call: Call, pause: RelayPause) -> None:
    lines = [
        ("paused", "yes" if pause.is_paused else "no"),
        *([("since", stamp(pause.since.at)), ("by", pause.by), ("reason", pause.reason)] if pause.since else []),
        ("sending", pause.sending),
        ("unanswered", pause.working),
        ("at work here", pause.running),
        ("waiting", pause.waiting),
    ]
    call.give(pause, lambda: facts(lines))
    call.narrate(pause_is(pause)[0])


def _add_graph(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", default="", help="begin with this bot, peer or session")


async def _graph(call: Call) -> None:
    name = call.args.name
    found = await call.query(GetRelayGraph())
    if name and all(name not in {edge.source, edge.target} for edge in found.edges):
        raise NotFound(f"nothing went from or to {name} lately", noun="bot", id=name, fix="see `relay graph`")
    now = await call.now()
    call.give(found, lambda: _edges(found, name, now))
    if not found.edges:
        call.narrate("nothing went from bot to bot lately")
    call.narrate(f"a message ends after {found.hop_limit} bots, a conversation after {found.turn_limit} messages")


def _edges(found: RelayGraph, first: str, now: Mark) -> list[str]:
    lines: list[str] = []
    for branch in branches(found, first):
        edge = branch.edge
        failed = f", {edge.failed} failed" if edge.failed else ""
        breaker = f", breaker {edge.breaker}" if edge.breaker else ""
        tripped = f", TRIPPED {edge.why}: {' > '.join(edge.path)}" if edge.is_tripped else ""
        again = " (again)" if branch.is_again else ""
        words = f"{edge.source} > {edge.target}{again}  {edge.sent} sent{failed}, {since(edge.last, now)} ago"
        lines.append("  " * branch.depth + clean(f"{words}{breaker}{tripped}"))
    return lines


def _add_pause(parser: argparse.ArgumentParser) -> None:
    add_reason(parser)


VERBS: tuple[Verb, ...] = (
    Verb("relay", "test_relay", "whether a bot could be reached; no agent does anything", _add_test, _test),
    Verb("relay", "targets", "far sides: breaker, what waits, health, credential", add_nothing, _targets),
    Verb("relay", "peers", "who may call us, and what came of it", add_nothing, _peers),
    Verb("relay", "pause", "send nothing and take nothing until it is resumed", _add_pause, _pause),
    Verb("relay", "resume", "go on", add_nothing, _resume),
    Verb("relay", "graph", "who relays to whom, and which loops were cut", _add_graph, _graph),
)
