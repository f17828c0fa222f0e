"""Keys that come in one piece reach the field of a dialog that they were meant for."""

from typing import Any

import pytest
from textual import events
from textual.widgets import Input

from console.screens.task_forms import NewTaskScreen
from console.widgets.confirm import ConfirmScreen
from console.widgets.dialog import Dialog
from tests.support.console_desk import Desk, desk
from tests.support.fake_hermes import FakeHermes


async def in_one_piece(seen: Desk, *keys: str) -> None:
    """As a paste brings them, or a fast hand over a slow line: the next before the last has been looked at."""
    for key in keys:
        seen.app.post_message(events.Key(key, key if len(key) == 1 else None))
    await seen.settle()


def fields(dialog: Dialog[Any]) -> dict[str, str]:
    """What is in its lines."""
    return {str(entry.id): entry.value for entry in dialog.query(Input)}


@pytest.mark.parametrize("back", [False, True], ids=["tab", "shift+tab"])
async def test_what_follows_a_tab_goes_into_the_next_field(back: bool) -> None:
    """In every dialog with several lines, and backwards too."""
    async with desk(FakeHermes()) as seen:
        dialog = NewTaskScreen(("main",), "main")
        seen.app.push_screen(dialog)
        await seen.settle()
        if back:
            dialog.query_one("#label", Input).focus()
            await seen.settle()
            await in_one_piece(seen, *"nightly", "shift+tab", *"look at it")
        else:
            await in_one_piece(seen, *"look at it", "tab", *"nightly")
        assert fields(dialog) == {"task": "look at it", "label": "nightly"}


async def test_a_reason_and_the_typed_name_are_told_apart_however_fast_they_come() -> None:
    """What cannot be taken back is not begun with half of its name in the reason."""
    async with desk(FakeHermes()) as seen:
        dialog = ConfirmScreen("remove it?", ["it is gone"], typed="ops", ask_reason=True)
        seen.app.push_screen(dialog)
        await seen.settle()
        dialog.query_one("#reason", Input).focus()
        await seen.settle()
        await in_one_piece(seen, *"old", "tab", *"ops")
        assert fields(dialog) == {"reason": "old", "typed": "ops"}
