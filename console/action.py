"""What an action is: a key, a title, a command, how much it asks for before it happens."""

from enum import IntEnum
from typing import Any

import msgspec

from core.api.base import Command


class Level(IntEnum):
    """How much an action asks for before it happens."""

    VIEW = 0
    REVERSIBLE = 1
    OUTSIDE = 2
    FINAL = 3


class Where(msgspec.Struct, frozen=True):
    """The places in which an action applies. `*` is everywhere."""

    places: tuple[str, ...]

    def covers(self, place: str) -> bool:
        """Whether the action applies there."""
        return "*" in self.places or place in self.places


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that an operator can do.

    id: stable and dotted, for key overrides. key: its default, "" for none. command: what is
    sent to the core; None for what only moves the view. verb: noun and verb of its shell
    form. loses: what is lost by it, for the confirmation; "" when nothing is.
    """

    id: str
    title: str
    key: str
    level: Level
    where: Where
    group: str
    command: type[Command[Any]] | None = None
    verb: tuple[str, str] | None = None
    loses: str = ""
