"""Smaller dialogs of the relay: the history of bindings, a message to bots, another address, the breaker menu."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Input

from console.relay_receipts import chat_words
from console.text import clean, clock_time, cut
from console.widgets.controls import Buttons, Choice, Lines, ScrolledLines
from console.widgets.dialog import Dialog
from core.api.bindings import BindingChange, Bot

_LINE_CELLS = 200


@dataclass(frozen=True, slots=True)
class RelayWords:
    """What to send to whom."""

    to: tuple[str, ...]
    text: str


class RelaySendScreen(Dialog[RelayWords | None]):
    """Names of bots and a text. whose: whose binding counts, in words; problem: why it was not sent before."""

    AUTO_FOCUS: ClassVar[str | None] = ".first"

    def __init__(self, draft: RelayWords, whose: str, notes: Sequence[tuple[str, str]] = (), problem: str = "") -> None:
        super().__init__()
        self.title_text = "send to a bot"
        self._draft = draft
        self._lines = [(f"as from {whose}", "plain"), *notes]
        self._problem = Lines([(problem, "failing")] if problem else [], id="problem")

    def parts(self) -> Iterable[Widget]:
        """Where to, and what."""
        yield Lines(self._lines)
        names = clean(", ".join(self._draft.to))
        hint = "name of a bot; commas between several"
        yield self.row("to", self.entry("to", hint, value=names, is_first=not names))
        hint = "stored before the first byte leaves"
        yield self.row("text", self.entry("words", hint, value=self._draft.text, is_first=bool(names)))
        yield self._problem

    def keys(self) -> str:
        """Which keys do what."""
        return "enter send   tab next   esc close"

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Send it, or go to what is missing."""
        message.stop()
        names = tuple(name.strip() for name in self.query_one("#to", Input).value.split(",") if name.strip())
        words = self.query_one("#words", Input).value
        if not names or not words.strip():
            self._problem.set_lines([("it needs a bot" if not names else "there is nothing to send", "needs")])
            self.query_one("#to" if not names else "#words", Input).focus()
            return
        self.dismiss(RelayWords(names, words))


@dataclass(frozen=True, slots=True)
class NewTarget:
    """Where a message goes instead. url: "" for the one that the name has."""

    to: str
    url: str


