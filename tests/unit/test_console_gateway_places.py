"""Places of the gateway: the cursor that is meant, keys that say why, gaps in what was heard, cost, what needs whom."""

import pytest

from console.actions import ACTIONS
from console.automation_needs import automation_needs
from console.changes import Changes
from console.command_line import parse_command
from console.gateway_rows import GatewayRows
from console.keymap import build_keymap
from console.mirror import Mirror
from console.outbox_facts import outbox_facts
from console.screens.base import OrderGate
from console.screens.help import help_fields
from core.api.base import SYSTEM, Actor, ActorKind, Event, Record, Seq
from core.api.breakers import BreakerState, DisableBreaker, ProbeBreaker
from core.api.deliveries import DeliveryState
from core.api.hooks import HooksLoaded, HookState
from core.api.jobs import JobChanged, JobRunState
from core.api.outboxes import OutboxState
from core.api.pairings import PairingList, PairingState
from core.api.sessions import SessionReset
from core.api.system import ListEvents
from tests.support.console_desk import busy_pairings, desk, typed
from tests.support.fake_automation import FakeAutomation, hook, job, job_run
from tests.support.fake_hermes import FakeHermes
from tests.support.fake_outboxes import FakeOutboxes, an_outbox
from tests.support.fake_pairings import FakePairings, invite, pairing
from tests.support.views import NOW, ago, delivery, session


def door() -> FakeHermes:
    """A core at whose door two stand."""
    return FakeHermes(desk=busy_pairings())


async def test_a_line_of_the_overview_leads_to_its_sender_wherever_the_cursor_was() -> None:
    """An act goes to whom the operator chose, and not to the row of the visit before."""
    async with desk(door()) as seen:
        await seen.press(*typed("pairing"))
        assert seen.app.navigator.view.target().pairing_id == "p-08"
        await seen.press("1", "j", "enter")
        assert seen.app.navigator.place == "pairing"
        assert seen.app.navigator.view.target().pairing_id == "p-09"


async def test_a_sender_who_is_meant_is_shown_although_a_filter_hides_it() -> None:
    """A filter of before gives way."""
    async with desk(door()) as seen:
        await seen.say("pairing Ivo")
        seen.app.go("pairing", "p-09")
        await seen.settle()
        assert seen.app.navigator.view.target().pairing_id == "p-09"


async def test_back_leads_to_the_row_that_was_left() -> None:
    """From why to the sender that it was about."""
    async with desk(door()) as seen:
        await seen.press(*typed("pairing"), "j", "w", "escape")
        assert seen.app.navigator.view.target().pairing_id == "p-09"


async def test_a_key_that_only_looks_says_why_it_is_off() -> None:
    """On an invitation nobody can be asked why a sender is let in."""
    async with desk(door()) as seen:
        await seen.press(*typed("pairing"), "j", "j")
        assert seen.app.navigator.view.target().invite_id == "i-1"
        await seen.press("w")
        assert "is off: no sender is under the cursor" in seen.text
        assert "V void" in seen.text


async def test_outboxes_can_be_narrowed_and_opened() -> None:
    """As every list; the footer says so."""
    async with desk(FakeHermes(outboxes=FakeOutboxes([an_outbox("local"), an_outbox("matrix")]))) as seen:
        await seen.press(*typed("outboxes"))
        assert "enter open" in seen.text
        await seen.press("slash", *"matrix", "enter")
        assert "1 of 2" in seen.text


async def test_the_breaker_of_an_outbox_is_tried_and_switched_off() -> None:
    """Each says what it does first; one that lets messages through needs no trial, one that is off none again."""
    broken = an_outbox("local", breaker=BreakerState.OPEN, state=OutboxState.BROKEN, error="refused")
    hermes = FakeHermes(outboxes=FakeOutboxes([broken]))
    async with desk(hermes) as seen:
        await seen.press(*typed("outboxes"))
        seen.app.do_action("breaker.probe")
        await seen.settle()
        assert "as one try" in seen.text
        assert "refused" in seen.text
        await seen.press("right", "enter")
        seen.app.do_action("breaker.probe")
        await seen.settle()
        assert "lets messages through" in seen.text
        seen.app.do_action("breaker.disable")
        await seen.settle()
        await seen.press("shift+tab", "shift+tab", *"drill", "tab", *"local", "enter")
        seen.app.do_action("breaker.disable")
        await seen.settle()
        assert "it is off already" in seen.text
    assert hermes.commands == [
        ProbeBreaker(owner="outbox", name="local"),
        DisableBreaker(owner="outbox", name="local", reason="drill"),
    ]


