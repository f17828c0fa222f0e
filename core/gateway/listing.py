"""How much of a list may be asked for at once (pure)."""

from core.api.errors import InvalidInput


def check_limit(limit: int, most: int) -> None:
    """Raises InvalidInput when a page is to have none, or more than `most`."""
    if not 1 <= limit <= most:
        raise InvalidInput(f"limit must be 1 to {most}, not {limit}", field="limit", value=limit, fix="ask for fewer")
