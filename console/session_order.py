"""One order of sessions, kept up row by row: a change moves one row and leaves all others where they are (pure).

A row has one key that compares fast; rows of equal key are in the order of their ids. What changed is
taken out of the order of last time and put in at its new place, so nothing is ever sorted anew but a
selection that nobody looked at before.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable

from core.api.sessions import SessionState, SessionView

SORTS = ("attention", "wait", "id", "agent", "who", "platform", "state", "queue", "age")

_RANK = {
    SessionState.WAITING: 0,
    SessionState.FAILED: 1,
    SessionState.INTERRUPTING: 2,
    SessionState.RUNNING: 3,
    SessionState.QUEUED: 4,
    SessionState.IDLE: 5,
}
# Wider than any time in seconds: one number holds a rank and, below it, an instant to a ten-thousandth of a second.
_RANK_SPAN_S = 1e11
# With more rows to move than this share, sorting all of them is quicker.
_MANY = 8

_Key = float | str


def who(view: SessionView) -> str:
    """The people of a session in one word: chat name, title or native ids."""
    source = view.source
    if source.chat_name or view.title:
        return source.chat_name or view.title
    return source.chat if source.user is None else f"{source.chat}/{source.user}"


def _attention(view: SessionView, at: float) -> _Key:
    # Of those that wait the longest comes first, of the idle ones the latest.
    if view.state is SessionState.IDLE:
        return _RANK[view.state] * _RANK_SPAN_S - at
    return _RANK[view.state] * _RANK_SPAN_S + at


_KEYS: dict[str, Callable[[SessionView, float], _Key]] = {
    "attention": _attention,
    "wait": lambda view, at: at + _RANK_SPAN_S if view.state is SessionState.IDLE else at,
    "id": lambda _view, _at: 0.0,
    "agent": lambda view, at: f"{view.agent}\0{at:019.6f}",
    "who": lambda view, _at: who(view).lower(),
    "platform": lambda view, _at: view.source.platform,
    "state": lambda view, _at: float(_RANK[view.state]),
    "queue": lambda view, at: at - view.queue_depth * _RANK_SPAN_S,
    "age": lambda view, _at: view.created.at,
}


class SessionOrder:
    """The ids of the sessions that are in some states, by one of SORTS.

    states: None for all. views, since: the rows and since when they are in their state, which the owner keeps.
    """

    def __init__(
        self,
        sort: str,
        states: frozenset[str] | None,
        views: dict[str, SessionView],
        since: dict[str, float],
    ) -> None:
        self.sort = sort
        self.states = states
        self._make = _KEYS[sort]
        self._views = views
        self._since = since
        self._keys: dict[str, _Key] = {}
        self._ids: list[str] = []
        self._moved: set[str] = set()

    def fill(self, ids: Iterable[str]) -> None:
        """Take these rows in, and no other."""
        make, views, since = self._make, self._views, self._since
        self._keys = {row_id: make(views[row_id], since[row_id]) for row_id in ids}
        self._sort_all()

    def put(self, row_id: str) -> None:
        """The row is new or changed. One that is in another state now may come in or go."""
        view = self._views[row_id]
        if self.states is not None and view.state.value not in self.states:
            if self._keys.pop(row_id, None) is not None:
                self._moved.add(row_id)
            return
        key = self._make(view, self._since[row_id])
        if self._keys.get(row_id) != key:
            self._keys[row_id] = key
            self._moved.add(row_id)

    def ids(self) -> list[str]:
        """All in order. The list is never changed later: while nothing moves it is the same one."""
        if len(self._moved) * _MANY > len(self._ids):
            self._sort_all()
        elif self._moved:
            self._move()
        return self._ids

    def _sort_all(self) -> None:
        self._moved.clear()
        self._ids = self._by_key(self._keys)

    def _by_key(self, ids: Iterable[str]) -> list[str]:
        # Two sorts by one plain value each are several times faster than one by pairs.
        found = sorted(ids)
        if self.sort != "id":
            found.sort(key=self._keys.__getitem__)
        return found

    def _move(self) -> None:
        moved, keys = self._moved, self._keys
        stays = [row_id for row_id in self._ids if row_id not in moved]
        order: list[str] = []
        done = 0
        for row_id in self._by_key([row_id for row_id in moved if row_id in keys]):
            place = self._place(stays, row_id, done)
            order += stays[done:place]
            order.append(row_id)
            done = place
        order += stays[done:]
        self._ids = order
        self._moved = set()

    def _place(self, stays: list[str], row_id: str, first: int) -> int:
        key_of = self._keys.__getitem__
        key = key_of(row_id)
        first = bisect_left(stays, key, first, key=key_of)
        last = bisect_right(stays, key, first, key=key_of)
        return bisect_left(stays, row_id, first, last)
