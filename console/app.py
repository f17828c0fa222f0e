"""The console application: opens the core behind the first frame, feeds the mirror, shows one view at a time."""

import gc
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

from textual import events
from textual.app import App
from textual.command import Provider
from textual.screen import ModalScreen, Screen

from console import text
from console.actions import Action, Level, actions_for, find_action
from console.acts import Acts
from console.command_line import parse_command
from console.desk import LEAST_COLUMNS, LEAST_ROWS, CommandInput, DeskScreen
from console.feed import HEALTH_PERIOD_S, Feed, LineState
from console.glyphs import is_ascii_only
from console.header import head_parts, live_part
from console.hints import hints_for
from console.keymap import build_keymap
from console.leaving import ConsoleResult, Leaving
from console.messages import OutputResumed, TerminalLost
from console.mirror import Changes, Mirror
from console.navigator import Navigator
from console.notices import failure_fields, size_fields
from console.options import ConsoleOptions
from console.orders import Orders
from console.palette import ActionProvider
from console.screens.base import Stage
from console.screens.help import HelpView
from console.screens.overview import OverviewView
from console.screens.raw import RawView
from console.screens.session import SessionDetailView
from console.screens.sessions import SessionsView
from console.terminal import HermesDriver, copy_sequence, vitals_of
from console.theme import ANSI, THEMES, choose_theme
from console.views import build_views
from console.widgets.event_log import EventLog
from console.widgets.status_bar import Hint
from console.widgets.table import VirtualTable
from console.widgets.transcript import TranscriptView
from core.api.base import Command, Query, R
from core.api.errors import HermesError
from core.api.port import Hermes

T = TypeVar("T")
_TICK_S, _CALM_S, _BLURRED_S = 0.1, 0.25, 1.0
_ACTIVE_S = 5.0
_SAVE_PERIOD_S = 30
_SAY_S = 15.0
_TWICE_S = 2.0


def run(open_hermes: Callable[[], Hermes], options: ConsoleOptions) -> ConsoleResult:
    """Show the console until the operator leaves.

    open_hermes may block and may raise HermesError: it is called on a thread, after the first frame.
    """
    sys.setswitchinterval(0.001)
    app = ConsoleApp(open_hermes, options)
    result = app.run()
    # Without a result the terminal went away or Textual itself failed: the core must not suffer for it.
    return result or ConsoleResult(app.return_code or 0, keep_core=options.on_hangup == "keep")


def wanted_theme(wanted: str, environ: Mapping[str, str]) -> str:
    """The theme to start with; `auto` looks at what the terminal says about its background."""
    if wanted == "auto":
        ground = environ.get("COLORFGBG", "").rpartition(";")[2]
        wanted = "light" if ground in {"7", "15"} else "dark"
    return choose_theme(wanted, environ)


