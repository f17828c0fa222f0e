"""The list of sessions: one row moves, the rest stays; an added letter narrows; nothing moves when no key changed."""

import random

import pytest

from console.session_filter import parse_filter
from console.session_index import SORTS, STATES, Selection, SessionIndex
from core.api.sessions import SessionState, SessionView
from tests.support.views import ago, session


def listed(index: SessionIndex, *, sort: str = "attention", hides_idle: bool = True, words: str = "") -> list[str]:
    """The ids of a selection; `words` is a filter."""
    selection = Selection(filter=parse_filter(words, states=STATES), sort=sort, hides_idle=hides_idle)
    return index.listed(selection, ages=lambda _view: (0.0, 0.0))


def index_of(*views: SessionView) -> SessionIndex:
    """An index that took these in."""
    index = SessionIndex()
    for view in views:
        index.put(view)
    return index


def some(number: int, version: int, draw: random.Random) -> SessionView:
    """A session with whatever state, age and title."""
    return session(
        f"s{number:03d}",
        version=version,
        state=draw.choice((SessionState.IDLE, SessionState.FAILED, SessionState.QUEUED)),
        inbound=ago(draw.randrange(50)),
        title=draw.choice(("", "alpha", "Beta", "gamma")),
        queue_depth=draw.randrange(3),
    )


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("hides_idle", [False, True])
def test_rows_that_move_one_by_one_end_where_a_new_list_has_them(sort: str, hides_idle: bool):
    """Few changes are put in their places, many are sorted anew: both give the same list."""
    draw = random.Random(sort)
    newest = {number: some(number, 1, draw) for number in range(200)}
    index = index_of(*newest.values())
    listed(index, sort=sort, hides_idle=hides_idle)
    for version, count in enumerate((1, 3, 10, 100, 2), start=2):
        for number in draw.sample(range(210), count):
            newest[number] = some(number, version, draw)
            index.put(newest[number])
        fresh = index_of(*newest.values())
        assert listed(index, sort=sort, hides_idle=hides_idle) == listed(fresh, sort=sort, hides_idle=hides_idle)


def test_a_change_that_moves_no_row_gives_the_same_list():
    """Who looks can tell by identity that there is nothing to do."""
    index = index_of(session("ana", inbound=ago(5)), session("bo", inbound=ago(9)))
    before = listed(index, hides_idle=False)
    index.put(session("ana", version=2, inbound=ago(5), entry_count=7))
    assert listed(index, hides_idle=False) is before


def test_a_list_that_was_given_out_is_not_changed_later():
    """A table may keep it while rows move."""
    index = index_of(*(session(f"s{number}", inbound=ago(number)) for number in range(20)))
    before = listed(index, hides_idle=False)
    kept = list(before)
    index.put(session("s3", version=2, inbound=ago(100)))
    assert listed(index, hides_idle=False) != kept
    assert before == kept


@pytest.mark.parametrize(
    ("first", "then", "found"),
    [
        ("a", "an", ["ana", "annika"]),
        ("ann", "an", ["ana", "annika"]),
        ("an -nn", "an", ["ana", "annika"]),
        ("an", "an -nn", ["ana"]),
        ("bo", "an", ["ana", "annika"]),
        ("an", "an state:idle", ["ana", "annika"]),
    ],
)
def test_a_filter_finds_the_same_whatever_was_looked_for_before(first: str, then: str, found: list[str]):
    """What passed last time is looked through again only when the new words ask for more."""
    index = index_of(*(session(name) for name in ("ana", "annika", "bo")))
    listed(index, words=first, sort="id", hides_idle=False)
    ids = listed(index, words=then, sort="id", hides_idle=False)
    assert [row_id.rpartition(":")[2] for row_id in ids] == found


def test_a_row_whose_words_changed_is_found_by_the_new_ones():
    """An earlier result does not hide it."""
    index = index_of(session("ana"), session("bo"))
    assert listed(index, words="beach", sort="id", hides_idle=False) == []
    index.put(session("bo", version=2, title="beach party"))
    assert listed(index, words="beach", sort="id", hides_idle=False) == ["local:dm:bo"]
