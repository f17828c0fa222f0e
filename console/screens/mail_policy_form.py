"""The dialog that makes a mailbox or changes its rules: one line for each rule, checked while it is written."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Input, TextArea

from console.mailbox_policy import policy_lines, read_policy
from console.text import clean
from console.widgets.composer import Editor
from console.widgets.controls import Lines
from console.widgets.dialog import Dialog
from console.widgets.surface import app_of
from core.api.errors import InvalidInput
from core.api.mailboxes import MailboxPolicy


@dataclass(frozen=True, slots=True)
class PolicyChoice:
    """A name and its rules."""

    name: str
    policy: MailboxPolicy


class PolicyScreen(Dialog[PolicyChoice | None]):
    """All rules as lines of `name: value`. Without a name it asks for one: the mailbox is new."""

    AUTO_FOCUS: ClassVar[str | None] = "Input, Editor"
    DEFAULT_CSS = (
        "PolicyScreen Editor { height: auto; min-height: 3; max-height: 10; border: none; background: $background; }"
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "save", show=False, id="dialog.submit", priority=True)
    ]

    def __init__(self, name: str, policy: MailboxPolicy) -> None:
        super().__init__()
        self._name = name
        self._before = policy
        self.title_text = f"rules of {clean(name)}" if name else "new mailbox"
        self._editor = Editor(
            "\n".join(policy_lines(policy)), soft_wrap=True, compact=True, highlight_cursor_line=False
        )
        self._outlook = Lines(id="outlook")

    def parts(self) -> Iterable[Widget]:
        """The name of a new one, the rules, what is wrong with them."""
        if not self._name:
            yield self.row("name", self.entry("name", "such as relay.out"))
            yield Lines([("", "plain")])
        yield self._editor
        yield self._outlook

    def keys(self) -> str:
        """Which keys do what."""
        return "ctrl+s or enter save   ctrl+j new line   tab next   esc close"

    def on_mount(self) -> None:
        """Say what is so."""
        self._show("")

    def _policy(self) -> MailboxPolicy:
        found = read_policy(self._editor.text, self._before)
        if self._name and found.durable != self._before.durable:
            raise InvalidInput(
                "whether a mailbox is durable cannot be changed", field="durable", fix="make another mailbox"
            )
        return found

    def _show(self, problem: str) -> None:
        try:
            changed = self._changed(self._policy())
        except InvalidInput as error:
            problem = problem or f"{error.message}; {error.facts.get('fix', '')}".rstrip("; ")
            changed = ""
        self._outlook.set_lines([("", "plain"), (problem, "failing") if problem else (changed, "quiet")])

    def _changed(self, policy: MailboxPolicy) -> str:
        pairs = zip(policy_lines(self._before), policy_lines(policy), strict=True)
        changed = [after for before, after in pairs if before != after]
        told = "other than the default" if not self._name else "changed"
        return f"{told}: {', '.join(changed)}" if changed else "all as before" if self._name else "all by default"

    def on_text_area_changed(self, message: TextArea.Changed) -> None:
        """Other rules."""
        message.stop()
        self._show("")

    def on_editor_asked(self, message: Editor.Asked) -> None:
        """Enter saves; the borders of the text lead to the parts beside it."""
        message.follow(self, self.action_save)

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Enter after the name goes to the rules."""
        message.stop()
        self._editor.focus()

    def action_save(self) -> None:
        """Save, or say what is wrong."""
        name = self._name or self.query_one("#name", Input).value.strip()
        try:
            policy = self._policy()
        except InvalidInput:
            app_of(self).bell()
            return
        if not name:
            app_of(self).bell()
            self._show("it needs a name")
            return
        self.dismiss(PolicyChoice(name, policy))
