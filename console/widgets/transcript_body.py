"""How one entry of a transcript becomes lines, and text that grows while it is written (pure)."""

from dataclasses import dataclass

from console.text import cell_width, clean, cut, wrap

TEXT_LIMIT = 60_000
"""Characters of one entry that are laid out; the rest is counted and said to be there."""

_NARROW, _WIDE = 64, 110


@dataclass(frozen=True, slots=True)
class TranscriptItem:
    """One entry as it is shown.

    id: unique in the view. at: UTC seconds, None for no time. tone: of the author's name, and of
    the text where it is quiet, stale, needs or failing. marks: short remark on the right, such as
    `partial`. foldable: can be shown by its first line alone; folded: begins that way.
    """

    id: str
    at: float | None
    author: str
    tone: str
    text: str
    marks: str = ""
    folded: bool = False
    foldable: bool = False


@dataclass(frozen=True, slots=True)
class Margins:
    """Cells before the text. time: 0 where it is too narrow for one; author: of the name; room: for the text."""

    time: int
    author: int
    room: int


def margins(width: int) -> Margins:
    """How a line of that width is divided; one cell at the left is the cursor's."""
    time = 9 if width >= _NARROW else 0
    author = 9 if width >= _WIDE else 7
    return Margins(time, author, max(2, width - 1 - time - author))


def estimated_height(item: TranscriptItem, room: int, *, is_folded: bool) -> int:
    """About how many lines an entry takes, without wrapping it."""
    text = item.text
    if is_folded:
        return 1
    if len(text) <= room and "\n" not in text:
        return 1
    return text.count("\n", 0, TEXT_LIMIT) + 1 + min(len(text), TEXT_LIMIT) // max(1, room)


def body(item: TranscriptItem, room: int, *, is_folded: bool) -> list[str]:
    """The lines of an entry: clean text, each at most room cells; marks stand apart only where they do not fit."""
    text = item.text[:TEXT_LIMIT]
    if is_folded:
        first, _, rest = text.partition("\n")
        more = rest.count("\n") + 1 if rest else 0
        note = f"  (+{more} lines)" if more else ""
        lines = [cut(clean(first), max(2, room - len(note) - 2)) + note]
    else:
        lines = wrap(clean(text, keep_newlines=True), room)
        if len(item.text) > TEXT_LIMIT:
            lines.append(f"({len(item.text) - TEXT_LIMIT:,} more characters are not shown here)"[:room])
    if item.marks and not marks_fit(lines[0], clean(item.marks), room):
        lines.append(cut(f"({clean(item.marks)})", room))
    return lines


def marks_fit(first_line: str, marks: str, room: int) -> bool:
    """Whether the marks have their place at the end of the first line."""
    return cell_width(first_line) + cell_width(marks) + 4 <= room


class GrowingText:
    """Text that is written while it is watched: only the paragraph that grows is wrapped again."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._done = ""
        self._done_lines = 0
        self._room = 0

    def update(self, text: str, room: int) -> list[str]:
        """The lines of the whole text so far."""
        if room != self._room or not text.startswith(self._done):
            self._done, self._done_lines, self._room, self.lines = "", 0, room, []
        del self.lines[self._done_lines :]
        end = text.rfind("\n", len(self._done))
        if end >= 0:
            ready = text[len(self._done) : end].removesuffix("\r")
            self.lines += wrap(clean(ready, keep_newlines=True), room)
            self._done, self._done_lines = text[: end + 1], len(self.lines)
        self.lines += wrap(clean(text[len(self._done) :], keep_newlines=True), room)
        return self.lines
