"""Lists of tasks and runs: filters, pages that survive what comes in between, counts, and what is let go in time."""

import asyncio
from typing import Any

import pytest

from core.agents.tasks import keeping
from core.api.base import RunId, SessionId, TaskId
from core.api.errors import InvalidInput, NotFound
from core.api.policies import ExecutionPolicy, RetryPolicy
from core.api.runs import Stop
from core.api.tasks import (
    GetRun,
    GetTask,
    ListRuns,
    ListTasks,
    RunFilter,
    RunState,
    TaskFilter,
    TaskKind,
    TaskState,
)
from core.store.base import Row
from tests.support.task_rig import HOME, TaskRig, task_rig

ONCE = ExecutionPolicy(retry=RetryPolicy(max_attempts=1))


async def ended(rig: TaskRig, text: str, stop: Stop = Stop.END_TURN, **fields: Any) -> TaskId:
    """A task that is over."""
    task = await rig.started(text, policy=ONCE, **fields)
    await rig.conversations.end(task.session_id, stop, answer=f"answer to {text}")
    return task.id


async def test_pages_go_on_where_they_were_whatever_comes_in() -> None:
    """A cursor is a place in the order, so nothing is shown twice or left out."""
    async with task_rig() as rig:
        first = [await ended(rig, f"task {number}") for number in range(7)]
        seen: list[TaskId] = []
        cursor, more = "", True
        while more:
            page = await rig.ask(ListTasks(limit=2, cursor=cursor))
            seen += [task.id for task in page.tasks]
            cursor, more = page.cursor, page.has_more
            await ended(rig, "in between")
        assert seen == first[::-1]
        assert cursor == ""


@pytest.mark.parametrize(
    ("only", "texts"),
    [
        ({}, ["c", "b", "a"]),
        ({"states": (TaskState.ERROR,)}, ["b"]),
        ({"agent": "other"}, ["c"]),
        ({"session_id": HOME}, ["a"]),
        ({"label": "x"}, ["a"]),
        ({"spawned_by": "planner"}, ["b"]),
        ({"kind": TaskKind.RUN_INPUT}, []),
        ({"text": "ANSWER TO C"}, ["c"]),
        ({"text": "answer", "states": (TaskState.DONE,)}, ["c", "a"]),
    ],
)
async def test_each_field_of_the_filter_narrows(only: dict[str, Any], texts: list[str]) -> None:
    """What is listed and counted is what fits."""
    async with task_rig(lambda rig: rig.set_agent("other")) as rig:
        await ended(rig, "a", session_id=HOME, label="x")
        await ended(rig, "b", Stop.ERROR, spawned_by="planner")
        await ended(rig, "c", agent="other")
        page = await rig.ask(ListTasks(only=TaskFilter(**only), limit=50))
        assert [task.text for task in page.tasks] == texts
        assert sum(page.counts.values()) == len(texts)


async def test_counts_are_of_all_that_fit_and_not_of_the_page() -> None:
    """A page of one still says how many there are in each state."""
    async with task_rig() as rig:
        for number in range(3):
            await ended(rig, str(number), Stop.ERROR)
        await rig.started()
        page = await rig.ask(ListTasks(limit=1))
        assert (len(page.tasks), page.has_more, page.counts) == (1, True, {"error": 3, "running": 1})


async def test_a_task_is_shown_whole_and_in_lists_cut() -> None:
    """Lists show 2,000 characters of a text."""
    async with task_rig() as rig:
        task_id = await ended(rig, "x" * 3_000)
        assert len((await rig.ask(ListTasks())).tasks[0].text) == 2_000
        assert len((await rig.ask(GetTask(task_id=task_id))).task.text) == 3_000


async def test_a_task_shows_the_tasks_that_it_made() -> None:
    """By their parent."""
    async with task_rig() as rig:
        parent = await ended(rig, "plan")
        child = await ended(rig, "do", parent_id=parent)
        await ended(rig, "apart")
        detail = await rig.ask(GetTask(task_id=parent))
        assert [task.id for task in detail.children] == [child]
        assert [task.id for task in (await rig.ask(ListTasks(only=TaskFilter(parent_id=parent)))).tasks] == [child]


@pytest.mark.parametrize("limit", [0, 201])
async def test_limits_are_checked(limit: int) -> None:
    """1 to 200."""
    async with task_rig() as rig:
        for query in (ListTasks(limit=limit), ListRuns(limit=limit)):
            with pytest.raises(InvalidInput):
                await rig.ask(query)


@pytest.mark.parametrize("cursor", ["x", "!!!", "cjpy", "ü"])
async def test_a_strange_cursor_is_refused(cursor: str) -> None:
    """Also one of another list."""
    async with task_rig() as rig:
        with pytest.raises(InvalidInput) as raised:
            await rig.ask(ListTasks(cursor=cursor))
        assert raised.value.facts["field"] == "cursor"


async def test_runs_are_listed_while_they_go_on_and_after() -> None:
    """The latest first, filtered by state, agent, session and task, page by page."""
    async with task_rig() as rig:
        tasks = [await ended(rig, str(number)) for number in range(4)]
        running = await rig.started(session_id=HOME)
        everything = await rig.ask(ListRuns())
        assert [run.state for run in everything.runs] == [RunState.RUNNING, *[RunState.OK] * 4]
        seen: list[RunId] = []
        cursor, more = "", True
        while more:
            page = await rig.ask(ListRuns(limit=2, cursor=cursor))
            seen += [run.id for run in page.runs]
            cursor, more = page.cursor, page.has_more
        assert seen == [run.id for run in everything.runs]
        for only, count in (
            (RunFilter(states=(RunState.OK,)), 4),
            (RunFilter(session_id=SessionId(HOME)), 1),
            (RunFilter(task_id=tasks[0]), 1),
            (RunFilter(task_id=running.id), 1),
            (RunFilter(agent=running.agent), 5),
        ):
            assert len((await rig.ask(ListRuns(only=only))).runs) == count


