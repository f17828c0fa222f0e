"""What acts on the relay need of the app besides what all acts need: why the last order was not carried out."""

from typing import Protocol

from console import text
from console.act_group import GroupHost
from core.api.errors import HermesError


class OrderLink(Protocol):
    """What these acts need of the end of the core."""

    @property
    def last_error(self) -> HermesError | None:
        """Why the last order was not carried out; None when it was."""
        ...


class RelayHost(GroupHost, Protocol):
    """What these acts need of the app besides."""

    @property
    def link(self) -> OrderLink:
        """The end of the core."""
        ...


def last_error(link: OrderLink, none: str) -> str:
    """Why the last order was not carried out, with what mends it. none: words for when the core said nothing."""
    error = link.last_error
    if error is None:
        return none
    fix = error.facts.get("fix")
    return text.redact(text.clean(f"{error.message}; {fix}" if fix else error.message))
