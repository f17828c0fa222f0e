"""Shell commands about deliveries: list, show, send, retry, drop; their outboxes and the directory of chats."""

import argparse

from console.outbox_facts import breaker_words, next_words, outbox_facts
from console.outbox_receipts import lifted, refreshed
from console.shell.call import Call, Verb
from console.shell.flags import add_nothing, add_reason, add_yes
from console.shell.printing import facts, since, table
from console.text import age, clean
from core.api.base import DeliveryId, Mark, PlatformName, SessionId
from core.api.chats import ChatList, ListChats, RefreshChats
from core.api.deliveries import (
    DeliveryList,
    DeliveryView,
    DropDelivery,
    GetDelivery,
    ListDeliveries,
    RetryDelivery,
    SendToTarget,
)
from core.api.outboxes import LiftHold, ListOutboxes, OutboxList


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=200, help="at most so many (default 200)")


async def _list(call: Call) -> None:
    found = await call.query(ListDeliveries(limit=call.args.limit))
    now = await call.now()
    call.give(found, lambda: _rows(found, now, call.width))
    if not found.deliveries:
        call.narrate("every answer has been sent")


def _rows(found: DeliveryList, now: Mark, width: int | None) -> list[str]:
    head = ("delivery", "state", "age", "try", "next", "platform", "session", "error", "text")
    rows = [
        (
            view.id,
            view.state.value,
            since(view.created, now),
            str(view.attempt),
            age(max(0.0, view.next_try.mono - now.mono)) if view.next_try else "",
            view.platform,
            view.session_id,
            view.error,
            view.text,
        )
        for view in found.deliveries
    ]
    return table(head, rows, width=width) if rows else []


def _add_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="of the delivery, as `deliveries list` prints it")


async def _retry(call: Call) -> None:
    view = await call.execute(RetryDelivery(delivery_id=DeliveryId(call.args.id)))
    call.give(view, lambda: _facts(view))


def _add_drop(parser: argparse.ArgumentParser) -> None:
    _add_id(parser)
    add_yes(parser)
    add_reason(parser)


async def _drop(call: Call) -> None:
    call.confirm(f"dropping {call.args.id}", "delivery.drop")
    view = await call.execute(DropDelivery(delivery_id=DeliveryId(call.args.id), reason=call.args.reason))
    call.give(view, lambda: _facts(view))


def _facts(view: DeliveryView) -> list[str]:
    return facts(
        [("delivery", view.id), ("state", view.state.value), ("attempt", view.attempt), ("error", view.error or "none")]
    )


async def _show(call: Call) -> None:
    view = await call.query(GetDelivery(delivery_id=DeliveryId(call.args.id)))
    now = await call.now()
    parts = f"{view.part} of {view.part_count}"
    due = age(max(0.0, view.next_try.mono - now.mono)) if view.next_try else "none planned"
    head = [
        *_facts(view),
        *facts([("part", parts), ("next try", due), ("platform", view.platform), ("chat", view.chat)]),
        *facts([("session", view.session_id), ("file", view.file or "none")]),
        "",
    ]
    call.give(view, lambda: [*head, *clean(view.text, keep_newlines=True).split("\n")])


def _add_send(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "target", metavar="TARGET", help="home, PLATFORM, PLATFORM:CHAT[:THREAD], all, origin; commas between several"
    )
    parser.add_argument("text", metavar="TEXT", nargs="?", default="", help="what to send; may be left out with a file")
    parser.add_argument(
        "--file", metavar="PATH", action="append", default=[], help="a file below files/ of the home; may be repeated"
    )
    parser.add_argument("--origin", metavar="KEY", default="", help="the session that `origin` and `home` stand for")
    parser.add_argument("--quiet", action="store_true", help="do not note it in the session of the chat")
    parser.add_argument("--key", default="", help="send it once, however often it is called with this key")


