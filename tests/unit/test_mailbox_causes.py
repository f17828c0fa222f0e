"""Dead letters by what they died of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.api.base import Mark
from core.api.mail import DeadReason
from core.mailbox.causes import ADVICE, Grouping, cause_of, dead_groups, fingerprint
from tests.support.mails import WALL, a_dead_mail

NOW = Mark(WALL + 100, 1100.0)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("403 Missing Access", "403 Missing Access"),
        ("HTTP 503 Service Unavailable", "HTTP 503 Service Unavailable"),
        ("status=502 after 31 tries", "status=502 after # tries"),
        ("timed out after 30.5 s", "timed out after # s"),
        ("[Errno 111] Connection refused: 10.0.0.1:8080", "[Errno #] Connection refused: <address>"),
        ("cannot connect to redis:6379", "cannot connect to <address>"),
        ("fe80::1 unreachable, ::1 too", "<address> unreachable, <address> too"),
        ("no answer from https://a.example.org/x?y=1 yet", "no answer from <address> yet"),
        ("can't reach ana@example.org, isn't there", "can't reach <address>, isn't there"),
        ("no such file: '/var/lib/x y'", "no such file: <text>"),
        ("open /var/lib/hermes/a.db: denied", "open <path>: denied"),
        (r"C:\Users\ana\x.txt is missing", "<path> is missing"),
        ("run run_ab12cd failed at 12:34:56", "run <id> failed at #"),
        ("session 550e8400-e29b-41d4-a716-446655440000 is gone", "session <id> is gone"),
        ("commit deadbee1 lost at 0xdeadbeef", "commit <id> lost at <id>"),
        ("m-77120 died -5 times", "<id> died # times"),
        ("httpx.ConnectError: and/or I/O std::bad_alloc", "httpx.ConnectError: and/or I/O std::bad_alloc"),
        ("facade decade", "facade decade"),
        (" a\n\tb\x00c\x1b[31m ", "a b c [#m"),
        ("", ""),
    ],
)
def test_accidents_of_an_error_are_taken_out(error: str, kind: str) -> None:
    """Numbers, ids, hex, quoted text, paths and addresses go; words and the status stay."""
    assert fingerprint(error) == kind


@given(st.text(max_size=300), st.integers(0, 10**12), st.integers(0, 10**12))
def test_errors_that_differ_in_a_number_are_of_one_kind(words: str, one: int, other: int) -> None:
    """Whatever stands around the number, and however long it is."""
    assert fingerprint(f"lost {one} items: {words}") == fingerprint(f"lost {other} items: {words}")


@given(st.text(max_size=2000))
def test_a_kind_is_short_and_on_one_line(error: str) -> None:
    """At most 160 characters without breaks or controls, whatever the error."""
    kind = fingerprint(error)
    assert len(kind) <= 160
    assert not any(character < " " or character == "\x7f" for character in kind)


@pytest.mark.parametrize("piece", ["a.", "a1-", "a@", "::", "0", "-", "/a", "'", "a:", "f", "é1", "~/"])
def test_an_error_that_is_made_to_be_slow_is_read_at_once(piece: str) -> None:
    """Only the front of a long error is looked at: what follows changes nothing."""
    assert fingerprint(piece * 400) == fingerprint(piece * 100_000)


def test_a_cause_is_the_reason_and_the_kind() -> None:
    """Either may be missing."""
    assert cause_of(DeadReason.EXPIRED, "") == "expired"
    assert cause_of(DeadReason.REJECTED, "no 5") == "rejected: no #"
    assert cause_of(None, "no 5") == "no #"


def test_groups_are_by_mailbox_reason_and_cause_the_largest_first() -> None:
    """Count, first, last and the newest as the example."""
    mails = [
        a_dead_mail(1, "no 1", died_at=WALL + 5),
        a_dead_mail(2, "no 2", died_at=WALL + 9),
        a_dead_mail(3, "no 3", died_at=WALL + 1),
        a_dead_mail(4, "no 4", mailbox="other"),
        a_dead_mail(5, "", reason=DeadReason.EXPIRED),
        a_dead_mail(6, "", reason=DeadReason.EXPIRED),
        a_dead_mail(7, "else"),
    ]
    groups = dead_groups(mails, NOW)
    assert [(group.mailbox, group.cause, group.count) for group in groups] == [
        ("box", "rejected: no #", 3),
        ("box", "expired", 2),
        ("box", "rejected: else", 1),
        ("other", "rejected: no #", 1),
    ]
    first = groups[0]
    assert (first.first, first.last) == (Mark(WALL + 1, 1001.0), Mark(WALL + 9, 1009.0))
    assert (first.example.id, first.example.error) == (2, "no 2")
    assert groups[1].example.id == 6


def test_groups_beyond_the_limit_still_count() -> None:
    """The list is cut at its small end; the total is of all."""
    grouping = Grouping()
    for number in range(30):
        for _ in range(1 + (number == 17)):
            grouping.add(a_dead_mail(number + 1, f"error {'x' * number}"))
    groups = grouping.groups(NOW, limit=3)
    assert [group.count for group in groups] == [2, 1, 1]
    assert grouping.total == 31


def test_every_reason_has_one_line_of_advice() -> None:
    """A poisonous or damaged message is not to be redriven blindly; others are tried one alone first."""
    assert set(ADVICE) == set(DeadReason)
    for reason, advice in ADVICE.items():
        assert "\n" not in advice
        assert len(advice) < 200
        is_unsafe = reason in {DeadReason.POISON, DeadReason.CORRUPT}
        assert advice.startswith("Not safe to redrive blindly") is is_unsafe
    assert dead_groups([a_dead_mail(reason=DeadReason.POISON)], NOW)[0].advice == ADVICE[DeadReason.POISON]


def test_no_dead_letters_make_no_groups() -> None:
    """Nothing is nothing."""
    assert dead_groups([], NOW) == ()
