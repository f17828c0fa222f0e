"""Shell commands about approvals and standing permissions: look, decide, deny many, ask again, revoke."""

import argparse
from collections.abc import Iterator

from console.approval_receipts import asked_again, denied_many, nothing_said, revoked
from console.shell.call import Call, Verb
from console.shell.printing import ages, block, facts, since, table
from console.text import age, clean, reveal
from core.api.approvals import (
    AnswerApproval,
    ApprovalList,
    ApprovalView,
    DenyApprovals,
    GetApproval,
    GrantList,
    GrantScope,
    ListApprovals,
    ListGrants,
    NoteApproval,
    ReaskApproval,
    RevokeGrant,
)
from core.api.base import AgentName, ApprovalId, GrantId, Mark
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
    if view.diff:
        yield "diff:"
        yield from block(reveal(view.diff))
        yield ""
    yield from table(
        ("option", "kind", "label"), [(option.id, option.kind.value, option.label) for option in view.options]
    )
    for offer in view.offers:
        yield f"--scope {offer.scope.value} --pattern {clean(offer.pattern)}"
        yield from (f"    lets through as well: {clean(example)}" for example in offer.matches)


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
            ("because", view.why_asked),
            *(("warning", warning) for warning in view.warnings),
            *([("where", view.cwd)] if view.cwd else []),
            *([("chain", " > ".join((view.agent, *view.chain)))] if view.chain else []),
            ("shown on", ", ".join(surface.name for surface in view.surfaces) or "no surface"),
            *([("ended", view.ended.value)] if view.ended else []),
            *([("scope", view.scope.value)] if view.scope is not GrantScope.ONCE else []),
            *([("answer", view.answer)] if view.answer else []),
            *([("result", view.result)] if view.result else []),
            *([("asked before", view.replaces)] if view.replaces else []),
            *([("asked again", view.replaced_by)] if view.replaced_by else []),
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


def _add_approve(parser: argparse.ArgumentParser) -> None:
    _add_decision(parser)
    scopes = [scope.value for scope in GrantScope]
    parser.add_argument("--scope", choices=scopes, default=GrantScope.ONCE.value, help="how far it reaches")
    parser.add_argument("--pattern", default="", help="as `approvals show` offers it; needed beyond once")
    parser.add_argument("--answer", default="", help="to a question, in words")


def _add_deny(parser: argparse.ArgumentParser) -> None:
    _add_decision(parser)
    parser.add_argument("--remember-s", type=float, default=0.0, help="refuse the same without asking for so long")


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
            scope=GrantScope(getattr(args, "scope", GrantScope.ONCE.value)),
            pattern=getattr(args, "pattern", ""),
            answer=getattr(args, "answer", ""),
            remember_s=getattr(args, "remember_s", 0.0),
        )
    )
    call.give(view, lambda: _facts(view))


def _add_many(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", metavar="ID", nargs="+", help="of the approvals")
    parser.add_argument("--reason", default="", help="kept in the journal, told to the agents")


async def _deny_all(call: Call) -> None:
    ids = tuple(ApprovalId(item) for item in call.args.ids)
    receipt = await call.execute(DenyApprovals(approval_ids=ids, reason=call.args.reason))
    call.give(receipt, lambda: [denied_many(receipt)[0], *(f"no longer open: {item}" for item in receipt.too_late)])


async def _reask(call: Call) -> None:
    view = await call.execute(ReaskApproval(approval_id=ApprovalId(call.args.id)))
    call.give(view, lambda: [asked_again(view)[0]])


def _add_note(parser: argparse.ArgumentParser) -> None:
    _add_id(parser)
    parser.add_argument("surface", metavar="SURFACE", help="where it is shown, such as pager")
    parser.add_argument("--seen", action="store_true", help="somebody looked at it there")


async def _note(call: Call) -> None:
    args = call.args
    view = await call.execute(NoteApproval(approval_id=ApprovalId(args.id), surface=args.surface, is_seen=args.seen))
    call.give(view, lambda: [nothing_said(view)[0]])


def _add_grants(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--agent", default="", help="only of this agent")


async def _grants(call: Call) -> None:
    found = await call.query(ListGrants(agent=AgentName(call.args.agent) if call.args.agent else None))
    now = await call.now()
    call.give(found, lambda: _grant_rows(found, now, call.width))
    if not found.grants:
        call.narrate("no standing permission")


def _grant_rows(found: GrantList, now: Mark, width: int | None) -> list[str]:
    head = ("permission", "agent", "may", "pattern", "scope", "where", "used", "last", "expires", "by")
    rows = [
        (
            view.id,
            view.agent,
            "may" if view.allow else "may not",
            view.pattern,
            view.scope.value,
            view.session_id or view.task_id or "",
            str(view.used_count),
            since(view.last_used, now),
            age(view.expires.mono - now.mono) if view.expires else "never",
            view.given_by,
        )
        for view in found.grants
    ]
    return table(head, rows, width=width) if rows else []


def _add_revoke(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="of the permission, as `approvals grants` prints it")


async def _revoke(call: Call) -> None:
    view = await call.execute(RevokeGrant(grant_id=GrantId(call.args.id)))
    call.give(view, lambda: [revoked(view)[0]])


VERBS: tuple[Verb, ...] = (
    Verb("approvals", "list", "what waits for a decision", _add_list, _list),
    Verb("approvals", "show", "one approval: what is asked in full, and the answers", _add_id, _show),
    Verb("approvals", "approve", "allow it, or answer a question", _add_approve, _approve),
    Verb("approvals", "deny", "reject it", _add_deny, _deny),
    Verb("approvals", "answer", "choose a particular answer", _add_answer, _answer),
    Verb("approvals", "deny-all", "reject several at once", _add_many, _deny_all),
    Verb("approvals", "reask", "have an orphaned one asked again", _add_id, _reask),
    Verb("approvals", "note", "say where it is shown", _add_note, _note),
    Verb("approvals", "grants", "standing permissions and remembered refusals", _add_grants, _grants),
    Verb("approvals", "revoke", "end a standing permission", _add_revoke, _revoke),
)
