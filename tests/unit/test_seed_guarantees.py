"""What the same library promised about guarantees, routing and errors: each promise is a test here, and kept."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.api.errors import (
    ConflictError,
    DeadlineExceeded,
    HermesError,
    InvalidInput,
    MailboxClosed,
    MailboxFull,
    NotFound,
    StaleLease,
    StoreError,
)
from core.api.mail import DeadReason
from core.api.mailboxes import Guarantee, MailboxPolicy
from core.breaker import BreakerState
from core.breaker_settings import BreakerSettings
from core.mailbox.balance import Balance
from core.mailbox.consumers import Consumers
from core.mailbox.message import Draft, Mail
from core.mailbox.router import Router
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


# -- delivery guarantees


async def test_guarantee_at_most_once_is_never_delivered_twice(
    rig: Routing, policy: MailboxPolicy, clock: FakeClock
) -> None:
    """Neither after a failure nor after a lease that ran out."""
    await rig.agents("worker", policy=changed(policy, visibility_s=10))
    for number in range(2):
        await rig.send("worker", number, f"s{number}", guarantee=Guarantee.AT_MOST_ONCE)
    rig.box("worker").nack(took(rig, "worker"), error="failed", delay_s=0)
    took(rig, "worker")
    await clock.advance(11)
    await clock.advance(11)
    assert (rig.box("worker").try_receive(), rig.box("worker").depth) == (None, 0)
    assert rig.box("worker").tally().difference == 0


async def test_guarantee_at_least_once_is_the_default_and_redelivers_until_acknowledged(
    rig: Routing, policy: MailboxPolicy, clock: FakeClock
) -> None:
    """A lease that runs out and a failure bring it back; the acknowledgement ends it."""
    assert MailboxPolicy().guarantee is Guarantee.AT_LEAST_ONCE
    await rig.agents("worker", policy=changed(policy, visibility_s=10, retry_base_s=1))
    await rig.send("worker", "job")
    took(rig, "worker")
    await clock.advance(11)
    await clock.advance(1)
    again = took(rig, "worker")
    rig.box("worker").nack(again, error="not yet", delay_s=0)
    third = took(rig, "worker")
    assert (third.payload, third.attempt) == ("job", 3)
    rig.box("worker").ack(third)
    await clock.advance(3600)
    assert (rig.box("worker").try_receive(), rig.box("worker").tally().done) == (None, 1)


async def test_guarantee_at_least_once_redelivers_after_a_restart(tmp_path: Path) -> None:
    """What was out and not acknowledged when the core ended is given out again."""
    async with routing(tmp_path, "sqlite") as rig:
        await rig.agents("worker", policy=DURABLE)
        await rig.send("worker", "job")
        took(rig, "worker")
    async with routing(tmp_path, "sqlite") as rig:
        await rig.boxes.indexed()
        mail = await rig.box("worker").receive(timeout_s=LONG_S)
        assert (mail.payload, mail.attempt) == ("job", 2)
        rig.box("worker").ack(mail)


async def test_guarantee_a_late_acknowledgement_changes_nothing(
    rig: Routing, policy: MailboxPolicy, clock: FakeClock
) -> None:
    """Whoever lost the lease cannot settle the message that another one holds."""
    await rig.agents("worker", policy=changed(policy, visibility_s=10, retry_base_s=1))
    await rig.send("worker", "job")
    late = took(rig, "worker")
    await clock.advance(11)
    await clock.advance(1)
    held = took(rig, "worker")
    with pytest.raises(StaleLease):
        rig.box("worker").ack(late)
    rig.box("worker").ack(held)


async def test_guarantee_exactly_once_delivers_one_of_two_with_the_same_key(
    rig: Routing, policy: MailboxPolicy
) -> None:
    """The second is answered with the id of the first, also after that is done."""
    await rig.agents("worker", policy=changed(policy, guarantee=Guarantee.EXACTLY_ONCE))
    draft = Draft(payload="pay 5", sender="ana", key="order-1")
    first = await rig.router.route("worker", draft)
    second = await rig.router.route("worker", draft)
    assert (second.is_duplicate, second.mail_id) == (True, first.mail_id)
    assert rig.payloads("worker") == ["pay 5"]
    assert (await rig.router.route("worker", draft)).is_duplicate
    assert (rig.payloads("worker"), rig.router.stats().duplicates) == ([], 2)


async def test_guarantee_exactly_once_remembers_keys_over_a_restart(tmp_path: Path) -> None:
    """Within its window a key is refused by the next start too."""
    draft = Draft(payload="pay 5", sender="ana", key="order-1")
    async with routing(tmp_path, "sqlite") as rig:
        await rig.agents("worker", policy=DURABLE)
        await rig.router.route("worker", draft)
        assert rig.payloads("worker") == ["pay 5"]
    async with routing(tmp_path, "sqlite") as rig:
        await rig.boxes.indexed()
        await rig.agents("worker", policy=DURABLE)
        assert (await rig.router.route("worker", draft)).is_duplicate
        assert rig.payloads("worker") == []


async def test_guarantee_exactly_once_acknowledges_and_sends_on_in_one_commit(rig: Routing) -> None:
    """The next message exists if and only if this one is done; with a lost lease neither happens."""
    await rig.agents("first", "second", policy=DURABLE)
    await rig.send("first", "raw")
    mail = took(rig, "first")
    step = rig.boxes.transaction()
    step.post("second", Draft(payload="cooked", sender="first"))
    step.ack(mail)
    await step.commit()
    assert (rig.box("first").depth, rig.payloads("second")) == (0, ["cooked"])
    late = rig.boxes.transaction()
    with pytest.raises(StaleLease):
        late.ack(mail)
    assert rig.payloads("second") == []


# -- routing


async def test_routing_reaches_any_registered_agent(rig: Routing, policy: MailboxPolicy) -> None:
    """From each to each."""
    names = [f"agent-{number}" for number in range(5)]
    await rig.agents(*names, policy=policy)
    for sender in names:
        for to in names:
            await rig.send(to, f"{sender} to {to}", sender)
    for name in names:
        assert sorted(map(str, rig.payloads(name))) == sorted(f"{sender} to {name}" for sender in names)


async def test_routing_retries_with_exponential_backoff_within_limits(
    rig: Routing, policy: MailboxPolicy, clock: FakeClock
) -> None:
    """Each wait doubles, up to the cap; after the last delivery it is a dead letter with its history."""
    rules = changed(policy, retry_base_s=1, retry_cap_s=4, max_deliveries=5)
    await rig.agents("worker", policy=rules)
    await rig.send("worker", "job")
    waits: list[float] = []
    for _ in range(4):
        rig.box("worker").nack(took(rig, "worker"), error="no")
        (mail,) = rig.box("worker").browse()
        waits.append(mail.due - clock.monotonic())
        assert rig.box("worker").try_receive() is None
        await clock.advance(waits[-1])
    # The rig draws the middle of what full jitter allows: half of 1, 2, 4, and of 4 again, which is the cap.
    assert waits == [pytest.approx(wait) for wait in (0.5, 1, 2, 2)]
    rig.box("worker").nack(took(rig, "worker"), error="no, finally")
    (dead,) = rig.dead("worker", DeadReason.MAX_DELIVERIES)
    assert [attempt.error for attempt in dead.attempts or ()][:4] == ["no"] * 4
    assert (dead.error, dead.attempt, rig.box("worker").depth) == ("no, finally", 5, 0)


async def test_routing_a_message_that_backs_off_holds_up_nobody_else(rig: Routing, policy: MailboxPolicy) -> None:
    """Other senders' messages go on at once."""
    await rig.agents("worker", policy=policy)
    await rig.send("worker", "broken", "ana")
    rig.box("worker").nack(took(rig, "worker"), error="no", delay_s=3600)
    for number in range(10):
        await rig.send("worker", number, f"s{number}")
    assert rig.payloads("worker") == list(range(10))


