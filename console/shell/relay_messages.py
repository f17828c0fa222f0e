"""Shell commands about messages from bot to bot: send, look, cancel, send dead ones again, give another address."""

import argparse
from collections.abc import Iterator

from console.relay_receipts import canceled, replayed, retargeted, sent
from console.relayed_facts import attempt_words, next_words, task_facts, way_ends
from console.shell.call import Call, Verb
from console.shell.flags import add_reason, add_wait, add_yes
from console.shell.printing import ages_from, fact_lines, since, table
from console.shell.relay_flags import add_chat, instant_of, session_of, task_of, text_of
from console.shell.relay_following import wait_for_answers
from console.text import clean
from core.api.base import Mark
from core.api.errors import InvalidInput
from core.api.relay_tasks import (
    CancelRelay,
    GetRelayTask,
    ListRelayTasks,
    RelayDirection,
    RelayReason,
    RelayReceipt,
    RelayState,
    RelayTaskDetail,
    RelayTaskFilter,
    RelayTaskPage,
    RelayTaskView,
    ReplayReceipt,
    ReplayRelay,
    RetargetRelay,
    SendRelay,
)
from core.api.system import GetHealth

_BOT = "of the bot"
_NOT_SHOWN = {"text", "answer", "next"}
"""Facts of the screen that stand elsewhere, or name its keys."""


def _add_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="of the message, or its beginning, as `relay tasks` prints it")


# -- looking -------------------------------------------------------------------


def _add_tasks(parser: argparse.ArgumentParser) -> None:
    states = [state.value for state in RelayState]
    reasons = [reason.value for reason in RelayReason if reason]
    parser.add_argument("--state", action="append", choices=states, default=[], help="only these; may be repeated")
    parser.add_argument("--direction", choices=[way.value for way in RelayDirection], help="only those that go so")
    parser.add_argument("--bot", default="", help="only to or from this bot")
    parser.add_argument("--origin", default="", help="only to this far side")
    parser.add_argument("--peer", default="", help="only with this peer")
    parser.add_argument("--reason", choices=reasons, help="only those that ended for it")
    parser.add_argument("--conversation", default="", help="only of that chain of messages")
    parser.add_argument("--since", default="", metavar="TIME", help="only later ones: 2h, 1d or 2026-11-21T14:00")
    parser.add_argument("--text", default="", help="only with these words")
    parser.add_argument("--limit", type=int, default=50, help="at most so many, 1 to 500 (default 50)")
    parser.add_argument("--cursor", default="", help="where the page before ended")


async def _tasks(call: Call) -> None:
    args = call.args
    only = RelayTaskFilter(
        states=tuple(RelayState(state) for state in args.state),
        direction=RelayDirection(args.direction) if args.direction else None,
        bot=args.bot,
        origin=args.origin,
        peer=args.peer,
        reason=RelayReason(args.reason) if args.reason else None,
        conversation=args.conversation,
        since=await instant_of(call, args.since, "since"),
        text=args.text,
    )
    found = await call.query(ListRelayTasks(only=only, limit=args.limit, cursor=args.cursor))
    now = await call.now()
    call.give(found, lambda: _rows(found, now, call.width))
    counts = ", ".join(f"{count} {state}" for state, count in found.counts.items() if count)
    call.narrate(f"of all: {counts}" if counts else "no message went from bot to bot yet")
    if found.cursor:
        call.narrate(f"more: --cursor {found.cursor}")


def _rows(found: RelayTaskPage, now: Mark, width: int | None) -> list[str]:
    return _table(found.tasks, now, width)


def _table(tasks: tuple[RelayTaskView, ...], now: Mark, width: int | None) -> list[str]:
    head = ("message", "state", "way", "age", "try", "next", "error", "text")
    rows = [
        (
            # Whole: ids of one minute begin alike, and scripts take it from here.
            task.id,
            task.state.value,
            " > ".join(way_ends(task)),
            since(task.created, now),
            str(task.attempt_count),
            next_words(task, ages_from(now)),
            task.error or "-",
            task.text,
        )
        for task in tasks
    ]
    return table(head, rows, width=width) if rows else []


async def _show(call: Call) -> None:
    found = await call.query(GetRelayTask(id=call.args.id))
    now = await call.now()
    call.give(found, lambda: _shown(found, now))


def _shown(found: RelayTaskDetail, now: Mark) -> Iterator[str]:
    (head, *_), *known = task_facts(found.task, ages_from(now), use_ascii=True)
    yield head.removeprefix("-- ")
    if found.context:
        known.append(("context", clean(found.context), ""))
    yield from fact_lines(fact for fact in known if fact[0] not in _NOT_SHOWN)
    if found.task.state is RelayState.DEAD:
        task_id = clean(found.task.id)
        yield f"relay replay {task_id} sends it again; relay retarget {task_id} NAME gives it another address first"
    for attempt in found.attempts:
        when = f"attempt {attempt.number}, {since(attempt.began, now)} ago"
        yield f"{when}: {attempt_words(attempt)}  {clean(attempt.url)}"
    others = [task for task in found.group if task.id != found.task.id]
    if others:
        yield from ("", "sent with it:")
        yield from (f"  {clean(task.id)}  {task.state.value}  {clean(task.bot)}" for task in others)
    for name, text in (("text", found.text), ("answer", found.answer)):
        if text:
            yield from ("", f"-- {name}", *clean(text, keep_newlines=True).split("\n"))


