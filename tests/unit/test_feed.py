"""The pump between core and mirror: snapshot, stream, loss, and the way back."""

import asyncio
from collections.abc import Callable
from typing import Any, Self

import pytest

from console import feed as feed_module
from console.feed import Feed, LineState
from console.mirror import Mirror
from core.api.base import RunId, Seq, SessionId
from core.api.bindings import ListBindings
from core.api.deliveries import ListDeliveries
from core.api.errors import NotFound, StoreError, Unavailable
from core.api.relay_targets import RelayPause, RelayPaused
from core.api.runs import Phase
from core.api.sessions import ListSessions, MessageQueued, RunOutput, SessionOpened
from tests.support.fake_hermes import FakeHermes, entry, message, session
from tests.support.fake_relay import FakeRelay
from tests.support.views import NOW


class Pump:
    """A feed that runs, and waits for what a test wants to see."""

    def __init__(self, hermes: FakeHermes, *, health_period_s: float = 1e6) -> None:
        self.mirror = Mirror()
        self.hermes = hermes
        self.lines: list[LineState] = []
        self.feed = Feed(
            hermes, self.mirror, mono=lambda: NOW.mono, on_line=self._line, health_period_s=health_period_s
        )

    def _line(self) -> None:
        self.lines.append(self.feed.line.state)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Let the loop turn until it holds."""
        async with asyncio.timeout(10):
            while not holds():  # noqa: ASYNC110 - what is waited for has no event of its own
                await asyncio.sleep(0)

    async def live(self) -> None:
        """Until all pages came and the stream is read."""
        await self.until(lambda: self.feed.line.state is LineState.LIVE and self.hermes.subscriber_count == 1)

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self.feed.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)


@pytest.fixture
def hermes() -> FakeHermes:
    """A core with two sessions."""
    return FakeHermes(sessions=[session("ana"), session("bo")])


async def test_a_snapshot_and_the_stream_make_the_mirror(hermes: FakeHermes):
    """What was there and what comes is in the mirror."""
    async with Pump(hermes) as pump:
        await pump.live()
        assert set(pump.mirror.sessions) == {"local:dm:ana", "local:dm:bo"}
        hermes.emit(SessionOpened(session=session("cy")))
        await pump.until(lambda: "local:dm:cy" in pump.mirror.sessions)


async def test_sessions_come_in_pages_and_are_there_as_they_come(hermes: FakeHermes, monkeypatch: pytest.MonkeyPatch):
    """The first page is on the screen before the last one is asked for."""
    monkeypatch.setattr(feed_module, "PAGE_ROWS", 1)
    async with Pump(hermes) as pump:
        await pump.live()
        asked = [query for query in hermes.queries if isinstance(query, ListSessions)]
        assert [query.limit for query in asked] == [1, 1]
        assert pump.lines[0] is LineState.LOADING
        assert len(pump.mirror.sessions) == 2


async def test_a_reader_that_fell_behind_takes_a_new_snapshot(hermes: FakeHermes, monkeypatch: pytest.MonkeyPatch):
    """What happened meanwhile is in the mirror after it."""
    monkeypatch.setattr(feed_module, "_BACKOFF_S", (0.001,))
    async with Pump(hermes) as pump:
        await pump.live()
        hermes.lag()
        hermes.sessions[SessionId("local:dm:cy")] = session("cy")
        await pump.until(lambda: "local:dm:cy" in pump.mirror.sessions)
        assert LineState.RECONNECTING in pump.lines


async def test_a_lost_core_is_shown_with_the_time_of_the_next_try_and_found_again(hermes: FakeHermes):
    """The data stay, marked with their age; retry_now does not wait for the backoff."""
    async with Pump(hermes) as pump:
        await pump.live()
        hermes.lose()
        await pump.until(lambda: pump.feed.line.state is LineState.RECONNECTING)
        assert pump.feed.line.reason == "the core is gone"
        assert pump.feed.line.retry_at is not None
        assert pump.feed.line.as_of == NOW.mono
        assert len(pump.mirror.sessions) == 2
        hermes.is_closed = False
        pump.feed.retry_now()
        await pump.live()


async def test_a_core_that_is_not_there_at_first_is_tried_again(monkeypatch: pytest.MonkeyPatch):
    """The first question may fail as well."""
    monkeypatch.setattr(feed_module, "_BACKOFF_S", (0.001,))
    hermes = FakeHermes(sessions=[session("ana")])
    hermes.fail_next(Unavailable("not yet"))
    async with Pump(hermes) as pump:
        await pump.live()
        assert pump.lines[0] is LineState.RECONNECTING


async def test_a_question_without_an_answer_is_given_up(hermes: FakeHermes, monkeypatch: pytest.MonkeyPatch):
    """A silent core is a lost one, and is named so."""
    monkeypatch.setattr(feed_module, "QUERY_LIMIT_S", 0.01)
    hermes.hold()
    async with Pump(hermes) as pump:
        await pump.until(lambda: pump.feed.line.state is LineState.RECONNECTING)
        assert "did not answer GetHealth" in pump.feed.line.reason


async def test_a_burst_of_records_lets_others_run(hermes: FakeHermes):
    """Ten thousand records in one go do not keep the loop for themselves: all of them arrive."""
    hermes = FakeHermes(sessions=[session("ana")], buffer_limit=20_000)
    async with Pump(hermes) as pump:
        await pump.live()
        for version in range(2, 10_002):
            hermes.emit(SessionOpened(session=session("ana", version=version)))
        await pump.until(lambda: pump.mirror.seq == 10_000)
        assert pump.mirror.sessions["local:dm:ana"].version == 10_001


async def test_the_watched_session_is_brought_whole(hermes: FakeHermes):
    """Queue, transcript and the answer that is being written."""
    view = session("ana", version=2, phase=Phase.MODEL)
    hermes.emit(SessionOpened(session=view))
    hermes.messages.append(message())
    hermes.entries["local:dm:ana"] = [entry()]
    hermes.live_text[SessionId("local:dm:ana")] = "so far"
    async with Pump(hermes) as pump:
        await pump.live()
        watched = pump.mirror.watch(SessionId("local:dm:ana"))
        assert watched is not None
        pump.feed.ask_watched()
        await pump.until(lambda: watched.is_loaded)
        assert list(watched.messages) == ["message-1"]
        assert list(watched.entries) == ["entry-1"]
        output = RunOutput(session_id=view.id, run_id=RunId("run-1"), offset=6, text=" good")
        hermes.emit(output, durable=False)
        await pump.until(lambda: watched.answer.text == "so far good")


async def test_a_watched_session_that_is_gone_says_so_and_does_not_end_the_feed(hermes: FakeHermes):
    """NotFound is an answer, not a lost line."""
    async with Pump(hermes) as pump:
        await pump.live()
        watched = pump.mirror.watch(SessionId("local:dm:nobody"))
        assert watched is not None
        pump.feed.ask_watched()
        await pump.until(lambda: bool(watched.error))
        assert pump.feed.line.state is LineState.LIVE
        hermes.fail_next(NotFound("gone"))


async def test_the_stream_begins_before_the_pages_are_asked_for(hermes: FakeHermes):
    """A change between two pages cannot be missed."""
    async with Pump(hermes) as pump:
        await pump.until(lambda: any(isinstance(query, ListDeliveries) for query in hermes.queries))
        hermes.emit(MessageQueued(session=session("bo", version=7), message=message()))
        await pump.live()
        await pump.until(lambda: pump.mirror.sessions["local:dm:bo"].version == 7)


async def test_what_still_runs_in_a_pause_of_the_relay_is_asked_for_again(hermes: FakeHermes):
    """No event tells it; nothing is asked while the relay goes on."""
    async with Pump(hermes, health_period_s=0.001) as pump:
        await pump.live()
        hermes.relay.pause = RelayPause(version=2, is_paused=True, sending=3)
        hermes.emit(RelayPaused(pause=hermes.relay.pause))
        await pump.until(lambda: pump.mirror.work.relay.is_paused)
        hermes.relay.pause = RelayPause(version=2, is_paused=True, sending=0)
        await pump.until(lambda: pump.mirror.work.relay.pause == hermes.relay.pause)


async def test_a_relay_that_cannot_be_read_leaves_all_else_where_it_is(hermes: FakeHermes):
    """And is asked again until it can be."""
    relay = BrokenRelay()
    hermes.relay = relay
    async with Pump(hermes, health_period_s=0.001) as pump:
        await pump.live()
        assert set(pump.mirror.sessions) == {"local:dm:ana", "local:dm:bo"}
        assert "the rows are damaged" in pump.mirror.work.relay.error
        relay.is_broken = False
        await pump.until(lambda: pump.mirror.work.relay.is_known)
        assert pump.mirror.work.relay.error == ""


class BrokenRelay(FakeRelay):
    """One whose rows cannot be read."""

    is_broken = True

    def answer(self, query: Any, seq: Seq) -> Any:
        """The error, for what it is asked first."""
        if self.is_broken and isinstance(query, ListBindings):
            raise StoreError("the rows are damaged", path="/x", cause="corrupt", fix="restore a copy")
        return super().answer(query, seq)
