"""The platform inside this process: the console's own chat, and the simplest connection there can be."""

import asyncio
from collections import OrderedDict, deque

from core.api.base import DeliveryId, PlatformName
from core.gateway.platform import Inbox, Limits, Outbound, PlatformContext
from core.platform_settings import LoopbackSettings

KEPT_PER_CHAT = 20
KEPT_CHATS = 1000
KEPT_IDS = 10_000


class LoopbackPlatform:
    """Takes every message, also before run() and after its end: there is no line that could break.

    Keeps the newest messages of each chat, bounded, and knows the ids of the last ten thousand,
    so that one that is sent again has no second effect.
    """

    kind = "loopback"
    limits = Limits(opens_chats=True, proves_senders=True)

    def __init__(self, name: PlatformName) -> None:
        self.name = name
        self._chats: OrderedDict[str, deque[Outbound]] = OrderedDict()
        self._ids: OrderedDict[DeliveryId, str] = OrderedDict()
        self._sent_count = 0
        self._arrived = asyncio.Event()

    async def run(self, inbox: Inbox) -> None:
        """Stand until cancelled; what comes in, comes from the console."""
        inbox.connected("in this process")
        await asyncio.Event().wait()

    async def send(self, message: Outbound) -> str:
        """Keep the message; returns its number in this process."""
        known = self._ids.get(message.delivery_id)
        if known is not None:
            return known
        self._sent_count += 1
        native_id = str(self._sent_count)
        self._ids[message.delivery_id] = native_id
        chat = self._chats.setdefault(message.source.chat, deque(maxlen=KEPT_PER_CHAT))
        chat.append(message)
        self._chats.move_to_end(message.source.chat)
        if len(self._chats) > KEPT_CHATS:
            self._chats.popitem(last=False)
        if len(self._ids) > KEPT_IDS:
            self._ids.popitem(last=False)
        self._arrived.set()
        return native_id

    @property
    def sent_count(self) -> int:
        """Messages taken since the start, those sent twice counted once."""
        return self._sent_count

    def sent_to(self, chat: str) -> tuple[Outbound, ...]:
        """The newest messages of a chat, oldest first."""
        return tuple(self._chats.get(chat, ()))

    async def wait_sent(self, count: int) -> None:
        """Wait until `count` messages were taken since the start. For one waiter at a time."""
        while self._sent_count < count:
            self._arrived.clear()
            await self._arrived.wait()


def create(name: PlatformName, settings: LoopbackSettings, context: PlatformContext) -> LoopbackPlatform:
    """The console's own chat. Its only setting, the agent, is the gateway's to read."""
    del settings, context
    return LoopbackPlatform(name)
