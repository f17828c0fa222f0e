"""Scenarios: what sorts of people are on a made-up platform, and what they say."""

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from core.api.errors import ConfigError

_Lines = Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(min_length=1)]
_Share = Annotated[float, Meta(ge=0, le=1_000_000)]


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping of a scenario; keys that it does not know are errors."""


class Reply(_Strict, frozen=True, kw_only=True):
    """What somebody says when an answer matches. when: a regular expression, searched, case ignored."""

    when: Annotated[str, Meta(min_length=1, max_length=500)]
    say: _Lines


class Impatience(_Strict, frozen=True, kw_only=True):
    """What somebody adds who waits longer than after_s, at most so many times."""

    after_s: Annotated[float, Meta(gt=0)]
    say: _Lines
    at_most: Annotated[int, Meta(ge=1, le=100)] = 2


class Persona(_Strict, frozen=True, kw_only=True):
    """A sort of person. share: how common. turns: fewest and most messages about one matter.

    otherwise: said when no reply fits. gives_up_s: after so long without an answer
    they let it be and may begin anew.
    """

    name: Annotated[str, Meta(min_length=1)]
    openings: _Lines
    otherwise: _Lines
    share: _Share = 1.0
    replies: list[Reply] = []
    turns: tuple[Annotated[int, Meta(ge=1)], Annotated[int, Meta(ge=1)]] = (2, 5)
    impatience: Impatience | None = None
    gives_up_s: Annotated[float, Meta(gt=0)] = 900.0


class Chats(_Strict, frozen=True, kw_only=True):
    """How common each kind of chat is, and how many people share a group."""

    dm: _Share = 1.0
    group: _Share = 0.0
    thread: _Share = 0.0
    group_size: Annotated[int, Meta(ge=1, le=10_000)] = 4


class Scenario(_Strict, frozen=True, kw_only=True):
    """Who is on a platform."""

    names: _Lines
    personas: Annotated[list[Persona], Meta(min_length=1)]
    chats: Chats = Chats()


# msgspec crashes when two threads are the first to use a type; here it is used once under the import lock.
msgspec.json.Decoder(Scenario)


def scenario(values: dict[str, Any], file: str) -> Scenario:
    """A scenario from plain values. Raises ConfigError, naming the file and the key."""
    try:
        found = msgspec.convert(values, Scenario)
    except msgspec.ValidationError as error:
        raise _fault(file, str(error)) from error
    chats = found.chats
    if chats.dm + chats.group + chats.thread <= 0:
        raise _fault(file, "every kind of chat has the share 0", key="chats")
    if sum(persona.share for persona in found.personas) <= 0:
        raise _fault(file, "every persona has the share 0", key="personas")
    for persona in found.personas:
        if persona.turns[0] > persona.turns[1]:
            raise _fault(file, f"the turns of {persona.name} end before they begin", key="turns")
        for reply in persona.replies:
            try:
                re.compile(reply.when)
            except re.error as error:
                raise _fault(file, f"{reply.when!r} is not a regular expression: {error}", key="when") from error
    return found


def _fault(file: str, what: str, *, key: str = "scenario") -> ConfigError:
    return ConfigError(f"{file}: {what}", file=file, key=key, fix="see the built-in scenario `people` for the form")
