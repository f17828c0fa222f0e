"""Patterns under every text: an exact one names one thing, and nothing slips through a wildcard."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core.agents.policy.patterns import check_pattern, exact_pattern, examples, is_exact, matches
from core.api.errors import InvalidInput

TRICKY = st.text(alphabet=st.sampled_from("abc .*?[]\\:/;|&$()`<>\n\r\t\u202e\u200b'\"-="), min_size=1, max_size=24)
TEXTS = TRICKY | st.text(min_size=1, max_size=24)
GLOBS = st.sampled_from(["git *", "*", "g*t *", "git ?*"])
META = list(";|&$()`<>\n\r\x00\x1b\x7f\x85\u200b\u2028\u202e\ufeff")


@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_an_exact_pattern_matches_itself_and_nothing_else(tool: str, target: str, tool_2: str, target_2: str) -> None:
    """Whatever stands in tool and target, stars, colons and backslashes too."""
    pattern = exact_pattern(tool, target)
    assert is_exact(pattern)
    assert matches(pattern, tool, target)
    assert examples(pattern) == ()
    assert matches(pattern, tool_2, target_2) is ((tool, target) == (tool_2, target_2))
    assert not matches(pattern, tool, target + "x")


@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_two_things_have_two_exact_patterns(tool: str, target: str, tool_2: str, target_2: str) -> None:
    """A grant never stands for something else that happens to be written alike."""
    same = (tool, target) == (tool_2, target_2)
    assert (exact_pattern(tool, target) == exact_pattern(tool_2, target_2)) is same


@given(
    st.sampled_from(META),
    st.text(max_size=12),
    st.text(max_size=12),
    st.sampled_from(["git *", "*", "g*t *", "git ?*"]),
)
def test_no_metacharacter_slips_through_a_wildcard(meta: str, before: str, after: str, glob: str) -> None:
    """Wherever it stands, and whatever stands around it."""
    assert not matches(f"exec:{glob}", "exec", f"git {before}{meta}{after}")


@given(st.sampled_from(META), st.text(alphabet="abc ", max_size=8), st.text(alphabet="abc ", max_size=8))
def test_a_metacharacter_matches_only_where_it_is_spelled(meta: str, before: str, after: str) -> None:
    """A pattern with the character itself lets that one through, and no second one."""
    pattern = f"exec:*{meta}*"
    assert matches(pattern, "exec", f"{before}{meta}{after}")
    assert not matches(pattern, "exec", f"{before}{meta}{meta}{after}")


@given(st.text(alphabet="ab*?/. ", min_size=1, max_size=10), st.text(alphabet="ab/. ", min_size=1, max_size=14))
def test_a_glob_matches_what_a_plain_one_matches(glob: str, target: str) -> None:
    """Compared with the simplest matcher there is, wherever no folder is climbed."""
    assume(".." not in glob.replace("*", "").replace("?", "") and ".." not in target)
    assume(sum(letter in "*?" for letter in glob) <= 16)
    assert matches(f"exec:{glob}", "exec", target) is _plain(glob, target)


def _plain(glob: str, text: str) -> bool:
    if not glob:
        return not text
    if glob[0] == "*":
        return _plain(glob[1:], text) or (bool(text) and _plain(glob, text[1:]))
    return bool(text) and glob[0] in {"?", text[0]} and _plain(glob[1:], text[1:])


@given(st.text(alphabet=st.sampled_from("ab:*?[]\\ /.;x\x1b"), max_size=16), TEXTS)
def test_whatever_an_operator_writes_is_refused_or_works(pattern: str, target: str) -> None:
    """Nothing but InvalidInput comes out, and each example that is shown matches."""
    matches(pattern, "a", target)
    try:
        check_pattern(pattern)
    except InvalidInput:
        return
    tool = pattern.partition(":")[0]
    if "*" not in tool and "?" not in tool and "\\" not in tool:
        assert all(matches(pattern, tool, text) for text in examples(pattern))


@pytest.mark.parametrize("climb", ["..", "../x", "a/../x", "a/..", "%2e%2e/x", "x/%2E./y"])
@given(st.text(alphabet="ab/", max_size=6))
def test_no_wildcard_climbs(climb: str, before: str) -> None:
    """Out of the folder that the pattern names."""
    assert not matches("read:/ws/*", "read", f"/ws/{before}/{climb}")
