"""The filter language of the session list: words, key:value, age>5m (pure).

A word matches anywhere in id, agent, platform, people's names, title and state. `key:value` and
`key!=value` look at one field, several values with a comma; `age`, `wait`, `queue` and `unsent` compare
with < and >. The word `archived` leaves only those that were put away, which are hidden otherwise. A minus before a
word or a term turns it round. All terms must hold.
"""

import re
from collections.abc import Callable

import msgspec

from core.api.sessions import SessionView

_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TERM = re.compile(r"^(?P<key>[a-z]+)(?P<op>!=|>=|<=|:|=|>|<)(?P<value>.*)$")
_SPAN = re.compile(r"^(?P<number>\d+(?:\.\d+)?)(?P<unit>[smhd]?)$")

FIELDS = ("state", "agent", "platform", "kind", "id", "who", "phase")
NUMBERS = ("age", "wait", "queue", "unsent")
ARCHIVED = "archived"

Test = Callable[[SessionView], bool]
AgeTest = Callable[[float, float], bool]
"""Looks at the age of a session and at that of its state, in seconds."""


class SessionFilter(msgspec.Struct, frozen=True):
    """A filter that was understood, or why it was not.

    states: the only states that can match, None for all; a hint that saves looking at the
    rest. words and without: lower case. error: "" or one line; then nothing is filtered out.
    is_of_archived: whether sessions are looked for that were put away.
    """

    text: str = ""
    states: frozenset[str] | None = None
    words: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    tests: tuple[Test, ...] = ()
    age_tests: tuple[AgeTest, ...] = ()
    error: str = ""
    is_of_archived: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether every row passes."""
        return not (self.words or self.without or self.tests or self.age_tests or self.states is not None)


def _fields(key: str) -> Callable[[SessionView], str]:
    getters: dict[str, Callable[[SessionView], str]] = {
        "state": lambda view: view.state.value,
        "agent": lambda view: view.agent.lower(),
        "platform": lambda view: view.source.platform.lower(),
        "kind": lambda view: view.source.kind.value,
        "id": lambda view: view.id.lower(),
        "who": lambda view: f"{view.source.chat_name} {view.source.user or ''} {view.title}".lower(),
        "phase": lambda view: view.run.phase.value if view.run else "",
    }
    return getters[key]


def span_s(text: str) -> float | None:
    """Seconds of `90`, `5m`, `1.5h`; None when it is no span."""
    match = _SPAN.match(text)
    if match is None:
        return None
    return float(match["number"]) * _UNITS_S[match["unit"] or "s"]


def _field_test(key: str, values: tuple[str, ...], *, is_negated: bool) -> Test:
    get = _fields(key)
    # `who` and `id` are looked for inside the field, names from their beginning.
    if key in {"who", "id"}:
        return lambda view: any(value in get(view) for value in values) != is_negated
    return lambda view: get(view).startswith(values) != is_negated


_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": lambda value, limit: value > limit,
    ">=": lambda value, limit: value >= limit,
    "<": lambda value, limit: value < limit,
    "<=": lambda value, limit: value <= limit,
}


def _is_archived(view: SessionView) -> bool:
    return view.is_archived


def _is_open(view: SessionView) -> bool:
    return not view.is_archived


def _equal(value: float, limit: float) -> bool:
    return value == limit


def _number_test(key: str, sign: str, limit: float, *, is_negated: bool) -> tuple[Test | None, AgeTest | None]:
    holds = _COMPARE.get(sign, _equal)
    turned = is_negated != (sign == "!=")
    if key == "age":
        return None, lambda age_s, _wait_s: holds(age_s, limit) != turned
    if key == "wait":
        return None, lambda _age_s, wait_s: holds(wait_s, limit) != turned
    if key == "queue":
        return lambda view: holds(view.queue_depth, limit) != turned, None
    return lambda view: holds(view.unsent, limit) != turned, None


def _states(values: tuple[str, ...], known: tuple[str, ...]) -> frozenset[str]:
    return frozenset(state for state in known if any(state.startswith(value) for value in values))


def parse_filter(text: str, *, states: tuple[str, ...]) -> SessionFilter:
    """The filter that a line means. `states`: all words that a state can be."""
    words: list[str] = []
    without: list[str] = []
    tests: list[Test] = []
    only: frozenset[str] | None = None
    is_of_archived = False
    age_tests: list[AgeTest] = []
    for raw in text.lower().split():
        is_negated = raw.startswith("-") and len(raw) > 1
        term = raw[1:] if is_negated else raw
        if term == ARCHIVED:
            is_of_archived = is_of_archived or not is_negated
            tests.append(_is_open if is_negated else _is_archived)
            continue
        match = _TERM.match(term)
        if match is None or match["key"] not in FIELDS + NUMBERS:
            if match is not None and match["key"].isalpha() and match["op"] != ":":
                known = " ".join(FIELDS + NUMBERS)
                return SessionFilter(text=text, error=f"unknown key {match['key']}: known are {known}")
            (without if is_negated else words).append(term)
            continue
        key, sign, value = match["key"], match["op"], match["value"]
        if not value:
            continue
        if key in NUMBERS:
            limit = span_s(value)
            if limit is None:
                return SessionFilter(text=text, error=f"{key}: {value} is no number; write 90, 5m, 2h or 1d")
            test, age_test = _number_test(key, sign, limit, is_negated=is_negated)
            tests += [test] if test else []
            age_tests += [age_test] if age_test else []
            continue
        if sign not in {":", "=", "!="}:
            return SessionFilter(text=text, error=f"{key} has no order; write {key}:{value}")
        values = tuple(part for part in value.split(",") if part)
        turned = is_negated != (sign == "!=")
        if key == "state":
            found = _states(values, states)
            if not found:
                return SessionFilter(text=text, error=f"no state is called {value}: {' '.join(states)}")
            found = frozenset(states) - found if turned else found
            only = found if only is None else only & found
            continue
        tests.append(_field_test(key, values, is_negated=turned))
    return SessionFilter(
        text=text,
        states=only,
        words=tuple(words),
        without=tuple(without),
        tests=tuple(tests),
        age_tests=tuple(age_tests),
        is_of_archived=is_of_archived,
    )
