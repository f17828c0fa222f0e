"""Dialogs that end with a reason and two buttons: the deed, and Cancel."""

from collections.abc import Iterable
from typing import ClassVar

from textual.widget import Widget
from textual.widgets import Input

from console.widgets.controls import Buttons
from console.widgets.dialog import Dialog, Result


class ReasonDialog(Dialog[Result]):
    """Subclasses give `chosen`, and put `last_parts` behind their own. DEED: which of the two buttons does it."""

    DEED: ClassVar[int] = 1

    def __init__(self, title: str, buttons: tuple[str, str]) -> None:
        super().__init__()
        self.title_text = title
        self._buttons = Buttons(buttons, id="buttons")

    def chosen(self, reason: str) -> Result | None:  # noqa: ARG002 - for subclasses
        """What the dialog answers when it is to be done; None does nothing."""
        return None

    def reason_row(self) -> Widget:
        """The line for the reason."""
        return self.row("reason", self.entry("reason", "kept in the journal"))

    def last_parts(self) -> Iterable[Widget]:
        """The reason, the buttons."""
        yield self.reason_row()
        yield self._buttons

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Enter in a line goes to the buttons."""
        message.stop()
        self._buttons.focus()

    def on_buttons_pressed(self, message: Buttons.Pressed) -> None:
        """Do it or not."""
        if message.index == self.DEED:
            self.action_do()
        else:
            self.dismiss(None)

    def action_do(self) -> None:
        """Answer with what is chosen."""
        self.dismiss(self.chosen(self.query_one("#reason", Input).value.strip()))
