"""RelayMessage and RelayResponse as HotPlex writes and reads them, document by document."""

import contextlib
from datetime import date

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.api.errors import InvalidInput
from core.relay import go_json, moment
from core.relay.message import (
    RelayMessage,
    RelayResponse,
    read_message,
    read_response,
    write_for_peer,
    write_message,
    write_response,
)
from core.relay.moment import UNSET, Moment

SENT = (
    '{"task_id":"a44ce541-edaa-44fa-915c-c1dbfd9ea2e4","to":"security-bot","content":"hi","status":"working",'
    '"created_at":"2026-03-22T23:04:05.12034+08:00"}'
)
WHOLE = (
    '{"task_id":"8d1f4c52-0a3e-4b7c-9f6e-2b1a7c3d4e5f","from":"dev-bot","to":"security-bot",'
    '"content":"Analyze \\u003cs_abc123\\u003e \\u0026 report","session_key":"slack:C12345:U1",'
    '"metadata":"{\\"k\\":\\"v\\"}","status":"working","response":"r","error":"e","created_at":"2026-03-22T15:04:05Z"}'
)
NOTHING = '{"created_at":"0001-01-01T00:00:00Z"}'
RECEIVED = (
    '{"task_id":"8d1f4c52-0a3e-4b7c-9f6e-2b1a7c3d4e5f","status":"sent",'
    '"timestamp":"2026-03-22T15:04:06.789Z","duration":0}'
)
ANSWERED = (
    '{"task_id":"t","status":"completed","content":"done","timestamp":"2026-03-22T15:04:06.789Z","error":"x",'
    '"duration":1500000000}'
)
STUB = '{"task_id":"","status":"ok","timestamp":"0001-01-01T00:00:00Z","duration":0}'


@pytest.mark.parametrize("document", [SENT, WHOLE, NOTHING])
def test_a_golden_message_is_read_and_written_letter_for_letter(document: str) -> None:
    """Field order, omitted fields, escapes, fraction and zone of the time are those of Go."""
    assert write_message(read_message(document)).decode() == document


@pytest.mark.parametrize("document", [RECEIVED, ANSWERED, STUB])
def test_a_golden_response_is_read_and_written_letter_for_letter(document: str) -> None:
    """Times and durations are always there, texts only when they say something."""
    assert write_response(read_response(document)).decode() == document


def test_the_fields_of_a_golden_message_are_what_they_say() -> None:
    """The names of the wire become the fields of the struct."""
    message = read_message(WHOLE)
    assert (message.sender, message.to) == ("dev-bot", "security-bot")
    assert message.content == "Analyze <s_abc123> & report"
    assert message.metadata == '{"k":"v"}'
    assert message.created_at.at == 1774191845.0
    assert read_response(ANSWERED).duration_ns == 1_500_000_000
    assert read_message(NOTHING).created_at.at is None


def test_a_peer_is_sent_the_text_under_both_names() -> None:
    """Its sender says content, its receiver reads message."""
    document = msgspec.json.decode(write_for_peer(RelayMessage(task_id="t", content="hi")))
    assert document["content"] == document["message"] == "hi"
    assert "message" not in msgspec.json.decode(write_for_peer(RelayMessage(task_id="t")))


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ('{"message":"m"}', "m"),
        ('{"content":"c"}', "c"),
        ('{"message":"m","content":"c"}', "c"),
        ('{"content":"","message":"m"}', "m"),
        ('{"content":null,"message":"m"}', "m"),
    ],
)
def test_the_text_is_read_under_either_name(document: str, text: str) -> None:
    """The name content counts where both say something."""
    assert read_message(document).content == text


@pytest.mark.parametrize(
    ("document", "to"),
    [
        ('{"TO":"a"}', "a"),
        ('{"To":"a","to":"b"}', "b"),
        ('{"to":"a","to":null}', "a"),
        ('{"to":"a","nobody":{"to":"c"},"x":[1,2,{}]}', "a"),
        ('{"to":null}', ""),
        ("null", ""),
        (' {"to" : "a"}\n', "a"),
        ('{"to":"\\ud800"}', "�"),
    ],
)
def test_keys_are_read_as_go_reads_them(document: str, to: str) -> None:
    """Case does not count, the last key does; null and unknown keys say nothing; broken letters are replaced."""
    assert read_message(document).to == to


