"""One task: what was asked and answered, its log as it comes, its runs and tries, its place in the tree."""

from console import text
from console.changes import Changes
from console.event_line import EventLine
from console.glyphs import badge
from console.screens.asking import Question
from console.screens.base import Rows, Stage, gone_row, version
from console.screens.events import log_line
from console.screens.tabs import TabbedView, meant
from console.session_facts import Fact
from console.target import Target
from console.task_facts import next_words, run_facts, since, task_facts, task_peek, title, tree
from console.widgets.badge import badge_cell
from console.widgets.status_bar import Part
from console.widgets.table import Column, Row
from core.api.base import TaskId
from core.api.streams import ReadStream, StreamBatch, StreamItem, StreamKind
from core.api.tasks import GetTask, TaskDetail, TaskView

_LEVELS = {StreamKind.APPROVAL: "warn", StreamKind.STATE: "good"}


class TaskDetailView(TabbedView):
    """Four tabs over one task."""

    place = "task"
    TABS = (("task", "fields"), ("log", "log"), ("runs", "table"), ("tree", "table"))
    PANE_ROWS = 8
    RUN_COLUMNS = (
        Column("state", "STATE", 11),
        Column("run", "RUN", 12),
        Column("tries", "TRIES", 5, align="right"),
        Column("age", "AGE", 6, align="right"),
        Column("error", "ERROR", 20, flex=True),
    )
    TREE_COLUMNS = (
        Column("state", "STATE", 11),
        Column("what", "TASK", 24, flex=True),
        Column("agent", "AGENT", 9),
        Column("age", "AGE", 6, align="right"),
        Column("next", "NEXT", 22),
    )

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.task_id: str = ""
        self.found: TaskDetail | None = None
        self.rows = Rows(self._row)
        self._depths: dict[str, int] = {}
        self._asked = Question(stage)
        self._asked_log = Question(stage)
        self._after = 0
        self._lines: list[EventLine] = []
        self._has_gap = False

    @property
    def argument(self) -> str:
        """Its id."""
        return self.task_id

    @property
    def task(self) -> TaskView | None:
        """The task as last heard of."""
        held = self.mirror.work.tasks.get(self.task_id)
        asked = self.found.task if self.found is not None else None
        if held is None or (asked is not None and asked.version >= held.version):
            return asked or held
        return held

    def enter(self, argument: str) -> None:
        """Show a task by its id or the end of it; "" the one of before."""
        names = self.mirror.work.tasks
        found = meant(argument, names, before=self.task_id, fits=lambda name: name.endswith(argument))
        if found != self.task_id:
            self.task_id, self.tab, self.found = found, self.first_tab, None
            self._after, self._lines, self._has_gap = 0, [], False
            self._asked.begin()
            self._asked_log.begin()
        if self.is_list:
            self.rows = Rows(self._row)
        self.show_list(self.RUN_COLUMNS if self.tab == "runs" else self.TREE_COLUMNS, self.rows)
        if self.tab == "log":
            log = self.stage.log
            log.clear_lines()
            log.set_filter("")
            log.extend(log_line(line) for line in self._lines)
            log.set_follow(True)
        self._asked.want()
        self._ask()
        self._draw()

    # -- asking --------------------------------------------------------------

    def _ask(self) -> None:
        self._ask_task()
        self._ask_log()

    def _ask_task(self) -> None:
        if self.task_id and self._asked.is_due:
            self._asked.ask(GetTask(task_id=TaskId(self.task_id)), self._take, self._draw)

    def _ask_log(self) -> None:
        if self.tab == "log" and self.task_id and self._asked_log.may_ask():
            query = ReadStream(task_id=TaskId(self.task_id), after=self._after, limit=500)
            self._asked_log.ask(query, self._take_log, self._draw)

    def _take(self, found: TaskDetail) -> None:
        self.found = found

    def _take_log(self, batch: StreamBatch) -> None:
        self._has_gap = self._has_gap or batch.has_gap
        self._after = batch.next_after
        lines = [_line(item) for item in batch.items]
        self._lines += lines
        if lines and self.tab == "log":
            self.stage.log.extend(log_line(line) for line in lines)

    def refresh(self, changes: Changes) -> None:
        """Ask again when it changed."""
        if self.task_id in changes.tasks or changes.is_whole:
            self._asked.want()
            self._ask()
            self._draw()

    def tick(self) -> None:
        """Ages are another; what changed is asked for, the log while it is looked at."""
        self._ask()
        self._draw()

    # -- drawing -------------------------------------------------------------

    def _draw(self) -> None:
        task = self.task
        if self.tab == "task":
            self.stage.fields.set_fields(self._facts(task))
        elif self.tab == "log":
            self.stage.log.empty_text = self._log_text()
        else:
            self._draw_rows()

    def _facts(self, task: TaskView | None) -> list[Fact]:
        gone: list[Fact] = [("core says", self._asked.error, "failing")] if self._asked.error else []
        if task is None:
            return gone or [("", "asking the core" if self.task_id else "no task is chosen", "quiet")]
        return gone + task_facts(task, self.stage.age_s, use_ascii=self.stage.use_ascii)

    def _log_text(self) -> str:
        if self._asked_log.error:
            return f"The core cannot show the log.\n\n{self._asked_log.error}"
        if self._asked_log.is_new:
            return "asking the core"
        return "Nothing is kept of its log any more: `l` leads to the transcript of its session."

    def _draw_rows(self) -> None:
        if self.tab == "runs":
            ids = [str(run.id) for run in self.found.runs] if self.found else []
        else:
            known = dict(self.mirror.work.tasks)
            if self.found is not None:
                known |= {str(child.id): child for child in self.found.children}
                known.setdefault(self.task_id, self.found.task)
            self._depths = {str(task.id): depth for depth, task in tree(self.task_id, known)}
            ids = list(self._depths)
        self.stage.table.empty_text = self._asked.error or ("asking the core" if self._asked.is_new else "No run yet.")
        if self.rows.put(ids):
            self.stage.table.order_changed()
        self.stage.table.refresh_rows(None)
        self._draw_detail()

    def _draw_detail(self) -> None:
        if not self.is_list:
            return
        row_id, use_ascii = self.stage.table.cursor_id or "", self.stage.use_ascii
        facts: list[Fact] = []
        if self.tab == "runs" and self.found is not None:
            run = next((run for run in self.found.runs if run.id == row_id), None)
            if run is not None:
                tries = [item for item in self.found.attempts if item.run_id == run.id]
                facts = run_facts(run, tries, self.stage.age_s, use_ascii=use_ascii)
        elif (task := self._known(row_id)) is not None:
            facts = task_peek(task, self.stage.age_s, use_ascii=use_ascii)
        self.stage.detail.set_fields(facts)

    def _known(self, task_id: str) -> TaskView | None:
        if task_id == self.task_id:
            return self.task
        found = self.mirror.work.tasks.get(task_id)
        if found is None and self.found is not None:
            found = next((child for child in self.found.children if child.id == task_id), None)
        return found

    def _row(self, row_id: str) -> Row:
        return self._run_row(row_id) if self.tab == "runs" else self._tree_row(row_id)

    def _run_row(self, row_id: str) -> Row:
        run = next((run for run in self.found.runs if run.id == row_id), None) if self.found else None
        if run is None:
            return gone_row(row_id, len(self.RUN_COLUMNS))
        age_s = self.stage.age_s(run.ended or run.accepted)
        cells = (
            badge_cell(badge(run.state, use_ascii=self.stage.use_ascii)),
            self.stage.short_id(run.id, 12),
            str(run.attempt_count),
            text.age(age_s),
            (text.clean(run.error), "failing"),
        )
        return Row(row_id, cells, version(run.version, int(age_s)))

    def _tree_row(self, row_id: str) -> Row:
        task = self._known(row_id)
        if task is None:
            return gone_row(row_id, len(self.TREE_COLUMNS))
        age_s = self.stage.age_s(since(task))
        indent = "  " * self._depths.get(row_id, 0)
        cells = (
            badge_cell(badge(task.state, use_ascii=self.stage.use_ascii)),
            (indent + title(task), "accent" if row_id == self.task_id else "plain"),
            text.clean(task.agent),
            text.age(age_s),
            next_words(task, self.stage.age_s),
        )
        return Row(row_id, cells, version(task.version, indent, int(age_s)))

    def crumb(self) -> tuple[list[Part], list[Part]]:
        """Where we are."""
        task = self.task
        left: list[Part] = [("tasks >", "quiet"), (title(task) if task else text.clean(self.task_id), "strong")]
        if self.tab == "log" and self._has_gap:
            return left, [("older lines are not kept", "stale")]
        return left, []

    def extra_lines(self) -> list[list[Part]]:
        """How it stands, and the tabs."""
        task = self.task
        if task is None:
            return [self.tab_line()]
        sign = badge(task.state, use_ascii=self.stage.use_ascii)
        return [[(sign.text, sign.tone), (next_words(task, self.stage.age_s), "plain")], self.tab_line()]

    # -- acts ----------------------------------------------------------------

    def target(self) -> Target:
        """The task, or the one of the tree under the cursor; its session and run."""
        task = self._known(self.stage.table.cursor_id or "") if self.tab == "tree" else self.task
        if task is None:
            return Target(task_id=self.task_id)
        run_id = str(task.target_run_id or "")
        if self.tab == "runs":
            run_id = self.stage.table.cursor_id or run_id
        approval = self.mirror.approval_of(str(task.session_id))
        return Target(
            task_id=str(task.id),
            session_id=str(task.session_id),
            run_id=run_id,
            agent=str(task.agent),
            approval_id=str(approval.id) if approval else "",
        )

    def opened(self, row_id: str) -> None:
        """To a task of the tree, or to the session of a run."""
        if self.tab == "tree":
            self.stage.go("task", row_id)
        elif self.task is not None:
            self.stage.go("session", str(self.task.session_id))

    def act(self, action_id: str) -> bool:
        """Tabs, following the log, the way to the session."""
        if action_id == "task.session":
            if self.task is not None:
                self.stage.go("session", str(self.task.session_id))
        elif action_id == "log.follow" and self.tab == "log":
            self.stage.log.set_follow(not self.stage.log.is_following)
        else:
            return super().act(action_id)
        return True

    def raw(self) -> object | None:
        """The task with its runs."""
        return self.found or self.task


def _line(item: StreamItem) -> EventLine:
    level = _LEVELS.get(item.kind, "info")
    kind = f"{item.kind.value} {item.what}".strip()
    return EventLine(item.number, item.at, level, kind, str(item.run_id or ""), "", item.text)
