"""Shell commands about mailboxes: list, show, peek, send, pause, resume, create, policy, delete."""

import argparse
from collections.abc import Iterator

import msgspec

from console.mail_names import mail_name
from console.mail_payload import read_payload
from console.mailbox_facts import payload_lines
from console.mailbox_policy import policy_lines, read_policy
from console.mailbox_rows import depth_of
from console.mailbox_words import REASONS, conservation, difference, duration, rate, standing
from console.shell.call import Call, Verb
from console.shell.flags import add_yes
from console.shell.mail_filters import add_filter, filter_of, mail_id_of, span_of
from console.shell.printing import ages_from, block, facts, since, table
from console.text import age, redact, stamp
from core.api.base import MailboxName, MailId, Mark
from core.api.mail import BrowseMail, GetMail, MailView, PostMail, PostReceipt, Priority
from core.api.mailboxes import (
    CreateMailbox,
    DeleteMailbox,
    GetMailbox,
    ListMailboxes,
    MailboxList,
    MailboxPolicy,
    MailboxView,
    PauseMailbox,
    ResumeMailbox,
    SetMailboxPolicy,
)


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("mailbox", metavar="MAILBOX", help="its name, as `mailbox list` prints it")


def _name(call: Call) -> MailboxName:
    return MailboxName(call.args.mailbox)


# -- looking -------------------------------------------------------------------


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prefix", default="", help="only names that begin so")


async def _list(call: Call) -> None:
    found = await call.query(ListMailboxes())
    views = tuple(view for view in found.mailboxes if view.name.startswith(call.args.prefix))
    found = msgspec.structs.replace(found, mailboxes=views)
    now = await call.now()
    call.give(found, lambda: _rows(found, now, call.width))
    if found.is_indexing:
        call.narrate("stored mail is still being read: figures grow")
    if not views:
        call.narrate("no mailboxes")
    elif not call.is_json:
        call.narrate(f"{conservation(found.total, is_short=False)}; {difference(found.total.difference)[0]}")


def _rows(found: MailboxList, now: Mark, width: int | None) -> list[str]:
    head = (
        "mailbox",
        "state",
        "depth",
        "oldest",
        "in/s",
        "out/s",
        "flight",
        "dead",
        "consumers",
        "p99 wait",
        "p99 work",
    )
    rows = [
        (
            view.name,
            view.state.value,
            str(depth_of(view)),
            since(view.oldest, now),
            rate(view.in_rate_s),
            rate(view.out_rate_s),
            str(view.tally.in_flight),
            str(view.tally.dead),
            str(view.consumers),
            duration(view.wait_p99_s),
            duration(view.work_p99_s),
        )
        for view in found.mailboxes
    ]
    return table(head, rows, width=width) if rows else []


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("mailbox", metavar="MAILBOX|MESSAGE", help="name of a mailbox, or m-123 or 123 for a message")


async def _show(call: Call) -> None:
    mail_id = mail_id_of(call.args.mailbox)
    now = await call.now()
    if mail_id is not None:
        mail = await call.query(GetMail(mail_id=mail_id))
        call.give(mail, lambda: mail_lines(mail, now))
        return
    view = await call.query(GetMailbox(mailbox=_name(call)))
    call.give(view, lambda: _figures(view, now))


def _figures(view: MailboxView, now: Mark) -> Iterator[str]:
    tally = view.tally
    words, _ = standing(view, ages_from(now))
    yield from facts(
        [
            ("mailbox", view.name),
            ("state", f"{view.state.value}: {words}"),
            ("depth", f"{tally.queued} queued, {tally.delayed} delayed, {tally.in_flight} in flight"),
            ("dead", tally.dead),
            ("rates", f"in {rate(view.in_rate_s)}/s, out {rate(view.out_rate_s)}/s"),
            ("wait", f"average {duration(view.wait_avg_s)}, p99 {duration(view.wait_p99_s)}"),
            ("work", f"average {duration(view.work_avg_s)}, p99 {duration(view.work_p99_s)}"),
            ("consumers", view.consumers),
            ("books", f"{conservation(tally, is_short=False)}; {difference(tally.difference)[0]}"),
            ("redelivered", tally.redelivered),
            ("repeats", tally.duplicates),
            ("refused", tally.rejected),
            ("late", tally.stale),
            ("last error", redact(view.last_error) or "none"),
        ]
    )
    yield ""
    yield from _times([("created", view.created), ("oldest", view.oldest), ("paused until", view.paused_until)], now)
    yield ""
    yield "rules:"
    yield from (f"  {line}" for line in policy_lines(view.policy))


