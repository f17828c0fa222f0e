"""What an operator does with one connection: pause, resume, connect anew, ask."""

import asyncio
from typing import Any

import pytest

from core.api.base import MessageId, PlatformName, SessionId
from core.api.errors import ConfigError, ConflictError, NotFound, Refused, StoreError, Unavailable
from core.api.outboxes import OutboxState
from core.api.platforms import (
    PausePlatform,
    PlatformConnected,
    PlatformPaused,
    PlatformProbed,
    PlatformReconnecting,
    PlatformResumed,
    PlatformState,
    ProbePlatform,
    ReconnectPlatform,
    ResumePlatform,
)
from core.api.sessions import ChatKind, Source
from core.gateway.platform import Accepted, Inbound, PlatformError, PlatformErrorKind
from core.store.base import Put
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock
from tests.support.listeners import Listener, pass_time, states_of, view_of
from tests.support.outbox import LOCAL, OPERATOR, OTHER, FakeInbox, FakePlatform, FullStore, Outbox, outbox, texts_of


def message(text: str = "hello") -> Inbound:
    """A message from bo."""
    source = Source(platform=LOCAL, kind=ChatKind.DM, chat="8841")
    return Inbound(platform=LOCAL, source=source, sender_id="bo", sender_name="Bo", text=text)


async def order(built: Outbox, command: Any) -> Any:
    """Carry an order out as ana."""
    return await built.platforms.orders.commands[type(command)](command, OPERATOR)


async def test_a_paused_connection_takes_nothing_in_and_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to be sent waits in its outbox, uncounted, and goes out after the pause; the other one goes on."""
    async with outbox(monkeypatch) as built:
        await built.until(PlatformConnected, 2)
        view = await order(built, PausePlatform(platform=LOCAL, reason="moving the server"))
        assert (view.state, view.pause.by, view.pause.reason) == (PlatformState.PAUSED, "ana", "moving the server")
        inbox = built.fake().inbox
        assert inbox is not None
        with pytest.raises(Unavailable):
            await inbox.receive(message())
        assert built.inbox.received == []

        await built.answer("one")
        await built.answer("two", platform=OTHER)
        await pass_time(built, 5)
        assert (await texts_of(built), await texts_of(built, OTHER)) == ([], ["two"])
        assert built.fake().attempts == []
        account = built.accounts.view(LOCAL)
        assert (account.state, account.waiting) == (OutboxState.PAUSED, 1)
        assert account.why == "the connection is paused by ana: moving the server"
        assert built.platforms.unpaused(LOCAL) is None
        assert built.platforms.unpaused(OTHER) is built.fake(OTHER)

        await order(built, ResumePlatform(platform=LOCAL))
        await pass_time(built, 2)
        assert await texts_of(built) == ["one"]
        assert states_of(built) == {LOCAL: PlatformState.CONNECTED, OTHER: PlatformState.CONNECTED}
        assert (built.fake().run_count, built.fake(OTHER).run_count) == (2, 1)
        kinds = [type(event) for event in await built.events()]
        assert (kinds.count(PlatformPaused), kinds.count(PlatformResumed)) == (1, 1)


async def test_a_pause_outlasts_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who, why and since when are still known; nothing connects before it is resumed."""
    store = MemoryStore()
    async with outbox(monkeypatch, store=store) as built:
        await built.until(PlatformConnected, 2)
        before = (await order(built, PausePlatform(platform=LOCAL, reason="spam"))).pause
    async with outbox(monkeypatch, store=store) as built:
        await pass_time(built, 2)
        view = view_of(built, LOCAL)
        assert (view.state, view.pause) == (PlatformState.PAUSED, before)
        assert built.fake().run_count == 0
        assert built.platforms.limits(LOCAL) is not None
        await built.answer("later")
        await pass_time(built, 2)
        assert await texts_of(built) == []
        await order(built, ResumePlatform(platform=LOCAL))
        await pass_time(built, 2)
        assert await texts_of(built) == ["later"]
    async with outbox(monkeypatch, store=store) as built:
        await pass_time(built, 1)
        assert view_of(built, LOCAL).state is PlatformState.CONNECTED


