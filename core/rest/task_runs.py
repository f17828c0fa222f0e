"""Runs of tasks and of chats over HTTP: listed, followed, talked to, cancelled."""

from typing import Any

import msgspec

from core.api.base import RunId
from core.api.streams import GetInteraction, Interaction, StreamBatch
from core.api.tasks import CancelRun, GetRun, RunDetail, RunPage, SendInput, Snapshot, TaskReceipt
from core.http.leaving import while_there
from core.rest.agents import Reason
from core.rest.decoding import Nothing
from core.rest.route import CALLER, Asked, Reply, Route
from core.rest.task_words import (
    NAMES,
    Accepted,
    RunInput,
    RunsQuery,
    StreamQuery,
    accepted,
    list_runs,
    read_stream,
)

_ONE = "/api/runs/{run_id}"
Plain = Asked[Nothing, Nothing]


class Snapshots(msgspec.Struct, frozen=True, kw_only=True):
    """The log of a run, in order."""

    run_id: str
    snapshots: tuple[Snapshot, ...]


def _id(asked: Asked[Any, Any]) -> RunId:
    return RunId(asked.path["run_id"])


async def _list(asked: Asked[Nothing, RunsQuery]) -> Reply:
    return await asked.look(list_runs(asked.query))


async def _get(asked: Plain) -> Reply:
    return await asked.look(GetRun(run_id=_id(asked)))


async def _snapshots(asked: Plain) -> Reply:
    detail = await asked.hermes.query(GetRun(run_id=_id(asked)))
    return Reply(Snapshots(run_id=detail.run.id, snapshots=detail.snapshots))


async def _interaction(asked: Plain) -> Reply:
    return await asked.look(GetInteraction(run_id=_id(asked)))


async def _stream(asked: Asked[Nothing, StreamQuery]) -> Reply:
    return await while_there(asked.receive, asked.look(read_stream(asked.query, run_id=_id(asked))))


async def _input(asked: Asked[RunInput, Nothing]) -> Reply:
    body = asked.body
    command = SendInput(
        run_id=_id(asked), text=body.message, queue_mode=body.queue_mode, idempotency_key=body.idempotency_key
    )
    receipt = await asked.hermes.execute(command, actor=CALLER)
    return Reply(accepted(receipt), 200 if receipt.is_duplicate else 202)


async def _cancel(asked: Asked[Reason, Nothing]) -> Reply:
    command = CancelRun(run_id=_id(asked), reason=asked.body.reason)
    return await asked.order(command)


ROUTES: tuple[Route[Any, Any], ...] = (
    Route(
        name="listRuns",
        method="GET",
        path="/api/runs",
        summary="Runs, the latest first",
        answer=_list,
        results={200: RunPage},
        body=Nothing,
        query=RunsQuery,
        names=NAMES,
    ),
    *(
        Route(
            name=name,
            method="GET",
            path=path,
            summary=summary,
            answer=answer,
            results={200: result},
            body=Nothing,
            query=Nothing,
        )
        for name, path, summary, answer, result in (
            ("getRun", _ONE, "One run with its attempts and its log", _get, RunDetail),
            ("listSnapshots", f"{_ONE}/snapshots", "The log of a run", _snapshots, Snapshots),
            ("getInteraction", f"{_ONE}/interaction", "What a run could do with an input", _interaction, Interaction),
        )
    ),
    Route(
        name="readRunStream",
        method="GET",
        path=f"{_ONE}/stream",
        summary="What happens to a run, from a number on; waits for the first item",
        answer=_stream,
        results={200: StreamBatch},
        body=Nothing,
        query=StreamQuery,
    ),
    Route(
        name="sendInput",
        method="POST",
        path=f"{_ONE}/inputs",
        summary="Put a message to a run; the outcome says what became of it",
        answer=_input,
        results={202: Accepted, 200: Accepted},
        body=RunInput,
        query=Nothing,
        refusals=(403, 409, 429),
        names=NAMES,
    ),
    Route(
        name="cancelRun",
        method="POST",
        path=f"{_ONE}/cancel",
        summary="Stop a run of a task",
        answer=_cancel,
        results={200: TaskReceipt},
        body=Reason,
        query=Nothing,
        refusals=(403, 409),
    ),
)
