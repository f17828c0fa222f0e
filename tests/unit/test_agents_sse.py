"""Server-sent events from bytes that are cut anywhere."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.agents.sse import SseParser, SseTooLargeError


def parsed(*chunks: bytes) -> list[str]:
    """All events of a stream that ends after the chunks."""
    parser = SseParser()
    events = [event for chunk in chunks for event in parser.feed(chunk)]
    return events + parser.finish()


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[str], bytes]:
    """Events, and the bytes of a stream that carries them with all that may stand between."""
    line = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12)
    events = draw(st.lists(st.lists(line, min_size=1, max_size=3), max_size=5))
    noise = st.sampled_from(["", ": comment", "event: ping", "id: 7", "retry: 10", ":", "unknown"])
    out: list[str] = []
    for lines in events:
        out += [item for item in draw(st.lists(noise, max_size=2)) if item]
        out += [
            f"data:{draw(st.sampled_from([' ', '']))}{text}" if not text.startswith(" ") else f"data: {text}"
            for text in lines
        ]
        out.append("")
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    return ["\n".join(lines) for lines in events], "".join(text + end for text in out).encode()


@given(streams(), st.data())
def test_events_come_back_as_they_were_sent_however_the_bytes_are_cut(
    stream: tuple[list[str], bytes], data: st.DataObject
) -> None:
    """Whole, byte by byte, or cut at any places; everything but the data is left out."""
    events, body = stream
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    chunks = [body[start:end] for start, end in itertools.pairwise([0, *cuts, len(body)])]
    assert parsed(body) == events
    assert parsed(*chunks) == events
    assert parsed(*(bytes([letter]) for letter in body)) == events


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b"data: a\n\ndata: b\n\n", ["a", "b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", ["a", "b"]),
        (b"data: a\r\rdata: b\r\r", ["a", "b"]),
        (b"data: a\ndata: b\n\n", ["a\nb"]),
        (b"data:  two spaces\n\n", [" two spaces"]),
        (b"data\n\n", [""]),
        (b"\xef\xbb\xbfdata: a\n\n", ["a"]),
        (b"event: x\nid: 1\n: c\ndata: a\n\n", ["a"]),
        (b"data: unfinished", ["unfinished"]),
        (b"data: unfinished\n", ["unfinished"]),
        (b"\n\n\n", []),
        (b"data: \xff\xfe\n\n", ["\ufffd\ufffd"]),
        (b"", []),
    ],
)
def test_what_streams_look_like(body: bytes, events: list[str]) -> None:
    """All three line breaks, several data lines, a byte order mark, an end without an empty line."""
    assert parsed(body) == events


def test_an_event_comes_as_soon_as_it_is_whole() -> None:
    """Also when its last line ends with a lone CR, which might have been half of a CR LF."""
    parser = SseParser()
    assert parser.feed(b"data: a\r\n\r") == ["a"]
    assert parser.feed(b"\ndata: b\n") == []
    assert parser.feed(b"\n") == ["b"]


@pytest.mark.parametrize("body", [b"data: " + b"x" * 2000, b"data: x\n" * 600, b"x" * 2000 + b"\n"])
def test_a_line_or_event_beyond_the_limit_is_refused(body: bytes) -> None:
    """Whether it ends or not, so that memory stays bounded."""
    parser = SseParser(limit_bytes=1000)

    def feed_all() -> None:
        for start in range(0, len(body), 100):
            parser.feed(body[start : start + 100])

    with pytest.raises(SseTooLargeError):
        feed_all()
