"""Textual messages that cross the borders of widgets and threads."""

from textual.message import Message


class TerminalLost(Message):
    """The terminal hung up or was closed. The view has nowhere to draw to; the core goes on.

    Sent to the app once, as `on_terminal_lost`. why: hangup, end of input or a write error.
    """

    def __init__(self, why: str) -> None:
        super().__init__()
        self.why = why


class OutputResumed(Message):
    """The terminal reads again after frames had been dropped. dropped_count: since the one before."""

    def __init__(self, dropped_count: int) -> None:
        super().__init__()
        self.dropped_count = dropped_count
