"""Hooks and jobs of the clock on the screen: busy, empty, in ASCII, and their dialogs."""

import time
from collections.abc import Iterable

import pytest

from tests.support.console_desk import SIZES, desk
from tests.support.fake_automation import busy_automation
from tests.support.fake_hermes import FakeHermes
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
    """A core with hooks and jobs in every state."""
    return FakeHermes(automation=busy_automation())


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", ["hooks", "cron"])
async def test_what_needs_somebody_comes_first(name: str, size: tuple[int, int]):
    """Broken, paused and failed ones are at the top, with the reason."""
    async with desk(busy(), size) as seen:
        await seen.say(f":{name}")
        assert matches_golden(f"automation_{name}_{size[0]}x{size[1]}", seen.text)


@pytest.mark.parametrize("name", ["hooks", "cron"])
async def test_an_empty_list_says_what_brings_the_first_one(name: str):
    """And the key for it."""
    async with desk(FakeHermes()) as seen:
        await seen.say(f":{name}")
        assert matches_golden(f"automation_empty_{name}_80x24", seen.text)


@pytest.mark.parametrize("name", ["hooks", "cron"])
async def test_no_word_is_lost_without_unicode(name: str, monkeypatch: pytest.MonkeyPatch):
    """ASCII shows the same states."""
    environ = {"LANG": "C", "TERM": "vt100"}
    for key, value in environ.items():
        monkeypatch.setenv(key, value)
    async with desk(busy(), environ=environ) as seen:
        await seen.say(f":{name}")
        assert seen.text.isascii()
        assert matches_golden(f"automation_ascii_{name}_80x24", seen.text)


DIALOGS = {
    "hook_pause": ("hooks", ("j", "j", "j", "P")),
    "hook_try": ("hooks", ("j", "Y")),
    "hook_reload": ("hooks", ("S",)),
    "job_run": ("cron", ("R",)),
    "job_pause": ("cron", ("P",)),
    "job_new": ("cron", ("N",)),
    "job_remove": ("cron", ("X",)),
}


@pytest.mark.parametrize("name", DIALOGS)
async def test_a_dialog_says_what_will_happen(name: str):
    """At 80 columns, before anything is sent."""
    place, keys = DIALOGS[name]
    async with desk(busy()) as seen:
        await seen.say(f":{place}")
        await seen.press(*keys)
        assert len(seen.app.screen_stack) == 2
        assert seen.hermes.commands == []
        assert matches_golden(f"automation_dialog_{name}_80x24", seen.text)
