"""The dialog for a message to a chat by name."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from textual.widget import Widget
from textual.widgets import Input

from console.widgets.controls import Lines
from console.widgets.dialog import Dialog


@dataclass(frozen=True, slots=True)
class Message:
    """What to send where."""

    target: str
    text: str


class SendScreen(Dialog[Message | None]):
    """A target and a text. platform: what the target begins with."""

    AUTO_FOCUS: ClassVar[str | None] = "#target"

    def __init__(self, platform: str = "") -> None:
        super().__init__()
        self.title_text = "send a message"
        self._platform = platform
        self._problem = Lines(id="problem")

    def parts(self) -> Iterable[Widget]:
        """Where to, and what."""
        yield self.row("to", self.entry("target", "home, PLATFORM, PLATFORM:CHAT, all; commas between several"))
        yield self.row("text", self.entry("words", "sent as it is; noted in the session of the chat"))
        yield self._problem

    def on_mount(self) -> None:
        """The platform is there already."""
        self.query_one("#target", Input).value = self._platform

    def keys(self) -> str:
        """Which keys do what."""
        return "enter send   tab next   esc close"

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Send it, or go to what is missing."""
        message.stop()
        for name, missing in (("target", "it needs a target"), ("words", "there is nothing to send")):
            entry = self.query_one(f"#{name}", Input)
            if not entry.value.strip():
                self._problem.set_lines([(missing, "needs")])
                entry.focus()
                return
        target, words = self.query_one("#target", Input).value, self.query_one("#words", Input).value
        self.dismiss(Message(target.strip(), words))
