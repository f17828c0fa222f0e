"""Shell commands about the core itself: status, config show, core stop."""

import argparse
from collections.abc import Iterator

from console.shell.call import Call, Verb, ended
from console.shell.flags import add_nothing, add_reason
from console.shell.printing import ages, facts, since, table
from console.text import size
from core.api.errors import HermesError
from core.api.system import ConfigView, GetConfig, GetHealth, HealthView, Shutdown

_GONE_LIMIT_S = 3.0


async def _status(call: Call) -> None:
    view = await call.query(GetHealth())
    call.give(view, lambda: status_lines(view))


def status_lines(view: HealthView) -> Iterator[str]:
    """How the core is, problems first."""
    for problem in view.problems:
        yield from facts([("problem", problem)])
    states = ", ".join(f"{count} {state}" for state, count in view.state_counts.items() if count)
    yield from facts(
        [
            ("core", f"{view.version}, pid {view.pid}, start {view.boot}" + (", stopping" if view.is_draining else "")),
            ("home", view.home),
            ("http", view.http_url or "not up"),
            ("key", view.key_file),
            ("store", f"{view.store_url}, {size(view.store_bytes)}"),
            ("sessions", f"{view.session_count}" + (f" ({states})" if states else "")),
            ("queued", view.queued_count),
            ("running", view.running_count),
            ("approvals", f"{view.open_approval_count} open"),
            ("deliveries", f"{view.delivery_count} on their way, {view.dead_count} dead"),
            ("loop lag", f"p99 {view.loop_lag_p99_s * 1000:.1f} ms, most {view.loop_lag_max_s * 1000:.1f} ms"),
            ("commits", f"{view.commit_count}, p99 {view.commit_p99_s * 1000:.1f} ms"),
            ("journal", f"at {view.seq}"),
        ]
    )
    yield ""
    yield from ages([("started", view.started), ("last_commit", view.last_commit)], view.now)
    if view.services:
        yield ""
        head = ("service", "state", "since", "restarts", "last error")
        yield from table(
            head,
            [
                (part.name, part.state, since(part.since, view.now), str(part.restart_count), part.last_error)
                for part in view.services
            ],
        )


async def _config(call: Call) -> None:
    view = await call.query(GetConfig())
    call.give(view, lambda: config_lines(view, call.width))


def config_lines(view: ConfigView, width: int | None) -> list[str]:
    """Every value with its origin."""
    rows = [(setting.key, setting.value, setting.origin) for setting in view.settings]
    return table(("key", "value", "origin"), rows, width=width)


def _add_stop(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--drain", type=float, default=10.0, metavar="SECONDS", help="time that runs get to end")
    add_reason(parser)
    parser.add_argument("--no-wait", action="store_true", help="do not wait until it has stopped")


async def _stop(call: Call) -> None:
    args = call.args
    health = await call.query(GetHealth())
    receipt = await call.execute(Shutdown(reason=args.reason, drain_s=args.drain))
    call.give(
        receipt,
        lambda: facts(
            [
                ("running", f"{receipt.running}, given {receipt.drain_s:g} s to end"),
                ("queued", f"{receipt.queued}, kept"),
            ]
        ),
    )
    if not args.no_wait:
        try:
            async for _ in call.hermes.subscribe(after=health.seq):
                pass
        except HermesError:
            # That the core goes away is what was asked for.
            pass
        is_gone = await ended(health.pid, _GONE_LIMIT_S)
        call.narrate("the core has stopped" if is_gone else f"the core has let go; process {health.pid} goes on")


VERBS: tuple[Verb, ...] = (
    Verb("status", "", "how the core is", add_nothing, _status),
    Verb("config", "show", "every value in force with its origin", add_nothing, _config),
    Verb("core", "stop", "drain and stop the core", _add_stop, _stop),
)
