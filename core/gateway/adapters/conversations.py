"""Which chat a caller means who names none but brings the earlier turns along."""

import hmac
from collections import OrderedDict
from collections.abc import Iterable

import msgspec

from core.secrets import Secret

KEPT = 4096


def digest(key: Secret, model: str, turns: Iterable[tuple[str, str]]) -> bytes:
    """What stands for a history of (role, text): equal for the same key, model and turns, and only then."""
    return hmac.digest(key.reveal().encode(), msgspec.json.encode([model, list(turns)]), "sha256")


class Conversations:
    """Remembers under which chat a history was answered, for the newest ones only.

    A chat is known by its latest history and each history is taken once, so two callers whose
    conversations began alike never end up in one chat.
    """

    def __init__(self, limit: int = KEPT) -> None:
        self._limit = limit
        self._chats: OrderedDict[bytes, str] = OrderedDict()
        self._digests: dict[str, bytes] = {}

    def take(self, history: bytes) -> str | None:
        """The chat of a history, which is forgotten with it; None when it is not known."""
        chat = self._chats.pop(history, None)
        if chat is not None:
            self._digests.pop(chat, None)
        return chat

    def remember(self, history: bytes, chat: str) -> None:
        """Say how far a chat has come, in place of what was remembered of it."""
        self.forget(chat)
        known = self._chats.pop(history, None)
        if known is not None:
            self._digests.pop(known, None)
        self._chats[history] = chat
        self._digests[chat] = history
        if len(self._chats) > self._limit:
            _, oldest = self._chats.popitem(last=False)
            self._digests.pop(oldest, None)

    def forget(self, chat: str) -> None:
        """Drop the history of a chat that has moved on."""
        history = self._digests.pop(chat, None)
        if history is not None:
            self._chats.pop(history, None)

    def __len__(self) -> int:
        return len(self._chats)
