"""Dialogs about agents: their settings as lines, a limit, and which runners are let go."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Input, TextArea

from console.profile_text import changes_of, lines_of, read_settings
from console.text import clean, counted
from console.widgets.composer import Editor
from console.widgets.controls import Buttons, Choice, Lines
from console.widgets.dialog import Dialog
from console.widgets.surface import app_of
from core.api.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class SettingsChoice:
    """A name, and the keys that were given another value."""

    name: str
    settings: dict[str, Any]


class SettingsScreen(Dialog[SettingsChoice | None]):
    """All settings as lines of `key: value`. Without a name it asks for one: the agent is new."""

    AUTO_FOCUS: ClassVar[str | None] = "Input, Editor"
    DEFAULT_CSS = (
        "SettingsScreen Editor { height: auto; min-height: 3; max-height: 12; border: none; background: $background; }"
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "save", show=False, id="dialog.submit", priority=True)
    ]

    def __init__(self, name: str, settings: Mapping[str, Any], *, notes: Sequence[str] = ()) -> None:
        super().__init__()
        self._name = name
        self._before = dict(settings)
        self._notes = tuple(notes)
        self.title_text = f"settings of {clean(name)}" if name else "new agent"
        self._editor = Editor("\n".join(lines_of(settings)), soft_wrap=True, compact=True, highlight_cursor_line=False)
        self._outlook = Lines(id="outlook")

    def parts(self) -> Iterable[Widget]:
        """The name of a new one, the settings, what is wrong with them or changed."""
        if not self._name:
            yield self.row("name", self.entry("name", "such as coder"))
        if self._notes:
            yield Lines([(note, "quiet") for note in self._notes])
        yield self._editor
        yield self._outlook

    def keys(self) -> str:
        """Which keys do what."""
        return "ctrl+s or enter save   ctrl+j new line   tab next   esc close"

    def on_mount(self) -> None:
        """Say what is so."""
        self._show("")

    def _show(self, problem: str) -> None:
        changed: dict[str, Any] = {}
        try:
            changed = changes_of(self._before, read_settings(self._editor.text))
        except InvalidInput as error:
            problem = problem or f"{error.message}; {error.facts.get('fix', '')}".rstrip("; ")
        words = (
            f"{counted(len(changed), 'key')} changed: {', '.join(map(clean, changed))}" if changed else "all as before"
        )
        self._outlook.set_lines([("", "plain"), (problem, "failing") if problem else (words, "quiet")])

    def on_text_area_changed(self, message: TextArea.Changed) -> None:
        """Other settings."""
        message.stop()
        self._show("")

    def on_editor_asked(self, message: Editor.Asked) -> None:
        """Enter saves; the borders of the text lead to the parts beside it."""
        message.follow(self, self.action_save)

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Enter after the name goes to the settings."""
        message.stop()
        self._editor.focus()

    def action_save(self) -> None:
        """Save, or say what is wrong."""
        name = self._name or self.query_one("#name", Input).value.strip()
        try:
            found = read_settings(self._editor.text)
        except InvalidInput:
            app_of(self).bell()
            return
        if not name:
            app_of(self).bell()
            self._show("it needs a name")
            return
        # A new agent is made of all that is written, an old one of what is another.
        given = changes_of(self._before, found) if self._name else {k: v for k, v in found.items() if v is not None}
        self.dismiss(SettingsChoice(name, given))


class LimitScreen(Dialog[int | None]):
    """How many runs of an agent may go on at a time."""

    AUTO_FOCUS: ClassVar[str | None] = "#limit"

    def __init__(self, name: str, now: str, limit: int) -> None:
        super().__init__()
        self.title_text = f"limit runs of {clean(name)}"
        self._now = now
        self._limit = limit
        self._problem = Lines(id="problem")

    def parts(self) -> Iterable[Widget]:
        """How it stands, the number."""
        yield Lines([(f"now: {self._now}", "plain"), ("what runs goes on; 0 is what the profile says", "quiet")])
        yield self.row("limit", self.entry("limit", str(self._limit)))
        yield self._problem

    def keys(self) -> str:
        """Which keys do what."""
        return "enter set   esc close"

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Set it, when it is a number."""
        message.stop()
        words = message.value.strip()
        if words.isdecimal():
            self.dismiss(int(words))
        else:
            self._problem.set_lines([(f"{clean(words)!r} is no number", "failing")])


@dataclass(frozen=True, slots=True)
class ResetRunnersChoice:
    """is_hard: runs are told to stop first."""

    is_hard: bool
    reason: str


class ResetRunnersScreen(Dialog[ResetRunnersChoice | None]):
    """Which way runners are let go. The marked button is Cancel."""

    AUTO_FOCUS: ClassVar[str | None] = "#how"

    def __init__(self, whose: str, what_happens: Sequence[str]) -> None:
        super().__init__()
        self.title_text = f"let runners of {clean(whose)} go?"
        self._what_happens = tuple(what_happens)
        self._how = Choice(
            ("soft: busy ones go after their turn", "hard: runs are told to stop first"), is_vertical=True, id="how"
        )
        self._buttons = Buttons(("cancel", "let go"), id="buttons")

    def parts(self) -> Iterable[Widget]:
        """What happens, how, why."""
        yield Lines([(words, "plain") for words in self._what_happens])
        yield self._how
        yield self.row("reason", self.entry("reason", "kept in the journal"))
        yield self._buttons

    def keys(self) -> str:
        """Which keys do what."""
        return "up down choose   tab next   enter press: let go or cancel   esc cancel"

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Enter in the reason goes to the buttons."""
        message.stop()
        self._buttons.focus()

    def on_buttons_pressed(self, message: Buttons.Pressed) -> None:
        """Let go or not."""
        if message.index != 1:
            self.dismiss(None)
            return
        reason = self.query_one("#reason", Input).value.strip()
        self.dismiss(ResetRunnersChoice(self._how.index == 1, reason))