async def test_a_stored_pause_that_cannot_be_read_pauses_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wrote it meant to."""
    store = MemoryStore()
    async with outbox(monkeypatch, store=store, start=False) as built:
        await built.journal.commit([Put("pause/local", b"{")], [])
        await built.platforms.start()
        await pass_time(built, 1)
        assert view_of(built, LOCAL).state is PlatformState.PAUSED


async def test_a_pause_that_cannot_be_stored_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection stands as before; the same for its end."""
    store = FullStore()
    async with outbox(monkeypatch, store=store) as built:
        await built.until(PlatformConnected, 2)
        store.is_full = True
        with pytest.raises(StoreError):
            await order(built, PausePlatform(platform=LOCAL))
        view = view_of(built, LOCAL)
        assert (view.state, view.pause, built.fake().run_count) == (PlatformState.CONNECTED, None, 1)
        store.is_full = False
        await order(built, PausePlatform(platform=LOCAL))
        store.is_full = True
        with pytest.raises(StoreError):
            await order(built, ResumePlatform(platform=LOCAL))
        store.is_full = False
        assert view_of(built, LOCAL).state is PlatformState.PAUSED
        assert built.platforms.paused_why(LOCAL)


async def test_an_order_that_does_not_fit_is_refused_and_names_who_was_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing happens then."""
    async with outbox(monkeypatch) as built:
        await built.until(PlatformConnected, 2)
        with pytest.raises(ConflictError, match="not paused"):
            await order(built, ResumePlatform(platform=LOCAL))
        await order(built, PausePlatform(platform=LOCAL))
        with pytest.raises(ConflictError, match="already, by ana"):
            await order(built, PausePlatform(platform=LOCAL, reason="other"))
        with pytest.raises(ConflictError, match="paused by ana"):
            await order(built, ReconnectPlatform(platform=LOCAL))
        with pytest.raises(NotFound, match="did you mean local"):
            await order(built, PausePlatform(platform=PlatformName("loca")))
        with pytest.raises(Refused, match="cannot be asked"):
            await order(built, ProbePlatform(platform=OTHER))
        await built.platforms.stop_intake()
        with pytest.raises(Unavailable, match="is off"):
            await order(built, ResumePlatform(platform=LOCAL))
        assert states_of(built) == {LOCAL: PlatformState.OFF, OTHER: PlatformState.OFF}


async def test_an_order_to_connect_anew_does_not_wait_for_the_next_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """The countdown is cut short, the count of failures begins anew, and the journal says who did it."""

    def fail(_: object) -> None:
        raise PlatformError(PlatformErrorKind.UNAUTHORISED, "bad token")

    def create(name: PlatformName, *_: object) -> FakePlatform:
        made = FakePlatform(name)
        made.runs.extend([fail] if name == LOCAL else [])
        return made

    async with outbox(monkeypatch, create=create) as built:
        await pass_time(built, 1)
        view = view_of(built, LOCAL)
        assert (view.state, view.failures) == (PlatformState.DOWN, 1)
        assert view.next_try is not None
        assert view.next_try.mono - view.since.mono == 300.0
        await order(built, ReconnectPlatform(platform=LOCAL))
        await pass_time(built, 1)
        view = view_of(built, LOCAL)
        assert (view.state, view.failures, view.next_try, view.restart_count) == (
            PlatformState.CONNECTED,
            0,
            None,
            1,
        )
        records = [item for item in await built.journal.read(limit=50) if isinstance(item.event, PlatformReconnecting)]
        assert [(item.subject, item.actor) for item in records] == [(str(LOCAL), OPERATOR)]


async def test_a_connection_that_could_not_be_built_is_built_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """An order is the way to try again after what kept it from being built is mended."""
    faults = [ConfigError("the token is missing", key="token"), ConfigError("the token is still missing", key="token")]

    def create(name: PlatformName, *_: object) -> FakePlatform:
        if name == LOCAL and faults:
            raise faults.pop(0)
        return FakePlatform(name)

    async with outbox(monkeypatch, create=create) as built:
        view = await order(built, ReconnectPlatform(platform=LOCAL))
        assert (view.state, view.last_error) == (PlatformState.DOWN, "the token is still missing")
        await order(built, ReconnectPlatform(platform=LOCAL))
        await pass_time(built, 1)
        assert view_of(built, LOCAL).state is PlatformState.CONNECTED


async def test_an_adapter_that_does_not_let_go_is_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order returns, the row says what holds it up, and no second one runs beside the first."""
    monkeypatch.setattr("core.gateway.platform_orders.LET_GO_S", 0.05)
    release = asyncio.Event()

    class Stubborn(FakePlatform):
        async def run(self, inbox: Any) -> None:
            try:
                await super().run(inbox)
            finally:
                await release.wait()

    async with outbox(monkeypatch, create=lambda name, *_: Stubborn(name)) as built:
        try:
            await built.until(PlatformConnected, 2)
            view = await order(built, ReconnectPlatform(platform=LOCAL))
            assert view.state is PlatformState.CONNECTING
            assert "has not let go" in view.last_error
            await pass_time(built, 5)
            assert built.fake().run_count == 1
            view = await order(built, PausePlatform(platform=LOCAL))
            assert view.state is PlatformState.PAUSED
        finally:
            release.set()
        await pass_time(built, 2)
        assert built.fake().run_count == 1
        assert view_of(built, LOCAL).state is PlatformState.PAUSED


