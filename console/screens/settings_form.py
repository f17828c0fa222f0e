"""What dialogs about settings share: one line for each, checked while it is written."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Input, TextArea

from console.widgets.controls import Lines
from console.widgets.dialog import Dialog, Result
from console.widgets.editor import Editor
from console.widgets.surface import app_of
from core.api.errors import InvalidInput


class SettingsForm(Dialog[Result]):
    """Settings as lines of `key: value`. Without a name it asks for one: what they are of is new.

    NAME_HINT: how such a name may look. Subclasses give `changed_words` and `chosen`.
    """

    AUTO_FOCUS: ClassVar[str | None] = "Input, Editor"
    DEFAULT_CSS = (
        "SettingsForm Editor { height: auto; min-height: 3; max-height: 10; border: none; background: $background; }"
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "save", show=False, id="dialog.submit", priority=True)
    ]
    NAME_HINT: ClassVar[str] = ""

    def __init__(self, title: str, name: str, lines: Sequence[str]) -> None:
        super().__init__()
        self.title_text = title
        self._name = name
        self._editor = Editor("\n".join(lines))
        self._outlook = Lines(id="outlook")

    def changed_words(self) -> str:
        """What is another than before. Raises InvalidInput when a line is wrong."""
        return ""

    def chosen(self, name: str) -> Result | None:  # noqa: ARG002 - for subclasses
        """What the dialog answers. Raises InvalidInput when a line is wrong."""
        return None

    def notes(self) -> Iterable[Widget]:
        """What stands between the name and the settings."""
        return ()

    def parts(self) -> Iterable[Widget]:
        """The name of a new one, the settings, what is wrong with them or changed."""
        if not self._name:
            yield self.row("name", self.entry("name", self.NAME_HINT))
        yield from self.notes()
        yield self._editor
        yield self._outlook

    def keys(self) -> str:
        """Which keys do what."""
        return "ctrl+s or enter save   ctrl+j new line   tab next   esc close"

    def on_mount(self) -> None:
        """Say what is so."""
        self._show("")

    def _show(self, problem: str) -> None:
        words = ""
        try:
            words = self.changed_words()
        except InvalidInput as error:
            problem = problem or f"{error.message}; {error.facts.get('fix', '')}".rstrip("; ")
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
            choice = self.chosen(name)
        except InvalidInput:
            app_of(self).bell()
            return
        if not name:
            app_of(self).bell()
            self._show("it needs a name")
            return
        self.dismiss(choice)
