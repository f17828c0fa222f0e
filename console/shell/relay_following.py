"""Following messages to bots until all of them are over, and printing what came back."""

import asyncio
from collections.abc import Sequence

from console.exit_codes import Exit
from console.relayed_facts import REASONS
from console.shell.call import Call
from console.text import clean
from core.api.base import Record, Seq
from core.api.errors import DeadlineExceeded, Lagged
from core.api.relay_tasks import GetRelayTask, RelayState, RelayTaskDetail, RelayTaskId, RelayTaskView


async def wait_for_answers(call: Call, tasks: Sequence[RelayTaskView], *, after: Seq, limit_s: float | None) -> int:
    """Print what became of messages. Returns the exit code: one that did not end well is a failure.

    after: place in the journal before they were sent. limit_s: None waits for as long as it takes.
    """
    try:
        async with asyncio.timeout(limit_s):
            await _until_over(call, {str(task.id) for task in tasks}, after)
    except TimeoutError:
        raise DeadlineExceeded(
            f"no answer within {limit_s:g} s; the message stays where it is", what="answer", limit_s=limit_s
        ) from None
    found = [await call.query(GetRelayTask(id=str(task.id))) for task in tasks]
    for detail in found:
        _give(call, detail, is_named=len(found) > 1)
    return Exit.OK if all(item.task.state is RelayState.COMPLETED for item in found) else Exit.INTERNAL


async def _until_over(call: Call, waiting: set[str], after: Seq) -> None:
    while waiting:
        # One may be over before the first record comes, or while records were let go.
        for task_id in sorted(waiting):
            detail = await call.query(GetRelayTask(id=task_id))
            if detail.task.state.is_over:
                waiting.discard(task_id)
        try:
            await _follow(call, waiting, after)
        except Lagged:
            after = (await call.query(GetRelayTask(id=next(iter(waiting))))).seq


async def _follow(call: Call, waiting: set[str], after: Seq) -> None:
    if not waiting:
        return
    async for record in call.hermes.subscribe(after=after):
        task = _task(record)
        if task is not None and task.state.is_over:
            waiting.discard(str(task.id))
        if not waiting:
            return


def _task(record: Record) -> RelayTaskView | None:
    task = getattr(record.event, "task", None)
    return task if isinstance(task, RelayTaskView) else None


def _give(call: Call, detail: RelayTaskDetail, *, is_named: bool) -> None:
    task = detail.task
    head = f"{clean(task.bot)}: " if is_named else ""
    call.give(detail, lambda: [head + clean(detail.answer, keep_newlines=True)] if detail.answer else [])
    if task.state is RelayState.COMPLETED and detail.answer and not task.error:
        return
    why = task.error or REASONS[task.reason] or "there is no answer"
    call.narrate(f"{RelayTaskId(task.id)} to {task.bot} is {task.state.value}: {why}")