@pytest.mark.parametrize("place", ["pairing", "outboxes", "hooks", "cron", "config", "audit", "platforms"])
def test_the_help_names_every_place_and_nothing_that_is_not_understood(place: str) -> None:
    """What it says after a colon does that and nothing else."""
    lines = help_fields(place, build_keymap({}), lambda _action: "")
    own = lines[: [label for label, _, _ in lines].index("-- in other views")]
    named = {label.removeprefix(":"): words for label, words, _ in own if label.startswith(":") and label != ":"}
    assert {"pairing", "cron", "audit", "config"} <= named.keys()
    titles = {action.id: action.title for action in ACTIONS}
    for word, words in named.items():
        order = parse_command(word, (), place)
        assert order.verb != "say" or word in {"session", "theme"}, word
        if order.verb == "action":
            assert words.startswith(titles[order.words]) or word == "shutdown", word


def test_a_word_for_a_deed_is_about_the_place_where_it_is_typed() -> None:
    """Whoever types :resume at a connection does not mean a mailbox."""
    assert parse_command("resume", (), "platforms").words == "platform.resume"
    assert parse_command("pause", (), "cron").words == "job.pause"
    assert parse_command("resume", (), "mailboxes").words == "mailbox.resume"
    assert parse_command("resume", ()).words == "mailbox.resume"


def test_old_names_of_places_are_understood() -> None:
    """As the operators of other tools say them."""
    assert parse_command("adapters", ()).words == "platforms"
    assert parse_command("pulse", ()).words == "overview"


# -- what was missed


def listed(*senders: object, **changes: object) -> PairingList:
    """An answer of the core."""
    values = {"pairings": senders, "invites": (), "total": len(senders), "problem": "", "seq": Seq(9)}
    return PairingList(**{**values, **changes})  # type: ignore[arg-type]


def test_senders_that_went_while_nobody_listened_are_gone() -> None:
    """And one that came again under its id begins with a first version."""
    rows = GatewayRows()
    rows.load_pairings(listed(pairing("p-1", version=7), pairing("p-2"), invites=(invite("i-1"),)), Changes())
    changes = Changes()
    rows.load_pairings(listed(pairing("p-1", version=1, state=PairingState.ASKED)), changes)
    assert {key: view.version for key, view in rows.pairings.items()} == {"p-1": 1}
    assert rows.invites == {}
    assert changes.pairings == {"p-1", "p-2"}
    assert changes.has_invites


async def test_a_job_that_was_made_again_while_nobody_listened_is_the_new_one() -> None:
    """Its versions begin anew, and the old one is not kept for its higher number."""
    automation = FakeAutomation((), [job("report", version=9, words="the old one")])
    hermes = FakeHermes(automation=automation)
    async with desk(hermes) as seen:
        automation.jobs["report"] = job("report", version=1, words="the new one")
        hermes.lag()
        for _ in range(60):
            await seen.pilot.pause(0.02)
            if seen.app.mirror.work.automation.jobs["report"].version == 1:
                break
        assert seen.app.mirror.work.automation.jobs["report"].words == "the new one"


async def test_more_deliveries_than_are_at_hand_are_counted() -> None:
    """The outboxes know how many wait, and the list does not say that it is all of them."""
    held = [delivery(f"d{number:04}", platform="discord", state=DeliveryState.RETRYING) for number in range(1_000)]
    outboxes = FakeOutboxes([an_outbox("discord", waiting=9_990, dead=10)])
    async with desk(FakeHermes(deliveries=held, outboxes=outboxes)) as seen:
        await seen.press("8")
        assert "1,000 of 10,000" in seen.text


# -- cost


def test_a_filter_that_finds_nothing_is_not_tried_at_every_redraw() -> None:
    """Looking through many rows takes its time; then there is a pause twenty times as long."""
    gate = OrderGate()
    gate.was_sorted(100.0, 0.05)
    assert not gate.may_look(100.9)
    assert gate.may_look(101.1)


