"""The difference between two texts as a unified diff, in bounded time (pure)."""

import difflib
from collections.abc import Iterator, Sequence

_CONTEXT_LINES = 3
_CLEVER_LINES = 400
_NO_LINE_END = "\\ No newline at end of file\n"


def unified_diff(path: str, before: str | None, after: str) -> str:
    """The change of one file, whole. before: None when the file is new. Without a change it is ""."""
    old, new = _lines(before or ""), _lines(after)
    head = (path if before is not None else "/dev/null", path)
    if max(len(old), len(new)) <= _CLEVER_LINES:
        lines: Iterator[str] = difflib.unified_diff(old, new, *head, n=_CONTEXT_LINES)
    else:
        lines = _plain_diff(old, new, head)
    return "".join(line if line.endswith("\n") else f"{line}\n{_NO_LINE_END}" for line in lines)


def _lines(text: str) -> list[str]:
    # Not splitlines: it knows more line ends than a file has.
    *lines, rest = text.split("\n")
    return [f"{line}\n" for line in lines] + ([rest] if rest else [])


def _plain_diff(old: Sequence[str], new: Sequence[str], head: tuple[str, str]) -> Iterator[str]:
    """All that lies between the first and the last changed line as one hunk: finding the least may take for ever."""
    start = _common(old, new)
    stop = min(_common(old[::-1], new[::-1]), min(len(old), len(new)) - start)
    if start == len(old) == len(new):
        return
    first, after = max(0, start - _CONTEXT_LINES), min(stop, _CONTEXT_LINES)
    gone, come = old[start : len(old) - stop], new[start : len(new) - stop]
    shared = start - first + after
    yield f"--- {head[0]}\n"
    yield f"+++ {head[1]}\n"
    yield f"@@ -{_span(first, shared + len(gone))} +{_span(first, shared + len(come))} @@\n"
    yield from (f" {line}" for line in old[first:start])
    yield from (f"-{line}" for line in gone)
    yield from (f"+{line}" for line in come)
    yield from (f" {line}" for line in old[len(old) - stop : len(old) - stop + after])


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many elements are the same at the beginning."""
    return next(
        (place for place, (left, right) in enumerate(zip(one, other, strict=False)) if left != right),
        min(len(one), len(other)),
    )


def _span(first: int, count: int) -> str:
    return f"{first + 1 if count else first},{count}"
