"""All sessions in the order and selection that a list shows, kept up row by row (pure).

Search text and sort keys are made once for each change of a row, so that a hundred thousand
rows are filtered and sorted in tens of milliseconds, on the order they had before.
"""

import heapq
from collections.abc import Callable, Iterable

import msgspec

from console.session_filter import SessionFilter
from core.api.base import Mark
from core.api.sessions import SessionState, SessionView

STATES = tuple(state.value for state in SessionState)
SORTS = ("attention", "wait", "id", "agent", "who", "platform", "state", "queue", "age")

_RANK = {"waiting": 0, "failed": 1, "interrupting": 2, "running": 3, "queued": 4, "idle": 5}
_Key = tuple[float | str, ...]


def since(view: SessionView) -> Mark:
    """Since when a session is in the state that it is in."""
    if view.state is SessionState.QUEUED and view.queue_head is not None:
        return view.queue_head
    if view.run is not None:
        return view.run.phase_since if view.state is SessionState.WAITING else view.run.started
    if view.last_outcome is not None:
        return view.last_outcome.ended
    return view.inbound or view.created


def who(view: SessionView) -> str:
    """The people of a session in one word: chat name, title or native ids."""
    source = view.source
    if source.chat_name or view.title:
        return source.chat_name or view.title
    return source.chat if source.user is None else f"{source.chat}/{source.user}"


def haystack(view: SessionView) -> str:
    """What a plain word of a filter is looked for in."""
    source = view.source
    return (
        f"{view.id}\n{view.agent}\n{source.platform}\n{source.chat}\n{source.chat_name}\n"
        f"{source.user or ''}\n{view.title}\n{view.state.value}"
    ).lower()


def _words(view: SessionView) -> tuple[object, ...]:
    return view.state, view.title, view.agent, view.source


def _attention(view: SessionView, at: float) -> _Key:
    rank = _RANK[view.state.value]
    # Of those that wait the longest comes first, of the idle ones the latest.
    return (rank, at if rank < _RANK["idle"] else -at, view.id)


_KEYS: dict[str, Callable[[SessionView, float], _Key]] = {
    "attention": _attention,
    "wait": lambda view, at: (view.state is SessionState.IDLE, at, view.id),
    "id": lambda view, _at: (view.id,),
    "agent": lambda view, at: (view.agent, at, view.id),
    "who": lambda view, _at: (who(view).lower(), view.id),
    "platform": lambda view, _at: (view.source.platform, view.id),
    "state": lambda view, _at: (_RANK[view.state.value], view.id),
    "queue": lambda view, at: (-view.queue_depth, at, view.id),
    "age": lambda view, _at: (view.created.at, view.id),
}


class Selection(msgspec.Struct, frozen=True):
    """What a list asks for. hides_idle: leaves idle ones out unless the filter names them."""

    filter: SessionFilter = SessionFilter()
    sort: str = "attention"
    is_reversed: bool = False
    hides_idle: bool = True


class SessionIndex:
    """Search text, sort keys and states of all rows; `listed` gives the ids of a selection."""

    def __init__(self) -> None:
        self._views: dict[str, SessionView] = {}
        self._texts: dict[str, str] = {}
        self._by_state: dict[str, set[str]] = {state: set() for state in STATES}
        self._keys: dict[str, dict[str, _Key]] = {"attention": {}}
        self._order: dict[tuple[str, bool], list[str]] = {}

    def put(self, view: SessionView) -> None:
        """Take a row in, new or changed."""
        row_id = str(view.id)
        before = self._views.get(row_id)
        if before is None or before.state is not view.state:
            if before is not None:
                self._by_state[before.state.value].discard(row_id)
            self._by_state[view.state.value].add(row_id)
        self._views[row_id] = view
        if before is None or _words(before) != _words(view):
            self._texts[row_id] = haystack(view)
        for name, keys in self._keys.items():
            if before is None or row_id in keys:
                keys[row_id] = _KEYS[name](view, since(view).at)

    @property
    def counts(self) -> dict[str, int]:
        """How many sessions are in each state."""
        return {state: len(ids) for state, ids in self._by_state.items()}

    def ids_in(self, state: SessionState) -> frozenset[str]:
        """The sessions of one state."""
        return frozenset(self._by_state[state.value])

    def in_state(self, state: SessionState, limit: int) -> list[str]:
        """The sessions of a state that are in it the longest, at most `limit`."""
        ids = self._by_state[state.value]
        return heapq.nsmallest(limit, ids, key=lambda row_id: since(self._views[row_id]).at)

    def listed(self, selection: Selection, *, ages: Callable[[SessionView], tuple[float, float]]) -> list[str]:
        """The ids of a selection in its order. `ages`: of the row and of its state, in seconds."""
        wanted = self._candidates(selection)
        ids = self._sorted(selection, wanted)
        return self._passed(selection.filter, ids, ages)

    def _candidates(self, selection: Selection) -> set[str] | None:
        states = selection.filter.states
        if states is None and selection.hides_idle:
            states = frozenset(STATES) - {SessionState.IDLE.value}
        if states is None or len(states) == len(STATES):
            return None
        return set[str]().union(*(self._by_state[state] for state in states))

    def _sorted(self, selection: Selection, wanted: set[str] | None) -> list[str]:
        keys = self._keys.setdefault(selection.sort, {})
        make = _KEYS[selection.sort]
        ids: Iterable[str] = self._views if wanted is None else wanted
        if len(keys) < len(self._views):
            for row_id in ids:
                if row_id not in keys:
                    view = self._views[row_id]
                    keys[row_id] = make(view, since(view).at)
        place = (selection.sort, selection.is_reversed)
        before = self._order.get(place, []) if wanted is None else []
        if wanted is None:
            # The order of last time is nearly right, which is what the sort is fastest on.
            order = before if len(before) == len(self._views) else [*before, *(self._views.keys() - set(before))]
        else:
            order = list(wanted)
        order.sort(key=keys.__getitem__, reverse=selection.is_reversed)
        if wanted is None:
            self._order[place] = order
            return list(order)
        return order

    def _passed(
        self,
        chosen: SessionFilter,
        ids: list[str],
        ages: Callable[[SessionView], tuple[float, float]],
    ) -> list[str]:
        if chosen.words or chosen.without:
            texts = self._texts
            for word in chosen.words:
                ids = [row_id for row_id in ids if word in texts[row_id]]
            for word in chosen.without:
                ids = [row_id for row_id in ids if word not in texts[row_id]]
        views = self._views
        for test in chosen.tests:
            ids = [row_id for row_id in ids if test(views[row_id])]
        for age_test in chosen.age_tests:
            ids = [row_id for row_id in ids if age_test(*ages(views[row_id]))]
        return ids
