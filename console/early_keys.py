"""Keys that must have their effect before the next key is looked at."""

from textual import events
from textual.app import App, ReturnType


class EarlyKeysApp(App[ReturnType]):
    """An app that opens its command line at once.

    Pasted or typed fast, keys arrive in one piece; those after the one that opens a line must not pass for keys of
    the view.
    """

    async def on_event(self, event: events.Event) -> None:
        """Let the app have a look at a key before any widget."""
        if isinstance(event, events.Key) and not event.is_forwarded and self.takes_early(event.key):
            return
        await super().on_event(event)

    def takes_early(self, key: str) -> bool:  # noqa: ARG002 - for subclasses
        """Do what a key means now; False when it may wait for its turn."""
        return False
