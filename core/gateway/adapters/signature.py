"""The signature of a webhook: HMAC-SHA256 over time and body (pure)."""

import hmac

from core.secrets import Secret

TIMESTAMP_HEADER = "X-Hermes-Timestamp"
SIGNATURE_HEADER = "X-Hermes-Signature"
DELIVERY_HEADER = "X-Hermes-Delivery"
_VERSION = "v1="
_TIMESTAMP_DIGITS = 15


def signature(secret: Secret, timestamp: str, body: bytes) -> str:
    """The value of X-Hermes-Signature for a body sent at `timestamp` (UTC seconds as text)."""
    signed = timestamp.encode("latin-1", "replace") + b"." + body
    return _VERSION + hmac.new(secret.reveal().encode(), signed, "sha256").hexdigest()


def is_signed(secret: Secret, timestamp: str, body: bytes, claimed: str) -> bool:
    """Whether the claimed signature is right; compared in constant time over bytes."""
    expected = signature(secret, timestamp, body).encode()
    return hmac.compare_digest(expected, claimed.strip().encode("latin-1", "replace"))


def is_timely(timestamp: str, now: float, tolerance_s: float) -> bool:
    """Whether the timestamp is at most tolerance_s away from now, before or after."""
    text = timestamp.strip()
    if not text.isascii() or not text.isdigit() or len(text) > _TIMESTAMP_DIGITS:
        return False
    return abs(now - int(text)) <= tolerance_s
