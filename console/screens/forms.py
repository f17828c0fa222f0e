"""Dialogs that ask for more than yes or no: a new chat, and what a reset does with the queue."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Label

from console.text import clean

_CSS = """
NewChatScreen, ResetScreen { align: center middle; background: $background 60%; }
NewChatScreen > Vertical, ResetScreen > Vertical {
    width: 76; max-width: 100%; height: auto; max-height: 100%;
    border: round $border; border-title-color: $accent; padding: 0 1; background: $panel;
}
NewChatScreen Input { height: 1; border: none; padding: 0; margin: 0 0 1 0; background: $background; }
NewChatScreen Input:focus { border: none; }
NewChatScreen Label, ResetScreen Label { width: 100%; height: auto; }
.quiet { color: $secondary; }
.needs { color: $warning; }
"""


def _line(words: str, kind: str = "") -> Label:
    # Content and not markup: the words may come from outside.
    return Label(Content(clean(words)), classes=kind)


@dataclass(frozen=True, slots=True)
class NewChat:
    """A conversation to begin."""

    platform: str
    chat: str
    text: str


class NewChatScreen(ModalScreen[NewChat | None]):
    """Chat name and first message, on the platform that lets us begin one."""

    CSS = _CSS
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "close", "close", show=False)]

    def __init__(self, platforms: Sequence[str], *, chat: str = "") -> None:
        super().__init__()
        self._platforms = list(platforms)
        self._chat = chat

    def compose(self) -> ComposeResult:
        """Three lines to fill in."""
        with Vertical() as box:
            box.border_title = "new chat"
            if len(self._platforms) > 1:
                yield _line("platform", "quiet")
                yield Input(self._platforms[0], id="platform", compact=True)
            else:
                yield _line(f"on {self._platforms[0]}, the console's own chat", "quiet")
            yield _line("chat  (a name of your choice; an existing one is continued)", "quiet")
            yield Input(self._chat, id="chat", compact=True)
            yield _line("message", "quiet")
            yield Input("", id="text", compact=True, placeholder="what the agent is told first")
            yield _line("", "needs")
            yield _line("enter send   tab next field   esc close", "quiet")

    def on_mount(self) -> None:
        """Begin where something is missing."""
        self.query_one("#text" if self._chat else "#chat", Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Send, or go to the field that is empty."""
        event.stop()
        values = {name: self.query_one(f"#{name}", Input).value.strip() for name in ("chat", "text")}
        platform = self._platforms[0]
        if len(self._platforms) > 1:
            platform = self.query_one("#platform", Input).value.strip()
        if platform not in self._platforms:
            self._say(f"platform is one of {', '.join(self._platforms)}")
            return
        missing = next((name for name, value in values.items() if not value), "")
        if missing:
            field = self.query_one(f"#{missing}", Input)
            if field.has_focus:
                self._say(f"{missing} is empty")
            field.focus()
            return
        self.dismiss(NewChat(platform, values["chat"], values["text"]))

    def _say(self, words: str) -> None:
        self.query_one(".needs", Label).update(Content(clean(words)))

    def action_close(self) -> None:
        """Nothing is sent."""
        self.dismiss(None)


@dataclass(frozen=True, slots=True)
class ResetChoice:
    """What a reset does with the queue."""

    drop_queue: bool


class ResetScreen(ModalScreen[ResetChoice | None]):
    """Says what is lost, and asks what becomes of queued messages. Letters stage, Enter does it."""

    CSS = _CSS
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "close", "close", show=False)]

    def __init__(self, title: str, lines: Sequence[str], *, loses: Sequence[str], queued: int) -> None:
        super().__init__()
        self._title, self._lines, self._loses, self._queued = title, list(lines), list(loses), queued
        self._drop: bool | None = None if queued else False

    def compose(self) -> ComposeResult:
        """What happens, what is lost, the choice."""
        with Vertical() as box:
            box.border_title = clean(self._title)
            for words in self._lines:
                yield _line(words)
            yield _line("")
            for words in self._loses:
                yield _line(f"lost: {words}", "needs")
            yield _line("")
            yield Label(id="choice")
            yield Label(id="keys", classes="quiet")

    def on_mount(self) -> None:
        """Say what is chosen."""
        self._show()

    def _show(self) -> None:
        if self._queued:
            signs = ("(o)" if self._drop is False else "( )", "(o)" if self._drop else "( )")
            kept = f"k {signs[0]} keep the {self._queued} queued messages"
            words = f"{kept}    d {signs[1]} drop them: the agent never sees them"
            self.query_one("#choice", Label).update(Content(words))
        keys = "k or d first   " if self._drop is None else "enter reset   "
        self.query_one("#keys", Label).update(Content(f"{keys}esc close, nothing happens"))

    def on_key(self, event: events.Key) -> None:
        """Stage and commit."""
        if event.key in {"k", "d"} and self._queued:
            self._drop = event.key == "d"
            self._show()
        elif event.key == "enter" and self._drop is not None:
            self.dismiss(ResetChoice(self._drop))
        elif event.key != "escape":
            return
        else:
            self.dismiss(None)
        event.stop()

    def action_close(self) -> None:
        """Nothing happens."""
        self.dismiss(None)
