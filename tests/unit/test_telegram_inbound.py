"""Updates of Telegram in the words of the core."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.api.base import PlatformName
from core.api.sessions import ChatKind
from core.gateway.adapters.telegram_inbound import Account, Membership, happening
from core.gateway.platform import FileKind, Inbound, InboundEdit, Press
from tests.support.fake_telegram.markup import found_entities

NAME = PlatformName("tg")
US = Account(platform=NAME, id=77, username="our_bot")
ANN = {"id": 8841, "is_bot": False, "first_name": "Ann", "last_name": "Lee", "username": "Ann_Lee"}
DM = {"id": 8841, "type": "private", "first_name": "Ann"}
GROUP = {"id": -100200, "type": "supergroup", "title": "The team"}


def update(text: str = "", *, chat: dict[str, Any] = DM, key: str = "message", **more: Any) -> dict[str, Any]:
    """An update with a message of Ann."""
    message: dict[str, Any] = {"message_id": 5, "date": 1, "chat": chat, "from": ANN, **more}
    if text:
        message |= {"text": text, "entities": found_entities(text), **more}
    return {"update_id": 900, key: message}


def said(text: str = "", *, account: Account = US, chat: dict[str, Any] = DM, by: Any = ANN, **more: Any) -> Inbound:
    """What such an update says."""
    made = update(text, chat=chat, **more)
    made["message"]["from"] = by
    found = happening(made, account)
    assert isinstance(found, Inbound)
    return found


def test_a_message_keeps_who_where_and_what() -> None:
    """Ids are those of Telegram; an id of a message counts within its chat, so it names the chat too."""
    inbound = said("héllo")
    assert (inbound.text, inbound.sender_id, inbound.sender_name) == ("héllo", "8841", "Ann Lee")
    assert (inbound.source.kind, inbound.source.chat, inbound.source.thread) == (ChatKind.DM, "8841", None)
    assert (inbound.native_id, inbound.is_addressed, inbound.is_bot, inbound.aliases) == ("8841/5", True, False, ())


def test_a_username_is_an_alias_only_where_it_is_trusted() -> None:
    """It can change hands, so it lets nobody in unless the configuration says so."""
    assert said("x").aliases == ()
    trusting = msgspec.structs.replace(US, trust_usernames=True)
    assert said("x", account=trusting).aliases == ("@ann_lee",)
    # Also of whoever changes a message or uses a button: who is let in by it is let in with all of them.
    edit = happening(update("x", key="edited_message"), trusting)
    query = {"id": "q1", "from": ANN, "data": "token", "message": {"message_id": 9, "date": 0, "chat": GROUP}}
    press = happening({"update_id": 1, "callback_query": query}, trusting)
    assert isinstance(edit, InboundEdit)
    assert isinstance(press, Press)
    assert edit.aliases == press.aliases == ("@ann_lee",)


@pytest.mark.parametrize(
    ("text", "is_addressed", "read"),
    [
        ("hello", False, "hello"),
        ("@our_bot hello", True, "hello"),
        ("@Our_Bot  hello", True, "hello"),
        ("🙂🙂 hi @our_bot, see", True, "🙂🙂 hi @our_bot, see"),
        ("hi @our_bot_too", False, "hi @our_bot_too"),
        ("@our_bot", True, "@our_bot"),
        ("/stop@our_bot now", True, "/stop now"),
        ("/stop@other_bot now", False, "/stop@other_bot now"),
        ("/stop", False, "/stop"),
        ("@our_bot /stop", True, "/stop"),
    ],
)
def test_in_a_group_only_what_names_us_is_addressed_to_us(text: str, is_addressed: bool, read: str) -> None:
    """By our @name or by a command with it; that of the beginning is no part of the text."""
    inbound = said(text, chat=GROUP)
    assert (inbound.is_addressed, inbound.text) == (is_addressed, read)


def test_a_mention_counts_by_its_mark_and_not_by_its_letters() -> None:
    """A name that is quoted in code, or a mark that lies beyond the text, addresses nobody."""
    assert not said("@our_bot hi", chat=GROUP, entities=[{"type": "code", "offset": 0, "length": 8}]).is_addressed
    assert not said("hi", chat=GROUP, entities=[{"type": "mention", "offset": 0, "length": 8}]).is_addressed
    marks = [{"type": "text_mention", "offset": 0, "length": 2, "user": {"id": 77}}]
    assert said("hi you", chat=GROUP, entities=marks).is_addressed


def test_an_answer_to_us_is_addressed_to_us() -> None:
    """And says which message it answers, and what that said."""
    ours = {"message_id": 3, "from": {"id": 77, "is_bot": True}, "text": "a question"}
    inbound = said("an answer", chat=GROUP, reply_to_message=ours)
    assert (inbound.is_addressed, inbound.reply_to, inbound.quoted) == (True, "-100200/3", "a question")
    theirs = {**ours, "from": {"id": 5}}
    inbound = said("x", chat=GROUP, reply_to_message=theirs, quote={"text": "quest", "position": 2})
    assert (inbound.is_addressed, inbound.quoted) == (False, "quest")


@pytest.mark.parametrize(
    ("text", "more", "may_command"),
    [
        ("/stop", {}, True),
        ("/stop@our_bot", {}, True),
        ("/stop@other_bot", {}, False),
        ("/usr/bin/env", {"entities": []}, False),
        ("/stop", {"entities": [{"type": "code", "offset": 0, "length": 5}]}, False),
        ("/stop", {"forward_origin": {"type": "user"}}, False),
        ("/stop", {"via_bot": {"id": 4}}, False),
        ("plain", {}, True),
        ("1", {"forward_origin": {"type": "user"}}, False),
    ],
)
def test_only_what_the_sender_typed_as_a_command_is_one(text: str, more: dict[str, Any], may_command: bool) -> None:
    """A path, a quotation, somebody else's words and another bot's command are text."""
    assert said(text, **more).may_command is may_command


def test_a_command_of_the_menu_has_our_name_again() -> None:
    """Telegram's menu knows no hyphen."""
    account = msgspec.structs.replace(US, menu={"reload_hooks": "reload-hooks"})
    assert said("/reload_hooks now", account=account).text == "/reload-hooks now"


