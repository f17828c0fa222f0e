"""The relay: which chat reaches which bot, how each far side does, what went where, and who relays to whom."""

from console import text
from console.changes import Changes
from console.relay_facts import overview_words, pause_words
from console.screens.base import OrderGate, Rows, Stage
from console.screens.relay_lists import GraphPage, MessagesPage
from console.screens.relay_pages import BindingsPage, PeersPage, RelayPage, TargetsPage
from console.screens.tabs import TabbedView
from console.target import Target
from console.widgets.status_bar import Part
from console.widgets.table import Row
from core.api.breakers import BreakerState
from core.api.relay_targets import GetRelayGraph
from core.api.relay_tasks import RelayState

_NEAR_ROWS = 20
_NOUNS = {"bindings": "bot", "messages": "message", "targets": "far side", "peers": "peer", "graph": "edge"}


class RelayView(TabbedView):
    """Five lists: bots of bindings, messages, far sides, peers, who relays to whom."""

    place = "relay"
    TABS = (
        ("bindings", "table"),
        ("messages", "table"),
        ("targets", "table"),
        ("peers", "table"),
        ("graph", "table"),
    )
    PANE_ROWS = 9
    # Narrower, the pane beside the list would cost the list its words.
    SIDE_COLUMNS = 140

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.bindings = BindingsPage(stage)
        self.graph = GraphPage(stage)
        self.messages = MessagesPage(stage)
        self.pages: dict[str, RelayPage] = {
            "bindings": self.bindings,
            "messages": self.messages,
            "targets": TargetsPage(stage),
            "peers": PeersPage(stage),
            "graph": self.graph,
        }
        self.rows = Rows(self._row)
        self.gate = OrderGate()

    @property
    def page(self) -> RelayPage:
        """The list of the tab."""
        return self.pages[self.tab]

    def _row(self, row_id: str) -> Row:
        return self.page.row(row_id)

    # -- coming and going

    def enter(self, argument: str) -> None:
        """Show a tab. argument: its name and a row or a filter, or a filter of the present one."""
        head, _, rest = argument.partition(" ")
        if head in self.pages:
            self.tab, self.filter_text = head, ""
        else:
            rest = argument
        row_id = self._meant(rest.strip())
        if rest.strip() and not row_id:
            self.filter_text = rest.strip()
        self.rows = Rows(self._row)
        self.is_stacked = self.stage.width < self.SIDE_COLUMNS
        self._order()
        self.show_list(self.page.COLUMNS, self.rows)
        if row_id:
            self.stage.table.move_to(row_id)
        self._ask()
        self._show_empty()
        self._draw_detail()

    def resized(self) -> None:
        """Another width, another place for the pane."""
        self.is_stacked = self.stage.width < self.SIDE_COLUMNS
        self.stage.lay_out()

    def _meant(self, words: str) -> str:
        """The row that is named in full."""
        return words if words and words in self.page.ordered("") else ""

    def show_tab(self, name: str) -> None:
        """Another tab, without the filter of this one; the graph begins at the bot under the cursor."""
        if name == self.tab:
            return
        if name == "graph":
            self.graph.focus = self.page.subject(self.stage.table.cursor_id or "") if self.tab == "bindings" else ""
        self.filter_text = ""
        self.tab = name
        self.stage.go(self.place, name)

    def back(self) -> bool:
        """Close the filter, then the tab."""
        if self.filter_text:
            self.set_filter("")
            return True
        return super().back()

    def set_filter(self, filter_text: str) -> None:
        """Narrow the list at once."""
        self.filter_text = filter_text
        self._reorder()

    # -- what changed

    def refresh(self, changes: Changes) -> None:
        """Rows with new figures; their order when it is time."""
        if changes.has_relay or changes.relayed or changes.is_whole:
            self.gate.want()
            self.graph.asked.want()
            self._ask()
            self.stage.table.refresh_rows(None)
            self._draw_detail()
        self._order_if_due()

    def tick(self) -> None:
        """Ages and countdowns are another."""
        self.gate.want()
        self._ask()
        self._order_if_due()
        self._show_empty()
        self.stage.table.refresh_rows(None)
        self._draw_detail()

    def _ask(self) -> None:
        if self.tab == "graph" and self.graph.asked.is_due:
            self.graph.asked.ask(GetRelayGraph(), self.graph.take, self._reorder)

    def _order(self) -> bool:
        began = self.stage.now()
        is_new = self.rows.put(self.page.ordered(self.filter_text))
        now = self.stage.now()
        self.gate.was_sorted(now, now - began)
        return is_new

    def _order_if_due(self) -> None:
        now = self.stage.now()
        may_order = self.gate.may_sort(now) if self.rows.ids else self.gate.may_look(now)
        if may_order and self._order():
            self.stage.table.order_changed()
            self._show_empty()
            self._draw_detail()

    def _reorder(self) -> None:
        if self._order():
            self.stage.table.order_changed()
        self.stage.table.refresh_rows(None)
        self._show_empty()
        self._draw_detail()

    # -- drawing

    def moved(self, row_id: str) -> None:
        """The pane follows the cursor; rows stay where they are for a moment. Near the end older messages come."""
        self.gate.moved(self.stage.now())
        super().moved(row_id)
        if self.tab == "messages" and row_id in self.rows.ids[-_NEAR_ROWS:]:
            self.messages.ask_older(self._reorder)

    def _draw_detail(self) -> None:
        row_id = self.stage.table.cursor_id
        self.stage.detail.set_fields(self.page.detail(row_id) if row_id else [])

    def _show_empty(self) -> None:
        self.stage.table.empty_text = self._empty_text()

    def _empty_text(self) -> str:
        relay = self.mirror.work.relay
        if relay.error:
            return f"The core cannot show its relay.\n\n{relay.error}\n\n:retry asks again; sessions go on"
        if not relay.is_known:
            return "The core is starting. Bindings appear here."
        total = self.page.total()
        if self.filter_text and total:
            return f"0 of {text.count(total)} match /{text.clean(self.filter_text)}\n\nesc clears the filter"
        return self.graph.empty if self.tab == "graph" else self.page.EMPTY

    def crumb(self) -> tuple[list[Part], list[Part]]:
        """Filter and counts."""
        left: list[Part] = [("relay", "strong")]
        if self.filter_text:
            left.append((f" /{text.clean(self.filter_text)}", "accent"))
        shown, total = len(self.rows.ids), self.page.total()
        nouns = text.counted(total, _NOUNS[self.tab])
        words = nouns if shown == total else f"{text.count(shown)} of {nouns}"
        dead = self.mirror.work.relay.count(RelayState.DEAD)
        return left, [*([(f"{text.count(dead)} dead", "failing")] if dead else []), (words, "plain")]

    def extra_lines(self) -> list[list[Part]]:
        """The pause with what still runs, or how all stand; and the tabs."""
        return [[self._standing()], self._tabs()]

    def _standing(self) -> Part:
        relay = self.mirror.work.relay
        if relay.error:
            return "the core cannot show its relay", "failing"
        if not relay.is_known:
            return "not known yet", "stale"
        if relay.pause is not None and relay.pause.is_paused:
            return pause_words(relay.pause, self.stage.age_s), "needs"
        return self._of_tab() or overview_words(relay, self.stage.age_s)

    def _of_tab(self) -> Part | None:
        """What only the list of the tab needs said; None for nothing."""
        relay = self.mirror.work.relay
        if self.tab == "bindings" and relay.binding_problem:
            return f"not all can be read: {text.redact(text.clean(relay.binding_problem))}", "failing"
        if self.tab == "peers":
            served = (
                f"peers reach us at {text.clean(relay.listening)}" if relay.listening else "nothing is served to peers"
            )
            return served, "plain" if relay.listening else "needs"
        if self.tab == "messages" and not relay.is_whole:
            more = "at the end of the list older ones come" if relay.cursor else "`hermes-console relay tasks` has all"
            return f"the newest are shown, and all that are dead or under way; {more}", "quiet"
        return None

    def _tabs(self) -> list[Part]:
        relay = self.mirror.work.relay
        dead = relay.count(RelayState.DEAD)
        stopped = sum(view.breaker.state is not BreakerState.CLOSED for view in relay.targets.values())
        faulty = sum(bool(view.problem) for view in relay.peers.values())
        counts = {"messages": dead, "targets": stopped, "peers": faulty}
        notes = {name: f"({text.short_count(count)})" for name, count in counts.items() if count}
        return self.tab_line(notes, dict.fromkeys(notes, "failing"))

    # -- acts

    def target(self) -> Target:
        """What is under the cursor."""
        return self.page.target(self.stage.table.cursor_id or "")

    def opened(self, row_id: str) -> None:
        """Into a message; else to the messages of what is under the cursor."""
        if self.tab == "messages":
            self.stage.go("relayed", row_id)
        elif subject := self.page.subject(row_id):
            self.stage.go(self.place, f"messages {subject}")

    def act(self, action_id: str) -> bool:
        """Tabs, and the trace of a message."""
        if action_id == "obj.trace":
            if self.tab == "messages" and (row_id := self.stage.table.cursor_id):
                self.stage.go("relayed", f"{row_id} trace")
            return True
        return super().act(action_id)

    def raw(self) -> object | None:
        """What is under the cursor."""
        return self.page.raw(self.stage.table.cursor_id or "")
