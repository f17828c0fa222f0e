"""What a line after `:` means: a view with a filter, a session by part of its id, or an action (pure)."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

import msgspec

from console.actions import ACTIONS, actions_for

VIEWS = (
    "overview",
    "sessions",
    "approvals",
    "pairing",
    "access",
    "why",
    "deliveries",
    "outboxes",
    "mailboxes",
    "mailbox",
    "mail",
    "dead",
    "relay",
    "relayed",
    "agents",
    "agent",
    "tasks",
    "task",
    "grants",
    "platforms",
    "hooks",
    "cron",
    "events",
    "audit",
    "config",
    "vitals",
    "help",
)
THEMES = ("dark", "light", "contrast", "ansi")
_ALIASES = {
    "ov": "overview",
    "pulse": "overview",
    "s": "sessions",
    "a": "approvals",
    "inbox": "approvals",
    "pair": "pairing",
    "pairings": "pairing",
    "admitted": "access",
    "explain": "why",
    "d": "deliveries",
    "ob": "outboxes",
    "outbox": "outboxes",
    "accounts": "outboxes",
    "mb": "mailboxes",
    "queues": "mailboxes",
    "m": "mail",
    "message": "mail",
    "dl": "dead",
    "letters": "dead",
    "b": "relay",
    "bindings": "relay bindings",
    "breakers": "relay targets",
    "targets": "relay targets",
    "peers": "relay peers",
    "graph": "relay graph",
    "ag": "agents",
    "profiles": "agents",
    "t": "tasks",
    "runs": "tasks",
    "permissions": "grants",
    "p": "platforms",
    "adapters": "platforms",
    "crons": "cron",
    "hk": "hooks",
    "jobs": "cron",
    "journal": "events",
    "log": "events",
    "logs": "events",
    "e": "events",
    "ops": "audit",
    "settings": "config",
    "h": "help",
    "q": "quit",
    "stop": "shutdown",
}
_ACTIONS = {
    "shutdown": "app.shutdown",
    "quit": "app.detach",
    "palette": "app.palette",
    "redraw": "app.redraw",
    "new": "session.open",
    "inject": "session.inject",
    "interrupt": "session.interrupt",
    "reset": "session.reset",
    "decide": "approval.answer",
    "pause": "mailbox.pause",
    "resume": "mailbox.resume",
    "post": "mail.post",
    "redrive": "mail.redrive",
    "purge": "mail.purge",
    "policy": "mailbox.policy",
}
_MATCH_LIMIT = 5


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to do. verb: go, action, theme, retry or say; words: the place, the action or what to say."""

    verb: str
    words: str
    argument: str = ""


def names() -> list[str]:
    """All first words, for completion and for the nearest one."""
    return [*VIEWS, "session", "theme", "retry", *_ACTIONS]


def find_session(part: str, ids: Iterable[str]) -> list[str]:
    """The sessions whose id is, begins with, ends with or holds the part, the best kind of match only."""
    wanted = part.lower()
    kinds: tuple[list[str], ...] = ([], [], [], [])
    for session_id in ids:
        low = session_id.lower()
        if low == wanted:
            kinds[0].append(session_id)
        elif low.startswith(wanted):
            kinds[1].append(session_id)
        elif low.endswith(wanted):
            kinds[2].append(session_id)
        elif wanted in low:
            kinds[3].append(session_id)
    return next((kind for kind in kinds if kind), kinds[0])


def parse_command(line: str, session_ids: Iterable[str], place: str = "") -> Order:
    """The order that a line gives; one that is not understood says so with what is nearest.

    place: where it was typed; what a word such as pause is about depends on it.
    """
    head, _, rest = line.strip().removeprefix(":").strip().partition(" ")
    rest = rest.strip()
    # An alias may lead to a tab of a view.
    name, _, tab = _ALIASES.get(head.lower(), head.lower()).partition(" ")
    rest = f"{tab} {rest}".strip() if tab else rest
    if not name:
        return Order(verb="say", words="")
    if name == "session":
        return _session(rest, session_ids)
    if name in VIEWS:
        return Order(verb="go", words=name, argument=rest.removeprefix("/"))
    if name == "theme" and rest in THEMES:
        return Order(verb="theme", words=rest)
    return _other(name, head, place)


def _other(name: str, head: str, place: str) -> Order:
    if name == "theme":
        return Order(verb="say", words=f"theme is one of {', '.join(THEMES)}")
    if name == "retry":
        return Order(verb="retry", words="")
    deeds = [action for action in actions_for(place) if action.command is not None] if place else []
    here = [action.id for action in deeds if action.id.partition(".")[2] == name]
    action_id = here[0] if len(here) == 1 else _ACTIONS.get(name, name)
    if any(action.id == action_id for action in ACTIONS):
        return Order(verb="action", words=action_id)
    near = get_close_matches(name, names(), 1, 0.5)
    hint = f"; nearest is :{near[0]}" if near else "; ? lists what there is"
    return Order(verb="say", words=f"nothing is called {head}{hint}")


def _session(part: str, session_ids: Iterable[str]) -> Order:
    if not part:
        return Order(verb="say", words="say which session: :session and part of its id")
    found = find_session(part, session_ids)
    if len(found) == 1:
        return Order(verb="go", words="session", argument=found[0])
    if not found:
        return Order(verb="say", words=f"no session has {part} in its id")
    # Several: the list shows which, so that nobody has to guess.
    return Order(verb="go", words="sessions", argument=f"id:{part}")


def complete(line: str, session_ids: Sequence[str]) -> str | None:
    """The line with its last word completed by prefix; None when nothing fits."""
    head, gap, rest = line.partition(" ")
    if not gap:
        fits = sorted(name for name in names() if name.startswith(head.lower()) and head)
        return fits[0] if fits else None
    if head == "theme":
        fits = [name for name in THEMES if name.startswith(rest)]
    elif head == "session" and rest:
        fits = [session_id for session_id in session_ids if session_id.startswith(rest)][:_MATCH_LIMIT]
    elif head == "sessions":
        last = rest.rpartition(" ")[2]
        terms = (
            "state:waiting",
            "state:running",
            "state:failed",
            "state:queued",
            "agent:",
            "platform:",
            "age>",
            "wait>",
        )
        fits = [rest + term[len(last) :] for term in terms if last and term.startswith(last)]
    else:
        fits = []
    return f"{head} {fits[0]}" if fits else None
