"""Accounts that are connected and hear nothing: found out, shown, connected anew, and nobody else is touched."""

from typing import Any

import pytest

from core.api.base import PlatformName
from core.api.platforms import PlatformDeaf, PlatformDisconnected, PlatformState, ReconnectPlatform
from core.gateway.deafness import ASK_EVERY_S, Hearing, hearing, look_again_s, quiet_limit_s
from core.gateway.platform import PlatformError, PlatformErrorKind
from tests.support.clocks import FakeClock
from tests.support.listeners import Listener, Mute, contested, pass_time, states_of, view_of
from tests.support.outbox import LOCAL, OPERATOR, OTHER, FakePlatform, Outbox, outbox

THIRD = PlatformName("third")
WELL = PlatformState.CONNECTED


def _listeners(clock: FakeClock) -> Any:
    return lambda name, *_: Listener(name, clock)


def listener(built: Outbox, name: PlatformName) -> Listener:
    """The adapter of a connection."""
    found = built.fake(name)
    assert isinstance(found, Listener)
    return found


@pytest.mark.parametrize(
    ("quiet_s", "every_s", "can_ask", "answered", "found"),
    [
        (74.9, 30.0, True, None, Hearing.WELL),
        (75.0, 30.0, True, None, Hearing.ASK),
        (75.0, 30.0, False, None, Hearing.DEAF),
        (75.0, 30.0, True, False, Hearing.DEAF),
        (75.0, 30.0, True, True, Hearing.WELL),
        (105.0, 30.0, True, True, Hearing.DEAF),
        (29.0, 1.0, False, None, Hearing.WELL),
        (1e9, 0.0, False, None, Hearing.WELL),
        (299.0, 0.0, True, None, Hearing.WELL),
        (300.0, 0.0, True, None, Hearing.ASK),
        (300.0, 0.0, True, False, Hearing.DEAF),
        (300.0, 0.0, True, True, Hearing.WELL),
    ],
)
def test_a_silence_means_what_the_accounts_own_interval_says(
    quiet_s: float, every_s: float, can_ask: bool, answered: bool | None, found: Hearing
) -> None:
    """Two and a half intervals put it in doubt; asking decides, and a stream that stays silent is deaf all the same."""
    assert hearing(quiet_s, every_s, can_ask=can_ask, answered=answered) is found


def test_the_next_look_is_when_something_can_be_decided() -> None:
    """Neither before the limit, nor much after it."""
    assert quiet_limit_s(30.0) == 75.0
    assert look_again_s(70.0, 30.0) == 5.0
    assert look_again_s(80.0, 30.0, answered=True) == 25.0
    assert look_again_s(0.0, 0.0) == ASK_EVERY_S
    assert look_again_s(500.0, 30.0) == 0.0


async def test_of_three_accounts_the_black_holed_one_alone_turns_deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says for how long and why; an order to connect it anew leaves the other two connections as they are."""
    clock = FakeClock()
    async with outbox(monkeypatch, clock=clock, create=_listeners(clock), more=(THIRD,)) as built:
        await pass_time(built, 20)
        assert states_of(built) == {LOCAL: WELL, OTHER: WELL, THIRD: WELL}
        listener(built, LOCAL).is_black_holed = True
        before = {view.name: (view.since, view.restart_count) for view in built.platforms.views}
        await pass_time(built, 30)
        assert states_of(built) == {LOCAL: PlatformState.DEAF, OTHER: WELL, THIRD: WELL}
        view = view_of(built, LOCAL)
        assert "nothing heard for 30 s, expected every 10 s; asked: no route to host" in view.last_error
        assert view.next_try is not None
        assert [event.platform.name for event in await built.until(PlatformDeaf)] == [LOCAL]

        listener(built, LOCAL).is_black_holed = False
        await built.platforms.orders.reconnect(ReconnectPlatform(platform=LOCAL), OPERATOR)
        await pass_time(built, 1)
        assert states_of(built) == {LOCAL: WELL, OTHER: WELL, THIRD: WELL}
        after = {view.name: (view.since, view.restart_count) for view in built.platforms.views}
        assert {name: after[name] for name in (OTHER, THIRD)} == {name: before[name] for name in (OTHER, THIRD)}
        assert after[LOCAL][1] == before[LOCAL][1] + 1
        assert [listener(built, name).run_count for name in (OTHER, THIRD)] == [1, 1]


async def test_a_deaf_account_is_connected_anew_by_itself_with_growing_patience(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each try that hears nothing is followed by a longer wait, and the first that hears ends it."""
    clock = FakeClock()
    async with outbox(monkeypatch, clock=clock, create=_listeners(clock)) as built:
        deaf = listener(built, LOCAL)
        await pass_time(built, 5)
        deaf.is_black_holed = True
        waits: list[float] = []
        for tries in (2, 3, 4):
            while view_of(built, LOCAL).next_try is None:
                await pass_time(built, 1)
            due = view_of(built, LOCAL).next_try
            assert due is not None
            waits.append(round(due.mono - clock.monotonic()))
            assert view_of(built, LOCAL).failures == tries - 1
            while deaf.run_count < tries:
                await pass_time(built, 1)
            assert view_of(built, LOCAL).state is PlatformState.DEAF
        assert waits == sorted(set(waits))
        deaf.is_black_holed = False
        while view_of(built, LOCAL).state is not WELL:
            await pass_time(built, 1)
        assert listener(built, OTHER).run_count == 1


