"""Shell commands about tasks and runs: start, look, follow, say something, cancel, try again, archive."""

import argparse
import secrets
from collections.abc import Iterator
from enum import StrEnum
from functools import partial

from console.glyphs import badge
from console.shell.call import Call, Verb
from console.shell.flags import add_reason, add_yes
from console.shell.printing import ages_from, fact_lines, since, table
from console.task_facts import next_words, run_facts, task_facts, title
from console.task_receipts import archive_words, input_words, started_words, task_words
from console.text import clean, clock_time
from core.api.base import AgentName, Mark, RunId, SessionId, TaskId
from core.api.errors import InvalidInput
from core.api.sessions import Mode
from core.api.streams import ReadStream, StreamItem, StreamKind
from core.api.tasks import (
    ArchiveTask,
    CancelRun,
    CancelTask,
    GetRun,
    GetTask,
    ListRuns,
    ListTasks,
    RetryTask,
    Routing,
    RunDetail,
    RunFilter,
    RunPage,
    RunState,
    SendInput,
    StartTask,
    TaskDetail,
    TaskFilter,
    TaskPage,
    TaskReceipt,
    TaskState,
    UnarchiveTask,
)

_WAIT_S = 20.0


def _add_task(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", metavar="TASK", help="its id, as `tasks list` prints it")


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="its id, as `tasks show` prints it")


def _task(call: Call) -> TaskId:
    return TaskId(call.args.task)


# -- looking -------------------------------------------------------------------


def _add_which(parser: argparse.ArgumentParser, states: type[StrEnum]) -> None:
    names = [state.value for state in states]
    parser.add_argument("--state", action="append", choices=names, default=[], help="only these; may be given often")
    parser.add_argument("--agent", default="", help="only of this agent")
    parser.add_argument("--session", default="", help="only in this session")


def _add_page(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=50, help="at most so many, 1 to 200 (default 50)")
    parser.add_argument("--cursor", default="", help="where the page before ended")


def _add_list(parser: argparse.ArgumentParser) -> None:
    _add_which(parser, TaskState)
    parser.add_argument("--label", default="", help="only with this label")
    parser.add_argument("--made-by", default="", help="only made by whom this label names")
    parser.add_argument("--parent", default="", help="only made by this task")
    parser.add_argument("--text", default="", help="only with these words")
    parser.add_argument("--archived", action="store_true", help="archived ones as well")
    _add_page(parser)


async def _list(call: Call) -> None:
    args = call.args
    only = TaskFilter(
        states=tuple(TaskState(state) for state in args.state),
        agent=AgentName(args.agent) if args.agent else None,
        session_id=SessionId(args.session) if args.session else None,
        label=args.label,
        spawned_by=args.made_by,
        parent_id=TaskId(args.parent) if args.parent else None,
        archived=None if args.archived else False,
        text=args.text,
    )
    found = await call.query(ListTasks(only=only, limit=args.limit, cursor=args.cursor))
    now = await call.now()
    call.give(found, lambda: _rows(found, now, call.width))
    if not found.tasks:
        call.narrate("no tasks")
    elif found.has_more:
        call.narrate(f"more: --cursor {found.cursor}")


def _rows(found: TaskPage, now: Mark, width: int | None) -> list[str]:
    head = ("task", "state", "agent", "try", "age", "what", "next")
    rows = [
        (
            task.id,
            task.state.value,
            task.agent,
            f"{task.attempt_count}/{task.max_attempts}",
            since(task.ended or task.changed or task.accepted, now),
            title(task),
            next_words(task, ages_from(now)),
        )
        for task in found.tasks
    ]
    return table(head, rows, width=width) if rows else []


async def _show(call: Call) -> None:
    found = await call.query(GetTask(task_id=_task(call)))
    now = await call.now()
    call.give(found, lambda: _shown(found, now))


def _shown(found: TaskDetail, now: Mark) -> Iterator[str]:
    ago = ages_from(now)
    yield from fact_lines(task_facts(found.task, ago, use_ascii=True))
    for run in found.runs:
        tries = [item for item in found.attempts if item.run_id == run.id]
        yield ""
        yield from fact_lines(run_facts(run, tries, ago, use_ascii=True))
    if found.children:
        yield ""
        yield "made by it:"
        for child in found.children:
            yield f"  {clean(child.id)}  {child.state.value}  {title(child)}"


def _add_runs(parser: argparse.ArgumentParser) -> None:
    _add_which(parser, RunState)
    _add_page(parser)


