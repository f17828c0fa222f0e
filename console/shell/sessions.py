"""Shell commands about sessions: list, show, send, open, stop, reset, drop, transcript."""

import argparse
from collections.abc import Iterator, Sequence

from console.shell import session_queue
from console.shell.call import Call, Verb
from console.shell.flags import add_reason, add_session, add_wait, add_yes
from console.shell.printing import ages, block, facts, since, table
from console.shell.waiting import wait_for_answer
from console.text import age, stamp
from core.api.base import AgentName, EntryId, Mark, MessageId, PlatformName, RunId, SessionId
from core.api.runs import RunOutcome
from core.api.session_queue import DropMessage
from core.api.sessions import (
    GetSession,
    InterruptSession,
    ListSessions,
    Mode,
    OpenSession,
    ResetSession,
    SendMessage,
    SendReceipt,
    SessionDetail,
    SessionPage,
    SessionState,
    SessionView,
    Voice,
)
from core.api.system import GetHealth
from core.api.transcripts import EntryView, ReadTranscript

_PAGE = 1000


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prefix", default="", help="only ids that begin so, such as telegram:dm:")
    parser.add_argument("--state", choices=[state.value for state in SessionState], help="only sessions in that state")
    parser.add_argument("--limit", type=int, default=200, help="at most so many; 0 for all (default 200)")


async def _list(call: Call) -> None:
    args, found, after = call.args, list[SessionView](), ""
    while True:
        seen = await call.query(ListSessions(after=after, prefix=args.prefix, limit=_PAGE))
        found += [view for view in seen.sessions if args.state is None or view.state == args.state]
        after = seen.cursor
        if not after or 0 < args.limit <= len(found):
            break
    shown = tuple(found[: args.limit] if args.limit > 0 else found)
    is_cut = len(shown) < len(found) or bool(after)
    page = SessionPage(sessions=shown, cursor=shown[-1].id if is_cut and shown else "", seq=seen.seq, total=seen.total)
    now = await call.now()
    call.give(page, lambda: _rows(page, now, call.width))
    if is_cut:
        call.narrate(f"{len(shown)} of {seen.total} sessions; --limit 0 shows all")
    elif not shown:
        call.narrate("no sessions yet; begin one with: hermes-console sessions open PLATFORM CHAT TEXT")


def _rows(page: SessionPage, now: Mark, width: int | None) -> list[str]:
    head = ("session", "state", "phase", "since", "queue", "waits", "heard", "agent", "title")
    rows = [
        (
            view.id,
            view.state.value,
            view.phase[0].value if view.phase else "",
            since(view.phase[1], now) if view.phase else "",
            str(view.queue_depth or ""),
            since(view.queue_head, now),
            since(view.inbound, now),
            view.agent,
            view.title,
        )
        for view in page.sessions
    ]
    return table(head, rows, width=width) if rows else []


def _add_show(parser: argparse.ArgumentParser) -> None:
    add_session(parser)
    parser.add_argument("--entries", type=int, default=50, help="newest entries of the transcript (default 50)")


async def _show(call: Call) -> None:
    detail = await call.query(GetSession(session_id=SessionId(call.args.key), entry_limit=call.args.entries))
    now = await call.now()
    call.give(detail, lambda: _detail(detail, now, call.width))


def _detail(detail: SessionDetail, now: Mark, width: int | None) -> Iterator[str]:
    view, run = detail.session, detail.session.run
    yield from facts(
        [
            ("session", view.id),
            ("state", view.state.value),
            ("agent", view.agent),
            ("title", view.title),
            ("epoch", view.epoch),
            ("queue", f"{view.queue_depth} of {view.queue_limit}"),
            ("lane holder", view.lane_holder or "nobody"),
            ("run", f"{run.id}, attempt {run.attempt}" if run else "none"),
            ("phase", f"{run.phase.value} {run.tool}" if run else view.phase[0].value if view.phase else "none"),
            *session_queue.shown(view, now),
            ("retry", f"try {run.retry.count + 1}: {run.retry.reason}" if run and run.retry else "none"),
            ("last run", _outcome(view.last_outcome)),
            ("approvals", f"{view.open_approvals} open"),
            ("unsent", view.unsent),
            ("entries", view.entry_count),
            ("tokens", f"{view.input_tokens} in, {view.output_tokens} out"),
        ]
    )
    yield ""
    yield from ages(_marks(view), now)
    if detail.messages:
        yield ""
        head = ("waiting", "state", "age", "as", "from", "mode", "text")
        yield from table(
            head,
            [
                (
                    item.id,
                    item.state.value,
                    since(item.received, now),
                    item.voice.value,
                    item.sender,
                    session_queue.mode_words(item),
                    item.text,
                )
                for item in detail.messages
            ],
            width=width,
        )
    if detail.entries:
        yield ""
        yield from _entries(detail.entries)
    if detail.live_text:
        yield ""
        yield "being written:"
        yield from block(detail.live_text)


