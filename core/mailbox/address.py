"""Whom a message is for: an agent by name, one incarnation of it by pid, or a group (pure)."""

import re
from functools import lru_cache
from typing import Any

import msgspec

from core.api.base import AgentName
from core.api.errors import InvalidInput
from core.section import Name

GROUP_MARK = "group:"
PID_MARK = "#"

_RULES: Any = Name
_NAME = re.compile(_RULES.__metadata__[0].pattern)
_NAME_FORM = "a name of a-z 0-9 _ . - that begins with a letter or digit and has at most 64 letters"
# Eighteen digits count for longer than any machine runs; more of them would be slow to read.
_INCARNATION = re.compile(r"[1-9][0-9]{0,17}")
_SHOWN_LETTERS = 80


class Pid(msgspec.Struct, frozen=True, order=True, gc=False):
    """One run of an agent, from its registration to its end. Never used again; a later run has a greater number."""

    name: AgentName
    incarnation: int

    def __str__(self) -> str:
        return f"{self.name}{PID_MARK}{self.incarnation}"


class Group(msgspec.Struct, frozen=True, order=True, gc=False):
    """Agents that share work: a message to the group goes to one of its members."""

    name: str

    def __str__(self) -> str:
        return f"{GROUP_MARK}{self.name}"


Address = AgentName | Pid | Group
"""A name means whoever runs under it now; a pid means that one run and no later one."""


@lru_cache(maxsize=4096)
def parse_address(text: str) -> Address:
    """The address that a text means: `worker`, `worker#17` or `group:reviewers`. Raises InvalidInput."""
    if text.startswith(GROUP_MARK):
        return Group(_checked(text.removeprefix(GROUP_MARK), field="group"))
    name, mark, number = text.partition(PID_MARK)
    if not mark:
        return AgentName(_checked(name, field="address"))
    if _INCARNATION.fullmatch(number) is None:
        raise InvalidInput(
            f"{_shown(text)} names no run of an agent: after {PID_MARK} comes its number, 1 or greater",
            field="address",
            value=_shown(text),
            fix="write NAME#NUMBER such as worker#17, or the name alone for whoever runs now",
        )
    return Pid(AgentName(_checked(name, field="address")), int(number))


def agent_name(text: str) -> AgentName:
    """A checked name of an agent. Raises InvalidInput, also for a pid or a group."""
    return AgentName(_checked(text, field="name"))


def agent_of(who: str | Pid) -> AgentName | Pid:
    """The agent or run that is meant. Raises InvalidInput, also for a group."""
    address = parse_address(who) if isinstance(who, str) else who
    if isinstance(address, Group):
        raise InvalidInput(
            f"{address} is a group", field="agent", value=str(address), fix="name an agent, or a run such as worker#17"
        )
    return address


def group_name(group: str | Group) -> str:
    """The checked name of a group, given with or without its mark. Raises InvalidInput."""
    return _checked(str(group).removeprefix(GROUP_MARK), field="group")


def format_address(address: Address) -> str:
    """The text that parse_address() reads back as the same address."""
    return str(address)


def name_of(address: str | Pid) -> str:
    """The name in a sender: that of `worker#17` is `worker`. A text that is no pid is given back as it is."""
    if isinstance(address, Pid):
        return address.name
    name, mark, number = address.partition(PID_MARK)
    return name if mark and _INCARNATION.fullmatch(number) else address


def _checked(name: str, *, field: str) -> str:
    if _NAME.fullmatch(name):
        return name
    raise InvalidInput(f"{_shown(name)} is no name", field=field, value=_shown(name), fix=f"use {_NAME_FORM}")


def _shown(text: str) -> str:
    shown = repr(text[:_SHOWN_LETTERS])
    return shown if len(text) <= _SHOWN_LETTERS else f"{shown}..."
