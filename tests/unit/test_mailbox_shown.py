"""How a message is shown."""

from datetime import UTC, datetime

import msgspec
import pytest

from core.api.base import Mark
from core.api.mail import DeadReason, MailAttempt, MailKind, MailState, Priority
from core.mailbox.message import Mail
from core.mailbox.shown import PAYLOAD_LIMIT, cut, mail_view, past_mark, payload_text
from tests.support.mails import WALL, a_dead_mail, a_mail

NOW = Mark(WALL + 100, 1100.0)


def test_a_queued_message_shows_what_its_sender_gave() -> None:
    """Payload as JSON, priority by name, created on both clocks."""
    mail = a_mail(5, {"a": [1, None, "ü"]}, rank=2, key="k", causation=4, headers={"h": "v"}, message_type="t")
    view = mail_view(mail, NOW)
    assert (view.id, view.mailbox, view.sender, view.message_type) == (5, "box", "ana", "t")
    assert view.payload == '{"a":[1,null,"ü"]}'
    assert view.size_bytes == len(mail.body)
    assert view.priority is Priority.HIGH
    assert (view.state, view.kind) == (MailState.QUEUED, MailKind.CAST)
    assert view.created == Mark(WALL, 1000.0)
    assert (view.key, view.causation, view.headers) == ("k", "m-4", {"h": "v"})
    assert (view.due, view.expires, view.died, view.reason) == (None, None, None, None)


def test_a_message_without_extras_shows_none() -> None:
    """No headers, no cause."""
    view = mail_view(a_mail(), NOW)
    assert (view.headers, view.causation, view.attempts) == ({}, "", ())


def test_a_delayed_message_shows_when_it_may_go_out() -> None:
    """On both clocks; once it is queued that is over."""
    mail = a_mail(state=MailState.DELAYED, due_at=WALL + 130, due=1130.0, expires_at=WALL + 160, expires=1160.0)
    assert mail_view(mail, NOW).due == Mark(WALL + 130, 1130.0)
    assert mail_view(mail, NOW).expires == Mark(WALL + 160, 1160.0)
    mail.state = MailState.QUEUED
    assert mail_view(mail, NOW).due is None


def test_an_instant_of_an_earlier_start_is_derived_from_the_wall_clock() -> None:
    """Where the monotonic clock knows nothing of it."""
    mail = a_mail(posted=0.0, created_at=WALL + 40, expires_at=WALL + 130)
    view = mail_view(mail, NOW)
    assert view.created == Mark(WALL + 40, 1040.0)
    assert view.expires == Mark(WALL + 130, 1130.0)


def test_an_instant_is_never_in_the_future() -> None:
    """A wall clock that was put back makes it as young as now."""
    assert past_mark(WALL + 500, NOW) == Mark(WALL + 500, 1100.0)


def test_a_dead_letter_shows_how_it_died() -> None:
    """Reason, error, every attempt, and where it comes from."""
    tries = [MailAttempt(1, WALL, "a"), MailAttempt(2, WALL + 1, "b")]
    mail = a_dead_mail(9, "b", attempts=tries, attempt=2, died_at=WALL + 1, replays=1, redriven_from=3)
    view = mail_view(mail, NOW)
    assert (view.state, view.reason, view.error) == (MailState.DEAD, DeadReason.REJECTED, "b")
    assert view.attempts == tuple(tries)
    assert view.died == Mark(WALL + 1, 1001.0)
    assert (view.attempt, view.replays, view.redriven_from) == (2, 1, 3)


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (None, "null"),
        ("x\x1b[31m\n", '"x\\u001b[31m\\n"'),
        ({"b": b"ab\x00\xff'"}, '{"b":"ab\\\\x00\\\\xff\'"}'),
        (b"raw", '"raw"'),
        (datetime(2024, 1, 2, tzinfo=UTC), '"2024-01-02 00:00:00+00:00"'),
        (msgspec.msgpack.Ext(5, b"x"), '"ext 5: x"'),
        ({1: "a", None: "b"}, '{"1":"a","null":"b"}'),
        (float("inf"), "Infinity"),
    ],
)
def test_what_is_not_json_is_still_readable(payload: object, text: str) -> None:
    """Bytes as text with escapes, dates and the rest in words."""
    assert payload_text(msgspec.msgpack.encode(payload)) == text


@pytest.mark.parametrize(
    ("body", "text"),
    [(b"\xc1ab\n", r"\xc1ab\n"), (b"", ""), (b"\xa1\xff", r"\xa1\xff"), (b"\x81\xc4\x01k\x01", r"\x81\xc4\x01k\x01")],
)
def test_a_body_that_cannot_be_decoded_is_shown_as_its_bytes(body: bytes, text: str) -> None:
    """Damage must be seen; it is no error of who looks."""
    assert payload_text(body) == text
    mail = Mail(id=a_mail().id, mailbox=a_mail().mailbox, sender="", packed=body)
    assert mail_view(mail, NOW).payload == text


def test_a_long_payload_is_cut_and_says_so() -> None:
    """A few thousand characters; the size is of all of it."""
    mail = a_mail(payload="x" * 50_000)
    view = mail_view(mail, NOW)
    assert len(view.payload) == PAYLOAD_LIMIT
    assert view.payload.endswith("x…")
    assert view.size_bytes > 50_000
    assert len(mail_view(a_mail(payload=b"\xff" * 50_000), NOW).payload) == PAYLOAD_LIMIT
    assert cut("abc", 3) == "abc"
    assert cut("abcd", 3) == "ab…"
