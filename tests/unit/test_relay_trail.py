"""The trail of a message in metadata, honest and hostile."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.relay.trail import PATH_LIMIT, read_trail, trail_object, trail_text
from core.relay.wire import Trail

NAMES = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=64)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.builds(Trail, conversation=NAMES, hops=st.integers(10, 1000), path=st.lists(NAMES, max_size=10).map(tuple)))
def test_a_trail_survives_both_forms(trail: Trail) -> None:
    """As a text for HotPlex, as an object for Agent2Agent."""
    assert read_trail(trail_text(trail), "other") == trail
    assert read_trail(trail_object(trail), "other") == trail


def test_the_text_is_an_object_of_three_keys() -> None:
    """Others can read it."""
    text = trail_text(Trail(conversation="c", hops=2, path=("a", "b")))
    assert msgspec.json.decode(text) == {"conversation": "c", "hops": 2, "path": ["a", "b"]}


@pytest.mark.parametrize(
    "value",
    [
        *("", "{", "null", "[]", "5", '"text"', "{}", "[" * 100_000, b"\xff", None, 5, [], {1: 2}),
        *({"conversation": said} for said in ("", "x" * 201, "a\nb", 5)),
        *({"hops": said} for said in ("7", True, -5, 1.5)),
        {"path": {}},
    ],
)
def test_metadata_that_makes_no_sense_begins_a_trail(value: object) -> None:
    """The message is the first of its own conversation then."""
    assert read_trail(value, "own") == Trail(conversation="own")


def test_hops_are_at_least_the_names_of_the_path() -> None:
    """A peer that forgets to count does not make a way longer."""
    assert read_trail({"hops": 1, "path": ["a", "b", "c"]}, "own").hops == 3
    assert read_trail({"path": ["a", 5, None, "", "x" * 129, "b"]}, "own").path == ("a", "b")


def test_a_long_path_is_cut_and_a_high_count_bounded() -> None:
    """What a peer says takes a bounded place."""
    trail = read_trail({"hops": 10**400, "path": [str(number) for number in range(10_000)]}, "own")
    assert trail.path[-1] == "9999"
    assert len(trail.path) == PATH_LIMIT
    assert trail.hops == 1_000_000


@given(JSON | st.text() | st.binary())
def test_no_metadata_crashes_the_reader(value: object) -> None:
    """It is a trail, whatever it is."""
    trail = read_trail(value, "own")
    assert trail.conversation
    assert trail.hops >= len(trail.path)


@pytest.mark.parametrize(
    ("said", "count"), [(2.0, 2), (1e300, 1_000_000), (float("inf"), 0), (float("nan"), 0), (-3.0, 0), (2.5, 0)]
)
def test_hops_count_as_those_write_them_that_know_no_whole_numbers(said: float, count: int) -> None:
    """Metadata that went through Protobuf comes back with 2.0 in place of 2: it still shortens the way."""
    assert read_trail({"hops": said}, "talk").hops == count
