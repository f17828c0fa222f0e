"""A hook: what its manifest may say, which events it wants, who is first, and when it is paused (pure)."""

from collections import deque
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from core.api.errors import ConfigError
from core.api.hooks import HookState
from core.config import shape
from core.config.text import Tree
from core.gateway.command import TABLE
from core.gateway.hook_payload import EVENT_NAMES
from core.machine import Machine
from core.section import PositiveFloat, Section

MANIFEST = "HOOK.yaml"
HANDLER = "handler.py"
ANY = "*"
_COMMANDS = "command:"
_PRESS = "press"
# What can be carried out, with the other names of each; the use of a button is one without a name to type.
_NAMES: dict[str, str] = {name: command.name for command in TABLE for name in command.names} | {_PRESS: _PRESS}
_SHARE = 0.95
_KEPT_TIMES = 200


class HookManifest(Section, frozen=True, kw_only=True):
    """What HOOK.yaml says."""

    events: Annotated[
        tuple[str, ...],
        Meta(min_length=1, max_length=64, description="types of events, as a list; BASE:* and * stand for many"),
    ]
    name: Annotated[str, Meta(max_length=64, description="its name; empty is that of the folder")] = ""
    description: Annotated[str, Meta(max_length=500, description="what it does, in a line")] = ""
    timeout_s: Annotated[
        PositiveFloat | None, Meta(description="longest time of one call; null is hooks.timeout_s")
    ] = None
    enabled: Annotated[bool, Meta(description="whether it is told anything")] = True
    order: Annotated[int, Meta(ge=-1000, le=1000, description="smaller ones are handed an event first")] = 0


_NAME = "a-z 0-9 _ . - with at most 64 letters"


class HookEvent(StrEnum):
    """What happens to a hook."""

    PAUSE = "pause"
    RESUME = "resume"
    BREAK = "break"
    MEND = "mend"
    SWITCH_OFF = "switch off"


HOOK = Machine(
    "hook",
    HookState,
    {
        HookState.READY: {
            HookEvent.PAUSE: HookState.PAUSED,
            HookEvent.BREAK: HookState.BROKEN,
            HookEvent.SWITCH_OFF: HookState.OFF,
        },
        HookState.PAUSED: {
            HookEvent.RESUME: HookState.READY,
            HookEvent.BREAK: HookState.BROKEN,
            HookEvent.SWITCH_OFF: HookState.OFF,
        },
        HookState.BROKEN: {HookEvent.MEND: HookState.READY},
        HookState.OFF: {HookEvent.MEND: HookState.READY},
    },
)


def manifest(tree: Tree, folder: str) -> HookManifest:
    """What a manifest says; without a name it is called like its folder.

    Raises ConfigError for the first fault, with file, line, key and fix.
    """
    found = shape.Check(lambda path: (f"{folder}/{MANIFEST}", _line(tree, path)))
    events = tree.values.get("events")
    if isinstance(events, str):
        # A string is a sequence too: taken as one it would name each of its letters.
        found.fault(("events",), "must be a list", value=events[:80], fix=f"write events: [{events[:80]}]")
    else:
        found.value(tree.values, HookManifest)
    if not found.errors:
        for name in tree.values["events"]:
            if not is_pattern(name):
                found.fault(("events",), f"names no event: {name[:80]!r}", value=name[:80], fix=_instead(name))
    if found.errors:
        raise found.errors[0]
    read = msgspec.convert(tree.values, HookManifest, strict=True)
    name = read.name or folder
    if not _is_name(name):
        found.fault(("name",), f"cannot be {name[:80]!r}", value=name[:80], fix=_NAME)
        raise found.errors[0]
    return msgspec.structs.replace(read, name=name)


def _line(tree: Tree, path: tuple[str, ...]) -> int | None:
    return next((tree.lines[path[:depth]] for depth in range(len(path), 0, -1) if path[:depth] in tree.lines), None)


def _is_name(name: str) -> bool:
    return 0 < len(name) <= 64 and all(char.isascii() and (char.isalnum() or char in "_.-") for char in name)  # noqa: PLR2004


def _instead(pattern: str) -> str:
    """What to write instead of a pattern that fits nothing."""
    name = _NAMES.get(pattern.removeprefix(_COMMANDS)) if pattern.startswith(_COMMANDS) else None
    return f"{_COMMANDS}{name}, as it is called itself" if name else f"one of {', '.join(EVENT_NAMES)}, BASE:*, or *"


def is_pattern(pattern: str) -> bool:
    """Whether a pattern can ever fit an event. A command is told of by its own name, whichever was typed."""
    base, _, rest = pattern.partition(":")
    if pattern.startswith(_COMMANDS):
        return rest == ANY or _NAMES.get(rest) == rest
    if rest == ANY:
        return any(name.startswith(base + ":") for name in EVENT_NAMES)
    return pattern == ANY or pattern in EVENT_NAMES


def wants(patterns: tuple[str, ...], event_type: str) -> bool:
    """Whether one of the patterns fits an event."""
    fitting = (event_type, f"{event_type.partition(':')[0]}:*", ANY)
    return any(pattern in fitting for pattern in patterns)


def bases(patterns: tuple[str, ...]) -> frozenset[str]:
    """What the events begin with, up to the colon, that one of the patterns may fit."""
    wanted = EVENT_NAMES if ANY in patterns else patterns
    return frozenset(name.partition(":")[0] for name in wanted)


def first_wanted(patterns: tuple[str, ...]) -> str:
    """An event that one of the patterns fits, to try a hook with."""
    for pattern in patterns:
        found = next((name for name in EVENT_NAMES if wants((pattern,), name)), "")
        if found or pattern.startswith(_COMMANDS):
            return (found or pattern).replace("command:*", "command:status")
    return EVENT_NAMES[0]


def rank(order: int, name: str) -> tuple[int, str]:
    """Who is handed an event first."""
    return (order, name)


def missing(folder: str, file: str, fix: str) -> ConfigError:
    """A folder without one of its files."""
    return ConfigError(f"{folder}/{file}: is missing ({fix})", file=f"{folder}/{file}", line=None, key="", fix=fix)


class Times:
    """Seconds of the last 200 calls."""

    def __init__(self) -> None:
        self._kept: deque[float] = deque(maxlen=_KEPT_TIMES)

    def add(self, duration_s: float) -> None:
        """One more."""
        self._kept.append(duration_s)

    @property
    def last_s(self) -> float:
        """Of the last one; 0 before the first."""
        return self._kept[-1] if self._kept else 0.0

    @property
    def p95_s(self) -> float:
        """What 95 of 100 did not take longer than; 0 before the first."""
        if not self._kept:
            return 0.0
        ranked = sorted(self._kept)
        return ranked[min(len(ranked) - 1, int(len(ranked) * _SHARE))]
