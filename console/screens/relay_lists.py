"""The lists of what went from bot to bot: messages, and who relays to whom."""

from collections.abc import Callable, Sequence

from console import text
from console.glyphs import badge, tone_badge
from console.relay_facts import stop_words, two_ends
from console.relay_graph import Branch, branches
from console.relay_receipts import short_task_id
from console.relayed_facts import next_words, rank, task_facts, way_ends
from console.screens.asking import Question
from console.screens.base import Stage, gone_row, matches, version
from console.screens.relay_pages import RelayPage
from console.session_facts import Fact
from console.target import Target
from console.widgets.badge import badge_cell
from console.widgets.table import Column, Row
from core.api.relay_targets import RelayGraph
from core.api.relay_tasks import ListRelayTasks, RelayDirection, RelayState, RelayTaskPage, RelayTaskView

_HOUR_S = 3600.0
_PAGE_ROWS = 500


class MessagesPage(RelayPage):
    """Messages from bot to bot: dead ones first, then what is under way."""

    COLUMNS = (
        Column("state", "STATE", 11),
        Column("age", "AGE", 6, align="right"),
        Column("way", "FROM > TO", 18),
        Column("text", "MESSAGE", 12, flex=True),
        Column("tries", "TRY", 3, align="right"),
        Column("next", "NEXT OR WHY", 18),
        Column("status", "HTTP", 4, min_screen=170, align="right"),
        Column("id", "ID", 14, min_screen=170),
    )
    EMPTY = (
        "No message went from bot to bot yet.\n\nS sends one; so do `hermes-console relay send --to NAME TEXT`, "
        "`/relay NAME TEXT` in a chat, and agents with their relay tool."
    )

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._older = Question(stage)

    def ask_older(self, ended: Callable[[], None]) -> None:
        """Ask for the messages before those at hand, if there are any and it is time. ended: called when they came."""
        cursor = self.rows.cursor
        if not cursor or not self._older.may_ask():
            return

        def take(found: RelayTaskPage) -> None:
            # All may have been read anew meanwhile: then these would leave a gap.
            if self.rows.cursor == cursor:
                self.stage.mirror.load_with(lambda changes: self.rows.add_older(found, changes))

        self._older.ask(ListRelayTasks(limit=_PAGE_ROWS, cursor=cursor), take, ended)

    def ordered(self, words: str) -> list[str]:
        """Dead, under way, over; the latest first."""
        found = [task for task in self.rows.tasks.values() if not words or matches(words, *_words(task))]
        return [str(task.id) for task in sorted(found, key=rank)]

    def total(self) -> int:
        """All that are at hand."""
        return len(self.rows.tasks)

    def row(self, row_id: str) -> Row:
        """One message."""
        task = self.rows.tasks.get(row_id)
        if task is None:
            return gone_row(row_id, len(self.COLUMNS))
        age_s = self.stage.age_s(task.created)
        tone = "quiet" if task.state.is_over and task.state is not RelayState.DEAD else "plain"
        following = next_words(task, self.stage.age_s, self._stop(task))
        is_bad = task.state in {RelayState.DEAD, RelayState.FAILED}
        cells = (
            badge_cell(badge(task.state, use_ascii=self.stage.use_ascii)),
            (text.age(age_s), tone),
            (two_ends(*way_ends(task), 18, self.stage.short_id), "strong" if tone == "plain" else tone),
            (text.clean(task.text), tone),
            (_tries(task), "needs" if task.attempt_count > 1 else tone),
            (following, "failing" if is_bad else tone),
            (str(task.last_status or "-"), tone),
            (short_task_id(task.id), "quiet"),
        )
        return Row(row_id, cells, version(task.version, int(age_s), following))

    def detail(self, row_id: str) -> Sequence[Fact]:
        """The message under the cursor."""
        task = self.rows.tasks.get(row_id)
        if task is None:
            return []
        return task_facts(task, self.stage.age_s, use_ascii=self.stage.use_ascii, stop=self._stop(task))

    def _stop(self, task: RelayTaskView) -> str:
        return stop_words(self.rows, task, self.stage.age_s)

    def target(self, row_id: str) -> Target:
        """The message under the cursor, those marked, the far side."""
        task = self.rows.tasks.get(row_id)
        if task is None:
            return Target()
        # Marks are by id: one that went away meanwhile is not meant any more.
        marked = tuple(mark for mark in sorted(self.stage.table.marks) if mark in self.rows.tasks)
        return Target(
            relay_id=row_id,
            relay_ids=marked,
            origin=task.origin if task.origin in self.rows.targets else "",
            session_id=str(task.session_id or ""),
        )

    def raw(self, row_id: str) -> object | None:
        """The message."""
        return self.rows.tasks.get(row_id)