def _outcome(outcome: RunOutcome | None) -> str:
    if outcome is None:
        return "none"
    error = f": {outcome.error}" if outcome.error else ""
    return f"{outcome.stop.value} after {age(outcome.duration_s)}{error}"


def _marks(view: SessionView) -> list[tuple[str, Mark | None]]:
    run, outcome = view.run, view.last_outcome
    marks: list[tuple[str, Mark | None]] = [
        ("created", view.created),
        ("inbound", view.inbound),
        ("outbound_ack", view.outbound_ack),
        ("queue_head", view.queue_head),
        ("phase", view.phase[1] if view.phase else None),
        ("last_outcome", outcome.ended if outcome else None),
        *session_queue.marks(view),
    ]
    if run is not None:
        marks += [
            ("run_started", run.started),
            ("last_model_byte", run.last_model_byte),
            ("last_tool_event", run.last_tool_event),
            ("interrupt_asked", run.interrupt_asked),
        ]
    return marks


def _add_transcript(parser: argparse.ArgumentParser) -> None:
    add_session(parser)
    parser.add_argument("--limit", type=int, default=200, help="the newest so many entries (default 200)")
    parser.add_argument("--before", metavar="ENTRY", help="only entries before that one")
    parser.add_argument("--epoch", type=int, help="only of that epoch; every reset begins a new one")


async def _transcript(call: Call) -> None:
    args = call.args
    before = EntryId(args.before) if args.before else None
    page = await call.query(
        ReadTranscript(session_id=SessionId(args.key), limit=args.limit, before=before, epoch=args.epoch)
    )
    call.give(page, lambda: _entries(page.entries))
    if page.has_earlier:
        call.narrate(f"there is more; earlier entries: --before {page.entries[0].id}")


def _entries(entries: Sequence[EntryView]) -> Iterator[str]:
    for entry in entries:
        marks = [word for word, is_so in (("cut off", entry.is_partial), ("imported", entry.is_imported)) if is_so]
        note = f" ({', '.join(marks)})" if marks else ""
        tool = [f"{entry.tool.title} [{entry.tool.status.value}]"] if entry.tool else []
        yield from facts([(stamp(entry.at), f"{entry.kind.value} {entry.author}{note}")])
        for text in (*tool, entry.text):
            if text:
                yield from block(text)


def _add_send(parser: argparse.ArgumentParser) -> None:
    add_session(parser)
    parser.add_argument("text", metavar="TEXT", help="what to say; - reads it from stdin")
    parser.add_argument(
        "--as", dest="voice", choices=[voice.value for voice in Voice], default="note", help="as whom (default note)"
    )
    parser.add_argument("--mode", choices=[mode.value for mode in Mode], help="what it does to a busy session")
    parser.add_argument("--model", default="", help="in place of the agent's own, for this turn alone")
    parser.add_argument("--key", dest="once", metavar="TEXT", default="", help="the same key is taken once")
    add_wait(parser)


async def _send(call: Call) -> int | None:
    args = call.args
    command = SendMessage(
        session_id=SessionId(args.key),
        text=_text(call),
        voice=Voice(args.voice),
        mode=Mode(args.mode) if args.mode else None,
        idempotency_key=args.once,
        model=args.model,
    )
    return await _sent(call, command)


