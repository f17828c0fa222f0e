"""The events of a run for one reader: slow, gone, come back, or cut off by a stop."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from core.api.approvals import ApprovalList, ListApprovals
from core.api.base import AgentName, RunId, Seq, SessionId, TaskId
from core.api.errors import NotFound, Unavailable
from core.api.streams import ReadStream, StreamBatch, StreamItem, StreamKind
from core.api.tasks import GetTask, RunState, TaskDetail, TaskState
from core.http.asgi import Message
from core.rest.app import RestApp
from core.secrets import Secret
from tests.support.canned_hermes import CannedHermes
from tests.support.clocks import FakeClock
from tests.support.fake_work import task, task_run
from tests.support.http_calls import BEARER, KEY, Caller, guarded
from tests.support.views import NOW

EVENTS = "/v1/runs/run_task-1/events"


class Work:
    """A task and what its stream brings: batches that are read one after the other, then waits."""

    def __init__(self, *batches: Sequence[StreamItem], state: TaskState = TaskState.RUNNING, gap_at: int = -1) -> None:
        self.batches = list(batches)
        self.state = state
        self.run_state = RunState.RUNNING
        self.gap_at = gap_at
        self.read: list[ReadStream] = []
        self.more = asyncio.Event()
        self.error: Exception | None = None

    def hermes(self) -> CannedHermes:
        """The core round it."""
        return CannedHermes(
            {
                ReadStream: self._batch,
                GetTask: lambda _: self.detail(),
                ListApprovals: lambda _: ApprovalList(approvals=(), seq=Seq(0)),
            }
        )

    def detail(self) -> TaskDetail:
        """The task with its run."""
        view = task(state=self.state, answer="one two" if self.state is TaskState.DONE else "", changed=NOW)
        run = task_run(state=self.run_state)
        return TaskDetail(task=view, runs=(run,), attempts=(), children=(), seq=Seq(0))

    def end(self, state: TaskState = TaskState.DONE) -> None:
        """The task is over."""
        self.state, self.run_state = state, RunState.OK
        self.more.set()

    async def _batch(self, query: ReadStream) -> StreamBatch:
        if self.error is not None:
            raise self.error
        self.read.append(query)
        if not self.batches and query.wait_s and self.run_state is RunState.RUNNING:
            self.more.clear()
            await self.more.wait()
        items = self.batches.pop(0) if self.batches else ()
        last = items[-1].number if items else query.after
        detail = self.detail()
        has_gap = len(self.read) - 1 == self.gap_at
        return StreamBatch(items=tuple(items), next_after=last, has_gap=has_gap, task=detail.task, run=detail.runs[0])


def item(number: int, text: str, kind: StreamKind = StreamKind.TEXT, what: str = "") -> StreamItem:
    """Something that happened."""
    return StreamItem(
        number=number,
        at=100.0 + number,
        kind=kind,
        session_id=SessionId("tasks:dm:task-1"),
        text=text,
        run_id=RunId("run-1"),
        task_id=TaskId("task-1"),
        what=what,
    )


BEGUN = item(1, "", StreamKind.STATE, "run_started")


def caller(work: Work, *, headers: dict[str, str] | None = None, clock: FakeClock | None = None) -> Callable[[], Any]:
    """A reader and the app that it reads from."""
    app = guarded(RestApp(work.hermes(), clock=clock or FakeClock(), key=Secret(KEY)))
    reader = Caller("GET", EVENTS, {**BEARER, **(headers or {})})
    return lambda: (reader, app)


def told(reader: Caller) -> list[dict[str, Any]]:
    """The events that arrived."""
    lines = reader.answer.body.decode().splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]


async def test_a_run_that_is_over_is_told_whole_and_closed() -> None:
    """What is kept of it, then its end, then the comment that nothing more comes."""
    work = Work([BEGUN, item(2, "one "), item(3, "two")])
    work.end()
    reader, app = caller(work)()
    await reader.make(app)
    assert [event["event"] for event in told(reader)] == ["message.delta", "message.delta", "run.completed"]
    assert told(reader)[-1]["output"] == "one two"
    assert reader.answer.body.endswith(b": stream closed\n\n")
    assert reader.answer.is_whole
    assert all(query.wait_s == 0 for query in work.read)


async def test_what_comes_after_the_task_ended_is_still_told() -> None:
    """The end is told once nothing is left to read, so that no word is lost."""
    work = Work([BEGUN], [item(2, "one ")], [item(3, "two")])
    work.end()
    reader, app = caller(work)()
    await reader.make(app)
    assert "".join(event.get("delta", "") for event in told(reader)) == "one two"
    assert told(reader)[-1]["event"] == "run.completed"


async def test_a_run_that_is_being_stopped_is_followed_until_it_has_stopped() -> None:
    """Its task is cancelled at once, and its words end later."""
    work = Work([BEGUN], [item(2, "last words")], state=TaskState.CANCELLED)
    reader, app = caller(work)()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(reader.make(app))
        await reader.until(b"last words")
        assert "run.cancelled" not in reader.answer.body.decode()
        work.end(TaskState.CANCELLED)
    assert told(reader)[-1]["event"] == "run.cancelled"


async def test_a_reader_goes_on_after_what_it_has_seen() -> None:
    """Its last id is where the core is asked to go on."""
    work = Work([item(8, "more")])
    work.end()
    reader, app = caller(work, headers={"last-event-id": "7"})()
    await reader.make(app)
    assert work.read[0].after == 7
    assert reader.answer.body.decode().splitlines()[2:4][0] == "id: 8"


@pytest.mark.parametrize("last", ["-1", "abc", "9" * 30, "1.5", "٣"])
async def test_an_id_that_is_none_of_ours_is_refused(last: str) -> None:
    """Before the stream begins, with the header's name."""
    reader, app = caller(Work(), headers={"last-event-id": last.encode().decode("latin-1")})()
    await reader.make(app)
    assert reader.answer.status == 400
    assert reader.answer.json()["error"]["field"] == "Last-Event-ID"


