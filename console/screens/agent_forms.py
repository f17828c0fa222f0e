"""Dialogs about agents: their settings as lines, a limit, and which runners are let go."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from textual.widget import Widget
from textual.widgets import Input

from console.profile_text import changes_of, lines_of, read_settings
from console.screens.reasons import ReasonDialog
from console.screens.settings_form import SettingsForm
from console.text import clean, counted
from console.widgets.controls import Choice, Lines
from console.widgets.dialog import Dialog


@dataclass(frozen=True, slots=True)
class SettingsChoice:
    """A name, and the keys that were given another value."""

    name: str
    settings: dict[str, Any]


class SettingsScreen(SettingsForm[SettingsChoice | None]):
    """All settings of an agent."""

    DEFAULT_CSS = "SettingsScreen Editor { max-height: 12; }"
    NAME_HINT = "such as coder"

    def __init__(self, name: str, settings: Mapping[str, Any], *, notes: Sequence[str] = ()) -> None:
        super().__init__(f"settings of {clean(name)}" if name else "new agent", name, lines_of(settings))
        self._before = dict(settings)
        self._notes = tuple(notes)

    def notes(self) -> Iterable[Widget]:
        """What is to be known before."""
        if self._notes:
            yield Lines([(note, "quiet") for note in self._notes])

    def changed_words(self) -> str:
        """Which keys have another value."""
        changed = changes_of(self._before, read_settings(self._editor.text))
        return (
            f"{counted(len(changed), 'key')} changed: {', '.join(map(clean, changed))}" if changed else "all as before"
        )

    def chosen(self, name: str) -> SettingsChoice:
        """A new agent is made of all that is written, an old one of what is another."""
        found = read_settings(self._editor.text)
        given = changes_of(self._before, found) if self._name else {k: v for k, v in found.items() if v is not None}
        return SettingsChoice(name, given)


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


class ResetRunnersScreen(ReasonDialog[ResetRunnersChoice | None]):
    """Which way runners are let go. The marked button is Cancel."""

    AUTO_FOCUS: ClassVar[str | None] = "#how"

    def __init__(self, whose: str, what_happens: Sequence[str]) -> None:
        super().__init__(f"let runners of {clean(whose)} go?", ("cancel", "let go"))
        self._what_happens = tuple(what_happens)
        self._how = Choice(
            ("soft: busy ones go after their turn", "hard: runs are told to stop first"), is_vertical=True, id="how"
        )

    def parts(self) -> Iterable[Widget]:
        """What happens, how, why."""
        yield Lines([(words, "plain") for words in self._what_happens])
        yield self._how
        yield from self.last_parts()

    def keys(self) -> str:
        """Which keys do what."""
        return "up down choose   tab next   enter press: let go or cancel   esc cancel"

    def chosen(self, reason: str) -> ResetRunnersChoice:
        """Which way, and why."""
        return ResetRunnersChoice(self._how.index == 1, reason)
