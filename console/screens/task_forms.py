"""Dialogs about tasks: a new one, and a word to one that is there."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.widget import Widget
from textual.widgets import Input

from console.text import clean
from console.widgets.controls import Choice, Lines
from console.widgets.dialog import Dialog
from core.api.sessions import Mode


@dataclass(frozen=True, slots=True)
class NewTask:
    """Work for an agent."""

    agent: str
    text: str
    label: str


class NewTaskScreen(Dialog[NewTask | None]):
    """Which agent, what to do, under which label."""

    AUTO_FOCUS: ClassVar[str | None] = "#task"

    def __init__(self, agents: Sequence[str], default: str) -> None:
        super().__init__()
        self.title_text = "new task"
        self._agents = tuple(agents)
        self._choice = Choice([clean(name) for name in self._agents], id="agent")
        self._default = self._agents.index(default) if default in self._agents else 0
        self._problem = Lines(id="problem")

    def parts(self) -> Iterable[Widget]:
        """Agent, work, label."""
        yield self.row("agent", self._choice)
        yield self.row("task", self.entry("task", "what is to be done; in a conversation of its own"))
        yield self.row("label", self.entry("label", "a word to find it by, or nothing"))
        yield self._problem

    def on_mount(self) -> None:
        """The default agent is chosen."""
        self._choice.choose(self._default)

    def keys(self) -> str:
        """Which keys do what."""
        return "enter start   tab next   esc close"

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Start it, or go to what is missing."""
        message.stop()
        words = self.query_one("#task", Input)
        if not words.value.strip():
            self._problem.set_lines([("it needs something to do", "needs")])
            words.focus()
            return
        label = self.query_one("#label", Input).value.strip()
        self.dismiss(NewTask(self._agents[self._choice.index], words.value.strip(), label))


@dataclass(frozen=True, slots=True)
class Word:
    """What is said to a run, and how it is taken."""

    text: str
    mode: Mode


class WordScreen(Dialog[Word | None]):
    """A message to a run. How it is taken matters while the run goes on."""

    AUTO_FOCUS: ClassVar[str | None] = "#words"
    MODES: ClassVar[tuple[tuple[Mode, str], ...]] = (
        (Mode.FOLLOWUP, "followup: after the turn that goes on"),
        (Mode.STEER, "steer: into the turn that goes on, else after it"),
        (Mode.INTERRUPT, "interrupt: the turn is told to stop first"),
    )

    def __init__(self, whose: str, now: str) -> None:
        super().__init__()
        self.title_text = f"say to {clean(whose)}"
        self._now = now
        self._mode = Choice([words for _, words in self.MODES], is_vertical=True, id="mode")
        self._problem = Lines(id="problem")

    def parts(self) -> Iterable[Widget]:
        """How it stands, the words, the way."""
        yield Lines([(f"now: {self._now}", "plain")])
        yield self.row("words", self.entry("words", "to the agent, as an operator's note"))
        yield self._mode
        yield self._problem

    def keys(self) -> str:
        """Which keys do what."""
        return "enter send   tab next   up down choose   esc close"

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Send it."""
        message.stop()
        words = message.value.strip()
        if words:
            self.dismiss(Word(words, self.MODES[self._mode.index][0]))
        else:
            self._problem.set_lines([("nothing is said yet", "needs")])
