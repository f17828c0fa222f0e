"""The IMAP parser: replies of servers, however they are cut; garbage is an error of its own and nothing else."""

import contextlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.gateway.adapters.email_wire import Feed, Reply, WireError, fetched, folder_name, numbers, quoted

MAIL = b"Subject: {5}\r\n\r\n* 3 EXISTS\r\na1 OK )(\r\n"
TALK = (
    b"* OK [CAPABILITY IMAP4rev1 IDLE] hello {3}\r\n"
    b'* 12 FETCH (UID 7 RFC822.SIZE 44 INTERNALDATE "17-Jul-2026 02:44:25 -0700" '
    b"BODY[]<0> {%d}\r\n%b FLAGS (\\Seen))\r\n"
    b"* SEARCH 2 4 8\r\n"
    b"+ idling\r\n"
    b'* LIST (\\HasNoChildren) "/" "a \\"b\\" c"\r\n'
    b"* 5 EXISTS\r\n"
    b"a1 NO [AUTHENTICATIONFAILED] no\r\n"
) % (len(MAIL), MAIL)
PIECES = st.lists(
    st.sampled_from(
        [
            b"* ",
            b"a1 ",
            b"OK",
            b"1 FETCH ",
            b"(",
            b")",
            b"[",
            b"]",
            b'"',
            b"\\",
            b"{4}\r\n",
            b"{99",
            b"\r\n",
            b"\n",
            b" NIL ",
        ]
    )
    | st.binary(max_size=6)
)


def replies(*pieces: bytes, limit_bytes: int = 10_000) -> list[Reply]:
    """What the pieces say."""
    feed = Feed(limit_bytes)
    found: list[Reply] = []
    for piece in pieces:
        feed.feed(piece)
        while (reply := feed.next()) is not None:
            found.append(reply)
    return found


def test_replies_are_read() -> None:
    """Status with code, literal that looks like replies, numbers, continuation, quoted string."""
    hello, fetch, search, more, listed, exists, no = replies(TALK)
    assert (hello.word, hello.code, hello.argument, hello.text) == ("OK", "CAPABILITY", "IMAP4rev1 IDLE", "hello {3}")
    told = fetched(fetch)
    assert (fetch.number, told["UID"], told["BODY"]) == (12, b"7", MAIL)
    assert told["FLAGS"] == [b"\\Seen"]
    assert told["INTERNALDATE"] == b"17-Jul-2026 02:44:25 -0700"
    assert numbers(search) == [2, 4, 8]
    assert (more.tag, more.text) == ("+", "idling")
    assert listed.items[2] == b'a "b" c'
    assert (exists.number, exists.word) == (5, "EXISTS")
    assert (no.tag, no.word, no.code) == ("a1", "NO", "AUTHENTICATIONFAILED")


@given(st.lists(st.integers(0, len(TALK)), max_size=20))
def test_the_same_is_read_however_it_is_cut(cuts: list[int]) -> None:
    """A network gives bytes in pieces of its own choice."""
    places = [0, *sorted(cuts), len(TALK)]
    assert replies(*(TALK[begin:end] for begin, end in pairwise(places))) == replies(TALK)


@given(PIECES.map(b"".join), st.integers(1, 50))
def test_garbage_is_an_error_and_nothing_else(data: bytes, size: int) -> None:
    """Also what looks like IMAP for a while."""
    with contextlib.suppress(WireError):
        for reply in replies(*(data[place : place + size] for place in range(0, len(data), size))):
            with contextlib.suppress(WireError):
                fetched(reply)
            with contextlib.suppress(WireError):
                numbers(reply)


@pytest.mark.parametrize(
    "line",
    [
        b"* 1 FETCH (UID 2\r\n",
        b"* 1 FETCH UID 2)\r\n",
        b'* 1 FETCH ("x\r\n',
        b"* 1 FETCH (BODY[x\r\n",
        b"a1 SEARCH 1\r\n",
        b"\r\n",
        b"* \r\n",
        b"* 1 FETCH " + b"(" * 60 + b")" * 60 + b"\r\n",
        b"* 999999999999999999999999 EXISTS\r\n",
    ],
)
def test_what_is_no_reply_is_refused(line: bytes) -> None:
    """Each in its own way."""
    with pytest.raises(WireError):
        replies(line)


def test_a_literal_that_is_too_large_is_refused_before_it_comes() -> None:
    """Its length is announced."""
    with pytest.raises(WireError):
        replies(b"* 1 FETCH (BODY[] {10001}\r\n")


def test_what_is_left_over_is_known() -> None:
    """What stands before the change to TLS would be somebody else's."""
    feed = Feed(100)
    feed.feed(b"a1 OK go\r\n* OK forged")
    assert feed.next() is not None
    assert not feed.is_empty


@pytest.mark.parametrize("text", ["a\r\nb", "a\0b", "ä"])
def test_a_command_cannot_be_smuggled_in(text: str) -> None:
    """A string of ours holds no line break."""
    with pytest.raises(WireError):
        quoted(text)


@pytest.mark.parametrize(
    ("name", "said"),
    [("INBOX", '"INBOX"'), ("Ablage ü & ñ/日本", '"Ablage &APw- &- &APE-/&ZeVnLA-"'), ('a"b\\', '"a\\"b\\\\"')],
)
def test_a_folder_is_spelt_as_imap_does(name: str, said: str) -> None:
    """In modified UTF-7, the ampersand doubled, quotes escaped."""
    assert folder_name(name) == said
