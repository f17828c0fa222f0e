"""Books about runs where nobody keeps any."""

from collections.abc import Sequence

from core.api.sessions import MessageView
from core.gateway.ports import RunBegun, RunClosed
from core.pages import Pages

_NOTHING = Pages()


class NullBook:
    """A RunBook that writes nothing."""

    def begun(self, run: RunBegun) -> Pages:
        """Nothing."""
        _ = run
        return _NOTHING

    def closed(self, run: RunClosed) -> Pages:
        """Nothing."""
        _ = run
        return _NOTHING

    def let_go(self, messages: Sequence[MessageView], reason: str) -> Pages:
        """Nothing."""
        _ = messages, reason
        return _NOTHING
