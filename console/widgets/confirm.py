"""Dialogs that ask before something is lost, and the way out of the console; all dialogs can be imported from here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.widget import Widget
from textual.widgets import Input

from console.text import cut
from console.widgets.approval import ApprovalChoice, ApprovalScreen
from console.widgets.controls import Buttons, Lines, TickBox
from console.widgets.dialog import Dialog
from console.widgets.inject import InjectScreen
from console.widgets.inject_choice import InjectChoice

__all__ = [
    "ApprovalChoice",
    "ApprovalScreen",
    "ConfirmScreen",
    "InjectChoice",
    "InjectScreen",
    "QuitChoice",
    "QuitScreen",
]

_TITLE_LIMIT, _LINE_LIMIT = 140, 300


class ConfirmScreen(Dialog[bool]):
    """Says what will happen and what is lost, and waits for a yes. The marked button is Cancel.

    typed: text that must be typed before the yes can be given. ask_reason: whether a reason
    can be given; afterwards it is in `reason`.
    """

    AUTO_FOCUS: ClassVar[str | None] = "#buttons"

    def __init__(
        self,
        title: str,
        what_happens: Sequence[str],
        *,
        loses: Sequence[str] = (),
        typed: str | None = None,
        ask_reason: bool = False,
        verb: str = "confirm",
    ) -> None:
        super().__init__()
        self.title_text = cut(title, _TITLE_LIMIT)
        self.reason = ""
        # However long an error or a name is, the buttons stay on the screen.
        self._what_happens = tuple(cut(words, _LINE_LIMIT) for words in what_happens)
        self._loses = tuple(loses)
        self._typed = typed
        self._ask_reason = ask_reason
        self._buttons = Buttons(("cancel", verb), id="buttons")

    def parts(self) -> Iterable[Widget]:
        """What happens, what is lost, a reason, the text to type, the buttons."""
        yield Lines([(text, "plain") for text in self._what_happens])
        if self._loses:
            yield Lines([("", "plain"), ("lost by this:", "quiet"), *((f"- {text}", "needs") for text in self._loses)])
        yield Lines([("", "plain")])
        if self._ask_reason:
            yield self.row("reason", self.entry("reason", "kept in the journal"))
        if self._typed is not None:
            yield Lines([(f"type  {self._typed}  to go on", "strong")])
            yield self.row("typed", self.entry("typed"))
        yield self._buttons

    def keys(self) -> str:
        """Which keys do what."""
        return "tab next   left right choose   enter press   esc cancel"

    def on_mount(self) -> None:
        """The yes is off until the text is typed."""
        self._buttons.set_off(1, is_off=not self._may_go_on())

    def _may_go_on(self) -> bool:
        return self._typed is None or self.query_one("#typed", Input).value.strip() == self._typed

    def on_input_changed(self, message: Input.Changed) -> None:
        """Look whether the text is typed now."""
        if message.input.id == "reason":
            self.reason = message.value.strip()
        self._buttons.set_off(1, is_off=not self._may_go_on())

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Enter after the text is the yes; elsewhere it goes to the next part."""
        if message.input.id == "typed" and self._may_go_on():
            self.dismiss(result=True)
        else:
            self.focus_next()

    def on_buttons_pressed(self, message: Buttons.Pressed) -> None:
        """Yes or no."""
        self.dismiss(result=message.index == 1 and self._may_go_on())

    def action_close(self) -> None:
        """No."""
        self.dismiss(result=False)


@dataclass(frozen=True, slots=True)
class QuitChoice:
    """How to leave. stop: drain the core and stop it; otherwise it goes on. remember: do not ask again."""

    stop: bool
    remember: bool


class QuitScreen(Dialog[QuitChoice | None]):
    """Asks once what becomes of the core, and names what is busy. The harmless way is marked."""

    AUTO_FOCUS: ClassVar[str | None] = "#buttons"

    def __init__(self, busy: Sequence[str] = (), *, may_leave_running: bool = True) -> None:
        super().__init__()
        self.title_text = "leave the console?"
        self._busy = tuple(busy)
        self._may_leave = may_leave_running
        labels = ("leave running", "drain and stop", "stay") if may_leave_running else ("stay", "drain and stop")
        self._buttons = Buttons(labels, id="buttons")
        self._box = TickBox("remember this and do not ask again", id="remember")

    def parts(self) -> Iterable[Widget]:
        """What goes on, what would be stopped, the buttons."""
        lines: list[tuple[str, str]] = []
        if self._may_leave:
            lines.append(("leave running   the core goes on without a screen until you come back", "plain"))
        lines.append(("drain and stop  lets runs end; what is queued waits for the next start", "plain"))
        yield Lines(lines)
        if self._busy:
            yield Lines([("", "plain"), ("busy now:", "quiet"), *((f"- {text}", "needs") for text in self._busy)])
        else:
            yield Lines([("", "plain"), ("nothing is busy", "quiet")])
        yield Lines([("", "plain")])
        yield self._box
        yield self._buttons

    def keys(self) -> str:
        """Which keys do what."""
        return "left right choose   enter go   tab to the box, space ticks it   esc stay"

    def on_buttons_pressed(self, message: Buttons.Pressed) -> None:
        """Leave in one way, the other, or not at all."""
        if message.index == 1:
            self.dismiss(QuitChoice(stop=True, remember=self._box.is_on))
        elif self._may_leave and message.index == 0:
            self.dismiss(QuitChoice(stop=False, remember=self._box.is_on))
        else:
            self.dismiss(None)
