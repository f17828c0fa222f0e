"""Messages of the core as calls of the Bot API."""

from typing import Any

import pytest

from core.api.base import DeliveryId, PlatformName, SessionId
from core.api.sessions import ChatKind, Source
from core.gateway.adapters.telegram_outbound import Step, chat_id, keyboard, steps, where
from core.gateway.platform import Button, ButtonStyle, FileKind, Outbound, OutboundFile, PlatformError

TG = PlatformName("tg")
GROUP = Source(platform=TG, kind=ChatKind.GROUP, chat="-100200", thread="42")
YES = Button(token="a" * 32, label="Yes", sign="✅", style=ButtonStyle.YES)
NO = Button(token="b" * 32, label="No", sign="❌", style=ButtonStyle.NO)


def outbound(text: str = "hi", **more: Any) -> Outbound:
    """A message into a topic."""
    message = {"delivery_id": DeliveryId("d1"), "session_id": SessionId("s"), "source": GROUP, "text": text}
    return Outbound(**{**message, **more})


def file(kind: FileKind = FileKind.DOCUMENT, mime: str = "application/pdf", size: int = 10) -> OutboundFile:
    """A file of the core's."""
    return OutboundFile(kind=kind, name="f", mime=mime, path="/f", size_bytes=size)


def only(message: Outbound) -> Step:
    """The one call of a message."""
    (step,) = steps(message)
    return step


def test_a_text_goes_to_its_chat_and_topic_as_an_answer() -> None:
    """Even when what it answers was deleted, and without having Telegram fetch its links."""
    step = only(outbound("**hi**", reply_to="-100200/7"))
    assert step.method == "sendMessage"
    assert step.formatted() == {
        "chat_id": -100200,
        "message_thread_id": 42,
        "reply_parameters": {"message_id": 7, "allow_sending_without_reply": True},
        "link_preview_options": {"is_disabled": True},
        "text": "<b>hi</b>",
        "parse_mode": "HTML",
    }
    assert step.plain()["text"] == "**hi**"
    assert "parse_mode" not in step.plain()


def test_an_answer_to_a_message_elsewhere_names_none() -> None:
    """Its number would be that of another message here."""
    assert "reply_parameters" not in only(outbound(reply_to="8841/7")).params
    assert "reply_parameters" not in only(outbound(reply_to="$matrix-id")).params


def test_the_first_topic_is_not_named_but_for_the_sign_of_typing() -> None:
    """Telegram knows no thread of that number when something is sent."""
    general = Source(platform=TG, kind=ChatKind.GROUP, chat="-1", thread="1")
    assert where(general) == {"chat_id": -1}
    assert where(general, names_general=True) == {"chat_id": -1, "message_thread_id": 1}


def test_buttons_carry_their_token_and_share_rows_when_they_are_short() -> None:
    """Yes and no have their colours; a long label has a row of its own."""
    long = Button(token="c", label="allow this for the whole session", sign="♾")
    rows = keyboard([YES, NO, long, YES])["inline_keyboard"]
    assert [[button["text"] for button in row] for row in rows] == [["Yes", "No"], [long.label], ["Yes"]]
    assert rows[0] == [
        {"text": "Yes", "callback_data": "a" * 32, "style": "success"},
        {"text": "No", "callback_data": "b" * 32, "style": "danger"},
    ]


def test_an_edit_changes_text_and_takes_buttons_away() -> None:
    """What is left out is removed; without a text only the buttons change."""
    step = only(outbound("done", edits="-100200/9"))
    assert (step.method, step.is_edit, step.params["message_id"]) == ("editMessageText", True, 9)
    assert "reply_markup" not in step.params
    assert only(outbound(" ", edits="-100200/9", buttons=(YES,))).method == "editMessageReplyMarkup"


@pytest.mark.parametrize(
    ("given", "method"),
    [
        (file(FileKind.PHOTO, "image/png"), "sendPhoto"),
        (file(FileKind.PHOTO, "image/png", 11 * 1024 * 1024), "sendDocument"),
        (file(FileKind.VIDEO, "video/mp4"), "sendVideo"),
        (file(FileKind.VIDEO, "video/x-matroska"), "sendDocument"),
        (file(FileKind.VOICE, "audio/ogg"), "sendVoice"),
        (file(FileKind.VOICE, "audio/wav"), "sendDocument"),
        (file(FileKind.AUDIO, "audio/mpeg"), "sendAudio"),
        (file(FileKind.STICKER, "image/webp"), "sendSticker"),
        (file(), "sendDocument"),
    ],
)
def test_a_file_goes_as_what_telegram_takes_it_for(given: OutboundFile, method: str) -> None:
    """And as a document where it would be refused."""
    assert only(outbound("", files=(given,))).method == method


def test_a_short_text_stands_under_its_file_and_a_long_one_before_it() -> None:
    """1,024 UTF-16 units fit under a file; several files follow their text."""
    assert only(outbound("🙂" * 512, files=(file(),))).formatted()["caption"] == "🙂" * 512
    both = steps(outbound("🙂" * 513, files=(file(),), buttons=(YES,), reply_to="-100200/7"))
    assert [step.method for step in both] == ["sendMessage", "sendDocument"]
    assert "reply_markup" in both[0].params
    assert "reply_markup" not in both[1].params
    three = steps(outbound("x", files=(file(), file())))
    assert [step.method for step in three] == ["sendMessage", "sendDocument", "sendDocument"]


@pytest.mark.parametrize("chat", ["", "-", "abc", "1 2", "@", "@a/b", "\uff11\uff12", "9" * 5000])
def test_what_is_no_chat_is_refused(chat: str) -> None:
    """Before anything is sent."""
    with pytest.raises(PlatformError, match="none of Telegram"):
        chat_id(chat)
    assert chat_id("-100200") == -100200
    assert chat_id("@news_channel") == "@news_channel"


STRAY = Source(platform=TG, kind=ChatKind.GROUP, chat="-1", thread="$event")


@pytest.mark.parametrize("message", [outbound(" "), outbound("x", edits="nonsense"), outbound("x", source=STRAY)])
def test_what_says_nothing_or_edits_nothing_is_refused(message: Outbound) -> None:
    """An operator sees why."""
    with pytest.raises(PlatformError):
        steps(message)
