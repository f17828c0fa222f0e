"""No type is first met by two threads at once: msgspec would crash the program."""

import re

import pytest

from tests.support.tree import ROOT, python_files

FIRST_USE = re.compile(r"msgspec\.\w+\.decode\([^\n]*type=")


@pytest.mark.parametrize("part", ["core", "console"])
def test_a_typed_decoder_is_made_when_its_module_is_imported(part: str) -> None:
    """Decoders stand at module level; none is made in passing, on whatever thread comes first."""
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in python_files(part)
        for line in path.read_text(encoding="utf-8").splitlines()
        if FIRST_USE.search(line)
    ]
    assert found == []
