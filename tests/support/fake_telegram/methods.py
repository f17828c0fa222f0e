"""The methods of the Bot API that do not wait."""

import json
from typing import Any

from tests.support.fake_telegram.markup import BadMarkup, Entities, parse_html, units
from tests.support.fake_telegram.world import Bot, Chat, Json, World, bad

ACTIONS = {
    "typing",
    "upload_photo",
    "record_video",
    "upload_video",
    "record_voice",
    "upload_voice",
    "upload_document",
    "choose_sticker",
}
TEXT_LIMIT = 4096
CAPTION_LIMIT = 1024
FETCH_LIMIT = 20 * 1024 * 1024
PHOTO_LIMIT = 10 * 1024 * 1024
_BUTTON_KEYS = {"text", "callback_data", "url", "style"}
_STYLES = {"primary", "success", "danger"}


class Methods:
    """Carries out calls of a bot."""

    def __init__(self, world: World) -> None:
        self._world = world

    def call(self, bot: Bot, method: str, params: Json) -> Any:
        """The result. Raises ApiError."""
        if method.startswith("send") and method not in {"sendMessage", "sendChatAction"}:
            return self._send_file(bot, method.removeprefix("send").lower(), params)
        found = getattr(self, f"_{method}")(bot, params)
        self._world.changed.set()
        return found

    def _getMe(self, bot: Bot, _: Json) -> Json:  # noqa: N802 - named as the method of the Bot API
        return {
            **bot.shown(),
            "can_join_groups": True,
            "can_read_all_group_messages": False,
            "supports_inline_queries": False,
        }

    def _setWebhook(self, bot: Bot, params: Json) -> bool:  # noqa: N802 - as above
        bot.webhook = params if params["url"] else {}
        self._settle_kinds(bot, params)
        return True

    def _deleteWebhook(self, bot: Bot, params: Json) -> bool:  # noqa: N802 - as above
        bot.webhook = {}
        if params.get("drop_pending_updates"):
            bot.queue.clear()
        return True

    def _getWebhookInfo(self, bot: Bot, _: Json) -> Json:  # noqa: N802 - as above
        return {
            "url": bot.webhook.get("url", ""),
            "has_custom_certificate": False,
            "pending_update_count": len(bot.queue),
        }

    def _sendMessage(self, bot: Bot, params: Json) -> Json:  # noqa: N802 - as above
        chat, head = self._head(bot, params)
        return self._world.keep(chat, {**head, **_marked(params, "text", TEXT_LIMIT)})

    def _send_file(self, bot: Bot, kind: str, params: Json) -> Json:
        chat, head = self._head(bot, params)
        given = params[kind]
        if isinstance(given, str):
            if given not in self._world.files:
                raise bad("wrong file identifier/HTTP URL specified")
            file_id, (name, content) = given, self._world.files[given]
        else:
            name, content = given
            if not content:
                raise bad("file must be non-empty")
            file_id = self._world.add_file(name, content)
        file: Json = {"file_id": file_id, "file_unique_id": f"u{file_id}", "file_size": len(content)}
        value: Any = {**file, "file_name": name}
        if kind == "photo":
            if len(content) > PHOTO_LIMIT or content.startswith(b"wide"):
                raise bad("PHOTO_INVALID_DIMENSIONS")
            value = [{**file, "width": 800, "height": 600}]
        elif kind in {"voice", "audio", "video"}:
            value = {**value, "duration": 1}
            if kind == "video":
                value |= {"width": 1, "height": 1}
            if kind == "voice":
                value.pop("file_name")
        elif kind == "sticker":
            value = {**file, "type": "regular", "width": 512, "height": 512, "is_animated": False, "is_video": False}
        caption = _marked(params, "caption", CAPTION_LIMIT) if params.get("caption") else {}
        return self._world.keep(chat, {**head, kind: value, **caption})

    def _sendChatAction(self, bot: Bot, params: Json) -> bool:  # noqa: N802 - as above
        chat = self._world.find_chat(params["chat_id"])
        if params["action"] not in ACTIONS:
            raise bad("wrong parameter action in request")
        bot.typing.append((chat.id, params["action"]))
        return True

    def _editMessageText(self, bot: Bot, params: Json) -> Json:  # noqa: N802 - as above
        message = self._own(bot, params)
        if "text" not in message:
            raise bad("there is no text in the message to edit")
        return self._edited(message, params, _marked(params, "text", TEXT_LIMIT), ("text", "entities"))

    def _editMessageCaption(self, bot: Bot, params: Json) -> Json:  # noqa: N802 - as above
        message = self._own(bot, params)
        if "text" in message:
            raise bad("there is no caption in the message to edit")
        caption = _marked(params, "caption", CAPTION_LIMIT) if params.get("caption") else {}
        return self._edited(message, params, caption, ("caption", "caption_entities"))

    def _editMessageReplyMarkup(self, bot: Bot, params: Json) -> Json:  # noqa: N802 - as above
        return self._edited(self._own(bot, params), params, {}, ())

    def _deleteMessage(self, bot: Bot, params: Json) -> bool:  # noqa: N802 - as above
        message = self._own(bot, params)
        del self._world.chats[message["chat"]["id"]].messages[message["message_id"]]
        return True

    def _answerCallbackQuery(self, bot: Bot, params: Json) -> bool:  # noqa: N802 - as above
        press = params["callback_query_id"]
        if units(params.get("text", "")) > 200:
            raise bad("MESSAGE_TOO_LONG")
        if press not in bot.queries or bot.queries[press] is not None:
            raise bad("query is too old and response timeout expired or query ID is invalid")
        bot.queries[press] = params.get("text", "")
        return True

    def _setMyCommands(self, bot: Bot, params: Json) -> bool:  # noqa: N802 - as above
        commands = params["commands"]
        if len(commands) > 100:
            raise bad("BOT_COMMANDS_TOO_MUCH")
        for command in commands:
            name, text = command.get("command", ""), command.get("description", "")
            if not (1 <= len(name) <= 32 and name.replace("_", "").isalnum() and name == name.lower()):
                raise bad("BOT_COMMAND_INVALID")
            if not 1 <= len(text) <= 256:
                raise bad("BOT_COMMAND_DESCRIPTION_INVALID")
        bot.commands = commands
        return True

    def _getMyCommands(self, bot: Bot, _: Json) -> list[Json]:  # noqa: N802 - as above
        return bot.commands

    def _getFile(self, _: Bot, params: Json) -> Json:  # noqa: N802 - as above
        file_id = params["file_id"]
        if file_id not in self._world.files:
            raise bad("invalid file_id")
        name, content = self._world.files[file_id]
        if len(content) > FETCH_LIMIT:
            raise bad("file is too big")
        path = f"documents/{file_id}.{name.rpartition('.')[2]}"
        return {"file_id": file_id, "file_unique_id": f"u{file_id}", "file_size": len(content), "file_path": path}

    def _settle_kinds(self, bot: Bot, params: Json) -> None:
        if "allowed_updates" in params:
            bot.kinds = tuple(params["allowed_updates"]) or bot.kinds

    def _head(self, bot: Bot, params: Json) -> tuple[Chat, Json]:
        """Chat, sender, topic, answered message and buttons of a new message."""
        chat = self._world.find_chat(params["chat_id"])
        head: Json = {"from": bot.shown()}
        thread = params.get("message_thread_id")
        if thread is not None:
            if thread not in chat.topics:
                raise bad("message thread not found")
            head |= {"message_thread_id": thread, "is_topic_message": True}
        if (reply := params.get("reply_parameters")) is not None:
            number = reply.get("message_id")
            if number in chat.messages:
                head["reply_to_message"] = {
                    key: value for key, value in chat.messages[number].items() if key != "reply_to_message"
                }
            elif not reply.get("allow_sending_without_reply"):
                raise bad("message to be replied not found")
        if "reply_markup" in params:
            head["reply_markup"] = _checked_markup(params["reply_markup"])
        return chat, head

    def _own(self, bot: Bot, params: Json) -> Json:
        chat = self._world.find_chat(params["chat_id"])
        message = chat.messages.get(params["message_id"])
        if message is None:
            raise bad("message to edit not found")
        if message.get("from", {}).get("id") != bot.id:
            raise bad("message can't be edited")
        return message

    def _edited(self, message: Json, params: Json, after: Json, keys: tuple[str, ...]) -> Json:
        markup = _checked_markup(params["reply_markup"]) if "reply_markup" in params else None
        if markup == {"inline_keyboard": []}:
            markup = None
        is_same = all(message.get(key) == after.get(key) for key in keys) and message.get("reply_markup") == markup
        if is_same:
            raise bad(
                "message is not modified: specified new message content and reply markup are exactly the same as a "
                "current content and reply markup of the message"
            )
        for key in (*keys, "reply_markup"):
            message.pop(key, None)
        message |= after
        if markup is not None:
            message["reply_markup"] = markup
        message["edit_date"] = next(self._world.dates)
        return message


