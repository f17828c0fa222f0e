"""Multi-line input: enter sends, shift+enter breaks the line, up on the first line brings back what was sent."""

from collections.abc import Callable
from typing import Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import TextArea

from console.text import clean
from console.widgets.surface import app_of

_HISTORY_KEPT = 100


class Editor(TextArea):
    """The text itself. What is pasted is cleaned: a terminal must not be steered by it, nor an agent deceived."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s,enter", "submit", "send", show=False, id="composer.send", priority=True),
        Binding(
            "shift+enter,alt+enter,ctrl+j", "line_break", "new line", show=False, id="composer.line", priority=True
        ),
    ]

    class Asked(Message):
        """Something that only the composer can do. what: submit, earlier or later."""

        def __init__(self, what: str) -> None:
            super().__init__()
            self.what = what

        def follow(self, dialog: Screen[Any], submit: Callable[[], None]) -> None:
            """Do it in a dialog: submit, or go to the part before or behind the text."""
            self.stop()
            if self.what == "submit":
                submit()
            elif self.what == "earlier":
                dialog.focus_previous()
            else:
                dialog.focus_next()

    def action_submit(self) -> None:
        """Send."""
        self.post_message(self.Asked("submit"))

    def action_line_break(self) -> None:
        """Begin another line."""
        if not self.read_only:
            self.insert("\n")

    def action_cursor_up(self, select: bool = False) -> None:
        """Up; from the first line to what was sent before."""
        if not select and self.cursor_location[0] == 0:
            self.post_message(self.Asked("earlier"))
        else:
            super().action_cursor_up(select)

    def action_cursor_down(self, select: bool = False) -> None:
        """Down; from the last line back to the draft."""
        if not select and self.cursor_location[0] == self.document.line_count - 1:
            self.post_message(self.Asked("later"))
        else:
            super().action_cursor_down(select)

    def on_paste(self, event: events.Paste) -> None:
        """Clean it; the handler of the base class, which Textual calls next, puts it in."""
        event.text = clean(event.text.replace("\r\n", "\n").replace("\r", "\n"), keep_newlines=True)


class Composer(Widget):
    """A place to write. The draft stays until it is sent; sending an empty one does nothing."""

    DEFAULT_CSS = """
    Composer { height: auto; max-height: 8; min-height: 1; }
    Composer > Editor { height: auto; max-height: 8; border: none; padding: 0 1; background: $panel; }
    """

    class Submitted(Message):
        """The operator sent the text; it is no longer in the composer."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Changed(Message):
        """The draft is another."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, *, draft: str = "", hint: str = "", max_length: int = 4000, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self._max_length = max_length
        self._history: list[str] = []
        self._place = 0
        self._kept_draft = ""
        self._editor = Editor(
            clean(draft, keep_newlines=True),
            soft_wrap=True,
            compact=True,
            highlight_cursor_line=False,
            placeholder=Content(clean(hint)),
        )

    def compose(self) -> ComposeResult:
        """The editor."""
        yield self._editor

    @property
    def text(self) -> str:
        """The draft."""
        return self._editor.text

    @text.setter
    def text(self, text: str) -> None:
        self._editor.load_text(clean(text, keep_newlines=True))
        self._editor.move_cursor(self._editor.document.end)

    @property
    def is_too_long(self) -> bool:
        """Whether the draft is longer than what may be sent."""
        return len(self.text) > self._max_length

    def focus_input(self) -> None:
        """Let keys go here."""
        self._editor.focus()

    def remember(self, texts: list[str]) -> None:
        """What was sent before, oldest first; it can be brought back."""
        self._history = texts[-_HISTORY_KEPT:]
        self._place = len(self._history)

    def on_editor_asked(self, message: Editor.Asked) -> None:
        """The editor came to its border."""
        message.stop()
        if message.what == "submit":
            self._submit()
        else:
            self._recall(-1 if message.what == "earlier" else 1)

    def on_text_area_changed(self, message: TextArea.Changed) -> None:
        """Tell what the draft is."""
        message.stop()
        self.post_message(self.Changed(self.text))

    def _submit(self) -> None:
        text = self.text.strip()
        if not text or self.is_too_long:
            app_of(self).bell()
            return
        self._history = [*self._history, text][-_HISTORY_KEPT:]
        self._place = len(self._history)
        self._kept_draft = ""
        self._editor.clear()
        self.post_message(self.Submitted(text))

    def _recall(self, delta: int) -> None:
        place = self._place + delta
        if not 0 <= place <= len(self._history):
            return
        if self._place == len(self._history):
            self._kept_draft = self.text
        self._place = place
        self.text = self._kept_draft if place == len(self._history) else self._history[place]
