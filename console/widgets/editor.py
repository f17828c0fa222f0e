"""Text of several lines in a dialog: enter sends, shift+enter breaks the line, arrows leave it at its edges."""

from collections.abc import Callable
from typing import Any, ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import Screen
from textual.widgets import TextArea

from console.text import clean


class Editor(TextArea):
    """Text that is edited. What comes in is cleaned: a terminal must not be steered by it, nor an agent deceived."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s,enter", "submit", "send", show=False, id="editor.send", priority=True),
        Binding("shift+enter,alt+enter,ctrl+j", "line_break", "new line", show=False, id="editor.line", priority=True),
    ]

    def __init__(self, words: str = "") -> None:
        super().__init__(clean(words, keep_newlines=True), soft_wrap=True, compact=True, highlight_cursor_line=False)

    class Asked(Message):
        """Something that only its dialog can do. what: submit, earlier or later."""

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
        """Up; from the first line to what is before the text."""
        if not select and self.cursor_location[0] == 0:
            self.post_message(self.Asked("earlier"))
        else:
            super().action_cursor_up(select)

    def action_cursor_down(self, select: bool = False) -> None:
        """Down; from the last line to what is behind it."""
        if not select and self.cursor_location[0] == self.document.line_count - 1:
            self.post_message(self.Asked("later"))
        else:
            super().action_cursor_down(select)

    def on_paste(self, event: events.Paste) -> None:
        """Clean it; the handler of the base class, which Textual calls next, puts it in."""
        event.text = clean(event.text.replace("\r\n", "\n").replace("\r", "\n"), keep_newlines=True)