def test_a_topic_is_a_thread_and_a_reply_chain_is_none() -> None:
    """What merely stands in a topic answers nothing."""
    begun = {"message_id": 42, "forum_topic_created": {"name": "t"}, "from": {"id": 77}}
    inside = said("x", chat=GROUP, message_thread_id=42, is_topic_message=True, reply_to_message=begun)
    assert (inside.source.thread, inside.reply_to, inside.is_addressed) == ("42", "", False)
    assert said("x", chat=GROUP, message_thread_id=42).source.thread is None


def test_who_speaks_as_a_chat_is_that_chat() -> None:
    """Anonymous administrators and channels; neither is a program."""
    bot = {"id": 1087968824, "is_bot": True, "first_name": "Group"}
    inbound = said("x", chat=GROUP, by=bot, sender_chat=GROUP)
    assert (inbound.sender_id, inbound.sender_name, inbound.is_bot) == ("-100200", "The team", False)
    channel = {"id": -100300, "type": "channel", "title": "News"}
    post = update("x", chat=channel, key="channel_post", sender_chat=channel)
    del post["channel_post"]["from"]
    found = happening(post, US)
    assert isinstance(found, Inbound)
    assert (found.source.kind, found.sender_id) == (ChatKind.CHANNEL, "-100300")


def test_programs_are_marked_and_our_own_words_are_left_out() -> None:
    """A bot that talks to bots must be able to stop."""
    assert said("x", chat=GROUP, by={"id": 9, "is_bot": True, "first_name": "B"}).is_bot
    ours = update("x")
    ours["message"]["from"] = {"id": 77, "is_bot": True}
    assert happening(ours, US) is None


FILES: list[tuple[str, dict[str, Any], FileKind, str]] = [
    ("sticker", {}, FileKind.STICKER, "sticker.webp"),
    ("document", {"file_name": "a.pdf", "mime_type": "application/pdf"}, FileKind.DOCUMENT, "a.pdf"),
    ("voice", {"duration": 3}, FileKind.VOICE, "voice.ogg"),
    ("audio", {"file_name": "song.mp3"}, FileKind.AUDIO, "song.mp3"),
    ("video", {}, FileKind.VIDEO, "video.mp4"),
    ("video_note", {}, FileKind.VIDEO, "video.mp4"),
    ("sticker", {"emoji": "🙂", "is_animated": True}, FileKind.STICKER, "sticker.tgs"),
    ("sticker", {"is_video": True}, FileKind.STICKER, "sticker.webm"),
]


@pytest.mark.parametrize(("key", "value", "kind", "name"), FILES)
def test_a_file_is_named_and_can_be_fetched_by_its_id(
    key: str, value: dict[str, Any], kind: FileKind, name: str
) -> None:
    """With what Telegram said about its size."""
    more: Any = {key: {"file_id": "F1", "file_size": 12, **value}}
    inbound = said(caption="see", **more)
    (file,) = inbound.files
    assert (file.kind, file.ref, file.name, file.size_bytes, inbound.text) == (kind, "F1", name, 12, "see")


