"""Messages that go out: stored first, tried by a plan, given up with a reason, and never lost."""

import asyncio
import copy

import pytest

from core.api.base import MailboxName, SessionId
from core.api.bindings import ANY_CHAT, RemoveBinding
from core.api.errors import ConfigError, Refused, StoreError
from core.api.mail import PurgeMailbox
from core.api.mailboxes import DeleteMailbox
from core.api.relay_targets import PauseRelay, ResumeRelay
from core.api.relay_tasks import (
    AttemptResult,
    RelayAttemptFailed,
    RelayDelivered,
    RelayEnded,
    RelayQueued,
    RelayReason,
    RelaySending,
    RelayState,
    Trigger,
)
from core.relay.mail_names import mailbox_of
from core.relay.peers import Credentials
from core.relay.wire import Reply
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock
from tests.support.outbox import FullStore
from tests.support.relay_out import (
    DOWN,
    HOLD,
    LOST,
    OPERATOR,
    REFUSED,
    SILENT,
    FakeAdapter,
    relay_out,
)

ORIGIN = "http://10.0.0.7:8080"
SESSION = SessionId("local:dm:8841")
OVER = (RelayState.COMPLETED, RelayState.FAILED, RelayState.CANCELED, RelayState.DEAD)


async def test_a_message_is_stored_before_it_is_sent_and_its_states_are_told() -> None:
    """Queued, sending, delivered: each with an event, and what is sent bears the id that the receipt names."""
    async with relay_out() as relay:
        task_id = await relay.send_one(text="look at this")
        task = await relay.until(task_id, RelayState.WORKING)
        assert [call.id for call in relay.adapter.sent] == [task_id] == [task.wire_id]
        assert relay.adapter.sent[0].text == "look at this"
        kinds = [type(event) for event in await relay.events()]
        assert [kind for kind in kinds if kind in {RelayQueued, RelayDelivered}] == [RelayQueued, RelayDelivered]
        assert [type(event) for event in relay.live if isinstance(event, RelaySending)] == [RelaySending]
        assert task.attempts[0].result is AttemptResult.DELIVERED
        assert task.attempts[0].status == 202
        assert task.remote_id == "r-1"


async def test_a_peer_that_says_no_more_leaves_the_message_completed_and_unanswered() -> None:
    """What is delivered to a bot that gives no answers is over."""
    async with relay_out() as relay:
        relay.adapter.replies["bot"].append(SILENT)
        task = await relay.until(await relay.send_one(), *OVER)
        assert (task.state, task.reason) == (RelayState.COMPLETED, RelayReason.UNANSWERED)


async def test_failed_attempts_are_repeated_by_the_plan_under_one_wire_id() -> None:
    """Three repeats within seconds, then the schedule, then it is dead; each attempt says why it was made."""
    async with relay_out(retries_s=(1.0, 2.0), schedule_s=(300.0,), breaker_failures=100) as relay:
        relay.adapter.replies["bot"].extend([DOWN] * 4)
        task_id = await relay.send_one()
        for _ in range(3):
            task = await relay.when(task_id, lambda task: task.due is not None)
            assert task.due is not None
            await relay.clock.advance(task.due.mono - relay.clock.monotonic())
        task = await relay.until(task_id, *OVER)
        assert (task.state, task.reason) == (RelayState.DEAD, RelayReason.UNDELIVERED)
        assert "4 attempts" in task.error
        assert [attempt.number for attempt in task.attempts] == [1, 2, 3, 4]
        assert [attempt.trigger for attempt in task.attempts] == [
            Trigger.FIRST,
            Trigger.RETRY,
            Trigger.RETRY,
            Trigger.SCHEDULE,
        ]
        assert {call.id for call in relay.adapter.sent} == {task_id}
        assert [type(event) for event in await relay.events()].count(RelayAttemptFailed) == 3
        assert relay.mail.outline(mailbox_of(ORIGIN)).depth == 0


async def test_a_message_that_may_have_arrived_is_not_called_undelivered() -> None:
    """One attempt without an answer makes the end unknown, whatever the last one said."""
    async with relay_out(retries_s=(), schedule_s=(1.0,)) as relay:
        relay.adapter.replies["bot"].extend([LOST, DOWN])
        task_id = await relay.send_one()
        task = await relay.when(task_id, lambda task: task.due is not None)
        await relay.clock.advance(1.0)
        task = await relay.until(task_id, *OVER)
        assert (task.state, task.reason) == (RelayState.DEAD, RelayReason.UNKNOWN)