def mail_lines(view: MailView, now: Mark) -> Iterator[str]:
    """All of a message."""
    yield from facts(
        [
            ("message", mail_name(view.id)),
            ("mailbox", view.mailbox),
            ("state", view.state.value + (f": {REASONS[view.reason]}" if view.reason else "")),
            ("error", redact(view.error) or "none"),
            ("from", view.sender),
            ("kind", f"{view.kind.value} {view.message_type}"),
            ("priority", view.priority.value),
            ("size", f"{view.size_bytes} B"),
            ("attempt", view.attempt),
            *[(label, value) for label, value in _envelope(view) if value],
            *[("header", f"{name}: {redact(value)}") for name, value in sorted(view.headers.items())],
        ]
    )
    yield ""
    marks = [("created", view.created), ("due", view.due), ("expires", view.expires), ("died", view.died)]
    yield from _times(marks, now)
    for attempt in view.attempts:
        yield from facts([(f"try {attempt.number}", redact(attempt.error))])
    yield ""
    yield "payload:"
    yield from block("\n".join(payload_lines(view.payload)))


def _times(marks: list[tuple[str, Mark | None]], now: Mark) -> list[str]:
    rows: list[tuple[str, str, str]] = []
    for name, mark in marks:
        if mark is not None:
            left_s = mark.mono - now.mono
            rows.append((name, f"in {age(left_s)}" if left_s > 0 else since(mark, now), stamp(mark.at)))
    return table(("fact", "age", "at"), rows)


def _envelope(view: MailView) -> list[tuple[str, str]]:
    return [
        ("key", view.key),
        ("order key", view.order_key),
        ("correlation", view.correlation),
        ("caused by", view.causation),
        ("replays", str(view.replays or "")),
        ("redrive of", mail_name(view.redriven_from) if view.redriven_from else ""),
    ]


