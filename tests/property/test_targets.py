"""Targets in words: read back as they were written, never guessed at, never lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.api.base import PlatformName
from core.api.errors import InvalidInput
from core.api.sessions import ChatKind, Source
from core.gateway.target import Account, Everywhere, Explicit, Home, Origin, Place, formatted, parsed, resolved

TELEGRAM, MATRIX, SIGNAL = PlatformName("telegram"), PlatformName("matrix"), PlatformName("signal")
ACCOUNTS = {
    TELEGRAM: Account(has_threads=True, home_chat="-100", home_thread="17"),
    MATRIX: Account(has_threads=True),
    SIGNAL: Account(home_chat="group:abc=="),
}
ORIGIN = Source(platform=MATRIX, kind=ChatKind.GROUP, chat="!a:example.org", thread="$t")
PARTS = st.text(min_size=1, max_size=20).filter(lambda text: not any("\ud800" <= sign <= "\udfff" for sign in text))
EXPLICIT = st.builds(Explicit, st.sampled_from(list(ACCOUNTS)), PARTS, st.none() | PARTS)
TARGETS = st.one_of(
    st.just(Origin()), st.just(Everywhere()), st.builds(Home, st.sampled_from([None, *ACCOUNTS])), EXPLICIT
)


@given(targets=st.lists(TARGETS, min_size=1, max_size=5))
def test_what_is_written_is_read_back(targets: list[Origin | Everywhere | Home | Explicit]) -> None:
    """Whatever a chat id holds: colons, commas, quotes, percent signs, blanks. Each is there once, in order."""
    text = ", ".join(formatted(target) for target in targets)
    assert parsed(text, ACCOUNTS) == tuple(dict.fromkeys(targets))


@given(text=st.text(max_size=40) | st.text('telgramsin:,"% !$', max_size=40))
def test_any_text_is_understood_or_refused_in_words(text: str) -> None:
    """Nothing else is raised, and what is refused names field, value and fix."""
    caught: InvalidInput | None = None
    found: tuple[object, ...] = ()
    try:
        found = parsed(text, ACCOUNTS)
    except InvalidInput as error:
        caught = error
    if caught is not None:
        assert caught.facts["field"] == "target"
        assert caught.facts["fix"]
    else:
        assert found
        assert parsed(",".join(formatted(target) for target in found), ACCOUNTS) == found


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("origin", Origin()),
        (" HOME ", Home()),
        ("all", Everywhere()),
        ("TELEGRAM", Home(TELEGRAM)),
        ("telegram:123", Explicit(TELEGRAM, "123")),
        ("telegram:-100:17", Explicit(TELEGRAM, "-100", "17")),
        ('matrix:"!abc:matrix.org"', Explicit(MATRIX, "!abc:matrix.org")),
        ("matrix:!abc%3Amatrix.org:$x", Explicit(MATRIX, "!abc:matrix.org", "$x")),
        ('matrix:"!abc:matrix.org":"$x:y"', Explicit(MATRIX, "!abc:matrix.org", "$x:y")),
        ("signal:group%3Aabc==", Explicit(SIGNAL, "group:abc==")),
        ('signal:"say ""hi"", all"', Explicit(SIGNAL, 'say "hi", all')),
        ("telegram: Ops room", Explicit(TELEGRAM, "Ops room")),
    ],
)
def test_a_target_means_one_thing(text: str, target: object) -> None:
    """Case of the platform does not matter; quotes and percent codes keep colons together."""
    if text == "matrix:!abc%3Amatrix.org:$x":
        with pytest.raises(InvalidInput):
            parsed(text, ACCOUNTS)
        return
    assert parsed(text, ACCOUNTS) == (target,)


@pytest.mark.parametrize("text", ["matrix:!abc:matrix.org", "signal:group:abc==", "telegram:a:b:c"])
def test_what_could_be_read_in_two_ways_is_refused_with_both(text: str) -> None:
    """The fix shows how to write either."""
    with pytest.raises(InvalidInput, match="two ways") as caught:
        parsed(text, ACCOUNTS)
    assert text.partition(":")[2] in str(caught.value.facts["fix"])
    assert '"THREAD"' in str(caught.value.facts["fix"])


@pytest.mark.parametrize(("text", "meant"), [("telegrm:123", "telegram"), ("origi", "origin"), ("matri", "matrix")])
def test_an_unknown_connection_is_an_error_that_names_what_is_near(text: str, meant: str) -> None:
    """A slip of the hand is never taken for success."""
    with pytest.raises(InvalidInput, match=f"did you mean {meant}"):
        parsed(text, ACCOUNTS)


@pytest.mark.parametrize(
    "text", ["", " , ", "telegram:", "telegram:1,,", 'telegram:"x', 'telegram:"x"y', "telegram:%zz"]
)
def test_what_names_nothing_is_refused(text: str) -> None:
    """An empty part, an open quote, a percent sign without a code."""
    with pytest.raises(InvalidInput):
        parsed(text, ACCOUNTS)


def test_targets_become_chats_each_once() -> None:
    """The home chat of a platform is the same chat whether it is named by platform, by id or by `all`."""
    targets = parsed("telegram:-100:17, telegram, all, origin, origin", ACCOUNTS)
    assert resolved(targets, ORIGIN, ACCOUNTS) == (
        Place(TELEGRAM, "-100", "17", is_exact=True),
        Place(SIGNAL, "group:abc==", None, is_exact=True),
        Place(MATRIX, "!a:example.org", "$t", is_exact=True),
    )


@pytest.mark.parametrize(
    ("text", "origin", "why"),
    [
        ("origin", None, "comes from no chat"),
        ("matrix", None, "matrix has no home chat"),
        ("home", None, "2 connections have a home chat"),
        ("home", ORIGIN, "matrix has no home chat"),
    ],
)
def test_a_target_that_means_no_chat_is_refused(text: str, origin: Source | None, why: str) -> None:
    """And says what is missing."""
    with pytest.raises(InvalidInput, match=why):
        resolved(parsed(text, ACCOUNTS), origin, ACCOUNTS)


def test_everywhere_needs_a_home_somewhere() -> None:
    """Nothing is sent to nobody in silence."""
    with pytest.raises(InvalidInput, match="no connection has a home chat"):
        resolved((Everywhere(),), None, {MATRIX: Account()})
