"""All keys of a place, by group, with the reason where one does nothing now; made from the registry."""

from collections.abc import Callable

from console.action import Action, Level
from console.actions import ACTIONS, actions_for
from console.command_line import parse_command
from console.keymap import Keymap
from console.screens.base import Stage, View
from console.widgets.fields import Field

_LEVELS = {
    Level.VIEW: "",
    Level.REVERSIBLE: "can be taken back",
    Level.OUTSIDE: "asks first: its effect leaves the console",
    Level.FINAL: "asks first: cannot be taken back",
}
_GROUPS = {"act": "act", "move": "move", "view": "this view", "views": "go to", "app": "console"}
_MOVES: tuple[Field, ...] = (
    ("j k arrows", "up and down", "plain"),
    ("g G", "first and last", "plain"),
    ("PgUp PgDn", "a page", "plain"),
    ("space", "mark a row", "plain"),
)
_FILTERS: tuple[Field, ...] = (
    ("-- filter of sessions", "", ""),
    ("words", "all of them somewhere in id, agent, platform, names or state; -word leaves out", "plain"),
    ("state:", "idle queued running waiting interrupting failed; several with a comma, != for others", "plain"),
    ("agent: who:", "also platform: kind: id: phase:", "plain"),
    ("age>5m", "age and wait (time in the state) with s m h d; queue>3, unsent>0", "plain"),
    ("-- filter of messages", "", ""),
    ("words", "somewhere in payload, type or error", "plain"),
    ("from: type:", "also state: reason: trace: id:m-1,m-2 and older:10m", "plain"),
    ("-- command line", "", ""),
    (":sessions", "a view and a filter, such as :sessions state:waiting", "plain"),
    (":session", "part of an id: into the one session that matches", "plain"),
    (":mailbox", "part of a name: into the one mailbox that matches; :mail m-123 into a message", "plain"),
    (":theme", "dark, light, contrast or ansi", "plain"),
    (":retry", "try to reach the core now", "plain"),
    (":shutdown", "stop the core; asks first", "plain"),
)


def help_line(action: Action, keymap: Keymap, reason: str, place: str = "") -> Field:
    """One action: key, what it does, and what it loses or why it is off."""
    typed_in = place or next(iter(action.where.places), "")
    key = keymap.sign_of(action.id) or f":{_command_of(action, typed_in)}"
    words = action.title
    if action.loses:
        words += f"; loses {action.loses}"
    elif _LEVELS[action.level]:
        words += f"; {_LEVELS[action.level]}"
    if reason:
        return key, f"{words}   (off: {reason})", "stale"
    return key, words, "plain"


def _command_of(action: Action, place: str) -> str:
    """What is typed for an action that has no key: a short word where that means this one and no other."""
    short = action.id.partition(".")[2]
    order = parse_command(short, (), place)
    means_it = order.words in {short, action.id} and order.verb in {"go", "action"}
    return short if means_it else action.id


def help_fields(place: str, keymap: Keymap, why_not: Callable[[Action], str]) -> list[Field]:
    """The help of a place."""
    fields: list[Field] = []
    here = actions_for(place)
    for group, title in _GROUPS.items():
        members = [action for action in here if action.group == group and not _is_shadowed(action, keymap, place)]
        if not members:
            continue
        fields.append((f"-- {title}", "", ""))
        fields += [help_line(action, keymap, why_not(action), place) for action in members]
        if group == "move":
            fields += _MOVES
    fields += _FILTERS
    elsewhere = [action for action in ACTIONS if action not in here and action.group == "act" and action.where.places]
    if elsewhere:
        fields.append(("-- in other views", "", ""))
        for action in elsewhere:
            key, words, _ = help_line(action, keymap, "")
            fields.append((key, f"{words}   in {', '.join(action.where.places)}", "quiet"))
    for problem in keymap.problems:
        fields.append(("keys", problem, "needs"))
    return fields


def _is_shadowed(action: Action, keymap: Keymap, place: str) -> bool:
    key = keymap.key_of(action.id)
    return bool(key) and keymap.find(key, place) is not action


class HelpView(View):
    """The help of the place that it was opened from."""

    place = "help"
    PANES = ("fields",)

    def __init__(self, stage: Stage, keymap: Keymap) -> None:
        super().__init__(stage)
        self._keymap = keymap
        self._about = "overview"
        self.why_not: Callable[[Action], str] = lambda _action: ""
        self._reasons: dict[str, str] = {}

    def note(self, place: str) -> None:
        """Remember what can be done in a place, before it is left."""
        self._about = place
        self._reasons = {action.id: self.why_not(action) for action in actions_for(place)}

    def enter(self, argument: str) -> None:
        """Show it."""
        del argument
        reasons = self._reasons
        fields = help_fields(self._about, self._keymap, lambda action: reasons.get(action.id, ""))
        self.stage.fields.set_fields(fields)

    @property
    def title(self) -> str:
        """Of which place."""
        return f"help for {self._about}"