# -- acting --------------------------------------------------------------------


def _add_send(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", metavar="TEXT", help="what to send; - reads it from stdin")
    parser.add_argument(
        "--to", metavar="NAME", action="append", required=True, help=f"{_BOT}; repeated, each gets it for itself"
    )
    add_chat(parser)
    parser.add_argument("--url", default="", help="one of several addresses that the name has")
    parser.add_argument("--id", default="", help="id of the message: sent once, however often it is called with it")
    parser.add_argument("--session", metavar="KEY", default="", help="the session here that gets the answer")
    parser.add_argument("--context", default="", help="the conversation over there, as its answers name it")
    add_wait(parser)


async def _send(call: Call) -> int | None:
    args = call.args
    command = SendRelay(
        to=tuple(args.to),
        text=text_of(call),
        platform=args.platform,
        chat=args.chat,
        url=args.url,
        id=args.id,
        session_id=session_of(args.session),
        context=args.context,
    )
    after = (await call.query(GetHealth())).seq if args.wait else None
    receipt = await call.execute(command)
    if after is None:
        await _give(call, receipt)
        call.narrate(sent(receipt)[0])
        return None
    call.narrate(sent(receipt)[0])
    return await wait_for_answers(call, receipt.tasks, after=after, limit_s=args.timeout)


async def _give(call: Call, receipt: RelayReceipt | ReplayReceipt) -> None:
    now = await call.now()
    call.give(receipt, lambda: _table(receipt.tasks, now, call.width))


def _add_cancel(parser: argparse.ArgumentParser) -> None:
    _add_id(parser)
    add_reason(parser)
    add_yes(parser)


async def _cancel(call: Call) -> None:
    task_id = await task_of(call, call.args.id)
    call.confirm(f"canceling {task_id}", "relay.cancel")
    receipt = await call.execute(CancelRelay(id=task_id, reason=call.args.reason))
    await _give(call, receipt)
    call.narrate(canceled(receipt)[0])


def _add_replay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", metavar="ID", nargs="*", help="of dead messages, or their beginnings")
    parser.add_argument("--all", action="store_true", help="all dead messages that the other flags leave")
    parser.add_argument("--bot", default="", help="with --all: only to this bot")
    parser.add_argument("--since", default="", metavar="TIME", help="with --all: only later ones: 2h, 2026-11-21T14:00")
    parser.add_argument("--dry-run", action="store_true", help="say which, and send nothing")


async def _replay(call: Call) -> None:
    args = call.args
    if bool(args.ids) == args.all:
        raise InvalidInput(
            "say which dead messages: their ids, or --all", field="ids", value="", fix="relay replay --all --dry-run"
        )
    if args.ids and (args.bot or args.since):
        raise InvalidInput("--bot and --since go with --all", field="bot", value=args.bot or args.since, fix="--all")
    command = ReplayRelay(
        ids=tuple([await task_of(call, words) for words in args.ids]),
        bot=args.bot,
        since=await instant_of(call, args.since, "since"),
        is_dry_run=args.dry_run,
    )
    receipt = await call.execute(command)
    await _give(call, receipt)
    call.narrate(replayed(receipt)[0])
    for words in receipt.skipped:
        call.narrate(f"skipped: {words}")


def _add_retarget(parser: argparse.ArgumentParser) -> None:
    _add_id(parser)
    parser.add_argument("to", metavar="NAME", help=_BOT)
    add_chat(parser)
    parser.add_argument("--url", default="", help="one of several addresses that the name has")


async def _retarget(call: Call) -> None:
    args = call.args
    task_id = await task_of(call, args.id)
    receipt = await call.execute(
        RetargetRelay(id=task_id, to=args.to, platform=args.platform, chat=args.chat, url=args.url)
    )
    await _give(call, receipt)
    call.narrate(retargeted(receipt)[0])


VERBS: tuple[Verb, ...] = (
    Verb("relay", "send", "send a text to one bot or several", _add_send, _send),
    Verb("relay", "tasks", "messages from bot to bot, the latest first", _add_tasks, _tasks),
    Verb("relay", "show", "one of them with its text, answer and attempts", _add_id, _show),
    Verb("relay", "cancel", "stop a message", _add_cancel, _cancel),
    Verb("relay", "replay", "send dead messages again, under their own ids", _add_replay, _replay),
    Verb("relay", "retarget", "give a message that waits or is dead another address", _add_retarget, _retarget),
)
