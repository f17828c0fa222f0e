"""Which parameters a method takes, and their types: whatever else comes is refused."""

import json
from typing import Any

from tests.support.fake_telegram.world import bad

Spec = dict[str, str]

_SENDING: Spec = {
    "chat_id": "chat!",
    "message_thread_id": "int",
    "reply_parameters": "object",
    "reply_markup": "object",
    "disable_notification": "bool",
    "protect_content": "bool",
}
_CAPTION: Spec = {"caption": "str", "caption_entities": "list", "parse_mode": "str"}

METHODS: dict[str, Spec] = {
    "getMe": {},
    "getUpdates": {"offset": "int", "limit": "int", "timeout": "int", "allowed_updates": "list"},
    "setWebhook": {
        "url": "str!",
        "secret_token": "str",
        "max_connections": "int",
        "allowed_updates": "list",
        "drop_pending_updates": "bool",
    },
    "deleteWebhook": {"drop_pending_updates": "bool"},
    "getWebhookInfo": {},
    "sendMessage": {
        **_SENDING,
        "text": "str!",
        "parse_mode": "str",
        "entities": "list",
        "link_preview_options": "object",
    },
    "sendPhoto": {**_SENDING, **_CAPTION, "photo": "file!"},
    "sendDocument": {**_SENDING, **_CAPTION, "document": "file!"},
    "sendVideo": {**_SENDING, **_CAPTION, "video": "file!"},
    "sendAudio": {**_SENDING, **_CAPTION, "audio": "file!"},
    "sendVoice": {**_SENDING, **_CAPTION, "voice": "file!"},
    "sendSticker": {**_SENDING, "sticker": "file!"},
    "sendChatAction": {"chat_id": "chat!", "message_thread_id": "int", "action": "str!"},
    "editMessageText": {
        "chat_id": "chat!",
        "message_id": "int!",
        "text": "str!",
        "parse_mode": "str",
        "entities": "list",
        "link_preview_options": "object",
        "reply_markup": "object",
    },
    "editMessageCaption": {
        "chat_id": "chat!",
        "message_id": "int!",
        "caption": "str",
        "parse_mode": "str",
        "reply_markup": "object",
    },
    "editMessageReplyMarkup": {"chat_id": "chat!", "message_id": "int!", "reply_markup": "object"},
    "deleteMessage": {"chat_id": "chat!", "message_id": "int!"},
    "answerCallbackQuery": {
        "callback_query_id": "str!",
        "text": "str",
        "show_alert": "bool",
        "url": "str",
        "cache_time": "int",
    },
    "setMyCommands": {"commands": "list!", "scope": "object", "language_code": "str"},
    "getMyCommands": {"scope": "object", "language_code": "str"},
    "getFile": {"file_id": "str!"},
}
_NAMES = {name.lower(): name for name in METHODS}


def method_named(name: str) -> str | None:
    """The method of that name, however it is written."""
    return _NAMES.get(name.lower())


def checked(method: str, given: dict[str, Any], files: dict[str, tuple[str, bytes]]) -> dict[str, Any]:
    """The parameters in their types; a file as (name, contents) or the id of a known one. Raises ApiError."""
    spec = METHODS[method]
    found: dict[str, Any] = {}
    used: set[str] = set()
    for name, value in given.items():
        if name in spec:
            kind = spec[name].rstrip("!")
            found[name] = _file(value, files, used) if kind == "file" else _typed(name, value, kind)
        elif not name.startswith("attach_"):
            raise bad(f"unknown parameter {name}")
    for name, file in files.items():
        if spec.get(name, "").startswith("file"):
            found[name] = file
            used.add(name)
    if unused := set(files) - used:
        raise bad(f"unknown file {min(unused)}")
    for name, kind in spec.items():
        if kind.endswith("!") and name not in found:
            if name == "text":
                raise bad("message text is empty")
            raise bad("chat_id is empty" if name == "chat_id" else f"parameter {name} is required")
    return found


def _file(value: Any, files: dict[str, tuple[str, bytes]], used: set[str]) -> Any:
    if isinstance(value, str) and value.startswith("attach://"):
        name = value.removeprefix("attach://")
        if name not in files:
            raise bad("there is no such file in the request")
        used.add(name)
        return files[name]
    if not isinstance(value, str) or not value:
        raise bad("there is no file in the request")
    return value


def _typed(name: str, value: Any, kind: str) -> Any:
    """A value as JSON gives it, or as a form does, in which everything is text."""
    if kind == "str":
        if not isinstance(value, str):
            raise bad(f"{name} must be a text")
        return value
    if isinstance(value, str) and (kind != "chat" or value.lstrip("-").isdigit()):
        try:
            value = json.loads(value)
        except ValueError:
            raise bad(f"can't parse {name}") from None
    is_number = isinstance(value, int) and not isinstance(value, bool)
    fits = {
        "int": is_number,
        "bool": isinstance(value, bool),
        "object": isinstance(value, dict),
        "list": isinstance(value, list),
        "chat": is_number or (isinstance(value, str) and value.startswith("@")),
    }[kind]
    if not fits:
        raise bad(f"{name} must be of type {kind}" if name != "chat_id" else "chat not found")
    return value