async def test_an_adapter_that_answers_its_end_with_an_error_ends_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not tried again beside the order."""

    class Loud(FakePlatform):
        async def run(self, inbox: Any) -> None:
            try:
                await super().run(inbox)
            except asyncio.CancelledError:
                raise PlatformError(PlatformErrorKind.RETRY_AFTER, "the socket was closed") from None

    async with outbox(monkeypatch, create=lambda name, *_: Loud(name)) as built:
        await built.until(PlatformConnected, 2)
        view = await order(built, PausePlatform(platform=LOCAL))
        assert (view.state, view.last_error) == (PlatformState.PAUSED, "")
        await pass_time(built, 5)
        assert built.fake().run_count == 1


async def test_a_probe_says_how_long_the_answer_took_or_what_went_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """It changes no state; the journal says who asked."""
    clock = FakeClock()
    async with outbox(monkeypatch, clock=clock, create=lambda name, *_: Listener(name, clock)) as built:
        await pass_time(built, 1)
        view = await order(built, ProbePlatform(platform=LOCAL))
        assert (view.can_probe, view.probe.latency_s, view.probe.error) == (True, 0.0, "")
        fake = built.fake()
        assert isinstance(fake, Listener)
        fake.probe_faults.extend([PlatformError(PlatformErrorKind.UNAUTHORISED, "token revoked"), ValueError("t=1")])
        view = await order(built, ProbePlatform(platform=LOCAL))
        assert (view.state, view.probe.latency_s, view.probe.error) == (
            PlatformState.CONNECTED,
            None,
            "token revoked",
        )
        view = await order(built, ProbePlatform(platform=LOCAL))
        assert view.probe.error == "the adapter failed with ValueError"
        assert [type(event) for event in await built.events()].count(PlatformProbed) == 3


async def test_a_probe_that_hangs_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline is the answer."""
    monkeypatch.setattr("core.gateway.connections.PROBE_LIMIT_S", 0.05)
    clock = FakeClock()

    class Hanging(Listener):
        async def probe(self) -> None:
            await asyncio.Event().wait()

    async with outbox(monkeypatch, clock=clock, create=lambda name, *_: Hanging(name, clock)) as built:
        await pass_time(built, 1)
        view = await order(built, ProbePlatform(platform=LOCAL))
        assert view.probe.error == "no answer within 0.05 s"


async def test_a_message_that_comes_again_is_counted_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no new message, and no silence either."""

    class Known(FakeInbox):
        async def receive(self, inbound: Inbound, *, follow: bool = False) -> Accepted:
            _ = inbound, follow
            return Accepted(session_id=SessionId("x"), message_id=MessageId("m"), position=0, is_duplicate=True)

    async with outbox(monkeypatch) as built:
        await built.until(PlatformConnected, 2)
        built.inbox = Known()
        await order(built, ReconnectPlatform(platform=LOCAL))
        await pass_time(built, 1)
        inbox = built.fake().inbox
        assert inbox is not None
        for _ in range(20):
            await inbox.receive(message())
        view = view_of(built, LOCAL)
        assert (view.duplicate_count, view.inbound_count, view.inbound) == (20, 0, None)
        assert view.heard is not None


async def test_views_name_the_account_and_what_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the adapter said who it is; the backlog is asked for."""
    clock = FakeClock()
    async with outbox(monkeypatch, clock=clock, create=lambda name, *_: Listener(name, clock)) as built:
        built.platforms.connections.backlog_of = lambda name: 7 if name == LOCAL else 0
        await pass_time(built, 1)
        view = view_of(built, LOCAL)
        assert (view.identity, view.backlog, view.heard_every_s, view.quiet_limit_s) == ("@local", 7, 10.0, 30.0)
