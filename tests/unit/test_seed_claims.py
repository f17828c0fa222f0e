"""What the messaging library promised that these mailboxes grew from: each promise is a test here, and kept.

The section that a promise stood in comes first in the name of its test.
"""

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.api.errors import (
    DeadlineExceeded,
    InvalidInput,
    MailboxFull,
    NotFound,
)
from core.api.mail import DeadReason, MailKind, Priority
from core.api.mailboxes import MailboxPolicy, Overflow
from core.mailbox.message import Draft
from core.mailbox.order import BOUNDS
from core.mailbox.system_info import Down, HealthCheck, info_of
from tests.support.clocks import FakeClock
from tests.support.journals import until_idle
from tests.support.routing import DURABLE, MEMORY, Routing, changed, routing, took

KINDS = ["memory", "durable"]
LONG_S = 30.0


@pytest.fixture(params=KINDS)
def policy(request: pytest.FixtureRequest) -> MailboxPolicy:
    """Mailboxes in memory, and stored ones: the promises hold for both."""
    return MEMORY if request.param == "memory" else DURABLE


@pytest.fixture
def clock() -> FakeClock:
    """Time in the hands of the test."""
    return FakeClock()


@pytest.fixture
async def rig(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Routing]:
    """Mailboxes with a router."""
    async with routing(tmp_path, clock=clock) as opened:
        yield opened


# -- quick start


async def test_quick_start_the_second_agent_receives_what_the_first_sent(rig: Routing, policy: MailboxPolicy) -> None:
    """Two agents, one greeting, found in the mailbox that is looked up by name, and an orderly end."""
    await rig.agents("agent1", "agent2", policy=policy)
    await rig.router.route(
        "agent2", Draft(sender="agent1", message_type="greeting", payload={"message": "Hello, Agent2!"})
    )
    box = rig.boxes.find("agent2")
    assert box is not None
    mail = await box.receive()
    assert (mail.sender, mail.message_type, mail.payload) == ("agent1", "greeting", {"message": "Hello, Agent2!"})
    box.ack(mail)
    assert (await rig.router.shutdown(deadline_s=0)).is_drained


async def test_mailboxes_are_found_by_name_and_not_copied(rig: Routing, policy: MailboxPolicy) -> None:
    """Whoever asks gets the mailbox itself, with what is in it."""
    await rig.agents("agent", policy=policy)
    first = rig.boxes.get("agent")
    await rig.send("agent", 1)
    assert rig.boxes.find("agent") is rig.boxes.get("agent") is first
    assert first.depth == 1


# -- message patterns


async def test_patterns_a_call_gets_its_reply(rig: Routing, policy: MailboxPolicy) -> None:
    """Synchronous for the caller: it waits for the answer to this message."""
    await rig.agents("ana", "worker", policy=policy)
    call = asyncio.ensure_future(rig.calls.call("worker", 20, caller="ana", timeout_s=LONG_S))
    mail = await rig.box("worker").receive()
    await rig.calls.reply(mail, mail.payload + 1)
    rig.box("worker").ack(mail)
    assert (mail.kind, await call) == (MailKind.CALL, 21)


async def test_patterns_a_call_ends_at_its_timeout(rig: Routing) -> None:
    """The limit is kept by the call itself; the callee does not find the message any more."""
    await rig.agents("worker")
    with pytest.raises(DeadlineExceeded):
        await rig.calls.call("worker", 1, caller="ana", timeout_s=0.02)
    assert rig.box("worker").try_receive() is None


async def test_patterns_a_cast_does_not_wait_for_its_receiver(rig: Routing, policy: MailboxPolicy) -> None:
    """It is sent when it is accepted."""
    await rig.agents("worker", policy=policy)
    await rig.send("worker", "do this")
    assert took(rig, "worker").kind is MailKind.CAST


async def test_patterns_an_info_comes_from_the_system(rig: Routing, policy: MailboxPolicy) -> None:
    """A health check as a message that is read back as what it was."""
    await rig.agents("worker", policy=policy)
    await rig.watches.check_health("worker", ttl_s=5)
    mail = took(rig, "worker")
    assert (mail.kind, info_of(mail)) == (MailKind.INFO, HealthCheck(rig.clock.now()))


