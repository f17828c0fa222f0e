"""Shell commands about connections: list, show, pause, resume, reconnect, probe."""

import argparse
from collections.abc import Callable
from difflib import get_close_matches

from console.exit_codes import Exit
from console.platform_facts import error_words, next_words, platform_facts, probe_words, rank
from console.platform_receipts import paused, probed, reconnecting, resumed
from console.shell.call import Call, Verb
from console.shell.flags import add_nothing, add_reason
from console.shell.printing import ages_from, fact_lines, since, table
from core.api.base import Mark, PlatformName
from core.api.errors import NotFound
from core.api.platforms import (
    ListPlatforms,
    PausePlatform,
    PlatformList,
    PlatformView,
    ProbePlatform,
    ReconnectPlatform,
    ResumePlatform,
)


async def _list(call: Call) -> None:
    found = await call.query(ListPlatforms())
    now = await call.now()
    call.give(found, lambda: _rows(found, now, call.width))


def _rows(found: PlatformList, now: Mark, width: int | None) -> list[str]:
    head = ("platform", "kind", "state", "since", "heard", "in", "out", "waiting", "next", "probe", "account", "error")
    age_s = ages_from(now)
    rows = [
        (
            view.name,
            view.kind,
            view.state.value,
            since(view.since, now),
            since(view.heard, now),
            since(view.inbound, now),
            since(view.outbound_ack, now),
            str(view.backlog),
            next_words(view, age_s),
            probe_words(view)[0],
            view.identity or view.address,
            error_words(view),
        )
        for view in sorted(found.platforms, key=rank)
    ]
    return table(head, rows, width=width)


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the connection, as `platforms list` prints it")


def _add_pause(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    add_reason(parser)


async def _show(call: Call) -> None:
    name = call.args.name
    found = {str(view.name): view for view in (await call.query(ListPlatforms())).platforms}
    view = found.get(name)
    if view is None:
        near = get_close_matches(name, list(found), 1)
        raise NotFound(
            f"no connection is called {name}{f'; did you mean {near[0]}?' if near else ''}",
            noun="platform",
            id=name,
            fix="see `platforms list`",
        )
    now = await call.now()
    call.give(view, lambda: fact_lines(platform_facts(view, ages_from(now), waiting=view.backlog)))


async def _pause(call: Call) -> None:
    args = call.args
    _give(call, await call.execute(PausePlatform(platform=PlatformName(args.name), reason=args.reason)), paused)


async def _resume(call: Call) -> None:
    _give(call, await call.execute(ResumePlatform(platform=PlatformName(call.args.name))), resumed)


async def _reconnect(call: Call) -> None:
    _give(call, await call.execute(ReconnectPlatform(platform=PlatformName(call.args.name))), reconnecting)


async def _probe(call: Call) -> int:
    view = await call.execute(ProbePlatform(platform=PlatformName(call.args.name)))
    _give(call, view, probed)
    return Exit.OK if view.probe is not None and view.probe.latency_s is not None else Exit.UNAVAILABLE


def _give(call: Call, view: PlatformView, words: Callable[[PlatformView], tuple[str, str]]) -> None:
    call.give(view, lambda: [words(view)[0]])


VERBS: tuple[Verb, ...] = (
    Verb("platforms", "list", "connections to messaging platforms, the worst first", add_nothing, _list),
    Verb("platforms", "show", "all of one connection", _add_name, _show),
    Verb("platforms", "pause", "take nothing in and send nothing, over restarts too", _add_pause, _pause),
    Verb("platforms", "resume", "end a pause", _add_name, _resume),
    Verb(
        "platforms", "reconnect", "let this connection go and connect anew; no other is touched", _add_name, _reconnect
    ),
    Verb("platforms", "probe", "ask the platform now whether it hears us", _add_name, _probe),
)
