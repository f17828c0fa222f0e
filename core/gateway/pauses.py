"""Which connections an operator has paused, kept over restarts."""

import msgspec

from core.api.base import Actor, Event, PlatformName
from core.api.platforms import PlatformPause
from core.journal import Journal
from core.store.base import Put, Store

_ROWS = "pause/"
_PAGE_ROWS = 500
_pauses = msgspec.json.Decoder(PlatformPause)


class Pauses:
    """One row for each paused connection."""

    def __init__(self, store: Store, journal: Journal) -> None:
        self._store = store
        self._journal = journal

    async def load(self) -> dict[PlatformName, PlatformPause]:
        """All that are kept. Raises StoreError.

        A row that cannot be read pauses all the same: who wrote it meant to.
        """
        found: dict[PlatformName, PlatformPause] = {}
        after = ""
        while page := await self._store.scan(_ROWS, after=after, limit=_PAGE_ROWS):
            after = page[-1].key
            for row in page:
                found[PlatformName(row.key.removeprefix(_ROWS))] = _read(row.body)
        return found

    async def keep(self, name: PlatformName, pause: PlatformPause | None, event: Event, actor: Actor) -> None:
        """Keep a pause, or its end. Raises StoreError: then nothing has changed."""
        body = None if pause is None else msgspec.json.encode(pause)
        await self._journal.commit([Put(_ROWS + name, body)], [(str(name), event)], actor=actor)


def _read(body: bytes) -> PlatformPause:
    try:
        return _pauses.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return PlatformPause(by="somebody", reason="what was stored about it cannot be read", at=0.0)
