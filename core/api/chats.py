"""The directory of chats: what each account can write to, by id and by name: views, queries, commands, events."""

from core.api.base import Command, Event, Mark, PlatformName, Query, Seq, View
from core.api.sessions import ChatKind


class ChatView(View, frozen=True, kw_only=True):
    """A chat that is known. name: for people, data like any text from outside; "" when it has none.

    is_listed: the platform named it; else it was learnt from a message. seen: when it was last heard of.
    """

    platform: PlatformName
    kind: ChatKind
    chat: str
    thread: str | None = None
    name: str = ""
    is_listed: bool = False
    seen: Mark


class ChatList(View, frozen=True, kw_only=True):
    """Chats that fit, by platform and name. total: of all that fit."""

    chats: tuple[ChatView, ...]
    total: int
    seq: Seq


class ListChats(Query[ChatList], frozen=True, kw_only=True):
    """The directory. platform: None for all; text: in name or id, "" for all. limit: 1 to 1,000."""

    platform: PlatformName | None = None
    text: str = ""
    limit: int = 200


class ChatsRefreshed(View, frozen=True, kw_only=True):
    """What asking the platforms came to. asked: those that can list their chats. problems: a line for each failure."""

    asked: tuple[PlatformName, ...]
    chat_count: int
    problems: tuple[str, ...] = ()


class RefreshChats(Command[ChatsRefreshed], frozen=True, kw_only=True):
    """Ask the platforms for their chats now. platform: None for all."""

    platform: PlatformName | None = None


class ChatsLearnt(Event, frozen=True, kw_only=True):
    """The directory has other entries of an account than before. count: of those that are new or have another name."""

    platform: PlatformName
    count: int
