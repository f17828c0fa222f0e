"""Shell commands about agents: look at them, change their profiles, hold them back, let their runners go."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from console.agent_facts import agent_badge, agent_facts, runner_facts
from console.agent_receipts import agent_words, kept_words, removed_words, reset_words
from console.profile_text import lines_of, read_settings
from console.shell.call import Call, Verb
from console.shell.flags import add_nothing, add_reason, add_yes
from console.shell.printing import ages_from, fact_lines, facts, since, table
from core.api.base import AgentName, Mark, SessionId
from core.api.errors import InvalidInput
from core.api.policies import ExplainPolicy, ListRuntimes, PolicyVerdict, RuntimeList
from core.api.profiles import (
    CreateProfile,
    DeleteProfile,
    DisableProfile,
    EnableProfile,
    GetDefaultProfile,
    GetProfile,
    LimitAgent,
    ListProfiles,
    ListRunners,
    PauseAgent,
    ProfileList,
    ProfileView,
    ResetRunners,
    ResumeAgent,
    RunnerList,
    SyncProfile,
    UpdateProfile,
)
from core.api.runs import ToolKind

_FILE_LIMIT = 1_048_576


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("agent", metavar="AGENT", help="its name, as `agents list` prints it")


def _name(call: Call) -> AgentName:
    return AgentName(call.args.agent)


# -- looking -------------------------------------------------------------------


async def _list(call: Call) -> None:
    found = await call.query(ListProfiles())
    call.give(found, lambda: _rows(found, call.width))


def _rows(found: ProfileList, width: int | None) -> list[str]:
    head = ("agent", "state", "runner", "runs", "waiting", "live", "asks", "model", "why")
    rows = [
        (
            f"{view.name}{' *' if view.is_default else ''}",
            agent_badge(view, use_ascii=True).word,
            view.runner,
            f"{view.busy}/{view.limit}",
            str(view.waiting),
            str(view.pool.runner_count) if view.pool else "",
            view.policy.ask.value if view.approvals else "never",
            view.model,
            view.problem or (view.pool.reason if view.pool else ""),
        )
        for view in found.profiles
    ]
    return table(head, rows, width=width) if rows else []


async def _show(call: Call) -> None:
    view = await call.query(GetProfile(name=_name(call)))
    now = await call.now()
    call.give(view, lambda: _shown(view, now))


def _shown(view: ProfileView, now: Mark) -> Iterator[str]:
    yield from fact_lines(agent_facts(view, ages_from(now), use_ascii=True))
    yield ""
    yield "settings:"
    for line in lines_of(view.settings):
        yield f"  {line}"


async def _runners(call: Call) -> None:
    found = await call.query(ListRunners(agent=AgentName(call.args.agent) if call.args.agent else None))
    now = await call.now()
    call.give(found, lambda: _runner_rows(found, now, call.width))
    if not found.runners:
        call.narrate("no runner is live")


def _add_runners(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("agent", metavar="AGENT", nargs="?", default="", help="only of this one")


def _runner_rows(found: RunnerList, now: Mark, width: int | None) -> list[str]:
    if len(found.runners) == 1:
        return fact_lines(runner_facts(found.runners[0], ages_from(now), use_ascii=True))
    head = ("session", "agent", "state", "since", "last sign", "generation", "mode", "user", "run")
    rows = [
        (
            view.session_id,
            view.agent,
            view.state.value,
            since(view.since, now),
            since(view.active, now),
            str(view.generation),
            view.mode if view.asks else f"{view.mode} (does not ask)",
            view.user,
            view.run_id or "",
        )
        for view in found.runners
    ]
    return table(head, rows, width=width) if rows else []


def _add_defaults(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    parser.add_argument("--runner", default="", help="scripted, openai, acp, hermes_runs or claude_cli")


async def _defaults(call: Call) -> None:
    found = await call.query(GetDefaultProfile(name=_name(call), runner=call.args.runner))
    call.give(found, lambda: lines_of(found.settings))


async def _runtimes(call: Call) -> None:
    found = await call.query(ListRuntimes())
    call.give(found, lambda: _runtime_rows(found, call.width))


def _runtime_rows(found: RuntimeList, width: int | None) -> list[str]:
    rows = [
        (view.runtime.value, "there" if view.is_there else "not there", view.found or view.problem)
        for view in found.runtimes
    ]
    return table(("runtime", "is", "found"), rows, width=width)


def _add_why(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    parser.add_argument("tool", metavar="TOOL", help="as the agent names it: exec, read, write")
    parser.add_argument("target", metavar="TARGET", help="the whole command line, path or address")
    kinds = [kind.value for kind in ToolKind]
    parser.add_argument("--kind", choices=kinds, default=ToolKind.EXECUTE.value, help="what it does to the world")
    parser.add_argument("--session", default="", help="permissions given in this session count")


async def _why(call: Call) -> None:
    args = call.args
    query = ExplainPolicy(
        agent=_name(call),
        tool=args.tool,
        target=args.target,
        kind=ToolKind(args.kind),
        session_id=SessionId(args.session) if args.session else None,
    )
    found = await call.query(query)
    call.give(found, lambda: _verdict(found))


def _verdict(found: PolicyVerdict) -> list[str]:
    return facts(
        [
            ("verdict", found.kind.value),
            ("rule", found.rule),
            ("because", found.reason),
            *([("pattern", found.pattern)] if found.pattern else []),
            *([("permission", found.grant_id)] if found.grant_id else []),
        ]
    )


# -- profiles ------------------------------------------------------------------


def _add_settings(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="JSON, or plain words; may be given often"
    )
    parser.add_argument("--file", default="", help="lines of `key: value`; - is stdin")


def _settings(call: Call) -> dict[str, Any]:
    found: dict[str, Any] = read_settings(_file(call)) if call.args.file else {}
    for pair in call.args.set:
        name, sign, value = pair.partition("=")
        if not sign:
            raise InvalidInput(f"{pair} is no KEY=VALUE", field="set", value=pair, fix="write key=value")
        found |= read_settings(f"{name}: {value}")
    return found


def _file(call: Call) -> str:
    name = call.args.file
    if name == "-":
        return call.streams.stdin.read(_FILE_LIMIT)
    try:
        return Path(name).read_text(encoding="utf-8")[:_FILE_LIMIT]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read {name}: {error}", field="file", value=name, fix="name a text file") from error


async def _create(call: Call) -> None:
    view = await call.execute(CreateProfile(name=_name(call), settings=_settings(call)))
    call.give(view, lambda: [kept_words(view)[0]])


def _add_update(parser: argparse.ArgumentParser) -> None:
    _add_settings(parser)
    parser.add_argument("--version-seen", type=int, default=0, help="refuse when it is another version by now")


async def _update(call: Call) -> None:
    found = _settings(call)
    if not found:
        raise InvalidInput("nothing is to be changed", field="settings", fix="give --set KEY=VALUE or --file")
    view = await call.execute(UpdateProfile(name=_name(call), settings=found, version=call.args.version_seen))
    call.give(view, lambda: [kept_words(view)[0]])


async def _sync(call: Call) -> None:
    view = await call.execute(SyncProfile(name=_name(call)))
    call.give(view, lambda: [kept_words(view)[0]])


def _add_delete(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    add_yes(parser)


async def _delete(call: Call) -> None:
    call.confirm(f"removing {call.args.agent}", "agent.delete")
    receipt = await call.execute(DeleteProfile(name=_name(call)))
    call.give(receipt, lambda: [removed_words(receipt)[0]])


# -- work ----------------------------------------------------------------------


def _add_hold(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    add_reason(parser)


async def _enable(call: Call) -> None:
    await _say(call, await call.execute(EnableProfile(name=_name(call))))


async def _disable(call: Call) -> None:
    await _say(call, await call.execute(DisableProfile(name=_name(call), reason=call.args.reason)))


async def _pause(call: Call) -> None:
    await _say(call, await call.execute(PauseAgent(name=_name(call), reason=call.args.reason)))


async def _resume(call: Call) -> None:
    await _say(call, await call.execute(ResumeAgent(name=_name(call))))


def _add_limit(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    parser.add_argument("limit", metavar="N", type=int, help="runs at a time; 0 is what the profile says")


async def _limit(call: Call) -> None:
    await _say(call, await call.execute(LimitAgent(name=_name(call), limit=call.args.limit)))


async def _say(call: Call, view: ProfileView) -> None:
    call.give(view, lambda: [agent_words(view)[0]])


def _add_reset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("agent", metavar="AGENT", nargs="?", default="", help="only of this one")
    parser.add_argument("--session", default="", help="only of this session")
    parser.add_argument("--user", default="", help="only of this user, as PLATFORM:ID")
    parser.add_argument("--hard", action="store_true", help="tell their runs to stop first")
    add_reason(parser)


async def _reset(call: Call) -> None:
    args = call.args
    report = await call.execute(
        ResetRunners(
            agent=AgentName(args.agent) if args.agent else None,
            session_id=SessionId(args.session) if args.session else None,
            user=args.user,
            is_hard=args.hard,
            reason=args.reason,
        )
    )
    call.give(report, lambda: [reset_words(report)[0]])


VERBS: tuple[Verb, ...] = (
    Verb("agents", "list", "every agent, and what holds it back", add_nothing, _list),
    Verb("agents", "show", "one agent: pool, policy, who enforces it, settings", _add_name, _show),
    Verb("agents", "runners", "runners that are live", _add_runners, _runners),
    Verb("agents", "defaults", "what a new agent of that name would be", _add_defaults, _defaults),
    Verb("agents", "runtimes", "what can carry agents and tools on this machine", add_nothing, _runtimes),
    Verb("agents", "why", "would this ask, and by which rule", _add_why, _why),
    Verb("agents", "create", "make an agent", _add_settings, _create),
    Verb("agents", "update", "change keys of a profile", _add_update, _update),
    Verb("agents", "sync", "read its file again and put it to use", _add_name, _sync),
    Verb("agents", "delete", "remove an agent of the store", _add_delete, _delete),
    Verb("agents", "enable", "let it work again", _add_name, _enable),
    Verb("agents", "disable", "let its runs end and take no message for it", _add_hold, _disable),
    Verb("agents", "pause", "begin none of its runs", _add_hold, _pause),
    Verb("agents", "resume", "begin runs again, also after failures", _add_name, _resume),
    Verb("agents", "limit", "let at most N runs go on", _add_limit, _limit),
    Verb("agents", "reset", "let runners go", _add_reset, _reset),
)
