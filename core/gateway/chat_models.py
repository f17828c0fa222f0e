"""The model that people chose for a chat, in place of its agent's own: kept over restarts."""

import msgspec

from core.api.base import Actor, SessionId
from core.journal import Journal
from core.store.base import Put, Store

ROWS = "chatmodel/"
_PAGE = 500

_names = msgspec.json.Decoder(str)


class ChatModels:
    """One name for each session that has one; the agent says whether it knows it."""

    def __init__(self, store: Store, journal: Journal) -> None:
        self._store = store
        self._journal = journal
        self._names: dict[SessionId, str] = {}

    async def open(self) -> None:
        """Read what is stored. Raises StoreError."""
        after = ""
        while page := await self._store.scan(ROWS, after=after, limit=_PAGE):
            after = page[-1].key
            for row in page:
                self._names[SessionId(row.key.removeprefix(ROWS))] = _names.decode(row.body)

    def of(self, session_id: SessionId) -> str:
        """The model that was chosen; "" for the agent's own."""
        return self._names.get(session_id, "")

    async def choose(self, session_id: SessionId, name: str, actor: Actor) -> None:
        """Choose one; "" for the agent's own again. Raises StoreError."""
        await self._journal.commit(
            [Put(ROWS + session_id, msgspec.json.encode(name) if name else None)], [], actor=actor
        )
        if name:
            self._names[session_id] = name
        else:
            self._names.pop(session_id, None)
