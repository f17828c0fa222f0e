"""The book of runs as sessions keep it: the adapter's words, and what a failing store leaves behind."""

from typing import Any

import msgspec
import pytest

from core.agents.tasks.accepted import Accepted, Known, content_of_command, content_of_input
from core.agents.tasks.register import Register
from core.agents.tasks.rows import find_letter
from core.api.base import AgentName, RunId, TaskId
from core.api.errors import ConflictError, NotFound, Refused, StoreError
from core.api.mail import PostMail
from core.api.runs import Stop
from core.api.sessions import Mode
from core.api.tasks import CancelTask, GetRun, StartTask, TaskState
from core.clock import mark
from core.gateway.ports import RunBegun, RunClosed
from core.ids import IdSource
from core.mailbox.operations import Operations
from core.pages import Pages
from core.run_book import BookOfRuns
from core.store.base import Put
from tests.support.clocks import FakeClock
from tests.support.task_rig import ANA, HOME, MAIN, task_rig


async def test_the_book_takes_the_words_of_sessions() -> None:
    """Begin, end and letting go come to the same as in the book's own words."""
    async with task_rig() as rig:
        rig.conversations.begins = False
        first = await rig.started("one", session_id=HOME)
        second = await rig.started("two", session_id=HOME)
        book = BookOfRuns(lambda: rig.tasking.ledger)
        messages = rig.conversations.queues[HOME]
        began = mark(rig.clock)
        run_id = RunId("r-9")
        begun = book.begun(
            RunBegun(
                run_id=run_id,
                session_id=HOME,
                agent=MAIN,
                boot=1,
                token=7,
                attempt=1,
                messages=messages[:1],
                began=began,
            )
        )
        begun.done()
        assert (await rig.task(first.id)).state is TaskState.RUNNING
        assert rig.tasking.register.active[run_id].view.token == 7
        outcome = rig.conversations.outcome(run_id, Stop.END_TURN)
        closed = book.closed(
            RunClosed(run_id=run_id, session_id=HOME, outcome=outcome, messages=messages[:1], answer="x")
        )
        await rig.journal.commit(closed.puts, closed.events)
        closed.done()
        assert (await rig.task(first.id)).answer == "x"
        gone = book.let_go(messages[1:], "no")
        await rig.journal.commit(gone.puts, gone.events)
        gone.done()
        assert (await rig.task(second.id)).state is TaskState.CANCELLED


async def test_a_beginning_that_was_not_stored_leaves_the_task_as_it_was() -> None:
    """Only what is stored counts, and the next beginning counts whole."""
    async with task_rig() as rig:
        rig.conversations.begins = False
        task = await rig.started(session_id=HOME)
        rig.conversations._begun(HOME, rig.conversations.queues[HOME])
        assert (await rig.task(task.id)).state is TaskState.QUEUED
        assert rig.tasking.register.active == {}
        await rig.conversations.begin(HOME)
        after = await rig.task(task.id)
        assert (after.state, after.attempt_count) == (TaskState.RUNNING, 1)


async def test_a_task_whose_run_ended_while_a_cancellation_failed_is_not_left_running() -> None:
    """It is an error, and says why."""
    async with task_rig() as rig:
        task = await rig.started()
        write = rig.journal.commit

        async def fails(*_args: object, **_fields: object) -> Any:
            rig.journal.commit = write  # type: ignore[method-assign]
            await rig.conversations.end(task.session_id)
            raise StoreError("no answer", cause="locked")

        rig.journal.commit = fails  # type: ignore[method-assign,assignment]
        with pytest.raises(StoreError):
            await rig.do(CancelTask(task_id=task.id))
        assert (await rig.task(task.id)).state is TaskState.RUNNING
        await rig.pass_s(10.0)
        ended = await rig.task(task.id)
        assert (ended.state, ended.error) == (TaskState.ERROR, "its run ended while the store failed")


async def test_the_mailbox_of_tasks_belongs_to_the_agents() -> None:
    """Operators put nothing in behind their back, and a task that is not there cannot be settled."""
    async with task_rig() as rig:
        operations = Operations(mailboxes=rig.boxes, journal=rig.journal, clock=rig.clock)
        with pytest.raises(Refused):
            await operations.post_mail(PostMail(mailbox=rig.boxes.get("tasks").name, payload="x"), ANA)
        with pytest.raises(NotFound):
            await rig.post.settle(rig.boxes.office.next_id, Pages(), actor=ANA)


