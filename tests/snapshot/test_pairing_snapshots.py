"""The pairing desk on the screen, who is let in, and why: busy, empty, in ASCII, and its dialogs."""

import time
from collections.abc import Iterable

import pytest

from tests.support.console_desk import GATEWAY_VIEWS, SIZES, busy_pairings, desk
from tests.support.fake_hermes import FakeHermes
from tests.support.screens import matches_golden
from tests.support.views import platform

PLACES = ("pairing", "access", "why")


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterable[None]:
    """Times of day are those of UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def busy() -> FakeHermes:
    """A core at whose door two stand under one name."""
    return FakeHermes(desk=busy_pairings(), platforms=[platform("telegram", kind="telegram")])


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", PLACES)
async def test_who_asks_and_who_is_let_in(name: str, size: tuple[int, int]):
    """Requests first; the raw id beside the name, and the mark of a name that passes for another."""
    async with desk(busy(), size) as seen:
        await seen.press(*GATEWAY_VIEWS[name])
        assert matches_golden(f"desk_of_senders_{name}_{size[0]}x{size[1]}", seen.text)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", ["pairing", "access"])
async def test_an_empty_door_says_what_belongs_there(name: str, size: tuple[int, int]):
    """And what brings the first one."""
    async with desk(FakeHermes(), size) as seen:
        await seen.press(*GATEWAY_VIEWS[name])
        assert matches_golden(f"desk_of_senders_empty_{name}_{size[0]}x{size[1]}", seen.text)


async def test_no_word_is_lost_without_unicode(monkeypatch: pytest.MonkeyPatch):
    """ASCII shows the same states."""
    environ = {"LANG": "C", "TERM": "vt100"}
    for key, value in environ.items():
        monkeypatch.setenv(key, value)
    async with desk(busy(), environ=environ) as seen:
        await seen.press(*GATEWAY_VIEWS["pairing"])
        assert seen.text.isascii()
        assert matches_golden("desk_of_senders_ascii_80x24", seen.text)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("let_in", "A"),
        ("let_in_twin", "jA"),
        ("turn_down", "D"),
        ("block", "B"),
        ("take_back", "jjjjX"),
        ("invite", "I"),
    ],
)
async def test_a_dialog_names_the_identity_and_what_will_happen(name: str, keys: str):
    """Before anything is sent; whoever passes for another is let in by the raw id."""
    async with desk(busy()) as seen:
        await seen.press(*GATEWAY_VIEWS["pairing"], *keys)
        assert len(seen.app.screen_stack) == 2
        assert seen.hermes.commands == []
        assert matches_golden(f"desk_of_senders_dialog_{name}_80x24", seen.text)
