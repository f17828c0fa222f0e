"""Shell commands about senders that ask for access: look, decide, block, and invitations."""

import argparse

from console.access_receipts import invited, notice_words, sender_decided
from console.shell.call import Call, Verb
from console.shell.flags import add_nothing, add_yes
from console.shell.printing import ages, block, facts, since, table
from console.text import age, reveal
from core.api.base import Mark, PlatformName
from core.api.pairings import (
    ApprovePairing,
    BlockSender,
    CreateInvite,
    DenyPairing,
    GetPairing,
    InviteId,
    InviteState,
    InviteView,
    ListPairings,
    PairingId,
    PairingList,
    PairingState,
    PairingView,
    RevokePairing,
    UnblockSender,
    VoidInvite,
)


def _add_list(parser: argparse.ArgumentParser) -> None:
    states = [state.value for state in PairingState]
    parser.add_argument("--state", choices=states, action="append", default=[], help="only these; may be repeated")
    parser.add_argument("--limit", type=int, default=500, help="at most so many (default 500)")


async def _list(call: Call) -> None:
    states = tuple(PairingState(state) for state in call.args.state)
    found = await call.query(ListPairings(states=states, limit=call.args.limit))
    now = await call.now()
    call.give(found, lambda: _rows(found, now, call.width))
    if found.problem:
        call.narrate(f"read only: {found.problem}")
    if not found.pairings:
        call.narrate("nobody asks, and nobody was decided about")
    elif len(found.pairings) < found.total:
        call.narrate(f"{len(found.pairings)} of {found.total}")


def _rows(found: PairingList, now: Mark, width: int | None) -> list[str]:
    head = ("sender", "state", "platform", "id", "name", "asked", "expires", "tries", "told", "by", "warnings")
    rows = [
        (
            view.id,
            view.state.value,
            view.platform,
            reveal(view.sender_id),
            reveal(view.sender_name),
            since(view.asked, now),
            age(view.expires.mono - now.mono) if view.expires else "",
            str(view.tries),
            view.notice.value if view.notice else "",
            view.decided_by,
            str(len(view.warnings) or ""),
        )
        for view in found.pairings
    ]
    return table(head, rows, width=width) if rows else []


def _add_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="of the sender, as `pairing list` prints it, or PLATFORM:ID")


async def _show(call: Call) -> None:
    view = await call.query(GetPairing(pairing_id=PairingId(call.args.id)))
    now = await call.now()
    call.give(view, lambda: _detail(view, now))


def _detail(view: PairingView, now: Mark) -> list[str]:
    known = [
        ("sender", view.id),
        ("version", view.version),
        ("state", view.state.value),
        ("platform", view.platform),
        ("id", reveal(view.sender_id)),
        ("name", reveal(view.sender_name)),
        ("chat", view.chat),
        ("tries", view.tries),
        *(("warning", reveal(warning)) for warning in view.warnings),
        *([("decided by", view.decided_by)] if view.decided_by else []),
        *([("reason", view.reason)] if view.reason else []),
        *([("told", notice_words(view))] if view.notice else []),
        *([("wrong codes", view.failures)] if view.failures else []),
        *([("invitation", view.invite_id)] if view.invite_id else []),
    ]
    marks = [
        ("asked", view.asked),
        ("expires", view.expires),
        ("decided", view.decided),
        ("locked until", view.locked_until),
    ]
    lines = [*facts(known), "", *ages([item for item in marks if item[1] is not None], now)]
    if view.first_text:
        lines += ["", "first message:", *block(reveal(view.first_text))]
    return lines


def _add_version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--version-seen", type=int, default=None, help="as it was looked at; else nothing is decided")


