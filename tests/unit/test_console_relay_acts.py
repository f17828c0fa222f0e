"""What each act on the relay sends, and what it says before."""

from typing import Any

from core.api.bindings import (
    AddBinding,
    BindingProblem,
    Bot,
    CheckBot,
    RelayProtocol,
    RemoveBinding,
    UndoBinding,
)
from core.api.breakers import (
    BreakerMode,
    DisableBreaker,
    HoldBreakerOpen,
    ProbeBreaker,
    ReleaseBreaker,
    ResetBreaker,
)
from core.api.relay_targets import (
    CheckTarget,
    PauseRelay,
    ResumeRelay,
)
from core.api.relay_tasks import (
    CancelRelay,
    RelayTaskId,
    ReplayRelay,
    RetargetRelay,
    SendRelay,
)
from tests.support.busy_relay import DEAD_ID, NOTIFY, PAY, busy_relay
from tests.support.console_desk import desk
from tests.support.fake_hermes import FakeHermes
from tests.support.relay_views import a_binding, a_bot


async def test_each_act_on_a_far_side_sends_its_command_with_its_origin() -> None:
    """Hold, release, probe, disable and reset; what cannot be taken back needs the address typed."""
    hermes = FakeHermes(relay=busy_relay())
    async with desk(hermes) as seen:
        await seen.press("5", "B", "enter", "right", "enter")
        await seen.press("H", "shift+tab", *"audit", "tab", "right", "enter")
        await seen.press("U")
        await seen.say(":breaker.disable")
        await seen.press("right", "enter", "escape")
        assert not any(isinstance(item, DisableBreaker) for item in hermes.commands)
        await seen.say(":breaker.disable")
        await seen.press("shift+tab", *"127.0.0.1:9102", "enter")
        await seen.press("X", "shift+tab", *"127.0.0.1:9102", "enter")
    assert hermes.commands == [
        ProbeBreaker(owner="relay", name=NOTIFY),
        HoldBreakerOpen(owner="relay", name=NOTIFY, reason="audit"),
        ReleaseBreaker(owner="relay", name=NOTIFY),
        DisableBreaker(owner="relay", name=NOTIFY),
        ResetBreaker(owner="relay", name=NOTIFY),
    ]


async def test_acts_on_messages_send_the_ids_that_were_under_the_cursor() -> None:
    """Send again, another address, cancel."""
    hermes = FakeHermes(relay=busy_relay())
    async with desk(hermes) as seen:
        await seen.press("5", "2", "j", "M", *"ops", "enter")
        await seen.press("R", "right", "enter")
        await seen.say(":relay messages sending")
        await seen.press("C", "right", "enter")
    assert hermes.commands == [
        RetargetRelay(id=RelayTaskId(DEAD_ID), to="ops"),
        ReplayRelay(ids=(RelayTaskId(DEAD_ID),)),
        CancelRelay(id=RelayTaskId("5a000000-0000-4000-8000-0000000000aa")),
    ]


async def test_dead_messages_that_are_marked_go_out_together() -> None:
    """By id; one that is not dead any more is left alone."""
    hermes = FakeHermes(relay=busy_relay())
    async with desk(hermes) as seen:
        await seen.press("5", "2", "j", "space", "space", "space", "R", "right", "enter")
    sent = [item for item in hermes.commands if isinstance(item, ReplayRelay)]
    assert [sorted(item.ids) for item in sent] == [sorted((DEAD_ID, "77117000-0000-4000-8000-00000000000e"))]


async def test_a_bot_is_bound_changed_unbound_and_that_taken_back() -> None:
    """Each order names what was seen."""
    hermes = FakeHermes(relay=busy_relay())
    async with desk(hermes) as seen:
        await seen.press("5", "N", *"audit", "tab", *"https:", "slash", "slash", *"audit.example.org", "enter")
        await seen.say(":relay bindings audit")
        await seen.press("E", "tab", "right", "ctrl+s")
        await seen.press("D", "right", "enter")
        await seen.press("escape", "h", "right", "enter")
    audit = Bot(name="audit", url="https://audit.example.org")
    changed = Bot(name="audit", url="https://audit.example.org", protocol=RelayProtocol.A2A)
    where: dict[str, Any] = {"platform": "telegram", "chat": "-100200"}
    assert hermes.commands == [
        AddBinding(**where, bots=(audit,)),
        AddBinding(**where, bots=(changed,), expected=2),
        RemoveBinding(**where, bot="audit", expected=3),
        UndoBinding(**where, expected=3),
    ]


async def test_a_binding_that_was_changed_meanwhile_is_not_overwritten() -> None:
    """The editor opens again and says so."""
    relay = busy_relay()
    hermes = FakeHermes(relay=relay)
    async with desk(hermes) as seen:
        await seen.press("5", "E")
        key = ("telegram", "-100200")
        relay.bindings[key] = a_binding("-100200", a_bot("notify", NOTIFY), version=7)
        await seen.press(*("backspace",) * 4, *"9199", "enter")
        assert "not saved: the binding was changed since" in seen.text
        assert "http://127.0.0.1:9199" in seen.text


