"""Names that say nothing, and marks of unfinished work, stay out of the tree."""

import ast
import re

import pytest

from tests.support.tree import ROOT, python_files

EMPTY_WORDS = {"util", "utils", "helper", "helpers", "common", "manager", "managers", "misc", "stuff"}
FORBIDDEN = {
    "a mark of unfinished work": re.compile(r"\b(TODO|FIXME|XXX)\b|NotImplementedError"),
    "an import that only the type checker sees": re.compile(r"\bTYPE_CHECKING\b"),
    "an ignored type error without its code and its reason": re.compile(r"#\s*type:\s*ignore(?!\[[a-z0-9, -]+\])"),
}
SOURCES = ("core", "console", "bench", "scripts", "tests")
# A test of these rules has to spell them out.
SELF = ROOT / "tests" / "architecture" / "test_names.py"


def test_no_module_has_a_name_without_a_meaning() -> None:
    """A file is named for the one idea in it."""
    empty = [
        str(path.relative_to(ROOT))
        for path in python_files(*SOURCES)
        if EMPTY_WORDS & set(path.relative_to(ROOT).with_suffix("").parts) or EMPTY_WORDS & set(path.stem.split("_"))
    ]
    assert empty == []


def test_every_module_says_its_idea_in_its_first_line() -> None:
    """A docstring opens each module of the product."""
    silent = [
        str(path.relative_to(ROOT))
        for path in python_files("core", "console")
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []


def test_every_test_states_its_fact() -> None:
    """Each test function has a docstring."""
    silent = [
        f"{path.relative_to(ROOT)}::{node.name}"
        for path in python_files("tests")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


def test_test_files_have_names_of_their_own() -> None:
    """The test folders are no packages, so two files of one name would hide each other."""
    names = [path.name for path in python_files("tests") if path.name.startswith("test_")]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("what", FORBIDDEN)
def test_nothing_is_left_half_done(what: str) -> None:
    """No file holds a mark of unfinished work or a way round the type checker."""
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in python_files(*SOURCES)
        if path != SELF
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if FORBIDDEN[what].search(line)
    ]
    assert found == []
