"""The editor of dialogs: enter sends, other keys break the line, pasted text is harmless."""

import pytest
from textual.events import Paste

from console.widgets.editor import Editor
from tests.support.screens import Bench


class Watched(Bench):
    """Notes what the editor asks its dialog for."""

    def on_editor_asked(self, message: Editor.Asked) -> None:
        """Note it."""
        self.seen.append(message.what)


@pytest.mark.parametrize("key", ["enter", "ctrl+s"])
async def test_enter_sends_and_leaves_the_text_to_the_dialog(key: str) -> None:
    """Which may find it too long: nothing is lost by that."""
    editor = Editor("hello")
    app = Watched(editor)
    async with app.run_test() as pilot:
        editor.focus()
        await pilot.press(key)
        assert (app.seen, editor.text) == (["submit"], "hello")


async def test_other_keys_break_the_line() -> None:
    """ctrl+j, shift+enter and alt+enter write more lines in place of sending."""
    editor = Editor()
    app = Watched(editor)
    async with app.run_test() as pilot:
        editor.focus()
        await pilot.press("a", "ctrl+j", "b", "shift+enter", "c", "alt+enter", "d")
        assert (app.seen, editor.text) == ([], "a\nb\nc\nd")


async def test_arrows_leave_it_at_its_edges_only() -> None:
    """Inside they move by lines."""
    editor = Editor("one\ntwo")
    app = Watched(editor)
    async with app.run_test() as pilot:
        editor.focus()
        await pilot.press("down", "up")
        assert app.seen == []
        await pilot.press("up", "down", "down")
        assert app.seen == ["earlier", "later"]


async def test_what_is_pasted_is_cleaned_and_put_in_once() -> None:
    """Escapes and hidden characters become marks before they are in the text."""
    editor = Editor()
    app = Watched(editor)
    async with app.run_test() as pilot:
        editor.focus()
        await pilot.pause()
        app.post_message(Paste("a\x1b[2J\u202eb\r\nc"))
        await pilot.pause()
        assert editor.text == "a<ESC>[2J<U+202E>b\nc"
