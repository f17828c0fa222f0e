"""Which key does what where: the registry's defaults under the operator's own keys, with clashes told (pure)."""

from collections.abc import Mapping
from difflib import get_close_matches

import msgspec

from console.action import Action
from console.actions import ACTIONS

_NAMES = {
    ":": "colon",
    "/": "slash",
    "?": "question_mark",
    "-": "minus",
    ".": "full_stop",
    ",": "comma",
    "*": "asterisk",
    "+": "plus",
    "=": "equals_sign",
    "[": "left_square_bracket",
    "]": "right_square_bracket",
    "<": "less_than_sign",
    ">": "greater_than_sign",
    "!": "exclamation_mark",
    "@": "at",
    "#": "number_sign",
    "~": "tilde",
    "'": "apostrophe",
    '"': "quotation_mark",
    ";": "semicolon",
    " ": "space",
    "esc": "escape",
    "return": "enter",
}
_SIGNS = {name: sign for sign, name in _NAMES.items() if len(sign) == 1 and sign != " "}
# Taken by lists and dialogs everywhere; giving them away would make the console unusable.
RESERVED = frozenset(
    {"up", "down", "pageup", "pagedown", "home", "end", "j", "k", "g", "G", "space", "enter", "escape"}
    | {"tab", "shift+tab", "ctrl+c", "left", "right"}
)
_FIXED = frozenset({"nav.open", "nav.back", "nav.pane"})


def key_name(key: str) -> str:
    """The name of a key as the terminal reports it: `:` is colon."""
    return _NAMES.get(key, key)


def key_sign(key: str) -> str:
    """A key as people write it: colon is `:`."""
    short = {"escape": "esc", "question_mark": "?"}
    return short.get(key) or _SIGNS.get(key, key)


class Keymap(msgspec.Struct, frozen=True):
    """Keys by action id. problems: one line for each override that could not be taken as it is."""

    keys: dict[str, str]
    problems: tuple[str, ...] = ()

    def key_of(self, action_id: str) -> str:
        """The key of an action, "" for none."""
        return self.keys.get(action_id, "")

    def sign_of(self, action_id: str) -> str:
        """The key of an action as people write it."""
        return key_sign(self.key_of(action_id))

    def find(self, key: str, place: str) -> Action | None:
        """What a key does in a place. What belongs to the place goes before what is everywhere."""
        found: Action | None = None
        for action in ACTIONS:
            if self.keys.get(action.id) != key or not action.where.covers(place):
                continue
            if "*" not in action.where.places:
                return action
            found = found or action
        return found


def _overlap(one: Action, other: Action) -> bool:
    first, second = one.where.places, other.where.places
    if ("*" in first) != ("*" in second):
        # What belongs to a place may shadow what is everywhere.
        return False
    return "*" in first or bool(set(first) & set(second))


def build_keymap(overrides: Mapping[str, str]) -> Keymap:
    """The defaults with the overrides laid over them. An empty override takes the key away."""
    known = {action.id: action for action in ACTIONS}
    keys = {action.id: action.key for action in ACTIONS}
    problems: list[str] = []
    for action_id, wanted in overrides.items():
        if action_id not in known:
            near = get_close_matches(action_id, known, 1)
            hint = f"; nearest is {near[0]}" if near else ""
            problems.append(f"keys: no action {action_id}{hint}")
            continue
        key = key_name(wanted.strip())
        if action_id in _FIXED:
            problems.append(f"keys: {action_id} cannot be moved")
        elif key in RESERVED:
            problems.append(f"keys: {action_id} cannot be {wanted}: that key moves about in every list")
        else:
            keys[action_id] = key
    problems += _clashes(keys, known, frozenset(overrides))
    return Keymap(keys=keys, problems=tuple(problems))


def _clashes(keys: dict[str, str], known: dict[str, Action], moved: frozenset[str]) -> list[str]:
    told: list[str] = []
    ids = [action_id for action_id in known if keys[action_id]]
    for place, one in enumerate(ids):
        for other in ids[place + 1 :]:
            if keys[one] != keys[other] or not _overlap(known[one], known[other]):
                continue
            # The operator's own wish goes before a default; of two wishes the first one stays.
            loser = one if other in moved and one not in moved else other
            winner = other if loser is one else one
            told.append(f"keys: {key_sign(keys[one])} is {winner}; {loser} has no key now")
            keys[loser] = ""
    return told
