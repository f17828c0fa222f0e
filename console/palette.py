"""The command palette: every action of the place and every session by name, from the same registry."""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, cast

from rich.text import Text
from textual.command import DiscoveryHit, Hit, Hits, Provider

from console.action import Action
from console.actions import actions_for
from console.command_line import find_session
from console.keymap import Keymap
from console.mirror import Mirror
from console.navigator import Navigator
from console.text import clean

_SESSION_LIMIT = 8


class PaletteHost(Protocol):
    """What the palette asks of the app."""

    keymap: Keymap
    mirror: Mirror
    navigator: Navigator

    def why_not(self, action: Action) -> str:
        """Why an action does nothing now; "" when it works."""
        ...

    def do_action(self, action_id: str) -> None:
        """Carry an action out."""
        ...

    def show_session(self, session_id: str) -> None:
        """Go to a session."""
        ...


class ActionProvider(Provider):
    """Actions and sessions. What is off is listed too, with the reason."""

    @property
    def _host(self) -> PaletteHost:
        return cast("PaletteHost", self.app)

    def _entries(self) -> list[tuple[str, str, Callable[[], Any]]]:
        return [
            (
                f"{action.title}  ({key})" if key else action.title,
                f"off: {reason}" if reason else (f"loses {action.loses}" if action.loses else action.id),
                partial(self._host.do_action, action.id),
            )
            for action, key, reason in self._actions()
        ]

    def _actions(self) -> list[tuple[Action, str, str]]:
        """What can be done here, with keys and reasons."""
        host = self._host
        return [
            (action, host.keymap.sign_of(action.id), host.why_not(action))
            for action in actions_for(host.navigator.place)
        ]

    async def discover(self) -> Hits:
        """All that can be done here."""
        for title, note, run in self._entries():
            yield DiscoveryHit(Text(title), run, text=title, help=note)

    async def search(self, query: str) -> Hits:
        """What fits the words."""
        matcher = self.matcher(query)
        for title, note, run in self._entries():
            score = matcher.match(title)
            if score > 0:
                yield Hit(score, matcher.highlight(title), run, text=title, help=note)
        for session_id in find_session(query, self._host.mirror.sessions)[:_SESSION_LIMIT]:
            name = clean(session_id)
            yield Hit(0.5, Text(name), partial(self._host.show_session, session_id), text=name, help="session")
