"""What the mailboxes of the relay are called: one for each origin (pure)."""

import re
from hashlib import blake2b

RELAY_MAIL = "relay."
"""Mailboxes of messages that wait to be sent begin so."""

_PLAIN = re.compile(r"[a-z0-9.-]{1,36}(?::[0-9]{1,5})?")
_ODD = re.compile(r"[^a-z0-9.-]+")
_HEAD = 24
_DIGEST_BYTES = 6


def mailbox_of(origin: str) -> str:
    """The mailbox of an origin such as http://10.0.0.7:8080, another one for each."""
    scheme, _, place = origin.partition("://")
    if scheme in {"http", "https"} and _PLAIN.fullmatch(place):
        return f"{RELAY_MAIL}{scheme}.{place.replace(':', '_')}"
    digest = blake2b(origin.encode(), digest_size=_DIGEST_BYTES).hexdigest()
    head = _ODD.sub("-", place.lower()).strip("-")[:_HEAD]
    return f"{RELAY_MAIL}{scheme[:5]}.{head}_{digest}"
