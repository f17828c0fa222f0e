"""Dialogs about the queue of a session and its epochs: another place, another way, an earlier conversation."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Input

from console.mode_words import MODE_LINES, MODES
from console.text import clean, cut
from console.widgets.controls import Choice, Lines
from console.widgets.dialog import Dialog
from console.widgets.surface import app_of
from core.api.sessions import Mode

_LISTED = 9
_LINE_CELLS = 66


class MoveScreen(Dialog[int | None]):
    """Puts one message at another place of the queue. The keys only stage it; enter sends it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "step(-1)", "earlier", show=False),
        Binding("down,j", "step(1)", "later", show=False),
        Binding("home,g", "step(-1000000)", "first", show=False),
        Binding("end,G", "step(1000000)", "last", show=False),
        Binding("enter", "commit", "move", show=False),
    ]

    def __init__(self, messages: Sequence[str], at: int) -> None:
        super().__init__()
        self.title_text = "move queued message"
        self._before = at
        self._at = at
        self._others = [words for place, words in enumerate(messages) if place != at]
        self._moved = messages[at]
        self._queue = Lines(id="queue")
        self._note = Lines(id="note")

    def parts(self) -> Iterable[Widget]:
        """The queue as it would be."""
        yield self._queue
        yield self._note

    def keys(self) -> str:
        """Which keys do what."""
        return "up down move   g first   G last   enter put it there   esc leave it"

    def on_mount(self) -> None:
        """As it is now."""
        self._show()

    def _show(self) -> None:
        order = [*self._others[: self._at], self._moved, *self._others[self._at :]]
        first = max(0, min(self._at - _LISTED // 2, len(order) - _LISTED))
        lines = [("the next turn begins with the first", "quiet")]
        for place, words in enumerate(order[first : first + _LISTED], first):
            sign = ">" if place == self._at else " "
            line = f"{sign} {place + 1:>2}  {cut(clean(words), _LINE_CELLS)}"
            lines.append((line, "strong" if place == self._at else "plain"))
        hidden = len(order) - _LISTED
        if hidden > 0:
            lines.append((f"      and {hidden} more", "quiet"))
        self._queue.set_lines(lines)
        is_same = self._at == self._before
        words = "as it is now" if is_same else f"from {self._before + 1} to {self._at + 1} of {len(order)}"
        self._note.set_lines([("", "plain"), (words, "quiet" if is_same else "needs")])

    def action_step(self, delta: int) -> None:
        """Earlier or later."""
        self._at = max(0, min(self._at + delta, len(self._others)))
        self._show()

    def action_commit(self) -> None:
        """Put it there; nothing is sent when it is where it was."""
        self.dismiss(None if self._at == self._before else self._at)


class ModeScreen(Dialog[Mode | None]):
    """Has one waiting message taken in another way."""

    AUTO_FOCUS: ClassVar[str | None] = "#mode"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "commit", "take it so", show=False)]

    def __init__(self, message: str, now: str, mode: Mode) -> None:
        super().__init__()
        self.title_text = "how the message is taken"
        self._message = message
        self._now = now
        self._mode = mode
        self._choice = Choice(MODE_LINES, chosen=MODES.index(mode), is_vertical=True, id="mode")

    def parts(self) -> Iterable[Widget]:
        """The message, how it stands, the ways."""
        yield Lines([(cut(clean(self._message), 3 * _LINE_CELLS), "strong"), (f"now: {self._now}", "plain")])
        yield Lines([("", "plain")])
        yield self._choice

    def keys(self) -> str:
        """Which keys do what."""
        return "up down choose   enter take it so   esc leave it"

    def action_commit(self) -> None:
        """Take it so; nothing is sent when that is how it was asked."""
        chosen = MODES[self._choice.index]
        self.dismiss(None if chosen is self._mode else chosen)


class EpochScreen(Dialog[int | None]):
    """In which of its epochs a session goes on."""

    AUTO_FOCUS: ClassVar[str | None] = "#epoch"

    def __init__(self, title: str, what_happens: Sequence[str], *, epoch: int, newest: int) -> None:
        super().__init__()
        self.title_text = title
        self._what_happens = tuple(what_happens)
        self._epoch = epoch
        self._newest = newest
        self._problem = Lines(id="problem")

    def parts(self) -> Iterable[Widget]:
        """What happens, the epoch."""
        yield Lines([(words, "plain") for words in self._what_happens])
        yield self.row("epoch", self.entry("epoch", f"{self._epoch}, where it was; one of 0 to {self._newest}"))
        yield self._problem

    def keys(self) -> str:
        """Which keys do what."""
        return "enter take it up   esc close"

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Take it up, when there is such an epoch."""
        message.stop()
        words = message.value.strip() or str(self._epoch)
        if words.isascii() and words.isdecimal() and int(words) <= self._newest:
            self.dismiss(int(words))
            return
        app_of(self).bell()
        self._problem.set_lines([(f"{clean(words)!r} is none of its epochs: 0 to {self._newest}", "failing")])
