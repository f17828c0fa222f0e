"""When a conversation is over by itself: the rules, and what becomes of the session."""

import asyncio
import time
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.api.base import Mark, SessionId
from core.api.errors import MailboxClosed
from core.api.session_orders import ArchiveSession
from core.api.sessions import ResetCause, SessionReset
from core.days import day_began
from core.gateway.reset import reset_due, reset_words
from core.settings import ResetMode, ResetSettings
from core.store.memory import MemoryStore
from tests.support.chat_rig import PEOPLE, chat, until
from tests.support.clocks import FakeClock
from tests.support.fake_agents import FakeAgents
from tests.support.gateway import SESSION, Gateway, gateway, inbound

PERSON = SessionId(f"{PEOPLE}:dm:8841")
BERLIN = ZoneInfo("Europe/Berlin")
HOUR_S = 3600.0


def at(text: str) -> float:
    """UTC seconds of an hour in Berlin."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


def due(rules: ResetSettings, last: str, now: str) -> ResetCause | None:
    """What becomes of a conversation in which somebody wrote last then."""
    then, present = at(last), at(now)
    return reset_due(rules, Mark(then, then), Mark(present, present), day_began(rules.at_hour, present, BERLIN))


IDLE = ResetSettings(mode=ResetMode.IDLE, idle_s=2 * HOUR_S)
DAILY = ResetSettings(mode=ResetMode.DAILY, at_hour=4)
BOTH = ResetSettings(mode=ResetMode.BOTH, idle_s=2 * HOUR_S, at_hour=4)


@pytest.mark.parametrize(
    ("rules", "last", "now", "cause"),
    [
        (IDLE, "2026-03-01T10:00", "2026-03-01T11:59", None),
        (IDLE, "2026-03-01T10:00", "2026-03-01T12:00", ResetCause.IDLE),
        (IDLE, "2026-03-01T03:59", "2026-03-01T04:01", None),
        (DAILY, "2026-03-01T03:59", "2026-03-01T04:01", ResetCause.DAILY),
        (DAILY, "2026-03-01T04:00", "2026-03-02T03:59", None),
        (DAILY, "2026-02-28T23:00", "2026-03-01T01:00", None),
        (DAILY, "2026-03-28T23:00", "2026-03-29T03:30", None),
        (DAILY, "2026-03-28T23:00", "2026-03-29T04:30", ResetCause.DAILY),
        (BOTH, "2026-03-01T03:59", "2026-03-01T04:01", ResetCause.DAILY),
        (BOTH, "2026-03-01T10:00", "2026-03-01T12:30", ResetCause.IDLE),
        (ResetSettings(), "2020-01-01T00:00", "2026-03-01T12:30", None),
    ],
)
def test_the_rules(rules: ResetSettings, last: str, now: str, cause: ResetCause | None) -> None:
    """Also over the night in which the clocks go forward."""
    assert due(rules, last, now) is cause


@given(st.floats(0, 400 * 86_400), st.floats(0, 400 * 86_400), st.sampled_from([IDLE, DAILY, BOTH]))
def test_a_conversation_that_is_over_stays_over(since_s: float, more_s: float, rules: ResetSettings) -> None:
    """Time alone takes nothing back."""
    last = Mark(1_700_000_000.0, 50.0)

    def later(age_s: float) -> ResetCause | None:
        now = Mark(last.at + age_s, last.mono + age_s)
        return reset_due(rules, last, now, day_began(rules.at_hour, now.at, BERLIN))

    assert later(since_s) is None or later(since_s + more_s) is not None


@given(st.floats(-400 * 86_400, 400 * 86_400))
def test_a_step_of_the_wall_clock_ends_nothing_that_is_idle_for_a_minute(step_s: float) -> None:
    """Ages count on the monotonic clock."""
    last = Mark(1_700_000_000.0, 50.0)
    assert reset_due(IDLE, last, Mark(last.at + step_s, last.mono + 60), 0.0) is None


def test_people_are_told_why() -> None:
    """And how to take the last one up."""
    assert reset_words(ResetCause.IDLE, IDLE).startswith("This is a new conversation: nobody wrote for 2 h.")
    assert "a new day began at 4:00" in reset_words(ResetCause.DAILY, DAILY)
    assert "/resume" in reset_words(ResetCause.IDLE, IDLE)


HOURLY = ResetSettings(mode=ResetMode.IDLE, idle_s=HOUR_S)


async def talked(built: Gateway, text: str, number: int) -> None:
    """One message and its answer."""
    await built.sessions.receive(inbound(text))
    (await built.agents.begun(number)).answer("ok")
    await built.settled()


async def resets(built: Gateway) -> list[ResetCause]:
    """Why the session began anew, each time."""
    return [event.cause for event in await built.events() if isinstance(event, SessionReset)]


async def test_the_first_message_after_a_quiet_time_begins_a_new_conversation() -> None:
    """The agent sees nothing of the last one, its runner is let go, and the event says why."""
    clock = FakeClock()
    async with gateway(clock=clock, reset=HOURLY) as built:
        await talked(built, "one", 1)
        await clock.advance(HOUR_S - 1)
        await talked(built, "two", 2)
        assert [entry.text for entry in built.agents.runs[1].history if entry.text == "one"]
        await clock.advance(HOUR_S)
        await talked(built, "three", 3)
        assert not built.agents.runs[2].history
        assert await resets(built) == [ResetCause.IDLE]
        assert SESSION in built.agents.forgotten


async def test_a_sweep_ends_what_is_over_once() -> None:
    """Nothing is ended in which nothing was said since."""
    clock = FakeClock()
    async with gateway(clock=clock, reset=HOURLY) as built:
        await talked(built, "one", 1)
        assert await built.resets.sweep() == 0
        await clock.advance(HOUR_S)
        assert await built.resets.sweep() == 1
        await clock.advance(10 * HOUR_S)
        assert await built.resets.sweep() == 0
        assert await resets(built) == [ResetCause.IDLE]


async def test_what_is_busy_or_put_away_is_not_over() -> None:
    """A run goes on however long nobody writes."""
    clock = FakeClock()
    async with gateway(clock=clock, reset=HOURLY) as built:
        await talked(built, "one", 1)
        await built.sessions.receive(inbound("two"))
        run = await built.agents.begun(2)
        await clock.advance(2 * HOUR_S)
        assert await built.resets.sweep() == 0
        run.answer("ok")
        await built.sent()
        await built.order(ArchiveSession(session_id=SESSION))
        await clock.advance(2 * HOUR_S)
        assert await built.resets.sweep() == 0


async def test_a_restart_keeps_the_age_of_a_conversation() -> None:
    """Marks of the start before are rebased on the wall clock."""
    store, clock = MemoryStore(), FakeClock()
    async with gateway(store, clock=clock, reset=HOURLY) as built:
        await talked(built, "one", 1)
    await clock.advance(2 * HOUR_S)
    async with gateway(store, boot=2, clock=clock, reset=HOURLY) as built:
        assert await built.resets.sweep() == 1


async def test_connections_may_have_rules_of_their_own() -> None:
    """The default counts where none are named."""
    clock = FakeClock()
    async with gateway(clock=clock, reset_at={"local": IDLE}) as built:
        await talked(built, "one", 1)
        await clock.advance(HOUR_S)
        assert await built.resets.sweep() == 0
        await clock.advance(HOUR_S)
        assert await built.resets.sweep() == 1


async def test_two_who_write_at_once_after_a_quiet_time_begin_one_new_conversation_in_their_order() -> None:
    """Neither finds the old one, and the second does not come first, however long the runner takes to go."""
    clock = FakeClock()
    async with gateway(clock=clock, reset=HOURLY) as built:
        await talked(built, "one", 1)
        await clock.advance(HOUR_S)
        going = asyncio.Event()
        forget = built.agents.forget

        async def slow(session_id: SessionId) -> None:
            await going.wait()
            await forget(session_id)

        built.agents.forget = slow
        async with asyncio.TaskGroup() as group:
            for text in ("two", "three"):
                group.create_task(built.sessions.receive(inbound(text)))
                await asyncio.sleep(0)
            going.set()
        run = await built.agents.begun(2)
        assert [message.text for message in run.messages] == ["two"]
        assert not run.history
        run.answer("ok")
        (await built.agents.begun(3)).answer("ok")
        await built.settled()
        assert await resets(built) == [ResetCause.IDLE]


async def test_people_are_told_when_they_write_and_not_in_the_night(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep wakes nobody; the next message is answered with why, once; also over a restart."""
    clock, store = FakeClock(), MemoryStore()
    async with chat(monkeypatch, store=store, clock=clock, agents=FakeAgents(instant=True), reset=HOURLY) as built:
        await built.say("hello")
        await built.sent(1)
        await until(lambda: built.view(PERSON).lane_holder is None and not built.view(PERSON).unsent)
        await clock.advance(HOUR_S)
        assert await built.resets.sweep() == 1
        assert built.view(PERSON).epoch == 1
        assert len(built.people.sent) == 1
    async with chat(
        monkeypatch, store=store, clock=clock, boot=2, agents=FakeAgents(instant=True), reset=HOURLY
    ) as built:
        await built.say("again")
        await until(lambda: sorted(built.texts) == sorted([reset_words(ResetCause.IDLE, HOURLY), "again"]))
        await built.say("more")
        await until(lambda: built.texts[-1] == "more")
        assert len(built.people.sent) == 3
        assert len(await built.events(SessionReset)) == 1


