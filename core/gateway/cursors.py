"""Where connections stopped reading, kept over restarts."""

from core.api.base import PlatformName
from core.api.errors import InvalidInput
from core.journal import Journal
from core.store.base import Put, Store

_ROWS = "cursor/"
_LIMIT = 65_536


class Cursors:
    """One text for each connection; what it means is the adapter's own affair."""

    def __init__(self, store: Store, journal: Journal) -> None:
        self._store = store
        self._journal = journal

    async def get(self, platform: PlatformName) -> str:
        """What was kept last; "" when nothing was. Raises StoreError."""
        row = await self._store.get(_ROWS + platform)
        return "" if row is None else row.body.decode(errors="replace")

    async def keep(self, platform: PlatformName, cursor: str) -> None:
        """Keep it in place of the last one. Raises StoreError, InvalidInput when it is too long."""
        if len(cursor) > _LIMIT:
            raise InvalidInput(
                f"a cursor has at most {_LIMIT} characters, not {len(cursor)}", field="cursor", fix="keep less"
            )
        await self._journal.commit([Put(_ROWS + platform, cursor.encode())], [])
