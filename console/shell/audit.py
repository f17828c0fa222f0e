"""The shell command about deeds: who did what, and what it changed."""

import argparse

from console.audit_facts import DEEDS, before_of, differences
from console.event_line import event_line
from console.shell.call import Call, Verb
from console.text import clean, stamp
from core.api.base import ActorKind, Record, Seq
from core.api.codec import encode
from core.api.system import EventPage, ListEvents

_HISTORY = 200


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=100, help="so many deeds, the newest (default 100)")
    parser.add_argument("--before", type=int, metavar="SEQ", help="only deeds before that place in the journal")
    parser.add_argument("--subject", default="", help="only deeds about that session, task, pairing or platform")
    parser.add_argument(
        "--by", choices=[kind.value for kind in ActorKind], action="append", help="whose (default: operator, sender)"
    )
    parser.add_argument("--changes", action="store_true", help="with what each changed, before and after")


async def _list(call: Call) -> None:
    args = call.args
    kinds = tuple(ActorKind(kind) for kind in args.by) if args.by else DEEDS
    before = Seq(args.before) if args.before is not None else None
    page = await call.query(ListEvents(before=before, subject=args.subject, limit=args.limit, actors=kinds))
    if call.is_json:
        call.streams.write(encode(page).decode())
        return
    for record in page.records:
        line = event_line(record)
        words = (str(line.seq).rjust(8), stamp(line.at), record.actor.kind.value.ljust(8), line.actor, line.kind)
        call.streams.write("  ".join(clean(word) for word in (*words, line.subject, line.text)).rstrip())
        if args.changes:
            await _changes(call, record)
    _say_more(call, page)


async def _changes(call: Call, record: Record) -> None:
    earlier = await call.query(ListEvents(before=record.seq, subject=record.subject, limit=_HISTORY))
    for name, old, new in differences(record, before_of(record, earlier.records)):
        call.streams.write(f"{'':10}{name}: {old} -> {new}")


def _say_more(call: Call, page: EventPage) -> None:
    if not page.records:
        call.narrate("no deeds")
    if page.reached:
        call.narrate(f"earlier ones with: --before {page.reached}")


VERBS: tuple[Verb, ...] = (Verb("audit", "list", "who did what, the newest last", _add, _list),)