async def test_what_is_not_there_is_not_found() -> None:
    """Task and run."""
    async with task_rig() as rig:
        with pytest.raises(NotFound):
            await rig.ask(GetTask(task_id=TaskId("no-such")))
        with pytest.raises(NotFound):
            await rig.ask(GetRun(run_id=RunId("no-such")))


async def test_too_many_that_are_over_are_let_go_the_oldest_first() -> None:
    """With rows, keys and copies of profiles; what goes on stays, however old."""

    def prepare(rig: TaskRig) -> None:
        rig.kept = 3

    async with task_rig(prepare) as rig:
        running = await rig.started(idempotency_key="running")
        rig.set_agent(system_prompt="another")
        tasks = []
        for number in range(6):
            tasks.append(await ended(rig, str(number), idempotency_key=f"k{number}"))
            rig.clock.step(1.0)
        rig.set_agent(system_prompt="a third")
        await ended(rig, "last", idempotency_key="last")
        await rig.pass_s(10.0)
        left = {task.id for task in (await rig.ask(ListTasks())).tasks}
        assert running.id in left
        assert {task_id for task_id in tasks if task_id in left} == set(tasks[-2:])
        assert len(await rig.store.scan("run/")) == 3
        assert len(await rig.store.scan("task/")) == 4
        assert len(rig.tasking.register.accepted) == 4
        assert not (await rig.start("anew", idempotency_key="k0")).is_duplicate
        await rig.restart()
        assert len(await rig.store.scan("task/")) >= 4


async def test_profiles_that_no_task_was_accepted_with_are_let_go() -> None:
    """A copy stays for as long as a task needs it."""
    async with task_rig(lambda rig: setattr(rig, "kept", 1)) as rig:
        for prompt in ("one", "two", "three"):
            rig.set_agent(system_prompt=prompt)
            await ended(rig, prompt)
            rig.clock.step(1.0)
        assert len(await rig.store.scan("task-profile/")) == 3
        await rig.pass_s(10.0)
        assert len(await rig.store.scan("task-profile/")) == 1


async def test_what_is_older_than_a_month_is_let_go() -> None:
    """Whatever the number."""
    async with task_rig() as rig:
        await ended(rig, "old")
        await rig.pass_s(31 * 86_400.0)
        await ended(rig, "new")
        await rig.pass_s(10.0)
        assert [task.text for task in (await rig.ask(ListTasks())).tasks] == ["new"]
        assert len(await rig.store.scan("run/")) == 1


DAY_S = 86_400.0


async def test_stored_runs_are_looked_at_only_when_one_can_be_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each goes in its time all the same, also one that the first look did not reach."""
    monkeypatch.setattr(keeping, "_STEP", 2)
    async with task_rig() as rig:
        for text in ("one", "two"):
            await ended(rig, text)
        rig.clock.step(10 * DAY_S)
        await ended(rig, "three")
        await rig.pass_s(10.0)
        looks = _count_looks(rig, monkeypatch)
        for _ in range(5):
            await rig.pass_s(10.0)
        assert looks == []
        await rig.pass_s(20 * DAY_S + 10.0)
        assert looks
        assert len(await rig.store.scan("run/")) == 1
        await rig.pass_s(10 * DAY_S + 10.0)
        assert await rig.store.scan("run/") == []


async def test_a_clock_that_was_ahead_keeps_no_later_run_for_longer() -> None:
    """Neither a look at that time nor a run whose end lies in the future puts off the look at the others."""
    async with task_rig() as rig:
        rig.clock.jump(365 * DAY_S)
        await ended(rig, "in the future")
        await rig.pass_s(10.0)
        rig.clock.jump(-365 * DAY_S)
        await rig.pass_s(10.0)
        await ended(rig, "now")
        await rig.pass_s(31 * DAY_S)
        assert len(await rig.store.scan("run/")) == 1


async def test_a_look_at_all_tasks_lets_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the one for tasks whose run is over without them."""
    monkeypatch.setattr(keeping, "_BREATHE_EVERY", 2)
    async with task_rig() as rig:
        for number in range(5):
            await rig.started(str(number))
        turns: list[int] = []
        for look in (rig.tasking.keeping.reconcile, rig.tasking.keeping.drop_missing, rig.tasking.keeping.prune):
            found: list[int] = []
            other = asyncio.ensure_future(_turns(found))
            await look()
            turns.append(len(found))
            other.cancel()
        assert all(count >= 1 for count in turns), turns


async def _turns(found: list[int]) -> None:
    while True:
        found.append(1)
        await asyncio.sleep(0)


def _count_looks(rig: TaskRig, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    looks: list[str] = []
    scan = rig.store.scan

    async def counted(prefix: str, **how: Any) -> list[Row]:
        if prefix == "run/":
            looks.append(prefix)
        return await scan(prefix, **how)

    monkeypatch.setattr(rig.store, "scan", counted)
    return looks
