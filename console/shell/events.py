"""The shell command about the journal: events, once or followed."""

import argparse

from console.event_line import event_line
from console.shell.call import Call, Verb
from console.text import clean, stamp
from core.api.base import Record, Seq
from core.api.codec import encode
from core.api.errors import Lagged
from core.api.system import ListEvents

_FOLLOWED = 10
_LISTED = 100


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--follow", action="store_true", help="go on with what happens, until ctrl+c")
    parser.add_argument("--after", type=int, metavar="SEQ", help="only records after that place in the journal")
    parser.add_argument("--subject", default="", help="only records about that session, platform, approval or delivery")
    parser.add_argument("--limit", type=int, help=f"so many earlier records (default {_LISTED}, followed {_FOLLOWED})")
    parser.add_argument("--live", action="store_true", help="with --follow: also what is never stored, such as output")


async def _events(call: Call) -> None:
    args = call.args
    limit = args.limit if args.limit is not None else _FOLLOWED if args.follow else _LISTED
    if args.follow and args.after is not None:
        await _follow(call, Seq(args.after))
        return
    after = Seq(args.after) if args.after is not None else None
    if args.follow and limit == 0:
        page = await call.query(ListEvents(limit=1))
    else:
        page = await call.query(ListEvents(after=after, subject=args.subject, limit=limit))
        for record in page.records:
            _print(call, record)
    call.streams.stdout.flush()
    if args.follow:
        await _follow(call, page.head)
    elif not page.records:
        call.narrate("no records")


async def _follow(call: Call, after: Seq) -> None:
    """Print until cancelled. Who falls behind is told what is missing, and goes on."""
    is_first = True
    while True:
        begun = after
        try:
            async for record in call.hermes.subscribe(after=after):
                after = max(after, record.seq)
                if (record.durable or call.args.live) and call.args.subject in {"", record.subject}:
                    _print(call, record)
                    call.streams.stdout.flush()
        except Lagged:
            if after == begun and not is_first:
                head = (await call.query(ListEvents(limit=1))).head
                call.narrate(f"records from {after + 1} to {head} were missed")
                after = head
            is_first = False


def _print(call: Call, record: Record) -> None:
    if call.is_json:
        call.streams.write(encode(record).decode())
        return
    line = event_line(record)
    place = str(line.seq) if record.durable else "-"
    words = (place.rjust(8), stamp(line.at), line.kind.ljust(18), line.subject, line.actor, line.text)
    call.streams.write("  ".join(clean(word) for word in words).rstrip())


VERBS: tuple[Verb, ...] = (Verb("events", "", "the journal", _add, _events),)
