"""Connections on the screen: in every state, none at all, in ASCII, and what can be done to one."""

import time
from collections.abc import Iterable

import pytest

from core.api.base import PlatformName
from core.api.platforms import PausePlatform, ProbePlatform, ReconnectPlatform, ResumePlatform
from tests.support.console_desk import SIZES, desk
from tests.support.fake_hermes import FakeHermes
from tests.support.fake_platforms import all_states
from tests.support.screens import matches_golden

HELPDESK = PlatformName("helpdesk")


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterable[None]:
    """Times of day are those of UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def fleet() -> FakeHermes:
    """A core whose connections are in every state."""
    return FakeHermes(platforms=all_states())


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_the_worst_comes_first(size: tuple[int, int]) -> None:
    """With the reason, the ages and the countdown."""
    async with desk(fleet(), size) as seen:
        await seen.press("7")
        assert matches_golden(f"connections_{size[0]}x{size[1]}", seen.text)


DETAILS = {"deaf": "matrix", "paused": "email", "held": "support", "well": "helpdesk"}


@pytest.mark.parametrize("state", DETAILS)
async def test_the_pane_has_every_age_of_the_one_under_the_cursor(state: str) -> None:
    """What is heard, what comes in and goes out, what waits, what the last probe said."""
    async with desk(fleet(), (140, 40)) as seen:
        await seen.say(f":platforms {DETAILS[state]}")
        assert matches_golden(f"connections_{state}_140x40", seen.text)


async def test_an_empty_list_says_what_brings_the_first_one() -> None:
    """Nothing is blank."""
    async with desk(FakeHermes(platforms=[])) as seen:
        await seen.press("7")
        assert matches_golden("connections_empty_80x24", seen.text)


async def test_no_word_is_lost_without_unicode(monkeypatch: pytest.MonkeyPatch) -> None:
    """ASCII shows the same states."""
    environ = {"LANG": "C", "TERM": "vt100"}
    for key, value in environ.items():
        monkeypatch.setenv(key, value)
    async with desk(fleet(), environ=environ) as seen:
        await seen.press("7")
        assert seen.text.isascii()
        assert matches_golden("connections_ascii_80x24", seen.text)


@pytest.mark.parametrize(("name", "line"), [("pause", ":platforms helpdesk"), ("resume", ":platforms email")])
async def test_the_dialog_says_what_waits_and_what_goes_on(name: str, line: str) -> None:
    """Before anything does."""
    async with desk(fleet()) as seen:
        await seen.say(line)
        await seen.press("P")
        assert matches_golden(f"connections_{name}_80x24", seen.text)


async def test_each_key_sends_its_command_about_what_was_under_the_cursor() -> None:
    """Asking and connecting anew at once; a pause with its reason, and its end."""
    hermes = fleet()
    async with desk(hermes) as seen:
        await seen.say(":platforms helpdesk")
        await seen.press("Y")
        assert "helpdesk answered in 41ms" in seen.text
        await seen.press("R")
        assert "helpdesk is connected anew: connecting" in seen.text
        await seen.press("P", "shift+tab", *"spam", "tab", "right", "enter")
        assert "nothing is taken in and nothing sent" in seen.text
        await seen.press("R")
        await seen.press("P", "right", "enter")
    assert hermes.commands == [
        ProbePlatform(platform=HELPDESK),
        ReconnectPlatform(platform=HELPDESK),
        PausePlatform(platform=HELPDESK, reason="spam"),
        ResumePlatform(platform=HELPDESK),
    ]


async def test_a_probe_that_fails_says_so_on_its_row() -> None:
    """The state stays what it was."""
    async with desk(fleet()) as seen:
        await seen.say(":platforms discord")
        await seen.press("Y")
        assert "gave no good answer: no route to host" in seen.text
        assert "failed" in seen.text


async def test_enter_leads_to_the_sessions_of_the_connection() -> None:
    """Deeper."""
    async with desk(fleet()) as seen:
        await seen.say(":platforms helpdesk")
        await seen.press("enter")
        assert "platform:helpdesk" in seen.text
