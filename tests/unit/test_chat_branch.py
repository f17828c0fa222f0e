"""Copies of a conversation: what is left out, what is copied, and earlier ones as a list."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.api.base import EntryId, RunId
from core.api.errors import InvalidInput
from core.api.transcripts import EntryKind, EntryView
from core.gateway.branch import beginning, copied, cut, epochs
from core.gateway.command_rule import split_job

SAID = {EntryKind.USER, EntryKind.NOTE}


def entry(number: int, kind: EntryKind = EntryKind.USER, run: str | None = None, epoch: int = 0) -> EntryView:
    """An entry whose id sorts by its number."""
    return EntryView(
        id=EntryId(f"e{number:04}"),
        at=float(number),
        kind=kind,
        author="bo",
        text=f"text {number}",
        epoch=epoch,
        run_id=None if run is None else RunId(run),
        covers_until=EntryId("e0000") if kind is EntryKind.SUMMARY else None,
    )


@st.composite
def conversations(draw: st.DrawFn) -> list[EntryView]:
    """Turns of one or several messages, with what agents did; some were imported without a run."""
    numbers = itertools.count(1)
    found = [entry(next(numbers), EntryKind.SUMMARY)] if draw(st.booleans()) else []
    for turn in range(draw(st.integers(0, 6))):
        run = f"r{turn}" if draw(st.booleans()) else None
        found += [entry(next(numbers), EntryKind.USER, run) for _ in range(draw(st.integers(1, 3)) if run else 1)]
        kinds = [EntryKind.AGENT, EntryKind.TOOL, EntryKind.THOUGHT, EntryKind.USER if run else EntryKind.AGENT]
        found += [entry(next(numbers), kind, run) for kind in draw(st.lists(st.sampled_from(kinds), max_size=4))]
    return found


@given(conversations(), st.integers(0, 8))
def test_what_is_left_is_the_beginning_and_what_was_said_after_it_is_told(entries: list[EntryView], turns: int) -> None:
    """Whole turns only: no run stands on both sides of the cut, and a summary is never cut off."""
    kept = cut(entries, turns)
    size = len(kept.entries)
    assert list(kept.entries) == entries[:size]
    assert list(kept.texts) == [item.text for item in entries[size:] if item.kind in SAID]
    assert kept.turns <= turns
    runs = {item.run_id for item in entries[:size]} & {item.run_id for item in entries[size:]} - {None}
    assert runs == set()
    assert all(item.kind is not EntryKind.SUMMARY for item in entries[size:])
    if kept.turns < turns:
        assert not any(item.kind in SAID for item in kept.entries)


@given(conversations())
def test_one_turn_after_the_other_is_the_same_as_both_at_once(entries: list[EntryView]) -> None:
    """Undoing twice is undoing two."""
    assert cut(cut(entries, 1).entries, 1).entries == cut(entries, 2).entries


@given(conversations())
def test_a_copy_says_the_same_in_the_same_order_under_ids_of_its_own(entries: list[EntryView]) -> None:
    """It belongs to the new epoch and to no run; what the agent is not given is not copied."""
    numbers = itertools.count(5000)
    copies = copied(entries, epoch=7, new_id=lambda: f"e{next(numbers)}")
    assert [item.text for item in copies] == [item.text for item in entries if item.kind is not EntryKind.THOUGHT]
    assert {item.epoch for item in copies} <= {7}
    assert not {item.id for item in copies} & {item.id for item in entries}
    assert [item.id for item in copies] == sorted(item.id for item in copies)
    assert all(item.run_id is None and item.message_id is None and item.is_imported for item in copies)
    assert all(item.covers_until == item.id for item in copies if item.kind is EntryKind.SUMMARY)


def test_epochs_are_known_by_their_first_words() -> None:
    """Also when one was taken up again, so that its entries are not together."""
    found = epochs([entry(1), entry(2, EntryKind.AGENT), entry(3, epoch=1), entry(4), entry(5, epoch=2)])
    assert [(item.number, item.words, item.said_count, item.last) for item in found] == [
        (0, "text 1", 2, 4.0),
        (1, "text 3", 1, 3.0),
        (2, "text 5", 1, 5.0),
    ]


def test_a_long_beginning_is_cut() -> None:
    """On one line."""
    assert beginning("a\n b") == "a b"
    assert beginning("x" * 99) == "x" * 59 + "…"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("tea every 30m make  tea", ("tea", "every 30m", "make  tea")),
        ("tea 0 9 * * 1-5 make tea", ("tea", "0 9 * * 1-5", "make tea")),
        ("tea 2026-12-24T18:00 make tea\nnow", ("tea", "2026-12-24T18:00", "make tea\nnow")),
    ],
)
def test_a_job_is_a_name_a_schedule_and_a_text(words: str, parts: tuple[str, str, str]) -> None:
    """The schedule has the words that its form has; the text stays as it is."""
    assert split_job(words) == parts


@pytest.mark.parametrize("words", ["", "tea", "tea every", "tea every 30m", "tea 0 9 * * *", "tea 2026-12-24T18:00"])
def test_half_a_job_is_none(words: str) -> None:
    """The answer says how to write one."""
    with pytest.raises(InvalidInput) as caught:
        split_job(words)
    assert "/cron add" in str(caught.value.facts["fix"])
