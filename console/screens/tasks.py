"""Work that was given to agents: what goes on, what waits, what failed and why."""

from collections.abc import Callable, Iterable

from console import text
from console.changes import Changes
from console.glyphs import badge
from console.screens.base import ListView, Stage, gone_row, matches, version
from console.session_facts import Fact
from console.target import Target
from console.task_facts import next_words, since, task_peek, title
from console.widgets.badge import badge_cell
from console.widgets.status_bar import Part
from console.widgets.table import Column, Row
from core.api.tasks import TaskState, TaskView

SORTS = ("state", "age", "agent")
_RANK = {
    TaskState.WAITING: 0,
    TaskState.ERROR: 1,
    TaskState.DROPPED: 2,
    TaskState.RUNNING: 3,
    TaskState.QUEUED: 4,
    TaskState.IDLE: 5,
    TaskState.DONE: 6,
    TaskState.CANCELLED: 7,
}


class TasksView(ListView):
    """What needs somebody first, then what failed, then what goes on."""

    place = "tasks"
    COLUMNS = (
        Column("state", "STATE", 11),
        Column("what", "TASK", 20, flex=True),
        Column("agent", "AGENT", 9),
        Column("tries", "TRY", 5, align="right"),
        Column("age", "AGE", 6, align="right"),
        Column("next", "NEXT", 22),
        Column("id", "ID", 10, min_screen=120),
        Column("lane", "LANE", 8, min_screen=140),
        Column("by", "MADE BY", 10, min_screen=140),
        Column("below", "BELOW", 5, min_screen=140, align="right"),
    )
    is_stacked = True
    detail_rows = 7

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.sort = SORTS[0]
        self.shows_archived = False

    def _shown(self) -> list[TaskView]:
        return [task for task in self.mirror.work.tasks.values() if self.shows_archived or task.archived is None]

    def ordered(self) -> list[str]:
        """By what the operator sorts by."""
        keys: dict[str, Callable[[TaskView], tuple[object, ...]]] = {
            "state": lambda task: (_RANK[task.state], -since(task).at),
            "age": lambda task: (-since(task).at,),
            "agent": lambda task: (task.agent, _RANK[task.state], -since(task).at),
        }
        rows = [task for task in self._shown() if matches(self.filter_text, *_words(task))]
        rows.sort(key=keys[self.sort])
        return [str(task.id) for task in rows]

    def total(self) -> int:
        """All that may be shown."""
        return len(self._shown())

    def changed(self, changes: Changes) -> Iterable[str]:
        """Tasks that changed."""
        return changes.tasks

    def row(self, row_id: str) -> Row:
        """One task."""
        task = self.mirror.work.tasks.get(row_id)
        if task is None:
            return gone_row(row_id, len(self.COLUMNS))
        age_s = self.stage.age_s(since(task))
        tone = "quiet" if task.state.is_over else "plain"
        words = next_words(task, self.stage.age_s)
        below = self.mirror.work.below(row_id)
        cells = (
            badge_cell(badge(task.state, use_ascii=self.stage.use_ascii)),
            (title(task), tone if task.state.is_over else "strong"),
            (text.clean(task.agent), tone),
            (f"{task.attempt_count}/{task.max_attempts}", "needs" if task.attempt_count > 1 else tone),
            (text.age(age_s), tone),
            (words, "failing" if task.state in {TaskState.ERROR, TaskState.DROPPED} else tone),
            (self.stage.short_id(task.id, 10), "quiet"),
            (text.clean(task.lane) or "-", tone),
            (text.clean(task.spawned_by) or "-", tone),
            (str(below) if below else "-", tone),
        )
        return Row(row_id, cells, version(task.version, int(age_s), words, below))

    def detail(self, row_id: str) -> list[Fact]:
        """The task under the cursor."""
        task = self.mirror.work.tasks.get(row_id)
        return task_peek(task, self.stage.age_s, use_ascii=self.stage.use_ascii) if task else []

    def empty_text(self) -> str:
        """What belongs here."""
        return (
            "No tasks.\n\nN gives an agent work; so does `hermes-console tasks start`, or a POST to /api/tasks. "
            "What people say in chats is under 2."
        )

    def crumb(self) -> tuple[list[Part], list[Part]]:
        """How many are in which state."""
        left, right = super().crumb()
        counts = self.mirror.work.counts
        loud = [(TaskState.WAITING, "needs"), (TaskState.ERROR, "failing"), (TaskState.RUNNING, "busy")]
        parts: list[Part] = [(f"{counts[state]} {state.value}", tone) for state, tone in loud if counts[state]]
        if self.shows_archived:
            parts.append(("archived too", "quiet"))
        return left, [*parts, *right, (f"sort {self.sort}", "quiet")]

    def extra_lines(self) -> list[list[Part]]:
        """Whether older ones are only in the core."""
        if self.mirror.work.is_whole or not self.mirror.work.tasks:
            return []
        return [[("the newest are shown; `tasks list` in the shell pages through all", "quiet")]]

    def target(self) -> Target:
        """The task under the cursor, its session and run."""
        task = self.mirror.work.tasks.get(self.stage.table.cursor_id or "")
        if task is None:
            return Target()
        return Target(
            task_id=str(task.id),
            session_id=str(task.session_id),
            run_id=str(task.target_run_id or ""),
            agent=str(task.agent),
        )

    def opened(self, row_id: str) -> None:
        """Into the task."""
        self.stage.go("task", row_id)

    def act(self, action_id: str) -> bool:
        """Sort order, archived ones, the way to the session."""
        if action_id == "view.sort":
            self.sort = SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)]
        elif action_id == "task.archived":
            self.shows_archived = not self.shows_archived
        elif action_id == "task.session":
            task = self.mirror.work.tasks.get(self.stage.table.cursor_id or "")
            if task is not None:
                self.stage.go("session", str(task.session_id))
            return True
        else:
            return False
        if self.order():
            self.stage.table.order_changed()
        self.show_empty()
        return True

    def raw(self) -> object | None:
        """The task under the cursor."""
        return self.mirror.work.tasks.get(self.stage.table.cursor_id or "")


def _words(task: TaskView) -> tuple[object, ...]:
    return task.id, task.state.value, task.agent, task.label, task.text, task.session_id, task.spawned_by, task.error
