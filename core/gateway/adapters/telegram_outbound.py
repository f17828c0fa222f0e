"""A message of the core as calls of the Bot API, each with what to send where the first form is refused (pure)."""

from collections.abc import Sequence
from typing import Any

import msgspec

from core.api.sessions import Source
from core.gateway.adapters.telegram_files import AS_DOCUMENT, Way, way_of
from core.gateway.adapters.telegram_html import html
from core.gateway.adapters.telegram_inbound import message_number
from core.gateway.adapters.telegram_text import is_number, units
from core.gateway.platform import Button, ButtonStyle, Outbound, OutboundFile, PlatformError, PlatformErrorKind

CAPTION_LIMIT = 1_024
"""Longest text under a file, in UTF-16 units."""

GENERAL_TOPIC = "1"
"""The first topic of a forum: what goes there names no topic."""

Params = dict[str, Any]

_ROW_LABEL_LIMIT = 16
_ROW_LIMIT = 3
_STYLES = {ButtonStyle.YES: "success", ButtonStyle.NO: "danger"}


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One call. params: without the text. text: as Markdown; field: the parameter that it goes into, "" for no text.

    file: to be attached under file_field. is_edit: doing it twice is the same as once.
    """

    method: str
    params: Params
    text: str = ""
    field: str = ""
    file: OutboundFile | None = None
    file_field: str = ""
    is_edit: bool = False

    def formatted(self) -> Params:
        """All parameters, the text as HTML."""
        return {**self.params, self.field: html(self.text), "parse_mode": "HTML"} if self.text else self.params

    def plain(self) -> Params:
        """All parameters, the text as it is: what is sent when Telegram cannot read our HTML."""
        return {**self.params, self.field: self.text} if self.text else self.params

    def as_document(self) -> "Step":
        """The same file as one that Telegram does not look into."""
        return msgspec.structs.replace(self, method=AS_DOCUMENT.method, file_field=AS_DOCUMENT.field)

    def as_caption(self) -> "Step":
        """The same change for a message of ours that is a file."""
        params = {key: value for key, value in self.params.items() if key != "link_preview_options"}
        return msgspec.structs.replace(self, method="editMessageCaption", field="caption", params=params)

    def moved_to(self, chat: str) -> "Step":
        """The same for the chat that took the place of this one. Messages have other numbers there."""
        params = {key: value for key, value in self.params.items() if key != "reply_parameters"}
        return msgspec.structs.replace(self, params={**params, "chat_id": chat_id(chat)})


def steps(message: Outbound) -> Sequence[Step]:
    """The calls for a message, in their order; the first one carries text and buttons. Raises PlatformError (refused)
    for what cannot be sent at all.
    """
    if message.edits:
        first = [_edit(message)]
        files = message.files
    elif _fits_caption(message):
        return [_file(message, message.files[0], text=message.text, is_first=True)]
    elif message.text.strip():
        first = [_text(message)]
        files = message.files
    elif message.files:
        first = [_file(message, message.files[0], text="", is_first=True)]
        files = message.files[1:]
    else:
        raise PlatformError(PlatformErrorKind.REFUSED, "there is neither text nor a file to send")
    return [*first, *(_file(message, file, text="", is_first=False) for file in files)]


def where(source: Source, *, names_general: bool = False) -> Params:
    """The parameters that name a chat and its topic. names_general: whether the first topic of a forum is named."""
    params: Params = {"chat_id": chat_id(source.chat)}
    if source.thread is not None and (names_general or source.thread != GENERAL_TOPIC):
        if not is_number(source.thread):
            raise PlatformError(PlatformErrorKind.REFUSED, "the thread is no topic of Telegram: its id is a number")
        params["message_thread_id"] = int(source.thread)
    return params


def chat_id(chat: str) -> int | str:
    """A chat as the Bot API names it: a number, or @NAME for a public one. Raises PlatformError (refused)."""
    if is_number(chat.removeprefix("-")):
        return int(chat)
    if chat.startswith("@") and chat[1:].isascii() and chat[1:].replace("_", "").isalnum():
        return chat
    raise PlatformError(PlatformErrorKind.REFUSED, "the chat is none of Telegram: its id is a number, or @NAME")


def keyboard(buttons: Sequence[Button]) -> Params:
    """Buttons in rows; short ones share a row."""
    rows: list[list[Params]] = []
    is_open = False
    for button in buttons:
        made: Params = {"text": button.label, "callback_data": button.token}
        if style := _STYLES.get(button.style):
            made["style"] = style
        is_short = units(button.label) <= _ROW_LABEL_LIMIT
        if is_open and is_short and len(rows[-1]) < _ROW_LIMIT:
            rows[-1].append(made)
        else:
            rows.append([made])
        is_open = is_short
    return {"inline_keyboard": rows}


def _fits_caption(message: Outbound) -> bool:
    is_single = len(message.files) == 1 and bool(message.text.strip())
    return is_single and way_of(message.files[0]).method != "sendSticker" and units(message.text) <= CAPTION_LIMIT


def _text(message: Outbound) -> Step:
    # A preview would have Telegram ask for every address that an agent writes, with whatever it has put into it.
    params = {**_head(message), "link_preview_options": {"is_disabled": True}}
    return Step(method="sendMessage", params=params, text=message.text, field="text")


def _file(message: Outbound, file: OutboundFile, *, text: str, is_first: bool) -> Step:
    way: Way = way_of(file)
    params = _head(message) if is_first else where(message.source)
    field = "caption" if text else ""
    return Step(method=way.method, params=params, text=text, field=field, file=file, file_field=way.field)


def _edit(message: Outbound) -> Step:
    found = message_number(message.edits)
    if found is None:
        raise PlatformError(PlatformErrorKind.REFUSED, "what is to be edited is no message of Telegram")
    params: Params = {"chat_id": chat_id(found[0]), "message_id": found[1]}
    if message.buttons:
        params["reply_markup"] = keyboard(message.buttons)
    if not message.text.strip():
        return Step(method="editMessageReplyMarkup", params=params, is_edit=True)
    params["link_preview_options"] = {"is_disabled": True}
    return Step(method="editMessageText", params=params, text=message.text, field="text", is_edit=True)


def _head(message: Outbound) -> Params:
    params = where(message.source)
    answered = message_number(message.reply_to)
    if answered is not None and answered[0] == message.source.chat:
        # A message that was deleted meanwhile must not keep the answer from being sent.
        params["reply_parameters"] = {"message_id": answered[1], "allow_sending_without_reply": True}
    if message.buttons:
        params["reply_markup"] = keyboard(message.buttons)
    return params