async def _runs(call: Call) -> None:
    args = call.args
    only = RunFilter(
        states=tuple(RunState(state) for state in args.state),
        agent=AgentName(args.agent) if args.agent else None,
        session_id=SessionId(args.session) if args.session else None,
    )
    found = await call.query(ListRuns(only=only, limit=args.limit, cursor=args.cursor))
    now = await call.now()
    call.give(found, lambda: _run_rows(found, now, call.width))
    if found.has_more:
        call.narrate(f"more: --cursor {found.cursor}")


def _run_rows(found: RunPage, now: Mark, width: int | None) -> list[str]:
    head = ("run", "state", "agent", "age", "session", "task", "error")
    rows = [
        (
            run.id,
            badge(run.state, use_ascii=True).word,
            run.agent,
            since(run.ended or run.accepted, now),
            run.session_id,
            run.task_id or "",
            run.error,
        )
        for run in found.runs
    ]
    return table(head, rows, width=width) if rows else []


async def _run(call: Call) -> None:
    found = await call.query(GetRun(run_id=RunId(call.args.run)))
    now = await call.now()
    call.give(found, lambda: _run_lines(found, now))


def _run_lines(found: RunDetail, now: Mark) -> Iterator[str]:
    yield from fact_lines(run_facts(found.run, found.attempts, ages_from(now), use_ascii=True))
    if found.snapshots:
        yield ""
        rows = [
            (str(item.number), clock_time(item.at), item.marker, item.state.value, item.error)
            for item in found.snapshots
        ]
        yield from table(("no", "at", "what", "state", "error"), rows)


def _add_log(parser: argparse.ArgumentParser) -> None:
    _add_task(parser)
    parser.add_argument("--follow", action="store_true", help="wait for more until the task is over")
    parser.add_argument("--after", type=int, default=0, help="only what came after this number")


async def _log(call: Call) -> None:
    after, is_waiting = call.args.after, False
    while True:
        wait_s = _WAIT_S if is_waiting else 0.0
        batch = await call.query(ReadStream(task_id=_task(call), after=after, limit=500, wait_s=wait_s))
        if batch.has_gap:
            call.narrate("older lines are gone")
        for item in batch.items:
            call.give(item, partial(_lines_of, item))
        after = batch.next_after
        is_over = batch.task is None or batch.task.state.is_over
        if not batch.items and (is_over or not call.args.follow):
            return
        # What is kept is read to its end before anything is waited for.
        is_waiting = call.args.follow and not batch.items and not is_over


def _lines_of(item: StreamItem) -> list[str]:
    return [_line(item)]


def _line(item: StreamItem) -> str:
    words = clean(item.text, keep_newlines=item.kind is StreamKind.TEXT)
    what = f" {clean(item.what)}" if item.what else ""
    return f"{clock_time(item.at)}  {item.kind.value}{what}  {words}".rstrip()


# -- acting --------------------------------------------------------------------


