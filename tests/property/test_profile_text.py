"""Settings that an operator edits as lines: nothing is changed by looking at them, and no line steers a terminal."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.profile_text import changes_of, lines_of, read_settings
from core.api.errors import InvalidInput

KEYS = st.from_regex(r"[a-z][a-z_]{0,10}", fullmatch=True)
TEXTS = st.one_of(
    st.text(max_size=20), st.sampled_from(["null", "1", "true", "# no", "a: b", " x ", "a\u202eb", "\x1b[2J"])
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_what_is_only_looked_at_is_not_changed(settings: dict[str, Any]) -> None:
    """Whatever the values are; each is one line that can be printed."""
    lines = lines_of(settings)
    assert all(line.isprintable() for line in lines)
    assert read_settings("\n".join(lines)) == settings
    assert changes_of(settings, settings) == {}


@given(st.dictionaries(KEYS, VALUES, max_size=4), st.dictionaries(KEYS, VALUES, max_size=4))
def test_only_what_is_another_is_sent(before: dict[str, Any], after: dict[str, Any]) -> None:
    """A key that is gone goes back to its default."""
    changes = changes_of(before, after)
    assert {**before, **changes} == {**after, **dict.fromkeys(before.keys() - after.keys())}
    assert all(name not in before or before[name] != value for name, value in changes.items() if name in after)


@pytest.mark.parametrize(
    ("lines", "field"), [("no sign", "line 1"), ("a: 1\n: 2", "line 2"), ("a: 1\na: 2", "a"), ("a: [1", "a")]
)
def test_a_line_that_cannot_be_is_named(lines: str, field: str) -> None:
    """With what to do about it."""
    with pytest.raises(InvalidInput) as caught:
        read_settings(lines)
    assert caught.value.facts["field"] == field
    assert caught.value.facts["fix"]
