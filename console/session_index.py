"""All sessions in the order and selection that a list shows, kept up row by row (pure).

Search text and sort keys are made once for each change of a row, so that a hundred thousand
rows are filtered and sorted in tens of milliseconds, on the order they had before.
"""

import heapq
from collections.abc import Callable

import msgspec

from console.session_filter import SessionFilter
from console.session_order import SORTS, SessionOrder, who
from core.api.base import Mark
from core.api.sessions import SessionState, SessionView

__all__ = ["SORTS", "STATES", "Selection", "SessionIndex", "haystack", "since", "who"]

STATES = tuple(state.value for state in SessionState)


def since(view: SessionView) -> Mark:
    """Since when a session is in the state that it is in."""
    if view.state is SessionState.QUEUED and view.queue_head is not None:
        return view.queue_head
    if view.run is not None:
        return view.run.phase_since if view.state is SessionState.WAITING else view.run.started
    if view.last_outcome is not None:
        return view.last_outcome.ended
    return view.inbound or view.created


def haystack(view: SessionView) -> str:
    """What a plain word of a filter is looked for in."""
    source = view.source
    return (
        f"{view.id}\n{view.agent}\n{source.platform}\n{source.chat}\n{source.chat_name}\n"
        f"{source.user or ''}\n{view.title}\n{view.state.value}"
    ).lower()


class Selection(msgspec.Struct, frozen=True):
    """What a list asks for. hides_idle: leaves idle and archived ones out unless the filter names them."""

    filter: SessionFilter = SessionFilter()
    sort: str = "attention"
    is_reversed: bool = False
    hides_idle: bool = True


class _Passed(msgspec.Struct, frozen=True):
    """What passed the last filter: of which ids, by which words."""

    of: list[str]
    words: tuple[str, ...]
    without: tuple[str, ...]
    ids: list[str]


class SessionIndex:
    """Search text, sort keys and states of all rows; `listed` gives the ids of a selection."""

    def __init__(self) -> None:
        self._views: dict[str, SessionView] = {}
        self._texts: dict[str, str] = {}
        self._since: dict[str, float] = {}
        self._by_state: dict[str, set[str]] = {state: set() for state in STATES}
        self._order: SessionOrder | None = None
        self._passed: _Passed | None = None
        self._archived: set[str] = set()

    def put(self, view: SessionView) -> None:
        """Take a row in, new or changed."""
        row_id = str(view.id)
        before = self._views.get(row_id)
        if before is None or before.state is not view.state:
            if before is not None:
                self._by_state[before.state.value].discard(row_id)
            self._by_state[view.state.value].add(row_id)
        (self._archived.add if view.is_archived else self._archived.discard)(row_id)
        self._views[row_id] = view
        self._since[row_id] = since(view).at
        if before is None or _texts_differ(before, view):
            self._texts[row_id] = haystack(view)
            self._passed = None
        if self._order is not None:
            self._order.put(row_id)

    @property
    def counts(self) -> dict[str, int]:
        """How many sessions are in each state."""
        return {state: len(ids) for state, ids in self._by_state.items()}

    @property
    def archived_count(self) -> int:
        """How many were put away."""
        return len(self._archived)

    def ids_in(self, state: SessionState) -> frozenset[str]:
        """The sessions of one state."""
        return frozenset(self._by_state[state.value])

    def in_state(self, state: SessionState, limit: int) -> list[str]:
        """The sessions of a state that are in it the longest, at most `limit`."""
        ids = self._by_state[state.value]
        return heapq.nsmallest(limit, ids, key=lambda row_id: since(self._views[row_id]).at)

    def listed(self, selection: Selection, *, ages: Callable[[SessionView], tuple[float, float]]) -> list[str]:
        """The ids of a selection in its order. `ages`: of the row and of its state, in seconds.

        The list is not changed later: the same list means that nothing moved.
        """
        ids = self._ordered(selection.sort, self._states(selection))
        ids = self._with_words(selection.filter, ids)
        if self._archived and selection.hides_idle and not selection.filter.is_of_archived:
            ids = [row_id for row_id in ids if row_id not in self._archived]
        ids = self._tested(selection.filter, ids, ages)
        return ids[::-1] if selection.is_reversed else ids

    def _states(self, selection: Selection) -> frozenset[str] | None:
        states = selection.filter.states
        if states is None and selection.hides_idle and not selection.filter.is_of_archived:
            states = frozenset(STATES) - {SessionState.IDLE.value}
        return None if states is None or len(states) == len(STATES) else states

    def _ordered(self, sort: str, states: frozenset[str] | None) -> list[str]:
        order = self._order
        # Only the order that somebody looks at is kept up.
        if order is None or (order.sort, order.states) != (sort, states):
            order = self._order = SessionOrder(sort, states, self._views, self._since)
            order.fill(self._views if states is None else set[str]().union(*(self._by_state[one] for one in states)))
        return order.ids()

    def _with_words(self, chosen: SessionFilter, ids: list[str]) -> list[str]:
        if not (chosen.words or chosen.without):
            return ids
        before, texts, of = self._passed, self._texts, ids
        if before is not None and before.of is ids and _narrows(chosen, before):
            ids = before.ids
        for word in chosen.words:
            ids = [row_id for row_id in ids if word in texts[row_id]]
        for word in chosen.without:
            ids = [row_id for row_id in ids if word not in texts[row_id]]
        self._passed = _Passed(of, chosen.words, chosen.without, ids)
        return ids

    def _tested(
        self,
        chosen: SessionFilter,
        ids: list[str],
        ages: Callable[[SessionView], tuple[float, float]],
    ) -> list[str]:
        views = self._views
        for test in chosen.tests:
            ids = [row_id for row_id in ids if test(views[row_id])]
        for age_test in chosen.age_tests:
            ids = [row_id for row_id in ids if age_test(*ages(views[row_id]))]
        return ids


def _texts_differ(one: SessionView, other: SessionView) -> bool:
    return (
        one.state is not other.state
        or one.title != other.title
        or one.agent != other.agent
        or (one.source is not other.source and one.source != other.source)
    )


def _narrows(chosen: SessionFilter, before: _Passed) -> bool:
    """Whether whatever passes the filter passed the one before too: a letter was added."""
    return all(any(old in new for new in chosen.words) for old in before.words) and set(before.without) <= set(
        chosen.without
    )
