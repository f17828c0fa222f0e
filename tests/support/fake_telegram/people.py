"""The people of the chats: what they write, change, press and block."""

import itertools
from typing import Any

from tests.support.fake_telegram.markup import found_entities
from tests.support.fake_telegram.world import Bot, Chat, Json, World


class People:
    """Acts for people. Every bot of the world gets what they do."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._presses = itertools.count(1)

    @staticmethod
    def person(number: int, name: str, username: str = "") -> Json:
        """Somebody."""
        found: Json = {"id": number, "is_bot": False, "first_name": name}
        return {**found, "username": username} if username else found

    def private(self, person: Json) -> Chat:
        """The one-to-one chat with somebody, made when it is not there."""
        return self._world.chats.get(person["id"]) or self._world.add_chat(
            Chat(person["id"], "private", person["first_name"])
        )

    def say(
        self,
        chat: Chat,
        person: Json,
        text: str,
        *,
        reply_to: int | None = None,
        thread: int | None = None,
        entities: list[Json] | None = None,
        to: Bot | None = None,
        **more: Any,
    ) -> Json:
        """Somebody writes. to: the bot of a one-to-one chat; every bot otherwise."""
        message: Json = {"from": person, **more}
        key = "caption" if any(kind in more for kind in ("photo", "document", "voice", "video", "audio")) else "text"
        marks = found_entities(text) if entities is None else entities
        if text:
            message[key] = text
        if marks:
            message["entities" if key == "text" else "caption_entities"] = marks
        if thread is not None:
            message |= {"message_thread_id": thread, "is_topic_message": True}
            answered = reply_to if reply_to is not None else thread
            message["reply_to_message"] = chat.messages.get(answered, self._topic_begin(chat, thread))
        elif reply_to is not None:
            message["reply_to_message"] = chat.messages[reply_to]
        made = self._world.keep(chat, message)
        kind = "channel_post" if chat.kind == "channel" else "message"
        if chat.kind == "channel":
            made.pop("from")
            made["sender_chat"] = chat.shown()
        self._tell(kind, made, to)
        return made

    def attach(self, chat: Chat, person: Json, kind: str, name: str, content: bytes, **more: Any) -> Json:
        """Somebody sends a file. kind: as in a message, such as document."""
        file_id = self._world.add_file(name, content)
        found: Json = {"file_id": file_id, "file_unique_id": f"u{file_id}", "file_size": len(content)}
        value: Any = {**found, "file_name": name}
        if kind == "photo":
            small = {**found, "file_id": self._world.add_file("small", content[:1]), "width": 90, "height": 60}
            value = [{**small, "file_size": 1}, {**found, "width": 1280, "height": 853}]
        elif kind == "voice":
            value = {**found, "duration": 3, "mime_type": "audio/ogg"}
        return self.say(chat, person, more.pop("caption", ""), **{kind: value}, **more)

    def change(self, chat: Chat, number: int, text: str) -> Json:
        """Somebody edits a message."""
        message = chat.messages[number]
        message |= {"text": text, "edit_date": next(self._world.dates)}
        message.pop("entities", None)
        if marks := found_entities(text):
            message["entities"] = marks
        self._tell("edited_channel_post" if chat.kind == "channel" else "edited_message", dict(message))
        return message

    def press(self, chat: Chat, number: int, label: str, person: Json) -> str:
        """Somebody uses the button of that label; the id of the press."""
        message = chat.messages[number]
        rows = message.get("reply_markup", {}).get("inline_keyboard", [])
        (data,) = [button["callback_data"] for row in rows for button in row if button["text"] == label]
        press = f"90000000{next(self._presses)}"
        query = {"id": press, "from": person, "message": dict(message), "chat_instance": "1", "data": data}
        bot = next(bot for bot in self._world.bots.values() if bot.id == message["from"]["id"])
        bot.queries[press] = None
        bot.give("callback_query", query)
        return press

    def block(self, chat: Chat, person: Json, reason: str = "bot was blocked by the user") -> None:
        """Somebody wants to hear no more of us."""
        chat.blocked = reason
        self._member(chat, person, "kicked")

    def unblock(self, chat: Chat, person: Json) -> None:
        """Somebody wants to hear of us again."""
        chat.blocked = ""
        self._member(chat, person, "member")

    def _member(self, chat: Chat, person: Json, status: str) -> None:
        for bot in self._world.bots.values():
            change = {
                "chat": chat.shown(),
                "from": person,
                "date": next(self._world.dates),
                "old_chat_member": {"user": bot.shown(), "status": "member"},
                "new_chat_member": {"user": bot.shown(), "status": status, "until_date": 0},
            }
            bot.give("my_chat_member", change)

    def _topic_begin(self, chat: Chat, thread: int) -> Json:
        return {
            "message_id": thread,
            "date": 1_750_000_000,
            "chat": chat.shown(),
            "message_thread_id": thread,
            "is_topic_message": True,
            "forum_topic_created": {"name": "a topic", "icon_color": 7322096},
        }

    def _tell(self, kind: str, message: Json, to: Bot | None = None) -> None:
        for bot in self._world.bots.values():
            if to is None or bot is to:
                bot.give(kind, message)
