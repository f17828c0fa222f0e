"""Dialogs that ask for more than yes or no: a new chat, and what a reset does with the queue."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.widget import Widget
from textual.widgets import Input

from console.screens.reasons import ReasonDialog
from console.text import counted
from console.widgets.controls import Choice, Lines
from console.widgets.dialog import Dialog


@dataclass(frozen=True, slots=True)
class NewChat:
    """A conversation to begin."""

    platform: str
    chat: str
    text: str


class NewChatScreen(Dialog[NewChat | None]):
    """A name and a first message, on a platform that lets the console begin a chat."""

    AUTO_FOCUS: ClassVar[str | None] = "#chat"

    def __init__(self, platforms: Sequence[str]) -> None:
        super().__init__()
        self.title_text = "new chat"
        self._platforms = tuple(platforms)
        self._choice = Choice(self._platforms, id="platform")
        self._problem = Lines(id="problem")

    def parts(self) -> Iterable[Widget]:
        """Platform, name, message."""
        if len(self._platforms) != 1:
            yield self.row("platform", self._choice)
        else:
            yield Lines([(f"on {self._platforms[0]}, the console's own chat", "plain")])
        yield Lines([("", "plain")])
        yield self.row("chat", self.entry("chat", "a name of your choice; one that is there goes on"))
        yield self.row("message", self.entry("message", "what the agent is told first"))
        yield self._problem

    def keys(self) -> str:
        """Which keys do what."""
        return "enter send   tab next   esc close"

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Send, or go to what is missing."""
        message.stop()
        values = {name: self.query_one(f"#{name}", Input).value.strip() for name in ("chat", "message")}
        missing = next((name for name, value in values.items() if not value), "")
        if not missing:
            self.dismiss(NewChat(self._platforms[self._choice.index], values["chat"], values["message"]))
            return
        field = self.query_one(f"#{missing}", Input)
        if field.has_focus:
            self._problem.set_lines([(f"{missing} is empty", "needs")])
        field.focus()


@dataclass(frozen=True, slots=True)
class ResetChoice:
    """What a reset does with the queue, and why it is done."""

    drop_queue: bool
    reason: str


class ResetScreen(ReasonDialog[ResetChoice | None]):
    """Says what is lost, and asks what becomes of queued messages. The marked button is Cancel."""

    AUTO_FOCUS: ClassVar[str | None] = "#buttons"

    def __init__(self, title: str, what_happens: Sequence[str], *, loses: Sequence[str], queued: int) -> None:
        super().__init__(title, ("cancel", "reset"))
        self._what_happens = tuple(what_happens)
        self._loses = tuple(loses)
        self._queued = queued
        self._choice = Choice(
            (f"keep {counted(queued, 'queued message')}", "drop them: the agent never sees them"), id="queue"
        )

    def parts(self) -> Iterable[Widget]:
        """What happens, what is lost, the queue, a reason, the buttons."""
        yield Lines([(words, "plain") for words in self._what_happens])
        yield Lines([("", "plain"), ("lost by this:", "quiet"), *((f"- {words}", "needs") for words in self._loses)])
        yield Lines([("", "plain")])
        if self._queued:
            yield self._choice
        yield from self.last_parts()

    def keys(self) -> str:
        """Which keys do what."""
        return "tab next   left right choose   enter press: reset or cancel   esc cancel"

    def chosen(self, reason: str) -> ResetChoice:
        """What becomes of the queue, and why."""
        return ResetChoice(bool(self._queued) and self._choice.index == 1, reason)
