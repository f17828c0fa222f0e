"""When a message is sent again, asked for, given up; what is due at some time; what mailboxes and ids are called."""

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.api.base import Mark
from core.api.bindings import Bot
from core.api.relay_tasks import AttemptResult, RelayDirection, RelayReason, RelayState, RelayTaskId, Trigger
from core.ids import IdSource, is_timed_uuid, uuid_at, uuid_floor
from core.mailbox.policy_check import check_name
from core.relay.mail_names import RELAY_MAIL, mailbox_of
from core.relay.plan import (
    ASKED_CAP_S,
    Again,
    Over,
    after_attempt,
    asked_s,
    most_attempts,
    next_wait_s,
    poll_s,
    trigger_of,
)
from core.relay.task import RelayTask
from core.relay.timers import Timers
from core.relay.wire import Reply, Trail
from core.relay_settings import RelaySettings
from tests.support.clocks import FakeClock
from tests.support.journals import until_idle

_RULES = RelaySettings()
_NOW = Mark(1_700_000_000.0, 1_000.0)
_CHANCE = st.floats(0.0, 0.999)


def _task(tried: int = 0, rounds: int = 0) -> RelayTask:
    return RelayTask(
        id=RelayTaskId("t"),
        wire_id="t",
        direction=RelayDirection.OUT,
        state=RelayState.SENDING,
        text="hello",
        created=_NOW,
        trail=Trail(conversation="t"),
        bot=Bot(name="bot", url="http://10.0.0.7"),
        tried=tried,
        round=rounds,
    )


def test_the_first_attempts_are_at_nought_one_three_and_seven_seconds() -> None:
    """Without chance the waits are one, two and four, and then the schedule's."""
    waits = [next_wait_s(tried, _RULES, lambda: 0.0) for tried in range(most_attempts(_RULES) + 1)]
    assert list(itertools.accumulate(wait for wait in waits[:4] if wait is not None)) == [0.0, 1.0, 3.0, 7.0]
    assert tuple(waits[4:10]) == _RULES.schedule_s
    assert waits[10] is None


@given(chances=st.lists(_CHANCE, min_size=3, max_size=3))
def test_chance_spreads_waits_and_keeps_their_order(chances: list[float]) -> None:
    """A later wait is never shorter than an earlier one, and none is longer than it is configured."""
    left = iter(chances)
    waits = [next_wait_s(tried, _RULES, lambda: next(left)) or 0.0 for tried in (1, 2, 3)]
    assert waits == sorted(waits)
    assert all(0.5 * most <= wait <= most for wait, most in zip(waits, _RULES.retries_s, strict=True))


@given(result=st.sampled_from(AttemptResult), status=st.integers(0, 599), tried=st.integers(1, 12), chance=_CHANCE)
def test_every_reply_leads_to_another_try_or_to_an_end_with_a_reason(
    result: AttemptResult, status: int, tried: int, chance: float
) -> None:
    """What was not delivered, or may not have been, is tried again while the plan lasts; a refusal is final."""
    if result is AttemptResult.DELIVERED:
        return
    reply = Reply(result=result, status=status, error="no")
    verdict = after_attempt(_task(tried), reply, _RULES, _NOW, lambda: chance)
    if result is AttemptResult.CUT_OFF:
        assert verdict == Again(0.0)
    elif result is AttemptResult.REFUSED or tried >= most_attempts(_RULES):
        assert isinstance(verdict, Over)
        assert verdict.reason is not RelayReason.NONE
    else:
        assert isinstance(verdict, Again)


def test_a_rule_of_our_own_is_called_policy_and_a_far_side_that_is_gone_refused() -> None:
    """Neither is tried again."""
    ours = after_attempt(_task(1), Reply(result=AttemptResult.REFUSED), _RULES, _NOW, lambda: 0.5)
    gone = after_attempt(
        _task(1), Reply(result=AttemptResult.REFUSED, status=410, is_gone=True), _RULES, _NOW, lambda: 0.5
    )
    assert (isinstance(ours, Over) and ours.reason, isinstance(gone, Over) and gone.reason) == (
        RelayReason.POLICY,
        RelayReason.REFUSED,
    )


