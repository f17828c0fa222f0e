"""The one screen: two lines of state, the panes of a view, a line for results, a line for commands, the keys."""

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, Vertical
from textual.message import Message
from textual.screen import Screen
from textual.suggester import Suggester
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input

from console.command_line import complete
from console.screens.base import WIDE_COLUMNS, View
from console.screens.overview import OverviewView
from console.widgets.event_log import EventLog
from console.widgets.fields import FieldPane
from console.widgets.status_bar import HintBar, StatusBar
from console.widgets.surface import app_of
from console.widgets.table import VirtualTable
from console.widgets.transcript import TranscriptView

LEAST_COLUMNS, LEAST_ROWS = 60, 16
# Textual lets up to two periods pass after a frame, so at its 60 a second a key may wait for 33 ms.
_FRAME_S = 1 / 120
_PANES = ("table", "transcript", "log", "fields", "page")


class _Completion(Suggester):
    """Completes commands by prefix; filters are left as they are."""

    def __init__(self, desk: "DeskScreen") -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._desk = desk

    async def get_suggestion(self, value: str) -> str | None:
        """The whole line, or None."""
        return complete(value, self._desk.session_ids()) if self._desk.command_kind == ":" else None


class CommandInput(Input):
    """The line where `:` and `/` are typed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "cursor_right", "complete", show=False),
        Binding("escape", "leave", "close", show=False),
    ]

    def action_leave(self) -> None:
        """Close the line and take nothing over."""
        self.post_message(DeskScreen.CommandClosed())


class DeskScreen(Screen[None]):
    """Lays the panes out for the view and the size; knows no core."""

    DEFAULT_CSS = """
    DeskScreen { layout: vertical; background: $background; }
    #head, #crumb, #facts, #tabs, #result { padding: 0 1; }
    #facts, #tabs { display: none; }
    #main { height: 1fr; layout: vertical; }
    #main.-wide { layout: horizontal; }
    #primary { height: 1fr; width: 1fr; }
    #primary > * { display: none; }
    #detail { display: none; height: 6; }
    #main.-wide > #detail { height: 1fr; width: 48; border-left: solid $border; padding: 0 0 0 1; }
    #asking { display: none; height: 1; }
    #sign { width: 2; padding: 0 0 0 1; }
    #command, #command:focus { width: 1fr; height: 1; border: none; padding: 0; background: $background; }
    #notice { display: none; height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "app.focus_next", "next pane", show=False, id="nav.pane"),
        Binding("shift+tab", "app.focus_previous", "previous pane", show=False),
    ]

    class KeyPressed(Message):
        """A key that no widget wanted."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    class CommandClosed(Message):
        """The command line was left without a command."""

    def __init__(self) -> None:
        super().__init__()
        self.head = StatusBar(id="head")
        self.crumb = StatusBar(id="crumb")
        self.extra = (StatusBar(id="facts"), StatusBar(id="tabs"))
        self.table = VirtualTable(id="table")
        self.transcript = TranscriptView(id="transcript", empty_text="Nothing was said here yet.")
        self.event_log = EventLog(id="log", empty_text="No events yet.")
        self.fields = FieldPane(id="fields", label_width=13)
        self.page = FieldPane(id="page", label_width=0)
        self.detail = FieldPane(id="detail", label_width=11)
        primary = Vertical(self.table, self.transcript, self.event_log, self.fields, self.page, id="primary")
        self.main = Container(primary, self.detail, id="main")
        self.notice = FieldPane(id="notice", label_width=10)
        self.result = StatusBar(id="result")
        self.command = CommandInput(id="command", suggester=_Completion(self), compact=True)
        self.sign = StatusBar(id="sign")
        self.asking = Horizontal(self.sign, self.command, id="asking")
        self.hints = HintBar(id="hints")
        self.command_kind = ":"
        self.is_noticing = False
        self._view: View | None = None
        self._focus_before: Widget | None = None
        self._frame_timer: Timer | None = None

    @property
    def _update_timer(self) -> Timer:
        if self._frame_timer is None:
            self._frame_timer = self.set_interval(_FRAME_S, self._on_timer_update, name="screen_update", pause=True)
        return self._frame_timer

    def compose(self) -> ComposeResult:
        """All panes are there from the start; a view shows some of them."""
        yield self.head
        yield self.crumb
        yield from self.extra
        yield self.main
        yield self.notice
        yield self.result
        yield self.asking
        yield self.hints

    def session_ids(self) -> list[str]:
        """Ids that a command may be completed with."""
        return list(self._view.mirror.sessions)[:5000] if self._view is not None else []

    # -- layout --------------------------------------------------------------

    def show_view(self, view: View) -> None:
        """Give the panes of a view their places and the first one the keys."""
        self._view = view
        self.lay_out()
        pane = self.pane(view.panes[0])
        if self.focused is not pane and self.focused is not self.command:
            self.set_focus(pane, scroll_visible=False)

    def pane(self, name: str) -> Widget:
        """A pane by its name."""
        panes: dict[str, Widget] = {
            "table": self.table,
            "transcript": self.transcript,
            "log": self.event_log,
            "fields": self.fields,
            "page": self.page,
        }
        return panes[name]

    def lay_out(self) -> None:
        """Show and hide panes, give them heights."""
        view, size = self._view, app_of(self).size
        is_wide = size.width >= WIDE_COLUMNS
        main = self.main
        main.display = not self.is_noticing
        self.notice.display = self.is_noticing
        if view is None or self.is_noticing:
            return
        # A list that needs the width for its columns has its pane beneath it at every size.
        is_wide = is_wide and not view.is_stacked
        main.set_class(is_wide, "-wide")
        for name in _PANES:
            self.pane(name).display = name in view.panes
        lines = view.extra_lines()
        for place, bar in enumerate(self.extra):
            bar.display = place < len(lines)
        self.detail.display = view.has_wide_detail if is_wide else bool(view.detail_rows)
        if not is_wide and view.detail_rows:
            room = max(0, size.height - 12)
            self.detail.styles.height = min(view.detail_rows + max(0, size.height - 30) // 3, room) or 1
        else:
            self.detail.styles.height = "1fr"
        if isinstance(view, OverviewView):
            self.table.styles.height = view.table_rows(size.height - 4)
        else:
            self.table.styles.height = "1fr"

    def on_resize(self, event: events.Resize) -> None:
        """Another size, another layout."""
        del event
        self.lay_out()

    # -- the command line ----------------------------------------------------

    def open_command(self, kind: str, words: str = "") -> None:
        """Ask for a command (`:`) or a filter (`/`)."""
        self.command_kind = kind
        self._focus_before = self.focused
        self.result.display = False
        self.asking.display = True
        self.sign.set_parts([(kind, "accent")])
        self.command.placeholder = "" if words else ("view, session, action" if kind == ":" else "filter")
        self.command.value = words
        self.command.cursor_position = len(words)
        self.set_focus(self.command, scroll_visible=False)

    def close_command(self) -> None:
        """Give the keys back to whoever had them."""
        self.asking.display = False
        self.result.display = True
        before, self._focus_before = self._focus_before, None
        if before is not None and before.display and before is not self.command:
            self.set_focus(before, scroll_visible=False)
        elif self._view is not None:
            self.set_focus(self.pane(self._view.panes[0]), scroll_visible=False)

    @property
    def is_asking(self) -> bool:
        """Whether the command line is open."""
        return bool(self.asking.display)

    def on_key(self, event: events.Key) -> None:
        """Whatever no widget wanted is for the app."""
        if self.is_asking:
            return
        if self.wants(event.key):
            event.stop()
            event.prevent_default()
            self.post_message(self.KeyPressed(event.key))

    def wants(self, key: str) -> bool:
        """Whether the app does something with a key here; asked before bindings of widgets are."""
        find = getattr(app_of(self), "wants_key", None)
        return bool(find and find(key))