class RetargetScreen(Dialog[NewTarget | None]):
    """Another bot, and its address where the name has several."""

    AUTO_FOCUS: ClassVar[str | None] = "#to"

    def __init__(self, title: str, lines: Sequence[str], names: Sequence[str]) -> None:
        super().__init__()
        self.title_text = cut(title, 70)
        self._lines = tuple((cut(words, _LINE_CELLS), "plain") for words in lines)
        self._names = tuple(names)
        self._problem = Lines(id="problem")

    def parts(self) -> Iterable[Widget]:
        """What it is, where it goes instead."""
        yield Lines(self._lines)
        yield self.row("to", self.entry("to", cut(", ".join(map(clean, self._names)) or "name of a bot", 60)))
        yield self.row("address", self.entry("url", "only where the name has several"))
        yield self._problem

    def keys(self) -> str:
        """Which keys do what."""
        return "enter take it   tab next   esc close"

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Take it, or go to what is missing."""
        message.stop()
        name = self.query_one("#to", Input).value.strip()
        if name not in self._names:
            known = ", ".join(map(clean, self._names)) or "none"
            words = f"no bot is called {clean(name)}; there are: {known}" if name else "it needs a bot"
            self._problem.set_lines([(cut(words, _LINE_CELLS), "failing")])
            self.query_one("#to", Input).focus()
            return
        self.dismiss(NewTarget(name, self.query_one("#url", Input).value.strip()))


class HistoryScreen(Dialog[bool]):
    """What was changed, the latest first; the answer is whether the first of them is to be taken back."""

    AUTO_FOCUS: ClassVar[str | None] = "#buttons"

    def __init__(self, title: str, changes: Sequence[BindingChange], *, is_read_only: bool = False) -> None:
        super().__init__()
        self.title_text = cut(title, 70)
        self._changes = tuple(changes)
        may_undo = bool(self._changes) and not is_read_only
        self._buttons = Buttons(("close", "take the first back") if may_undo else ("close",), id="buttons")

    def parts(self) -> Iterable[Widget]:
        """Line by line, then what taking back does."""
        lines: list[tuple[str, str]] = []
        for change in self._changes:
            lines += change_lines(change)
        yield ScrolledLines(lines or [("nothing was changed yet", "quiet")], id="changes")
        yield Lines([("", "plain")])
        if self._changes:
            yield Lines([(undo_words(self._changes[0]), "plain"), ("", "plain")])
        yield self._buttons

    def keys(self) -> str:
        """Which keys do what."""
        return "left right choose   enter press   tab then j k read on   esc close"

    def on_buttons_pressed(self, message: Buttons.Pressed) -> None:
        """Close, or take back."""
        self.dismiss(result=message.index == 1)

    def action_close(self) -> None:
        """Take nothing back."""
        self.dismiss(result=False)


def undo_words(change: BindingChange) -> str:
    """What taking a change back does."""
    where = chat_words(change.platform, change.chat)
    if change.before is None:
        return f"taken back: {cut(where, 60)} is bound to nothing again"
    return f"taken back: {cut(where, 60)} has {_names(change.before)} again, as before"


def change_lines(change: BindingChange) -> list[tuple[str, str]]:
    """One change: when, who, where, and which bots are others."""
    where = chat_words(change.platform, change.chat)
    head = f"{change.number}  {clock_time(change.at.at)}  {change.kind.value} by {clean(change.by)}  {where}"
    lines = [(cut(head, _LINE_CELLS), "strong")]
    before = {bot.name: bot for bot in change.before or ()}
    after = {bot.name: bot for bot in change.after or ()}
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old != new:
            tone = "well" if old is None else "failing" if new is None else "needs"
            lines.append((cut(f"   {_difference(old, new)}", _LINE_CELLS), tone))
    return lines


def _difference(old: Bot | None, new: Bot | None) -> str:
    if old is None or new is None:
        bot = new or old
        return f"{'+' if old is None else '-'} {clean(bot.name)} {clean(bot.url)}" if bot else ""
    parts = [
        f"{field} {_shown(getattr(old, field))} > {_shown(getattr(new, field))}"
        for field in Bot.__struct_fields__
        if getattr(old, field) != getattr(new, field)
    ]
    return f"~ {clean(new.name)}: {', '.join(parts)}"


def _shown(value: str | int | tuple[str, ...]) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    words = ", ".join(value) if isinstance(value, tuple) else str(value)
    return clean(words) or "none"


def _names(bots: Sequence[Bot]) -> str:
    return cut(", ".join(clean(bot.name) for bot in bots), 60) or "nothing"


class BreakerMenu(Dialog[int | None]):
    """What can be done to a breaker. Choosing does nothing yet: the order asks by itself."""

    AUTO_FOCUS: ClassVar[str | None] = "#deeds"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "choose", "choose", show=False)]

    def __init__(self, title: str, lines: Sequence[tuple[str, str]], deeds: Sequence[str]) -> None:
        super().__init__()
        self.title_text = cut(title, 70)
        self._lines = [(cut(words, _LINE_CELLS), tone) for words, tone in lines]
        self._choice = Choice(deeds, is_vertical=True, id="deeds")

    def parts(self) -> Iterable[Widget]:
        """How it stands, what can be done."""
        yield Lines([*self._lines, ("", "plain")])
        yield self._choice

    def keys(self) -> str:
        """Which keys do what."""
        return "up down choose   enter go on: all but a release ask first   esc close"

    def action_choose(self) -> None:
        """Go on with the one that is chosen."""
        self.dismiss(self._choice.index)
