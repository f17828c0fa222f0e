"""Text from outside stays text on the screens of the gateway: names, reasons, errors, printed lines, values."""

import re

import pytest

from core.api import pairings, sessions
from core.api.access import AdmittedView, Rule, Tier
from core.api.base import Actor, ActorKind, PlatformName
from core.api.breakers import BreakerState
from core.api.hooks import HookState
from core.api.jobs import JobRunState, JobState
from core.api.outboxes import OutboxState
from core.api.pairings import PairingState
from core.api.platforms import PlatformState
from core.api.system import SettingView
from tests.support.console_desk import GATEWAY_VIEWS, SIZES, desk, typed
from tests.support.fake_automation import FakeAutomation, hook, job, job_run
from tests.support.fake_hermes import FakeHermes
from tests.support.fake_outboxes import FakeOutboxes, an_outbox
from tests.support.fake_pairings import FakePairings, invite, pairing
from tests.support.views import ago, config, message, platform, session

TRICKS = {
    "escapes": "[red]\x1b[31mEVIL\x1b[0m\x07\u202e[/red] [@click=app.quit]x[/]",
    "directions": "\u2067EVIL\u2066\u202d\u202e\u200f",
    "wide": "\u4f60\u597d\U0001f980" * 30,
    "long": "EVIL" * 2_500,
    "lines": "EVIL\r\n\x9b31m\x00\u2028end",
}
# What would move the cursor, change colours or turn the direction of what follows.
RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def hostile(evil: str) -> FakeHermes:
    """A core in which everything that somebody else wrote is hostile."""
    senders = [
        pairing("p-1", sender_id=evil, sender_name=evil, chat=evil, first_text=evil, warnings=(evil,), reason=evil),
        pairing("p-2", state=PairingState.BLOCKED, sender_name=evil, decided=ago(9), decided_by=evil, reason=evil),
        pairing("p-3", state=PairingState.APPROVED, sender_id=evil, notice_error=evil, decided=ago(9)),
    ]
    found = FakePairings(senders, [invite("i-1", note=evil, created_by=evil), invite("i-2", used_by=evil)])
    found.admitted = [
        AdmittedView(
            platform=PlatformName("telegram"),
            sender_id=evil,
            sender_name=evil,
            rule=Rule.PAIRED,
            origin=evil,
            tier=Tier.USER,
        )
    ]
    found.problem = evil
    accounts = [
        an_outbox("telegram", state=OutboxState.HELD, waiting=3, why=evil, error=evil, next_try=ago(-90)),
        an_outbox("matrix", state=OutboxState.BROKEN, breaker=BreakerState.OPEN, why=evil, error=evil, waiting=1),
    ]
    hooks = [
        hook("audit", last_error=evil, failures_in_row=2, output=evil, description=evil, events=(evil,)),
        hook("broken", state=HookState.BROKEN, problem=evil, folder=evil),
        hook("paused", state=HookState.PAUSED, paused_by=evil, paused_reason=evil),
    ]
    failed = job_run(state=JobRunState.FAILED, error=evil, answer=evil)
    jobs = [
        job("report", last=failed, words=evil),
        job("broken", state=JobState.BROKEN, problem=evil),
        job("paused", state=JobState.PAUSED, paused_by=evil, paused_reason=evil, owner=evil),
    ]
    hermes = FakeHermes(
        desk=found,
        outboxes=FakeOutboxes(accounts),
        automation=FakeAutomation(hooks, jobs),
        platforms=[
            platform("telegram", kind="telegram", state=PlatformState.CONFLICT, last_error=evil, holder=evil),
            platform("matrix", state=PlatformState.DOWN, last_error=evil, address=evil),
        ],
        config_view=config(
            settings=(SettingView(key=evil, value=evil, origin=evil, doc=evil),), problems=(evil, "unknown key " + evil)
        ),
    )
    ana = Actor(kind=ActorKind.OPERATOR, name=evil)
    hermes.emit(pairings.PairingDenied(pairing=senders[1]), actor=ana, subject=evil)
    talk = session("telegram:dm:1", title=evil)
    hermes.emit(sessions.MessageQueued(session=talk, message=message(evil, sender=evil)), actor=ana, subject=evil)
    return hermes


PLACES: dict[str, tuple[str, ...]] = {
    **GATEWAY_VIEWS,
    "overview": (),
    "platforms": ("7",),
    "pairing_other": (*typed("pairing"), "j", "j", "j"),
    "pairing_invite": (*typed("pairing"), "j"),
    "hooks_other": (*typed("hooks"), "j", "j"),
    "cron_other": (*typed("cron"), "j", "j"),
    "config_value": (*typed("config"), "j", "j"),
    "help": (*typed("pairing"), "question_mark"),
    "raw": (*typed("pairing"), "y"),
    "let_in": (*typed("pairing"), "A"),
    "block": (*typed("pairing"), "B"),
    "take_back": (*typed("pairing"), "j", "j", "j", "j", "X"),
    "lift": (*typed("outboxes"), "j", "L"),
    "hold": (*typed("outboxes"), "H"),
    "close": (*typed("outboxes"), "X"),
    "hook_try": (*typed("hooks"), "j", "Y"),
    "job_run": (*typed("cron"), "R"),
    "connection_pause": ("7", "P"),
}


DIALOGS = frozenset(
    {"let_in", "block", "take_back", "lift", "hold", "close", "hook_try", "job_run", "connection_pause"}
)


@pytest.mark.parametrize(
    ("trick", "size"),
    [*((trick, SIZES[0]) for trick in TRICKS), ("escapes", SIZES[1])],
    ids=lambda value: value if isinstance(value, str) else f"{value[0]}x{value[1]}",
)
async def test_what_somebody_else_wrote_is_shown_as_it_is_written(trick: str, size: tuple[int, int]):
    """No mark-up, no control character, no other direction; a dialog keeps its buttons however long a name is."""
    async with desk(hostile(TRICKS[trick]), size) as seen:
        for place, keys in PLACES.items():
            # With a store that cannot be written every act of the desk is off; the dialogs are to be seen too.
            seen.app.mirror.work.gateway.pairing_problem = "" if place in DIALOGS else TRICKS[trick]
            await seen.press(*keys)
            shown = seen.text
            assert not RAW.search(shown), place
            assert (len(seen.app.screen_stack) == 2) == (place in DIALOGS), place
            assert place not in DIALOGS or "[ cancel ]" in shown, f"{place}:\n{shown}"
            for view in seen.app.views.values():
                view.filter_text = ""
            await seen.press("escape", "1")
            # Each place is entered as if for the first time, with the cursor on the first row.
            seen.app.navigator._cursors.clear()


@pytest.mark.parametrize("place", ["pairing", "outboxes", "hooks", "cron", "config", "audit", "let_in", "hold"])
async def test_hidden_letters_are_marked_where_they_stand(place: str):
    """Whoever looks sees that something is there, and what."""
    async with desk(hostile(TRICKS["escapes"]), (140, 40)) as seen:
        seen.app.mirror.work.gateway.pairing_problem = ""
        await seen.press(*PLACES[place])
        assert "<ESC>" in seen.text or "\\u001b" in seen.text


def test_every_place_is_looked_at() -> None:
    """A place that is added to the desk is looked at here too, and what is searched for can be found."""
    assert set(GATEWAY_VIEWS) <= set(PLACES)
    assert set(PLACES) >= DIALOGS
    assert all(RAW.search(TRICKS[name]) for name in ("escapes", "directions", "lines"))