def test_a_key_is_folded_as_go_folds_it() -> None:
    """The long s and the sign of Kelvin are s and k; letters that would become two stay."""
    assert read_message('{"ta\u017f\u212a_id":"a"}').task_id == "a"
    assert go_json.folded("stra\u00dfe") == "stra\u00dfe"


def test_bytes_that_are_no_utf_8_are_replaced() -> None:
    """They become the sign for a broken letter, as in Go."""
    assert read_message(b'{"to":"a\xff"}').to == "a�"


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ("", "the message"),
        ("{", "the message"),
        ('{"to":"a"} x', "the message"),
        ('{"to":NaN}', "the message"),
        ('{"to":' + "1" * 5000 + "}", "the message"),
        ("[" * 100_000, "the message"),
        ("[]", "the message"),
        ('"text"', "the message"),
        ("true", "the message"),
        ('{"to":1}', "to"),
        ('{"to":true}', "to"),
        ('{"message":[]}', "message"),
        ('{"metadata":{"k":"v"}}', "metadata"),
        ('{"created_at":""}', "created_at"),
        ('{"created_at":5}', "created_at"),
        ('{"created_at":"2026-03-22 15:04:05Z"}', "created_at"),
    ],
)
def test_what_is_no_message_is_refused_with_its_field(document: str, field: str) -> None:
    """The error names field, value and fix."""
    with pytest.raises(InvalidInput) as caught:
        read_message(document)
    assert caught.value.facts["field"] == field
    assert {"value", "fix"} <= caught.value.facts.keys()


@pytest.mark.parametrize("duration", ['"1.5s"', "1.5", "1.0", "1e3", "true", "9223372036854775808", "[]"])
def test_a_duration_is_a_whole_number_of_nanoseconds(duration: str) -> None:
    """Nothing else is, as in Go."""
    with pytest.raises(InvalidInput) as caught:
        read_response(f'{{"duration":{duration}}}')
    assert caught.value.facts["field"] == "duration"


@pytest.mark.parametrize(
    ("text", "ns", "written"),
    [
        ("1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z"),
        ("1970-01-01T00:00:00.000000001Z", 1, "1970-01-01T00:00:00.000000001Z"),
        ("1970-01-01T00:00:00.0000000019Z", 1, "1970-01-01T00:00:00.000000001Z"),
        ("1970-01-01T00:00:00.500Z", 500_000_000, "1970-01-01T00:00:00.5Z"),
        ("1969-12-31T23:59:59.5Z", -500_000_000, "1969-12-31T23:59:59.5Z"),
        ("1970-01-01T05:30:00+05:30", 0, "1970-01-01T05:30:00+05:30"),
        ("1969-12-31T16:00:00-08:00", 0, "1969-12-31T16:00:00-08:00"),
        ("1970-01-01T00:00:00+00:00", 0, "1970-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59-23:59", 253402300799_000000000 + 86_340_000000000, "9999-12-31T23:59:59-23:59"),
        ("0001-01-01T00:00:00-23:59", UNSET.ns, "0001-01-01T00:00:00Z"),
        ("0000-02-28T00:00:00Z", UNSET.ns, "0001-01-01T00:00:00Z"),
        ("0002-01-01T00:00:00Z", UNSET.ns + 365 * 86_400_000_000_000, "0002-01-01T00:00:00Z"),
    ],
)
def test_times_are_kept_to_the_nanosecond_with_their_zone(text: str, ns: int, written: str) -> None:
    """Zeros at the end of a fraction go, and what is before the year 2 was never set."""
    found = moment.read(text, "created_at")
    assert (found.ns, moment.write(found)) == (ns, written)


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-22",
        "2026-03-22T15:04Z",
        "2026-03-22T15:04:05",
        "2026-03-22t15:04:05z",
        "2026-03-22T15:04:05,5Z",
        "2026-03-22T15:04:05.Z",
        "2026-03-22T24:00:00Z",
        "2026-03-22T15:60:00Z",
        "2026-03-22T15:04:60Z",
        "2026-02-30T15:04:05Z",
        "2026-00-01T15:04:05Z",
        "2026-03-22T15:04:05+24:00",
        "2026-03-22T15:04:05+01:60",
        "2026-03-22T15:04:05Z\n",
        "٢٠٢٦-03-22T15:04:05Z",
        "x" * 100_000,
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    """Only RFC 3339 with a zone is one."""
    with pytest.raises(InvalidInput):
        moment.read(text, "created_at")


