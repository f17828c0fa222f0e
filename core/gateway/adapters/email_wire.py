"""The IMAP protocol without I/O (RFC 3501): bytes of a server to replies, and words to what is sent.

A literal may hold anything, so it is taken by its length and never looked into; a status line is free text, so nothing
in it begins a literal. Whatever is no IMAP, or larger than was agreed, is a WireError and nothing else.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

Item: TypeAlias = "bytes | Sequence[Item] | None"
"""A word, string or literal; None is NIL; a list is a parenthesis."""

STATUSES = frozenset({"OK", "NO", "BAD", "BYE", "PREAUTH"})
_DEPTH_LIMIT = 50
_LINE_LIMIT_BYTES = 8 * 1024 * 1024
_LITERAL = re.compile(rb"~?\{(\d{1,10})\+?\}$")
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ATOM = re.compile(rb'(?:[^\s()"\[]+|\[[^\]]*\])+')
_STATUS = re.compile(r"(?:\[([^\]\s]+)(?: ([^\]]*))?\] ?)?(.*)", re.DOTALL)
_LAST_ASCII = "~"


class WireError(Exception):
    """What came is no IMAP or too large, or what was to be sent cannot be said in it."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """One reply of a server. tag: "*" for one that was not asked for, "+" when it waits for more of a command.

    word: OK, SEARCH, FETCH ... in capitals; number: before it, as in `3 EXISTS`. code, argument: in the brackets of a
    status, the code in capitals; text: of a status or "+", for people. items: of any other reply.
    """

    tag: str
    word: str = ""
    number: int | None = None
    code: str = ""
    argument: str = ""
    text: str = ""
    items: Sequence[Item] = ()


class Feed:
    """Takes bytes in pieces of any size and gives replies. limit_bytes: of one reply with its literals."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._buffer = bytearray()
        self._parts: list[bytes] = []
        self._scanned = 0
        self._size_bytes = 0
        self._literal_bytes: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left over: what comes before a change to TLS must not be believed after it."""
        return not self._buffer and not self._parts

    def feed(self, data: bytes) -> None:
        """More of what the server sent."""
        self._buffer += data

    def next(self) -> Reply | None:
        """The next whole reply; None when more bytes are needed. Raises WireError; then the connection is of no use."""
        while True:
            if self._literal_bytes is not None:
                if len(self._buffer) < self._literal_bytes:
                    return None
                self._parts.append(self._taken(self._literal_bytes))
                self._literal_bytes = None
            line = self._line()
            if line is None:
                return None
            found = None if not self._parts and _is_status(line) else _LITERAL.search(line)
            if found is None:
                parts, self._parts, self._size_bytes = [*self._parts, line], [], 0
                return parsed(parts)
            self._literal_bytes = int(found[1])
            self._grow(len(line) + self._literal_bytes)
            self._parts.append(line[: found.start()])

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\n", self._scanned)
        if end < 0:
            self._scanned = len(self._buffer)
            if self._scanned > _LINE_LIMIT_BYTES:
                raise WireError("a line has no end")
            return None
        self._scanned = 0
        return self._taken(end + 1).removesuffix(b"\n").removesuffix(b"\r")

    def _taken(self, count: int) -> bytes:
        data = bytes(memoryview(self._buffer)[:count])
        del self._buffer[:count]
        return data

    def _grow(self, count: int) -> None:
        self._size_bytes += count
        if self._size_bytes > self._limit_bytes:
            raise WireError(f"a reply is larger than {self._limit_bytes} bytes")


def parsed(parts: Sequence[bytes]) -> Reply:
    """The reply that lines (at even places) and literals (between them) make. Raises WireError."""
    head = parts[0]
    if head[:1] == b"+":
        return Reply(tag="+", text=_text(head[1:].strip()))
    tag, _, rest = head.partition(b" ")
    word, _, after = rest.partition(b" ")
    number = None
    if word.isdigit() and tag == b"*":
        number = _number(word)
        word, _, after = after.partition(b" ")
    name = _text(word).upper()
    if not tag or not name:
        raise WireError("a line that is no reply")
    if name in STATUSES and number is None:
        code, argument, text = _status(_text(after))
        return Reply(tag=_text(tag), word=name, code=code, argument=argument, text=text)
    if tag != b"*":
        raise WireError("a reply to a command says neither OK, NO nor BAD")
    return Reply(tag="*", word=name, number=number, items=_items([after, *parts[1:]]))


def fetched(reply: Reply) -> Mapping[str, Item]:
    """What a FETCH tells, by name in capitals; of BODY[...] only BODY. Raises WireError."""
    pairs = reply.items[0] if reply.items else None
    if not isinstance(pairs, list | tuple) or len(pairs) % 2:
        raise WireError("a FETCH without pairs of names and values")
    told: dict[str, Item] = {}
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        if not isinstance(key, bytes):
            raise WireError("a FETCH with a name that is none")
        told[_text(key).upper().partition("[")[0]] = value
    return told


def numbers(reply: Reply) -> Sequence[int]:
    """What a SEARCH found."""
    return [_number(item) for item in reply.items if isinstance(item, bytes) and item.isdigit()]


def number_in(item: Item) -> int | None:
    """A number; None for anything else."""
    return _number(item) if isinstance(item, bytes) and item.isdigit() else None


def quoted(text: str) -> str:
    """A string of a command. Raises WireError for what a quoted string cannot hold."""
    if not text.isascii() or any(letter in text for letter in "\r\n\0"):
        raise WireError("only plain ASCII can be said here")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def folder_name(name: str) -> str:
    """The name of a folder as IMAP spells it (modified UTF-7), quoted. Raises WireError."""
    said, held = "", ""
    for letter in [*name, ""]:
        if letter and not " " <= letter <= _LAST_ASCII:
            held += letter
            continue
        if held:
            code = base64.b64encode(held.encode("utf-16-be", errors="replace")).decode().rstrip("=").replace("/", ",")
            said, held = f"{said}&{code}-", ""
        said += "&-" if letter == "&" else letter
    return quoted(said)


def _is_status(line: bytes) -> bool:
    words = line.split(b" ", 2)
    return line[:1] == b"+" or (len(words) > 1 and _text(words[1]).upper() in STATUSES)


def _status(text: str) -> tuple[str, str, str]:
    found = _STATUS.fullmatch(text)
    if found is None:
        return "", "", text
    return (found[1] or "").upper(), found[2] or "", found[3]


def _items(parts: Sequence[bytes]) -> Sequence[Item]:
    stack: list[list[Item]] = [[]]
    for place, part in enumerate(parts):
        if place % 2:
            stack[-1].append(part)
        else:
            _scan(part, stack)
    if len(stack) != 1:
        raise WireError("a parenthesis is not closed")
    return stack[0]


def _scan(text: bytes, stack: list[list[Item]]) -> None:
    place = 0
    while place < len(text):
        letter = text[place : place + 1]
        place += 1
        if letter == b"(":
            if len(stack) > _DEPTH_LIMIT:
                raise WireError("parentheses are nested too deep")
            stack.append([])
        elif letter == b")":
            if len(stack) == 1:
                raise WireError("a parenthesis was never opened")
            done = stack.pop()
            stack[-1].append(done)
        elif not letter.isspace():
            place = _word(text, place - 1, stack[-1])


def _word(text: bytes, place: int, into: list[Item]) -> int:
    found = _QUOTED.match(text, place)
    if found is not None:
        into.append(re.sub(rb"\\(.)", rb"\1", found[1], flags=re.DOTALL))
        return found.end()
    found = _ATOM.match(text, place)
    if found is None:
        raise WireError("a string or bracket is not closed")
    into.append(None if found[0].upper() == b"NIL" else found[0])
    return found.end()


def _number(digits: bytes) -> int:
    if len(digits) > 20:  # noqa: PLR2004 - the digits of 64 bits
        raise WireError("a number is too large")
    return int(digits)


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")
