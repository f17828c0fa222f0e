"""The machines of tasks, runs and attempts under every history, and how ends are judged."""

from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.agents.tasks.task import (
    ATTEMPT,
    RUN,
    TASK,
    AttemptStep,
    End,
    RunStep,
    TaskStep,
    attempt_step,
    judge,
    may_retry,
    run_step,
)
from core.api.runs import Stop
from core.api.tasks import AttemptState, RunState, TaskState
from core.machine import IllegalTransition, Machine

MACHINES: list[tuple[Machine[Any, Any], type[StrEnum], StrEnum]] = [
    (TASK, TaskStep, TaskState.QUEUED),
    (RUN, RunStep, RunState.ACCEPTED),
    (ATTEMPT, AttemptStep, AttemptState.PENDING),
]
TABLE = {
    "queued": "running dropped cancelled",
    "running": "waiting idle done error dropped queued cancelled",
    "waiting": "waiting running idle done error queued cancelled",
    "idle": "queued cancelled",
    "error": "queued cancelled",
    "dropped": "queued cancelled",
    "done": "",
    "cancelled": "",
}


def test_tasks_go_only_where_the_table_says() -> None:
    """The table is the repaired one, and nothing leaves done and cancelled."""
    found = {state.value: {to.value for to in row.values()} for state, row in TASK.table.items()}
    assert found == {state: set(following.split()) for state, following in TABLE.items()}


def test_a_task_is_over_in_each_state_in_which_nothing_is_done_for_it() -> None:
    """One that waits, in line or for a person, is under way; one that is idle is not."""
    assert {state.value for state in TaskState if state.is_over} == {"idle", "done", "error", "dropped", "cancelled"}


@pytest.mark.parametrize(("machine", "steps", "first"), MACHINES, ids=lambda item: getattr(item, "name", None))
@given(choices=st.data())
def test_a_step_that_is_not_in_the_table_changes_nothing(
    machine: Machine[Any, Any], steps: type[StrEnum], first: StrEnum, choices: st.DataObject
) -> None:
    """Every history ends in a state of the machine; final ones are never left."""
    state: Any = first
    for step in choices.draw(st.lists(st.sampled_from(list(steps)), max_size=20)):
        row = machine.table[state]
        if step in row:
            assert not machine.is_final(state)
            state = machine.step(state, step)
        else:
            with pytest.raises(IllegalTransition):
                machine.step(state, step)
    assert state in machine.table


@pytest.mark.parametrize(("machine", "steps", "first"), MACHINES, ids=lambda item: getattr(item, "name", None))
def test_every_state_can_be_reached_and_every_final_one_from_the_first(
    machine: Machine[Any, Any], steps: type[StrEnum], first: StrEnum
) -> None:
    """No state is there for nothing, and no step either."""
    reached, ahead = {first}, [first]
    used: set[StrEnum] = set()
    while ahead:
        for step, following in machine.table[ahead.pop()].items():
            used.add(step)
            if following not in reached:
                reached.add(following)
                ahead.append(following)
    assert reached == set(machine.table)
    assert used == set(steps)


ENDS = st.builds(
    End,
    stop=st.sampled_from(Stop),
    code=st.sampled_from(["", "auth", "bad_request", "refused", "policy.deny", "agent_failed", "total"]),
    attempt=st.integers(1, 5),
    max_attempts=st.integers(1, 5),
    is_requeued=st.booleans(),
    has_more=st.booleans(),
    is_interactive=st.booleans(),
)


@given(ENDS, st.sampled_from([TaskState.RUNNING, TaskState.WAITING]))
def test_every_end_of_a_run_is_a_legal_step_of_its_task(end: End, state: TaskState) -> None:
    """Whatever a run comes to, its task has somewhere to go; an error is never done, and tries are counted."""
    judgement = judge(end)
    after = TASK.step(state, judgement.step)
    if after is TaskState.DONE:
        assert end.stop.is_answer
    if judgement.is_retry:
        assert end.attempt < end.max_attempts
        assert may_retry(end.stop, end.code)
        assert after is TaskState.QUEUED
    if end.is_requeued or end.has_more:
        assert (after, judgement.is_retry) == (TaskState.QUEUED, False)
    elif end.stop is Stop.WAITING_FOR_INPUT:
        assert after is TaskState.WAITING
    elif end.stop.is_answer:
        assert after is (TaskState.IDLE if end.is_interactive else TaskState.DONE)
    else:
        assert after.is_over or judgement.is_retry


@given(st.sampled_from(Stop), st.sampled_from([AttemptState.RUNNING, AttemptState.BLOCKED, AttemptState.PENDING]))
def test_every_stop_ends_run_and_attempt_alike(stop: Stop, attempt: AttemptState) -> None:
    """A run and its last try never disagree about how they ended."""
    step = run_step(stop)
    state = RUN.step(RunState.RUNNING, step)
    assert RUN.is_final(state)
    if attempt_step(step) in ATTEMPT.table[attempt]:
        assert ATTEMPT.step(attempt, attempt_step(step)).value == state.value
    else:
        assert (attempt, state) == (AttemptState.PENDING, RunState.OK)


@pytest.mark.parametrize("code", ["auth", "bad_request", "refused", "policy", "policy_unavailable", "not_found"])
def test_some_failures_are_for_good(code: str) -> None:
    """Another try would end the same way."""
    assert not may_retry(Stop.ERROR, code)
    assert may_retry(Stop.ERROR, "agent_failed")
    assert may_retry(Stop.TIMEOUT, "")
    assert not may_retry(Stop.CANCELLED, "")
    assert not may_retry(Stop.END_TURN, "")
