"""Shell commands about bindings: which bots a chat can reach; history, undo, import and export."""

import argparse
import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path

from console.exit_codes import Exit
from console.relay_receipts import bound, chat_words, imported
from console.shell.call import Call, Verb
from console.shell.flags import add_nothing
from console.shell.printing import since, table
from console.shell.relay_flags import add_bot, add_chat, bot_of, named, place_of
from core.api.base import Mark
from core.api.bindings import (
    AddBinding,
    BindingHistory,
    BindingImportReport,
    BindingList,
    BindingReceipt,
    Bot,
    Candidate,
    CheckBot,
    ExportBindings,
    ImportBindings,
    ListBindingChanges,
    ListBindings,
    RemoveBinding,
    Resolution,
    ResolveBot,
    UndoBinding,
)
from core.api.errors import InvalidInput

_FILE_LIMIT = 8_388_608
_BOT_HEAD = ("bot", "url", "protocol", "peer", "priority", "networks", "on")


def _bot_row(bot: Bot) -> tuple[str, ...]:
    networks = ",".join(bot.networks) or "-"
    return bot.name, bot.url, bot.protocol.value, bot.peer or "-", str(bot.priority), networks, _yes(bot.enabled)


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"


def _add_add(parser: argparse.ArgumentParser) -> None:
    add_chat(parser, is_needed=True)
    parser.add_argument(
        "--bot",
        dest="bots",
        metavar="NAME=URL",
        action="append",
        required=True,
        help="a bot and its base address, NAME:URL as well; may be repeated",
    )
    add_bot(parser)
    parser.add_argument("--replace", action="store_true", help="unbind the chat's other bots")


async def _add(call: Call) -> None:
    args = call.args
    pairs = [named(words) for words in args.bots]
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInput(f"{twice} is named twice", field="bot", value=twice, fix="give each bot once")
    found = await call.query(ListBindings(platform=args.platform))
    before = next((view for view in found.bindings if (view.platform, view.chat) == (args.platform, args.chat)), None)
    known = {bot.name: bot for bot in before.bots} if before else {}
    command = AddBinding(
        platform=args.platform,
        chat=args.chat,
        bots=tuple(bot_of(args, name, url, known.get(name)) for name, url in pairs),
        is_replacing=args.replace,
        # What stays of a bot was read just now: somebody else's change must not be undone by it.
        expected=before.version if before and known.keys() & set(names) else None,
    )
    receipt = await call.execute(command)
    _give(call, receipt)
    await _warn(call, receipt, names)


async def _warn(call: Call, receipt: BindingReceipt, names: Sequence[str]) -> None:
    """Say what is odd about bots that are bound all the same."""
    change = receipt.change
    for bot in change.after or ():
        if bot.name in names:
            found = await call.query(CheckBot(platform=change.platform, chat=change.chat, bot=bot))
            for item in found.problems:
                fix = f"; {item.fix}" if item.fix else ""
                call.narrate(f"{bot.name}: {item.field} {item.value}: {item.problem}{fix}")


def _give(call: Call, receipt: BindingReceipt) -> None:
    bots = receipt.binding.bots if receipt.binding else ()
    call.give(receipt, lambda: table(_BOT_HEAD, [_bot_row(bot) for bot in bots], width=call.width) if bots else [])
    call.narrate(bound(receipt)[0])


async def _list(call: Call) -> None:
    found = await call.query(ListBindings(platform=call.args.platform))
    now = await call.now()
    call.give(found, lambda: _rows(found, now, call.width))
    if not found.bindings:
        call.narrate("no chat is bound to a bot yet; `relay add_binding` binds one")
    for item in found.ambiguities:
        meant = f"{item.urls[0]} is meant" if item.is_decided else "a chat or a priority has to decide"
        call.narrate(f"{item.name} stands for {' and '.join(item.urls)}: {meant}")
    if found.problem:
        call.narrate(found.problem)


def _rows(found: BindingList, now: Mark, width: int | None) -> list[str]:
    head = ("platform", "chat", *_BOT_HEAD, "changed")
    rows = [
        (view.platform, view.chat, *_bot_row(bot), since(view.changed, now))
        for view in found.bindings
        for bot in view.bots
    ]
    return table(head, rows, width=width) if rows else []


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--platform", default="", help="only of that platform")


def _add_remove(parser: argparse.ArgumentParser) -> None:
    add_chat(parser)
    parser.add_argument("--bot", default="", metavar="NAME", help="only this bot (default: all of the chat)")


async def _remove(call: Call) -> None:
    platform, chat = await place_of(call)
    _give(call, await call.execute(RemoveBinding(platform=platform, chat=chat, bot=call.args.bot)))


async def _undo(call: Call) -> None:
    platform, chat = await place_of(call)
    _give(call, await call.execute(UndoBinding(platform=platform, chat=chat)))