@pytest.mark.parametrize(
    ("asked", "wait"),
    [(None, 0.0), (-1.0, 0.0), (float("nan"), 0.0), (float("inf"), 0.0), (30.0, 30.0), (1e9, ASKED_CAP_S)],
)
def test_what_a_far_side_asks_for_is_honoured_within_reason(asked: float | None, wait: float) -> None:
    """No number of a far side puts a message off for ever."""
    assert asked_s(Reply(result=AttemptResult.UNDELIVERED, retry_after_s=asked)) == wait


def test_nothing_is_planned_beyond_the_deadline() -> None:
    """A message whose next attempt would come too late is given up at once."""
    rules = RelaySettings(retries_s=(100.0,), deadline_s=50.0)
    verdict = after_attempt(_task(1), Reply(result=AttemptResult.UNDELIVERED), rules, _NOW, lambda: 0.0)
    assert isinstance(verdict, Over)
    assert "50 s" in verdict.error


def test_each_attempt_says_why_it_is_made() -> None:
    """First, repeats, schedule; and the first of a replay."""
    assert [trigger_of(_task(tried), _RULES) for tried in (0, 1, 3, 4)] == [
        Trigger.FIRST,
        Trigger.RETRY,
        Trigger.RETRY,
        Trigger.SCHEDULE,
    ]
    assert trigger_of(_task(rounds=1), _RULES) is Trigger.REPLAY


@given(count=st.integers(0, 10_000), chance=_CHANCE)
def test_answers_are_asked_for_between_once_a_second_and_once_a_minute(count: int, chance: float) -> None:
    """However often it was asked."""
    assert 0.6 <= poll_s(count, lambda: chance) <= 60.0


@given(st.lists(st.text(min_size=1, max_size=300), min_size=2, max_size=2, unique=True))
def test_every_origin_has_a_mailbox_of_its_own_with_a_name_that_can_be(hosts: list[str]) -> None:
    """Whatever stands in the origin."""
    names = [mailbox_of(f"http://{host}") for host in hosts]
    for name in names:
        check_name(name)
        assert name.startswith(RELAY_MAIL)
    assert names[0] != names[1]


def test_the_mailbox_of_a_usual_origin_can_be_read() -> None:
    """Operators see whose it is."""
    assert mailbox_of("https://bots.example.org:8443") == "relay.https.bots.example.org_8443"
    assert mailbox_of("http://[::1]:80") != mailbox_of("http://[::1]:81")


@given(steps=st.lists(st.floats(-5.0, 5.0), max_size=30))
def test_the_uuids_sort_by_time_also_when_the_clock_goes_back(steps: list[float]) -> None:
    """Each is greater than all before it, and has the form of version 7."""
    clock = FakeClock()
    ids = IdSource(clock)
    made = [ids.new_uuid()]
    for step in steps:
        clock.jump(step)
        made.append(ids.new_uuid())
    assert made == sorted(set(made))
    assert all(is_timed_uuid(each) for each in made)


def test_a_uuid_says_when_it_was_made() -> None:
    """To the millisecond, and the floor of a time sorts before all that were made then."""
    clock = FakeClock(now=1_700_000_000.25)
    made = IdSource(clock).new_uuid()
    assert uuid_at(made) == 1_700_000_000.25
    assert uuid_floor(1_700_000_000.25) < made < uuid_floor(1_700_000_000.252)
    assert not is_timed_uuid("a44ce541-edaa-44fa-915c-c1dbfd9ea2e4")


async def test_what_is_due_is_called_in_its_order_and_what_was_dropped_is_not() -> None:
    """Set again, only the new time counts; what is set while it waits may come first."""
    clock, called = FakeClock(), list[str]()
    timers = Timers(clock, called.append)
    runner = asyncio.ensure_future(timers.run())
    await until_idle()
    for key, after_s in (("c", 30.0), ("a", 10.0), ("gone", 15.0), ("moved", 5.0)):
        timers.set(key, clock.monotonic() + after_s)
    timers.set("moved", clock.monotonic() + 20.0)
    timers.drop("gone")
    await until_idle()
    await clock.advance(12.0)
    assert called == ["a"]
    await clock.advance(30.0)
    assert called == ["a", "moved", "c"]
    assert len(timers) == 0
    runner.cancel()


async def test_timers_that_are_set_again_and_again_take_no_room() -> None:
    """What is out of date is forgotten."""
    clock = FakeClock()
    timers = Timers(clock, lambda _: None)
    for number in range(20_000):
        timers.set("one", clock.monotonic() + number)
    assert len(timers._heap) < 2_000
