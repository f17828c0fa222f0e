r"""Patterns of what needs no question: TOOL:GLOB over the whole command line, path or address (pure).

In a glob `*` stands for any text and `?` for one character; `\` takes the next character as it is. A wildcard never
stands for what would make another command of it, climb out of a folder, leave a host, or not be seen: a pattern
that is to let such a thing through must spell it.
"""

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import lru_cache

import msgspec

from core.api.approvals import GrantOffer, GrantScope
from core.api.errors import InvalidInput
from core.api.runs import ActionKind, ActionRequested

LENGTH_LIMIT = 8_192
WILDCARD_LIMIT = 16
_EXACT_LIMIT = 4_000
_TARGET_LIMIT = 65_536
_CACHE_COUNT = 4_096
_RESERVED = "*?[]\\"

# What no reader of the line would see, or would see in another order; lone surrogates.
_UNSEEN = (
    "\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u2800\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff"
)
# Besides, what ends a command, joins two, redirects or is replaced by a shell.
_OF_TEXT = f"[^;|&$()`<>{_UNSEEN}]"
# The query of an address holds & and ; and no shell reads it there; spaces, quotes and \ are no part of it.
_OF_ADDRESS = f"[^\\s\\\\\"'`<>{_UNSEEN}]"
_OF_HOST = "[A-Za-z0-9.-]"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_AFTER_HOST = re.compile(r"[/?#]")
# A part of a path that leads upwards, whatever a shell or a server makes of it first: `..`, also with a letter that
# does not belong to the part after it, and names with a dot in front that a shell fills in, such as `.?`.
_CLIMB = re.compile(r"(?<![^\s/\\=:'\"{},])(?:(?:\.|%2[eE]){2}(?![^\s/\\'\"{},;?#&])|\.[?*\[{,}])")
_CODED_SLASH = re.compile(r"%(?:25)*(?:2[fF]|5[cC])")
_CODED_DOT = re.compile(r"%(?:25)+2[eE]")
_UNQUOTED = str.maketrans("", "", "'\"\\")
_SAMPLES = ("a", "b.c", "another")


class _Wild(StrEnum):
    MANY = "*"
    ONE = "?"


_Part = str | _Wild


class _Matcher(msgspec.Struct, frozen=True):
    """A pattern ready for use. exact: the one thing that it names, when it has no wildcard. climbs: those it spells."""

    tool: re.Pattern[str]
    target: re.Pattern[str]
    exact: str | None
    climbs: tuple[int, int]


def matches(pattern: str, tool: str, target: str) -> bool:
    """Whether a pattern lets this through. A pattern that cannot be read, and an action that does not say what it
    does, match nothing.
    """
    matcher = _matcher(pattern) if tool and target else None
    if matcher is None or matcher.tool.fullmatch(tool) is None:
        return False
    if matcher.exact is not None:
        return matcher.exact == target
    if len(target) > _TARGET_LIMIT:
        return False
    return matcher.target.fullmatch(target) is not None and _climbs(target) == matcher.climbs


def find_match(patterns: Sequence[str], tool: str, target: str) -> str:
    """The first pattern that matches, "" when none does."""
    return next((pattern for pattern in patterns if matches(pattern, tool, target)), "")


def exact_pattern(tool: str, target: str) -> str:
    """The pattern that matches this and nothing else; "" when it cannot be named or would be too long."""
    if not tool or not target or len(tool) + len(target) > _EXACT_LIMIT:
        return ""
    return f"{_quoted(tool, _RESERVED + ':')}:{_quoted(target, _RESERVED)}"


def is_exact(pattern: str) -> bool:
    """Whether it names one tool and one target only. Raises InvalidInput."""
    return not any(isinstance(part, _Wild) for side in _split(pattern) for part in side)


def check_pattern(pattern: str, *, field: str = "allow") -> None:
    """Raises InvalidInput (facts: field, value, fix) for a pattern that an operator cannot have meant."""
    try:
        tool, glob = _split(pattern)
        _check_sides(pattern, tool, glob)
    except InvalidInput as error:
        raise InvalidInput(error.message, field=field, value=pattern[:200], fix=error.facts["fix"]) from None


def examples(pattern: str, count: int = 3) -> tuple[str, ...]:
    """Targets that it would let through, up to 3; none for an exact one, which matches only itself."""
    if is_exact(pattern):
        return ()
    _, glob = _split(pattern)
    found = [
        "".join(part if not isinstance(part, _Wild) else _sample(part, fill) for part in glob) for fill in _SAMPLES
    ]
    tool = "".join(part if not isinstance(part, _Wild) else "a" for part in _split(pattern)[0])
    return tuple(text for text in dict.fromkeys(found) if matches(pattern, tool, text))[:count]


def offers_for(action: ActionRequested, *, has_task: bool) -> tuple[GrantOffer, ...]:
    """What a wider yes would store: exactly this, for the task, the session, or the agent for good.

    None for a question, and for an action that does not say what it does or is too long to be a pattern.
    """
    pattern = exact_pattern(action.tool, action.target)
    if not pattern or action.action_kind is ActionKind.QUESTION:
        return ()
    scopes = [GrantScope.TASK] if has_task else []
    shown = examples(pattern)
    return tuple(
        GrantOffer(scope=scope, pattern=pattern, matches=shown)
        for scope in (*scopes, GrantScope.SESSION, GrantScope.ALWAYS)
    )


