"""The smallest Textual app that paints a word and answers a key: what every start is held against."""

from typing import ClassVar

from textual.app import App, ComposeResult
from textual.widgets import Static


class Empty(App[None]):
    BINDINGS: ClassVar = [("x", "answer", "answer"), ("q", "quit", "quit")]

    def compose(self) -> ComposeResult:
        yield Static("first-paint")

    def action_answer(self) -> None:
        self.query_one(Static).update("key-answered")


if __name__ == "__main__":
    Empty().run()
