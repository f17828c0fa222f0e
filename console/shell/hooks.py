"""Shell commands about hooks: look at them, read them again, hold them back, try them."""

import argparse

from console.automation_facts import hook_facts, seconds
from console.automation_receipts import hook_words, loaded_words
from console.shell.call import Call, Verb
from console.shell.flags import add_nothing, add_reason
from console.shell.printing import ages_from, block, fact_lines, facts, since, table
from core.api.base import Mark
from core.api.errors import NotFound
from core.api.hooks import HookList, HookTrial, HookView, ListHooks, PauseHook, ReloadHooks, ResumeHook, TestHook


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="HOOK", help="its name, as `hooks list` prints it")


async def _list(call: Call) -> None:
    found = await call.query(ListHooks())
    now = await call.now()
    call.give(found, lambda: _rows(found, now, call.width))
    if not found.hooks:
        call.narrate("no hook is there; a folder with HOOK.yaml and handler.py in the home's hooks folder is one")


def _rows(found: HookList, now: Mark, width: int | None) -> list[str]:
    head = ("hook", "state", "last", "p95", "fails", "told", "events", "error")
    rows = [
        (
            view.name,
            view.state.value,
            since(view.last, now),
            seconds(view.p95_s),
            str(view.failure_count),
            str(view.count),
            " ".join(view.events),
            view.problem or view.paused_reason or view.last_error,
        )
        for view in found.hooks
    ]
    return table(head, rows, width=width) if rows else []


async def _show(call: Call) -> None:
    found = await call.query(ListHooks())
    view = next((view for view in found.hooks if view.name == call.args.name), None)
    if view is None:
        raise NotFound(f"no hook {call.args.name}", noun="hook", id=call.args.name, fix="see `hooks list`")
    now = await call.now()
    call.give(view, lambda: fact_lines(hook_facts(view, ages_from(now), use_ascii=True)))


def _add_reload(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="HOOK", nargs="?", default="", help="this one alone (default: all)")


async def _reload(call: Call) -> int | None:
    found = await call.execute(ReloadHooks(name=call.args.name))
    now = await call.now()
    call.give(found, lambda: _rows(found, now, call.width))
    call.narrate(loaded_words(found)[0])
    return None


def _add_pause(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    add_reason(parser)


async def _pause(call: Call) -> None:
    _give(call, await call.execute(PauseHook(name=call.args.name, reason=call.args.reason)))


async def _resume(call: Call) -> None:
    _give(call, await call.execute(ResumeHook(name=call.args.name)))


def _give(call: Call, view: HookView) -> None:
    call.give(view, lambda: facts([("hook", view.name), ("state", view.state.value)]))
    call.narrate(hook_words(view)[0])


def _add_test(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    parser.add_argument("event", metavar="EVENT", nargs="?", default="", help="such as agent:end (default: its first)")


async def _test(call: Call) -> int:
    trial = await call.execute(TestHook(name=call.args.name, event_type=call.args.event))
    call.give(trial, lambda: _trial_lines(trial))
    return 0 if trial.is_ok else 1


def _trial_lines(trial: HookTrial) -> list[str]:
    lines = facts(
        [
            ("hook", trial.name),
            ("event", trial.event_type),
            ("context", trial.payload),
            ("result", "ok" if trial.is_ok else trial.error),
            ("took", f"{trial.duration_s:.3f} s"),
        ]
    )
    return [*lines, "printed", *block(trial.output)] if trial.output else lines


VERBS: tuple[Verb, ...] = (
    Verb("hooks", "list", "who is told what, how long each takes, what failed", add_nothing, _list),
    Verb("hooks", "show", "one hook with all of its facts", _add_name, _show),
    Verb("hooks", "reload", "read the folders again", _add_reload, _reload),
    Verb("hooks", "pause", "tell one nothing until it is resumed", _add_pause, _pause),
    Verb("hooks", "resume", "tell it again what happens", _add_name, _resume),
    Verb("hooks", "test", "hand one a made-up event and see what it does", _add_test, _test),
)
