"""Who wrote a mail, whether that is proved, and which mail nobody answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.gateway.adapters.email_intake import judged
from core.gateway.adapters.email_reading import headers_of
from core.gateway.adapters.email_trust import doubt, is_address, machine, results, sender_of
from core.platform_settings import EmailSettings, MailServer, SmtpServer

MX = "mx.example.org"
SETTINGS = EmailSettings(
    address="bot@example.org",
    imap=MailServer(host="mail.example.org"),
    smtp=SmtpServer(host="mail.example.org"),
    password="env:PASSWORD",
    authserv_id=MX,
)


def mail(*headers: str) -> bytes:
    """A mail with these headers."""
    return "\r\n".join([*headers, "", "text", ""]).encode()


def sender(*values: str) -> str:
    """What From says."""
    return sender_of(headers_of(mail(*(f"From: {value}" for value in values))))


def why(*results_: str, of: str = "ana@example.org") -> str:
    """Why a sender is not proved."""
    return doubt(headers_of(mail(*(f"Authentication-Results: {value}" for value in results_))), of, MX)


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("ana@example.org", "ana@example.org"),
        ("Ana <Ana@Example.ORG>", "ana@example.org"),
        ('"Lee, Ana" <ana@example.org>', "ana@example.org"),
        ('"bot@example.org" <ana@example.org>', "ana@example.org"),
        ("ana@example.org (bot@example.org)", "ana@example.org"),
        ("=?utf-8?q?=C3=9Cnal?= <u@example.org>", "u@example.org"),
    ],
)
def test_from_names_one_sender(value: str, address: str) -> None:
    """Whatever name stands beside the address."""
    assert sender(value) == address


@pytest.mark.parametrize(
    "value",
    [
        "",
        "ana",
        "ana@example.org, eve@example.net",
        "ana@example.org <eve@example.net>",
        "<ana@example.org> <eve@example.net>",
        "eve@example.net:ana@example.org",
        '"ana@example.org <eve@example.net>',
        "(ana@example.org <eve@example.net>",
        "a b@example.org",
        "-oQ@example.org",
    ],
)
def test_a_from_that_can_be_read_two_ways_names_nobody(value: str) -> None:
    """Somebody else may read it the other way."""
    assert sender(value) == ""


def test_two_froms_name_nobody() -> None:
    """Servers and readers take different ones."""
    assert sender("ana@example.org", "eve@example.net") == ""


@pytest.mark.parametrize(
    "said",
    [
        f"{MX}; dmarc=pass (p=reject dis=none) header.from=example.org",
        f"{MX} 1; spf=fail smtp.mailfrom=x@example.net; dmarc=pass header.from=example.org",
        f"{MX}; dkim=pass header.d=example.org; dmarc=none header.from=example.org",
        f"{MX}; dkim=pass (2048-bit key; unprotected) header.i=@example.org",
        f"{MX}; spf=pass smtp.mailfrom=bounce@example.org",
        f"{MX.upper()}; dmarc=pass header.from=EXAMPLE.ORG",
    ],
)
def test_a_sender_is_proved(said: str) -> None:
    """By DMARC, or by DKIM or SPF of the same domain."""
    assert why(said) == ""


@pytest.mark.parametrize(
    "said",
    [
        (),
        ("mx.example.net; dmarc=pass header.from=example.org",),
        ("mx.example.net; none", f"{MX}; dmarc=pass header.from=example.org"),
        (f"{MX}; none", f"{MX}; dmarc=pass header.from=example.org"),
        (f"{MX}; dmarc=fail header.from=example.org; dkim=pass header.d=example.org",),
        (f"{MX}; dmarc=pass header.from=example.net",),
        (f"{MX}; dmarc=pass",),
        (f"{MX}; dkim=pass header.d=example.net; spf=pass smtp.mailfrom=x@example.net",),
        (f"{MX}; dkim=pass header.d=mail.example.org",),
        (f"{MX}; dkim=pass header.d=org",),
        (f'{MX}; spf=fail smtp.mailfrom="x; dmarc=pass header.from=example.org"@example.net',),
        (f'{MX}; spf=pass smtp.mailfrom="("@example.net; dmarc=fail (p=none) header.from=example.org',),
        (f"{MX}; spf=fail (dmarc=pass header.from=example.org) smtp.mailfrom=x@example.net",),
        (f"{MX} (; dmarc=pass header.from=example.org",),
        ("",),
    ],
)
def test_a_sender_is_not_proved(said: tuple[str, ...]) -> None:
    """By another server, another domain, a failed DMARC, a lower header, a quoted string or a comment."""
    assert why(*said)


def test_a_parent_domain_speaks_for_those_below_and_not_the_other_way_round() -> None:
    """A neighbour under a shared domain must not speak for all of it."""
    assert why(f"{MX}; dkim=pass header.d=example.org", of="ana@mail.example.org") == ""
    assert why(f"{MX}; dkim=pass header.d=eve.github.io", of="ana@github.io")


@given(st.text(st.sampled_from(';="() \\ab.@1') | st.characters(codec="utf-8"), max_size=60))
def test_any_header_can_be_read(value: str) -> None:
    """It gives methods or none, and never an error."""
    results(value)
    assert is_address(sender(value.replace("\n", " ").replace("\r", " "))) in {True, False}


@pytest.mark.parametrize(
    "header",
    [
        "Auto-Submitted: auto-replied",
        "Auto-Submitted: auto-generated; x=y",
        "Precedence: bulk",
        "precedence: LIST",
        "List-Id: <news.example.org>",
        "List-Unsubscribe: <https://example.org>",
        "Return-Path: <>",
        "Content-Type: multipart/report; report-type=delivery-status",
    ],
)
def test_mail_of_programs_is_not_answered(header: str) -> None:
    """Two programs that answer each other never end."""
    assert machine(headers_of(mail(header)), "ana@example.org", ())


@pytest.mark.parametrize("local", ["noreply", "no-reply", "do_not_reply", "mailer-daemon", "postmaster", "bounce+x=y"])
def test_addresses_that_take_no_answers_get_none(local: str) -> None:
    """By how they are called."""
    assert machine(headers_of(mail()), f"{local}@example.org", ())


def test_mail_of_people_is_answered() -> None:
    """Auto-Submitted: no is what a person's program may say."""
    assert machine(headers_of(mail("Auto-Submitted: no")), "norepa@example.org", ("bot@example.org",)) == ""
    assert machine(headers_of(mail()), "bot@example.org", ("bot@example.org",)) == "a mail of our own"


@given(st.binary(max_size=300))
def test_any_bytes_are_judged(raw: bytes) -> None:
    """The next mail is read whatever this one was."""
    found = judged(raw, SETTINGS, place="1/1")
    assert found.reason or found.mail
