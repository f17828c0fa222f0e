"""Dialogs about senders: let in, take access back, block, invite; and the one place where a code is shown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.widget import Widget
from textual.widgets import Input

from console.screens.reasons import ReasonDialog
from console.text import clean, cut
from console.widgets.controls import Buttons, Lines, TickBox
from console.widgets.dialog import Dialog

HOUR_S = 3600.0
_TITLE_LIMIT, _LINE_LIMIT, _TYPED_LIMIT = 70, 140, 48
_LEAST_H, _MOST_H = 1 / 60, 168.0


@dataclass(frozen=True, slots=True)
class SenderChoice:
    """also: the tick box, such as stop what runs, or replay the message that was held back."""

    reason: str
    also: bool


class SenderScreen(ReasonDialog[SenderChoice | None]):
    """What happens to one identity. The raw id is in the title; the marked button is Cancel.

    typed: text that must be typed before, of a long one its end; "" for none. also: words of the tick box; "" for none.
    """

    AUTO_FOCUS: ClassVar[str | None] = "#buttons"

    def __init__(
        self,
        title: str,
        lines: Sequence[tuple[str, str]],
        *,
        verb: str,
        also: str = "",
        typed: str = "",
        reason_hint: str = "kept in the journal",
        asks_reason: bool = True,
    ) -> None:
        # However long an id or a name is, the buttons stay on the screen; the pane shows all of it.
        super().__init__(cut(title, _TITLE_LIMIT), ("cancel", verb))
        self._lines = tuple((cut(words, _LINE_LIMIT), tone) for words, tone in lines)
        self._typed = typed[-_TYPED_LIMIT:]
        self._reason_hint = reason_hint
        self._asks_reason = asks_reason
        self._box = TickBox(also, id="also") if also else None

    def parts(self) -> Iterable[Widget]:
        """Who it is, what happens, the box, the reason, the text to type, the buttons."""
        yield Lines([*self._lines, ("", "plain")])
        if self._box is not None:
            yield self._box
        if self._asks_reason:
            yield self.reason_row()
        if self._typed:
            yield Lines([(f"type  {self._typed}  to go on", "strong")])
            yield self.row("typed", self.entry("typed"))
        yield self._buttons

    def reason_row(self) -> Widget:
        """The line for the reason."""
        return self.row("reason", self.entry("reason", self._reason_hint))

    def keys(self) -> str:
        """Which keys do what."""
        return "tab next   space tick   left right choose   enter press   esc cancel"

    def on_mount(self) -> None:
        """The deed is off until the text is typed."""
        self._buttons.set_off(self.DEED, is_off=not self._may_go_on())

    def on_input_changed(self) -> None:
        """Look whether the text is typed now."""
        self._buttons.set_off(self.DEED, is_off=not self._may_go_on())

    def _may_go_on(self) -> bool:
        return not self._typed or self.query_one("#typed", Input).value.strip() == self._typed

    def action_do(self) -> None:
        """Answer with what is chosen."""
        reason = self.query_one("#reason", Input).value.strip() if self._asks_reason else ""
        self.dismiss(self.chosen(reason))

    def chosen(self, reason: str) -> SenderChoice | None:
        """Why, and whether also."""
        if not self._may_go_on():
            return None
        return SenderChoice(reason, self._box is not None and self._box.is_on)


@dataclass(frozen=True, slots=True)
class InviteChoice:
    """platform: "" for all connections. ttl_s: how long the code counts."""

    platform: str
    ttl_s: float
    note: str


class InviteScreen(Dialog[InviteChoice | None]):
    """For which connection, for how long, for whom."""

    AUTO_FOCUS: ClassVar[str | None] = "#platform"

    def __init__(self, platforms: Sequence[str]) -> None:
        super().__init__()
        self.title_text = "make an invitation"
        self._platforms = tuple(platforms)
        self._problem = Lines(id="problem")

    def parts(self) -> Iterable[Widget]:
        """The three lines."""
        names = ", ".join(map(clean, self._platforms)) or "there is no connection that asks"
        yield Lines([("a code that lets one sender in; it is shown once and stored as a hash", "plain")])
        yield self.row("for", self.entry("platform", f"empty for all; {names}"))
        yield self.row("hours", self.entry("hours", "1; up to 168"))
        yield self.row("note", self.entry("note", "for whom; kept in the journal"))
        yield self._problem

    def keys(self) -> str:
        """Which keys do what."""
        return "enter make it   tab next   esc close"

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Make it, or say what is wrong."""
        message.stop()
        platform = self.query_one("#platform", Input).value.strip()
        if platform and platform not in self._platforms:
            names = ", ".join(map(clean, self._platforms)) or "none"
            self._wrong("platform", f"there is no connection {clean(platform)!r}; there are: {names}")
            return
        words = self.query_one("#hours", Input).value.strip() or "1"
        try:
            hours = float(words)
        except ValueError:
            hours = 0.0
        if not _LEAST_H <= hours <= _MOST_H:
            self._wrong("hours", f"{clean(words)!r} is not between a minute (0.02) and a week (168)")
            return
        note = self.query_one("#note", Input).value.strip()
        self.dismiss(InviteChoice(platform, max(60.0, hours * HOUR_S), note))

    def _wrong(self, field: str, words: str) -> None:
        self._problem.set_lines([(words, "failing")])
        self.query_one(f"#{field}", Input).focus()


class CodeScreen(Dialog[None]):
    """Shows a code. It is in no journal, log or list, and gone with this dialog."""

    AUTO_FOCUS: ClassVar[str | None] = "#buttons"

    def __init__(self, code: str, where: str, minutes: int) -> None:
        super().__init__()
        self.title_text = "invitation"
        self._code = code
        self._where = where
        self._minutes = minutes
        self._buttons = Buttons(("close",), id="buttons")

    def parts(self) -> Iterable[Widget]:
        """The code, and what is to be done with it."""
        yield Lines(
            [
                ("", "plain"),
                (f"    {self._code}", "strong"),
                ("", "plain"),
                (f"whoever sends it as a direct message on {self._where} is let in, once", "plain"),
                (f"it counts for {self._minutes} minutes and is shown here only", "needs"),
                ("", "plain"),
            ]
        )
        yield self._buttons

    def keys(self) -> str:
        """Which keys do what."""
        return "enter or esc close"

    def on_buttons_pressed(self) -> None:
        """Gone."""
        self.dismiss(None)
