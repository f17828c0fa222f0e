"""Shell commands about approvals: list, show, approve, deny, answer."""

import argparse
from collections.abc import Iterator

from console.shell.call import Call, Verb
from console.shell.printing import ages, block, facts, since, table
from console.text import age, reveal
from core.api.approvals import AnswerApproval, ApprovalList, ApprovalView, GetApproval, ListApprovals
from core.api.base import ApprovalId, Mark
from core.api.errors import InvalidInput


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="decided ones as well, for as long as they are kept")
    parser.add_argument("--limit", type=int, default=200, help="at most so many (default 200)")


async def _list(call: Call) -> None:
    found = await call.query(ListApprovals(open_only=not call.args.all, limit=call.args.limit))
    now = await call.now()
    call.give(found, lambda: _rows(found, now, call.width))
    if not found.approvals:
        call.narrate("nothing waits for a decision")


def _rows(found: ApprovalList, now: Mark, width: int | None) -> list[str]:
    head = ("approval", "state", "waits", "expires", "kind", "agent", "session", "asks")
    rows = [
        (
            view.id,
            view.state.value,
            since(view.asked, now),
            age(view.deadline.mono - now.mono) if view.deadline else "never",
            view.kind.value,
            view.agent,
            view.session_id,
            view.title,
        )
        for view in found.approvals
    ]
    return table(head, rows, width=width) if rows else []


def _add_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="of the approval, as `approvals list` prints it")


async def _show(call: Call) -> None:
    view = await call.query(GetApproval(approval_id=ApprovalId(call.args.id)))
    now = await call.now()
    call.give(view, lambda: _detail(view, now))


def _detail(view: ApprovalView, now: Mark) -> Iterator[str]:
    yield from _facts(view)
    yield ""
    yield from ages([("asked", view.asked), ("deadline", view.deadline), ("decided", view.decided)], now)
    yield ""
    yield "asks:"
    # Whoever decides must see odd spaces and line ends too.
    yield from block(reveal(view.detail))
    yield ""
    yield from table(
        ("option", "kind", "label"), [(option.id, option.kind.value, option.label) for option in view.options]
    )


def _facts(view: ApprovalView) -> list[str]:
    return facts(
        [
            ("approval", view.id),
            ("state", view.state.value),
            ("title", view.title),
            ("kind", view.kind.value),
            ("agent", view.agent),
            ("session", view.session_id),
            ("run", view.run_id),
            ("digest", view.digest),
            *([("decided by", view.decided_by)] if view.decided_by else []),
            *([("option", view.option_id)] if view.option_id else []),
            *([("reason", view.reason)] if view.reason else []),
            *([("told agent", view.delivery)] if view.delivery else []),
        ]
    )


def _add_decision(parser: argparse.ArgumentParser) -> None:
    _add_id(parser)
    parser.add_argument("--reason", default="", help="kept in the journal, told to the agent where it listens")
    parser.add_argument("--digest", default="", help="of what was looked at; anything else is not decided")


def _add_answer(parser: argparse.ArgumentParser) -> None:
    _add_id(parser)
    parser.add_argument("option", metavar="OPTION", help="one of the answers that `approvals show` lists")
    parser.add_argument("--reason", default="", help="kept in the journal, told to the agent where it listens")
    parser.add_argument("--digest", default="", help="of what was looked at; anything else is not decided")


async def _approve(call: Call) -> None:
    await _decide(call, allow=True)


async def _deny(call: Call) -> None:
    await _decide(call, allow=False)


async def _answer(call: Call) -> None:
    view = await call.query(GetApproval(approval_id=ApprovalId(call.args.id)))
    chosen = next((option for option in view.options if option.id == call.args.option), None)
    if chosen is None:
        known = ", ".join(option.id for option in view.options) or "none; use approve or deny"
        raise InvalidInput(
            f"{call.args.option} is no answer to {view.id}",
            field="option",
            value=call.args.option,
            fix=f"one of {known}",
        )
    await _decide(call, allow=chosen.kind.allows, option=chosen.id, digest=view.digest)


async def _decide(call: Call, *, allow: bool, option: str = "", digest: str = "") -> None:
    args = call.args
    view = await call.execute(
        AnswerApproval(
            approval_id=ApprovalId(args.id),
            allow=allow,
            option_id=option,
            reason=args.reason,
            digest=args.digest or digest,
        )
    )
    call.give(view, lambda: _facts(view))


VERBS: tuple[Verb, ...] = (
    Verb("approvals", "list", "what waits for a decision", _add_list, _list),
    Verb("approvals", "show", "one approval: what is asked in full, and the answers", _add_id, _show),
    Verb("approvals", "approve", "allow it", _add_decision, _approve),
    Verb("approvals", "deny", "reject it", _add_decision, _deny),
    Verb("approvals", "answer", "choose a particular answer", _add_answer, _answer),
)
