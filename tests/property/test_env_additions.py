"""Secrets added to a `.env`, whatever stands there and whatever they are: read back as they were, or refused."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from core.api.errors import ConfigError
from core.config import dotenv
from core.migration.writing import with_secrets

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
FILES = st.lists(
    st.one_of(TEXTS, st.sampled_from(["A=b", "A='b", 'B="c', 'B="c\\', "# no", "export C=d", "'", '"', "A=1 # x"]))
).map("\n".join)
NAMES = st.sampled_from(["X_TOKEN", "Y_PASSWORD", "Z"])


@given(FILES, st.dictionaries(NAMES, TEXTS, min_size=1))
def test_what_is_added_is_read_back_and_nothing_else_changes(text: str, values: dict[str, str]) -> None:
    """Or nothing is added at all, because a quote that is open there would swallow it."""
    before = {name: value for name, (value, _) in dotenv.parse(text)[0].items() if name not in values}
    with suppress(ConfigError):
        after = with_secrets(text, values)
        assert after.startswith(text)
        found = {name: value for name, (value, _) in dotenv.parse(after)[0].items()}
        assert found == before | values


@given(st.dictionaries(NAMES, TEXTS, min_size=1))
def test_a_new_file_takes_any_value(values: dict[str, str]) -> None:
    """Quotes, backslashes, line ends, comments, references."""
    found, _ = dotenv.parse(with_secrets("", values))
    assert {name: value for name, (value, _) in found.items()} == values
