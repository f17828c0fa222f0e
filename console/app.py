"""The console application: opens the core behind the first frame, feeds the mirror, shows one view at a time."""

import os
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, ClassVar, TypeVar

from textual import events
from textual.command import Provider
from textual.screen import ModalScreen, Screen
from textual.widgets import Input

from console import text
from console.action import Action, Level
from console.actions import find_action
from console.acts import Acts
from console.command_line import parse_command
from console.core_link import CoreLink
from console.desk import CommandInput, DeskScreen
from console.early_keys import EarlyKeysApp
from console.feed import HEALTH_PERIOD_S
from console.glyphs import is_ascii_only
from console.keymap import build_keymap
from console.leaving import ConsoleResult, Leaving
from console.messages import OutputResumed, TerminalLost
from console.mirror import Mirror
from console.navigator import Navigator
from console.options import ConsoleOptions
from console.palette import ActionProvider
from console.redraw import TICK_S, Redraw
from console.remembered import first_theme
from console.screens.base import Stage
from console.screens.help import HelpView
from console.screens.overview import OverviewView
from console.screens.raw import RawView
from console.screens.session import SessionDetailView
from console.terminal import HermesDriver, write_copy
from console.theme import ANSI, THEMES, choose_theme
from console.views import build_views
from console.widgets.event_log import EventLog
from console.widgets.table import VirtualTable
from console.widgets.transcript import TranscriptView
from core.api.base import Command, Query, R, V
from core.api.port import Hermes

T = TypeVar("T")
_TWICE_S = 2.0
_LINES = frozenset({"app.command", "view.filter"})


def run(open_hermes: Callable[[], Hermes], options: ConsoleOptions) -> ConsoleResult:
    """Show the console until the operator leaves.

    open_hermes may block and may raise HermesError: it is called on a thread, after the first frame.
    """
    sys.setswitchinterval(0.001)
    app = ConsoleApp(open_hermes, options)
    result = app.run()
    # Without a result the terminal went away or Textual itself failed: the core must not suffer for it.
    return result or ConsoleResult(app.return_code or 0, keep_core=options.on_hangup == "keep")


