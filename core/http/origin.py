"""Which Host and Origin headers a request may carry, so that no web page can call us unseen (pure)."""

from urllib.parse import urlsplit

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


def is_loopback_host(host: str) -> bool:
    """Whether a Host header names this machine by a loopback name, with or without a port.

    A page that rebinds its own name to 127.0.0.1 still sends its own name.
    """
    name, port = _split(host)
    return name in _LOOPBACK_NAMES and (port is None or (port.isascii() and port.isdigit()))


def is_same_origin(origin: str, host: str) -> bool:
    """Whether the page that sent the request came from the very host that it calls."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc) and parts.netloc.lower() == host.strip().lower()


def _split(host: str) -> tuple[str, str | None]:
    text = host.strip().lower()
    if text.startswith("["):
        name, bracket, rest = text.partition("]")
        port = rest[1:] if rest.startswith(":") else (None if not rest else "bad")
        return name + bracket, port
    name, colon, port = text.partition(":")
    return name, port if colon else None
