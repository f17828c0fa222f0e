"""The ways out: of the core, of the line to it, of the console."""

from pathlib import Path

import pytest

from tests.support.console_desk import WAITING, busy, desk


async def test_shutdown_needs_the_typed_word():
    """Enter alone does not stop the core."""
    hermes = busy()
    async with desk(hermes) as seen:
        await seen.say("shutdown")
        await seen.press("right", "enter")
        assert hermes.commands == []
        await seen.press("shift+tab", "s", "t", "o", "p", "enter")
        assert [type(command).__name__ for command in hermes.commands] == ["Shutdown"]


async def test_a_lost_core_is_shown_with_the_time_of_the_data_and_takes_the_keys_away():
    """Rows stay, actions are off with the reason."""
    hermes = busy()
    async with desk(hermes) as seen:
        await seen.press("2")
        hermes.lose()
        await seen.settle()
        assert "reconnecting" in seen.text
        assert "data as of" in seen.text
        assert WAITING in seen.text
        await seen.press("I")
        assert "no connection to the core" in seen.text


async def test_quitting_asks_once_names_the_busy_and_may_leave_the_core_running(tmp_path: Path):
    """What was chosen is remembered when told to."""
    async with desk(busy(), home=tmp_path) as seen:
        await seen.press("q")
        assert "rm -rf build/" in seen.text
        await seen.press("shift+tab", "space", "tab", "enter")
    assert seen.app.return_value is not None
    assert seen.app.return_value.keep_core
    async with desk(busy(), home=tmp_path) as again:
        await again.press("q")
    assert again.app.return_value is not None
    assert again.app.return_value.keep_core
    assert (tmp_path / "last_frame.json").exists()


@pytest.mark.parametrize(("on_quit", "keeps"), [("stop", False), ("keep", True)])
async def test_a_configured_answer_is_not_asked_for(on_quit: str, keeps: bool):
    """The configuration decides."""
    async with desk(busy(), on_quit=on_quit) as seen:
        await seen.press("q")
    assert seen.app.return_value is not None
    assert seen.app.return_value.keep_core is keeps


async def test_leaving_an_attached_console_asks_nothing():
    """The core goes on in its own process."""
    async with desk(busy(), is_embedded=False) as seen:
        await seen.press("q")
    assert seen.app.return_value is not None
    assert not seen.app.return_value.keep_core
