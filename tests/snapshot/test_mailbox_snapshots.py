"""Mailboxes, one mailbox, dead letters and their dialogs: empty, failing, in every look; and as pictures."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from core.api.errors import StoreError
from core.api.mail import BrowseMail, ListDead
from core.api.mailboxes import ListMailboxes
from tests.support.console_desk import SIZES, VIEWS, busy, desk, pictured
from tests.support.fake_hermes import FakeHermes
from tests.support.fake_mail import mailbox
from tests.support.screens import matches_golden

DAMAGED = StoreError("pack 12 of the mail is damaged", cause="corrupt", fix="restore a copy of the home")
MAIL_VIEWS = [name for name in VIEWS if name.startswith("mail") or name == "dead"]


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterable[None]:
    """Times of day are those of UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def failing(*kinds: type[Any]) -> FakeHermes:
    """A busy core that cannot answer some questions."""
    hermes = busy()
    answer = hermes.mail.answer

    def answered(query: Any, seq: Any) -> Any:
        if isinstance(query, kinds):
            raise DAMAGED
        return answer(query, seq)

    hermes.mail.answer = answered  # type: ignore[method-assign]  # part of the store cannot be read
    return hermes


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("tab", ["1", "2", "3"])
async def test_an_empty_mailbox_says_what_belongs_there(tab: str, size: tuple[int, int]):
    """What is not there, and the key that brings the first one."""
    async with desk(FakeHermes(mailboxes=[mailbox("audit")]), size) as seen:
        await seen.press("4", "enter", tab)
        assert matches_golden(f"mail_empty_mailbox_{tab}_{size[0]}x{size[1]}", seen.text)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize(
    ("name", "keys", "kind"),
    [
        ("mailboxes", ("4",), ListMailboxes),
        ("mailbox", ("4", "j", "enter"), BrowseMail),
        ("dead", ("4", "d"), ListDead),
    ],
)
async def test_a_part_that_cannot_be_read_says_so_with_the_way_out(
    name: str, keys: tuple[str, ...], kind: type[Any], size: tuple[int, int]
):
    """The error of the core in the place of the list; everything else goes on."""
    async with desk(failing(kind), size) as seen:
        await seen.press(*keys)
        assert "restore a copy of the home" in seen.text
        assert matches_golden(f"mail_error_{name}_{size[0]}x{size[1]}", seen.text)


DIALOGS = {
    "pause": ("4", "j", "P"),
    "resume": ("4", "j", "j", "j", "P"),
    "post": ("4", "j", "I", "left_curly_bracket"),
    "new": ("4", "N"),
    "which": ("4", "j", "d", "R"),
    "redrive": ("4", "j", "d", "R", "j", "enter"),
    "purge": ("4", "j", "d", "X", "j", "enter"),
    "purge_all": ("4", "j", "X", "j", "j", "enter"),
    "remove": ("4", "G", "D"),
}


@pytest.mark.parametrize("name", DIALOGS)
async def test_a_dialog_about_mail_looks_as_it_did(name: str):
    """At 80 columns; what goes out or is lost is counted before it is asked for."""
    async with desk(busy()) as seen:
        await seen.press(*DIALOGS[name])
        assert len(seen.app.screen_stack) == 2
        assert matches_golden(f"mail_dialog_{name}_80x24", seen.text)


LOOKS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "dark": ({"theme": "dark"}, {}),
    "light": ({"theme": "light"}, {}),
    "no_color": ({}, {"NO_COLOR": "1"}),
    "ascii": ({}, {"LANG": "C", "TERM": "vt100"}),
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", MAIL_VIEWS)
async def test_no_word_depends_on_a_colour(look: str, name: str, monkeypatch: pytest.MonkeyPatch):
    """Dark, light and NO_COLOR show the same text; ASCII shows the same states."""
    options, environ = LOOKS[look]
    for key, value in environ.items():
        monkeypatch.setenv(key, value)
    async with desk(busy(), environ=environ, **options) as seen:
        await seen.press(*VIEWS[name])
        if look == "ascii":
            assert seen.text.isascii()
            assert matches_golden(f"mail_ascii_{name}_80x24", seen.text)
        else:
            golden = Path(__file__).parent / "golden_screens" / f"busy_{name}_80x24.txt"
            assert seen.text == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", ["mailboxes", "mailbox_dead", "dead"])
def test_pictures_of_mailboxes_and_dead_letters(name: str, size: tuple[int, int], snap_compare: Any):
    """Colours and places, as a picture."""
    app, arrange = pictured(VIEWS[name])
    assert snap_compare(app, terminal_size=size, run_before=arrange)