def _add_start(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", metavar="TEXT", help="what is to be done; - is stdin")
    parser.add_argument("--agent", default="", help="who does it; the default agent by default")
    parser.add_argument("--session", default="", help="conversation to do it in; one of its own by default")
    parser.add_argument("--key", default="", help="idempotency key: the same content under it is one task")
    parser.add_argument("--label", default="", help="a word to find it by")
    parser.add_argument("--lane", default="", help="lane of the agent")
    parser.add_argument("--model", default="", help="in place of the agent's own")
    parser.add_argument("--parent", default="", help="task that makes this one")
    parser.add_argument("--made-by", default="", help="label of whoever makes it")
    parser.add_argument("--system", default="", help="put after the agent's own system prompt")
    parser.add_argument("--timeout-s", type=float, default=0.0, help="longest run; the profile's by default")
    parser.add_argument("--deliver-to", default="", metavar="PLATFORM:CHAT", help="where the answer goes as well")
    parser.add_argument("--wait", action="store_true", help="print the answer when it is there")


async def _start(call: Call) -> int | None:
    args = call.args
    words = call.streams.stdin.read() if args.text == "-" else args.text
    channel, _, chat = args.deliver_to.partition(":")
    if args.deliver_to and not (channel and chat):
        raise InvalidInput(
            f"{args.deliver_to} is no PLATFORM:CHAT", field="deliver-to", value=args.deliver_to, fix="write telegram:42"
        )
    receipt = await call.execute(
        StartTask(
            text=words,
            agent=AgentName(args.agent) if args.agent else None,
            session_id=args.session,
            idempotency_key=args.key or f"shell-{secrets.token_hex(8)}",
            label=args.label,
            lane=args.lane,
            model=args.model,
            parent_id=TaskId(args.parent) if args.parent else None,
            spawned_by=args.made_by,
            extra_system_prompt=args.system,
            timeout_ms=round(args.timeout_s * 1000),
            deliver=bool(args.deliver_to),
            routing=Routing(channel=channel, to=chat),
        )
    )
    if not args.wait:
        call.give(receipt, lambda: [started_words(receipt)[0]])
        return None
    return await _waited(call, receipt)


async def _waited(call: Call, receipt: TaskReceipt) -> int | None:
    """Wait until the task is over; its answer on stdout. Exit code 1 when there is none."""
    call.narrate(started_words(receipt)[0])
    after, task = 0, receipt.task
    while not task.state.is_over:
        batch = await call.query(ReadStream(task_id=task.id, after=after, limit=1000, wait_s=_WAIT_S))
        after, task = batch.next_after, batch.task or task
    found = await call.query(GetTask(task_id=task.id))
    task = found.task
    call.give(task, lambda: clean(task.answer, keep_newlines=True).split("\n"))
    if task.state in {TaskState.DONE, TaskState.IDLE}:
        return None
    call.narrate(f"{task.state.value}: {task.error or (task.dropped_reason.value if task.dropped_reason else '')}")
    return 1


def _add_input(parser: argparse.ArgumentParser) -> None:
    _add_run(parser)
    parser.add_argument("text", metavar="TEXT", help="what is said")
    modes = [mode.value for mode in Mode]
    parser.add_argument("--mode", choices=modes, default=Mode.FOLLOWUP.value, help="how it is taken (default followup)")
    parser.add_argument("--key", default="", help="idempotency key")


async def _input(call: Call) -> None:
    args = call.args
    key = args.key or f"shell-{secrets.token_hex(8)}"
    command = SendInput(run_id=RunId(args.run), text=args.text, queue_mode=Mode(args.mode), idempotency_key=key)
    receipt = await call.execute(command)
    call.give(receipt, lambda: [input_words(receipt)[0]])


def _add_cancel(parser: argparse.ArgumentParser) -> None:
    _add_task(parser)
    add_reason(parser)
    add_yes(parser)


def _add_cancel_run(parser: argparse.ArgumentParser) -> None:
    _add_run(parser)
    add_reason(parser)
    add_yes(parser)


async def _cancel(call: Call) -> None:
    call.confirm(f"cancelling {call.args.task}", "task.cancel")
    _say(call, await call.execute(CancelTask(task_id=_task(call), reason=call.args.reason)))


async def _cancel_run(call: Call) -> None:
    call.confirm(f"cancelling {call.args.run}", "task.cancel_run")
    _say(call, await call.execute(CancelRun(run_id=RunId(call.args.run), reason=call.args.reason)))


async def _retry(call: Call) -> None:
    _say(call, await call.execute(RetryTask(task_id=_task(call))))


def _say(call: Call, receipt: TaskReceipt) -> None:
    call.give(receipt, lambda: [task_words(receipt)[0]])


async def _archive(call: Call) -> None:
    receipt = await call.execute(ArchiveTask(task_id=_task(call)))
    call.give(receipt, lambda: [archive_words(receipt)[0]])


async def _unarchive(call: Call) -> None:
    receipt = await call.execute(UnarchiveTask(task_id=_task(call)))
    call.give(receipt, lambda: [archive_words(receipt)[0]])


VERBS: tuple[Verb, ...] = (
    Verb("tasks", "list", "tasks, the latest first", _add_list, _list),
    Verb("tasks", "show", "one task with its runs, tries and what it made", _add_task, _show),
    Verb("tasks", "runs", "runs of tasks and of chats", _add_runs, _runs),
    Verb("tasks", "run", "one run with its own log", _add_run, _run),
    Verb("tasks", "log", "what happens to a task, as it comes", _add_log, _log),
    Verb("tasks", "start", "give an agent work", _add_start, _start),
    Verb("tasks", "input", "say something to a run", _add_input, _input),
    Verb("tasks", "cancel", "stop a task", _add_cancel, _cancel),
    Verb("tasks", "cancel-run", "stop a run", _add_cancel_run, _cancel_run),
    Verb("tasks", "retry", "try a task again", _add_task, _retry),
    Verb("tasks", "archive", "hide a task that is over from lists", _add_task, _archive),
    Verb("tasks", "unarchive", "show it in lists again", _add_task, _unarchive),
)
