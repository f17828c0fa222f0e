"""The page about differences from hermes-agent says what the differential suite takes for intended."""

from tests.differential.intended import markdown
from tests.support.tree import ROOT


def test_the_page_has_the_table_of_the_suite() -> None:
    """`python -m tests.differential.intended` prints it."""
    page = (ROOT / "docs" / "concepts" / "differences.md").read_text(encoding="utf-8")
    assert page.endswith(markdown() + "\n")