async def test_a_letter_that_nobody_can_read_is_let_go_and_told() -> None:
    """It does not stop the others."""
    async with task_rig(starts=False) as rig:
        await rig.post.post({"not": "a task"}, order_key="x")
        receipt = await rig.start()
        await rig.restart()
        await rig.settled()
        assert [letter for letter in rig.faults if "cannot be read" in letter]
        rig.faults.clear()
        assert (await rig.task(receipt.task.id)).state is TaskState.RUNNING
        assert rig.post.waiting() == []
    assert find_letter(b"\xc1") is None


@pytest.mark.parametrize("key", ["task/x", "task-key/x", "running/x"])
@pytest.mark.parametrize("body", [b"{", b'{"view":"\xff"}'])
async def test_a_row_that_cannot_be_read_is_named(key: str, body: bytes) -> None:
    """At the start, whether it is no JSON or no text."""
    async with task_rig() as rig:
        await rig.journal.commit([Put(key, body)], [])
        with pytest.raises(StoreError, match=key) as told:
            await Register(rig.store, rig.clock).open()
        assert told.value.facts["cause"] == "corrupt"
        await rig.journal.commit([Put(key, None)], [])


async def test_a_row_that_is_damaged_later_is_named_when_it_is_asked_for() -> None:
    """A task that is over, and its run."""
    async with task_rig() as rig:
        task = await rig.started()
        run_id = await rig.conversations.end(task.session_id)
        for key in (f"task/{task.id}", f"run/{run_id}"):
            await rig.journal.commit([Put(key, b'{"view":"\xff"}')], [])
        with pytest.raises(StoreError, match=f"task/{task.id}"):
            await rig.tasking.register.read(task.id)
        with pytest.raises(StoreError, match=f"run/{run_id}"):
            await rig.ask(GetRun(run_id=run_id))


async def test_a_task_knows_its_latest_hundred_runs_also_after_a_crash() -> None:
    """The run that the core took with it pushes the oldest out like any other."""
    async with task_rig() as rig:
        rig.conversations.begins = False
        task = await rig.started()
        [row] = await rig.store.scan("task/")
        stored = msgspec.json.decode(row.body)
        stored["run_ids"] = [f"r-{number}" for number in range(100)]
        await rig.journal.commit([Put(row.key, msgspec.json.encode(stored))], [])
        run_id = await rig.conversations.begin(task.session_id)
        after = Register(rig.store, rig.clock)
        await after.open()
        run_ids = (await after.read(task.id)).run_ids
        assert (len(run_ids), run_ids[0], run_ids[-1]) == (100, "r-1", run_id)


def test_keys_are_kept_per_agent_and_go_with_their_task() -> None:
    """The same key of two agents is two keys."""
    accepted = Accepted()
    for agent in ("a", "b"):
        for key in ("k", "l"):
            accepted.remember(AgentName(agent), key, Known("c", TaskId(f"t-{agent}")))
    assert len(accepted) == 4
    assert accepted.find(AgentName("a"), "k", "c") == Known("c", TaskId("t-a"))
    assert accepted.find(AgentName("c"), "k", "c") is None
    with pytest.raises(ConflictError):
        accepted.find(AgentName("b"), "k", "d")
    accepted.forget_task(TaskId("t-a"))
    accepted.forget_task(TaskId("t-a"))
    assert (len(accepted), accepted.find(AgentName("a"), "l", "c")) == (2, None)


def test_the_fingerprint_is_of_all_that_is_said_but_the_key() -> None:
    """Every field counts; a named default agent is the default agent."""
    main = AgentName("main")
    plain = content_of_command(StartTask(text="x"), main)
    assert content_of_command(StartTask(text="x", agent=main, idempotency_key="k"), main) == plain
    others: list[dict[str, Any]] = [
        {"text": "y"},
        {"session_id": "s"},
        {"lane": "s"},
        {"label": "s"},
        {"timeout_ms": 1},
        {"queue_mode": Mode.STEER},
        {"attachments": ({},)},
        {"parent_id": TaskId("p")},
    ]
    found = {content_of_command(StartTask(**{"text": "x", **fields}), main) for fields in others}
    assert len(found | {plain}) == len(others) + 1
    assert content_of_input(RunId("r"), "x", Mode.STEER) != content_of_input(RunId("r"), "x", Mode.QUEUE)


def test_ids_of_one_millisecond_follow_each_other() -> None:
    """Over every border of the counter."""
    ids = IdSource(FakeClock(), random_bits=lambda _bits: 2**20 - 1_500)
    made = [ids.new_id() for _ in range(3_000)]
    assert made == sorted(set(made))
    assert {len(one) for one in made} == {26}
    assert [one[-4:] for one in made[1_498:1_502]] == ["zzzy", "zzzz", "0000", "0001"]
