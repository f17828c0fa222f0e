"""Whatever a peer, an agent and a kill do in whatever order: each message is worked on once, and its state is true."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.api.errors import Overloaded
from core.api.relay_tasks import RelayState
from core.relay.inbound import RefusedMessage
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock
from tests.support.journals import until_idle
from tests.support.relay_inbound import Rig, a_message
from tests.support.relay_inbound import settings as rules

IDS = st.sampled_from(["m-1", "m-2", "m-3"])
ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), IDS),
        st.tuples(st.just("other"), IDS),
        st.tuples(st.just("cancel"), IDS),
        st.tuples(st.just("end"), IDS),
        st.tuples(st.just("fail"), IDS),
        st.tuples(st.just("again"), IDS),
        st.tuples(st.just("busy"), IDS),
        st.tuples(st.just("kill"), IDS),
        st.tuples(st.just("wait"), IDS),
    ),
    max_size=25,
)


T = TypeVar("T")


async def attempted(what: Awaitable[T]) -> T | int:
    """What comes of it; the status of a refusal."""
    try:
        return await what
    except RefusedMessage as refusal:
        return refusal.status


class Peer:
    """What the peer knows: by id what it was told last, and which messages it may have had done."""

    def __init__(self) -> None:
        self.store, self.clock = MemoryStore(), FakeClock()
        self.rig: Rig | None = None
        self.told: dict[str, RelayState] = {}

    async def run(self, acts: list[tuple[str, str]]) -> None:
        """Carry all of it out, and look at the end."""
        await self.start()
        for act, wire_id in acts:
            await getattr(self, act)(wire_id)
            await until_idle(10)
        await self.settle()
        await self.check()
        assert self.rig is not None
        assert self.rig.faults == []
        await self.rig.stop()

    async def start(self) -> None:
        """The next start of the core, with the agents that there were."""
        rig = Rig(self.store, self.clock, rules())
        if self.rig is not None:
            rig.workers.works, rig.workers.states = self.rig.workers.works, self.rig.workers.states
        self.rig = rig
        await rig.start()

    async def send(self, wire_id: str) -> None:
        """The message of that id, for the first time or again."""
        assert self.rig is not None
        taken = await self.rig.inbound.take(a_message(wire_id=wire_id, text=f"text of {wire_id}"))
        assert taken.is_repeated is (wire_id in self.told)
        before = self.told.get(wire_id)
        assert before is None or not before.is_over or taken.task.state is before
        self.told[wire_id] = taken.task.state

    async def other(self, wire_id: str) -> None:
        """Another text under that id."""
        assert self.rig is not None
        if wire_id not in self.told:
            return
        assert await attempted(self.rig.inbound.take(a_message(wire_id=wire_id, text="something else"))) == 422

    async def cancel(self, wire_id: str) -> None:
        """Take it back."""
        assert self.rig is not None
        task = await attempted(self.rig.inbound.cancel("ana", wire_id, "no"))
        if isinstance(task, int):
            assert task == (409 if wire_id in self.told else 404)
            return
        assert task.state.is_over
        self.told[wire_id] = task.state

    async def end(self, wire_id: str) -> None:
        """The agent is done, when it works on it."""
        if self.state_of(wire_id) is RelayState.WORKING:
            await self.ended(wire_id, f"answer to {wire_id}")

    async def fail(self, wire_id: str) -> None:
        """The agent fails, when it works on it."""
        if self.state_of(wire_id) is RelayState.WORKING:
            await self.ended(wire_id, "", state=RelayState.FAILED, error="no model")

    async def again(self, wire_id: str) -> None:
        """An operator has it tried again, and the agent does it."""
        if self.state_of(wire_id) is RelayState.FAILED:
            await self.ended(wire_id, f"answer to {wire_id}")

    def state_of(self, wire_id: str) -> RelayState | None:
        """How the work on it stands."""
        assert self.rig is not None
        found = [item for item in self.rig.workers.works if item.endswith(f"/{wire_id}")]
        return self.rig.workers.states[found[0]].state if found else None

    async def ended(self, wire_id: str, answer: str, **changes: Any) -> None:
        """The agent is done in some way."""
        assert self.rig is not None
        await self.rig.workers.end(answer, wire_id=f"/{wire_id}", **changes)

    async def busy(self, _wire_id: str) -> None:
        """The next start of work is put off."""
        assert self.rig is not None
        self.rig.workers.errors.append(Overloaded("full", bound="tasks"))

    async def kill(self, _wire_id: str) -> None:
        """The core ends and starts."""
        assert self.rig is not None
        await self.rig.stop()
        await self.start()

    async def wait(self, _wire_id: str) -> None:
        """A minute."""
        await self.clock.advance(60.0)

    async def settle(self) -> None:
        """Nobody is busy any more."""
        assert self.rig is not None
        self.rig.workers.errors.clear()
        for _ in range(3):
            await self.clock.advance(60.0)
            await until_idle()

    async def check(self) -> None:
        """The row says what the agent says, and an answer is the one to that message."""
        assert self.rig is not None
        works = self.rig.workers
        assert len(works.works) == len({work.text for work in works.works.values()})
        for wire_id in self.told:
            task = await self.rig.task(wire_id=wire_id)
            is_done = task.state is RelayState.COMPLETED or task.is_late
            assert task.answer == (f"answer to {wire_id}" if is_done else "")
            assert not task.is_late or task.state is RelayState.FAILED
            if task.task_id is not None:
                assert works.states[task.task_id].state is (RelayState.COMPLETED if is_done else task.state)
            else:
                assert task.state is RelayState.CANCELED
        live = [wire_id for wire_id in self.told if not (await self.rig.task(wire_id=wire_id)).state.is_over]
        assert self.rig.inbound.callers.working("ana") == len(live)


@settings(max_examples=150, deadline=None)
@given(ACTS)
@example([("send", "m-1"), ("fail", "m-1"), ("again", "m-1"), ("send", "m-1")])
@example([("busy", "m-1"), ("send", "m-1"), ("wait", "m-1"), ("fail", "m-1"), ("kill", "m-1"), ("again", "m-1")])
def test_each_message_is_worked_on_once_and_its_state_is_true(acts: list[tuple[str, str]]) -> None:
    """Repeats, other texts, ends, failures that are tried again, withdrawals, busy agents and kills, in any order."""
    asyncio.run(Peer().run(acts))