async def test_an_account_that_answers_and_streams_nothing_is_deaf_an_interval_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Half open: what is asked on a new line says nothing about the old one."""
    clock = FakeClock()
    async with outbox(monkeypatch, clock=clock, create=_listeners(clock)) as built:
        half = listener(built, LOCAL)
        await pass_time(built, 1)
        half.is_half_open = True
        await pass_time(built, 31)
        assert half.probe_count == 1
        view = view_of(built, LOCAL)
        assert view.state is WELL
        assert view.probe is not None
        assert view.probe.latency_s == 0.0
        await pass_time(built, 11)
        view = view_of(built, LOCAL)
        assert view.state is PlatformState.DEAF
        assert "it answers, but its stream is silent" in view.last_error


async def test_an_account_is_not_deaf_while_a_message_of_it_is_being_dealt_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The adapter cannot poll meanwhile."""
    clock = FakeClock()
    async with outbox(monkeypatch, clock=clock, create=_listeners(clock)) as built:
        await pass_time(built, 1)
        listener(built, LOCAL).is_half_open = True
        link = built.platforms._links[LOCAL]
        link.busy_count += 1
        await pass_time(built, 120)
        assert view_of(built, LOCAL).state is WELL
        link.busy_count -= 1
        await pass_time(built, 80)
        assert view_of(built, LOCAL).state is PlatformState.DEAF


async def test_a_core_that_slept_itself_calls_nobody_deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a long stall the account gets all of its time again."""
    clock = FakeClock()
    async with outbox(monkeypatch, clock=clock, create=_listeners(clock)) as built:
        await pass_time(built, 1)
        await clock.advance(600.0)
        await pass_time(built, 3)
        assert states_of(built) == {LOCAL: WELL, OTHER: WELL}
        assert listener(built, LOCAL).probe_count == 0


async def test_an_account_without_signs_is_asked_from_time_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the platform calls us: it is deaf when it does not answer, and never because nobody writes."""
    async with outbox(monkeypatch, create=lambda name, *_: Mute(name)) as built:
        mute = built.fake(LOCAL)
        assert isinstance(mute, Mute)
        await pass_time(built, 700)
        assert view_of(built, LOCAL).state is WELL
        mute.error = "the webhook was removed"
        await pass_time(built, 302)
        (deaf,) = await built.until(PlatformDeaf)
        assert "nothing heard for 300 s; asked: the webhook was removed" in deaf.platform.last_error


async def test_an_account_that_says_nothing_about_itself_is_never_deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can know."""
    async with outbox(monkeypatch, create=lambda name, *_: FakePlatform(name)) as built:
        await pass_time(built, 1)
        await built.clock.advance(1_000_000.0)
        assert states_of(built) == {LOCAL: WELL, OTHER: WELL}


async def test_a_deaf_account_that_then_cannot_connect_says_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest reason is shown."""
    clock = FakeClock()
    async with outbox(monkeypatch, clock=clock, create=_listeners(clock)) as built:
        await pass_time(built, 1)
        deaf = listener(built, LOCAL)
        deaf.is_black_holed = True

        def refuse(_: object) -> None:
            raise PlatformError(PlatformErrorKind.RETRY_AFTER, "connection refused")

        deaf.runs.extend([refuse] * 20)
        await pass_time(built, 40)
        view = view_of(built, LOCAL)
        assert (view.state, view.last_error) == (PlatformState.DOWN, "connection refused")


async def test_two_readers_of_one_account_are_a_conflict_and_never_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take turns with growing patience; the account counts as connected once it was alone for a minute."""
    clock = FakeClock()

    def create(name: PlatformName, *_: object) -> Listener:
        return Listener(name, clock)

    async with outbox(monkeypatch, clock=clock, create=create) as built:
        await pass_time(built, 5)
        mine = listener(built, LOCAL)

        def taken(_: object) -> None:
            raise contested()

        mine.runs.append(taken)
        await built.platforms.orders.reconnect(ReconnectPlatform(platform=LOCAL), OPERATOR)
        await pass_time(built, 1)
        view = view_of(built, LOCAL)
        assert view.state is PlatformState.CONFLICT
        assert view.last_error == "identity conflict: another program reads"
        since = view.since
        assert [event.platform.state for event in await built.until(PlatformDisconnected)] == [PlatformState.CONFLICT]
        await pass_time(built, 31)
        assert mine.run_count == 3
        view = view_of(built, LOCAL)
        assert (view.state, view.since) == (PlatformState.CONFLICT, since)
        assert "it reads again" in view.last_error
        await pass_time(built, 60)
        assert view_of(built, LOCAL).state is WELL
        assert view_of(built, OTHER).restart_count == 0


async def test_each_conflict_in_a_row_is_given_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty seconds, then twice that; a holder that is known is looked after at its own pace."""
    clock = FakeClock()

    def taken(_: object) -> None:
        raise contested()

    def held(_: object) -> None:
        raise contested("process 7 of /home/ana")

    def create(name: PlatformName, *_: object) -> Listener:
        made = Listener(name, clock)
        made.runs.extend([taken if name == LOCAL else held] * 8)
        return made

    async with outbox(monkeypatch, clock=clock, create=create) as built:
        await pass_time(built, 1 + 30 + 60 + 120 + 2)
        assert listener(built, LOCAL).run_count == 4
        assert listener(built, OTHER).run_count == 8
