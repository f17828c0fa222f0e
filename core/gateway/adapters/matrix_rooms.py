"""What is known of Matrix rooms, and messages of theirs as the gateway takes them in (pure)."""

import re
from collections.abc import Mapping

import msgspec

from core.api.base import PlatformName
from core.api.sessions import ChatKind, Source
from core.gateway.adapters import loose
from core.gateway.adapters.loose import Json
from core.gateway.adapters.matrix_events import ALIAS, ENCRYPTION, MEMBER, NAME, Said
from core.gateway.platform import Inbound
from core.platform_settings import MatrixSettings

_NAME_LIMIT = 200
_PAIR = 2
_NAMED = 3
_MEMBERS_LIMIT = 20_000


class Room:
    """A room that we are in. names: of its members by their id, for people; "" where they have given none.

    is_crowded: it has more members than can be asked for, and names has those alone who were heard of since.
    """

    def __init__(self, room_id: str, *, is_direct: bool = False) -> None:
        self.room_id = room_id
        self.is_direct = is_direct
        self.is_encrypted = False
        self.is_crowded = False
        self.names: dict[str, str] = {}
        self.name = ""
        self.alias = ""

    @property
    def kind(self) -> ChatKind:
        """One-to-one where the account says so, or where nobody else is in it."""
        is_pair = len(self.names) == _PAIR and not self.is_crowded
        return ChatKind.DM if self.is_direct or is_pair else ChatKind.GROUP

    def apply(self, event: Json) -> None:
        """Take in an event of its state."""
        kind, content = loose.text(event, "type"), loose.below(event, "content")
        if kind == MEMBER:
            self._member(loose.text(event, "state_key"), content)
        elif kind == ENCRYPTION and loose.text(event, "state_key") == "":
            # It cannot be taken back.
            self.is_encrypted = True
        elif kind == NAME:
            self.name = loose.text(content, "name", _NAME_LIMIT)
        elif kind == ALIAS:
            self.alias = loose.text(content, "alias", _NAME_LIMIT)

    def joined(self, members: Json) -> None:
        """Take in all members: their profiles by their id."""
        self.names = {
            loose.valid(user): loose.text(profile, "display_name", _NAME_LIMIT)
            for user, profile in list(members.items())[:_MEMBERS_LIMIT]
        }

    def name_of(self, user_id: str) -> str:
        """A member for people."""
        return self.names.get(user_id) or user_id

    def title(self, own_id: str) -> str:
        """The room for people: its name, its address, or who else is in it."""
        if self.name or self.alias:
            return self.name or self.alias
        others = [self.name_of(user) for user in self.names if user != own_id][: _NAMED + 1]
        more = " and others" if len(others) > _NAMED else ""
        return (", ".join(others[:_NAMED]) + more)[:_NAME_LIMIT] or self.room_id

    def _member(self, user_id: str, content: Json) -> None:
        if not user_id:
            return
        if loose.text(content, "membership") == "join":
            if user_id in self.names or len(self.names) < _MEMBERS_LIMIT:
                self.names[user_id] = loose.text(content, "displayname", _NAME_LIMIT)
        else:
            self.names.pop(user_id, None)


class Target(msgspec.Struct, frozen=True):
    """What is known of a message that another one refers to. thread: its root, None outside threads."""

    sender: str
    text: str
    thread: str | None = None


def source_of(platform: PlatformName, room: Room, thread: str | None, own_id: str) -> Source:
    """Where something was said."""
    return Source(platform=platform, kind=room.kind, chat=room.room_id, thread=thread, chat_name=room.title(own_id))


def inbound_of(platform: PlatformName, room: Room, said: Said, answered: Target | None, own_id: str) -> Inbound:
    """A message as the gateway takes it in. answered: what it answers, or what its thread began with, when known."""
    source = source_of(platform, room, said.thread, own_id)
    own_name = room.names.get(own_id, "")
    is_addressed = source.kind is ChatKind.DM or (answered is not None and answered.sender == own_id)
    is_addressed = is_addressed or _mentions(said, own_id, own_name)
    text = said.text if source.kind is ChatKind.DM else without_address(said.text, own_id, own_name)
    return Inbound(
        platform=platform,
        source=source,
        sender_id=said.sender,
        sender_name=room.name_of(said.sender),
        text=text,
        native_id=said.event_id,
        reply_to=said.reply_to,
        quoted=said.quoted or (answered.text if answered is not None and said.reply_to else ""),
        files=said.files,
        is_bot=said.is_notice,
        is_addressed=is_addressed,
    )


def without_address(text: str, own_id: str, own_name: str) -> str:
    """A text without our name before it, as in "bot: do it"."""
    for name in (own_id, own_name, own_id[1:].partition(":")[0]):
        if name and text[: len(name)].casefold() == name.casefold():
            rest = text[len(name) :]
            # A longer word that begins like our name is none.
            if rest.lstrip()[:1] in {":", ","}:
                return rest.lstrip()[1:].lstrip()
            if name is own_id and rest[:1].isspace():
                return rest.lstrip()
    return text


def joins(settings: MatrixSettings, inviter: str, *, is_direct: bool) -> bool:
    """Whether an invitation is followed."""
    listed = {*settings.allowed_users, *settings.group_allowed_users, *settings.admins}
    is_listed = settings.allow_all or inviter in listed or "*" in listed
    return {
        "none": False,
        "allowed": is_listed,
        "direct": is_listed or is_direct,
        "all": True,
    }[settings.auto_join]


def direct_rooms(content: Json) -> Mapping[str, str]:
    """Rooms that the account's m.direct names as one-to-one, each with its person."""
    return {
        loose.valid(room): loose.valid(user)
        for user in content
        for room in loose.items(content, user)
        if isinstance(room, str)
    }


def _mentions(said: Said, own_id: str, own_name: str) -> bool:
    if said.mentions is not None:
        return own_id in said.mentions
    if own_id in said.text or f"matrix.to/#/{own_id}" in said.html:
        return True
    return bool(own_name) and re.search(rf"(?<!\w){re.escape(own_name)}(?!\w)", said.text, re.IGNORECASE) is not None
