"""Unified diffs of whole files, also of large ones."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.agents.tools import diff
from core.agents.tools.diff import unified_diff

TEXTS = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "\n", "a\x0b\n", "\u2028\n"]), max_size=25).map("".join)


def applied(before: str, changes: str) -> str:
    """What a diff makes of a text."""
    old = re.findall(r"[^\n]*\n|[^\n]+", before)
    new: list[str] = []
    place = 0
    marker = "\\ No newline at end of file\n"
    lines = re.findall(r"[^\n]*\n", changes)
    for number, line in enumerate(lines[2:], 2):
        body = line[1:]
        if number + 1 < len(lines) and lines[number + 1] == marker:
            body = body.removesuffix("\n")
        if line.startswith("@@"):
            [(first, count)] = re.findall(r"@@ -(\d+),?(\d*) ", line)
            start = int(first) - (count != "0")
            new += old[place:start]
            place = start
        elif line.startswith((" ", "-")):
            assert old[place] == body
            place += 1
            new += [body] if line[0] == " " else []
        elif line.startswith("+"):
            new.append(body)
    return "".join(new + old[place:])


@pytest.mark.parametrize("clever_lines", [400, 0])
@given(before=TEXTS, after=TEXTS, cut=st.sampled_from([None, -1]))
def test_a_diff_is_all_that_changes(clever_lines: int, before: str, after: str, cut: int | None) -> None:
    """Made in either way it turns one text into the other; without a change it is empty."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diff, "_CLEVER_LINES", clever_lines)
        before, after = before[:cut], after[:cut]
        changes = unified_diff("f", before, after)
        assert bool(changes) is (before != after)
        assert applied(before, changes) == after


def test_a_new_file_comes_from_nowhere() -> None:
    """And an end without a line end is said."""
    assert unified_diff("f", None, "a") == "--- /dev/null\n+++ f\n@@ -0,0 +1 @@\n+a\n\\ No newline at end of file\n"
    assert unified_diff("f", "a\n", "a\n") == ""


def test_a_large_file_shows_its_change_and_not_itself() -> None:
    """Where the least difference would take too long, it is what lies between the first and last changed line."""
    lines = [f"{number}\n" for number in range(50_000)]
    changes = unified_diff("f", "".join(lines), "".join([*lines[:100], "new\n", *lines[102:]]))
    assert changes.startswith("--- f\n+++ f\n@@ -98,8 +98,7 @@\n 97\n 98\n 99\n-100\n-101\n+new\n 102\n")
    assert changes.count("\n") == 12
