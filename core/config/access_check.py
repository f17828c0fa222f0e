"""What the shape alone does not say about lists of senders: the connections that they name are there (pure)."""

from collections.abc import Iterator

from core.config.text import KeyPath
from core.settings import Settings


def unknown_senders(settings: Settings) -> Iterator[tuple[KeyPath, str, str]]:
    """Entries that name no connection or nobody: the key, the entry, what to do."""
    lists: list[tuple[KeyPath, tuple[str, ...]]] = [(("access", "allowed_users"), settings.access.allowed_users)]
    lists += [(("access", "aliases", name), ids) for name, ids in settings.access.aliases.items()]
    known = ", ".join(settings.platforms) or "none is configured"
    for path, entries in lists:
        for entry in entries:
            if entry == "*" and path[1] == "allowed_users":
                continue
            platform, colon, sender_id = entry.partition(":")
            if (
                not colon
                or not sender_id.strip()
                or (platform.strip() != "*" and platform.strip() not in settings.platforms)
            ):
                yield path, entry, f"write PLATFORM:ID with one of {known}, or *:ID"


def shared_ids(settings: Settings) -> Iterator[tuple[KeyPath, str, str]]:
    """Ids that belong to two persons: the key, what is wrong, what to do.

    A block of one of them would then stop the other at some connections, and let it through at others.
    """
    owners: dict[tuple[str, str], str] = {}
    for name, entries in settings.access.aliases.items():
        for entry in entries:
            platform, _, sender_id = (part.strip() for part in entry.partition(":"))
            for place in settings.platforms if platform == "*" else (platform,):
                owner = owners.setdefault((place, sender_id), name)
                if owner != name:
                    words = f"{entry!r} belongs to {owner!r} already"
                    yield ("access", "aliases", name), words, "write all ids of one person under one name"
                    break
