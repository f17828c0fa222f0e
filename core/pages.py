"""Rows and events that one part writes into the commit of another, so that their books never disagree."""

from collections.abc import Callable, Sequence

import msgspec

from core.api.base import Event
from core.store.base import Put


def _nothing() -> None:
    """Nothing is left to do."""


class Pages(msgspec.Struct, frozen=True):
    """What belongs into the commit. events: with their subjects. done: called once it is stored, and only then; undone:
    when it is refused.
    """

    puts: Sequence[Put] = ()
    events: Sequence[tuple[str, Event]] = ()
    done: Callable[[], None] = _nothing
    undone: Callable[[], None] = _nothing
