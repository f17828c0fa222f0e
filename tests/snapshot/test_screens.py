"""The screens as an operator sees them: plain text at two sizes, and pictures of two."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.support.console_desk import FAILURES, SIZES, VIEWS, busy, desk, pictured
from tests.support.fake_hermes import FakeHermes

GOLDEN = Path(__file__).parent / "golden_screens"


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterable[None]:
    """Times of day are those of UTC, and nothing is known of the terminal and the login that run the tests."""
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("LOGNAME", "ana")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def check(name: str, shown: str) -> None:
    """Compare with the golden file; UPDATE_GOLDEN=1 writes it."""
    import os

    path = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(shown, encoding="utf-8")
    assert path.exists(), f"{path.name} is missing: run with UPDATE_GOLDEN=1 and look at it"
    assert shown == path.read_text(encoding="utf-8"), f"{path.name} differs: run with UPDATE_GOLDEN=1 and look at it"


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", VIEWS)
async def test_a_busy_core_looks_as_it_did(name: str, size: tuple[int, int]):
    """Every view with everything in it."""
    async with desk(busy(), size) as seen:
        await seen.press(*VIEWS[name])
        check(f"busy_{name}_{size[0]}x{size[1]}", seen.text)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize(
    "name", ["overview", "sessions", "approvals", "deliveries", "platforms", "events", "mailboxes", "dead"]
)
async def test_an_empty_core_says_what_belongs_here(name: str, size: tuple[int, int]):
    """No view is blank; the first two say what to type next."""
    async with desk(FakeHermes(), size) as seen:
        await seen.press(*VIEWS[name])
        check(f"empty_{name}_{size[0]}x{size[1]}", seen.text)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", FAILURES)
async def test_a_core_that_does_not_start_is_shown_with_the_way_out(name: str, size: tuple[int, int]):
    """The console stays open: message, facts, fix, r and q."""
    async with desk(FakeHermes(), size, failure=FAILURES[name]) as seen:
        check(f"error_{name}_{size[0]}x{size[1]}", seen.text)
        await seen.press("q")
    assert seen.app.return_value is not None


async def test_a_core_that_starts_at_the_second_try_is_shown():
    """`r` opens it again."""
    hermes = busy()
    async with desk(hermes, failure=FAILURES["store"]) as seen:
        seen.app.link._open_hermes = lambda: hermes
        await seen.press("r")
        for _ in range(20):
            await seen.pilot.pause(0.02)
        await seen.settle()
        assert "core ok" in seen.text
        assert "rm -rf build/" in seen.text


LOOKS = {
    "light": ({"theme": "light"}, {}),
    "contrast": ({"theme": "contrast"}, {}),
    "ansi": ({"theme": "ansi"}, {}),
    "no_color": ({}, {"NO_COLOR": "1"}),
    "ascii": ({}, {"LANG": "C", "TERM": "vt100"}),
}


@pytest.mark.parametrize("look", LOOKS)
async def test_every_look_shows_every_view(look: str, monkeypatch: pytest.MonkeyPatch):
    """No theme, no colour, no Unicode: nothing crashes and the words stay."""
    options, environ = LOOKS[look]
    for key, value in environ.items():
        monkeypatch.setenv(key, value)
    async with desk(busy(), environ=environ, **options) as seen:
        for key in ("1", "2", "3", "4", "d", "enter", "3", "7", "8", "9", "question_mark", "1"):
            await seen.press(key)
        assert "NEEDS YOU" in seen.text
        assert "rm -rf build/" in seen.text
        if look == "ascii":
            assert seen.text.isascii()


async def test_a_small_terminal_says_which_size_is_needed():
    """Below the least size there is a notice, and what waits is still counted."""
    async with desk(busy(), (50, 12)) as seen:
        assert "60x16" in seen.text
        assert "1 decisions" in seen.text


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("keys", [(), ("2", "enter")], ids=["overview", "session"])
def test_pictures_of_overview_and_session(keys: tuple[str, ...], size: tuple[int, int], snap_compare: Any):
    """Colours and places, as a picture."""
    app, arrange = pictured(keys)
    assert snap_compare(app, terminal_size=size, run_before=arrange)
