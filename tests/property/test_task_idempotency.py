"""One key, one effect, whatever the order of commands, inputs, failures and restarts; and states go by the table."""

import asyncio
import contextlib
from collections.abc import Awaitable

from hypothesis import given, settings
from hypothesis import strategies as st

from core.agents.tasks.task import TASK
from core.api.base import RunId
from core.api.errors import ConflictError, HermesError, Overloaded, Refused, StoreError
from core.api.policies import ExecutionPolicy, RetryPolicy
from core.api.runs import Stop
from core.api.tasks import (
    CancelTask,
    RetryTask,
    SendInput,
    TaskArchived,
    TaskEnded,
    TaskQueued,
    TaskReceipt,
    TaskStarted,
    TaskState,
    TaskWaiting,
)
from tests.support.task_rig import HOME, TaskRig, task_rig

POLICIES = [
    ExecutionPolicy(interactive=interactive, retry=RetryPolicy(max_attempts=attempts, delay_ms=500))
    for interactive in (False, True)
    for attempts in (1, 2)
]
KEYS = st.sampled_from(["", "k1", "k2", "k3"])
TEXTS = st.sampled_from(["one", "two"])
ACTS = st.one_of(
    st.tuples(st.just("command"), KEYS, TEXTS, st.integers(0, 3)),
    st.tuples(st.just("input"), KEYS, TEXTS, st.integers(0, 4)),
    st.tuples(st.just("end"), st.just(""), st.sampled_from([stop.value for stop in Stop]), st.integers(0, 3)),
    st.tuples(st.just("cancel"), st.just(""), st.just(""), st.integers(0, 4)),
    st.tuples(st.just("retry"), st.just(""), st.just(""), st.integers(0, 4)),
    st.tuples(st.just("fail"), st.just(""), st.sampled_from(["store", "full"]), st.just(0)),
    st.tuples(st.just("pass"), st.just(""), st.just(""), st.just(0)),
    st.tuples(st.just("restart"), st.just(""), st.sampled_from(["settles", "forgets"]), st.just(0)),
    st.tuples(st.just("chat"), st.just(""), st.just(""), st.just(0)),
    st.tuples(st.just("race"), st.just(""), st.sampled_from(["cancel", "input", "end", "retry"]), st.integers(0, 7)),
    st.tuples(st.just("pages"), st.just(""), st.just(""), st.integers(0, 1)),
)

AT_REST = {state for state in TaskState if state.is_over} | {TaskState.WAITING}