def _add_peek(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    parser.add_argument("--dead", action="store_true", help="its dead letters instead of what waits")
    parser.add_argument("--limit", type=int, default=100, help="at most so many, up to 500 (default 100)")
    parser.add_argument("--after", metavar="ID", default="0", help="only messages after that one")
    add_filter(parser, is_dead=True)


async def _peek(call: Call) -> None:
    args = call.args
    after = mail_id_of(args.after, field="after") or MailId(0)
    page = await call.query(
        BrowseMail(mailbox=_name(call), dead=args.dead, after=after, limit=args.limit, where=filter_of(call))
    )
    now = await call.now()
    call.give(page, lambda: mail_rows(page.mails, now, call.width))
    if page.next_after is not None:
        call.narrate(f"there is more: --after {mail_name(page.next_after)}")
    elif not page.mails:
        call.narrate("no message fits")


def mail_rows(mails: tuple[MailView, ...], now: Mark, width: int | None) -> list[str]:
    """Messages in a table."""
    head = ("message", "state", "age", "try", "from", "type", "error", "payload")
    rows = [
        (
            mail_name(view.id),
            REASONS[view.reason] if view.reason else view.state.value,
            since(view.died or view.created, now),
            str(view.attempt),
            view.sender,
            view.message_type,
            redact(view.error),
            redact(view.payload),
        )
        for view in mails
    ]
    return table(head, rows, width=width) if rows else []


# -- acting --------------------------------------------------------------------


def _add_send(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    parser.add_argument("payload", metavar="PAYLOAD", help="JSON, or any text; - reads it from stdin")
    parser.add_argument("--message-type", default="operator", help="what it is (default operator)")
    parser.add_argument("--priority", choices=[name.value for name in Priority], default="normal")
    parser.add_argument("--key", dest="once", metavar="TEXT", default="", help="the same key is taken once")
    parser.add_argument("--correlation", default="", help="of the chain that it belongs to")
    parser.add_argument("--delay", metavar="TIME", default="", help="not before that time, such as 10m")
    parser.add_argument("--ttl", metavar="TIME", default="", help="given up after that time")
    parser.add_argument("--text", dest="as_text", action="store_true", help="as text, even when it is JSON")


async def _send(call: Call) -> None:
    args = call.args
    words = call.streams.stdin.read().removesuffix("\n") if args.payload == "-" else args.payload
    command = PostMail(
        mailbox=_name(call),
        payload=words if args.as_text else read_payload(words)[0],
        message_type=args.message_type,
        priority=Priority(args.priority),
        key=args.once,
        correlation=args.correlation,
        delay_s=span_of(args.delay, "delay"),
        ttl_s=span_of(args.ttl, "ttl"),
    )
    receipt = await call.execute(command)
    call.give(receipt, lambda: _posted(receipt))


def _posted(receipt: PostReceipt) -> list[str]:
    return facts(
        [
            ("message", mail_name(receipt.mail_id)),
            ("mailbox", receipt.mailbox),
            *([("duplicate", "yes, the key was used before")] if receipt.is_duplicate else []),
        ]
    )


def _add_pause(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    parser.add_argument("--reason", default="", help="shown to everybody, kept in the journal")
    parser.add_argument("--for", dest="for_time", metavar="TIME", default="", help="goes on by itself after that time")


async def _pause(call: Call) -> None:
    for_s = span_of(call.args.for_time, "for")
    await _stood(call, await call.execute(PauseMailbox(mailbox=_name(call), reason=call.args.reason, for_s=for_s)))


async def _resume(call: Call) -> None:
    await _stood(call, await call.execute(ResumeMailbox(mailbox=_name(call))))


async def _stood(call: Call, view: MailboxView) -> None:
    now = await call.now()
    words, _ = standing(view, ages_from(now))
    call.give(view, lambda: facts([("mailbox", view.name), ("state", f"{view.state.value}: {words}")]))


def _add_rules(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    parser.add_argument(
        "--set",
        dest="rules",
        metavar="RULE=VALUE",
        action="append",
        default=[],
        help="a rule, such as capacity=1000 or visibility_s=2m; may be given several times",
    )


async def _create(call: Call) -> None:
    policy = read_policy("\n".join(call.args.rules), MailboxPolicy())
    view = await call.execute(CreateMailbox(mailbox=_name(call), policy=policy))
    call.give(view, lambda: facts([("mailbox", view.name)]) + policy_lines(view.policy))


async def _policy(call: Call) -> None:
    view = await call.query(GetMailbox(mailbox=_name(call)))
    if call.args.rules:
        policy = read_policy("\n".join(call.args.rules), view.policy)
        view = await call.execute(SetMailboxPolicy(mailbox=view.name, policy=policy))
    call.give(view, lambda: policy_lines(view.policy))


def _add_delete(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    add_yes(parser)


async def _delete(call: Call) -> None:
    call.confirm(f"removing {call.args.mailbox}", "mailbox.delete")
    receipt = await call.execute(DeleteMailbox(mailbox=_name(call)))
    call.give(receipt, lambda: facts([("removed", call.args.mailbox)]))


VERBS: tuple[Verb, ...] = (
    Verb("mailbox", "list", "every queue: depth, oldest, rates, dead", _add_list, _list),
    Verb("mailbox", "show", "one mailbox with its figures and rules, or one message", _add_show, _show),
    Verb("mailbox", "peek", "messages, without taking them", _add_peek, _peek),
    Verb("mailbox", "send", "put a message into a mailbox", _add_send, _send),
    Verb("mailbox", "pause", "give nothing out until it is resumed", _add_pause, _pause),
    Verb("mailbox", "resume", "give messages out again", _add_name, _resume),
    Verb("mailbox", "create", "make a mailbox", _add_rules, _create),
    Verb("mailbox", "policy", "its rules: shown, or changed with --set", _add_rules, _policy),
    Verb("mailbox", "delete", "remove an empty mailbox", _add_delete, _delete),
)