def _marked(params: Json, key: str, limit: int) -> Json:
    """Text or caption with its marks, as a message carries them."""
    source: str = params[key]
    entities: Entities = params.get("entities", [])
    mode = params.get("parse_mode")
    if mode not in {None, "HTML", "html"}:
        raise bad("unsupported parse_mode")
    try:
        shown, entities = parse_html(source) if mode is not None else (source, entities)
    except BadMarkup as error:
        raise bad(f"can't parse entities: {error}") from None
    if not shown.strip():
        raise bad("message text is empty" if key == "text" else "caption is empty")
    if units(shown) > limit:
        raise bad("message is too long" if key == "text" else "message caption is too long")
    made: Json = {key: shown.strip()}
    if entities:
        made["entities" if key == "text" else "caption_entities"] = entities
    return made


def _checked_markup(markup: Json) -> Json:
    rows = markup.get("inline_keyboard")
    if not isinstance(rows, list):
        raise bad("object expected as reply markup")
    for button in (button for row in rows for button in row):
        if set(button) - _BUTTON_KEYS or not button.get("text"):
            raise bad(f"can't parse inline keyboard button: {json.dumps(button)[:80]}")
        if button.get("style", "primary") not in _STYLES:
            raise bad("BUTTON_STYLE_INVALID")
        if "url" not in button and not 1 <= len(button.get("callback_data", "").encode()) <= 64:
            raise bad("BUTTON_DATA_INVALID")
    return {"inline_keyboard": rows}