async def test_a_refusal_is_final_and_the_far_side_lives() -> None:
    """403 is not repeated, and the breaker sees a far side that answers."""
    async with relay_out() as relay:
        relay.adapter.replies["bot"].append(REFUSED)
        task = await relay.until(await relay.send_one(), *OVER)
        assert (task.state, task.reason) == (RelayState.DEAD, RelayReason.REFUSED)
        assert task.attempts[0].status == 403
        assert relay.targets.view(ORIGIN).breaker.state == "closed"


async def test_a_far_side_that_asks_for_time_gets_it() -> None:
    """Retry-After wins over a shorter wait of the plan."""
    async with relay_out(retries_s=(1.0,)) as relay:
        busy = Reply(result=AttemptResult.UNDELIVERED, status=429, error="busy", retry_after_s=40.0)
        relay.adapter.replies["bot"].append(busy)
        task = await relay.when(await relay.send_one(), lambda task: task.due is not None)
        assert task.due is not None
        assert task.due.mono - relay.clock.monotonic() == pytest.approx(40.0)


async def test_a_message_is_given_up_at_its_deadline_though_nothing_was_let_through() -> None:
    """A breaker that stays open does not keep messages for ever."""
    async with relay_out(deadline_s=100.0) as relay:
        await relay.targets.breakers.hold_breaker(ORIGIN, "looking", OPERATOR)
        task_id = await relay.send_one()
        await relay.clock.advance(101.0)
        task = await relay.until(task_id, *OVER)
        assert (task.state, task.reason) == (RelayState.DEAD, RelayReason.UNDELIVERED)
        assert "100 s" in task.error
        assert relay.adapter.sent == []


async def test_what_waits_at_a_stop_goes_out_after_the_next_start() -> None:
    """Same store, same ids: nothing is lost, and an attempt that was cut off is noted."""
    store, clock, adapter = MemoryStore(), FakeClock(), FakeAdapter()
    adapter.replies["bot"].append(HOLD)
    async with relay_out(store=store, clock=clock, adapter=adapter) as relay:
        task_id = await relay.send_one()
        async with asyncio.timeout(10):
            await adapter.begun.wait()
    async with relay_out(store=store, clock=clock, adapter=adapter, is_bound=False) as relay:
        task = await relay.until(task_id, RelayState.WORKING)
        assert [attempt.result for attempt in task.attempts] == [AttemptResult.CUT_OFF, AttemptResult.DELIVERED]
        assert [call.id for call in adapter.sent] == [task_id, task_id]


async def test_a_core_that_died_in_an_attempt_says_that_nobody_knows_what_came_of_it() -> None:
    """The attempt is in the books as unknown, and the message goes out again under the same id."""
    store, clock, adapter = MemoryStore(), FakeClock(), FakeAdapter()
    adapter.replies["bot"].append(HOLD)
    async with relay_out(store=store, clock=clock, adapter=adapter) as before:
        task_id = await before.send_one()
        async with asyncio.timeout(10):
            await adapter.begun.wait()
        await before.mail.boxes.log.flushed()
        left = copy.deepcopy(store)
    async with relay_out(store=left, clock=clock, adapter=adapter, is_bound=False) as relay:
        task = await relay.until(task_id, RelayState.WORKING)
        assert [attempt.result for attempt in task.attempts] == [AttemptResult.UNKNOWN, AttemptResult.DELIVERED]
        assert [call.id for call in adapter.sent] == [task_id, task_id]


async def test_a_mailbox_that_nobody_needs_is_removed_and_made_again() -> None:
    """Bots that are gone leave no empty mailboxes behind."""
    async with relay_out() as relay:
        relay.adapter.replies["bot"].append(SILENT)
        await relay.until(await relay.send_one(), RelayState.COMPLETED)
        await relay.bindings.remove_binding(RemoveBinding(platform=ANY_CHAT, chat=ANY_CHAT), OPERATOR)
        await relay.outbound.mailing.sweep()
        assert mailbox_of(ORIGIN) not in relay.mail.names("relay.")
        await relay.bind("bot")
        await relay.until(await relay.send_one(), RelayState.WORKING)


async def test_a_paused_relay_sends_nothing_until_it_goes_on() -> None:
    """Messages are taken and wait."""
    async with relay_out() as relay:
        await relay.pausing.commands[PauseRelay](PauseRelay(reason="night"), OPERATOR)
        task_id = await relay.send_one()
        await relay.clock.advance(30.0)
        assert (await relay.task(task_id)).state is RelayState.QUEUED
        await relay.pausing.commands[ResumeRelay](ResumeRelay(), OPERATOR)
        await relay.until(task_id, RelayState.WORKING)
        assert not [event for event in await relay.events() if isinstance(event, RelayEnded)]