def _climbs(text: str) -> tuple[int, int]:
    """How often it leads upwards: as it stands, and as a shell sees it, which takes quotes away."""
    plain = _CODED_DOT.sub("%2e", _CODED_SLASH.sub("/", text))
    return len(_CLIMB.findall(plain)), len(_CLIMB.findall(plain.translate(_UNQUOTED)))


def _quoted(text: str, reserved: str) -> str:
    return "".join(f"\\{letter}" if letter in reserved else letter for letter in text)


def _sample(wild: _Wild, fill: str) -> str:
    return fill[0] if wild is _Wild.ONE else fill


def _wrong(message: str, fix: str) -> InvalidInput:
    return InvalidInput(message, field="pattern", fix=fix)


def _split(pattern: str) -> tuple[list[_Part], list[_Part]]:
    """Tool and glob, each as literal texts and wildcards. Raises InvalidInput."""
    if len(pattern) > LENGTH_LIMIT:
        raise _wrong(f"the pattern has {len(pattern)} characters", f"at most {LENGTH_LIMIT}")
    sides: list[list[_Part]] = [[]]
    text = ""
    letters = iter(pattern)
    for letter in letters:
        if letter == "\\":
            following = next(letters, None)
            if following is None:
                raise _wrong("the pattern ends in the middle of \\", "write \\\\ for the character itself")
            text += following
        elif letter in "[]":
            raise _wrong("sets are not known", f"write \\{letter} for the character itself")
        elif letter == ":" and len(sides) == 1:
            sides = [_with(sides[0], text), []]
            text = ""
        elif letter in "*?":
            sides[-1] = [*_with(sides[-1], text), _Wild(letter)]
            text = ""
        else:
            text += letter
    sides[-1] = _with(sides[-1], text)
    if len(sides) == 1 or not sides[0] or not sides[1]:
        raise _wrong(f"{pattern[:80]!r} is no pattern", "write TOOL:GLOB, such as exec:git status")
    if sum(isinstance(part, _Wild) for side in sides for part in side) > WILDCARD_LIMIT:
        raise _wrong("the pattern has too many wildcards", f"at most {WILDCARD_LIMIT}")
    return sides[0], sides[1]


def _with(side: list[_Part], text: str) -> list[_Part]:
    return [*side, text] if text else side


def _check_sides(pattern: str, tool: list[_Part], glob: list[_Part]) -> None:
    if re.search(f"[{_UNSEEN}]", pattern):
        raise _wrong("the pattern holds characters that cannot be seen", "leave them out")
    first, last = glob[0], glob[-1]
    if tool[0][:1].isspace() or tool[-1][-1:].isspace() or first[:1].isspace() or last[-1:].isspace():
        raise _wrong("the pattern has spaces at an edge", "write TOOL:GLOB without spaces around the parts")
    if _is_open_address(glob):
        raise _wrong(
            "the wildcard could lead to another host", "end the host with a slash, such as fetch:https://example.com/*"
        )


def _is_address(glob: Sequence[_Part]) -> bool:
    return not isinstance(glob[0], _Wild) and _SCHEME.match(glob[0]) is not None


def _is_open_address(glob: Sequence[_Part]) -> bool:
    """Whether it has a wildcard and its host has no end."""
    if not _is_address(glob) or not any(isinstance(part, _Wild) for part in glob):
        return False
    whole = "".join("x" if isinstance(part, _Wild) else part for part in glob)
    scheme = _SCHEME.match(whole)
    return scheme is not None and _AFTER_HOST.search(whole, scheme.end()) is None


def _regions(glob: Sequence[_Part]) -> Iterator[tuple[_Part, str]]:
    """Each part with the characters that a wildcard may stand for there."""
    is_address = _is_address(glob)
    region = _OF_HOST if is_address else _OF_TEXT
    for place, part in enumerate(glob):
        yield part, region
        if is_address and not isinstance(part, _Wild):
            scheme = _SCHEME.match(part) if place == 0 else None
            if _AFTER_HOST.search(part, scheme.end() if scheme is not None else 0):
                region = _OF_ADDRESS


def _expression(parts: Iterator[tuple[_Part, str]]) -> str:
    """A regular expression that never tries twice: after a wildcard the first place that fits is the only one.

    No other could do: what lies between would have to be matched by the wildcard, and it could then have been before.
    """
    written = [""]
    reaches: list[str] = []
    for part, region in parts:
        if part is _Wild.MANY:
            reaches.append(region)
            written.append("")
        else:
            written[-1] += region if part is _Wild.ONE else re.escape(part)
    last = len(reaches) - 1
    tail = [
        f"{reach}*{text}" if place == last else f"(?>{reach}*?{text})"
        for place, (reach, text) in enumerate(zip(reaches, written[1:], strict=True))
    ]
    return written[0] + "".join(tail)


@lru_cache(_CACHE_COUNT)
def _matcher(pattern: str) -> _Matcher | None:
    try:
        tool, glob = _split(pattern)
    except InvalidInput:
        return None
    if _is_open_address(glob):
        return None
    is_plain = not any(isinstance(part, _Wild) for part in glob)
    spelled = "".join("x" if isinstance(part, _Wild) else part for part in glob)
    return _Matcher(
        tool=re.compile(_expression((part, _OF_TEXT) for part in tool)),
        target=re.compile(_expression(_regions(glob))),
        exact=spelled if is_plain else None,
        climbs=_climbs(spelled),
    )