class ConsoleApp(EarlyKeysApp[ConsoleResult], inherit_bindings=False):
    """Keys become actions, records become redraws, commands become receipts.

    now: local monotonic seconds; tests give their own.
    """

    ENABLE_COMMAND_PALETTE = True
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {ActionProvider}
    TITLE = "hermes-console"

    def __init__(
        self,
        open_hermes: Callable[[], Hermes],
        options: ConsoleOptions,
        *,
        now: Callable[[], float] = time.perf_counter,
        environ: Mapping[str, str] | None = None,
        health_period_s: float = HEALTH_PERIOD_S,
    ) -> None:
        found = os.environ if environ is None else environ
        name = first_theme(options.theme, found)
        self.use_ascii = is_ascii_only(found)
        self._in_tmux = bool(found.get("TMUX"))
        super().__init__(driver_class=HermesDriver, ansi_color=name == ANSI)
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = name
        self.options = options
        self.now = now
        self.mirror = Mirror()
        self.keymap = build_keymap(options.keys)
        self.desk = DeskScreen()
        self.stage = Stage(
            mirror=self.mirror,
            now=now,
            table=self.desk.table,
            fields=self.desk.fields,
            page=self.desk.page,
            detail=self.desk.detail,
            log=self.desk.event_log,
            transcript=self.desk.transcript,
            go=self.go,
            lay_out=self.desk.lay_out,
            home=str(options.home),
            use_ascii=self.use_ascii,
        )
        self.views = build_views(self.stage, self.keymap)
        self.navigator = Navigator(self.desk, self.stage, self.views)
        self.acts = Acts(self)
        self.leaving = Leaving(self)
        self.link = CoreLink(self, self.stage, open_hermes, health_period_s=health_period_s)
        self.redraw = Redraw(self, self, now)
        self._asked_twice_at = float("-inf")
        self._filter_before = ""

    @property
    def _overview(self) -> OverviewView:
        view = self.views["overview"]
        assert isinstance(view, OverviewView)
        return view

    def get_default_screen(self) -> Screen[Any]:
        """The one screen."""
        return self.desk

    # -- start ---------------------------------------------------------------

    def on_ready(self) -> None:
        """The first frame is there: now the keys that came meanwhile, then the core, whose loading slows all else."""
        self.navigator.start()
        self.redraw.show_lines()
        for problem in self.keymap.problems[:1]:
            self.say(problem, "needs")
        self.set_interval(TICK_S, self.redraw.flush_if_due)
        self.call_after_refresh(self.link.open)

    def link_changed(self) -> None:
        """The core was opened, lost, found again, or did not start."""
        self.redraw.show_notice()
        self.redraw.show_lines()

    def say(self, words: str, tone: str = "plain") -> None:
        """Show a line of result for a while."""
        self.redraw.say(words, tone)

    def tell(self, command: Command[Any]) -> None:
        """Send a command in the background, unless nothing may be changed here."""
        if not self.options.read_only:
            self.link.tell(command)

    def on_resize(self, event: events.Resize) -> None:
        """Another size."""
        self.stage.width, self.stage.height = event.size
        self.redraw.show_notice()
        self.navigator.view.resized()

    # -- keys and actions ----------------------------------------------------

    def takes_early(self, key: str) -> bool:
        """Open the command line, if that is what a key does here."""
        is_free = self.screen is self.desk and not self.desk.is_asking and not isinstance(self.focused, Input)
        action = self.keymap.find(key, self.navigator.place) if is_free and self.link.failure is None else None
        if action is None or action.id not in _LINES:
            return False
        self.redraw.note_key()
        self.do_action(action.id)
        return True

    def is_in_line(self) -> bool:
        """Whether the command line gets the keys."""
        return self.desk.is_asking and self.focused is self.desk.command

    def wants_key(self, key: str) -> bool:
        """Whether a key is an action here. Asked for every key that no widget took."""
        self.redraw.note_key()
        if key == "ctrl+c" or (self.link.failure is not None and key == "r"):
            return True
        action = self.keymap.find(key, self.navigator.place)
        return action is not None and action.id not in {"nav.open", "nav.pane"}

    def on_desk_screen_key_pressed(self, message: DeskScreen.KeyPressed) -> None:
        """Do what the key means here."""
        if message.key == "ctrl+c":
            self._interrupted()
        elif self.link.failure is not None and message.key == "r":
            self.link.open()
        elif (action := self.keymap.find(message.key, self.navigator.place)) is not None:
            self.do_action(action.id)

    def _interrupted(self) -> None:
        now = self.now()
        if now - self._asked_twice_at < _TWICE_S:
            self.do_action("app.detach")
        else:
            self._asked_twice_at = now
            self.say("ctrl+c once more leaves the console")

    def why_not(self, action: Action) -> str:
        """Why an action does nothing now; "" when it works."""
        if not self.acts.carries_out(action):
            return self.acts.why_not(action, self.navigator.view.target())
        if self.options.read_only and action.level > Level.VIEW:
            return "read-only session"
        if not self.link.is_up:
            return "no connection to the core"
        return self.acts.why_not(action, self.navigator.view.target())

    def do_action(self, action_id: str) -> None:
        """Carry an action out on what is under the cursor now."""
        action = find_action(action_id)
        if action is None or len(self.screen_stack) > 1:
            return
        if reason := self.why_not(action):
            self.say(f"{action.title} is off: {reason}", "needs")
            return
        view = self.navigator.view
        if self.acts.carries_out(action):
            self.run_worker(self.acts.run(action, view.target()), group="acts")
        elif not view.act(action_id):
            self._do_here(action_id)
        self.redraw.show_lines()

    def _do_here(self, action_id: str) -> None:
        noun, _, name = action_id.partition(".")
        if noun == "view" and name in self.views:
            self.go(name, "")
            return
        deeds: dict[str, Callable[[], Any]] = {
            "nav.open": self.desk.table.action_open,
            "nav.back": self.navigator.back,
            "nav.last": self.navigator.last,
            "app.command": lambda: self.desk.open_command(":"),
            "app.palette": self.action_command_palette,
            "app.help": self._help,
            "app.vitals": lambda: self.go("vitals", ""),
            "app.redraw": lambda: self.refresh(repaint=True, layout=True),
            "app.detach": lambda: self.run_worker(self.leaving.ask(), group="acts"),
            "view.filter": self._open_filter,
            "view.pause": self.redraw.toggle_pause,
            "obj.raw": self._raw,
            "obj.copy": self._copy,
        }
        if action_id in deeds:
            deeds[action_id]()

    def go(self, place: str, argument: str) -> None:
        """To a view."""
        self.redraw.paused = None
        self.navigator.go(place, argument)
        self.redraw.show_lines()

    def show_session(self, session_id: str) -> None:
        """To a session."""
        self.go("session", session_id)

    def _help(self) -> None:
        view = self.views["help"]
        if isinstance(view, HelpView) and self.navigator.place != "help":
            view.why_not = self.why_not
            view.note(self.navigator.place)
        self.go("help", "")

    def _raw(self) -> None:
        view = self.views["raw"]
        if isinstance(view, RawView) and self.navigator.place != "raw":
            view.word = self.navigator.view.raw()
        self.go("raw", "")

    def _copy(self) -> None:
        words = self.navigator.view.target().best_id
        if words:
            write_copy(self, words, in_tmux=self._in_tmux)
            self.say(f"given to the terminal's clipboard: {text.clean(words)}")
        else:
            self.say("nothing to copy is under the cursor", "needs")

    # -- the command line ----------------------------------------------------

    def _open_filter(self) -> None:
        self._filter_before = self.navigator.view.filter_text
        self.desk.open_command("/", self._filter_before)

    def on_input_changed(self, message: CommandInput.Changed) -> None:
        """A filter works while it is typed."""
        if message.input is self.desk.command and self.desk.is_asking and self.desk.command_kind == "/":
            self.navigator.view.set_filter(message.value)
            self.redraw.show_crumb()

    async def on_input_submitted(self, message: CommandInput.Submitted) -> None:
        """Carry the command out; the filter stays as it is."""
        if message.input is self.desk.command:
            self.desk.close_command()
            if self.desk.command_kind == ":":
                self._obey(message.value)
            await self.line_ended()

    async def on_desk_screen_command_closed(self, _message: DeskScreen.CommandClosed) -> None:
        """Nothing is taken over."""
        if self.desk.command_kind == "/":
            self.navigator.view.set_filter(self._filter_before)
        self.desk.close_command()
        self.redraw.show_crumb()
        await self.line_ended()

    def _obey(self, line: str) -> None:
        order = parse_command(line, self.mirror.sessions, self.navigator.place)
        if order.verb == "go":
            self.go(order.words, order.argument)
        elif order.verb == "action":
            self.do_action(order.words)
        elif order.verb == "theme":
            self.theme = choose_theme(order.words, {})
            self.ansi_color = self.theme == ANSI
        elif order.verb == "retry":
            self.link.retry()
        elif order.words:
            self.say(order.words, "needs")

    def on_virtual_table_opened(self, message: VirtualTable.Opened) -> None:
        """Deeper into a row."""
        self.navigator.view.opened(message.row_id)

    def on_virtual_table_moved(self, message: VirtualTable.Moved) -> None:
        """The cursor is elsewhere."""
        self.navigator.view.moved(message.row_id)
        self.redraw.show_crumb()

    def on_virtual_table_header_clicked(self, message: VirtualTable.HeaderClicked) -> None:
        """Sort by a column."""
        self.navigator.view.clicked_header(message.key)
        self.redraw.show_crumb()

    def on_event_log_opened(self, message: EventLog.Opened) -> None:
        """To what a line is about."""
        self.navigator.view.opened_line(message.subject)

    def on_transcript_view_top_reached(self, _message: TranscriptView.TopReached) -> None:
        """Earlier entries are wanted."""
        if isinstance(self.navigator.view, SessionDetailView):
            self.navigator.view.ask_earlier()

    # -- the core ------------------------------------------------------------

    async def ask(self, screen: ModalScreen[T]) -> T | None:
        """Show a dialog and wait for its answer."""
        return await self.push_screen_wait(screen)

    async def order(self, command: Command[R], words: Callable[[R], tuple[str, str]]) -> R | None:
        """Send a command; what the core says is shown."""
        return await self.link.order(command, words)

    async def question(self, query: Query[V]) -> V | None:
        """Ask and wait; None after an error, which is shown."""
        return await self.link.question(query)

    # -- terminal ------------------------------------------------------------

    def on_app_blur(self, _event: events.AppBlur) -> None:
        """Nobody looks: redraw seldom, and remember where the operator stopped reading."""
        self.redraw.is_blurred = True
        self._overview.left()

    def on_app_focus(self, _event: events.AppFocus) -> None:
        """Somebody looks again."""
        self.redraw.is_blurred = False
        self._overview.came_back()
        self.redraw.flush()

    def on_output_resumed(self, message: OutputResumed) -> None:
        """The terminal reads again."""
        self.say(f"the terminal was slow: {message.dropped_count} frames were left out", "needs")

    def end(self, result: ConsoleResult) -> None:
        """End the console."""
        self.exit(result)

    def on_thread(self, work: Callable[[], Any]) -> None:
        """Run a call on a thread."""
        self.run_worker(work, thread=True, group="threads", exit_on_error=False)

    def on_loop(self, work: Coroutine[Any, Any, None], group: str) -> None:
        """Run a coroutine beside the rest."""
        self.run_worker(work, group=group)

    def from_thread(self, call: Callable[[], None]) -> None:
        """Run a call on the screen's loop, from a thread."""
        self.call_from_thread(call)

    @property
    def failure(self) -> Exception | None:
        """Why the core did not start."""
        return self.link.failure

    def on_terminal_lost(self, _message: TerminalLost) -> None:
        """There is nothing to draw to: the view ends, the core only when told so."""
        self.leaving.leave(stop=self.options.on_hangup == "stop")
