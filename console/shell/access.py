"""Shell commands about access: who would be let in, and why; everyone who is."""

import argparse

from console.access_receipts import verdict_words
from console.exit_codes import Exit
from console.shell.call import Call, Verb
from console.shell.printing import table
from console.text import reveal, stamp
from core.api.access import AccessExplanation, AccessStep, AdmittedPage, ExplainAccess, ListAdmitted
from core.api.base import PlatformName
from core.api.sessions import ChatKind


def _add_explain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("platform", metavar="PLATFORM", help="name of the connection")
    parser.add_argument("user", metavar="USER", help="id of the sender there")
    parser.add_argument("chat", metavar="CHAT", nargs="?", default="", help="a shared chat; none is a direct one")
    kinds = [kind.value for kind in ChatKind if kind is not ChatKind.DM]
    parser.add_argument("--kind", choices=kinds, default=ChatKind.GROUP.value, help="of the chat (default group)")


async def _explain(call: Call) -> int:
    args = call.args
    kind = ChatKind(args.kind) if args.chat else ChatKind.DM
    found = await call.query(
        ExplainAccess(platform=PlatformName(args.platform), sender_id=args.user, chat=args.chat, chat_kind=kind)
    )
    call.give(found, lambda: _lines(found, call.width))
    return Exit.OK


def _lines(found: AccessExplanation, width: int | None) -> list[str]:
    rows = [
        (str(step.layer), _sign(step), step.rule.value.replace("_", " "), step.origin, step.text)
        for step in found.steps
    ]
    also = [f"also known as {reveal(', '.join(found.aliases))}"] if found.aliases else []
    return [
        verdict_words(found.verdict)[0],
        *also,
        "",
        *table(("layer", "fits", "rule", "stands in", "means"), rows, width=width),
    ]


def _sign(step: AccessStep) -> str:
    if not step.is_reached:
        return "-"
    return "yes" if step.fits else "no"


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=200, help="at most so many (default 200)")
    parser.add_argument("--offset", type=int, default=0, help="how many to leave out")


async def _list(call: Call) -> None:
    page = await call.query(ListAdmitted(limit=call.args.limit, offset=call.args.offset))
    call.give(page, lambda: _rows(page, call.width))
    if not page.admitted:
        call.narrate("nobody is let in" if not page.total else "there are no more")
    elif len(page.admitted) < page.total:
        call.narrate(f"{len(page.admitted)} of {page.total}")


def _rows(page: AdmittedPage, width: int | None) -> list[str]:
    head = ("platform", "id", "name", "rule", "stands in", "tier", "since")
    rows = [
        (
            view.platform or "all",
            "everybody" if view.sender_id == "*" else reveal(view.sender_id),
            reveal(view.sender_name),
            view.rule.value.replace("_", " "),
            view.origin,
            view.tier.value,
            stamp(view.since_at) if view.since_at is not None else "",
        )
        for view in page.admitted
    ]
    return table(head, rows, width=width) if rows else []


VERBS: tuple[Verb, ...] = (
    Verb("access", "explain", "whether a sender would be let in, and which rule says so", _add_explain, _explain),
    Verb("access", "list", "everyone who is let in, and why", _add_list, _list),
)
