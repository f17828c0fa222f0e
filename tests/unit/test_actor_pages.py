"""Deeds of certain actors, looked for page by page in a long journal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.actor_pages import LOOKED_THROUGH, by_actors
from core.api.base import Actor, ActorKind, Record, Seq
from core.api.system import AlarmRaised, ListEvents

PEOPLE = (ActorKind.OPERATOR, ActorKind.SENDER)


class Journal:
    """Records of these actors, one after the other; counts what was read."""

    def __init__(self, kinds: list[ActorKind]) -> None:
        event = AlarmRaised(what="x", error="y")
        self.records = [
            Record(seq=Seq(place), at=0.0, actor=Actor(kind, "n"), subject="s", event=event)
            for place, kind in enumerate(kinds, start=1)
        ]
        self.read_count = 0

    async def read(
        self, *, after: Seq | None = None, before: Seq | None = None, subject: str = "", limit: int = 500
    ) -> list[Record]:
        """As the journal does."""
        low = after or 0
        high = before if before is not None else len(self.records) + 1
        found = self.records[low : max(low, high - 1)]
        page = found[:limit] if after is not None else found[-limit:]
        self.read_count += len(page)
        return page


async def pages(journal: Journal, limit: int, *, is_forward: bool) -> list[Seq]:
    """All of them, page by page."""
    found: list[Seq] = []
    query = ListEvents(actors=PEOPLE, limit=limit, after=Seq(0) if is_forward else None)
    while True:
        records, reached = await by_actors(journal.read, query)
        assert len(records) <= limit
        found = [*found, *(item.seq for item in records)] if is_forward else [*(item.seq for item in records), *found]
        if is_forward and (reached >= len(journal.records) or reached == query.after):
            return found
        if not is_forward and reached <= 1:
            return found
        query = ListEvents(actors=PEOPLE, limit=limit, **{"after" if is_forward else "before": reached})  # type: ignore[arg-type]


@given(kinds=st.lists(st.sampled_from(list(ActorKind)), max_size=60), limit=st.integers(1, 7), is_forward=st.booleans())
async def test_every_deed_comes_exactly_once_in_order(kinds: list[ActorKind], limit: int, is_forward: bool) -> None:
    """Whatever the size of a page, from either end."""
    journal = Journal(kinds)
    wanted = [place for place, kind in enumerate(kinds, start=1) if kind in PEOPLE]
    assert await pages(journal, limit, is_forward=is_forward) == wanted


async def test_a_question_reads_a_bounded_part_of_the_journal() -> None:
    """A long journal without a deed costs no more than that, and the answer says how far it came."""
    journal = Journal([ActorKind.SYSTEM] * (LOOKED_THROUGH * 2))
    records, reached = await by_actors(journal.read, ListEvents(actors=PEOPLE))
    assert (records, journal.read_count) == ([], LOOKED_THROUGH)
    assert reached == LOOKED_THROUGH + 1


@pytest.mark.parametrize("limit", [1, 3])
async def test_the_newest_come_first_when_nothing_else_is_asked(limit: int) -> None:
    """As without a filter."""
    journal = Journal([ActorKind.OPERATOR] * 10)
    records, reached = await by_actors(journal.read, ListEvents(actors=PEOPLE, limit=limit))
    assert [item.seq for item in records] == list(range(11 - limit, 11))
    assert reached == 11 - limit
