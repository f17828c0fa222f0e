"""Shell commands about the queue, the archive, the memory and the lease of a session."""

import argparse
from collections.abc import Callable, Iterator, Sequence

from console import queue_receipts as receipts
from console.exit_codes import Exit
from console.mode_words import MODE_WORDS
from console.session_runtime import asks_words, compaction_words, context, lease_problem
from console.shell.call import Call, Verb
from console.shell.flags import add_reason, add_session
from console.shell.printing import ages_from, facts, since, table
from console.text import age
from core.api.base import Mark, MessageId, RunId, SessionId
from core.api.errors import InvalidInput
from core.api.runs import LeaseView
from core.api.session_orders import (
    ArchiveSession,
    CompactSession,
    LeaseReceipt,
    MoveMessage,
    QueueReceipt,
    ReleaseLease,
    SessionReceipt,
    SetMessageMode,
    SplitMessage,
    UnarchiveSession,
)
from core.api.sessions import GetSession, MessageState, MessageView, Mode, SessionView


def shown(view: SessionView, now: Mark) -> list[tuple[str, object]]:
    """What works for a session, for `sessions show`."""
    age_s = ages_from(now)
    runner, lease = view.runner, view.lease
    used, limit, source = context(view)
    mode = "none"
    if runner is not None:
        mode = (runner.mode or "its only one") if runner.asks else asks_words(runner.mode)
    return [
        ("runner", f"{runner.kind} {runner.generation}, {runner.state.value}" if runner else "none is kept"),
        ("runner mode", mode),
        *(((f"runner {name}", value) for name, value in runner.facts.items()) if runner else ()),
        ("lease", _lease(lease, lease_problem(view, age_s), age_s) if lease else "nobody holds it"),
        ("context", f"{used} of {limit or 'unknown'} tokens, {source}"),
        ("compaction", compaction_words(view.compaction) if view.compaction else "never tried"),
        *([("archived", "yes")] if view.is_archived else []),
    ]


def _lease(lease: LeaseView, problem: str, age_s: Callable[[Mark], float]) -> str:
    renewed = problem or f"renewed {age(age_s(lease.renewed))} ago"
    return f"{lease.run_id}, token {lease.token}, start {lease.boot}, {renewed}"


def marks(view: SessionView) -> list[tuple[str, Mark | None]]:
    """Instants of runner and lease, for `sessions show`."""
    found: list[tuple[str, Mark | None]] = []
    if view.runner is not None:
        found += [("runner_since", view.runner.since), ("runner_active", view.runner.active)]
    if view.lease is not None:
        found += [("lease_since", view.lease.since), ("lease_renewed", view.lease.renewed)]
    return found


def mode_words(message: MessageView) -> str:
    """How a message is taken, and why that is not what was asked."""
    if message.mode is message.effective_mode:
        return message.mode.value
    return f"{message.mode.value}, done as {message.effective_mode.value} ({message.mode_reason})"


# -- the queue -----------------------------------------------------------------


def _add_message(parser: argparse.ArgumentParser) -> None:
    add_session(parser)
    parser.add_argument("message", metavar="MESSAGE", help="id of a queued message, as `sessions queue` prints it")


async def _queue(call: Call) -> None:
    detail = await call.query(GetSession(session_id=SessionId(call.args.key)))
    waiting = tuple(item for item in detail.messages if item.state is MessageState.QUEUED)
    found = QueueReceipt(session_id=detail.session.id, messages=waiting)
    now = await call.now()
    call.give(found, lambda: _rows(waiting, now, call.width))
    if not waiting:
        call.narrate("nothing waits in that session")


def _rows(messages: Sequence[MessageView], now: Mark, width: int | None) -> list[str]:
    head = ("position", "message", "age", "as", "from", "asked", "taken as", "why", "part of", "task", "text")
    rows = [
        (
            str(place),
            str(item.id),
            since(item.received, now),
            item.voice.value,
            item.sender,
            item.mode.value,
            item.effective_mode.value,
            item.mode_reason,
            str(item.part_of or ""),
            str(item.task_id or ""),
            item.text,
        )
        for place, item in enumerate(messages)
    ]
    return table(head, rows, width=width) if rows else []


def _add_move(parser: argparse.ArgumentParser) -> None:
    _add_message(parser)
    parser.add_argument("position", metavar="POSITION", type=int, help="its new place; 0 is the first")


