"""One agent: its profile and policy, its runners, its settings as they can be written down."""

from console import text
from console.agent_facts import agent_facts, agent_peek, runner_facts
from console.changes import Changes
from console.glyphs import badge
from console.profile_text import lines_of
from console.screens.asking import Question
from console.screens.base import Rows, Stage, gone_row, version
from console.screens.tabs import TabbedView, meant
from console.session_facts import Fact
from console.target import Target
from console.widgets.badge import badge_cell
from console.widgets.status_bar import Part
from console.widgets.table import Column, Row
from core.api.base import AgentName
from core.api.profiles import ListRunners, ProfileView, RunnerList
from core.api.runs import RunnerView


class AgentDetailView(TabbedView):
    """Three tabs over one agent."""

    place = "agent"
    TABS = (("profile", "fields"), ("runners", "table"), ("settings", "page"))
    COLUMNS = (
        Column("state", "STATE", 9),
        Column("session", "SESSION", 18, flex=True),
        Column("user", "USER", 12, min_screen=100),
        Column("since", "SINCE", 6, align="right"),
        Column("active", "LAST SIGN", 9, align="right"),
        Column("mode", "MODE", 10),
        Column("generation", "GEN", 5, align="right"),
        Column("model", "MODEL", 18, min_screen=120),
    )

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.name: str = ""
        self.runners: dict[str, RunnerView] = {}
        self.rows = Rows(self._row)
        self._question = Question(stage)

    @property
    def argument(self) -> str:
        """Its name."""
        return self.name

    @property
    def view(self) -> ProfileView | None:
        """The agent as last heard of."""
        return self.mirror.work.profiles.get(self.name)

    def enter(self, argument: str) -> None:
        """Show an agent by its name or a part of it; "" the one of before."""
        near = argument.lower()
        found = meant(argument, self.mirror.work.profiles, before=self.name, fits=lambda name: near in name.lower())
        if found != self.name:
            self.name, self.tab, self.runners = found, self.first_tab, {}
            self._question.begin()
        if self.show_list(self.COLUMNS, self.rows):
            self._ask()
        self._draw()

    # -- what changed --------------------------------------------------------

    def _ask(self) -> None:
        if self.name and self._question.may_ask():
            self._question.ask(ListRunners(agent=AgentName(self.name)), self._take, self._draw)

    def _take(self, found: RunnerList) -> None:
        self.runners = {str(view.session_id): view for view in found.runners}

    def refresh(self, changes: Changes) -> None:
        """Draw anew when agents changed."""
        if changes.has_agents or changes.is_whole:
            self._draw()

    def tick(self) -> None:
        """Ages are another; runners are asked for while they are looked at."""
        if self.tab == "runners":
            self._ask()
        self._draw()

    # -- drawing -------------------------------------------------------------

    def _draw(self) -> None:
        view = self.view
        if self.tab == "runners":
            self._draw_runners()
        elif view is None:
            pane = self.stage.fields if self.tab == "profile" else self.stage.page
            pane.set_fields([("", f"there is no agent {text.clean(self.name)}; 0 lists all", "needs")])
        elif self.tab == "profile":
            self.stage.fields.set_fields(agent_facts(view, self.stage.age_s, use_ascii=self.stage.use_ascii))
        else:
            lines = [("", text.redact(text.clean(line)), "plain") for line in lines_of(view.settings)]
            self.stage.page.set_fields([*lines, ("", "", ""), ("", "E changes them", "quiet")])

    def _draw_runners(self) -> None:
        table = self.stage.table
        if self._question.error:
            table.empty_text = f"The core cannot show the runners.\n\n{self._question.error}"
        else:
            none = "No runner is live: the next turn makes one."
            table.empty_text = "asking the core" if self._question.is_new else none
        if self.rows.put(list(self.runners)):
            table.order_changed()
        table.refresh_rows(None)
        self._draw_detail()

    def _draw_detail(self) -> None:
        runner = self.runners.get(self.stage.table.cursor_id or "")
        facts: list[Fact] = []
        if runner is not None:
            facts = runner_facts(runner, self.stage.age_s, use_ascii=self.stage.use_ascii)
        elif self.view is not None:
            facts = agent_peek(self.view, self.stage.age_s, use_ascii=self.stage.use_ascii)
        self.stage.detail.set_fields(facts)

    def _row(self, row_id: str) -> Row:
        view = self.runners.get(row_id)
        if view is None:
            return gone_row(row_id, len(self.COLUMNS))
        cells = (
            badge_cell(badge(view.state, use_ascii=self.stage.use_ascii)),
            (text.clean(view.session_id), "strong"),
            text.clean(view.user) or "-",
            self.stage.age(view.since),
            self.stage.age(view.active),
            (text.clean(view.mode) or "-", "plain" if view.asks else "failing"),
            str(view.generation),
            text.clean(view.model) or "-",
        )
        return Row(row_id, cells, version(cells))

    def crumb(self) -> tuple[list[Part], list[Part]]:
        """Where we are."""
        left: list[Part] = [("agents >", "quiet"), (text.clean(self.name) or "?", "strong")]
        if self.tab == "runners":
            return left, [(text.counted(len(self.runners), "runner"), "plain")]
        return left, []

    def extra_lines(self) -> list[list[Part]]:
        """The tabs."""
        return [self.tab_line()]

    # -- acts ----------------------------------------------------------------

    def target(self) -> Target:
        """The agent, and the session of the runner under the cursor."""
        session = (self.stage.table.cursor_id or "") if self.tab == "runners" else ""
        return Target(agent=self.name, session_id=session if session in self.runners else "")

    def opened(self, row_id: str) -> None:
        """Into the session of a runner."""
        if row_id in self.runners:
            self.stage.go("session", row_id)

    def raw(self) -> object | None:
        """The runner under the cursor, else the agent."""
        if self.tab == "runners":
            return self.runners.get(self.stage.table.cursor_id or "")
        return self.view
