"""Keys that must have their effect before the next key is looked at."""

from typing import Any

from textual import events
from textual.app import App, ReturnType

_CLOSING = frozenset({"enter", "escape"})
_LONGEST_S = 0.5


class EarlyKeysApp(App[ReturnType]):
    """An app that opens its command line at once, and looks at no key until a line that is closed is done with.

    Pasted or typed fast, keys arrive in one piece; those after the one that opens a line must not pass for keys of
    the view, nor those after the one that closes it for more of the line.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._kept: list[events.Key] | None = None
        self._line_number = 0

    async def on_event(self, event: events.Event) -> None:
        """Let the app have a look at a key before any widget."""
        if isinstance(event, events.Key) and not event.is_forwarded:
            if self._kept is not None:
                self._kept.append(event)
                return
            if self.takes_early(event.key):
                return
            if event.key in _CLOSING and self.is_in_line():
                self._keep()
        await super().on_event(event)

    def takes_early(self, key: str) -> bool:  # noqa: ARG002 - for subclasses
        """Do what a key means now; False when it may wait for its turn."""
        return False

    def is_in_line(self) -> bool:
        """Whether the command line is open and gets the keys; for subclasses."""
        return False

    async def line_ended(self) -> None:
        """What the line asked for is done: look at the keys that came behind it."""
        kept, self._kept = self._kept, None
        for event in kept or ():
            await self.on_event(event)

    def _keep(self) -> None:
        self._kept = []
        self._line_number += 1
        number = self._line_number

        async def give_up() -> None:
            # A line that nobody closes must not hold keys for ever.
            if number == self._line_number:
                await self.line_ended()

        self.set_timer(_LONGEST_S, give_up)
