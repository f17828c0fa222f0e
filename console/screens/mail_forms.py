"""Dialogs about mailboxes: pausing one, posting a message, choosing which messages are meant."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Input, TextArea

from console.mail_payload import read_payload
from console.mail_scopes import MailScope
from console.screens.reasons import ReasonDialog
from console.session_filter import span_s
from console.text import age, clean
from console.widgets.controls import Choice, Lines
from console.widgets.dialog import Dialog
from console.widgets.editor import Editor
from console.widgets.surface import app_of
from core.api.mail import Priority

_PRIORITIES = tuple(Priority)


@dataclass(frozen=True, slots=True)
class PauseChoice:
    """Why, and for how long; for_s 0 is until somebody resumes it."""

    reason: str
    for_s: float


class PauseScreen(Dialog[PauseChoice | None]):
    """A reason, and how long."""

    AUTO_FOCUS: ClassVar[str | None] = "#reason"

    def __init__(self, title: str, what_happens: Sequence[str]) -> None:
        super().__init__()
        self.title_text = title
        self._what_happens = tuple(what_happens)
        self._outlook = Lines([("until P resumes it", "plain")], id="outlook")

    def parts(self) -> Iterable[Widget]:
        """What happens, why, how long."""
        yield Lines([*((words, "plain") for words in self._what_happens), ("", "plain")])
        yield self.row("reason", self.entry("reason", "shown to everybody, kept in the journal"))
        yield self.row("for", self.entry("for", "10m, 2h; empty: until it is resumed"))
        yield self._outlook

    def keys(self) -> str:
        """Which keys do what."""
        return "enter pause   tab next   esc close"

    def _span(self) -> float | None:
        words = self.query_one("#for", Input).value.strip().lower()
        return span_s(words) if words else 0.0

    def on_input_changed(self) -> None:
        """Say until when."""
        span = self._span()
        words = "write a time such as 90, 10m or 2h" if span is None else f"goes on by itself in {age(span)}"
        self._outlook.set_lines(
            [("until P resumes it", "plain") if span == 0 else (words, "needs" if span is None else "plain")]
        )

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Pause, unless the time is none."""
        message.stop()
        span = self._span()
        if span is None:
            self.query_one("#for", Input).focus()
            return
        self.dismiss(PauseChoice(self.query_one("#reason", Input).value.strip(), span))


@dataclass(frozen=True, slots=True)
class PostChoice:
    """A message to post."""

    payload: Any
    message_type: str
    priority: Priority
    correlation: str
    delay_s: float


class PostScreen(Dialog[PostChoice | None]):
    """Payload, type, priority, delay."""

    AUTO_FOCUS: ClassVar[str | None] = "Editor"
    DEFAULT_CSS = (
        "PostScreen Editor { height: auto; min-height: 3; max-height: 8; border: none; background: $background; }"
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "send", "send", show=False, id="dialog.submit", priority=True)
    ]

    def __init__(self, mailbox: str, standing: tuple[str, str]) -> None:
        super().__init__()
        self.title_text = f"post a message into {clean(mailbox)}"
        self._standing = standing
        self._editor = Editor()
        self._kind = Lines(id="kind")
        self._priority = Choice(
            [str(name) for name in _PRIORITIES], chosen=_PRIORITIES.index(Priority.NORMAL), id="prio"
        )
        self._problem = Lines(id="problem")

    def parts(self) -> Iterable[Widget]:
        """How the mailbox stands, the payload, the envelope."""
        words, tone = self._standing
        yield Lines([(f"now: {words}", tone)])
        yield self._editor
        yield self._kind
        yield self.row("type", self.entry("type", "operator"))
        yield self.row("priority", self._priority)
        yield self.row("trace", self.entry("trace", "correlation id; may be empty"))
        yield self.row("delay", self.entry("delay", "10m, 2h; empty: at once"))
        yield self._problem

    def keys(self) -> str:
        """Which keys do what."""
        return "enter or ctrl+s post   ctrl+j new line   tab next   esc close"

    def on_mount(self) -> None:
        """Say how the payload is understood."""
        self._show("")

    def _show(self, problem: str) -> None:
        words = self._editor.text.strip()
        self._kind.set_lines([(f"goes {read_payload(words)[1]}" if words else "JSON, or any text", "quiet")])
        self._problem.set_lines([(f"not posted: {problem}", "failing")] if problem else [])

    def on_text_area_changed(self, message: TextArea.Changed) -> None:
        """Another payload."""
        message.stop()
        self._show("")

    def on_editor_asked(self, message: Editor.Asked) -> None:
        """Enter in the text posts; its borders lead to the parts beside it."""
        message.follow(self, self.action_send)

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Enter posts."""
        message.stop()
        self.action_send()

    def action_send(self) -> None:
        """Post, or say why not."""
        words = self._editor.text.strip()
        values = {name: self.query_one(f"#{name}", Input).value.strip() for name in ("type", "trace", "delay")}
        delay_s = span_s(values["delay"].lower()) if values["delay"] else 0.0
        if not words or delay_s is None:
            app_of(self).bell()
            self._show("there is no payload" if not words else "delay is a time such as 90, 10m or 2h")
            return
        self.dismiss(
            PostChoice(
                payload=read_payload(words)[0],
                message_type=values["type"] or "operator",
                priority=_PRIORITIES[self._priority.index],
                correlation=values["trace"],
                delay_s=delay_s,
            )
        )


@dataclass(frozen=True, slots=True)
class ScopeChoice:
    """Which messages, where to, and why. target: "" is where each died."""

    scope: MailScope
    target: str
    reason: str


class ScopeScreen(ReasonDialog[ScopeChoice | None]):
    """Which messages are meant. Nothing happens by it: what follows counts them first."""

    AUTO_FOCUS: ClassVar[str | None] = "#scope"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "do", "count", show=False, id="dialog.submit")]
    DEED = 0

    def __init__(self, title: str, scopes: Sequence[MailScope], *, asks_target: bool) -> None:
        super().__init__(title, ("count them first", "cancel"))
        self._scopes = tuple(scopes)
        self._asks_target = asks_target
        self._choice = Choice([scope.words for scope in self._scopes], is_vertical=True, id="scope")

    def parts(self) -> Iterable[Widget]:
        """The sets, the target, a reason."""
        yield self._choice
        yield Lines([("", "plain")])
        if self._asks_target:
            yield self.row("to", self.entry("to", "another mailbox; empty: where each of them died"))
        yield self.reason_row()
        yield Lines([("", "plain"), ("a dry run counts them before anything is done", "quiet")])
        yield self._buttons

    def keys(self) -> str:
        """Which keys do what."""
        return "j k choose   enter count them   tab next   esc close"

    def chosen(self, reason: str) -> ScopeChoice:
        """What is to be counted: nothing is done by it yet."""
        target = self.query_one("#to", Input).value.strip() if self._asks_target else ""
        return ScopeChoice(self._scopes[self._choice.index], target, reason)
