"""Jobs of the clock: when each comes next, and what became of the last run."""

from collections.abc import Iterable

from console import text
from console.automation_facts import job_facts, next_words, seconds
from console.changes import Changes
from console.glyphs import badge
from console.screens.base import ListView, gone_row, matches, version
from console.session_facts import Fact
from console.target import Target
from console.widgets.badge import badge_cell
from console.widgets.status_bar import Part
from console.widgets.table import Column, Row
from core.api.jobs import JobRunState, JobView


class CronView(ListView):
    """Those that failed first, then by their next time."""

    place = "cron"
    TITLE = "cron"
    COLUMNS = (
        Column("state", "STATE", 9),
        Column("name", "JOB", 13),
        Column("next", "NEXT", 6, align="right"),
        Column("last", "LAST", 8),
        Column("ago", "AGO", 6, align="right"),
        Column("took", "TOOK", 5, align="right"),
        Column("fails", "FAILS", 5, align="right"),
        Column("missed", "MISSED", 6, align="right"),
        Column("agent", "AGENT", 10, min_screen=140),
        Column("deliver", "DELIVER", 16, min_screen=140),
        Column("when", "WHEN", 12, flex=True),
    )
    EMPTY = "No job is there.\n\nN makes one; `cron:` in config.yaml holds those that belong to this machine."
    detail_rows = 8

    def ordered(self) -> list[str]:
        """Broken and failed ones, running ones, the next one."""
        return [
            view.name
            for view in self.mirror.work.automation.jobs_by_trouble
            if matches(self.filter_text, view.name, view.state.value, view.words, view.spec.agent, view.spec.deliver)
        ]

    def total(self) -> int:
        """All of them."""
        return len(self.mirror.work.automation.jobs)

    def changed(self, changes: Changes) -> Iterable[str]:
        """Jobs that changed."""
        return changes.jobs

    def row(self, row_id: str) -> Row:
        """One job."""
        view = self.mirror.work.automation.jobs.get(row_id)
        if view is None:
            return gone_row(row_id, len(self.COLUMNS))
        run = view.last
        cells = (
            badge_cell(badge(view.state, use_ascii=self.stage.use_ascii)),
            (text.clean(view.name), "strong"),
            next_words(view, self.stage.age_s),
            badge_cell(badge(run.state, use_ascii=self.stage.use_ascii)) if run else ("-", "quiet"),
            self.stage.age(run.ended) if run else "-",
            seconds(run.duration_s) if run else "-",
            (str(view.failed_count), "failing" if view.failed_count else "plain"),
            (str(view.missed_count), "needs" if view.missed_count else "plain"),
            text.clean(view.spec.agent) or "-",
            text.clean(view.spec.deliver) or "-",
            _when(view),
        )
        return Row(row_id, cells, version(view.version, int(self.stage.now())))

    def detail(self, row_id: str) -> list[Fact]:
        """All of the job under the cursor."""
        view = self.mirror.work.automation.jobs.get(row_id)
        return job_facts(view, self.stage.age_s, use_ascii=self.stage.use_ascii) if view else []

    def crumb(self) -> tuple[list[Part], list[Part]]:
        """How many failed the last time."""
        left, right = super().crumb()
        jobs = self.mirror.work.automation.jobs.values()
        bad = sum(job.last is not None and job.last.state is JobRunState.FAILED for job in jobs)
        return left, [(f"{bad} failed the last time", "failing"), *right] if bad else right

    def target(self) -> Target:
        """The job under the cursor, with its conversation and its last task."""
        view = self.mirror.work.automation.jobs.get(self.stage.table.cursor_id or "")
        if view is None:
            return Target()
        run = view.running or view.last
        return Target(job=view.name, task_id=str(run.task_id) if run and run.task_id else "")

    def opened(self, row_id: str) -> None:
        """Into the task of its run, or its conversation when there is none."""
        view = self.mirror.work.automation.jobs.get(row_id)
        run = (view.running or view.last) if view else None
        if run is not None and run.task_id:
            self.stage.go("task", run.task_id)
        elif view is not None and view.session_id in self.mirror.sessions:
            self.stage.go("session", view.session_id)

    def raw(self) -> object | None:
        """The job under the cursor."""
        return self.mirror.work.automation.jobs.get(self.stage.table.cursor_id or "")


def _when(view: JobView) -> tuple[str, str]:
    if view.problem:
        return text.clean(view.problem), "failing"
    if view.paused_by:
        return f"paused by {text.clean(view.paused_by)}: {text.clean(view.paused_reason)}".rstrip(": "), "needs"
    return text.clean(view.words), "plain"
