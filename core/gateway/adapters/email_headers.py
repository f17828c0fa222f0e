"""Headers of a mail as text: decoded, in one line, without control characters, whatever they were (pure)."""

import codecs
import re
import unicodedata
from collections.abc import Sequence
from email.errors import MessageDefect, MessageError, MultipartInvariantViolationDefect
from email.header import decode_header
from email.message import Message

HEADER_LIMIT = 4_000
"""Characters of a header for people; what follows is left out."""

ID_LIMIT = 250
_ENCODED_LIMIT = 4 * HEADER_LIMIT
_CHAIN_LIMIT = 200
_ID = re.compile(r"<\s*([!-;=?-~]{1,998})\s*>")
_WORDS = re.compile(r"=\?[^?]*\?[BbQq]\?[^?]*\?=")
# Not charsets of mail, and two of them take hours for a mail that somebody wrote for that.
_NO_CHARSETS = frozenset({"punycode", "idna", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem"})
_FOREIGN = "\N{REPLACEMENT CHARACTER}"


class Headers:
    """Of one mail, by name in small letters, in their order.

    is_clear: False when another program may see other headers in the same bytes.
    """

    def __init__(self, message: "Message[str, str]", *, is_clear: bool = True) -> None:
        # Before Python 3.11.5 the library misses the parts of a mail of which it is given the headers alone.
        defects: list[MessageDefect] = [
            defect for defect in message.defects if not isinstance(defect, MultipartInvariantViolationDefect)
        ]
        self.is_clear = is_clear and not defects
        self._values: dict[str, list[str]] = {}
        for name, value in message.raw_items():
            # The library keeps bytes that are no ASCII as lone surrogates.
            text = str(value).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            self._values.setdefault(name.lower(), []).append(text)

    def all(self, name: str) -> Sequence[str]:
        """Every header of that name, topmost first, each in one line."""
        return [one_line(value) for value in self._values.get(name, ())]

    def exact(self, name: str) -> Sequence[str]:
        """The same for what is believed: only ASCII blanks separate, every other blank or control is a foreign letter.

        A sender may write a no-break space into the address that a server then quotes.
        """
        return [_exact(value) for value in self._values.get(name, ())]

    def first(self, name: str) -> str:
        """The topmost one; "" when there is none."""
        return next(iter(self.all(name)), "")

    def shown(self, name: str) -> str:
        """The same for people: encoded words decoded, and not too long."""
        return decoded(self.first(name))[:HEADER_LIMIT]

    def ids(self, name: str) -> Sequence[str]:
        """The message ids in a header, without brackets, oldest first, each once."""
        return message_ids(" ".join(self.all(name)))


def message_ids(text: str) -> Sequence[str]:
    """The message ids in a text, without brackets, each once; too many are cut from the middle."""
    found = list(dict.fromkeys(item for item in _ID.findall(text) if len(item) <= ID_LIMIT))
    return found if len(found) <= _CHAIN_LIMIT else [found[0], *found[1 - _CHAIN_LIMIT :]]


def decoded(value: str) -> str:
    """A header with its encoded words decoded. What cannot be decoded stays as it was."""
    value = value[:_ENCODED_LIMIT]
    if _WORDS.search(value) is None:
        return value
    try:
        pieces = decode_header(value)
    except (MessageError, ValueError):
        return value
    return one_line("".join(_piece(text, charset) for text, charset in pieces))


def text_of(data: bytes, charset: str | None) -> str:
    """Bytes as text: by their charset, else UTF-8, else byte by byte. Always text that can be stored."""
    for name in (charset or "utf-8", "utf-8"):
        try:
            if codecs.lookup(name).name not in _NO_CHARSETS:
                return _sound(data.decode(name))
        except (LookupError, ValueError):
            continue
    return _sound(data.decode("latin-1"))


def one_line(text: str) -> str:
    """Without line breaks and other control characters."""
    return " ".join("".join(letter if _is_plain(letter) else " " for letter in text).split())


def small(text: str) -> str:
    """In small letters, ASCII only: some letters beyond it have a small form within it, and would be somebody else."""
    return text.encode("utf-8", "replace").lower().decode()


def _exact(value: str) -> str:
    plain = "".join(letter if letter.isprintable() or letter in " \t\r\n" else _FOREIGN for letter in value)
    return re.sub(r"[ \t\r\n]+", " ", plain).strip(" ")


def _piece(text: object, charset: str | None) -> str:
    return text_of(text, charset) if isinstance(text, bytes) else str(text)


def _is_plain(letter: str) -> bool:
    return unicodedata.category(letter) not in {"Cc", "Cs", "Zl", "Zp"}


def _sound(text: str) -> str:
    """Codecs such as utf-7 can give halves of characters, which nothing can store."""
    return text.encode("utf-8", "replace").decode()
