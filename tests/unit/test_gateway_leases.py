"""Who may write to a session: one run at a time, by a token that only grows; operators free what is stuck."""

import asyncio

import msgspec
import pytest

from core.api.base import AgentName, Mark, RunId
from core.api.errors import ConflictError, Refused
from core.api.runs import (
    RunLogged,
    RunnerState,
    RunnerView,
    Stop,
    TextDelta,
    ToolCall,
    ToolReported,
    ToolStatus,
    TurnEnded,
)
from core.api.session_orders import LeaseReleased, ReleaseLease
from core.api.sessions import RunEnded, RunStarted, SessionView
from core.api.system import AlarmRaised
from core.api.transcripts import ReadTranscript
from core.gateway import rows
from core.lease import RENEW_EVERY_S
from core.store.base import Row
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock
from tests.support.fake_agents import FakeAgents, FakeRun
from tests.support.gateway import SESSION, Gateway, gateway, inbound


class SlowStore(MemoryStore):
    """A store that tells what stands in a transcript only once it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_scan = asyncio.Event()

    async def scan(
        self, prefix: str, *, after: str = "", limit: int | None = None, newest_first: bool = False
    ) -> list[Row]:
        """Wait before entries are told."""
        if prefix.startswith("entry/"):
            await self.may_scan.wait()
        return await super().scan(prefix, after=after, limit=limit, newest_first=newest_first)


async def busy(built: Gateway) -> FakeRun:
    """A session whose run goes on and has reported something."""
    await built.sessions.receive(inbound("one"))
    return await built.agents.begun(1)


async def view_of(built: Gateway) -> SessionView:
    """The session as it is in memory."""
    return built.lanes.view(await built.lanes.existing(SESSION))


async def said(built: Gateway) -> list[str]:
    """The transcript."""
    page = await built.inspection.read_transcript(ReadTranscript(session_id=SESSION))
    return [entry.text for entry in page.entries]


async def test_a_run_holds_the_lease_from_its_beginning_to_its_end() -> None:
    """It stands in the event that tells of the beginning, and the token is kept when the lease is not."""
    async with gateway() as built:
        run = await busy(built)
        (started,) = await built.until(RunStarted)
        assert isinstance(started, RunStarted)
        lease = started.session.lease
        assert lease is not None
        assert (lease.boot, lease.run_id, lease.token) == (1, run.run_id, 1)
        run.answer("ok")
        (ended,) = await built.until(RunEnded)
        assert isinstance(ended, RunEnded)
        assert (ended.session.lease, ended.session.lease_token) == (None, 1)


async def test_tokens_do_not_repeat_over_turns_and_restarts() -> None:
    """Each run has the next one, whichever core it is in."""
    store = MemoryStore()
    found: list[int] = []
    for boot in (1, 2, 3):
        async with gateway(store, boot=boot) as built:
            await built.restart.recover()
            await built.restart.resume()
            await built.sessions.receive(inbound("hi"))
            await built.agents.begun(1)
            lease = (await view_of(built)).lease
            assert lease is not None
            assert lease.boot == boot
            found.append(lease.token)
    assert found == [1, 2, 3]


async def test_a_lease_is_renewed_while_the_runtime_has_the_run() -> None:
    """Every ten seconds, in memory; one whose run the runtime lost grows old."""
    clock = FakeClock()
    async with gateway(clock=clock) as built:
        run = await busy(built)
        built.supervisor.start("leases", built.orders.leases.run)
        await clock.advance(0)
        await clock.advance(RENEW_EVERY_S)
        lease = (await view_of(built)).lease
        assert lease is not None
        assert lease.renewed.mono == clock.monotonic() == lease.since.mono + RENEW_EVERY_S
        built.agents.lost.add(run.run_id)
        await clock.advance(RENEW_EVERY_S)
        old = (await view_of(built)).lease
        assert old == lease
        run.answer("ok")
        await built.until(RunEnded)


async def test_a_holder_that_is_gone_is_released_and_the_queue_goes_on() -> None:
    """Its run is closed as died, with what it wrote; the next message is answered."""
    async with gateway() as built:
        run = await busy(built)
        run.report(TextDelta(text="half"))
        await built.sessions.receive(inbound("two"))
        built.agents.lost.add(run.run_id)
        receipt = await built.order(ReleaseLease(session_id=SESSION, run_id=run.run_id, reason="stuck"))
        assert (receipt.run_id, receipt.is_released) == (run.run_id, True)
        assert "no such run" in receipt.why
        (ended,) = await built.until(RunEnded)
        assert isinstance(ended, RunEnded)
        assert (ended.outcome.stop, ended.outcome.code) == (Stop.DIED, "lease_released")
        (released,) = await built.until(LeaseReleased)
        assert isinstance(released, LeaseReleased)
        assert (released.is_forced, released.reason) == (False, "stuck")
        second = await built.agents.begun(2)
        assert second.messages[0].text == "two"
        second.answer("ok")
        run.answer("too late")
        await built.until(RunEnded, 2)
        await built.settled()
        assert "too late" not in await said(built)


async def test_a_living_holder_is_put_out_by_force_only_and_its_late_writes_are_refused() -> None:
    """It is told to stop; whatever it still reports changes nothing, is counted, and told once."""
    agents = FakeAgents()
    agents.obeys = False
    async with gateway(agents=agents) as built:
        run = await busy(built)
        with pytest.raises(Refused):
            await built.order(ReleaseLease(session_id=SESSION))
        alarms: list[AlarmRaised] = []
        built.journal.on_record(
            lambda record: alarms.append(record.event) if isinstance(record.event, AlarmRaised) else None
        )
        receipt = await built.order(ReleaseLease(session_id=SESSION, is_forced=True))
        assert receipt.is_released
        await built.settled_but_runs()
        assert run.reason is not None
        await built.sessions.receive(inbound("two"))
        second = await built.agents.begun(2)
        before = await said(built)
        call = ToolCall(id="t", title="rm", status=ToolStatus.COMPLETED)
        run.report(
            TextDelta(text="late"), ToolReported(call=call), RunLogged(level="error", text="late"),
            TurnEnded(stop=Stop.END_TURN),
        )  # fmt: skip
        while built.lanes.late_count < 4:  # noqa: ASYNC110 - a refused write has no event of its own
            await asyncio.sleep(0)
        assert await said(built) == before
        assert [alarm.what for alarm in alarms] == [f"run {run.run_id}"]
        lease = (await view_of(built)).lease
        assert lease is not None
        # The one between was nobody's.
        assert (lease.run_id, lease.token) == (second.run_id, 3)
        second.answer("in time")
        await built.until(RunEnded, 2)
        await built.settled()
        assert (await said(built))[-1] == "in time"


async def test_a_lease_of_another_run_than_the_one_seen_is_left_alone() -> None:
    """The operator is told; a free session is free already."""
    async with gateway() as built:
        run = await busy(built)
        with pytest.raises(ConflictError):
            await built.order(ReleaseLease(session_id=SESSION, run_id=RunId("other"), is_forced=True))
        run.answer("ok")
        await built.until(RunEnded)
        await built.settled()
        receipt = await built.order(ReleaseLease(session_id=SESSION))
        assert (receipt.run_id, receipt.is_released) == (None, True)


async def test_a_run_that_the_runtime_has_yet_to_hear_of_is_kept() -> None:
    """That it is not known there proves nothing."""
    store = MemoryStore()
    async with gateway(store) as built:
        await built.sessions.receive(inbound("one"))
        with pytest.raises(Refused):
            await built.order(ReleaseLease(session_id=SESSION))
        (await built.agents.begun(1)).answer("ok")
        await built.until(RunEnded)


async def test_a_run_that_lost_its_lease_before_it_began_is_not_begun() -> None:
    """Its history was read too slowly: the agent never hears of it, and that is no fault of ours."""
    store = SlowStore()
    async with gateway(store) as built:
        await built.sessions.receive(inbound("one"))
        await built.order(ReleaseLease(session_id=SESSION, is_forced=True))
        store.may_scan.set()
        await built.settled()
        assert built.agents.runs == []
        assert built.faults == []


async def test_a_start_takes_the_lease_of_the_start_before() -> None:
    """And keeps one of its own: recovering twice closes nothing that goes on."""
    store = MemoryStore()
    async with gateway(store) as built:
        await busy(built)
    async with gateway(store, boot=2) as built:
        assert (await built.restart.recover()).cut_off == 1
        assert (await view_of(built)).lease is None
        await built.restart.resume()
        run = await built.agents.begun(1)
        assert (await built.restart.recover()).cut_off == 0
        lease = (await view_of(built)).lease
        assert lease is not None
        assert (lease.boot, lease.run_id) == (2, run.run_id)
        run.answer("ok")
        await built.until(RunEnded, 2)


async def test_the_runner_of_a_session_is_shown_and_never_stored() -> None:
    """Whatever the agents tell of it."""
    store, now = MemoryStore(), Mark(1.0, 1.0)
    runner = RunnerView(
        session_id=SESSION, agent=AgentName("main"), kind="fake", state=RunnerState.BUSY, generation=1, since=now,
        active=now,
    )  # fmt: skip
    async with gateway(store, FakeAgents(instant=True), runner_of=lambda _: runner) as built:
        await built.sessions.receive(inbound("one"))
        (ended,) = await built.until(RunEnded)
        assert isinstance(ended, RunEnded)
        assert ended.session.runner == runner
        row = await store.get(rows.session_key(SESSION))
        assert row is not None
        assert rows.session_of(row.body) == msgspec.structs.replace(ended.session, runner=None, unsent=0)
