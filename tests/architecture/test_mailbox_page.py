"""The page about mailboxes: its example runs and prints what it says, and the tests that it names exist."""

import ast
import re
import subprocess
import sys
from functools import cache

import pytest

from tests.support.tree import ROOT, python_files

PAGE = ROOT / "docs" / "concepts" / "mailbox.md"
TEXT = PAGE.read_text(encoding="utf-8")
ROW = re.compile(r"^\| (\d+b?) \|.*\| ([^|]*) \|$", re.MULTILINE)


def blocks(language: str) -> list[str]:
    """The fenced blocks of the page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@cache
def all_tests() -> frozenset[str]:
    """The names of all test functions of the repository."""
    return frozenset(
        node.name
        for path in python_files("tests")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


def test_the_quick_start_of_the_page_runs_and_prints_what_it_says() -> None:
    """The program as a reader would copy it, in an interpreter of its own, with warnings as errors."""
    (program,) = blocks("python")
    (printed,) = blocks("text")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == (printed, "")


def test_every_row_of_the_feature_table_names_its_test() -> None:
    """All features are there, in order, and none is without a test."""
    rows = ROW.findall(TEXT)
    numbers = [str(number) for number in range(1, 25)]
    for late, after in (("6b", "6"), ("9b", "9"), ("11b", "11")):
        numbers.insert(numbers.index(after) + 1, late)
    assert [number for number, _ in rows] == numbers
    assert [number for number, cell in rows if not re.search(r"`test_\w+`", cell)] == []


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+)`", TEXT))))
def test_each_test_that_the_page_names_exists(name: str) -> None:
    """A renamed or removed test is noticed here."""
    assert name in all_tests()
