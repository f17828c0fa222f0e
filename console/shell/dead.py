"""Shell commands about dead letters and dropping: dead, redrive, purge. Whatever acts can be tried dry."""

import argparse

from console.mail_filter import is_everything
from console.mail_names import mail_name
from console.shell.call import Call, Verb
from console.shell.flags import add_yes
from console.shell.mail_filters import add_filter, filter_of
from console.shell.printing import facts, since, table
from console.text import counted, redact
from core.api.base import Mark
from core.api.errors import InvalidInput, Refused
from core.api.mail import BulkReceipt, DeadGroups, ListDead, PurgeMailbox, RedriveMail


def _add_dead(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("mailbox", metavar="MAILBOX", nargs="?", default="", help="only of that mailbox")


async def _dead(call: Call) -> None:
    found = await call.query(ListDead(mailbox=call.args.mailbox))
    now = await call.now()
    call.give(found, lambda: _rows(found, now, call.width))
    if not found.groups:
        call.narrate("no dead letters")


def _rows(found: DeadGroups, now: Mark, width: int | None) -> list[str]:
    head = ("mailbox", "reason", "count", "first", "last", "cause", "newest", "advice")
    rows = [
        (
            group.mailbox,
            group.reason.value,
            str(group.count),
            since(group.first, now),
            since(group.last, now),
            redact(group.cause),
            mail_name(group.example.id),
            group.advice,
        )
        for group in found.groups
    ]
    return table(head, rows, width=width) if rows else []


def _add_which(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("mailbox", metavar="MAILBOX", nargs="?", default="", help="the mailbox in which they are")
    parser.add_argument("--all-mailboxes", action="store_true", help="of all mailboxes")
    parser.add_argument("--dry-run", action="store_true", help="count them and do nothing")
    parser.add_argument("--why", default="", metavar="TEXT", help="why, for the journal")
    add_filter(parser, is_dead=True)


def _mailbox(call: Call) -> str:
    args = call.args
    if bool(args.mailbox) == args.all_mailboxes:
        raise InvalidInput(
            "name a mailbox, or say --all-mailboxes" if not args.mailbox else "a mailbox and --all-mailboxes exclude",
            field="mailbox",
            value=args.mailbox,
            fix="mailbox dead lists where dead letters are",
        )
    return str(args.mailbox)


def _add_redrive(parser: argparse.ArgumentParser) -> None:
    _add_which(parser)
    parser.add_argument("--to", default="", metavar="MAILBOX", help="send them there and not where they died")
    parser.add_argument("--limit", type=int, default=0, help="at most so many, oldest first; 0 for all (default 0)")


async def _redrive(call: Call) -> None:
    args, where = call.args, filter_of(call)
    command = RedriveMail(
        mailbox=_mailbox(call), where=where, target=args.to, limit=args.limit, dry_run=args.dry_run, reason=args.why
    )
    receipt = await call.execute(command)
    call.give(receipt, lambda: _receipt(receipt, "sent again", limit=args.limit))


def _add_purge(parser: argparse.ArgumentParser) -> None:
    _add_which(parser)
    parser.add_argument("--dead", action="store_true", help="among the dead letters, not what waits")
    add_yes(parser)
    parser.add_argument("--everything", action="store_true", help="without a filter: all of them")


async def _purge(call: Call) -> None:
    args, where = call.args, filter_of(call)
    mailbox = _mailbox(call)
    if is_everything(where) and not (args.everything or args.dry_run):
        raise Refused(
            f"without a filter this drops everything in {mailbox or 'every mailbox'}",
            rule="purge without a filter",
            fix="add a filter such as --older-than 10m, or --everything if you mean all of it",
        )
    if not mailbox and not args.dead:
        raise InvalidInput(
            "--all-mailboxes drops dead letters only", field="dead", value=False, fix="add --dead, or name a mailbox"
        )
    command = PurgeMailbox(mailbox=mailbox, dead=args.dead, where=where, dry_run=True, reason=args.why)
    receipt = await call.execute(command)
    if not args.dry_run and receipt.matched:
        what = counted(receipt.matched, "dead letter" if args.dead else "waiting message")
        call.confirm(f"dropping {what} of {mailbox or 'all mailboxes'}", "mail.purge")
        command = PurgeMailbox(mailbox=mailbox, dead=args.dead, where=where, dry_run=False, reason=args.why)
        receipt = await call.execute(command)
    call.give(receipt, lambda: _receipt(receipt, "dropped"))


def _receipt(receipt: BulkReceipt, deed: str, *, limit: int = 0) -> list[str]:
    meant = min(receipt.matched, limit or receipt.matched)
    told = f"0, {meant} would be" if receipt.is_dry_run else str(receipt.changed)
    ids = ", ".join(mail_name(mail_id) for mail_id in receipt.mail_ids)
    return facts(
        [
            ("matched", receipt.matched),
            (deed, told),
            *[(name, count) for name, count in sorted(receipt.by_mailbox.items())],
            *([("messages", ids)] if ids else []),
        ]
    )


VERBS: tuple[Verb, ...] = (
    Verb("mailbox", "dead", "dead letters by cause", _add_dead, _dead),
    Verb("mailbox", "redrive", "send dead letters again, as new messages", _add_redrive, _redrive),
    Verb("mailbox", "purge", "drop messages for good", _add_purge, _purge),
)