async def test_a_wrong_address_is_refused_with_the_reason_of_the_core() -> None:
    """Under its field, and nothing is sent."""
    relay = busy_relay()
    url = "http://metadata.example"
    relay.problems[url] = BindingProblem(
        field="bots[0].url", value=url, problem="this address may not be called", fix="name a network for it"
    )
    hermes = FakeHermes(relay=relay)
    async with desk(hermes) as seen:
        await seen.press("5", "N", *"meta", "tab", *"http:", "slash", "slash", *"metadata.example", "enter")
        assert "not saved: this address may not be called; name a network for it" in seen.text
        assert len(seen.app.screen_stack) == 2
        await seen.press("ctrl+t")
    assert hermes.commands == []
    assert any(isinstance(query, CheckBot) and query.bot.url == url for query in hermes.queries)


async def test_a_look_from_the_editor_is_about_what_is_typed_and_saves_nothing() -> None:
    """A bot that is not bound yet can be looked at."""
    hermes = FakeHermes(relay=busy_relay())
    async with desk(hermes) as seen:
        await seen.press("5", "N", *"near", "tab", *"http:", "slash", "slash", *"near:1", "ctrl+t", "escape")
        await seen.press("Y")
    looked = [item for item in hermes.commands if isinstance(item, CheckTarget)]
    assert looked == [
        CheckTarget(platform="telegram", chat="-100200", bot=Bot(name="near", url="http://near:1")),
        CheckTarget(name="notify", platform="telegram", chat="-100200"),
    ]
    assert len(hermes.commands) == 2


async def test_a_message_is_sent_as_from_the_chat_under_the_cursor() -> None:
    """To several bots at once, when several are named."""
    hermes = FakeHermes(relay=busy_relay())
    async with desk(hermes) as seen:
        await seen.press("5", "S", *"hello", "enter")
        await seen.press("S", "shift+tab", *",ops", "tab", *"all", "enter")
    assert hermes.commands == [
        SendRelay(to=("notify",), text="hello", platform="telegram", chat="-100200"),
        SendRelay(to=("notify", "ops"), text="all", platform="telegram", chat="-100200"),
    ]


async def test_the_whole_relay_is_paused_and_goes_on() -> None:
    """Both ask first and say what they do."""
    hermes = FakeHermes(relay=busy_relay())
    async with desk(hermes) as seen:
        await seen.press("5", "P", "shift+tab", *"audit", "tab", "right", "enter")
        assert "PAUSED" in seen.text
        await seen.press("P", "right", "enter")
        assert "PAUSED" not in seen.text
    assert hermes.commands == [PauseRelay(reason="audit"), ResumeRelay()]


async def test_nothing_of_the_relay_can_be_changed_read_only() -> None:
    """Also what has no command of its own, such as the editor and the breaker menu."""
    hermes = FakeHermes(relay=busy_relay())
    async with desk(hermes, read_only=True) as seen:
        for key in ("E", "N", "B", "D", "P", "R", "S", "Y", "Z"):
            await seen.press("5", "1", key)
            assert len(seen.app.screen_stack) == 1, key
            assert "read-only session" in seen.text, key
    assert hermes.commands == []


async def test_what_cannot_be_done_says_why() -> None:
    """A far side that is well, a message that is over."""
    hermes = FakeHermes(relay=busy_relay())
    async with desk(hermes) as seen:
        await seen.say(":relay bindings ops")
        await seen.press("X")
        assert "its breaker is closed" in seen.text
        await seen.press("U")
        assert "nobody holds it" in seen.text
        await seen.say(":relay messages completed")
        await seen.press("C")
        assert "it is completed" in seen.text
        await seen.press("R")
        assert "no dead message is marked or under the cursor" in seen.text


async def test_enter_leads_from_a_bot_to_its_messages_and_into_one() -> None:
    """And escape back again, one thing at a time."""
    async with desk(FakeHermes(relay=busy_relay())) as seen:
        await seen.press("5", "enter")
        assert "3 of 7" in seen.text
        await seen.press("enter")
        assert seen.app.navigator.place == "relayed"
        await seen.press("T")
        assert "what did not happen, and why" in seen.text
        await seen.press("escape", "escape")
        assert seen.app.navigator.place == "relay"


async def test_a_held_breaker_is_released_from_the_menu() -> None:
    """The menu offers only what can be done."""
    relay = busy_relay()
    hermes = FakeHermes(relay=relay)
    async with desk(hermes) as seen:
        await seen.say(":relay bindings pay")
        await seen.press("B")
        assert "hold open" not in seen.text
        await seen.press("enter")
    assert hermes.commands == [ReleaseBreaker(owner="relay", name=PAY)]
    assert relay.targets[PAY].breaker.mode is BreakerMode.AUTOMATIC