def _add_open(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("platform", metavar="PLATFORM", help="a platform that lets us begin, such as local")
    parser.add_argument("chat", metavar="CHAT", help="name of the chat there")
    parser.add_argument("text", metavar="TEXT", help="the first message; - reads it from stdin")
    parser.add_argument("--agent", help="who answers, in place of the platform's agent")
    add_wait(parser)


async def _open(call: Call) -> int | None:
    args = call.args
    agent = AgentName(args.agent) if args.agent else None
    return await _sent(
        call, OpenSession(platform=PlatformName(args.platform), chat=args.chat, text=_text(call), agent=agent)
    )


async def _sent(call: Call, command: SendMessage | OpenSession) -> int | None:
    if call.args.wait:
        seq = (await call.query(GetHealth())).seq
        receipt = await call.execute(command)
        if call.is_json:
            call.give(receipt, list)
        else:
            call.narrate(f"{receipt.message_id} is stored for {receipt.session_id}; {receipt.position} before it")
        return await wait_for_answer(call, receipt, after=seq, limit_s=call.args.timeout)
    receipt = await call.execute(command)
    call.give(receipt, lambda: _receipt(receipt))
    return None


def _receipt(receipt: SendReceipt) -> list[str]:
    done = receipt.effective_mode.value
    mode = done if receipt.mode is receipt.effective_mode else f"{done} and not {receipt.mode.value}"
    return facts(
        [
            ("session", receipt.session_id),
            ("message", receipt.message_id),
            ("position", receipt.position),
            ("mode", f"{mode} ({receipt.mode_reason})" if receipt.mode_reason else mode),
            ("outcome", receipt.outcome.value),
            *([("duplicate", "yes, the key was used before")] if receipt.is_duplicate else []),
        ]
    )


def _text(call: Call) -> str:
    text: str = call.args.text
    return call.streams.stdin.read().removesuffix("\n") if text == "-" else text


def _add_stop(parser: argparse.ArgumentParser) -> None:
    add_session(parser)
    parser.add_argument("--run", metavar="ID", help="only that run; another one is left alone")
    add_reason(parser)


async def _stop(call: Call) -> None:
    args = call.args
    run = RunId(args.run) if args.run else None
    receipt = await call.execute(InterruptSession(session_id=SessionId(args.key), reason=args.reason, run_id=run))
    lane = "free" if receipt.is_released else f"still held by {receipt.holder or 'nobody known'}"
    call.give(
        receipt,
        lambda: facts([("run", receipt.run_id or "none was running"), ("lane", lane), ("queue", receipt.queue_depth)]),
    )


def _add_reset(parser: argparse.ArgumentParser) -> None:
    add_session(parser)
    parser.add_argument("--drop-queue", action="store_true", help="let queued messages go as well")
    parser.add_argument("--yes", action="store_true", help="with --drop-queue: do not ask")
    add_reason(parser)


async def _reset(call: Call) -> None:
    args = call.args
    if args.drop_queue:
        call.confirm(f"resetting {args.key}", "session.reset", also="; and every queued message")
    receipt = await call.execute(
        ResetSession(session_id=SessionId(args.key), reason=args.reason, drop_queue=args.drop_queue)
    )
    stopped = receipt.interrupted or "none was running"
    call.give(receipt, lambda: facts([("epoch", receipt.epoch), ("run", stopped), ("dropped", receipt.dropped)]))


def _add_drop(parser: argparse.ArgumentParser) -> None:
    add_session(parser)
    parser.add_argument("message", metavar="MESSAGE", help="id of a queued message, as `sessions show` prints it")
    add_yes(parser)
    add_reason(parser)


async def _drop(call: Call) -> None:
    args = call.args
    call.confirm(f"dropping {args.message}", "message.drop")
    receipt = await call.execute(
        DropMessage(session_id=SessionId(args.key), message_id=MessageId(args.message), reason=args.reason)
    )
    call.give(receipt, lambda: facts([("dropped", receipt.message_id)]))


VERBS: tuple[Verb, ...] = (
    Verb("sessions", "list", "who talks to which agent", _add_list, _list),
    Verb("sessions", "show", "one session: its facts with their ages, what waits, and what was said", _add_show, _show),
    Verb("sessions", "transcript", "what was said", _add_transcript, _transcript),
    Verb("sessions", "send", "put a message to the agent of a session", _add_send, _send),
    Verb("sessions", "open", "begin a conversation", _add_open, _open),
    Verb("sessions", "stop", "interrupt the run; what is queued stays", _add_stop, _stop),
    Verb("sessions", "reset", "let the agent forget; the transcript stays on record", _add_reset, _reset),
    Verb("sessions", "drop", "let a queued message go", _add_drop, _drop),
)
