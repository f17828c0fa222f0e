"""The composer: enter sends, the draft is never lost, pasted text is harmless."""

import pytest
from textual.events import Paste

from console.widgets.composer import Composer
from tests.support.screens import Bench, screen_text


class Watched(Bench):
    """Notes what was sent."""

    def on_composer_submitted(self, message: Composer.Submitted) -> None:
        """Note it."""
        self.seen.append(message.text)


@pytest.mark.parametrize("key", ["enter", "ctrl+s"])
async def test_enter_sends_and_empties(key: str) -> None:
    """What is sent is what was written, without spaces around it."""
    composer = Composer(draft="  hello")
    app = Watched(composer)
    async with app.run_test() as pilot:
        composer.focus_input()
        composer.text = "  hello"
        await pilot.press("space", "x", key)
        assert app.seen == ["hello x"]
        assert composer.text == ""
        await pilot.press(key)
        assert app.seen == ["hello x"], "nothing is sent when there is nothing"


async def test_other_keys_break_the_line() -> None:
    """ctrl+j, shift+enter and alt+enter write more lines in place of sending."""
    composer = Composer()
    app = Watched(composer)
    async with app.run_test() as pilot:
        composer.focus_input()
        await pilot.press("a", "ctrl+j", "b", "shift+enter", "c", "alt+enter", "d", "enter")
        assert app.seen == ["a\nb\nc\nd"]


async def test_up_on_the_first_line_brings_back_what_was_sent_and_down_the_draft() -> None:
    """History is walked in both directions; the draft waits at its end."""
    composer = Composer()
    app = Watched(composer)
    async with app.run_test() as pilot:
        composer.focus_input()
        composer.remember(["oldest", "older"])
        await pilot.press("o", "n", "e", "enter", "d", "r")
        seen = []
        for key in ("up", "up", "up", "up", "down", "down", "down", "down"):
            await pilot.press(key)
            seen.append(composer.text)
        assert seen == ["one", "older", "oldest", "oldest", "older", "one", "dr", "dr"]


async def test_a_text_that_is_too_long_stays_where_it_is() -> None:
    """Nothing is cut off silently."""
    composer = Composer(max_length=10)
    app = Watched(composer)
    async with app.run_test() as pilot:
        composer.focus_input()
        composer.text = "x" * 11
        assert composer.is_too_long
        await pilot.press("enter")
        assert app.seen == []
        assert composer.text == "x" * 11


async def test_what_is_pasted_is_cleaned_and_put_in_once() -> None:
    """Escapes and hidden characters become marks before they are in the text."""
    composer = Composer(hint="write [here]")
    app = Watched(composer)
    async with app.run_test() as pilot:
        await pilot.pause()
        assert "write [here]" in screen_text(app)
        composer.focus_input()
        await pilot.pause()
        app.post_message(Paste("a\x1b[2J\u202eb\r\nc"))
        await pilot.pause()
        assert composer.text == "a<ESC>[2J<U+202E>b\nc"
