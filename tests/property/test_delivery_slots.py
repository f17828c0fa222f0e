"""The bound on deliveries: never exceeded, never wasted, and a first delivery comes before anybody's second."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from core.mailbox.slots import Slots

NAMES = ("a", "b", "c", "d", "e")
STEPS = st.lists(st.tuples(st.sampled_from(["take", "give", "cancel"]), st.sampled_from(NAMES)), max_size=80)


async def walk(limit: int, steps: list[tuple[str, str]]) -> None:
    """Take, give and cancel, and look at every promise after each step."""
    slots = Slots(limit)
    for name in NAMES:
        slots.join(name)
    held = dict.fromkeys(NAMES, 0)
    asking: dict[str, asyncio.Task[None]] = {}
    async with asyncio.TaskGroup() as jobs:
        for what, name in steps:
            if what == "take" and name not in asking:
                asking[name] = jobs.create_task(slots.take(name))
            elif what == "give" and held[name]:
                slots.give(name)
                held[name] -= 1
            elif what == "cancel" and name in asking:
                asking.pop(name).cancel()
            for _ in range(3):
                await asyncio.sleep(0)
            for other in [other for other, task in asking.items() if task.done()]:
                del asking[other]
                held[other] += 1
            total = sum(held.values())
            further = sum(max(0, count - 1) for count in held.values())
            assert slots.taken == total <= limit
            assert further <= limit - min(len(NAMES) + 1, (limit + 1) // 2)
            assert total == limit or not any(not held[other] for other in asking)
        for task in asking.values():
            task.cancel()
    for name, count in held.items():
        for _ in range(count):
            slots.give(name)
    assert slots.taken == 0
    assert all(slots.try_take(name) for name in NAMES[:limit])


@given(limit=st.integers(1, 12), steps=STEPS)
def test_places_are_shared_as_promised(limit: int, steps: list[tuple[str, str]]) -> None:
    """Whatever is taken, given back and cancelled."""
    asyncio.run(walk(limit, steps))


async def test_who_waits_first_is_served_first() -> None:
    """And a newcomer does not slip past who waits."""
    slots = Slots(1)
    served: list[str] = []

    async def ask(name: str) -> None:
        await slots.take(name)
        served.append(name)

    assert slots.try_take("a")
    async with asyncio.TaskGroup() as jobs:
        for name in ("b", "c", "d"):
            jobs.create_task(ask(name))
            await asyncio.sleep(0)
        for name in ("a", "b", "c"):
            slots.give(name)
            assert not slots.try_take("late")
            await asyncio.sleep(0)
    assert served == ["b", "c", "d"]


async def test_a_place_that_was_granted_to_who_gave_up_is_not_lost() -> None:
    """Cancelled in the moment of the grant, it goes to the next."""
    slots = Slots(1)
    assert slots.try_take("a")
    async with asyncio.TaskGroup() as jobs:
        first = jobs.create_task(slots.take("b"))
        second = jobs.create_task(slots.take("c"))
        await asyncio.sleep(0)
        slots.give("a")
        first.cancel()
    assert second.done()
    assert (first.cancelled(), slots.taken) == (True, 1)
