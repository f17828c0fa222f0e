"""One message from bot to bot: text and answer, every attempt, its way and what did not happen, its fan-out."""

from console import text
from console.changes import Changes
from console.glyphs import badge
from console.relay_facts import stop_words, target_of
from console.relay_receipts import short_task_id
from console.relayed_facts import (
    TRIGGERS,
    attempt_facts,
    next_words,
    result_tone,
    task_facts,
    trace_lines,
)
from console.screens.asking import Question
from console.screens.base import Rows, Stage, gone_row, version
from console.screens.tabs import TabbedView, meant
from console.session_facts import Fact
from console.target import Target
from console.widgets.badge import badge_cell
from console.widgets.status_bar import Part
from console.widgets.table import Column, Row
from core.api.base import Mark
from core.api.relay_tasks import GetRelayTask, RelayAttempt, RelayTaskDetail, RelayTaskView


class RelayTaskDetailView(TabbedView):
    """Four tabs over one message."""

    place = "relayed"
    TABS = (("message", "fields"), ("attempts", "table"), ("trace", "fields"), ("group", "table"))
    PANE_ROWS = 6
    ATTEMPT_COLUMNS = (
        Column("number", "#", 3, align="right"),
        Column("at", "TIME", 8),
        Column("result", "RESULT", 11),
        Column("status", "HTTP", 4, align="right"),
        Column("latency", "TOOK", 7, align="right"),
        Column("why", "WHY", 20),
        Column("error", "ERROR", 12, flex=True),
    )
    GROUP_COLUMNS = (
        Column("state", "STATE", 11),
        Column("bot", "TO", 14),
        Column("tries", "TRY", 3, align="right"),
        Column("next", "NEXT OR WHY", 20),
        Column("answer", "ANSWER OR ERROR", 20, flex=True),
    )

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.task_id = ""
        self.found: RelayTaskDetail | None = None
        self._asked = Question(stage)
        self.rows = Rows(self._row)

    @property
    def task(self) -> RelayTaskView | None:
        """The message as last heard of."""
        heard = self.mirror.work.relay.tasks.get(self.task_id)
        asked = self.found.task if self.found else None
        if heard is None or asked is None:
            return heard or asked
        return heard if heard.version >= asked.version else asked

    @property
    def argument(self) -> str:
        """What leads to the same message again."""
        return self.task_id

    # -- coming and going

    def enter(self, argument: str) -> None:
        """Show a message by its id or one end of it, with `trace` behind it its way; "" the one of before."""
        name, _, tab = argument.partition(" ")
        known = self.mirror.work.relay.tasks
        found = meant(name, known, before=self.task_id, fits=lambda item: item.startswith(name) or item.endswith(name))
        if found != self.task_id:
            self.task_id, self.tab, self.found = found, self.first_tab, None
            self._asked.begin()
        if tab in dict(self.TABS):
            self.tab = tab
        if self.is_list:
            self.rows = Rows(self._row)
        self.show_list(self.ATTEMPT_COLUMNS if self.tab == "attempts" else self.GROUP_COLUMNS, self.rows)
        self._asked.want()
        self._ask()
        self._draw()

    def _ask(self) -> None:
        if self.task_id and self._asked.is_due:
            self._asked.ask(GetRelayTask(id=self.task_id), self._take, self._draw)

    def _take(self, found: RelayTaskDetail) -> None:
        self.found = found
        # What was asked for may have been the beginning of an id.
        self.task_id = str(found.task.id)

    def refresh(self, changes: Changes) -> None:
        """Ask again when it changed."""
        if self.task_id in changes.relayed or changes.has_relay or changes.is_whole:
            self._asked.want()
            self._ask()
            self._draw()

    def tick(self) -> None:
        """Ages and countdowns are another."""
        self._ask()
        self._draw()

    # -- drawing

    def _clock(self, mark: Mark) -> str:
        return text.clock_time(mark.at)

    def _draw(self) -> None:
        task = self.task
        if self.is_list:
            self._draw_rows()
        elif task is None or (self.tab == "trace" and self.found is None):
            words = "asking the core" if self.task_id else "no message is chosen"
            error = self._asked.error
            self.stage.fields.set_fields([("core says", error, "failing")] if error else [("", words, "quiet")])
        elif self.tab == "message":
            self.stage.fields.set_fields(self._facts(task))
        elif self.found is not None:
            self.stage.fields.set_fields(self._trace(self.found))

    def _facts(self, task: RelayTaskView) -> list[Fact]:
        error: list[Fact] = [("core says", self._asked.error, "failing")] if self._asked.error else []
        return error + task_facts(
            task, self.stage.age_s, use_ascii=self.stage.use_ascii, whole=self.found, stop=self._stop(task)
        )

    def _trace(self, found: RelayTaskDetail) -> list[Fact]:
        relay = self.mirror.work.relay
        target = target_of(relay, found.task.url)
        return trace_lines(found, target, self.stage.age_s, self._clock, is_paused=relay.is_paused)

    def _stop(self, task: RelayTaskView) -> str:
        return stop_words(self.mirror.work.relay, task, self.stage.age_s)

    def _draw_rows(self) -> None:
        found = self.found
        if self.tab == "attempts":
            ids = [str(item.number) for item in found.attempts][::-1] if found else []
            empty = "No attempt was made: 3 says why."
        else:
            ids = [str(item.id) for item in found.group] if found else []
            empty = "It went to one bot only."
        asking = "asking the core" if found is None else empty
        self.stage.table.empty_text = self._asked.error or asking
        if self.rows.put(ids):
            self.stage.table.order_changed()
        self.stage.table.refresh_rows(None)
        self._draw_detail()

    def _draw_detail(self) -> None:
        if not self.is_list:
            return
        row_id = self.stage.table.cursor_id or ""
        facts: list[Fact] = []
        if self.tab == "attempts":
            attempt = self._attempt(row_id)
            facts = attempt_facts(attempt, self._clock) if attempt else []
        elif (task := self._member(row_id)) is not None:
            facts = task_facts(task, self.stage.age_s, use_ascii=self.stage.use_ascii, stop=self._stop(task))
        self.stage.detail.set_fields(facts)

    def _attempt(self, row_id: str) -> RelayAttempt | None:
        found = self.found.attempts if self.found else ()
        return next((item for item in found if str(item.number) == row_id), None)

    def _member(self, row_id: str) -> RelayTaskView | None:
        heard = self.mirror.work.relay.tasks.get(row_id)
        found = self.found.group if self.found else ()
        return heard or next((item for item in found if str(item.id) == row_id), None)

    def _row(self, row_id: str) -> Row:
        return self._attempt_row(row_id) if self.tab == "attempts" else self._group_row(row_id)

    def _attempt_row(self, row_id: str) -> Row:
        attempt = self._attempt(row_id)
        if attempt is None:
            return gone_row(row_id, len(self.ATTEMPT_COLUMNS))
        cells = (
            str(attempt.number),
            self._clock(attempt.began),
            (attempt.result.value.replace("_", " "), result_tone(attempt.result)),
            str(attempt.status or "-"),
            f"{attempt.latency_s:.2f} s",
            TRIGGERS[attempt.trigger],
            (text.redact(text.clean(attempt.error)), "failing"),
        )
        return Row(row_id, cells, cells)

    def _group_row(self, row_id: str) -> Row:
        task = self._member(row_id)
        if task is None:
            return gone_row(row_id, len(self.GROUP_COLUMNS))
        following = next_words(task, self.stage.age_s, self._stop(task))
        cells = (
            badge_cell(badge(task.state, use_ascii=self.stage.use_ascii)),
            (text.clean(task.bot), "accent" if row_id == self.task_id else "strong"),
            str(task.attempt_count),
            following,
            (text.redact(text.clean(task.answer or task.error)), "failing" if task.error else "plain"),
        )
        return Row(row_id, cells, version(task.version, following))

    def crumb(self) -> tuple[list[Part], list[Part]]:
        """Where we are."""
        task = self.task
        name = f"{short_task_id(task.id)} {text.clean(task.bot)}" if task else text.clean(self.task_id)
        return [("relay > messages >", "quiet"), (name, "strong")], []

    def extra_lines(self) -> list[list[Part]]:
        """How it stands, and the tabs."""
        task = self.task
        attempts, group = (len(self.found.attempts), len(self.found.group)) if self.found else (0, 0)
        notes = {name: f"({count})" for name, count in (("attempts", attempts), ("group", group)) if count}
        tabs = self.tab_line(notes)
        if task is None:
            return [[("not known (yet)", "stale")], tabs]
        sign = badge(task.state, use_ascii=self.stage.use_ascii)
        words = next_words(task, self.stage.age_s, self._stop(task))
        return [[(sign.text, sign.tone), (words, "plain")], tabs]

    # -- acts

    def target(self) -> Target:
        """The message, or the one of the fan-out under the cursor; its far side and session."""
        task = self._member(self.stage.table.cursor_id or "") if self.tab == "group" else self.task
        if task is None:
            return Target(relay_id=self.task_id)
        far = target_of(self.mirror.work.relay, task.url)
        session_id = str(task.session_id or "")
        return Target(relay_id=str(task.id), origin=far.origin if far else "", session_id=session_id)

    def opened(self, row_id: str) -> None:
        """To another one of the fan-out."""
        if self.tab == "group":
            self.stage.go("relayed", row_id)

    def act(self, action_id: str) -> bool:
        """Tabs; the trace is one of them."""
        if action_id == "obj.trace":
            self.show_tab("trace")
            return True
        return super().act(action_id)

    def raw(self) -> object | None:
        """The message with its attempts."""
        return self.found or self.task