def consumers(rig: Routing, limit: int = 100) -> Consumers:
    """A delivery manager over the rig's mailboxes."""
    return Consumers(
        rig.clock,
        rig.supervisor,
        random=lambda: 0.5,
        on_alarm=lambda group, why: rig.errors.append(f"{group}: {why}"),
        max_concurrent_deliveries=limit,
    )


async def test_routing_circuit_breaker_stops_asking_what_keeps_failing_and_recovers(
    rig: Routing, clock: FakeClock
) -> None:
    """After three failures nothing is handed over until the breaker lets a probe through; its success closes it."""
    asked: list[object] = []
    is_broken = True

    async def handle(mail: Mail) -> None:
        asked.append(mail.payload)
        if is_broken:
            raise RuntimeError("far side is down")

    await rig.agents("worker", policy=changed(MEMORY, retry_base_s=1000, retry_cap_s=1000))
    delivery = consumers(rig)
    delivery.attach(rig.box("worker"), handle, name="w", breaker=BreakerSettings(failures=3, open_s=30))
    for number in range(10):
        await rig.send("worker", number, f"s{number}")
    await until_idle(200)
    breaker = delivery.stats_of("w").breaker
    assert breaker is not None
    assert (breaker.state, asked) == (BreakerState.OPEN, [0, 1, 2])
    is_broken = False
    await clock.advance(31)
    await until_idle(200)
    breaker = delivery.stats_of("w").breaker
    assert breaker is not None
    assert (breaker.state, asked) == (BreakerState.CLOSED, list(range(10)))
    await delivery.stop(deadline_s=1)


