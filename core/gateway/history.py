"""What the agent is given of a session: a summary of what came first, and the entries after it."""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

from core.api.base import EntryId
from core.api.sessions import SessionView
from core.api.transcripts import EntryKind, EntryView
from core.tokens import tokens_of

_PAGE = 500
_LOOK_LIMIT = 20_000

Page = Callable[[EntryId | None, int], Awaitable[Sequence[EntryView]]]
"""The newest entries before one, or the newest of all, oldest first; so many at most."""


class History:
    """Entries of one epoch. limit: entries after the summary that are kept, the newest ones.

    tokens: estimate of all of it, entry by entry.
    """

    def __init__(self, limit: int, entries: Iterable[EntryView] = (), summary: EntryView | None = None) -> None:
        self._limit = limit
        self._entries: deque[EntryView] = deque(entries, maxlen=limit)
        self._summary = summary
        self.tokens = sum(map(tokens_of, self.entries()))

    def entries(self) -> Sequence[EntryView]:
        """The summary, if there is one, then what came after it; the oldest first."""
        return list(self._entries) if self._summary is None else [self._summary, *self._entries]

    def tokens_with(self, added: Sequence[EntryView]) -> int:
        """The estimate as it will be once these are added."""
        if len(added) > self._limit or find_new_summary(added) is not None:
            return History(self._limit, *self._following(added)).tokens
        tokens = self.tokens
        for entry in added:
            tokens += tokens_of(entry)
        for place in range(len(self._entries) + len(added) - self._limit):
            tokens -= tokens_of(self._entries[place])
        return tokens

    def add(self, added: Sequence[EntryView], tokens: int) -> None:
        """Take in newer entries. tokens: what tokens_with told about them."""
        if find_new_summary(added) is not None:
            kept, self._summary = self._following(added)
            self._entries = deque(kept, maxlen=self._limit)
        else:
            self._entries.extend(added)
        self.tokens = tokens

    def _following(self, added: Sequence[EntryView]) -> tuple[list[EntryView], EntryView | None]:
        summary = find_new_summary(added) or self._summary
        kept = [item for item in (*self._entries, *added) if item.kind is not EntryKind.SUMMARY]
        if summary is not None and summary.covers_until is not None:
            covered = summary.covers_until
            kept = [item for item in kept if item.id > covered]
        return kept, summary


def find_new_summary(entries: Sequence[EntryView]) -> EntryView | None:
    """The last summary among these."""
    found = None
    for entry in entries:
        if entry.kind is EntryKind.SUMMARY:
            found = entry
    return found


async def read_history(page: Page, view: SessionView, summary: EntryView | None, limit: int) -> History:
    """The history of the session's present epoch. summary: the entry that the view names."""
    covered = summary.covers_until if summary is not None else None
    found: deque[EntryView] = deque()
    if limit:
        async for entry in _backwards(page, view, limit):
            if covered is not None and entry.id <= covered:
                break
            if entry.kind is not EntryKind.SUMMARY:
                found.appendleft(entry)
            if len(found) >= limit:
                break
    return History(limit, found, summary)


async def find_summary(page: Page, view: SessionView) -> EntryId | None:
    """The newest summary of the session's present epoch."""
    async for entry in _backwards(page, view, _PAGE):
        if entry.kind is EntryKind.SUMMARY:
            return entry.id
    return None


async def _backwards(page: Page, view: SessionView, size: int) -> AsyncIterator[EntryView]:
    """Entries of the present epoch, the newest first.

    Those of earlier epochs end it, unless an epoch was taken up again, which mixes them; then it looks at 20,000.
    """
    before: EntryId | None = None
    looked = 0
    while looked < _LOOK_LIMIT:
        entries = await page(before, size)
        for entry in reversed(entries):
            if entry.epoch == view.epoch:
                yield entry
            elif entry.epoch < view.epoch and view.last_epoch is None:
                return
        if len(entries) < size:
            return
        looked += size
        before, size = entries[0].id, _PAGE
