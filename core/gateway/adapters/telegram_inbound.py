"""What an update of Telegram means to the core: a message, a change of one, the use of a button (pure).

An id of a message counts within its chat only, so a native id is CHAT/MESSAGE.
"""

from collections.abc import Mapping

import msgspec

from core.api.base import PlatformName
from core.api.sessions import ChatKind, Source
from core.gateway.adapters import loose
from core.gateway.adapters.loose import Json
from core.gateway.adapters.telegram_files import files_of
from core.gateway.adapters.telegram_text import Marked, Opening, is_number, whole
from core.gateway.platform import Inbound, InboundEdit, Press

WANTED = ("message", "edited_message", "channel_post", "edited_channel_post", "callback_query", "my_chat_member")
"""Kinds of updates that are asked for."""

_NAME_LIMIT = 128
_ID_LIMIT = 128
_KINDS = {
    "private": ChatKind.DM,
    "group": ChatKind.GROUP,
    "supergroup": ChatKind.GROUP,
    "channel": ChatKind.CHANNEL,
}


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Who we are at Telegram. username: in small letters. trust_usernames: an @name is an alias of its sender.

    menu: commands whose name in Telegram's menu differs from ours, as menu name to ours.
    """

    platform: PlatformName
    id: int
    username: str
    trust_usernames: bool = False
    menu: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """Whether we may write to a chat was changed by somebody. is_open: whether we may."""

    chat: str
    is_open: bool


Happening = Inbound | InboundEdit | Press | Membership


def happening(update: Json, account: Account) -> Happening | None:
    """What an update says; None for what says nothing to the core, or cannot be understood."""
    for key in ("message", "channel_post"):
        if key in update:
            return _inbound(loose.mapping(update[key]), account)
    for key in ("edited_message", "edited_channel_post"):
        if key in update:
            return _edit(loose.mapping(update[key]), account, whole(update, "update_id"))
    if "callback_query" in update:
        return _press(loose.mapping(update["callback_query"]), account)
    if "my_chat_member" in update:
        return _membership(loose.mapping(update["my_chat_member"]))
    return None


def native_id(chat: object, message_id: object) -> str:
    """The id of a message as the core knows it."""
    return f"{chat}/{message_id}"


def message_number(native: str) -> tuple[str, int] | None:
    """Chat and number of a message; None for what is no id of this platform."""
    chat, _, number = native.partition("/")
    return (chat, int(number)) if chat and is_number(number) else None


def _inbound(message: Json, account: Account) -> Inbound | None:
    source = _source(message, account)
    number = whole(message, "message_id")
    sender = _sender(message)
    if source is None or number is None or sender is None or whole(sender, "id") == account.id:
        return None
    marked = Marked.of(message)
    opening = marked.opening(account.username, account.id)
    files = files_of(message)
    text = _own_command(marked.readable(opening, account.username), opening, account) or _described(message)
    if not text and not files:
        return None
    answered = _answered(message)
    chat = source.chat
    return Inbound(
        platform=account.platform,
        source=source,
        sender_id=str(whole(sender, "id")),
        sender_name=_name(sender),
        text=text,
        native_id=native_id(chat, number),
        reply_to=native_id(chat, whole(answered, "message_id")) if answered else "",
        quoted=loose.text(message.get("quote"), "text") or _words(answered),
        files=files,
        group_id=f"{chat}/{group}" if (group := loose.text(message, "media_group_id", _ID_LIMIT)) else "",
        aliases=_aliases(sender, account),
        is_bot=loose.flag(message.get("from"), "is_bot") and not loose.mapping(message.get("sender_chat")),
        is_addressed=_is_addressed(source, answered, marked, opening, account),
        may_command=_may_command(message, text, opening, account),
    )


def _edit(message: Json, account: Account, update_id: int | None) -> InboundEdit | None:
    after = None if "location" in message else _inbound(message, account)
    if after is None:
        return None
    return InboundEdit(
        platform=after.platform,
        source=after.source,
        sender_id=after.sender_id,
        native_id=after.native_id,
        text=after.text,
        edit_id=f"{after.native_id}/{update_id}",
        aliases=after.aliases,
    )


def _press(query: Json, account: Account) -> Press | None:
    message = loose.mapping(query.get("message"))
    source = _source(message, account)
    number, sender = whole(message, "message_id"), loose.mapping(query.get("from"))
    press_id, token = loose.text(query, "id", _ID_LIMIT), loose.text(query, "data", _ID_LIMIT)
    if source is None or number is None or whole(sender, "id") is None or not press_id or not token:
        return None
    return Press(
        platform=account.platform,
        source=source,
        sender_id=str(whole(sender, "id")),
        sender_name=_name(sender),
        answers=native_id(source.chat, number),
        token=token,
        native_id=press_id,
        aliases=_aliases(sender, account),
    )


def _membership(change: Json) -> Membership | None:
    chat = whole(change.get("chat"), "id")
    status = loose.text(change.get("new_chat_member"), "status")
    return None if chat is None or not status else Membership(chat=str(chat), is_open=status not in {"kicked", "left"})


def _source(message: Json, account: Account) -> Source | None:
    chat = loose.mapping(message.get("chat"))
    kind, number = _KINDS.get(loose.text(chat, "type")), whole(chat, "id")
    if kind is None or number is None:
        return None
    # A number of a thread without the mark of a topic is only the message that a reply began with.
    thread = whole(message, "message_thread_id") if loose.flag(message, "is_topic_message") else None
    return Source(
        platform=account.platform,
        kind=kind,
        chat=str(number),
        thread=None if thread is None else str(thread),
        chat_name=_name(chat),
    )


def _sender(message: Json) -> Json | None:
    """Who wrote it: a chat where it speaks for itself, as channels and anonymous administrators do."""
    for found in (loose.mapping(message.get("sender_chat")), loose.mapping(message.get("from"))):
        if whole(found, "id") is not None:
            return found
    chat = loose.mapping(message.get("chat"))
    return chat if chat.get("type") == "channel" else None


def _name(who: Json) -> str:
    names = (loose.text(who, key, _NAME_LIMIT) for key in ("first_name", "last_name"))
    full = " ".join(" ".join(names).split())
    return full or loose.text(who, "title", _NAME_LIMIT) or loose.text(who, "username", _NAME_LIMIT)


def _aliases(sender: Json, account: Account) -> tuple[str, ...]:
    username = loose.text(sender, "username", _NAME_LIMIT)
    return (f"@{username.lower()}",) if account.trust_usernames and username else ()


def _answered(message: Json) -> Json:
    """The message that this one answers; nothing where it merely stands in a topic."""
    answered = loose.mapping(message.get("reply_to_message"))
    begins_topic = "forum_topic_created" in answered or (
        loose.flag(message, "is_topic_message") and whole(answered, "message_id") == whole(message, "message_thread_id")
    )
    return {} if begins_topic or whole(answered, "message_id") is None else answered


def _words(message: Json) -> str:
    return loose.text(message, "text") or loose.text(message, "caption")


def _is_addressed(source: Source, answered: Json, marked: Marked, opening: Opening, account: Account) -> bool:
    if source.kind is ChatKind.DM or marked.mentions(account.username, account.id):
        return True
    if opening.command_for:
        return opening.command_for == account.username
    return whole(answered.get("from"), "id") == account.id


def _may_command(message: Json, text: str, opening: Opening, account: Account) -> bool:
    """Whether the sender meant to order something: other people's words, and a path at the start, order nothing."""
    if "forward_origin" in message or "via_bot" in message:
        return False
    is_for_us = opening.command is not None and opening.command_for in {"", account.username}
    return is_for_us or not text.startswith("/")