class History:
    """What was asked and what came of it."""

    def __init__(self, rig: TaskRig) -> None:
        self.rig = rig
        self.done: dict[str, TaskReceipt] = {}
        self.contents: dict[str, tuple[str, str, str]] = {}
        self.accepted: list[TaskReceipt] = []

    async def act(self, act: str, key: str, what: str, number: int) -> None:
        """One thing that happens, and all that follows from it."""
        await getattr(self, f"do_{act}")(key, what, number)
        await self.rig.settled()

    async def do_command(self, key: str, what: str, number: int) -> None:
        """A command, to one session or to one of its own."""
        fields = {"session_id": HOME} if number % 2 else {}
        order = self.rig.start(what, idempotency_key=key, policy=POLICIES[number], **fields)
        await self.order(order, key, ("command", what, str(number)))

    async def do_input(self, key: str, what: str, number: int) -> None:
        """An input to the last run of a task."""
        runs = [run for receipt in self.accepted if (run := await self.run_of(receipt))]
        if runs:
            run_id = runs[number % len(runs)]
            order = self.rig.do(SendInput(run_id=run_id, text=what, idempotency_key=key))
            await self.order(order, key, ("input", what, run_id))

    async def do_end(self, _key: str, what: str, number: int) -> None:
        """A run ends."""
        running = list(self.rig.conversations.running)
        if running:
            await self.rig.conversations.end(running[number % len(running)], Stop(what), code="agent_failed")

    async def do_cancel(self, _key: str, _what: str, number: int) -> None:
        """A task is cancelled, if it can be."""
        if self.accepted:
            with contextlib.suppress(Refused):
                await self.rig.do(CancelTask(task_id=self.accepted[number % len(self.accepted)].task.id))

    async def do_retry(self, _key: str, _what: str, number: int) -> None:
        """A task is tried again, if it can be."""
        if self.accepted:
            with contextlib.suppress(Refused):
                await self.rig.do(RetryTask(task_id=self.accepted[number % len(self.accepted)].task.id))

    async def do_race(self, _key: str, what: str, number: int) -> None:
        """Two things at once, neither of which knows of the other."""
        first = self.do_end("", "end_turn" if number % 2 else "error", number // 2)
        if what == "end":
            await asyncio.gather(first, self.do_command("", "one", 1))
        else:
            await asyncio.gather(first, getattr(self, f"do_{what}")("", "two", number // 2))

    async def do_fail(self, _key: str, what: str, _number: int) -> None:
        """The next hand-over fails."""
        error: HermesError = Overloaded("full") if what == "full" else StoreError("no", cause="locked")
        self.rig.conversations.errors = [error]

    async def do_pass(self, _key: str, _what: str, _number: int) -> None:
        """Time passes."""
        await self.rig.pass_s(3.0)

    async def do_restart(self, _key: str, what: str, _number: int) -> None:
        """The core is killed, and another begins."""
        await self.rig.restart(settles=what == "settles")

    async def do_chat(self, _key: str, _what: str, _number: int) -> None:
        """Somebody writes to the agent."""
        if not self.rig.conversations.errors:
            await self.rig.chat()

    async def do_pages(self, _key: str, _what: str, number: int) -> None:
        """Sessions write in another order."""
        self.rig.conversations.pages_first = bool(number)

    async def order(self, order: Awaitable[TaskReceipt], key: str, content: tuple[str, str, str]) -> None:
        """Ask for something, and hold the answer against what was asked before under the key."""
        before = self.done.get(key) if key else None
        try:
            receipt: TaskReceipt = await order
        except ConflictError:
            assert before is not None
            assert self.contents[key] != content
            return
        except (Overloaded, StoreError):
            assert before is None
            return
        if before is None:
            assert not receipt.is_duplicate
            self.accepted.append(receipt)
            if key:
                self.done[key], self.contents[key] = receipt, content
            return
        assert self.contents[key] == content
        assert receipt.is_duplicate
        assert (receipt.task.id, receipt.outcome) in {
            (before.task.id, before.outcome),
            (before.task.id, TaskReceipt(task=before.task).outcome),
        }

    async def run_of(self, receipt: TaskReceipt) -> RunId | None:
        """The last run of a task."""
        return (await self.rig.task(receipt.task.id)).target_run_id

    async def check(self) -> None:
        """In the end everything has ended or waits for somebody, and nothing was done more often than asked."""
        rig = self.rig
        rig.conversations.errors = []
        rig.conversations.begins = True
        for _ in range(60):
            await rig.pass_s(31.0)
            if not rig.conversations.running and set(await rig.states()) <= AT_REST:
                break
            for session_id in [name for name, queue in rig.conversations.queues.items() if queue]:
                if session_id not in rig.conversations.running:
                    await rig.conversations.begin(session_id)
            for session_id in list(rig.conversations.running):
                await rig.conversations.end(session_id)
            await rig.settled()
        assert rig.post.waiting() == []
        assert rig.tasking.dispatch.waiting_count == 0
        assert {+lane for lane in rig.tasking.register.busy.values()} <= {0}
        assert set(await rig.states()) <= AT_REST
        self.check_told()

    def check_told(self) -> None:
        """Every step that was told is one of the table."""
        last: dict[str, TaskState] = {}
        for record in self.rig.records:
            event = record.event
            if isinstance(event, TaskQueued | TaskStarted | TaskWaiting | TaskEnded | TaskArchived):
                task = event.task
                before = last.get(task.id, TaskState.QUEUED)
                following = set(TASK.table[before].values())
                # It waits again and begins in the same breath: one step to whoever looks on.
                if TaskState.QUEUED in following:
                    following.add(TaskState.RUNNING)
                assert task.state is before or task.state in following, (before, task.state)
                last[task.id] = task.state


@settings(deadline=None, max_examples=150)
@given(st.lists(ACTS, min_size=1, max_size=25))
def test_one_key_is_one_effect_in_every_history(acts: list[tuple[str, str, str, int]]) -> None:
    """The same again is told what was done; another content is a conflict; a restart forgets nothing."""

    async def play() -> None:
        async with task_rig() as rig:
            history = History(rig)
            for act in acts:
                await history.act(*act)
            await history.check()

    asyncio.run(play())
