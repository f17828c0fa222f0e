"""One idea fits into 400 lines."""

from tests.support.tree import ROOT, python_files

LIMIT_LINES = 400


def test_no_file_is_longer_than_the_limit() -> None:
    """The limit has no list of exceptions."""
    sizes = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in python_files("core", "console", "tests", "bench", "scripts")
    }
    assert {name: lines for name, lines in sizes.items() if lines > LIMIT_LINES} == {}