def test_of_a_photo_the_largest_that_can_be_had_is_taken() -> None:
    """Those above 20 MB cannot be had."""
    sizes = [
        {"file_id": "s", "width": 90, "height": 60, "file_size": 100},
        {"file_id": "l", "width": 1280, "height": 800, "file_size": 20_000},
        {"file_id": "xl", "width": 9000, "height": 8000, "file_size": 21 * 1024 * 1024},
    ]
    inbound = said(photo=sizes, media_group_id="g1")
    assert ([file.ref for file in inbound.files], inbound.group_id) == (["l"], "8841/g1")


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"location": {"latitude": 1.5, "longitude": 2}}, "[location 1.5, 2.0]"),
        ({"venue": {"location": {"latitude": 1, "longitude": 2}, "title": "Bar"}}, "[location 1.0, 2.0: Bar]"),
        ({"contact": {"first_name": "Bo", "phone_number": "+1"}}, "[contact Bo +1]"),
        ({"poll": {"question": "Q?", "options": [{"text": "a"}, {"text": "b"}]}}, "[poll: Q? (a / b)]"),
        ({"dice": {"emoji": "🎲", "value": 4}}, "[🎲 4]"),
    ],
)
def test_what_has_no_text_is_described(more: dict[str, Any], text: str) -> None:
    """So that an agent knows what was sent."""
    assert said(**more).text == text


def test_the_address_behind_a_link_is_not_lost() -> None:
    """Offsets count in UTF-16 units."""
    marks = [{"type": "text_link", "offset": 3, "length": 4, "url": "https://x.org"}]
    assert said("🙂 here", entities=marks).text == "🙂 [here](https://x.org)"


def test_a_change_names_what_it_changes() -> None:
    """Each change has an id of its own."""
    found = happening(update("after", key="edited_message"), US)
    assert isinstance(found, InboundEdit)
    assert (found.native_id, found.text, found.edit_id, found.sender_id) == ("8841/5", "after", "8841/5/900", "8841")
    moving = update(key="edited_message", location={"latitude": 1, "longitude": 2})
    assert happening(moving, US) is None


def test_a_press_names_button_message_and_person() -> None:
    """Whoever pressed need not be whoever asked."""
    query = {"id": "q1", "from": ANN, "data": "token", "message": {"message_id": 9, "date": 0, "chat": GROUP}}
    found = happening({"update_id": 1, "callback_query": query}, US)
    assert isinstance(found, Press)
    assert (found.token, found.answers, found.native_id, found.sender_id) == ("token", "-100200/9", "q1", "8841")
    assert happening({"update_id": 1, "callback_query": {**query, "data": ""}}, US) is None


def test_being_shut_out_is_noticed() -> None:
    """By a person who blocks us, or a group that throws us out."""
    for status, is_open in (("kicked", False), ("left", False), ("member", True), ("administrator", True)):
        change = {"chat": DM, "from": ANN, "new_chat_member": {"status": status}}
        assert happening({"update_id": 1, "my_chat_member": change}, US) == Membership(chat="8841", is_open=is_open)


@pytest.mark.parametrize(
    "odd", [{}, {"update_id": 1}, {"update_id": 1, "poll_answer": {}}, {"update_id": 1, "message": 5}]
)
def test_what_is_not_for_us_says_nothing(odd: dict[str, Any]) -> None:
    """Kinds that were not asked for, and none at all."""
    assert happening(odd, US) is None


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
KEYS = [
    *("message_id", "from", "chat", "text", "entities", "photo", "document", "reply_to_message", "sender_chat"),
    *("message_thread_id", "is_topic_message", "location", "poll", "caption", "media_group_id", "quote"),
]


@given(st.dictionaries(st.sampled_from(KEYS), ODD), st.sampled_from(["message", "edited_message", "channel_post"]))
def test_no_message_can_break_the_reading(fields: dict[str, Any], key: str) -> None:
    """Whatever stands in it, it is understood or left out."""
    base = update("hi /x @our_bot", chat=GROUP)["message"]
    happening({"update_id": 1, key: {**base, **fields}}, US)
    happening({"update_id": 1, key: fields}, US)
    happening({"update_id": 1, "callback_query": {"id": "1", "from": fields, "message": fields, "data": "x"}}, US)
    happening({"update_id": 1, "my_chat_member": fields}, US)