def _tries(task: RelayTaskView) -> str:
    """What came in was not tried by us."""
    return "-" if task.direction is RelayDirection.IN else str(task.attempt_count)


def _words(task: RelayTaskView) -> tuple[object, ...]:
    who = (task.bot, task.peer, task.sender, task.session_id, task.platform, task.chat, task.conversation)
    return (task.id, task.state.value, task.reason.value, task.error, task.text, task.url, task.origin, *who)


class GraphPage(RelayPage):
    """Who relays to whom, as a tree from where somebody looks. focus: the bot that was under the cursor before."""

    COLUMNS = (
        Column("state", "EDGE", 11),
        Column("who", "WHO RELAYS TO WHOM", 30, flex=True),
        Column("sent", "SENT", 5, align="right"),
        Column("failed", "FAIL", 5, align="right"),
        Column("last", "LAST", 6, align="right"),
        Column("why", "WHY IT ENDED", 20, flex=True),
    )

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.focus = ""
        self.graph: RelayGraph | None = None
        self.asked = Question(stage)
        self._branches: dict[str, Branch] = {}

    def take(self, graph: RelayGraph) -> None:
        """The core said who relays to whom."""
        self.graph = graph

    def ordered(self, words: str) -> list[str]:
        """As the tree has them."""
        found = branches(self.graph, self.focus) if self.graph else []
        self._branches = {branch.id: branch for branch in found}
        return [
            branch.id
            for branch in found
            if matches(words, branch.edge.source, branch.edge.target, branch.edge.why, *branch.edge.path)
        ]

    def total(self) -> int:
        """All edges."""
        return len(self.graph.edges) if self.graph else 0

    @property
    def empty(self) -> str:
        """Why there is nothing."""
        if self.asked.error:
            return f"The core cannot say who relays to whom.\n\n{self.asked.error}\n\nit is asked again by itself"
        if self.graph is None:
            return "asking the core"
        hours = self.graph.window_s / _HOUR_S
        return f"Nobody relayed to anybody in the last {hours:g} hours.\n\nS sends a message to a bot."

    def row(self, row_id: str) -> Row:
        """One edge."""
        branch = self._branches.get(row_id)
        if branch is None:
            return gone_row(row_id, len(self.COLUMNS))
        edge = branch.edge
        tone = "failing" if edge.is_tripped else "needs" if edge.failed else "well"
        word = "LOOP" if edge.is_tripped else edge.breaker.replace("_", "-") or ("fails" if edge.failed else "ok")
        if edge.breaker == "open":
            tone = "failing"
        sign = tone_badge(tone, text.clean(word), use_ascii=self.stage.use_ascii)
        indent = "   " * branch.depth
        again = "  (above)" if branch.is_again else ""
        line = f"{indent}{text.clean(edge.source)} > {text.clean(edge.target)}{again}"
        age_s = self.stage.age_s(edge.last)
        cells = (
            badge_cell(sign),
            (line, "failing" if edge.is_tripped else "strong"),
            text.short_count(edge.sent),
            (text.short_count(edge.failed) if edge.failed else "-", "failing" if edge.failed else "quiet"),
            text.age(age_s),
            (text.clean(edge.why), "failing" if edge.is_tripped else "quiet"),
        )
        return Row(row_id, cells, cells)

    def detail(self, row_id: str) -> Sequence[Fact]:
        """One edge whole: its path and the limit that it hit."""
        branch, graph = self._branches.get(row_id), self.graph
        if branch is None or graph is None:
            return []
        edge = branch.edge
        facts: list[Fact] = [
            (f"-- {text.clean(edge.source)} > {text.clean(edge.target)}", "", ""),
            ("sent", f"{edge.sent} in {graph.window_s / _HOUR_S:g} h, {edge.failed} failed", "plain"),
            ("last", f"{self.stage.age(edge.last)} ago", "plain"),
        ]
        if edge.is_tripped:
            facts.append(("limit", text.clean(edge.why) or "a limit of hops or turns", "failing"))
            facts.append(("path", " > ".join(map(text.clean, edge.path)) or "-", "failing"))
        facts.append(("limits", f"{graph.hop_limit} hops, {graph.turn_limit} messages of one conversation", "quiet"))
        if edge.breaker:
            facts.append(("breaker", text.clean(edge.breaker.replace("_", "-")), "plain"))
        return facts

    def subject(self, row_id: str) -> str:
        """Whom the edge leads to."""
        branch = self._branches.get(row_id)
        return branch.edge.target if branch else ""

    def raw(self, row_id: str) -> object | None:
        """The edge."""
        branch = self._branches.get(row_id)
        return branch.edge if branch else None