async def test_what_is_no_longer_kept_is_said_at_the_beginning() -> None:
    """To one who comes back too late, and to one for whom the first words are gone; then it goes on."""
    for headers, gap_at in (({"last-event-id": "3"}, 0), ({}, -1)):
        work = Work([item(9, "rest")], gap_at=gap_at)
        work.end()
        reader, app = caller(work, headers=headers)()
        await reader.make(app)
        assert [event["event"] for event in told(reader)] == ["stream.gap", "message.delta", "run.completed"]


async def test_a_reader_that_falls_behind_is_told_and_left() -> None:
    """It ends with an error event, and goes on from there with what is still kept; the run is not touched."""
    work = Work([BEGUN, item(2, "one ")], [item(90, "far ahead")], gap_at=1)
    reader, app = caller(work)()
    await reader.make(app)
    last = told(reader)[-1]
    assert (last["event"], last["code"]) == ("stream.error", "lagged")
    assert "far ahead" not in reader.answer.body.decode()
    assert reader.answer.is_whole
    seen = [line[4:] for line in reader.answer.body.decode().splitlines() if line.startswith("id: ")][-1]
    assert seen == "2"
    rest = Work([item(90, "far ahead")], gap_at=0)
    rest.end()
    again, app = caller(rest, headers={"last-event-id": seen})()
    await again.make(app)
    assert [event["event"] for event in told(again)] == ["stream.gap", "message.delta", "run.completed"]


async def test_a_reader_that_reads_nothing_holds_up_nobody_and_takes_one_batch() -> None:
    """While it does not take what it was given, nothing more is asked for."""
    work = Work([BEGUN, item(2, "one ")], [item(3, "two")], [item(4, "three")])
    reader, app = caller(work)()
    gate = asyncio.Event()

    async def slow(message: Message) -> None:
        if b"one " in message.get("body", b""):
            await gate.wait()
        await reader.send(message)

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        job = group.create_task(app(reader.scope, reader.receive, slow))
        await reader.until(b"stream open")
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(work.read) == 1
        gate.set()
        await reader.until(b"three")
        reader.hung_up.set()
        await job
    assert len(work.batches) == 0


async def test_a_reader_that_never_reads_again_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while its connection is given up, and nothing was kept for it."""
    monkeypatch.setattr("core.rest.v1_stream._WRITE_LIMIT_S", 0.01)
    work = Work([BEGUN, item(2, "one ")], [item(3, "two")])
    reader, app = caller(work)()

    async def stuck(message: Message) -> None:
        if b"one " in message.get("body", b""):
            await asyncio.Event().wait()
        await reader.send(message)

    async with asyncio.timeout(5):
        await app(reader.scope, reader.receive, stuck)
    assert not reader.answer.is_whole
    assert len(work.read) == 1


async def test_a_silent_run_is_kept_alive_with_comments() -> None:
    """A comment for every span without an event, and a look at the core at least every two seconds."""
    clock = FakeClock()
    work = Work([BEGUN])
    reader, app = caller(work, clock=clock)()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(reader.make(app))
        await reader.until(b"stream open")
        for _ in range(3):
            clock.step(15.0)
            work.more.set()
            for _ in range(10):
                await asyncio.sleep(0)
        reader.hung_up.set()
    assert reader.answer.body.count(b": keepalive") == 3
    assert {query.wait_s for query in work.read[1:]} == {2.0}


async def test_a_reader_that_hangs_up_ends_its_look_at_the_core() -> None:
    """Nothing is left waiting for it."""
    work = Work([BEGUN])
    reader, app = caller(work)()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        job = group.create_task(reader.make(app))
        await reader.until(b"stream open")
        reader.hung_up.set()
        await job
    assert not reader.answer.is_whole


async def test_a_core_that_goes_away_is_told_as_an_error() -> None:
    """With its code; the reader can come back."""
    work = Work([BEGUN])
    reader, app = caller(work)()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(reader.make(app))
        await reader.until(b"stream open")
        work.error = Unavailable("the core is gone")
        work.more.set()
    last = told(reader)[-1]
    assert (last["event"], last["code"]) == ("stream.error", "unavailable")


async def test_a_stop_of_the_server_says_goodbye() -> None:
    """A reader learns why there is no more."""
    work = Work([BEGUN])
    reader, app = caller(work)()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        job = group.create_task(reader.make(app))
        await reader.until(b"stream open")
        job.cancel()
    assert told(reader)[-1]["code"] == "stopping"


async def test_a_run_that_is_not_there_has_no_events() -> None:
    """404 with the field, and no stream."""

    def gone(_: GetTask) -> TaskDetail:
        raise NotFound("no such task", noun="task", id="task-1")

    hermes = Work().hermes()
    hermes.answers[GetTask] = gone
    app = guarded(RestApp(hermes, clock=FakeClock(), key=Secret(KEY)))
    reader = Caller("GET", EVENTS, BEARER)
    await reader.make(app)
    assert reader.answer.status == 404
    assert reader.answer.json()["error"]["field"] == "run_id"
    assert AgentName("main") not in reader.answer.body.decode()
