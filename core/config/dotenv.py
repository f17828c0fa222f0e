"""The `.env` file of a home: KEY=VALUE lines, and what is wrong with them; never a value in a message."""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

FILE_NAME = ".env"
SIZE_LIMIT_BYTES = 1_048_576

Values = dict[str, tuple[str, int]]

_LINE = re.compile(r"\s*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_.]*)[ \t]*=[ \t]*(?P<rest>.*)", re.DOTALL)
_COMMENT = re.compile(r"(?:^|\s)#.*$")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
_REFERENCE = re.compile(r"\$\{[^}]*\}")


def read(home: Path) -> Mapping[str, tuple[str, int]]:
    """Every name with its value and line; of a name that stands there twice the last. Empty without a file.

    Lines that say nothing are left out; problems() names them. Blocks.
    """
    return read_whole(home)[0]


def problems(home: Path) -> list[str]:
    """What is wrong with the file, one line each with its line number and never its content. Blocks."""
    return read_whole(home)[1]


def parse(text: str) -> tuple[Values, list[str]]:
    r"""Names with values and lines, and what is wrong (pure).

    A value in double quotes may hold \n, \t, \" and \\ and go over several lines; in single quotes everything
    stands for itself; without quotes a # after a blank begins a comment. `export` is left out. Nothing is expanded.
    """
    values: Values = {}
    wrong: list[str] = []
    lines = text.split("\n")
    place = 0
    while place < len(lines):
        number, line = place + 1, lines[place].rstrip("\r")
        place += 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            wrong.append(f"{FILE_NAME}:{number}: not KEY=VALUE; left out")
            continue
        name, rest = found["name"], found["rest"]
        quote = rest[:1] if rest[:1] in {'"', "'"} else ""
        if not quote:
            value = _COMMENT.sub("", rest).strip()
        else:
            end, looked = _end(rest, quote, 1)
            while end < 0 and place < len(lines):
                rest += "\n" + lines[place].rstrip("\r")
                place += 1
                end, looked = _end(rest, quote, looked)
            if end < 0:
                wrong.append(f"{FILE_NAME}:{number}: {name} has a quote that is never closed; left out")
                place = number
                continue
            if (tail := rest[end + 1 :].strip()) and not tail.startswith("#"):
                wrong.append(f"{FILE_NAME}:{number}: {name} goes on after its closing quote; what follows is left out")
            value = rest[1:end]
            if quote == '"':
                value = _ESCAPED.sub(lambda match: _ESCAPES.get(match[1], match[1]), value)
        if quote != "'" and _REFERENCE.search(value):
            wrong.append(f"{FILE_NAME}:{number}: {name} holds ${{...}}, which is not expanded here")
        if name in values:
            wrong.append(
                f"{FILE_NAME}:{number}: {name} is there twice, first on line {values[name][1]}; the last counts"
            )
        values[name] = (value, number)
    return values, wrong


def _end(rest: str, quote: str, place: int) -> tuple[int, int]:
    """Where the quote is closed, -1 for nowhere; and where to look on when there is more text."""
    while place < len(rest):
        if rest[place] == "\\" and quote == '"':
            place += 2
            continue
        if rest[place] == quote:
            return place, place
        place += 1
    return -1, place


def read_whole(home: Path) -> tuple[Values, list[str]]:
    """What read() and problems() say, from one look at the file. Blocks."""
    path = home / FILE_NAME
    try:
        # Without O_NONBLOCK a named pipe would hold the core until somebody writes to it.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            mode = os.fstat(handle).st_mode
            body = stream.read(SIZE_LIMIT_BYTES + 1) if stat.S_ISREG(mode) else b""
    except FileNotFoundError:
        return {}, []
    except OSError as error:
        return {}, [f"{FILE_NAME} cannot be read: {error.strerror}; nothing of it counts"]
    if not stat.S_ISREG(mode):
        return {}, [f"{FILE_NAME} is not a plain file; nothing of it counts"]
    if len(body) > SIZE_LIMIT_BYTES:
        return {}, [f"{FILE_NAME} is larger than {SIZE_LIMIT_BYTES} bytes; nothing of it counts"]
    try:
        values, wrong = parse(body.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        return {}, [f"{FILE_NAME}:{line}: not UTF-8; nothing of the file counts"]
    if stat.S_IMODE(mode) & 0o077:
        wrong.insert(0, f"{FILE_NAME} can be read by others: chmod 600 {path}")
    return values, wrong
