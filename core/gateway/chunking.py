"""Cuts a text to what a platform carries in one message (pure).

Every character of the text is in the body of exactly one chunk, in order: the bodies joined are the text. What is
added around a body, to close a code block at a cut and to open it again behind it, is kept apart as head and tail. A
cut falls between paragraphs, else lines, else words; not inside a link, inline code or a character as people see it,
unless such a piece alone is longer than a message may be.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator

import msgspec

from core.api.errors import InvalidInput
from core.gateway.platform import TextUnit

LEAST_LIMIT = 16
"""The smallest limit that a text can be cut to."""

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})([^\n]*)(?:\n|\Z)", re.MULTILINE)
# What could be read far ahead in vain is bounded, so that no text takes long.
_WHOLE = re.compile(
    r"(?<!`)(?P<code>`++)[^\n]{1,1000}?(?<!`)(?P=code)(?!`)"
    r"|!?\[[^\[\]\n]{0,1000}\]\((?:[^()\s]|\([^()\s]*\)){0,1000}(?: \"[^\"\n]{0,200}\")?\)"
    r"|<https?://[^>\s]{1,1000}>"
    r"|https?://[^\s<>()\[\]]+"
)
_MOST_HEAD_SHARE = 3
_ZWJ = "\u200d"
# Shades of skin, tags of flags, the later parts of a Korean syllable.
_JOINING = ((0x1F3FB, 0x1F3FF), (0xE0020, 0xE007F), (0x1160, 0x11FF))
_FIRST_FLAG, _LAST_FLAG = 0x1F1E6, 0x1F1FF
_MOST_FLAGS = 2000


class Chunk(msgspec.Struct, frozen=True, gc=False):
    """A part of a text. head, tail: what was added around it, "" mostly."""

    body: str
    head: str = ""
    tail: str = ""

    @property
    def text(self) -> str:
        """What is sent."""
        return self.head + self.body + self.tail


class _Block(msgspec.Struct, frozen=True, gc=False):
    """A code block. begin: of its opening line; inside: of its contents; close: of its closing line; end: behind it."""

    begin: int
    inside: int
    close: int
    end: int
    marker: str
    info: str

    @property
    def head(self) -> str:
        return f"{self.marker}{self.info}\n"


def size(text: str, unit: TextUnit) -> int:
    """The length of a text as a platform counts it."""
    if unit is TextUnit.CHARACTERS or text.isascii():
        return len(text)
    if unit is TextUnit.UTF16:
        return len(text.encode("utf-16-le", errors="surrogatepass")) // 2
    return len(text.encode(errors="surrogatepass"))


def chunks(text: str, limit: int, unit: TextUnit = TextUnit.CHARACTERS) -> tuple[Chunk, ...]:
    """The text in parts of at most `limit` units each; one for a text that fits, none for no text.

    Raises InvalidInput for a limit below LEAST_LIMIT.
    """
    if limit < LEAST_LIMIT:
        raise InvalidInput(
            f"a text cannot be cut to {limit}", field="limit", value=limit, fix=f"a number of at least {LEAST_LIMIT}"
        )
    if not text:
        return ()
    if size(text, unit) <= limit:
        return (Chunk(text),)
    return tuple(_Cutter(text, limit, unit).cut())


class _Cutter:
    """One text on its way into parts."""

    def __init__(self, text: str, limit: int, unit: TextUnit) -> None:
        self._text = text
        self._limit = limit
        self._unit = unit
        self._is_plain = unit is TextUnit.CHARACTERS or text.isascii()
        self._blocks = list(_blocks(text, limit, unit))
        self._block_begins = [block.begin for block in self._blocks]
        self._wholes = [match.span() for match in _WHOLE.finditer(text) if self._block_around(match.start()) is None]
        self._whole_begins = [begin for begin, _ in self._wholes]

    def cut(self) -> Iterator[Chunk]:
        text, place = self._text, 0
        while place < len(text):
            block = self._open_at(place)
            head = "" if block is None else block.head
            room = self._limit - size(head, self._unit)
            most = self._reach(place, room)
            if most >= len(text):
                yield Chunk(text[place:], head)
                return
            most = self._reach(place, room - self._closing_room(place, most))
            end = self._cut_between(place, most)
            after = self._open_at(end)
            tail = "" if after is None else ("" if text[end - 1] == "\n" else "\n") + after.marker
            yield Chunk(text[place:end], head, tail)
            place = end

    def _reach(self, place: int, room: int) -> int:
        """How far `room` units go from a place; at least one character."""
        if self._is_plain:
            return min(len(self._text), place + max(1, room))
        piece = self._text[place : place + max(1, room)]
        if size(piece, self._unit) <= room:
            return place + len(piece)
        fitting = bisect_right(range(1, len(piece)), room, key=lambda count: size(piece[:count], self._unit))
        return place + max(1, fitting)

    def _closing_room(self, place: int, most: int) -> int:
        """Units that closing a code block may need at a cut up to `most`."""
        first = max(0, bisect_right(self._block_begins, place) - 1)
        markers = 0
        for block in self._blocks[first:]:
            if block.begin >= most:
                break
            if block.end > place:
                markers = max(markers, len(block.marker) + 1)
        return markers

    def _cut_between(self, place: int, most: int) -> int:
        """The best end of the part that begins at `place`, after it and not beyond `most`."""
        text = self._text
        middle = place + (most - place) // 2
        for mark, least in (("\n\n", middle), ("\n", place + (most - place) // 4), (" ", middle)):
            end = most
            while (found := text.rfind(mark, least, end)) >= 0:
                candidate = found + len(mark)
                if self._is_good(candidate, place):
                    return candidate
                end = found
        end = self._unharmed(most, place)
        return end if end > place else most

    def _is_good(self, end: int, place: int) -> bool:
        """Whether a cut behind a line or word does no harm."""
        if end <= place or self._whole_around(end) is not None:
            return False
        block = self._block_around(end)
        return block is None or block.inside < end < block.close

    def _unharmed(self, most: int, place: int) -> int:
        """The last place for a cut up to `most` that tears nothing apart that could stay whole."""
        end = most
        whole = self._whole_around(end)
        if whole is not None and whole[0] > place:
            end = whole[0]
        block = self._block_around(end)
        if block is not None and not block.inside < end < block.close:
            end = block.begin if end <= block.inside else block.close - 1
            if end <= place:
                end = most
        while end > place and not _is_boundary(self._text, end):
            end -= 1
        return end

    def _whole_around(self, place: int) -> tuple[int, int] | None:
        number = bisect_right(self._whole_begins, place) - 1
        if number < 0:
            return None
        begin, end = self._wholes[number]
        return (begin, end) if begin < place < end else None

    def _block_around(self, place: int) -> _Block | None:
        number = bisect_right(self._block_begins, place) - 1
        if number < 0:
            return None
        block = self._blocks[number]
        return block if block.begin < place < block.end else None

    def _open_at(self, place: int) -> _Block | None:
        """The code block that a cut here is inside of, so that it has to be closed and opened again."""
        block = self._block_around(place)
        return block if block is not None and block.inside <= place <= block.close else None


def _blocks(text: str, limit: int, unit: TextUnit) -> Iterator[_Block]:
    """The code blocks of a text, but for those whose opening line leaves no room for anything else."""
    opened: re.Match[str] | None = None
    for match in _FENCE.finditer(text):
        marker, info = match.group(1), match.group(2)
        if opened is None:
            if marker[0] == "`" and "`" in info:
                continue
            opened = match
        elif marker[0] == opened.group(1)[0] and len(marker) >= len(opened.group(1)) and not info.strip():
            block = _block(opened, match.start(), match.end())
            opened = None
            if _is_small(block, limit, unit):
                yield block
    if opened is not None:
        block = _block(opened, len(text) + 1, len(text) + 1)
        if _is_small(block, limit, unit):
            yield block


def _block(opened: re.Match[str], close: int, end: int) -> _Block:
    return _Block(opened.start(), opened.end(), close, end, opened.group(1), opened.group(2).rstrip())


def _is_small(block: _Block, limit: int, unit: TextUnit) -> bool:
    return size(block.head, unit) + len(block.marker) + 1 <= limit // _MOST_HEAD_SHARE


def _is_boundary(text: str, place: int) -> bool:
    """Whether a character as people see it ends here, as far as that can be told without tables of its own."""
    if place <= 0 or place >= len(text):
        return True
    before, after = text[place - 1], text[place]
    if before.isascii() and after.isascii():
        return not (before == "\r" and after == "\n")
    if _ZWJ in {before, after} or _joins(after):
        return False
    if _is_flag(after) and _is_flag(before):
        run = place
        while run > max(0, place - _MOST_FLAGS) and _is_flag(text[run - 1]):
            run -= 1
        return (place - run) % 2 == 0
    return True


def _joins(sign: str) -> bool:
    """Whether a sign belongs to the one before it: an accent, a variation, a shade of skin, a tag."""
    code = ord(sign)
    return unicodedata.category(sign) in {"Mn", "Me", "Mc"} or any(first <= code <= last for first, last in _JOINING)


def _is_flag(sign: str) -> bool:
    return _FIRST_FLAG <= ord(sign) <= _LAST_FLAG
