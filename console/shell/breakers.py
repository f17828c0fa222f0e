"""Shell commands about circuit breakers: list, hold, release, reset, disable, probe."""

import argparse

from console.outbox_receipts import breaker_is
from console.shell.call import Call, Verb
from console.shell.flags import add_reason, add_yes
from console.shell.printing import since, table
from console.text import age
from core.api.base import Mark
from core.api.breakers import (
    BreakerList,
    BreakerMode,
    BreakerView,
    DisableBreaker,
    HoldBreakerOpen,
    ListBreakers,
    ProbeBreaker,
    ReleaseBreaker,
    ResetBreaker,
)


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--owner", default="", help="of one part of the core only, such as outbox")


async def _list(call: Call) -> None:
    found = await call.query(ListBreakers(owner=call.args.owner))
    now = await call.now()
    call.give(found, lambda: _rows(found, now, call.width))
    if not found.breakers:
        call.narrate("no far side was called yet")


def _rows(found: BreakerList, now: Mark, width: int | None) -> list[str]:
    head = ("owner", "name", "state", "since", "probe", "failures", "refused", "why")
    rows = [
        (
            view.owner,
            view.name,
            breaker_state(view),
            since(view.since, now),
            age(max(0.0, view.next_probe.mono - now.mono)) if view.next_probe else "-",
            str(view.failures),
            str(view.refused),
            view.reason or view.last_error or "-",
        )
        for view in found.breakers
    ]
    return table(head, rows, width=width) if rows else []


def breaker_state(view: BreakerView) -> str:
    """Its state, and who decides when it does not."""
    word = view.state.value.replace("_", "-")
    mode = "" if view.mode is BreakerMode.AUTOMATIC else f" ({view.mode.value})"
    return f"{word}{mode}{' flapping' if view.is_flapping else ''}"


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("owner", metavar="OWNER", help="part of the core, as `breakers list` prints it")
    parser.add_argument("name", metavar="NAME", help="far side, as `breakers list` prints it")


def _add_named_reason(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    add_reason(parser)


def _add_reset(parser: argparse.ArgumentParser) -> None:
    _add_named_reason(parser)
    add_yes(parser)


async def _hold(call: Call) -> None:
    args = call.args
    _give(call, await call.execute(HoldBreakerOpen(owner=args.owner, name=args.name, reason=args.reason)))


async def _release(call: Call) -> None:
    _give(call, await call.execute(ReleaseBreaker(owner=call.args.owner, name=call.args.name)))


async def _reset(call: Call) -> None:
    args = call.args
    call.confirm(f"closing the breaker of {args.owner} {args.name}", "breaker.reset")
    _give(call, await call.execute(ResetBreaker(owner=args.owner, name=args.name, reason=args.reason)))


async def _disable(call: Call) -> None:
    args = call.args
    call.confirm(f"disabling the breaker of {args.owner} {args.name}", "breaker.disable")
    _give(call, await call.execute(DisableBreaker(owner=args.owner, name=args.name, reason=args.reason)))


async def _probe(call: Call) -> None:
    _give(call, await call.execute(ProbeBreaker(owner=call.args.owner, name=call.args.name)))


def _give(call: Call, view: BreakerView) -> None:
    call.give(view, lambda: [breaker_is(view)[0]])


VERBS: tuple[Verb, ...] = (
    Verb("breakers", "list", "how each far side stands, and who decides", _add_list, _list),
    Verb("breakers", "hold", "let nothing through until it is released", _add_named_reason, _hold),
    Verb("breakers", "release", "end a hold", _add_name, _release),
    Verb("breakers", "reset", "close it, whatever failed", _add_reset, _reset),
    Verb("breakers", "disable", "let everything through until it is reset", _add_reset, _disable),
    Verb("breakers", "probe", "end its open time: the next call goes through", _add_name, _probe),
)