async def test_patterns_payloads_are_anything_json_can_hold_and_are_copies(rig: Routing) -> None:
    """What the sender does with its object afterwards changes nothing; what cannot be sent is refused."""
    await rig.agents("worker")
    payload = {"task_id": "task_123", "priority": 5, "payload": [1, 2, 3, 4]}
    await rig.send("worker", payload)
    payload["priority"] = 9
    assert took(rig, "worker").payload == {"task_id": "task_123", "priority": 5, "payload": [1, 2, 3, 4]}
    with pytest.raises(InvalidInput):
        await rig.send("worker", object())


async def test_patterns_messages_are_selected_by_what_they_are(rig: Routing, policy: MailboxPolicy) -> None:
    """Calls first, and what was passed over keeps its order."""
    await rig.agents("worker", policy=policy)
    for number in range(3):
        await rig.send("worker", number)
    await rig.router.route("worker", Draft(payload="call", sender="bo", kind=MailKind.CALL))
    mail = await rig.box("worker").receive(lambda mail: mail.kind is MailKind.CALL)
    rig.box("worker").ack(mail)
    assert [mail.payload, *rig.payloads("worker")] == ["call", 0, 1, 2]


# -- mailboxes


async def test_mailbox_is_unbounded_by_default(rig: Routing) -> None:
    """Ten thousand messages that nobody reads are accepted and all there."""
    await rig.agents("worker")
    for number in range(10_000):
        await rig.send("worker", number)
    assert (rig.box("worker").depth, rig.router.stats().delivered) == (10_000, 10_000)


async def test_mailbox_keeps_the_order_of_each_sender(rig: Routing, policy: MailboxPolicy) -> None:
    """Also when one of its messages is tried again in between, and whatever its priority."""
    await rig.agents("worker", policy=policy)
    for number in range(12):
        await rig.send("worker", number, f"s{number % 3}", priority=list(Priority)[number % 4])
    mail = took(rig, "worker")
    rig.box("worker").nack(mail, error="once more", delay_s=0)
    got = [(mail.sender, mail.payload) for mail in rig.taken("worker")]
    assert len(got) == 12
    for place in range(3):
        assert [number for sender, number in got if sender == f"s{place}"] == list(range(place, 12, 3))


async def test_mailbox_gives_higher_priorities_first(rig: Routing, policy: MailboxPolicy) -> None:
    """Of different senders, the critical message before the high, normal and low one."""
    await rig.agents("worker", policy=policy)
    for priority in Priority:
        await rig.send("worker", priority.value, priority.value, priority=priority)
    assert rig.payloads("worker") == ["critical", "high", "normal", "low"]


async def test_mailbox_starves_no_priority(rig: Routing) -> None:
    """Under a flood of critical messages a low one waits for no more deliveries than the bound."""
    await rig.agents("worker")
    await rig.send("worker", "low", "patient", priority=Priority.LOW)
    for number in range(50):
        await rig.send("worker", number, f"s{number}", priority=Priority.CRITICAL)
    assert rig.payloads("worker").index("low") <= BOUNDS[0]


async def test_mailbox_bound_holds_for_routed_mail_of_many_senders_at_once(rig: Routing, policy: MailboxPolicy) -> None:
    """A hundred senders at a mailbox for ten: ten are accepted, the others are told."""
    await rig.agents("worker", policy=changed(policy, capacity=10))
    outcomes = await asyncio.gather(
        *(rig.send("worker", number, f"s{number}") for number in range(100)), return_exceptions=True
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, MailboxFull)]
    assert (len(refused), rig.box("worker").depth) == (90, 10)
    assert len(rig.payloads("worker")) == 10