async def _move(call: Call) -> None:
    args = call.args
    message_id = MessageId(args.message)
    command = MoveMessage(session_id=SessionId(args.key), message_id=message_id, position=args.position)
    await _give_queue(call, await call.execute(command), receipts.moved(message_id))


def _add_mode(parser: argparse.ArgumentParser) -> None:
    _add_message(parser)
    ways = "; ".join(f"{mode.value}: {words}" for mode, words in MODE_WORDS.items())
    parser.add_argument("mode", metavar="MODE", choices=[mode.value for mode in Mode], help=ways)


async def _mode(call: Call) -> None:
    args = call.args
    message_id = MessageId(args.message)
    command = SetMessageMode(session_id=SessionId(args.key), message_id=message_id, mode=Mode(args.mode))
    await _give_queue(call, await call.execute(command), receipts.taken(message_id))


async def _split(call: Call) -> None:
    message_id = MessageId(call.args.message)
    command = SplitMessage(session_id=SessionId(call.args.key), message_id=message_id)
    await _give_queue(call, await call.execute(command), receipts.split(message_id))


async def _give_queue(call: Call, found: QueueReceipt, words: Callable[[QueueReceipt], tuple[str, str]]) -> None:
    now = await call.now()
    call.give(found, lambda: _rows(found.messages, now, call.width))
    call.narrate(words(found)[0])


# -- archive and memory --------------------------------------------------------


def _add_archive(parser: argparse.ArgumentParser) -> None:
    add_session(parser)
    add_reason(parser)


async def _archive(call: Call) -> None:
    receipt = await call.execute(ArchiveSession(session_id=SessionId(call.args.key), reason=call.args.reason))
    _give(call, receipt, receipts.archived)


def _add_unarchive(parser: argparse.ArgumentParser) -> None:
    add_session(parser)
    parser.add_argument("--epoch", type=int, metavar="N", help="one of its earlier conversations; without it the last")


async def _unarchive(call: Call) -> None:
    epoch: int | None = call.args.epoch
    if epoch is not None and epoch < 0:
        raise InvalidInput(f"epoch is {epoch}", field="epoch", value=epoch, fix="0 or more; see its transcript")
    receipt = await call.execute(UnarchiveSession(session_id=SessionId(call.args.key), epoch=epoch))
    _give(call, receipt, receipts.taken_up)


async def _compact(call: Call) -> None:
    _give(call, await call.execute(CompactSession(session_id=SessionId(call.args.key))), receipts.compacted)


def _give(call: Call, receipt: SessionReceipt, words: Callable[[SessionReceipt], tuple[str, str]]) -> None:
    call.give(receipt, lambda: facts([("session", receipt.session.id), ("result", words(receipt)[0])]))


# -- the lease -----------------------------------------------------------------


def _add_release(parser: argparse.ArgumentParser) -> None:
    add_session(parser)
    parser.add_argument("--run", metavar="ID", help="only if that run holds it")
    parser.add_argument("--force", action="store_true", help="also when the holder seems to be alive")
    parser.add_argument("--yes", action="store_true", help="with --force: do not ask")
    add_reason(parser)


async def _release(call: Call) -> int:
    args = call.args
    if args.force:
        call.confirm(f"releasing the lease of {args.key} by force", "session.release")
    command = ReleaseLease(
        session_id=SessionId(args.key),
        is_forced=args.force,
        run_id=RunId(args.run) if args.run else None,
        reason=args.reason,
    )
    receipt = await call.execute(command)
    call.give(receipt, lambda: _released(receipt))
    return Exit.OK if receipt.is_released else Exit.REFUSED


def _released(receipt: LeaseReceipt) -> Iterator[str]:
    yield from facts([("run", receipt.run_id or "none held it"), ("result", receipts.released(receipt)[0])])


VERBS: tuple[Verb, ...] = (
    Verb("sessions", "queue", "what waits in a session, in its order, and how it is taken", add_session, _queue),
    Verb("sessions", "move", "put a queued message at another place", _add_move, _move),
    Verb("sessions", "mode", "have a queued message taken in another way", _add_mode, _mode),
    Verb("sessions", "split", "have a part of a message answered alone", _add_message, _split),
    Verb("sessions", "archive", "put a session away; nothing of it is lost", _add_archive, _archive),
    Verb("sessions", "unarchive", "take a session up again", _add_unarchive, _unarchive),
    Verb("sessions", "compact", "have earlier entries stand as a summary for the agent", add_session, _compact),
    Verb("sessions", "release", "free a session whose holder is gone", _add_release, _release),
)
