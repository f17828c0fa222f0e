"""The signature of a webhook: HMAC-SHA256 over time and body (pure)."""

import hmac

from core.secrets import Secret

TIMESTAMP_HEADER = "X-Hermes-Timestamp"
SIGNATURE_HEADER = "X-Hermes-Signature"
DELIVERY_HEADER = "X-Hermes-Delivery"
_VERSION = "v1="


def signature(secret: Secret, timestamp: str, body: bytes) -> str:
    """The value of X-Hermes-Signature for a body sent at `timestamp` (UTC seconds as text)."""
    signed = timestamp.encode("latin-1", "replace") + b"." + body
    return _VERSION + hmac.new(secret.reveal().encode(), signed, "sha256").hexdigest()


def is_signed(secret: Secret, timestamp: str, body: bytes, claimed: str) -> bool:
    """Whether the claimed signature is right; compared in constant time over bytes."""
    expected = signature(secret, timestamp, body).encode()
    return hmac.compare_digest(expected, claimed.strip().encode("latin-1", "replace"))
