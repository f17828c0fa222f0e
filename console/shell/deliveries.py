"""Shell commands about deliveries: list, retry, drop."""

import argparse

from console.shell.call import Call, Verb
from console.shell.flags import add_reason, add_yes
from console.shell.printing import facts, since, table
from console.text import age
from core.api.base import DeliveryId, Mark
from core.api.deliveries import DeliveryList, DeliveryView, DropDelivery, ListDeliveries, RetryDelivery


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


VERBS: tuple[Verb, ...] = (
    Verb("deliveries", "list", "answers on their way, and those that never arrived", _add_list, _list),
    Verb("deliveries", "retry", "try again now", _add_id, _retry),
    Verb("deliveries", "drop", "let one go", _add_drop, _drop),
)
