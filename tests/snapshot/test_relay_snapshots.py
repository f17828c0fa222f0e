"""The relay on the screen: busy, empty, broken, paused, in ASCII; its dialogs, and what each act sends."""

import time
from collections.abc import Iterable

import pytest

from core.api.errors import StoreError
from core.api.relay_targets import RelayPause
from core.api.relay_tasks import RelayState
from tests.support.busy_relay import DEAD_ID, busy_relay
from tests.support.console_desk import SIZES, desk
from tests.support.fake_hermes import FakeHermes
from tests.support.fake_relay import FakeRelay
from tests.support.relay_views import a_message, a_report
from tests.support.screens import matches_golden
from tests.support.views import ago

TABS = {"bindings": "1", "messages": "2", "targets": "3", "peers": "4", "graph": "5"}
each_size = pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterable[None]:
    """Times of day are those of UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def busy() -> FakeHermes:
    """A core whose far sides are in every state."""
    return FakeHermes(relay=busy_relay())


@each_size
@pytest.mark.parametrize("tab", TABS)
async def test_each_list_of_the_relay_says_how_all_stand(tab: str, size: tuple[int, int]) -> None:
    """What is stopped comes first, with its countdown."""
    async with desk(busy(), size) as seen:
        await seen.press("5", TABS[tab])
        assert matches_golden(f"relay_{tab}_{size[0]}x{size[1]}", seen.text)


@each_size
@pytest.mark.parametrize("tab", TABS)
async def test_an_empty_list_of_the_relay_says_what_brings_the_first_one(tab: str, size: tuple[int, int]) -> None:
    """Nothing is blank."""
    async with desk(FakeHermes(), size) as seen:
        await seen.press("5", TABS[tab])
        assert matches_golden(f"relay_empty_{tab}_{size[0]}x{size[1]}", seen.text)


@each_size
async def test_a_relay_that_cannot_be_read_says_why_and_what_to_do(size: tuple[int, int]) -> None:
    """The rest of the console goes on."""
    hermes = busy()
    async with desk(hermes, size) as seen:
        seen.app.mirror.work.relay.bindings = {}
        seen.app.mirror.work.relay.fail("store: the rows of the relay are damaged; restore a copy")
        await seen.press("5")
        assert matches_golden(f"relay_error_{size[0]}x{size[1]}", seen.text)


@each_size
async def test_a_paused_relay_says_so_above_everything_with_what_still_runs(size: tuple[int, int]) -> None:
    """And the head of every screen says it too."""
    relay = busy_relay()
    relay.pause = RelayPause(
        version=2, is_paused=True, since=ago(4000), by="raj", reason="audit", sending=1, working=2, running=3, waiting=9
    )
    async with desk(FakeHermes(relay=relay), size) as seen:
        await seen.press("5")
        assert matches_golden(f"relay_paused_{size[0]}x{size[1]}", seen.text)
        await seen.press("escape", "escape")
        assert "relay paused" in seen.text


@each_size
@pytest.mark.parametrize(("tab", "key"), [("message", "1"), ("attempts", "2"), ("trace", "3"), ("group", "4")])
async def test_a_message_is_shown_with_its_attempts_and_what_did_not_happen(
    tab: str, key: str, size: tuple[int, int]
) -> None:
    """A dead one."""
    async with desk(busy(), size) as seen:
        await seen.say(":relayed 7712")
        await seen.press(key)
        assert matches_golden(f"relayed_{tab}_{size[0]}x{size[1]}", seen.text)


async def test_a_fan_out_shows_the_result_of_each_target() -> None:
    """One answered, one died."""
    relay = busy_relay()
    ids = ("aaaa0000-0000-4000-8000-000000000001", "bbbb0000-0000-4000-8000-000000000002")
    for task in (
        a_message(ids[0], group="g", state=RelayState.COMPLETED, answer="all green", answered=ago(3), ended=ago(3)),
        a_message(ids[1], group="g", bot="notify", state=RelayState.DEAD, error="connection refused", ended=ago(1)),
    ):
        relay.tasks[str(task.id)] = task
    async with desk(FakeHermes(relay=relay)) as seen:
        await seen.say(":relayed aaaa")
        await seen.press("4")
        assert matches_golden("relayed_fan_out_80x24", seen.text)


async def test_no_word_of_the_relay_is_lost_without_unicode(monkeypatch: pytest.MonkeyPatch) -> None:
    """ASCII shows the same states."""
    environ = {"LANG": "C", "TERM": "vt100"}
    for key, value in environ.items():
        monkeypatch.setenv(key, value)
    async with desk(busy(), environ=environ) as seen:
        for tab, key in TABS.items():
            await seen.press("5", key)
            assert seen.text.isascii(), tab
        await seen.press("1")
        assert matches_golden("relay_ascii_80x24", seen.text)


DIALOGS = {
    "new": ("N",),
    "change": ("E",),
    "unbind": ("D",),
    "history": ("h",),
    "menu": ("B",),
    "probe": ("B", "enter"),
    "hold": ("H",),
    "reset": ("X",),
    "disable": ("B", "down", "down", "down", "enter"),
    "send": ("S",),
    "replay": ("R",),
    "pause": ("P",),
    "retarget": ("2", "j", "M"),
    "cancel": ("2", "j", "j", "j", "C"),
}


@pytest.mark.parametrize("name", DIALOGS)
async def test_a_dialog_of_the_relay_says_to_what_it_happens_and_what(name: str) -> None:
    """Before anything does."""
    hermes = busy()
    async with desk(hermes) as seen:
        await seen.press("5", *DIALOGS[name])
        assert matches_golden(f"relay_dialog_{name}_80x24", seen.text)
        await seen.press("escape")
    assert hermes.commands == []


async def test_the_editor_says_under_the_field_what_is_wrong_while_it_is_typed() -> None:
    """And what a look found, step by step."""
    relay = busy_relay()
    hermes = FakeHermes(relay=relay)
    async with desk(hermes) as seen:
        await seen.press("5", "N", *"security", "tab", *"ftp", "colon", "slash", "slash", *"host")
        assert matches_golden("relay_editor_wrong_80x24", seen.text)
        await seen.press("enter")
        assert len(seen.app.screen_stack) == 2
        assert hermes.commands == []
        await seen.press(*("backspace",) * 10, *"http", "colon", "slash", "slash", *"127.0.0.1", "colon", *"9109")
        await seen.press("ctrl+t")
        assert matches_golden("relay_editor_looked_80x24", seen.text)
        relay.report = a_report(next(iter(relay.bindings.values())).bots[0], is_ok=False)
        await seen.press("ctrl+t")
        assert "connection refused" in seen.text


async def test_the_overview_has_a_line_for_the_relay_and_one_for_each_cause() -> None:
    """Breakers with messages behind them, dead messages by cause, loops, a pause that lasts."""
    async with desk(busy(), (140, 40)) as seen:
        assert matches_golden("relay_overview_140x40", seen.text)


async def test_a_core_that_does_not_answer_about_a_message_says_so() -> None:
    """The tabs stay, and it is asked again."""
    hermes = busy()
    async with desk(hermes) as seen:
        await seen.press("5", "2", "j")
        hermes.fail_next(StoreError("the store cannot be read", path="/x", cause="io", fix="look at the disk"))
        await seen.press("enter")
        assert "the store cannot be read" in seen.text
        assert seen.app.navigator.view.target().relay_id == DEAD_ID


async def test_what_is_asked_for_by_an_unknown_id_is_said_to_be_unknown() -> None:
    """No blank page."""
    async with desk(FakeHermes(relay=FakeRelay())) as seen:
        await seen.say(":relayed ffff")
        assert "no message begins with ffff" in seen.text