async def test_an_outbox_that_takes_no_word_of_it_keeps_nobody_from_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The conversation begins anew all the same."""
    clock = FakeClock()
    async with chat(monkeypatch, clock=clock, agents=FakeAgents(instant=True), reset=HOURLY) as built:
        await built.say("hello")
        await built.sent(1)
        await until(lambda: built.view(PERSON).lane_holder is None and not built.view(PERSON).unsent)
        await clock.advance(HOUR_S)

        def closed(*_: object) -> None:
            raise MailboxClosed("the outbox takes nothing", mailbox="outbox.people")

        with monkeypatch.context() as patch:
            patch.setattr(built.deliveries, "post", closed)
            patch.setattr(built.turns, "sends_to", lambda _: False)
            await built.say("again")
            await until(lambda: len(built.agents.runs) == 2)
        assert built.view(PERSON).epoch == 1


@pytest.mark.parametrize(
    ("now", "began"), [("2026-03-29T03:30", "2026-03-28T04:00"), ("2026-10-25T03:30", "2026-10-24T04:00")]
)
def test_the_machines_own_zone_knows_of_summer_time(monkeypatch: pytest.MonkeyPatch, now: str, began: str) -> None:
    """As a named one does, also in the night in which the clocks change."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert day_began(4, at(now), None) == day_began(4, at(now), BERLIN) == at(began)
    finally:
        monkeypatch.undo()
        time.tzset()
