"""Flags that say which messages are meant, and times as people write them (pure)."""

import argparse

from console.mail_names import read_mail_id
from console.session_filter import span_s
from console.shell.call import Call
from core.api.base import MailId
from core.api.errors import InvalidInput
from core.api.mail import DeadReason, MailFilter


def add_filter(parser: argparse.ArgumentParser, *, is_dead: bool) -> None:
    """The flags. is_dead: also those that only dead letters have."""
    parser.add_argument("--id", dest="ids", metavar="ID", action="append", default=[], help="m-123 or 123; repeatable")
    parser.add_argument("--sender", default="", help="only from that sender")
    parser.add_argument("--message-type", default="", help="only of that type")
    parser.add_argument("--correlation", default="", help="only of that chain")
    parser.add_argument("--text", default="", help="only with that in payload, type or error")
    parser.add_argument("--older-than", metavar="TIME", default="", help="only older than that, such as 10m")
    if is_dead:
        reasons = [reason.value for reason in DeadReason]
        parser.add_argument("--reason", choices=reasons, help="dead letters: only that died of it")
        parser.add_argument("--cause", default="", help="dead letters: only of that cause, as `mailbox dead` prints it")


def filter_of(call: Call) -> MailFilter:
    """The messages that the flags mean. Raises InvalidInput."""
    args = call.args
    return MailFilter(
        ids=tuple(_id(name) for name in args.ids),
        sender=args.sender,
        message_type=args.message_type,
        correlation=args.correlation,
        text=args.text,
        older_than_s=span_of(args.older_than, "older-than"),
        reason=DeadReason(args.reason) if args.reason else None,
        cause=args.cause,
    )


def mail_id_of(name: str, *, field: str = "") -> MailId | None:
    """The id in a name. field: of the flag; without it, what is no id is None. Raises InvalidInput."""
    found = read_mail_id(name)
    if found is None and field:
        raise InvalidInput(f"{name} names no message", field=field, value=name, fix="write m-123 or 123")
    return found


def _id(name: str) -> MailId:
    return mail_id_of(name, field="id") or MailId(0)


def span_of(words: str, field: str) -> float:
    """Seconds of `90`, `10m`, `2h`; 0 for "". Raises InvalidInput."""
    found = span_s(words.lower()) if words else 0.0
    if found is None:
        raise InvalidInput(f"--{field} {words} is no time", field=field, value=words, fix="write 90, 10m, 2h or 1d")
    return found
