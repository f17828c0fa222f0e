"""Outboxes on the screen: busy, empty, in ASCII, and what can be done to them."""

import time
from collections.abc import Iterable

import pytest

from core.api.breakers import HoldBreakerOpen, ReleaseBreaker, ResetBreaker
from core.api.chats import RefreshChats
from core.api.deliveries import SendToTarget
from core.api.outboxes import LiftHold
from tests.support.console_desk import SIZES, desk
from tests.support.fake_hermes import FakeHermes
from tests.support.fake_outboxes import busy_outboxes
from tests.support.screens import matches_golden


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterable[None]:
    """Times of day are those of UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def busy() -> FakeHermes:
    """A core whose accounts are in every state."""
    return FakeHermes(outboxes=busy_outboxes())


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_what_is_held_up_comes_first(size: tuple[int, int]):
    """With the reason and the countdown."""
    async with desk(busy(), size) as seen:
        await seen.press("8", "o")
        assert matches_golden(f"outboxes_{size[0]}x{size[1]}", seen.text)


async def test_an_empty_list_says_what_brings_the_first_one():
    """Nothing is blank."""
    async with desk(FakeHermes()) as seen:
        await seen.say(":outboxes")
        assert matches_golden("outboxes_empty_80x24", seen.text)


async def test_no_word_is_lost_without_unicode(monkeypatch: pytest.MonkeyPatch):
    """ASCII shows the same states."""
    environ = {"LANG": "C", "TERM": "vt100"}
    for key, value in environ.items():
        monkeypatch.setenv(key, value)
    async with desk(busy(), environ=environ) as seen:
        await seen.say(":outboxes")
        assert seen.text.isascii()
        assert matches_golden("outboxes_ascii_80x24", seen.text)


DIALOGS = {
    "lift": ("j", "j", "L"),
    "hold": ("j", "j", "H"),
    "send": ("j", "j", "N"),
}


@pytest.mark.parametrize("name", DIALOGS)
async def test_a_dialog_says_what_will_happen(name: str):
    """Before anything does."""
    async with desk(busy()) as seen:
        await seen.say(":outboxes")
        await seen.press(*DIALOGS[name])
        assert matches_golden(f"outboxes_{name}_80x24", seen.text)


async def test_each_act_sends_its_command_about_what_was_under_the_cursor():
    """A wait is lifted, an account held and released, its chats asked for, a message sent."""
    hermes = busy()
    async with desk(hermes) as seen:
        await seen.say(":outboxes telegram")
        await seen.press("L", "right", "enter")
        await seen.press("H", "shift+tab", *"moving", "tab", "right", "enter")
        await seen.press("U")
        await seen.press("F")
        await seen.press("N", *":-100200", "tab", *"hello", "enter")
    assert hermes.commands == [
        LiftHold(platform="telegram"),
        HoldBreakerOpen(owner="outbox", name="telegram", reason="moving"),
        ReleaseBreaker(owner="outbox", name="telegram"),
        RefreshChats(platform="telegram"),
        SendToTarget(target="telegram:-100200", text="hello"),
    ]


async def test_closing_a_breaker_needs_its_name_typed():
    """It cannot be taken back."""
    hermes = busy()
    async with desk(hermes) as seen:
        await seen.say(":outboxes matrix")
        await seen.press("X", "right", "enter", "escape")
        assert hermes.commands == []
        await seen.press("X", "shift+tab", "shift+tab", *"back", "tab", *"matrix", "enter")
    assert [item for item in hermes.commands if isinstance(item, ResetBreaker)] == [
        ResetBreaker(owner="outbox", name="matrix", reason="back")
    ]
