"""The bearer key of a request, compared in constant time over bytes."""

import hmac

from core.http.asgi import Scope, header
from core.http.refusal import HttpRefusal
from core.secrets import Secret

_SCHEME = "bearer"


def bears_key(scope: Scope, key: Secret) -> bool:
    """Whether the request carries the key as `Authorization: Bearer KEY`."""
    scheme, _, token = (header(scope, "authorization") or "").partition(" ")
    is_equal = hmac.compare_digest(token.strip().encode("latin-1", "replace"), key.reveal().encode())
    return is_equal and scheme.lower() == _SCHEME


def demand_key(scope: Scope, key: Secret) -> None:
    """Raises HttpRefusal 401 when the request does not carry the key."""
    if bears_key(scope, key):
        return
    message = "the API key is missing or wrong; send it as Authorization: Bearer KEY"
    raise HttpRefusal(401, "invalid_api_key", message, headers=(("www-authenticate", "Bearer"),))