async def test_routing_max_concurrent_deliveries_is_kept(rig: Routing) -> None:
    """Of fifty messages at four consumers no more than three are worked on at a time, and all are done."""
    running = most = 0
    gate = asyncio.Event()

    async def handle(_mail: Mail) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await gate.wait()
        running -= 1

    delivery = consumers(rig, limit=3)
    for name in "abcd":
        await rig.agents(name)
        delivery.attach(rig.box(name), handle, name=name, concurrency=10)
    for number in range(50):
        await rig.send("abcd"[number % 4], number, f"s{number}")
    await until_idle(200)
    assert (running, delivery.running_count) == (3, 3)
    gate.set()
    await until_idle(1000)
    assert (most, sum(rig.box(name).tally().done for name in "abcd")) == (3, 50)
    await delivery.stop(deadline_s=1)


@pytest.mark.parametrize("balance", Balance)
async def test_routing_balances_load_over_instances(rig: Routing, balance: Balance) -> None:
    """Three instances share sixty messages of sixty senders; each gets some, and all arrive once."""
    rig.router.form("crew", balance)
    for name in "abc":
        await rig.agents(name)
        rig.router.join("crew", name)
    for number in range(60):
        await rig.send("group:crew", number, f"s{number}")
    shares = [rig.payloads(name) for name in "abc"]
    assert all(shares)
    assert sorted(int(str(number)) for share in shares for number in share) == list(range(60))


async def test_routing_timeout_of_a_message_is_kept_in_the_queue(
    rig: Routing, policy: MailboxPolicy, clock: FakeClock
) -> None:
    """Out of date it is not handed out; it is kept as a dead letter, or counted as expired."""
    await rig.agents("worker", policy=policy)
    await rig.agents("terse", policy=changed(policy, keep_expired=False))
    for name in ("worker", "terse"):
        await rig.send(name, "now or never", ttl_s=10)
        await rig.send(name, "whenever", "bo")
    await clock.advance(11)
    assert rig.payloads("worker") == rig.payloads("terse") == ["whenever"]
    await clock.advance(2)
    assert len(rig.dead("worker", DeadReason.EXPIRED)) == 1
    assert (rig.box("worker").tally().dead, rig.box("terse").tally().expired) == (1, 1)


async def test_routing_can_be_replaced_by_a_router_of_ones_own(rig: Routing) -> None:
    """A subclass sees every message, those of broadcasts too."""
    seen: list[object] = []

    class Noting(Router):
        async def route(self, to: Any, draft: Draft) -> Any:
            seen.append(draft.payload)
            return await super().route(to, draft)

    router = Noting(rig.boxes, rig.clock)
    await router.register("a", MEMORY)
    await router.route("a", Draft(payload=1))
    await router.broadcast("*", Draft(payload=2))
    assert (seen, rig.payloads("a")) == ([1, 2], [1, 2])


# -- errors


async def test_errors_name_what_happened_and_whether_to_try_again(rig: Routing) -> None:
    """A type for each case, with a stable code; `retryable` says what may be sent once more."""
    await rig.agents("full", policy=changed(MEMORY, capacity=1))
    await rig.send("full", 1)
    cases: list[tuple[type[HermesError], str, bool, Any]] = [
        (NotFound, "not_found", False, rig.send("nobody", 1)),
        (MailboxFull, "mailbox_full", True, rig.send("full", 2)),
        (InvalidInput, "invalid", False, rig.send("full", object())),
        (ConflictError, "conflict", True, rig.router.register("full", MEMORY)),
        (DeadlineExceeded, "deadline", True, rig.calls.call("full2", 1, caller="ana", timeout_s=0.01)),
    ]
    await rig.agents("full2")
    for kind, code, is_retryable, doing in cases:
        with pytest.raises(kind) as caught:
            await doing
        assert (caught.value.code, caught.value.retryable) == (code, is_retryable)
    assert (MailboxClosed.code, MailboxClosed.retryable) == ("mailbox_closed", False)
    assert (StoreError.code, StoreError.retryable) == ("store", True)
