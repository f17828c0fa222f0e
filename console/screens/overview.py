"""The first page: what needs you, whether the system is well, and what happened while nobody looked."""

from console import text
from console.agent_facts import agent_peek
from console.changes import Changes
from console.glyphs import tone_badge
from console.need import Need
from console.needs import needs
from console.relay_facts import target_pane
from console.screens.base import ListView, Stage, gone_row
from console.screens.empty import first_step_fields
from console.screens.system_facts import latest_facts, platform_lines, system_facts
from console.session_facts import Fact, approval_facts, peek
from console.target import Target
from console.task_facts import task_peek
from console.widgets.status_bar import Part
from console.widgets.table import Column, Row
from core.api.approvals import ApprovalState

_SUBJECT_WIDTH = 18
_LEAST_SYSTEM_ROWS = 11
_FAR_SIDE = "targets "


class OverviewView(ListView):
    """Problems first, health second."""

    place = "overview"
    PANES = ("table", "fields")
    COLUMNS = (
        Column("kind", "NEEDS YOU", 11),
        Column("subject", "WHERE", _SUBJECT_WIDTH),
        Column("age", "SINCE", 6, align="right"),
        Column("text", "WHAT", 24, flex=True),
        Column("key", "KEY", 5, min_screen=90),
    )
    detail_rows = 0

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._needs: dict[str, Need] = {}
        self._left_seq: int | None = None
        self._left_at = 0.0
        self._away_s: float | None = None

    def left(self) -> None:
        """The operator looks away."""
        self._left_seq, self._left_at, self._away_s = int(self.mirror.seq), self.stage.now(), None

    def came_back(self) -> None:
        """The operator looks again: what came meanwhile is listed."""
        if self._left_seq is not None:
            self._away_s = self.stage.now() - self._left_at

    def enter(self, argument: str) -> None:
        """Show it; the list is as high as it must be."""
        super().enter(argument)
        self._draw_system()

    def collect(self) -> None:
        """Look at the mirror again."""
        self._needs = {need.id: need for need in needs(self.mirror, self.stage.now())}

    def ordered(self) -> list[str]:
        """As `needs` has them."""
        self.collect()
        words = self.filter_text.lower().split()
        return [
            need.id
            for need in self._needs.values()
            if all(word in f"{need.kind} {need.subject} {need.text}".lower() for word in words)
        ]

    def total(self) -> int:
        """Without a filter."""
        return len(self._needs)

    def table_rows(self, height: int) -> int:
        """Lines for the list, the header included, in a body of that height."""
        lines = max(1, len(self.rows.ids)) + 2
        return max(3, min(lines, height - _LEAST_SYSTEM_ROWS))

    def refresh(self, changes: Changes) -> None:
        """The list at most twice a second, the rest at once."""
        self.gate.want()
        self.order_if_due()
        if changes:
            self._draw_system()

    def order_if_due(self) -> None:
        """Rows may change without changing places: their words carry ages."""
        if not self.rows.ids or self.gate.may_sort(self.stage.now()):
            is_new = self.order()
            if is_new:
                self.stage.table.order_changed()
                self.stage.lay_out()
            self.stage.table.refresh_rows(None)

    def tick(self) -> None:
        """Ages are another."""
        self.gate.want()
        super().tick()
        self._draw_system()

    def _draw_system(self) -> None:
        fields = first_step_fields(self.mirror)
        fields += system_facts(self.stage)
        if self.mirror.health is not None:
            fields += latest_facts(self.stage, since_seq=self._left_seq, away_s=self._away_s)
        self.stage.fields.set_fields(fields)

    def row(self, row_id: str) -> Row:
        """One need."""
        need = self._needs.get(row_id)
        if need is None:
            return gone_row(row_id, len(self.COLUMNS))
        sign = tone_badge(need.tone, need.kind, use_ascii=self.stage.use_ascii)
        cells = (
            (sign.text, need.tone),
            (text.short_id(need.subject, _SUBJECT_WIDTH), "strong"),
            "" if need.age_s is None else text.age(need.age_s),
            need.text,
            (need.key, "quiet"),
        )
        return Row(row_id, cells, cells)

    def empty_text(self) -> str:
        """Nothing needs a human."""
        if self.mirror.health is None:
            return "The core is starting."
        good = tone_badge("well", "Nothing needs you.", use_ascii=self.stage.use_ascii)
        return good.text

    def crumb(self) -> tuple[list[Part], list[Part]]:
        """How many need attention."""
        left, _ = super().crumb()
        count = len(self._needs)
        if self.mirror.health is None:
            return left, []
        words = f"{count} need attention" if count != 1 else "1 needs attention"
        return left, [(words, "needs") if count else ("all quiet", "well")]

    def target(self) -> Target:
        """What the line is about."""
        need = self._needs.get(self.stage.table.cursor_id or "")
        if need is None:
            return Target()
        if need.place == "approvals" and need.argument in self.mirror.approvals:
            approval = self.mirror.approvals[need.argument]
            return Target(approval_id=approval.id, session_id=approval.session_id)
        if need.place == "session":
            return Target(session_id=need.argument)
        if need.place == "agent":
            return Target(agent=need.argument)
        task = self.mirror.work.tasks.get(need.argument) if need.place == "task" else None
        if task is not None:
            return Target(task_id=str(task.id), session_id=str(task.session_id))
        platform = need.argument if need.place == "platforms" else ""
        is_far_side = need.place == "relay" and need.argument.startswith(_FAR_SIDE)
        return Target(platform=platform, origin=need.argument.removeprefix(_FAR_SIDE) if is_far_side else "")

    def opened(self, row_id: str) -> None:
        """To the object of the line."""
        need = self._needs.get(row_id)
        if need is None:
            return
        approval = self.mirror.approvals.get(need.argument) if need.place == "approvals" else None
        if approval is not None and approval.state is ApprovalState.OPEN:
            self.stage.go("session", approval.session_id)
        else:
            self.stage.go(need.place, need.argument)

    def detail(self, row_id: str) -> list[Fact]:
        """The object of the line."""
        need = self._needs.get(row_id)
        if need is None:
            return []
        target = self.target()
        age = self.stage.age_s
        facts: list[Fact] = []
        approval = self.mirror.approvals.get(target.approval_id)
        if approval is not None:
            facts += approval_facts(approval, age, behind=self.mirror.queue_of(approval.session_id))
        profile = self.mirror.profiles.get(target.agent)
        if profile is not None:
            facts += agent_peek(profile, age, use_ascii=self.stage.use_ascii)
        task = self.mirror.work.tasks.get(target.task_id)
        if task is not None:
            facts += task_peek(task, age, use_ascii=self.stage.use_ascii)
        far = self.mirror.work.relay.targets.get(target.origin)
        if far is not None:
            facts += target_pane(far, age, clock=lambda mark: text.clock_time(mark.at))
        view = self.mirror.sessions.get(target.session_id)
        if view is not None:
            facts += peek(view, approval, age, use_ascii=self.stage.use_ascii)
        facts += platform_lines(self.stage, target.platform)
        return facts or [(f"-- {need.kind}", "", ""), (need.subject, need.text, need.tone)]

    def raw(self) -> object | None:
        """The object of the line."""
        target = self.target()
        for found in (
            self.mirror.approvals.get(target.approval_id),
            self.mirror.work.tasks.get(target.task_id),
            self.mirror.profiles.get(target.agent),
        ):
            if found is not None:
                return found
        return self.mirror.sessions.get(target.session_id)
