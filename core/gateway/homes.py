"""Home chats: where news and results without a chat of their own go; as an admin said in a chat, else as configured."""

from collections.abc import Callable

import msgspec

from core.api.base import Actor, PlatformName
from core.api.sessions import ChatKind, Source
from core.journal import Journal
from core.platform_settings import ChatSettings
from core.store.base import Put, Store

ROWS = "homechat/"
_PAGE = 500
_sources = msgspec.json.Decoder(Source)


class Homes:
    """One for each connection. chat_of: its settings."""

    def __init__(self, store: Store, journal: Journal, chat_of: Callable[[PlatformName], ChatSettings]) -> None:
        self._store = store
        self._journal = journal
        self._chat_of = chat_of
        self._chosen: dict[PlatformName, Source] = {}

    async def open(self) -> None:
        """Read what was chosen. Raises StoreError."""
        after = ""
        while page := await self._store.scan(ROWS, after=after, limit=_PAGE):
            after = page[-1].key
            for row in page:
                self._chosen[PlatformName(row.key.removeprefix(ROWS))] = _sources.decode(row.body)

    def find(self, platform: PlatformName) -> Source | None:
        """The home chat; None when there is none."""
        chosen = self._chosen.get(platform)
        if chosen is not None:
            return chosen
        chat = self._chat_of(platform)
        if not chat.home_chat:
            return None
        thread = chat.home_thread or None
        kind = ChatKind.DM if thread is None else ChatKind.THREAD
        return Source(platform=platform, kind=kind, chat=chat.home_chat, thread=thread)

    async def choose(self, platform: PlatformName, source: Source | None, actor: Actor) -> None:
        """Make a chat the home; None goes back to what is configured. Raises StoreError."""
        body = None if source is None else msgspec.json.encode(source)
        await self._journal.commit([Put(ROWS + platform, body)], [], actor=actor)
        if source is None:
            self._chosen.pop(platform, None)
        else:
            self._chosen[platform] = source
