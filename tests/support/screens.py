"""What a running app shows, as plain text and as a picture; and snapshots of the text."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from textual._compositor import LayoutUpdate
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widget import Widget

from console.theme import THEMES

GOLDEN = Path(__file__).parent.parent / "snapshot" / "golden"
UPDATE = "UPDATE_GOLDEN"


def screen_lines(app: App[object]) -> list[str]:
    """The text of every line of the screen, modal dialogs included, padded to the full width."""
    update = app.screen._compositor.render_update(full=True, screen_stack=app._background_screens)
    assert isinstance(update, LayoutUpdate)
    return ["".join(strip.text for strip in strips) for strips in update.strips]


def screen_text(app: App[object]) -> str:
    """The screen as text, without the spaces at the ends of lines."""
    return "\n".join(line.rstrip() for line in screen_lines(app)).rstrip("\n") + "\n"


class Bench(App[object]):
    """An app around the widgets of a test, with our themes."""

    ENABLE_COMMAND_PALETTE = False

    def __init__(self, *widgets: Widget, theme: str = "hermes-dark", use_ascii: bool = False) -> None:
        super().__init__(ansi_color=True if theme == "hermes-ansi" else None)
        self.use_ascii = use_ascii
        self.seen: list[object] = []
        self._bench_widgets = widgets
        for ours in THEMES:
            self.register_theme(ours)
        self.theme = theme

    def compose(self) -> ComposeResult:
        """The widgets, one under the other."""
        yield from self._bench_widgets


async def text_of(
    app: App[object],
    size: tuple[int, int] = (80, 24),
    *,
    do: Callable[[Pilot[object]], Awaitable[None]] | None = None,
) -> str:
    """Run an app headless at a size, do something with it, and return its screen as text."""
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        if do is not None:
            await do(pilot)
            await pilot.pause()
        return screen_text(app)


def matches_golden(name: str, text: str) -> bool:
    """Whether the text is that of tests/snapshot/golden/<name>.txt; with UPDATE_GOLDEN=1 it becomes it."""
    path = GOLDEN / f"{name}.txt"
    if os.environ.get(UPDATE):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return True
    assert path.exists(), f"{path.name} is missing: run with {UPDATE}=1 and look at it"
    kept = path.read_text(encoding="utf-8")
    assert text == kept, f"{path.name} differs: run with {UPDATE}=1 and look at the diff"
    return True
