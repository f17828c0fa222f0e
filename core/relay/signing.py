"""Standard Webhooks 1.0, the symmetric half: who sent a request and that nobody changed it (pure).

Signed is `ID.TIMESTAMP.BODY`; a request may carry several signatures, and several keys may be good, so that one key
can replace another without a request being lost. The id is the same for all attempts, the timestamp is of this one.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Mapping, Sequence

from core.api.errors import ConfigError, InvalidInput
from core.secrets import Secret
from core.timely import is_timely

ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"
PREFIX = "whsec_"
LEAST_BYTES, MOST_BYTES = 24, 64
"""Of a secret, without its prefix and its base64."""

_VERSION = "v1,"
_SIGNATURE_LIMIT = 16
_ID = re.compile(r"[!-\-/-~]{1,256}")


class SignatureError(Exception):
    """A request is not signed by one of the keys, or not lately. Says why in words that hold no secret."""


def key_bytes(secret: Secret, reference: str = "") -> bytes:
    """The key of a secret `whsec_BASE64` of 24 to 64 bytes. reference: for the error. Raises ConfigError."""
    text = secret.reveal()
    if not text.startswith(PREFIX):
        raise _unusable(f"does not begin with {PREFIX}", reference)
    try:
        key = base64.b64decode(text.removeprefix(PREFIX).encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        # The error object would carry the secret along.
        raise _unusable(f"is not base64 after {PREFIX}", reference) from None
    if not LEAST_BYTES <= len(key) <= MOST_BYTES:
        raise _unusable(f"has {len(key)} bytes, not {LEAST_BYTES} to {MOST_BYTES}", reference)
    return key


def signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """One signature, `v1,BASE64`."""
    signed = b".".join((message_id.encode(), timestamp.encode("latin-1", "replace"), body))
    return _VERSION + base64.b64encode(hmac.new(key, signed, "sha256").digest()).decode("ascii")


def signed_headers(keys: Sequence[Secret], message_id: str, now: float, body: bytes) -> dict[str, str]:
    """The headers of an attempt at `now` (UTC seconds), with one signature of each key.

    Raises InvalidInput for an id that does not fit is_id, ConfigError for a key that cannot be used.
    """
    if not is_id(message_id):
        raise InvalidInput(
            "the id of the message cannot be signed",
            field=ID_HEADER,
            value=message_id[:80],
            fix="1 to 256 printable letters of ASCII, without point and space",
        )
    timestamp = str(int(now))
    return {
        ID_HEADER: message_id,
        TIMESTAMP_HEADER: timestamp,
        SIGNATURE_HEADER: " ".join(signature(key_bytes(key), message_id, timestamp, body) for key in keys),
    }


def is_id(message_id: str) -> bool:
    """Whether it can be the id of a signed request: 1 to 256 printable letters of ASCII without a point or space."""
    return _ID.fullmatch(message_id) is not None


def is_claimed(headers: Mapping[str, str]) -> bool:
    """Whether a request says that it is signed. headers: names in lower case."""
    return SIGNATURE_HEADER in headers


def fitting(
    keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, now: float, tolerance_s: float
) -> list[bool]:
    """For each key, whether it made a signature of the request. headers: names in lower case. now: UTC seconds.

    All are compared whatever the first say. Raises SignatureError when none can: a header that is missing, an id that
    can be none, a timestamp that is too far from now.
    """
    message_id, timestamp = headers.get(ID_HEADER, ""), headers.get(TIMESTAMP_HEADER, "").strip()
    if not is_id(message_id):
        raise SignatureError(f"{ID_HEADER} is missing or no id")
    claims = [item.encode("latin-1", "replace") for item in headers.get(SIGNATURE_HEADER, "").split()]
    claims = [claim for claim in claims if claim.startswith(_VERSION.encode())]
    if not claims:
        raise SignatureError(f"{SIGNATURE_HEADER} holds no signature of version 1")
    if len(claims) > _SIGNATURE_LIMIT:
        raise SignatureError(f"{SIGNATURE_HEADER} holds more than {_SIGNATURE_LIMIT} signatures")
    if not is_timely(timestamp, now, tolerance_s):
        raise SignatureError(f"{TIMESTAMP_HEADER} is no time within {tolerance_s:g} s of ours")
    return [_is_among(signature(key, message_id, timestamp, body).encode(), claims) for key in keys]


def _is_among(expected: bytes, claims: Sequence[bytes]) -> bool:
    found = False
    for claim in claims:
        found |= hmac.compare_digest(expected, claim)
    return found


def _unusable(why: str, reference: str) -> ConfigError:
    return ConfigError(
        f"the key of signatures {why}",
        key=reference or "keys",
        fix=f"{PREFIX} and the base64 of {LEAST_BYTES} to {MOST_BYTES} random bytes",
    )
