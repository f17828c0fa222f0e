"""Tasks as the console keeps them: the newest view, as many as there is room for, and how many each made."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console import work_rows
from console.changes import Changes
from console.work_rows import WorkRows
from core.api.base import SYSTEM, Record, Seq, TaskId
from core.api.tasks import TaskEnded, TaskPage, TaskQueued, TaskState, TaskView
from tests.support.fake_work import task
from tests.support.views import NOW

LIMIT = 4


def told(rows: WorkRows, view: TaskView) -> set[str]:
    """Take an event about a task in; the ids that changed."""
    changes = Changes()
    event = TaskEnded(task=view) if view.state.is_over else TaskQueued(task=view)
    assert rows.apply(Record(seq=Seq(1), at=NOW.at, actor=SYSTEM, subject=str(view.id), event=event), changes)
    return changes.tasks


def test_what_a_task_made_is_counted_once_however_often_it_is_heard_of():
    """By snapshot and by events, newer and older ones."""
    rows = WorkRows()
    made = task("task-2", parent_id=TaskId("task-1"))
    rows.load_tasks(TaskPage(tasks=(task("task-1"), made), cursor="", has_more=False, seq=Seq(0)), Changes())
    assert told(rows, task("task-2", parent_id=TaskId("task-1"), version=2)) == {"task-2"}
    assert told(rows, made) == set()
    assert (rows.below("task-1"), rows.below("task-2"), rows.below("task-9")) == (1, 0, 0)
    told(rows, task("task-3", parent_id=TaskId("task-1")))
    assert rows.below("task-1") == 2


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(1, 3), st.sampled_from(TaskState), st.integers(0, 3)), max_size=40
    )
)
def test_the_count_is_that_of_the_tasks_that_are_at_hand(heard: list[tuple[int, int, TaskState, int]]):
    """Also after the oldest were forgotten, and came again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work_rows, "TASK_LIMIT", LIMIT)
        rows = WorkRows()
        for number, version, state, parent in heard:
            parent_id = TaskId(f"task-{parent}") if parent else None
            told(rows, task(f"task-{number}", version=version, state=state, parent_id=parent_id))
            assert len(rows.tasks) <= LIMIT or not any(view.state.is_over for view in rows.tasks.values())
            for key in (f"task-{each}" for each in range(10)):
                assert rows.below(key) == len(rows.children(key))
