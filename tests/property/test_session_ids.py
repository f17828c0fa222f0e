"""Session ids are injective, reversible and safe to use as path and key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.api.base import PlatformName, SessionId
from core.api.errors import InvalidInput
from core.api.sessions import ChatKind, Source
from core.gateway.source import isolated, session_id, source_of

parts = st.text(min_size=1, max_size=40).filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text))
tricky = st.one_of(
    parts, st.sampled_from(["17", "-100", "5:7", "a%3Ab", "t=1", "u=1", "..", "/", "!abc:example.org", ""])
)
sources = st.builds(
    Source,
    platform=st.sampled_from([PlatformName("telegram"), PlatformName("slack-eu"), PlatformName("a.b")]),
    kind=st.sampled_from(list(ChatKind)),
    chat=tricky.filter(bool),
    thread=st.none() | tricky.filter(bool),
    user=st.none() | tricky.filter(bool),
)


@given(sources)
def test_an_id_reads_back_to_its_source(source: Source) -> None:
    """Nothing of a source is lost in its id."""
    assert source_of(session_id(source)) == source


@given(sources, sources)
def test_two_sources_never_share_an_id(one: Source, other: Source) -> None:
    """Equal ids mean equal sources."""
    assert (session_id(one) == session_id(other)) == (one == other)


@given(sources)
def test_an_id_is_printable_ascii_without_separators_of_paths(source: Source) -> None:
    """An id may stand in a path, a key, a URL and on a screen."""
    text = session_id(source)
    assert text.isascii()
    assert text.isprintable()
    assert not set(text) & set("/\\ \t\n'\"<>")


@given(st.text(max_size=60))
def test_text_is_an_id_only_if_it_is_the_one_way_to_write_it(text: str) -> None:
    """What source_of accepts, session_id writes again letter by letter; the rest is refused."""
    try:
        source = source_of(SessionId(text))
    except InvalidInput:
        return
    assert session_id(source) == text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("-100", "17", None), ("-100", None, "17")),
        (("5", "7", None), ("5:7", None, None)),
        (("!abc", "example.org", None), ("!abc:example.org", None, None)),
    ],
)
def test_collisions_known_from_elsewhere_do_not_happen(one: tuple, other: tuple) -> None:
    """Thread and member, and ids that contain colons, stay apart."""

    def make(chat: str, thread: str | None, user: str | None) -> SessionId:
        return session_id(
            Source(platform=PlatformName("telegram"), kind=ChatKind.GROUP, chat=chat, thread=thread, user=user)
        )

    assert make(*one) != make(*other)


@pytest.mark.parametrize("chat", ["", "x" * 513, "\ud800"])
def test_a_chat_id_that_cannot_be_one_is_refused_by_name(chat: str) -> None:
    """The error names the field."""
    with pytest.raises(InvalidInput) as caught:
        session_id(Source(platform=PlatformName("telegram"), kind=ChatKind.DM, chat=chat))
    assert caught.value.facts["field"] == "chat"


@pytest.mark.parametrize("text", ["api:dm:{}", "{}:dm:1", "telegram:group:1:t={}", "telegram:group:1:u={}"])
def test_an_id_with_a_part_that_is_too_long_is_refused(text: str) -> None:
    """Whoever names it hears so at once, with what to do; one letter less is fine."""
    assert session_id(source_of(SessionId(text.format("x" * 512)))) == text.format("x" * 512)
    for part in ("x" * 513, "%C3%A9" * 513):
        with pytest.raises(InvalidInput, match="512 characters, not 513") as caught:
            source_of(SessionId(text.format(part)))
        facts = caught.value.facts
        assert (facts["field"], facts["value"]) == ("session_id", text.format(part)[:80])
        assert facts["fix"]


@pytest.mark.parametrize(
    ("kind", "thread", "in_groups", "in_threads", "is_apart"),
    [
        (ChatKind.DM, None, True, True, False),
        (ChatKind.GROUP, None, True, False, True),
        (ChatKind.GROUP, None, False, True, False),
        (ChatKind.GROUP, "17", True, False, False),
        (ChatKind.GROUP, "17", False, True, True),
        (ChatKind.CHANNEL, None, True, False, True),
        (ChatKind.THREAD, "9", True, False, False),
        (ChatKind.THREAD, "9", True, True, True),
    ],
)
def test_members_are_kept_apart_where_configured(
    kind: ChatKind, thread: str | None, in_groups: bool, in_threads: bool, is_apart: bool
) -> None:
    """One-to-one chats are never split; inside a thread only the setting for threads counts."""
    source = Source(platform=PlatformName("telegram"), kind=kind, chat="1", thread=thread)
    split = isolated(source, "42", in_groups=in_groups, in_threads=in_threads)
    assert (split.user == "42") is is_apart
