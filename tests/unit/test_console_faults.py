"""An error that nobody foresaw is shown in one line, and the console goes on."""

import pytest

from console import feed as feed_module
from console.feed import LineState
from core.api.system import GetConfig
from tests.support.console_desk import Desk, busy, desk

FAULT = TypeError("unsupported \x1b[2J operand:\nint and str")
SHOWN = "failed: TypeError: unsupported <ESC>[2J operand: int and str"


async def _found_again(seen: Desk) -> bool:
    """Whether the feed is live again after its wait."""
    feed = seen.app.link.feed
    assert feed is not None
    for _ in range(50):
        await seen.pilot.pause(0.02)
        if feed.line.state is LineState.LIVE and seen.hermes.subscriber_count == 1:
            return True
    return False


async def test_a_fault_of_the_stream_is_shown_and_the_feed_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked, the type and the text stand in the line of results; the next try brings all back."""
    monkeypatch.setattr(feed_module, "_BACKOFF_S", (0.01,))
    async with desk(busy(), size=(140, 40)) as seen:
        seen.hermes.break_streams(FAULT)
        assert await _found_again(seen)
        assert f"subscribe {SHOWN}" in seen.text
        assert seen.app.return_code is None


async def test_a_fault_of_the_first_questions_is_shown_and_the_feed_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The console opens all the same, at the second try."""
    monkeypatch.setattr(feed_module, "_BACKOFF_S", (0.01,))
    hermes = busy()
    hermes.fail_next(FAULT)
    async with desk(hermes, size=(140, 40)) as seen:
        assert await _found_again(seen)
        assert f"GetHealth {SHOWN}" in seen.text


async def test_a_fault_of_a_question_of_a_view_is_shown() -> None:
    """The feed does not even notice."""
    async with desk(busy(), size=(140, 40)) as seen:
        answers: list[object] = []
        seen.hermes.fail_next(FAULT)
        seen.app.link.ask(GetConfig(), answers.append)
        await seen.pilot.pause()
        assert f"GetConfig {SHOWN}" in seen.text
        assert answers == []
        feed = seen.app.link.feed
        assert feed is not None
        assert feed.line.state is LineState.LIVE


async def test_a_fault_of_an_order_is_shown() -> None:
    """Nothing was carried out, and the keys go on working."""
    async with desk(busy(), size=(140, 40)) as seen:
        await seen.press("8")
        seen.hermes.fail_next(FAULT)
        await seen.press("R", "right", "enter")
        assert f"RetryDelivery {SHOWN}" in seen.text
        await seen.press("2")
        assert seen.app.navigator.place == "sessions"
