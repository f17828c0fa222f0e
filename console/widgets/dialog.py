"""What all dialogs share: the frame, escape that changes nothing, and a last line that says the keys."""

from collections.abc import Iterable
from typing import ClassVar, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widget import Widget

from console.widgets.controls import LineInput, Lines
from console.widgets.surface import app_of

Result = TypeVar("Result")


class Dialog(ModalScreen[Result]):
    """A modal screen around one frame. Subclasses give `title_text`, `parts` and `keys`."""

    DEFAULT_CSS = """
    Dialog { align: center middle; }
    Dialog > #frame {
        width: 78; max-width: 100%; height: auto; max-height: 100%;
        border: round $border; background: $panel; padding: 0 1;
        scrollbar-size-vertical: 1;
    }
    Dialog.-ascii > #frame { border: ascii $border; scrollbar-size-vertical: 0; }
    Dialog > #frame > #head { margin-bottom: 1; }
    Dialog > #frame > #keys { margin-top: 1; }
    Dialog .row { height: 1; width: 1fr; }
    Dialog .row > Lines { width: 9; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "close", show=False, id="nav.back"),
        # Pasted or typed fast, what follows a tab must not run into the field before it.
        Binding("tab", "app.focus_next", "next field", show=False, priority=True),
        Binding("shift+tab", "app.focus_previous", "field before", show=False, priority=True),
    ]

    title_text: str = ""
    title_tone: str = "strong"

    def compose(self) -> ComposeResult:
        """The frame and what is in it."""
        self.set_class(bool(getattr(app_of(self), "use_ascii", False)), "-ascii")
        with VerticalScroll(id="frame", can_focus=False):
            yield Lines([(self.title_text, self.title_tone)], id="head")
            yield from self.parts()
            yield Lines([(self.keys(), "quiet")], id="keys")

    def parts(self) -> Iterable[Widget]:
        """What is between title and keys."""
        return ()

    def keys(self) -> str:
        """Which keys do what."""
        return "esc close"

    def action_close(self) -> None:
        """Leave without doing anything."""
        self.dismiss(None)

    @staticmethod
    def row(label: str, control: Widget) -> Widget:
        """A control with a word before it."""
        return Horizontal(Lines([(label, "quiet")]), control, classes="row")

    @staticmethod
    def entry(ident: str, hint: str = "", *, value: str = "", is_first: bool = False) -> LineInput:
        """A line to type in. value: what is in it; is_first: a dialog whose focus is on `.first` begins here.

        Both are there before the first key can be: what is set when the dialog is up would undo what was typed.
        """
        classes = "first" if is_first else None
        return LineInput(value or None, hint, id=ident, classes=classes, compact=True, select_on_focus=False)
