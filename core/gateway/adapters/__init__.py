"""Adapters of this domain; each is loaded by name, and only when it is used."""

from difflib import get_close_matches
from importlib import import_module
from typing import Any, Protocol, cast

from core.api.base import PlatformName
from core.api.errors import ConfigError
from core.gateway.platform import Platform, PlatformContext

_NAMES = ("api_server", "email", "loopback", "matrix", "simulated", "telegram", "webhook")


class Adapter(Protocol):
    """A module of this package."""

    def create(self, name: PlatformName, settings: Any, context: PlatformContext) -> Platform:
        """The connection of that name. settings: of this adapter's kind. Raises ConfigError."""
        ...


def adapter_names() -> tuple[str, ...]:
    """Kinds of connections that there are."""
    return _NAMES


def load_adapter(name: str) -> Adapter:
    """Import exactly one adapter. Reads the disk: call it off the loop. Raises ConfigError for any other name."""
    if name not in _NAMES:
        near = get_close_matches(name, _NAMES, 1)
        raise ConfigError(
            f"there is no kind of platform called {name!r}",
            key="kind",
            value=name,
            fix=f"did you mean {near[0]}?" if near else f"one of {', '.join(_NAMES)}",
        )
    return cast("Adapter", import_module(f"{__name__}.{name}"))
