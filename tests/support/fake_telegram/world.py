"""What a Telegram knows: bots with their queues, chats with their messages, files."""

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import Any

DEFAULT_KINDS = (
    "message",
    "edited_message",
    "channel_post",
    "edited_channel_post",
    "callback_query",
    "my_chat_member",
)
"""What a bot gets that has not said what it wants. Reactions are not among them."""

Json = dict[str, Any]


class ApiError(Exception):
    """A refusal of the Bot API."""

    def __init__(self, status: int, description: str, **parameters: Any) -> None:
        super().__init__(description)
        self.status = status
        self.description = description
        self.parameters = parameters


def bad(description: str, **parameters: Any) -> ApiError:
    """A bad request."""
    return ApiError(400, f"Bad Request: {description}", **parameters)


@dataclass
class Chat:
    """A chat. blocked: why bots may not write to it, "" when they may. topics: ids of open ones, in a forum."""

    id: int
    kind: str
    title: str
    is_forum: bool = False
    messages: dict[int, Json] = field(default_factory=dict)
    topics: set[int] = field(default_factory=set)
    blocked: str = ""
    moved_to: int | None = None
    username: str = ""
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def shown(self) -> Json:
        """The chat as updates name it."""
        name = "first_name" if self.kind == "private" else "title"
        found: Json = {"id": self.id, "type": self.kind, name: self.title}
        if self.is_forum:
            found["is_forum"] = True
        if self.username:
            found["username"] = self.username
        return found


@dataclass
class Bot:
    """A bot, and what waits for it."""

    id: int
    username: str
    token: str
    is_revoked: bool = False
    queue: list[Json] = field(default_factory=list)
    kinds: tuple[str, ...] = DEFAULT_KINDS
    webhook: Json = field(default_factory=dict)
    commands: list[Json] = field(default_factory=list)
    queries: dict[str, str | None] = field(default_factory=dict)
    typing: list[tuple[int, str]] = field(default_factory=list)
    poll: "asyncio.Future[None] | None" = None
    offset: int = 0
    poll_count: int = 0
    acknowledged: list[int] = field(default_factory=list)
    update_ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(700_000_001))
    wakes: asyncio.Event = field(default_factory=asyncio.Event)

    def shown(self) -> Json:
        """The bot as a sender."""
        return {"id": self.id, "is_bot": True, "first_name": self.username.title(), "username": self.username}

    def give(self, kind: str, value: Json) -> int | None:
        """Put an update into the queue, if the bot wants this kind; its id."""
        if kind not in self.kinds:
            return None
        number = next(self.update_ids)
        self.queue.append({"update_id": number, kind: value})
        self.wakes.set()
        return number


class World:
    """All bots, chats and files of a server."""

    def __init__(self) -> None:
        self.bots: dict[str, Bot] = {}
        self.chats: dict[int, Chat] = {}
        self.files: dict[str, tuple[str, bytes]] = {}
        self.dates = itertools.count(1_750_000_000)
        self.changed = asyncio.Event()
        self._file_numbers = itertools.count(1)

    def add_bot(self, token: str, username: str) -> Bot:
        """A bot."""
        bot = self.bots[token] = Bot(int(token.partition(":")[0]), username, token)
        return bot

    def add_chat(self, chat: Chat) -> Chat:
        """A chat, in which all bots are."""
        self.chats[chat.id] = chat
        return chat

    def find_chat(self, value: int | str) -> Chat:
        """The chat that a bot named. Raises ApiError as Telegram does for one that cannot be written to."""
        chat = next(
            (
                item
                for item in self.chats.values()
                if value in {item.id, f"@{item.username}" if item.username else None}
            ),
            None,
        )
        if chat is None:
            raise bad("chat not found")
        if chat.moved_to is not None:
            raise bad("group chat was upgraded to a supergroup chat", migrate_to_chat_id=chat.moved_to)
        if chat.blocked:
            raise ApiError(403, f"Forbidden: {chat.blocked}")
        return chat

    def add_file(self, name: str, content: bytes) -> str:
        """Keep a file; its id."""
        file_id = f"FILE{next(self._file_numbers):04d}"
        self.files[file_id] = (name, content)
        return file_id

    def keep(self, chat: Chat, message: Json) -> Json:
        """A new message of a chat, with its number and date."""
        number = next(chat.numbers)
        made = {"message_id": number, "date": next(self.dates), "chat": chat.shown(), **message}
        chat.messages[number] = made
        self.changed.set()
        return made
