"""What keys of one connection mean together (pure)."""

from collections.abc import Iterator

from core.config.text import KeyPath
from core.platform_settings import MatrixSettings
from core.settings import Settings


def wrong_together(settings: Settings) -> Iterator[tuple[KeyPath, str, str]]:
    """Connections whose keys cannot be used together: where, what is wrong, what mends it."""
    for name, section in settings.platforms.items():
        if isinstance(section, MatrixSettings) and (section.token is None) is (section.password is None):
            words = "is needed, or password" if section.token is None else "and password cannot both be set"
            yield ("platforms", name, "token"), words, "set one of the two"