async def test_a_long_list_in_which_nothing_fits_is_looked_through_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not with each change of anything."""
    async with desk(door()) as seen:
        await seen.say("pairing nobody")
        view = seen.app.views["pairing"]
        calls: list[int] = []
        monkeypatch.setattr(view, "ordered", lambda: calls.append(1) or [])
        view.gate.was_sorted(seen.clock.at, 1.0)  # type: ignore[attr-defined]
        for _ in range(5):
            seen.clock.at += 0.1
            view.tick()
        assert calls == []


# -- what needs whom


def told(mirror: Mirror, event: Event) -> None:
    """Let the mirror hear of it."""
    mirror.apply(Record(seq=Seq(0), at=0.0, actor=SYSTEM, subject="", event=event, durable=False))


def test_hooks_and_jobs_that_do_not_do_their_work_are_needs() -> None:
    """Broken ones, one that its failures paused, one whose last run failed; none that an operator paused."""
    mirror = Mirror()
    bad = hook("bad", state=HookState.BROKEN, problem="no handler.py")
    tired = hook("tired", state=HookState.PAUSED, failures_in_row=5, last_error="boom", failed=ago(9))
    away = hook("away", state=HookState.PAUSED, paused_by="ana")
    told(mirror, HooksLoaded(hooks=(bad, tired, away, hook("well"))))
    told(mirror, JobChanged(job=job("report", last=job_run(state=JobRunState.FAILED, error="529"))))
    told(mirror, JobChanged(job=job("fine")))
    found = {need.id: need for need in automation_needs(mirror, NOW.mono)}
    assert list(found) == ["hook:bad", "hook:tired", "job:report"]
    assert "no handler.py" in found["hook:bad"].text
    assert "529" in found["job:report"].text
    assert (found["job:report"].place, found["job:report"].argument) == ("cron", "report")


def test_many_of_them_are_a_few_lines() -> None:
    """And how many more there are."""
    mirror = Mirror()
    told(mirror, HooksLoaded(hooks=tuple(hook(f"h{nth}", state=HookState.BROKEN) for nth in range(30))))
    found = list(automation_needs(mirror, NOW.mono))
    assert len(found) == 5
    assert found[-1].subject == "26 more"


def test_an_outbox_whose_messages_are_all_under_way_does_not_say_that_nothing_waits() -> None:
    """Two lines of one pane do not contradict each other."""
    view = an_outbox("telegram", state=OutboxState.SENDING, waiting=1, in_flight=1)
    facts = {label: words for label, words, _ in outbox_facts(view, lambda _mark: 0.0)}
    assert facts["oldest"] == "all that waits is being sent"


async def test_the_audit_can_leave_out_senders() -> None:
    """Where chats are busy, what operators did would be lost among what senders wrote; the core looks for it."""
    hermes = FakeHermes()
    ana, mara = (
        Actor(kind=kind, name=name) for kind, name in ((ActorKind.OPERATOR, "ana"), (ActorKind.SENDER, "mara"))
    )
    hermes.emit(SessionReset(session=session("local:dm:one"), dropped=0, reason="now"), actor=ana)
    hermes.emit(SessionReset(session=session("local:dm:two"), dropped=0, reason="now"), actor=mara)
    async with desk(hermes) as seen:
        await seen.press(*typed("audit"))
        assert "mara" in seen.text
        await seen.press("i")
        await seen.settle()
        assert "operators only" in seen.text
        assert "mara" not in seen.text
        assert "ana" in seen.text
        asked = [query for query in hermes.queries if isinstance(query, ListEvents) and query.actors]
        assert asked[-1].actors == (ActorKind.OPERATOR,)
        await seen.press("i")
        await seen.settle()
        assert "mara" in seen.text


async def test_accounts_of_one_kind_can_be_told_apart() -> None:
    """Their names differ at the end, and the end is what is shown."""
    senders = [pairing(f"p-{end}", platform=f"telegram-support-{end}") for end in ("eu", "us")]
    async with desk(FakeHermes(desk=FakePairings(senders))) as seen:
        await seen.press(*typed("pairing"))
        rows = [line for line in seen.text.splitlines() if "asks" in line]
        assert len(rows) == 2
        assert ("-eu" in rows[0], "-us" in rows[1]) == (True, True)
