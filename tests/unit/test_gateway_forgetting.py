"""Copies of a message are known for a day and no longer."""

from core.api.sessions import RunEnded
from core.gateway import rows
from core.gateway.forgetting import KEPT_S, Forgetting
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock
from tests.support.fake_agents import FakeAgents
from tests.support.gateway import gateway, inbound


async def test_a_message_id_is_known_for_a_day_and_then_forgotten() -> None:
    """Within the day a copy starts nothing; after it the id is free and its row is gone."""
    store, clock = MemoryStore(), FakeClock()
    async with gateway(store, FakeAgents(instant=True), clock=clock) as built:
        forgetting = Forgetting(store=store, journal=built.journal, clock=clock)
        first = await built.sessions.receive(inbound("hi", native_id="n1"))
        clock.step(KEPT_S - 1)
        assert await forgetting.sweep() == 0
        assert (await built.sessions.receive(inbound("hi", native_id="n1"))).message_id == first.message_id
        clock.step(2)
        assert await forgetting.sweep() == 1
        assert await store.scan(rows.DEDUPE) == []
        again = await built.sessions.receive(inbound("hi", native_id="n1"))
        assert again.message_id != first.message_id
        assert not again.is_duplicate
        await built.until(RunEnded, 2)