async def test_a_full_disk_makes_no_second_call_of_what_was_delivered() -> None:
    """The line waits until it can be stored what the far side said."""
    store = FullStore()
    async with relay_out(store=store) as relay:
        relay.adapter.replies["bot"].append(HOLD)
        task_id = await relay.send_one()
        await relay.until(task_id, RelayState.SENDING)
        store.is_full = True
        relay.adapter.gate.set()
        await relay.clock.advance(5.0)
        assert (await relay.task(task_id)).state is RelayState.SENDING
        store.is_full = False
        await relay.clock.advance(30.0)
        await relay.until(task_id, RelayState.WORKING)
        assert len(relay.adapter.sent) == 1


async def test_nothing_is_sent_that_could_not_be_stored() -> None:
    """The order fails, and nothing of it is left behind."""
    store = FullStore()
    async with relay_out(store=store) as relay:
        await relay.outbound.mailing.open(ORIGIN)
        store.is_full = True
        with pytest.raises(StoreError):
            await relay.send("bot")
        store.is_full = False
        await relay.clock.advance(1.0)
        assert relay.adapter.sent == []
        assert list(relay.ledger.live()) == []
        await relay.until(await relay.send_one(), RelayState.WORKING)


async def test_a_message_without_a_letter_gets_one_at_the_next_start() -> None:
    """What the books have is sent, whatever became of the mail."""
    store, clock, adapter = MemoryStore(), FakeClock(), FakeAdapter()
    async with relay_out(store=store, clock=clock, adapter=adapter, retries_s=(60.0,)) as relay:
        adapter.replies["bot"].append(DOWN)
        task_id = await relay.send_one()
        await relay.when(task_id, lambda task: task.due is not None)
        letter = relay.outbound.mailing.find(task_id)
        assert letter is not None
        await relay.outbound.mailing.drop(letter)
    async with relay_out(store=store, clock=clock, adapter=adapter, is_bound=False) as relay:
        await relay.until(task_id, RelayState.WORKING)


async def test_a_letter_that_stands_for_nothing_is_let_go() -> None:
    """It is no message, and takes no place of one."""
    async with relay_out(in_flight=1) as relay:
        mailbox = await relay.outbound.mailing.open(ORIGIN)
        for payload in ("no such message", {"not": "an id"}):
            transaction = relay.mail.transaction()
            transaction.post(mailbox, payload, sender="x", order_key="x")
            await transaction.commit([], [])
        await relay.until(await relay.send_one(), RelayState.WORKING)
        assert relay.mail.counts("relay.") == (0, 0)


async def test_an_adapter_that_breaks_is_a_failed_attempt() -> None:
    """A fault of ours stops no mailbox, and nobody knows whether the message arrived."""
    async with relay_out(retries_s=(), schedule_s=()) as relay:
        relay.adapter.fault = RuntimeError("broken")
        task = await relay.until(await relay.send_one(), RelayState.DEAD)
        assert task.reason is RelayReason.UNKNOWN
        assert "RuntimeError: broken" in task.error
        relay.adapter.fault = None
        await relay.until(await relay.send_one(), RelayState.WORKING)


async def test_a_bot_whose_secret_is_missing_is_not_called() -> None:
    """That is our own rule and not its fault; once it is mended the message can be replayed."""
    async with relay_out(peers=("far",), is_bound=False) as relay:
        await relay.bind("bot", peer="far")
        good = relay.peers.outgoing
        relay.peers.outgoing = _no_secret  # type: ignore[method-assign]
        task_id = await relay.send_one()
        task = await relay.until(task_id, RelayState.DEAD)
        assert task.reason is RelayReason.POLICY
        assert (task.error, relay.adapter.sent) == ("env:T is not set", [])
        relay.peers.outgoing = good  # type: ignore[method-assign]
        await relay.replay(task_id)
        await relay.until(task_id, RelayState.WORKING)


def _no_secret(name: str) -> Credentials:
    _ = name
    raise ConfigError("env:T is not set", key="relay.peers.far.token", fix="set it")


async def test_nobody_puts_into_a_mailbox_of_the_relay_or_takes_out_of_it() -> None:
    """What waits there is in the books; whoever tries is told what to do instead."""
    async with relay_out() as relay:
        mailbox = MailboxName(await relay.outbound.mailing.open(ORIGIN))
        for order in (PurgeMailbox(mailbox=mailbox), DeleteMailbox(mailbox=mailbox)):
            with pytest.raises(Refused) as caught:
                await relay.mail.operations.commands[type(order)](order, OPERATOR)
            assert "relay" in str(caught.value.facts["fix"])