def _own_command(text: str, opening: Opening, account: Account) -> str:
    if opening.command is None or not text.startswith("/"):
        return text
    name = text[1:].split(maxsplit=1)[0] if len(text) > 1 else ""
    ours = account.menu.get(name)
    return f"/{ours}{text[len(name) + 1 :]}" if ours else text


def _described(message: Json) -> str:
    """In words what has neither text nor a file."""
    if place := loose.mapping(message.get("venue")) or loose.mapping(message.get("location")):
        point = loose.below(place, "location") or place
        latitude, longitude = loose.number(point, "latitude"), loose.number(point, "longitude")
        title = ", ".join(filter(None, (loose.text(place, "title"), loose.text(place, "address"))))
        return f"[location {latitude}, {longitude}{': ' + title if title else ''}]"
    if contact := loose.mapping(message.get("contact")):
        return f"[contact {_name(contact)} {loose.text(contact, 'phone_number', _NAME_LIMIT)}]"
    if poll := loose.mapping(message.get("poll")):
        choices = " / ".join(loose.text(option, "text") for option in loose.objects(poll, "options"))
        return f"[poll: {loose.text(poll, 'question')} ({choices})]"
    if dice := loose.mapping(message.get("dice")):
        return f"[{loose.text(dice, 'emoji', _NAME_LIMIT)} {whole(dice, 'value')}]"
    return loose.text(message.get("sticker"), "emoji", _NAME_LIMIT)