async def _send(call: Call) -> None:
    args = call.args
    sent = await call.execute(
        SendToTarget(
            target=args.target,
            text=args.text,
            files=tuple(args.file),
            origin=SessionId(args.origin) if args.origin else None,
            is_noted=not args.quiet,
            idempotency_key=args.key,
        )
    )
    head = ("delivery", "state", "platform", "chat", "part")
    rows = [
        (view.id, view.state.value, view.platform, view.chat, f"{view.part}/{view.part_count}")
        for view in sent.deliveries
    ]
    call.give(sent, lambda: table(head, rows, width=call.width) if rows else [])
    if not sent.deliveries:
        call.narrate("it was sent before with that key: nothing is sent again")


async def _outboxes(call: Call) -> None:
    found = await call.query(ListOutboxes())
    now = await call.now()
    call.give(found, lambda: _outbox_rows(found, now, call.width))
    if not found.outboxes:
        call.narrate("no account has sent anything yet")


def _outbox_rows(found: OutboxList, now: Mark, width: int | None) -> list[str]:
    def age_s(instant: Mark) -> float:
        return now.mono - instant.mono

    head = ("platform", "state", "waiting", "oldest", "next", "breaker", "dead", "sent", "why")
    rows = [
        (
            view.platform,
            view.state.value,
            str(view.waiting),
            since(view.oldest, now) if view.oldest else "-",
            next_words(view, age_s),
            breaker_words(view)[0],
            str(view.dead),
            str(view.sent),
            view.why or "-",
        )
        for view in found.outboxes
    ]
    return table(head, rows, width=width) if rows else []


def _add_platform(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("platform", metavar="PLATFORM", help="name of the connection")


async def _lift(call: Call) -> None:
    view = await call.execute(LiftHold(platform=PlatformName(call.args.platform)))
    now = await call.now()
    call.give(
        view, lambda: facts([(name, words) for name, words, _ in outbox_facts(view, lambda at: now.mono - at.mono)[1:]])
    )
    call.narrate(lifted(view)[0])


def _add_chats(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", metavar="TEXT", nargs="?", default="", help="part of a name or an id")
    parser.add_argument("--platform", default="", help="of one connection only")
    parser.add_argument("--limit", type=int, default=200, help="at most so many (default 200)")


async def _chats(call: Call) -> None:
    args = call.args
    platform = PlatformName(args.platform) if args.platform else None
    found = await call.query(ListChats(platform=platform, text=args.text, limit=args.limit))
    now = await call.now()
    call.give(found, lambda: _chat_rows(found, now, call.width))
    if not found.chats:
        call.narrate("no chat is known: they are learnt from messages, and asked of platforms that can list them")
    elif found.total > len(found.chats):
        call.narrate(f"{len(found.chats)} of {found.total}")


def _chat_rows(found: ChatList, now: Mark, width: int | None) -> list[str]:
    head = ("platform", "kind", "chat", "thread", "seen", "name")
    rows = [
        (view.platform, view.kind.value, view.chat, view.thread or "", since(view.seen, now), view.name)
        for view in found.chats
    ]
    return table(head, rows, width=width) if rows else []


def _add_refresh(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("platform", metavar="PLATFORM", nargs="?", default="", help="one connection; all when left out")


async def _refresh(call: Call) -> None:
    platform = PlatformName(call.args.platform) if call.args.platform else None
    view = await call.execute(RefreshChats(platform=platform))
    call.give(view, lambda: [refreshed(view)[0]])


VERBS: tuple[Verb, ...] = (
    Verb("deliveries", "list", "answers on their way, and those that never arrived", _add_list, _list),
    Verb("deliveries", "show", "one of them with its whole text", _add_id, _show),
    Verb("deliveries", "send", "send a message to a chat by name", _add_send, _send),
    Verb("deliveries", "outboxes", "what waits over each account, and what holds it up", add_nothing, _outboxes),
    Verb("deliveries", "lift", "send although the far side asked to wait", _add_platform, _lift),
    Verb("deliveries", "chats", "the directory of chats, by id and name", _add_chats, _chats),
    Verb("deliveries", "refresh-chats", "ask platforms for their chats now", _add_refresh, _refresh),
    Verb("deliveries", "retry", "try again now", _add_id, _retry),
    Verb("deliveries", "drop", "let one go", _add_drop, _drop),
)
