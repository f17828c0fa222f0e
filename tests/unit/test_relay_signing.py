"""Signatures of Standard Webhooks: the published vector, keys, tolerance, hostile headers."""

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.api.errors import ConfigError, InvalidInput
from core.relay import signing
from core.secrets import Secret

SECRET = Secret("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
OTHER = Secret("whsec_" + base64.b64encode(b"z" * 32).decode())
KEY, OTHER_KEY = signing.key_bytes(SECRET), signing.key_bytes(OTHER)
ID, NOW = "8d1f4c52-0a3e-4b7c-9f6e-2b1a7c3d4e5f", 1774191845.0
BODY = (
    b'{"task_id":"8d1f4c52-0a3e-4b7c-9f6e-2b1a7c3d4e5f","to":"security-bot","content":"ping","status":"working",'
    b'"created_at":"2026-03-22T15:04:05Z"}'
)
VECTOR = "v1,5oasgJnyKHjVABo5/406k0NjWBKvkIrkZadkJdkAgKM="


def _fits(headers: dict[str, str], body: bytes = BODY, now: float = NOW) -> list[bool]:
    return signing.fitting([KEY, OTHER_KEY], headers, body, now, 300)


def test_the_vector_is_signed_as_it_stands() -> None:
    """Key, id, time and body give the known signature."""
    assert signing.signed_headers([SECRET], ID, NOW + 0.9, BODY) == {
        "webhook-id": ID,
        "webhook-timestamp": "1774191845",
        "webhook-signature": VECTOR,
    }


def test_the_key_that_signed_is_found() -> None:
    """Of all that are compared."""
    assert _fits(signing.signed_headers([SECRET], ID, NOW, BODY)) == [True, False]
    assert _fits(signing.signed_headers([OTHER], ID, NOW, BODY)) == [False, True]


def test_several_signatures_fit_several_keys() -> None:
    """So a key can be replaced while requests come."""
    headers = signing.signed_headers([OTHER, SECRET], ID, NOW, BODY)
    assert headers["webhook-signature"].count("v1,") == 2
    assert _fits(headers) == [True, True]


def test_signatures_of_other_versions_are_passed_over() -> None:
    """As those with a public key."""
    headers = signing.signed_headers([SECRET], ID, NOW, BODY)
    assert _fits(headers | {"webhook-signature": f"v1a,AAAA {VECTOR} v2,x"}) == [True, False]


@pytest.mark.parametrize(
    ("name", "value"),
    [("webhook-id", ID[:-1]), ("webhook-timestamp", "1774191846"), ("webhook-signature", VECTOR[:-2] + "N=")],
)
def test_nothing_fits_when_a_header_was_changed(name: str, value: str) -> None:
    """Id and time are signed too."""
    assert _fits(signing.signed_headers([SECRET], ID, NOW, BODY) | {name: value}) == [False, False]


def test_nothing_fits_when_the_body_was_changed() -> None:
    """Not by one byte."""
    assert _fits(signing.signed_headers([SECRET], ID, NOW, BODY), BODY + b" ") == [False, False]


@pytest.mark.parametrize("age_s", [-300, 300])
def test_a_signature_is_good_within_the_tolerance(age_s: int) -> None:
    """Before and after."""
    assert _fits(signing.signed_headers([SECRET], ID, NOW - age_s, BODY)) == [True, False]


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook-timestamp": str(int(NOW) - 301)},
        {"webhook-timestamp": str(int(NOW) + 301)},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": "1774191845.5"},
        {"webhook-timestamp": "-1774191845"},
        {"webhook-timestamp": "9" * 400},
        {"webhook-timestamp": "١٧٧٤١٩١٨٤٥"},
        {"webhook-id": ""},
        {"webhook-id": "a.b"},
        {"webhook-id": "a b"},
        {"webhook-id": "é"},
        {"webhook-id": "x" * 257},
        {"webhook-signature": ""},
        {"webhook-signature": "v1a,AAAA"},
        {"webhook-signature": f"{VECTOR} " * 17},
    ],
)
def test_headers_that_cannot_be_are_refused_without_the_secret(changes: dict[str, str]) -> None:
    """The reason names the header and nothing of the keys."""
    with pytest.raises(signing.SignatureError) as caught:
        _fits(signing.signed_headers([SECRET], ID, NOW, BODY) | changes)
    assert next(iter(changes)) in str(caught.value)
    assert SECRET.reveal()[6:] not in str(caught.value)


@pytest.mark.parametrize("message_id", ["", "a.b", "a b", "a\nb", "é", "x" * 257])
def test_an_id_that_cannot_be_signed_is_refused(message_id: str) -> None:
    """A point would make two readings of what is signed."""
    with pytest.raises(InvalidInput):
        signing.signed_headers([SECRET], message_id, NOW, BODY)


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        ("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "whsec_"),
        ("whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "whsec_"),
        ("whsec_not base64!", "base64"),
        ("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", "base64"),
        ("whsec_äAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "base64"),
        ("whsec_", "0 bytes"),
        ("whsec_" + base64.b64encode(b"x" * 23).decode(), "23 bytes"),
        ("whsec_" + base64.b64encode(b"x" * 65).decode(), "65 bytes"),
    ],
)
def test_a_key_that_cannot_be_used_says_why_and_not_what_it_is(secret: str, problem: str) -> None:
    """The error names the reference, the rule, and the fix."""
    with pytest.raises(ConfigError, match=problem) as caught:
        signing.key_bytes(Secret(secret), "env:KEY")
    assert caught.value.facts["key"] == "env:KEY"
    assert secret.removeprefix("whsec_") not in f"{caught.value} {caught.value.facts}" or secret == "whsec_"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("length", [24, 64])
def test_keys_may_have_24_to_64_bytes(length: int) -> None:
    """Both ends count."""
    assert len(signing.key_bytes(Secret("whsec_" + base64.b64encode(b"x" * length).decode()))) == length


@given(
    st.dictionaries(st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), st.text()), st.binary()
)
def test_no_headers_crash_the_check_or_pass_it(headers: dict[str, str], body: bytes) -> None:
    """They are refused, or fit no key."""
    with contextlib.suppress(signing.SignatureError):
        assert not any(_fits(headers, body))