class ConsoleApp(App[ConsoleResult], inherit_bindings=False):
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
        name = wanted_theme(options.theme, found)
        self.use_ascii = is_ascii_only(found)
        self._in_tmux = bool(found.get("TMUX"))
        super().__init__(driver_class=HermesDriver, ansi_color=name == ANSI)
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = name
        self.options = options
        self.now = now
        self._open_hermes = open_hermes
        self._health_period_s = health_period_s
        self._hermes: Hermes | None = None
        self.feed: Feed | None = None
        self.failure: Exception | None = None
        self.mirror = Mirror()
        self.keys = build_keymap(options.keys)
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
            ask=self._ask_core,
            lay_out=self.desk.lay_out,
            home=str(options.home),
            use_ascii=self.use_ascii,
        )
        self.views = build_views(self.stage, self.keys)
        self.navigator = Navigator(self.desk, self.stage, self.views)
        self.acts = Acts(self)
        self.orders = Orders(self.say)
        self.leaving = Leaving(self)
        self._flushed_at = self._second_at = self._keyed_at = self._said_at = self._asked_twice_at = float("-inf")
        self._seconds = 0
        self._is_blurred = False
        self._blurred_at = 0.0
        self._paused: int | None = None
        self._is_frozen = False
        self._filter_before = ""

    def get_default_screen(self) -> Screen[Any]:
        """The one screen."""
        return self.desk

    # -- start ---------------------------------------------------------------

    def on_ready(self) -> None:
        """The first frame is there: now the core."""
        self.navigator.start()
        self._show_lines()
        for problem in self.keys.problems[:1]:
            self.say(problem, "needs")
        self.set_interval(_TICK_S, self.flush_if_due)
        self.open_core()

    def open_core(self) -> None:
        """Open it on a thread; what goes wrong is shown and the console stays."""
        self.failure = None
        self.stage.has_failed = False
        self._show_notice()
        self.run_worker(self._open_on_thread, thread=True, group="open", exclusive=True, exit_on_error=False)

    def _open_on_thread(self) -> None:
        try:
            hermes = self._open_hermes()
        except Exception as error:  # noqa: BLE001 - whatever stops the core is shown, and the console stays open
            self.call_from_thread(self._not_opened, error)
        else:
            self.call_from_thread(self._opened, hermes)

    def _not_opened(self, error: Exception) -> None:
        self.failure = error
        self.stage.has_failed = True
        self._show_notice()
        self._show_lines()

    def _opened(self, hermes: Hermes) -> None:
        self._hermes = hermes
        self.feed = Feed(
            hermes, self.mirror, mono=self.now, on_line=self._line_changed, health_period_s=self._health_period_s
        )
        self.stage.feed = self.feed
        self.run_worker(self.feed.run(), group="feed", exclusive=True)

    def _line_changed(self) -> None:
        self._show_lines()
        if not self._is_frozen and self.feed and self.feed.line.state is LineState.LIVE and not self.is_headless:
            self._is_frozen = True
            # What is here now stays: the collector need not walk through it again and again.
            gc.collect()
            gc.freeze()
            gc.set_threshold(50_000, 50, 100)

    # -- redraw --------------------------------------------------------------

    def flush_if_due(self) -> None:
        """One redraw for all that came, seldom when nobody looks, none when nothing changed."""
        now = self.now()
        period_s = _CALM_S if now - self._keyed_at > _ACTIVE_S else _TICK_S
        if self._is_blurred:
            period_s = _BLURRED_S
        if now - self._flushed_at >= period_s - 0.01:
            self.flush()
        if now - self._second_at >= 1.0:
            self._second(now)

    def flush(self) -> None:
        """Give what changed to the view."""
        self._flushed_at = self.now()
        if not self.mirror.has_changes:
            return
        began = time.perf_counter()
        changes = self.mirror.take_changes()
        self.acts.follow_approvals(changes.approvals)
        if self._paused is not None:
            self._paused += len(changes.sessions) + changes.event_count
        else:
            self.navigator.view.refresh(changes)
        self._show_crumb()
        self.stage.vitals.frames.note(time.perf_counter() - began)

    def _second(self, now: float) -> None:
        self._second_at = now
        self._seconds += 1
        self.stage.rates.note(self.mirror.totals)
        terminal = vitals_of(self)
        self.stage.vitals.read_terminal(terminal.bytes_written, terminal.dropped_frames, now)
        if self._paused is None and self.failure is None:
            self.navigator.view.tick()
        if now - self._said_at > _SAY_S:
            self.desk.result.set_parts([])
        if self._seconds % _SAVE_PERIOD_S == 0:
            self.leaving.save_frame_later()
        self._show_lines()

    def _show_lines(self) -> None:
        left, right = head_parts(self.stage, read_only=self.options.read_only, is_demo=self.options.demo)
        self.desk.head.set_parts(left, right)
        self._show_crumb()

    def _show_crumb(self) -> None:
        view = self.navigator.view
        if self.failure is not None:
            self.desk.crumb.set_parts([])
            self.desk.hints.set_hints([Hint("r", "try again"), Hint("q", "leave")])
            return
        left, right = view.crumb()
        self.desk.crumb.set_parts(left, [*right, live_part(self.stage, paused=self._paused)])
        for bar, parts in zip(self.desk.extra, view.extra_lines(), strict=False):
            bar.set_parts(parts)
        self.desk.hints.set_hints(hints_for(view.place, self.keys, self.why_not))

    def _show_notice(self) -> None:
        width, height = self.size
        is_small = width < LEAST_COLUMNS or height < LEAST_ROWS
        if self.failure is not None:
            self.desk.notice.set_fields(failure_fields(self.failure))
        elif is_small:
            self.desk.notice.set_fields(size_fields(self.mirror, width, height, (LEAST_COLUMNS, LEAST_ROWS)))
        is_noticing = self.failure is not None or is_small
        if is_noticing != self.desk.is_noticing:
            self.desk.is_noticing = is_noticing
            self.desk.lay_out()

    def say(self, words: str, tone: str = "plain") -> None:
        """Show a line of result for a while."""
        self._said_at = self.now()
        self.desk.result.set_parts([(words, tone)])

    def on_resize(self, event: events.Resize) -> None:
        """Another size."""
        self.stage.width, self.stage.height = event.size
        self._show_notice()
        self.navigator.view.resized()

    # -- keys and actions ----------------------------------------------------

    def wants_key(self, key: str) -> bool:
        """Whether a key is an action here. Asked for every key that no widget took."""
        self._keyed_at = self.now()
        began = time.perf_counter()
        self.call_after_refresh(lambda: self.stage.vitals.keys.note(time.perf_counter() - began))
        if key == "ctrl+c" or (self.failure is not None and key == "r"):
            return True
        action = self.keys.find(key, self.navigator.place)
        return action is not None and action.id not in {"nav.open", "nav.pane"}

    def on_desk_screen_key_pressed(self, message: DeskScreen.KeyPressed) -> None:
        """Do what the key means here."""
        if message.key == "ctrl+c":
            self._interrupted()
        elif self.failure is not None and message.key == "r":
            self.open_core()
        elif (action := self.keys.find(message.key, self.navigator.place)) is not None:
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
        if action.command is None:
            return ""
        if self.options.read_only and action.level > Level.VIEW:
            return "read-only session"
        if self._hermes is None or self.feed is None or self.feed.line.state is LineState.RECONNECTING:
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
        if action.command is not None:
            self.run_worker(self.acts.run(action, view.target()), group="acts")
        elif not view.act(action_id):
            self._do_here(action_id)
        self._show_lines()

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
            "view.pause": self._pause,
            "obj.raw": self._raw,
            "obj.copy": self._copy,
        }
        if action_id in deeds:
            deeds[action_id]()

    def go(self, place: str, argument: str) -> None:
        """To a view."""
        self._paused = None
        self.navigator.go(place, argument)
        self._show_lines()

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
        if not words:
            self.say("nothing to copy is under the cursor", "needs")
            return
        sequence = copy_sequence(words, self._in_tmux)
        if self._driver is not None:
            self._driver.write(sequence.data)
        self.say(f"given to the terminal's clipboard: {text.clean(words)}")

    def _pause(self) -> None:
        if self._paused is None:
            self._paused = 0
            return
        self._paused = None
        changes = Changes()
        changes.is_whole = True
        self.navigator.view.refresh(changes)

    # -- the command line ----------------------------------------------------

    def _open_filter(self) -> None:
        self._filter_before = self.navigator.view.filter_text
        self.desk.open_command("/", self._filter_before)

    def on_input_changed(self, message: CommandInput.Changed) -> None:
        """A filter works while it is typed."""
        if message.input is self.desk.command and self.desk.is_asking and self.desk.command_kind == "/":
            self.navigator.view.set_filter(message.value)
            self._show_crumb()

    def on_input_submitted(self, message: CommandInput.Submitted) -> None:
        """Carry the command out; the filter stays as it is."""
        if message.input is not self.desk.command:
            return
        kind = self.desk.command_kind
        self.desk.close_command()
        if kind == ":":
            self._obey(message.value)

    def on_desk_screen_command_closed(self, message: DeskScreen.CommandClosed) -> None:
        """Nothing is taken over."""
        del message
        if self.desk.command_kind == "/":
            self.navigator.view.set_filter(self._filter_before)
        self.desk.close_command()
        self._show_crumb()

    def _obey(self, line: str) -> None:
        order = parse_command(line, self.mirror.sessions)
        if order.verb == "go":
            self.go(order.words, order.argument)
        elif order.verb == "action":
            self.do_action(order.words)
        elif order.verb == "theme":
            self.theme = choose_theme(order.words, {})
            self.ansi_color = self.theme == ANSI
        elif order.verb == "retry":
            self._retry()
        elif order.words:
            self.say(order.words, "needs")

    def _retry(self) -> None:
        if self.feed is None:
            self.open_core()
        else:
            self.feed.retry_now()

    # -- messages of widgets -------------------------------------------------

    def on_virtual_table_opened(self, message: VirtualTable.Opened) -> None:
        """Deeper into a row."""
        self.navigator.view.opened(message.row_id)

    def on_virtual_table_moved(self, message: VirtualTable.Moved) -> None:
        """The cursor is elsewhere."""
        self.navigator.view.moved(message.row_id)
        self._show_crumb()

    def on_virtual_table_header_clicked(self, message: VirtualTable.HeaderClicked) -> None:
        """Sort by a column."""
        view = self.navigator.view
        if isinstance(view, SessionsView):
            view.clicked_header(message.key)
            self._show_crumb()

    def on_event_log_opened(self, message: EventLog.Opened) -> None:
        """To what a line is about."""
        self.navigator.view.opened_line(message.subject)

    def on_transcript_view_top_reached(self, message: TranscriptView.TopReached) -> None:
        """Earlier entries are wanted."""
        del message
        if isinstance(self.navigator.view, SessionDetailView):
            self.navigator.view.ask_earlier()

    # -- the core ------------------------------------------------------------

    async def ask(self, screen: ModalScreen[T]) -> T | None:
        """Show a dialog and wait for its answer."""
        return await self.push_screen_wait(screen)

    async def order(self, command: Command[R], words: Callable[[R], tuple[str, str]]) -> R | None:
        """Send a command; what the core says is shown."""
        return await self.orders.order(self._hermes, command, words)

    def _ask_core(self, query: Query[Any], then: Callable[[Any], None]) -> None:
        async def answer() -> None:
            if self._hermes is None:
                return
            try:
                then(await self._hermes.query(query))
            except HermesError as error:
                self.say(f"{error.code}: {text.clean(error.message)}", "failing")

        self.run_worker(answer(), group="questions")

    # -- palette -------------------------------------------------------------

    def palette_actions(self) -> list[tuple[Action, str, str]]:
        """What can be done here, with keys and reasons."""
        here = actions_for(self.navigator.place)
        return [(action, self.keys.sign_of(action.id), self.why_not(action)) for action in here]

    def palette_sessions(self, words: str, limit: int) -> list[str]:
        """Sessions whose id holds the words."""
        low = words.lower()
        found = (key for key in self.mirror.sessions if low in key.lower())
        return [key for key, _ in zip(found, range(limit), strict=False)]

    # -- terminal ------------------------------------------------------------

    def on_app_blur(self, event: events.AppBlur) -> None:
        """Nobody looks: redraw seldom, and remember where the operator stopped reading."""
        del event
        self._is_blurred = True
        self._blurred_at = self.now()
        overview = self.views["overview"]
        if isinstance(overview, OverviewView):
            overview.away_seq = int(self.mirror.seq)

    def on_app_focus(self, event: events.AppFocus) -> None:
        """Somebody looks again."""
        del event
        self._is_blurred = False
        overview = self.views["overview"]
        if isinstance(overview, OverviewView) and overview.away_seq is not None:
            overview.away_s = self.now() - self._blurred_at
        self.flush()

    def on_output_resumed(self, message: OutputResumed) -> None:
        """The terminal reads again."""
        self.say(f"the terminal was slow: {message.dropped_count} frames were left out", "needs")

    def end(self, result: ConsoleResult) -> None:
        """End the console."""
        self.exit(result)

    def on_thread(self, work: Callable[[], Any]) -> None:
        """Run a call on a thread."""
        self.run_worker(work, thread=True, group="disk", exit_on_error=False)

    def on_terminal_lost(self, message: TerminalLost) -> None:
        """There is nothing to draw to: the view ends, the core only when told so."""
        del message
        self.leaving.leave(stop=self.options.on_hangup == "stop")
