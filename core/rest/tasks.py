"""Tasks over HTTP: accepted, listed, followed, cancelled, tried again, put away."""

from typing import Any

from core.api.base import TaskId
from core.api.streams import StreamBatch
from core.api.tasks import (
    ArchiveTask,
    CancelTask,
    GetTask,
    RetryTask,
    TaskDetail,
    TaskPage,
    TaskReceipt,
    UnarchiveTask,
)
from core.http.leaving import while_there
from core.rest.agents import Reason
from core.rest.decoding import Nothing
from core.rest.route import CALLER, Asked, Reply, Route
from core.rest.task_words import (
    NAMES,
    Accepted,
    AgentCommand,
    StreamQuery,
    TasksQuery,
    accepted,
    list_tasks,
    read_stream,
    start_task,
)

_ONE = "/api/tasks/{task_id}"
Plain = Asked[Nothing, Nothing]


def _id(asked: Asked[Any, Any]) -> TaskId:
    return TaskId(asked.path["task_id"])


async def _accept(asked: Asked[AgentCommand, Nothing]) -> Reply:
    receipt = await asked.hermes.execute(start_task(asked.body), actor=CALLER)
    return Reply(accepted(receipt), 200 if receipt.is_duplicate else 202)


async def _list(asked: Asked[Nothing, TasksQuery]) -> Reply:
    return await asked.look(list_tasks(asked.query))


async def _get(asked: Plain) -> Reply:
    return await asked.look(GetTask(task_id=_id(asked)))


async def _stream(asked: Asked[Nothing, StreamQuery]) -> Reply:
    return await while_there(asked.receive, asked.look(read_stream(asked.query, task_id=_id(asked))))


async def _cancel(asked: Asked[Reason, Nothing]) -> Reply:
    command = CancelTask(task_id=_id(asked), reason=asked.body.reason)
    return await asked.order(command)


async def _retry(asked: Plain) -> Reply:
    return await asked.order(RetryTask(task_id=_id(asked)), 202)


async def _archive(asked: Plain) -> Reply:
    return await asked.order(ArchiveTask(task_id=_id(asked)))


async def _unarchive(asked: Plain) -> Reply:
    return await asked.order(UnarchiveTask(task_id=_id(asked)))


ROUTES: tuple[Route[Any, Any], ...] = (
    Route(
        name="acceptTask",
        method="POST",
        path="/api/tasks",
        summary="Give an agent work; 200 when the same was accepted before",
        answer=_accept,
        results={202: Accepted, 200: Accepted},
        body=AgentCommand,
        query=Nothing,
        refusals=(403, 409, 429),
        names=NAMES,
    ),
    Route(
        name="listTasks",
        method="GET",
        path="/api/tasks",
        summary="Tasks, the latest first",
        answer=_list,
        results={200: TaskPage},
        body=Nothing,
        query=TasksQuery,
        names=NAMES,
    ),
    Route(
        name="getTask",
        method="GET",
        path=_ONE,
        summary="One task with its runs",
        answer=_get,
        results={200: TaskDetail},
        body=Nothing,
        query=Nothing,
    ),
    Route(
        name="readTaskStream",
        method="GET",
        path=f"{_ONE}/stream",
        summary="What happens to a task, from a number on; waits for the first item",
        answer=_stream,
        results={200: StreamBatch},
        body=Nothing,
        query=StreamQuery,
    ),
    Route(
        name="cancelTask",
        method="POST",
        path=f"{_ONE}/cancel",
        summary="Stop a task, whether it waits or runs",
        answer=_cancel,
        results={200: TaskReceipt},
        body=Reason,
        query=Nothing,
        refusals=(403, 409),
    ),
    *(
        Route(
            name=f"{word}Task",
            method="POST",
            path=f"{_ONE}/{word}",
            summary=summary,
            answer=answer,
            results={status: TaskReceipt},
            body=Nothing,
            query=Nothing,
            refusals=(403, 409),
        )
        for word, summary, answer, status in (
            ("retry", "Try a task again that failed, was dropped or is idle", _retry, 202),
            ("archive", "Hide a task that is over from lists", _archive, 200),
            ("unarchive", "Show an archived task again", _unarchive, 200),
        )
    ),
)