@pytest.mark.parametrize("overflow", Overflow)
async def test_each_overflow_policy_does_what_its_name_says(
    rig: Routing, policy: MailboxPolicy, overflow: Overflow
) -> None:
    """One message too many: refused, refused after a wait, the oldest or the new one dropped, or a dead letter."""
    await rig.agents("worker", policy=changed(policy, capacity=2, overflow=overflow, block_s=0.01))
    refused = 0
    for number in range(3):
        try:
            await rig.send("worker", number)
        except MailboxFull:
            refused += 1
    box = rig.box("worker")
    tally = box.tally()
    dead = [mail.payload for mail in rig.dead("worker", DeadReason.OVERFLOW)]
    kept = rig.payloads("worker")
    assert (kept, refused, tally.dropped, dead) == {
        Overflow.REJECT: ([0, 1], 1, 0, []),
        Overflow.BLOCK: ([0, 1], 1, 0, []),
        Overflow.DROP_OLDEST: ([1, 2], 0, 1, []),
        Overflow.DROP_NEWEST: ([0, 1], 0, 1, []),
        Overflow.DEAD_LETTER: ([0, 1], 0, 0, [2]),
    }[overflow]
    assert (tally.rejected, box.tally().difference) == (refused, 0)


async def test_a_message_put_off_is_given_out_when_it_is_due(
    rig: Routing, policy: MailboxPolicy, clock: FakeClock
) -> None:
    """Not before, and others do not wait for it; a wall clock that jumps changes nothing."""
    await rig.agents("worker", policy=policy)
    await rig.send("worker", "later", delay_s=60)
    await rig.send("worker", "now")
    assert rig.payloads("worker") == ["now"]
    clock.jump(3600)
    await clock.advance(59)
    assert rig.payloads("worker") == []
    await clock.advance(2)
    assert rig.payloads("worker") == ["later"]


async def test_looking_into_a_mailbox_changes_nothing(rig: Routing, policy: MailboxPolicy) -> None:
    """Peek shows the next one, browse all of them by page; no delivery begins and no attempt is counted."""
    await rig.agents("worker", policy=policy)
    ids = [await rig.send("worker", number, f"s{number}") for number in range(5)]
    box = rig.box("worker")
    before = box.tally()
    head = box.peek()
    assert head is not None
    assert (head.id, head.attempt) == (ids[0], 0)
    first = box.browse(limit=3)
    assert [mail.id for mail in first] == ids[:3]
    assert [mail.id for mail in box.browse(after=first[-1].id, limit=3)] == ids[3:]
    assert box.tally() == before
    assert rig.payloads("worker") == list(range(5))


async def test_mailbox_receive_with_a_timeout_ends_in_time(rig: Routing) -> None:
    """And takes nothing with it that comes later."""
    await rig.agents("worker")
    with pytest.raises(DeadlineExceeded):
        await rig.box("worker").receive(timeout_s=0.01)
    await rig.send("worker", 1)
    assert rig.payloads("worker") == [1]


async def test_mailbox_try_receive_never_waits(rig: Routing) -> None:
    """Also while somebody else sits in receive: it is no coroutine at all."""
    await rig.agents("worker")
    other = asyncio.ensure_future(rig.box("worker").receive())
    await until_idle()
    assert rig.box("worker").try_receive() is None
    await rig.send("worker", 1)
    assert (await other).payload == 1


@pytest.mark.parametrize("kind", ["sqlite"])
async def test_mailbox_persistence_keeps_messages_over_a_restart(tmp_path: Path, kind: str) -> None:
    """In a durable mailbox all that was accepted, in order; in one in memory nothing."""
    async with routing(tmp_path, kind) as rig:
        await rig.agents("kept", policy=DURABLE)
        await rig.agents("fleeting")
        for number in range(5):
            await rig.send("kept", number)
            await rig.send("fleeting", number)
    async with routing(tmp_path, kind) as rig:
        await rig.boxes.indexed()
        await rig.agents("kept", policy=DURABLE)
        await rig.agents("fleeting")
        assert (rig.payloads("kept"), rig.payloads("fleeting")) == ([0, 1, 2, 3, 4], [])