@given(
    st.integers(min_value=moment.read("0002-01-02T00:00:00Z", "t").ns, max_value=253402200000_000000000),
    st.integers(-1439, 1439),
)
def test_a_time_survives_its_text(ns: int, zone_min: int) -> None:
    """Every instant with every zone is read as it was written."""
    assert moment.read(moment.write(Moment(ns, zone_min)), "t") == Moment(ns, zone_min)


@given(st.dates())
def test_a_date_is_the_day_of_the_calendar(day: date) -> None:
    """Leap years, centuries and the ends of months as the library of Python has them."""
    found = moment.read(f"{day.isoformat()}T00:00:00Z", "t")
    if day.year > 1:
        assert found.ns == (day.toordinal() - date(1970, 1, 1).toordinal()) * 86_400_000_000_000
    assert moment.write(found).startswith(day.isoformat() if day.year > 1 else "0001-01-01")


@pytest.mark.parametrize(
    "day", ["2025-02-29", "2100-02-29", "2026-04-31", "2026-13-01", "2026-00-10", "2026-01-00", "2026-01-32"]
)
def test_a_day_that_no_calendar_has_is_refused(day: str) -> None:
    """It is not moved to the next month."""
    with pytest.raises(InvalidInput):
        moment.read(f"{day}T00:00:00Z", "t")


@given(st.integers())
def test_no_time_is_too_far_away_to_be_written(ns: int) -> None:
    """What Go could not write becomes a time that nobody set."""
    moment.read(moment.write(Moment(ns)), "t")


def test_a_time_of_ours_is_kept_to_the_microsecond() -> None:
    """More digits than the clock has would be invented."""
    assert moment.write(Moment.of(1774191845.25)) == "2026-03-22T15:04:05.25Z"
    assert Moment.of(1774191845.123456).at == 1774191845.123456


_TEXTS = st.text(st.characters(exclude_categories=("Cs",)))


@given(st.builds(RelayMessage, task_id=_TEXTS, sender=_TEXTS, to=_TEXTS, content=_TEXTS, metadata=_TEXTS, error=_TEXTS))
def test_every_message_is_read_as_it_was_written(message: RelayMessage) -> None:
    """Whatever its texts hold."""
    assert read_message(write_message(message)) == message
    assert read_message(write_for_peer(message)) == message


@given(st.binary())
def test_no_bytes_crash_the_reader(document: bytes) -> None:
    """They are a message, or refused."""
    for read in (read_message, read_response):
        with contextlib.suppress(InvalidInput):
            read(document)


@pytest.mark.parametrize("depth", [1, 400, 600, 900])
@pytest.mark.parametrize(("opening", "closing"), [(b'{"a":', b"}"), (b"[", b"]")])
@pytest.mark.parametrize("field", [b"task_id", b"created_at", b"timestamp", b"duration"])
def test_what_is_nested_deep_is_refused_like_anything_else(
    field: bytes, opening: bytes, closing: bytes, depth: int
) -> None:
    """However deep what stands in place of a text: what can be read can be told of."""
    document = b'{"%s":%s1%s}' % (field, opening * depth, closing * depth)
    read = read_message if field in {b"task_id", b"created_at"} else read_response
    with pytest.raises(InvalidInput) as caught:
        read(document)
    assert len(str(caught.value.facts["value"])) <= 120


def test_a_text_with_half_a_letter_can_be_written() -> None:
    """It is replaced, as the bytes could not be sent."""
    assert read_message(write_message(RelayMessage(content="a\ud83db"))).content == "a�b"
    assert read_response(write_response(RelayResponse(content="\udc00"))).content == "�"