def _add_history(parser: argparse.ArgumentParser) -> None:
    add_chat(parser)
    parser.add_argument("--before", type=int, default=0, metavar="NUMBER", help="only changes before this one")
    parser.add_argument("--limit", type=int, default=50, help="at most so many, 1 to 500 (default 50)")


async def _history(call: Call) -> None:
    args = call.args
    found = await call.query(
        ListBindingChanges(platform=args.platform, chat=args.chat, before=args.before, limit=args.limit)
    )
    now = await call.now()
    call.give(found, lambda: _changes(found, now, call.width))
    if not found.changes:
        call.narrate("nothing was changed yet")
    elif found.has_more:
        call.narrate(f"more: --before {found.changes[-1].number}")


def _changes(found: BindingHistory, now: Mark, width: int | None) -> list[str]:
    head = ("no", "ago", "by", "what", "chat", "before", "after")
    rows = [
        (
            str(item.number),
            since(item.at, now),
            item.by,
            item.kind.value,
            f"{item.platform}:{item.chat}",
            _addresses(item.before),
            _addresses(item.after),
        )
        for item in found.changes
    ]
    return table(head, rows, width=width) if rows else []


def _addresses(bots: Sequence[Bot] | None) -> str:
    return ", ".join(f"{bot.name}={bot.url}" for bot in bots or ()) or "-"


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="bindings.json of HotPlex; - is stdin. It is only read")
    parser.add_argument("--replace", action="store_true", help="a chat of the file has only the bots of the file")
    parser.add_argument("--dry-run", action="store_true", help="say what would be taken, and take nothing")
    parser.add_argument("--skip", action="store_true", help="leave out what cannot be taken, and take the rest")


async def _import(call: Call) -> int | None:
    args = call.args
    report = await call.execute(
        ImportBindings(
            document=await _document(call),
            is_replacing=args.replace,
            is_dry_run=args.dry_run,
            is_skipping=args.skip,
        )
    )
    call.give(report, lambda: _items(report, call.width))
    call.narrate(imported(report)[0])
    return Exit.INVALID if any(item.outcome == "refused" for item in report.items) and not args.skip else None


async def _document(call: Call) -> str:
    name = call.args.file
    if name == "-":
        return call.streams.stdin.read(_FILE_LIMIT)
    try:
        return await asyncio.to_thread(_read, Path(name))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InvalidInput(
            f"cannot read {name}: {why}", field="file", value=name, fix="name bindings.json of HotPlex"
        ) from None


def _read(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.read(_FILE_LIMIT)


def _items(report: BindingImportReport, width: int | None) -> list[str]:
    rows = [
        (item.outcome, f"{item.platform}:{item.chat}", item.name, item.url, item.why or "-") for item in report.items
    ]
    return table(("outcome", "chat", "bot", "url", "why"), rows, width=width) if rows else []


async def _export(call: Call) -> None:
    found = await call.query(ExportBindings())
    call.give(found, lambda: found.document.removesuffix("\n").split("\n"))
    for words in found.left_out:
        call.narrate(f"left out: {words}")


def _add_resolve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the bot")
    add_chat(parser)


async def _resolve(call: Call) -> int:
    args = call.args
    found = await call.query(ResolveBot(name=args.name, platform=args.platform, chat=args.chat))
    call.give(found, lambda: _candidates(found, call.width))
    if found.chosen is not None:
        return Exit.OK
    call.narrate(found.why or f"{args.name} is bound nowhere")
    return Exit.CONFLICT if found.candidates else Exit.NOT_FOUND


def _candidates(found: Resolution, width: int | None) -> Iterable[str]:
    rows = [_candidate(item, is_chosen=item == found.chosen) for item in found.candidates]
    return table(("", "for", *_BOT_HEAD), rows, width=width) if rows else []


def _candidate(item: Candidate, *, is_chosen: bool) -> tuple[str, ...]:
    return "*" if is_chosen else "", chat_words(item.platform, item.chat), *_bot_row(item.bot)


VERBS: tuple[Verb, ...] = (
    Verb("relay", "add_binding", "let a chat reach bots; those that it has stay", _add_add, _add),
    Verb("relay", "list_bindings", "which chats reach which bots, and what is ambiguous", _add_list, _list),
    Verb("relay", "remove_binding", "take a bot of a chat away, or all of them", _add_remove, _remove),
    Verb("relay", "undo_binding", "take back the last change of a chat; twice makes it again", add_chat, _undo),
    Verb("relay", "history", "who changed which binding", _add_history, _history),
    Verb("relay", "import", "take over the bindings of HotPlex", _add_import, _import),
    Verb("relay", "export", "all bindings as HotPlex reads them, on stdout", add_nothing, _export),
    Verb("relay", "resolve", "what the name of a bot means", _add_resolve, _resolve),
)
