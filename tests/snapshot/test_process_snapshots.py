"""Configuration, audit and safe mode on the screen: busy, empty, in ASCII."""

import time
from collections.abc import Iterable

import pytest

from core.api import pairings, sessions, system
from core.api.base import SYSTEM, Actor, ActorKind, PlatformName
from core.api.pairings import PairingId, PairingState, PairingView
from core.api.system import SettingView
from tests.support.console_desk import SIZES, desk
from tests.support.fake_hermes import FakeHermes
from tests.support.screens import matches_golden
from tests.support.views import NOW, ago, config, health, message, session

ANA = Actor(ActorKind.OPERATOR, "ana")
MARA = Actor(ActorKind.SENDER, "telegram:99120077")


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterable[None]:
    """Times of day are those of UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def setting(key: str, value: str, origin: str = "default", doc: str = "") -> SettingView:
    """One value."""
    return SettingView(key=key, value=value, origin=origin, doc=doc)


def configured() -> FakeHermes:
    """Values of every origin, and a problem."""
    return FakeHermes(
        config_view=config(
            settings=(
                setting("core.drain_s", "10.0", doc="time that runs get to end at a stop"),
                setting("core.journal_keep", "1000000", doc="events kept in the journal"),
                setting("http.port", "8643", "env HERMES_CONSOLE__HTTP__PORT", "port; 0 takes a free one"),
                setting("http.key", "file:***", doc="bearer key of the API, as env:NAME or file:PATH"),
                setting("platforms.telegram.kind", "telegram", "config.yaml:12"),
                setting(
                    "platforms.telegram.token", "env:***", "config.yaml:13", "of the bot, as env:NAME or file:PATH"
                ),
                setting("platforms.telegram.allowed_users", '["11","22"]', ".env:3", "ids of senders"),
                setting("console.theme", "auto", doc="colours"),
            ),
            problems=(".env can be read by others: chmod 600 /home/ana/.hermes-console/.env",),
        )
    )


def asking(state: PairingState, **changes: object) -> PairingView:
    """Mara, who asks for access."""
    values: dict[str, object] = {
        "id": PairingId("p-08"),
        "version": 1,
        "platform": PlatformName("telegram"),
        "sender_id": "99120077",
        "sender_name": "Mara",
        "chat": "99120077",
        "state": state,
        "asked": ago(120),
    }
    return PairingView(**{**values, **changes})  # type: ignore[arg-type]


def audited() -> FakeHermes:
    """Deeds of an operator and of a sender, among what the core did by itself."""
    hermes = FakeHermes()
    talk = session("telegram:dm:99120077", version=1)
    hermes.emit(pairings.PairingAsked(pairing=asking(PairingState.ASKED)), actor=SYSTEM, at=NOW.at - 120)
    let_in = asking(PairingState.APPROVED, version=2, decided=ago(60), decided_by="ana", reason="from the ops team")
    hermes.emit(pairings.PairingApproved(pairing=let_in), actor=ANA, at=NOW.at - 60)
    hermes.emit(sessions.SessionOpened(session=talk), actor=MARA, at=NOW.at - 50)
    said = message("is the backup done?", session_id=talk.id, sender=MARA.name)
    hermes.emit(sessions.MessageQueued(session=talk, message=said), actor=MARA, at=NOW.at - 50)
    hermes.emit(system.CoreStarted(boot=2, version="0.1.0", recovered_runs=0, queued=0), actor=SYSTEM)
    later = session("telegram:dm:99120077", version=2, epoch=1)
    hermes.emit(sessions.SessionReset(session=later, dropped=2, reason="wrong agent"), actor=ANA, at=NOW.at - 10)
    return hermes


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_every_value_has_its_origin_problems_first(size: tuple[int, int]):
    """What somebody set comes before what nobody did."""
    async with desk(configured(), size) as seen:
        await seen.say(":config")
        await seen.press("j", "j")
        assert matches_golden(f"config_{size[0]}x{size[1]}", seen.text)


async def test_the_configuration_can_be_narrowed():
    """By key, value or origin."""
    async with desk(configured()) as seen:
        await seen.say(":config telegram")
        assert "platforms.telegram.token" in seen.text
        assert "core.drain_s" not in seen.text
        assert "env:***" in seen.text


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_who_did_what_with_before_and_after(size: tuple[int, int]):
    """The newest first, without what the core did by itself; the pane shows what the deed changed."""
    async with desk(audited(), size) as seen:
        await seen.say(":audit")
        assert matches_golden(f"audit_{size[0]}x{size[1]}", seen.text)
        await seen.press("j", "j", "j")
        assert "asked -> approved" in seen.text


async def test_a_new_deed_comes_by_itself():
    """Nobody has to ask again."""
    async with desk(audited()) as seen:
        await seen.say(":audit")
        seen.hermes.emit(sessions.SessionReset(session=session("local:dm:new"), dropped=0, reason="now"), actor=ANA)
        await seen.settle()
        await seen.settle()
        assert "local:dm:new" in seen.text


async def test_only_what_came_since_is_looked_at_again():
    """Deeds are looked for among all that happened, which is dear: once, and never again from the begin."""
    async with desk(audited()) as seen:
        await seen.say(":audit")
        head = seen.hermes.seq
        for number in range(3):
            view = session(f"local:dm:new{number}")
            seen.hermes.emit(sessions.SessionReset(session=view, dropped=0, reason="now"), actor=ANA)
            await seen.settle()
            await seen.settle()
        asked = [query for query in seen.hermes.queries if isinstance(query, system.ListEvents) and query.actors]
        assert asked[0].after is None
        assert len(asked) > 1
        assert all(query.after is not None and query.after >= head for query in asked[1:])
        assert "local:dm:new2" in seen.text
        assert "access given" in seen.text


async def test_an_audit_that_is_open_for_days_holds_no_more_than_its_bound(monkeypatch: pytest.MonkeyPatch):
    """The oldest go, and can be had again as older ones."""
    monkeypatch.setattr("console.screens.audit._KEPT", 3)
    async with desk(audited()) as seen:
        await seen.say(":audit")
        for number in range(3):
            view = session(f"local:dm:new{number}")
            seen.hermes.emit(sessions.SessionReset(session=view, dropped=0, reason="now"), actor=ANA)
        await seen.settle()
        await seen.settle()
        assert "access given" not in seen.text
        await seen.press("b")
        await seen.settle()
        assert "access given" in seen.text


async def test_an_empty_audit_says_what_belongs_there():
    """Nothing is blank."""
    async with desk(FakeHermes()) as seen:
        await seen.say(":audit")
        assert matches_golden("audit_empty_80x24", seen.text)


async def test_an_audit_that_cannot_be_read_says_why():
    """And asks again by itself."""
    from core.api.errors import Unavailable

    hermes = audited()
    async with desk(hermes) as seen:
        hermes.fail_next(Unavailable("the disk is gone"))
        await seen.say(":audit")
        assert "the disk is gone" in seen.text
        for _ in range(8):
            await seen.settle()
        assert "wrong agent" in seen.text


@pytest.mark.parametrize("name", ["config", "audit"])
async def test_no_word_is_lost_without_unicode(name: str, monkeypatch: pytest.MonkeyPatch):
    """ASCII shows the same."""
    environ = {"LANG": "C", "TERM": "vt100"}
    for key, value in environ.items():
        monkeypatch.setenv(key, value)
    async with desk(configured() if name == "config" else audited(), environ=environ) as seen:
        await seen.say(f":{name}")
        assert seen.text.isascii()
        assert matches_golden(f"{name}_ascii_80x24", seen.text)


async def test_safe_mode_is_the_first_thing_that_is_seen():
    """Key, file and line on the first screen; the way out in full on the second."""
    why = "safe mode: config.yaml:2: htpp is not a key (did you mean http?) - 3 starts failed in a row; mend it"
    async with desk(FakeHermes(health_view=health(problems=(why,)))) as seen:
        assert "safe mode: config.yaml:2: htpp" in seen.text
        await seen.press("enter")
        assert "mend it" in " ".join(seen.text.split())
