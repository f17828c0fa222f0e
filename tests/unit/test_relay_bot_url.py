"""The address of a bot: one spelling of each is kept, and what two programs could read in two ways is refused."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.api.bindings import RelayProtocol
from core.relay.addresses import ForbiddenError
from core.relay.addresses import place_of as called_place
from core.relay.bot_url import BadUrl, origin, place_of, shown


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("http://other-hotplex:8080/relay", "http://other-hotplex:8080"),
        ("http://other-hotplex:8080/relay/", "http://other-hotplex:8080"),
        ("http://h/bots/relay", "http://h/bots"),
        ("http://h/relay/relay", "http://h"),
        ("http://h/relays", "http://h/relays"),
        ("HTTP://Example.COM:80/", "http://example.com"),
        ("https://example.com.:443/Bot//", "https://example.com/Bot"),
        ("http://h:", "http://h"),
        ("http://10.0.0.5:08080/x", "http://10.0.0.5:8080/x"),
        ("http://[2001:DB8:0::1]:8080", "http://[2001:db8::1]:8080"),
        ("http://docker_bot:8080", "http://docker_bot:8080"),
        ("https://b\u00fccher.example/a", "https://xn--bcher-kva.example/a"),
        ("https://h/caf\u00e9/%7Ex", "https://h/caf%C3%A9/%7Ex"),
    ],
)
def test_an_address_is_kept_in_one_spelling(written: str, kept: str) -> None:
    """Without /relay, a slash at the end, the usual port, and capital letters of the host."""
    assert place_of(written).url == kept
    assert place_of(kept).url == kept


def test_the_card_of_an_a2a_server_is_understood_as_its_address() -> None:
    """People copy it from the browser. /relay is a path like any other there."""
    assert place_of("https://h/x/.well-known/agent-card.json", RelayProtocol.A2A).url == "https://h/x"
    assert place_of("https://h/relay", RelayProtocol.A2A).url == "https://h/relay"


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("", "empty"),
        ("ftp://h", "ftp://"),
        ("h:8080", "http://"),
        ("http:h", "http://"),
        ("http://", "host"),
        ("http:///relay", "host"),
        ("http://:8080", "host"),
        ("http://ann:pw@h", "user name"),
        ("http://h?x=1", "query"),
        ("http://h/relay?", "query"),
        ("http://h#f", "fragment"),
        ("http://h/\nx", "control"),
        ("http://h/ x", "space"),
        ("http://h\u200b.example", "cannot be seen"),
        ("http://h\\@evil.example", "backslash"),
        ("http://h:0", "port"),
        ("http://h:65536", "port"),
        ("http://h:80a", "port"),
        ("http://h:\u0661", "port"),
        ("http://h:1:2", "colons"),
        ("http://[::1", "brackets"),
        ("http://[::1]x", "brackets"),
        ("http://[fe80::1%25eth0]", "zone"),
        ("http://[1.2.3.4]", "version 6"),
        ("http://2130706433", "spelling"),
        ("http://0x7f.1", "spelling"),
        ("http://0177.0.0.1", "spelling"),
        ("http://127.1", "spelling"),
        ("http://\uff11\uff12\uff17.0.0.1", "another host"),
        ("http://fa\u00df.example", "another host"),
        ("http://a..b", "host"),
        ("http://-h-", "host"),
        ("http://h/%zz", "%"),
        ("http://h/a//b", "//"),
        ("http://h/../x", ".."),
        ("http://h/%2E%2e/x", ".."),
        ("http://" + "h" * 2_000, "characters"),
    ],
)
def test_what_cannot_be_an_address_is_refused_with_the_reason(url: str, word: str) -> None:
    """And with what to write instead."""
    with pytest.raises(BadUrl) as caught:
        place_of(url)
    assert word in caught.value.problem
    assert caught.value.fix


def test_a_refusal_shows_no_password_and_no_query() -> None:
    """An address may have been copied with what opens doors."""
    assert shown("http://ann:s3cret@h/x") == "http://…@h/x"
    assert shown("ann:s3cret@h") == "…@h"
    assert shown("http://us/er:s3cret@h") == "http://…@h"
    assert shown("http://h/x?token=s3cret") == "http://h/x?…"
    assert shown("http://h/\x1b[31m") == "http://h/\ufffd[31m"
    with pytest.raises(BadUrl) as caught:
        place_of("ann:s3cret@h")
    assert "s3cret" not in caught.value.problem + caught.value.fix


def test_an_origin_has_scheme_host_and_odd_port() -> None:
    """What a breaker goes by."""
    assert origin("https://h.example:443/a/relay") == "https://h.example"
    assert origin("https://h.example:8443/b") == "https://h.example:8443"
    assert origin("http://[::1]:8080/a") == "http://[::1]:8080"


PIECES = st.lists(
    st.sampled_from([
        "http://", "https://", "h", "127.0.0.1", "[::1]", ":", "8080", "/", "/relay", "//", ".", "..", "?", "#", "@",
        "%", "%41", "\u00fc", "\u00df", "0x7f", "1", " ", "\t", "\\", "-", "\ud800", "xn--", "\u3002", "\uff0f",
    ]),
    max_size=8,
).map("".join)  # fmt: skip


@given(st.one_of(PIECES, PIECES.map("http://h".__add__), st.text(max_size=20).map("http://".__add__), st.text()))
def test_whatever_is_written_is_refused_or_kept_in_one_spelling(url: str) -> None:
    """Kept twice it stays the same, in letters that every program reads in one way."""
    for protocol in RelayProtocol:
        try:
            place = place_of(url, protocol)
        except BadUrl:
            continue
        assert place_of(place.url, protocol) == place
        assert place.url.isascii()
        assert not set(place.url) & set(" \\@?#\t\n") or "@" in place.target
        assert place.url.startswith(place.origin)
        assert not place.url.endswith("/")


@given(st.one_of(PIECES, PIECES.map("http://h".__add__), st.text(max_size=20).map("http://".__add__)))
def test_an_address_that_is_kept_is_called_where_it_says(url: str) -> None:
    """What is sent to an origin, a token too, goes to no other one; a query that a far side adds changes nothing."""
    try:
        kept = place_of(url.partition("?")[0], RelayProtocol.A2A)
    except BadUrl:
        return
    called = called_place(kept.url)
    assert (called.origin, called.target) == (kept.origin, kept.target or "/")
    with contextlib.suppress(ForbiddenError):
        assert called_place(url).origin == kept.origin