def _add_reason(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reason", default="", help="kept in the journal, and told to the sender")


def _add_approve(parser: argparse.ArgumentParser) -> None:
    _add_id(parser)
    _add_version(parser)
    parser.add_argument("--replay", action="store_true", help="also give the agent the message that was held back")


async def _approve(call: Call) -> None:
    args = call.args
    order = ApprovePairing(pairing_id=PairingId(call.args.id), version=args.version_seen, replays=args.replay)
    receipt = await call.execute(order)
    call.give(receipt, lambda: [sender_decided(receipt)[0]])


def _add_deny(parser: argparse.ArgumentParser) -> None:
    _add_id(parser)
    _add_version(parser)
    _add_reason(parser)


async def _deny(call: Call) -> None:
    order = DenyPairing(pairing_id=PairingId(call.args.id), version=call.args.version_seen, reason=call.args.reason)
    receipt = await call.execute(order)
    call.give(receipt, lambda: [sender_decided(receipt)[0]])


def _add_revoke(parser: argparse.ArgumentParser) -> None:
    _add_deny(parser)
    parser.add_argument("--stop", action="store_true", help="also stop what the sender has running")
    add_yes(parser)


async def _revoke(call: Call) -> None:
    args = call.args
    call.confirm(f"taking access back from {args.id}", "pairing.revoke")
    receipt = await call.execute(
        RevokePairing(
            pairing_id=PairingId(args.id), version=args.version_seen, stops_runs=args.stop, reason=args.reason
        )
    )
    call.give(receipt, lambda: [sender_decided(receipt)[0]])


def _add_block(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("platform", metavar="PLATFORM", help="name of the connection")
    parser.add_argument("user", metavar="USER", help="id of the sender there; it may never have written")
    parser.add_argument("--stop", action="store_true", help="also stop what the sender has running")
    _add_reason(parser)
    add_yes(parser)


async def _block(call: Call) -> None:
    args = call.args
    call.confirm(f"blocking {args.platform}:{args.user}", "pairing.block")
    receipt = await call.execute(
        BlockSender(platform=PlatformName(args.platform), sender_id=args.user, stops_runs=args.stop, reason=args.reason)
    )
    call.give(receipt, lambda: [sender_decided(receipt)[0]])


async def _unblock(call: Call) -> None:
    receipt = await call.execute(UnblockSender(pairing_id=PairingId(call.args.id)))
    call.give(receipt, lambda: [sender_decided(receipt)[0]])


def _add_invite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--platform", default=None, help="only at this connection; else at all of them")
    parser.add_argument("--ttl-s", type=float, default=3600.0, help="how long it is good for (60 to 604800)")
    parser.add_argument("--note", default="", help="for whom it is")


async def _invite(call: Call) -> None:
    args = call.args
    platform = PlatformName(args.platform) if args.platform else None
    receipt = await call.execute(CreateInvite(platform=platform, ttl_s=args.ttl_s, note=args.note))
    call.give(receipt, lambda: [receipt.code])
    call.narrate(
        f"{invited(receipt.invite)[0]}; whoever sends this code alone is let in, once, within {args.ttl_s:g} s"
    )
    call.narrate("the code is shown only now")


async def _invites(call: Call) -> None:
    found = await call.query(ListPairings(limit=1))
    now = await call.now()
    call.give(found, lambda: _invite_rows(found.invites, now, call.width))
    if not found.invites:
        call.narrate("no invitations")


def _invite_rows(invites: tuple[InviteView, ...], now: Mark, width: int | None) -> list[str]:
    head = ("invitation", "state", "platform", "made", "expires", "by", "used by", "note")
    rows = [
        (
            view.id,
            view.state.value,
            view.platform or "all",
            since(view.created, now),
            age(view.expires.mono - now.mono) if view.state is InviteState.OPEN else "",
            view.created_by,
            view.used_by or "",
            view.note,
        )
        for view in invites
    ]
    return table(head, rows, width=width) if rows else []


def _add_void(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="of the invitation, as `pairing invites` prints it")
    add_yes(parser)


async def _void(call: Call) -> None:
    call.confirm(f"voiding {call.args.id}", "invite.void")
    view = await call.execute(VoidInvite(invite_id=InviteId(call.args.id)))
    call.give(view, lambda: [invited(view)[0]])


VERBS: tuple[Verb, ...] = (
    Verb("pairing", "list", "who asks for access, and who was decided about", _add_list, _list),
    Verb("pairing", "show", "one sender: raw id, warnings, first message", _add_id, _show),
    Verb("pairing", "approve", "let a sender in", _add_approve, _approve),
    Verb("pairing", "deny", "turn a request down", _add_deny, _deny),
    Verb("pairing", "revoke", "take access back", _add_revoke, _revoke),
    Verb("pairing", "block", "ignore a sender whatever the lists say", _add_block, _block),
    Verb("pairing", "unblock", "end a block, or a lockout after wrong codes", _add_id, _unblock),
    Verb("pairing", "invite", "make a code that lets one sender in", _add_invite, _invite),
    Verb("pairing", "invites", "invitations, without their codes", add_nothing, _invites),
    Verb("pairing", "void", "make an open invitation worthless", _add_void, _void),
)