async def test_mailbox_statistics_are_true_for_routed_mail(rig: Routing, clock: FakeClock) -> None:
    """What came in, what is done, what waits, and how long waiting and working took."""
    await rig.agents("worker")
    await rig.send("worker", 1)
    await rig.send("worker", 2, "bo")
    await clock.advance(3)
    mail = took(rig, "worker")
    await clock.advance(2)
    rig.box("worker").ack(mail)
    view = rig.box("worker").view()
    tally = view.tally
    assert (tally.accepted, tally.done, tally.queued, tally.in_flight, tally.difference) == (2, 1, 1, 0, 0)
    assert (view.wait_avg_s, view.work_avg_s) == (pytest.approx(3), pytest.approx(2))
    assert view.oldest is not None
    assert clock.monotonic() - view.oldest.mono == pytest.approx(5)


# -- monitoring


async def test_statistics_of_the_system_add_up_over_router_and_mailboxes(rig: Routing, policy: MailboxPolicy) -> None:
    """What the router delivered is what the mailboxes accepted, and nothing is unexplained."""
    names = [f"agent-{number}" for number in range(10)]
    await rig.agents(*names, policy=policy)
    for number in range(100):
        await rig.send(names[number % 10], number)
    for name in names[:5]:
        rig.taken(name)
    with pytest.raises(NotFound):
        await rig.send("nobody", 1)
    stats, total = rig.router.stats(), rig.boxes.tally()
    assert (stats.routed, stats.delivered, stats.refused, stats.agents) == (101, 100, {"not_found:unknown": 1}, 10)
    assert (total.accepted, total.done, total.queued, total.difference) == (100, 50, 50, 0)


# -- supervision


async def test_supervision_an_agent_learns_of_the_end_of_another(rig: Routing, policy: MailboxPolicy) -> None:
    """With its pid and reason, behind all that it sent."""
    await rig.agents("boss", "worker", policy=policy)
    ref = await rig.watches.monitor("boss", "worker")
    pid = rig.router.registry.running("worker")
    await rig.send("boss", "last words", "worker")
    await rig.router.stop("worker", "crashed")
    first, second = rig.taken("boss")
    assert (first.payload, info_of(second)) == ("last words", Down(ref, str(pid), "crashed"))


# -- scale and end


async def test_scale_two_thousand_agents_at_once(rig: Routing) -> None:
    """Each is registered, gets its message from another one, and has done its work."""
    names = [f"agent-{number}" for number in range(2000)]
    await asyncio.gather(*(rig.router.register(name, MEMORY) for name in names))

    async def work(name: str) -> None:
        mail = await rig.box(name).receive()
        rig.box(name).ack(mail)

    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(work(name))
        for sender, to in zip(names, [*names[1:], names[0]], strict=True):
            await rig.send(to, "hello", sender)
    total = rig.boxes.tally()
    assert (rig.router.stats().agents, total.done, total.difference) == (2000, 2000, 0)


async def test_scale_an_idle_agent_with_its_mailbox_takes_about_a_kilobyte(rig: Routing) -> None:
    """As Python counts its own memory: mailbox, registration and the tables that lead there."""
    count = 2000
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(count):
            await rig.router.register(f"agent-{number}", MEMORY)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / count < 1200


async def test_shutdown_loses_nothing(tmp_path: Path) -> None:
    """What is acknowledged is done, what is not is there after the next start: together all that was sent."""
    done: list[object] = []
    async with routing(tmp_path, "sqlite") as rig:
        await rig.agents("worker", policy=DURABLE)
        for number in range(50):
            await rig.send("worker", number, f"s{number % 7}")
        for _ in range(20):
            mail = took(rig, "worker")
            rig.box("worker").ack(mail)
            done.append(mail.payload)
        took(rig, "worker")
        report = await rig.router.shutdown(deadline_s=0)
        assert (report.kept_count, report.lost_count) == (30, 0)
    async with routing(tmp_path, "sqlite") as rig:
        await rig.boxes.indexed()
        await rig.agents("worker", policy=DURABLE)
        done += rig.payloads("worker")
    assert sorted(map(int, map(str, done))) == list(range(50))
