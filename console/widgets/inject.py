"""The dialog that puts a message to the agent of a session."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Input, TextArea

from console.mode_words import MODE_LINES, MODES
from console.text import clean, cut
from console.widgets.controls import Choice, Lines
from console.widgets.dialog import Dialog
from console.widgets.editor import Editor
from console.widgets.inject_choice import InjectChoice
from console.widgets.surface import app_of
from core.api.sessions import Voice

_VOICES = (Voice.NOTE, Voice.USER)
_VOICE_WORDS = ("operator note to the agent", "as the user")
_TYPED_LETTERS = 4


class InjectScreen(Dialog[InjectChoice | None]):
    """A message, as whom it is put and how, with what will become of it.

    preview: lines about a choice; asked again at each change. keep_draft: gets what was written
    when the dialog is left without sending. Writing as the user asks for the last letters of the id.
    """

    AUTO_FOCUS: ClassVar[str | None] = "Editor"
    DEFAULT_CSS = (
        "InjectScreen Editor { height: auto; min-height: 2; max-height: 8; border: none; background: $background; }"
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "send", "send", show=False, id="dialog.submit", priority=True)
    ]

    def __init__(
        self,
        session_id: str,
        title: str,
        *,
        preview: Callable[[InjectChoice], Sequence[str]],
        keep_draft: Callable[[InjectChoice], None],
        draft: InjectChoice | None = None,
        limit: int = 4000,
    ) -> None:
        super().__init__()
        draft = draft or InjectChoice()
        self.title_text = f"inject into {cut(clean(title), 200)}"
        self._code = session_id[-_TYPED_LETTERS:]
        self._preview = preview
        self._keep_draft = keep_draft
        self._limit = limit
        self._voice = Choice(_VOICE_WORDS, label="as       ", chosen=_VOICES.index(draft.voice), id="voice")
        self._mode = Choice(MODE_LINES, label="how      ", chosen=MODES.index(draft.mode), is_vertical=True, id="mode")
        self._editor = Editor(draft.text)
        self._counter = Lines(id="counter")
        self._typed = self.entry("typed")
        self._as_user = Lines(id="as_user")
        self._typed_row = self.row("typed", self._typed)
        self._model = self.entry("model", "the agent's own, or another for this turn alone")
        self._model.value = clean(draft.model)
        self._outlook = Lines(id="outlook")
        self._problem = Lines(id="problem")
        self._was_tried = False

    @property
    def choice(self) -> InjectChoice:
        """What is in the dialog now."""
        voice, mode = _VOICES[self._voice.index], MODES[self._mode.index]
        return InjectChoice(self._editor.text, voice, mode, self._model.value.strip())

    def parts(self) -> Iterable[Widget]:
        """As whom, how, the text, by which model, and what will become of it."""
        yield self._voice
        yield self._mode
        yield self._editor
        yield self._counter
        yield self._as_user
        yield self._typed_row
        yield self.row("model", self._model)
        yield self._outlook
        yield self._problem

    def keys(self) -> str:
        """Which keys do what."""
        return "enter or ctrl+s send   ctrl+j new line   tab next   esc keep as draft"

    def on_mount(self) -> None:
        """Show what would become of the draft."""
        self._editor.move_cursor(self._editor.document.end)
        self._show()

    def problem(self) -> str:
        """Why it cannot be sent now; "" when it can."""
        choice = self.choice
        if not choice.text.strip():
            return "there is no text"
        if len(choice.text) > self._limit:
            return f"the text is {len(choice.text) - self._limit:,} characters too long"
        if choice.voice is Voice.USER and self._typed.value.strip() != self._code:
            return f"type {self._code} to write as the user"
        return ""

    def _show(self) -> None:
        choice = self.choice
        length = len(choice.text)
        self._counter.set_lines([(f"{length:,}/{self._limit:,}", "failing" if length > self._limit else "quiet")])
        is_user = choice.voice is Voice.USER
        self._typed_row.display = is_user
        note = f"The transcript will show it as the user's own words. Type  {self._code}  to allow that."
        self._as_user.set_lines([(note, "needs")] if is_user else [])
        lines = [("preview", "quiet"), *((f"  {line}", "plain") for line in self._preview(choice))]
        self._outlook.set_lines([("", "plain"), *lines])
        problem = self.problem() if self._was_tried else ""
        self._problem.set_lines([(f"not sent: {problem}", "failing")] if problem else [])

    def on_choice_changed(self) -> None:
        """Another voice or mode."""
        self._show()

    def on_text_area_changed(self, message: TextArea.Changed) -> None:
        """Another text."""
        message.stop()
        self._show()

    def on_input_changed(self, message: Input.Changed) -> None:
        """Something was typed to allow it."""
        message.stop()
        self._show()

    def on_input_submitted(self) -> None:
        """Enter sends."""
        self.action_send()

    def on_editor_asked(self, message: Editor.Asked) -> None:
        """Enter in the text sends; its borders lead to the parts beside it."""
        message.follow(self, self.action_send)

    def action_send(self) -> None:
        """Send, or say why not."""
        self._was_tried = True
        if self.problem():
            app_of(self).bell()
            self._show()
            return
        choice = self.choice
        self.dismiss(replace(choice, text=choice.text.strip()))

    def action_close(self) -> None:
        """Keep it as a draft."""
        self._keep_draft(self.choice)
        self.dismiss(None)
