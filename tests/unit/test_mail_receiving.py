"""How messages reach those who wait for them: in turn, by choice, and never into the void."""

import asyncio
from collections import Counter

import pytest

from core.api.base import SYSTEM, MailId
from core.api.errors import DeadlineExceeded, InvalidInput, MailboxClosed
from core.api.mail import MailFilter, MailState, Priority
from core.api.mailboxes import MailboxState
from core.mailbox.mailbox import Mailbox
from core.mailbox.message import Draft, Mail
from tests.support.mail_stage import on_stage, rounds


def draft(text: str, sender: str = "ana", **fields: object) -> Draft:
    """A message that can be told apart."""
    return Draft(payload=text, sender=sender, **fields)  # type: ignore[arg-type] # fields of a test


def waiting_for(box: Mailbox, *args: object) -> "asyncio.Task[Mail]":
    """Somebody who waits."""
    return asyncio.get_running_loop().create_task(box.receive(*args))  # type: ignore[arg-type] # a match


async def test_receivers_are_served_in_the_order_in_which_they_came() -> None:
    """First come, first served."""
    async with on_stage() as stage:
        box = await stage.box()
        receivers = [waiting_for(box) for _ in range(3)]
        await rounds(2)
        assert box.consumers == 3
        for number in range(3):
            await box.post(draft(f"{number}", sender=f"s{number}"))
        assert [(await receiver).payload for receiver in receivers] == ["0", "1", "2"]


async def test_trying_to_receive_never_waits() -> None:
    """None when there is nothing, or nothing that may go out."""
    async with on_stage() as stage:
        box = await stage.box()
        assert box.try_receive() is None
        await box.post(draft("a"))
        await box.post(draft("b"))
        assert box.try_receive() is not None
        assert box.try_receive() is None


async def test_waiting_ends_at_its_deadline() -> None:
    """DeadlineExceeded; a message that comes later goes to somebody else."""
    async with on_stage() as stage:
        box = await stage.box()
        for match in (None, lambda _mail: True):
            with pytest.raises(DeadlineExceeded):
                await box.receive(match, timeout_s=0.01)
        await box.post(draft("a"))
        assert (await box.receive()).attempt == 1


@pytest.mark.parametrize("match", [None, lambda _mail: True])
async def test_a_receiver_cancelled_at_the_moment_of_hand_over_loses_nothing(match: object) -> None:
    """The message goes to the next receiver, or waits."""
    async with on_stage() as stage:
        box = await stage.box(durable=False)
        first, second = waiting_for(box, match), waiting_for(box, match)
        await rounds(2)
        await box.post(draft("a"))
        # The message is in the hands of the first one, which has not run since.
        assert box.tally().in_flight == 1
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert first.cancelled()
        mail = await second
        assert (mail.payload, box.tally().in_flight) == ("a", 1)


async def test_a_receiver_cancelled_after_its_lease_is_over_is_just_cancelled() -> None:
    """Its message is somebody else's by then: there is nothing to give back."""
    async with on_stage() as stage:
        box = await stage.box(durable=False, visibility_s=0.5)
        receiver = waiting_for(box)
        await rounds(2)
        await box.post(draft("a"))
        assert box.tally().in_flight == 1
        stage.clock.step(5.0)
        box.attend(stage.clock.monotonic(), stage.clock.now())
        receiver.cancel()
        await asyncio.gather(receiver, return_exceptions=True)
        assert receiver.cancelled()
        assert (box.tally().stale, box.depth) == (0, 1)


async def test_a_deadline_at_the_moment_of_hand_over_loses_nothing() -> None:
    """Whoever gives up at that moment leaves the message to others."""
    async with on_stage() as stage:
        box = await stage.box()
        receiver = asyncio.get_running_loop().create_task(box.receive(timeout_s=0.02))
        await rounds(2)

        async def post_late() -> None:
            async with asyncio.timeout(5):
                while not receiver.done():
                    await box.post(draft("x"))
                    await rounds(1)

        await post_late()
        taken = 0 if receiver.exception() else 1
        assert box.tally().in_flight == taken


async def test_a_selective_receiver_takes_what_fits_and_leaves_the_rest() -> None:
    """Earlier messages that do not fit stay where they are, in order."""
    async with on_stage() as stage:
        box = await stage.box()
        for text, word in (("a", "x"), ("b", "y"), ("c", "y")):
            await box.post(draft(text, message_type=word))
        mail = await box.receive(lambda mail: mail.message_type == "y")
        assert mail.payload == "b"
        assert box.try_receive(lambda mail: mail.message_type == "y") is None
        box.ack(mail)
        assert [(await box.receive(lambda mail: mail.message_type == "y")).payload] == ["c"]
        assert (await box.receive()).payload == "a"


async def test_a_selective_receiver_is_served_when_what_stood_before_it_is_over() -> None:
    """Of one sender the second that fits comes after the first is settled, without anybody asking again."""
    async with on_stage() as stage:
        box = await stage.box()
        await box.post(draft("a"))
        await box.post(draft("b"))
        first = await box.receive()
        receiver = waiting_for(box, lambda mail: mail.sender == "ana")
        await rounds(3)
        assert not receiver.done()
        box.ack(first)
        assert (await receiver).payload == "b"


async def test_a_limit_in_flight_serves_the_next_receiver_after_each_end() -> None:
    """Ack, nack, reject and the end of a lease each free the turn."""
    async with on_stage() as stage:
        box = await stage.box(in_flight_limit=1, max_deliveries=1, visibility_s=1.0)
        for number in range(5):
            await box.post(draft(f"{number}", sender=f"s{number}"))
        for settle in (
            box.ack,
            lambda mail: box.nack(mail, error="no"),
            lambda mail: box.reject(mail, error="no"),
            None,
        ):
            mail = await box.receive()
            receiver = waiting_for(box)
            await rounds(3)
            assert not receiver.done()
            if settle is None:
                await stage.advance(2.0)
            else:
                settle(mail)
            box.release(await receiver)
        assert box.tally().in_flight == 0


async def test_one_message_can_be_taken_by_its_id() -> None:
    """Wherever it stands in its line; the others keep their order around it."""
    async with on_stage() as stage:
        box = await stage.box()
        ids = [(await box.post(draft(text))).mail_id for text in "abc"]
        now = stage.clock.monotonic()
        assert box.take_id(MailId(99), now) is None
        mail = box.take_id(ids[1], now)
        assert mail is not None
        assert box.take_id(ids[1], now) is None
        assert (await box.receive()).payload == "a"
        again = box.give_back(mail, now, 0.0, "", stage.clock.now())
        assert box.try_receive() is None
        box.ack(box.leases[ids[0]])
        assert box.try_receive() is again


async def test_a_delayed_message_taken_by_its_id_and_given_back_goes_on() -> None:
    """It comes into its line by that, and nothing of the line is stuck."""
    async with on_stage() as stage:
        box = await stage.box()
        mail_id = (await box.post(draft("late", delay_s=60.0))).mail_id
        await box.post(draft("b"))
        other = await box.receive()
        mail = box.take_id(mail_id, stage.clock.monotonic())
        assert mail is not None
        box.release(mail)
        box.ack(other)
        assert (await box.receive(timeout_s=1.0)).payload == "late"


async def test_a_hundred_senders_at_once_lose_and_double_nothing() -> None:
    """A thousand messages through ten consumers: each once, each sender's in order."""
    async with on_stage() as stage:
        box = await stage.box()
        got: list[tuple[str, int]] = []

        async def send(number: int) -> None:
            for count in range(10):
                await box.post(Draft(payload=count, sender=f"s{number}", priority=list(Priority)[number % 4]))

        async def consume() -> None:
            while len(got) < 1000:
                try:
                    mail = await box.receive(timeout_s=0.2)
                except DeadlineExceeded:
                    continue
                got.append((mail.sender, mail.payload))
                box.ack(mail)

        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(send(number))
            for _ in range(10):
                group.create_task(consume())
        assert set(Counter(got).values()) == {1}
        for number in range(100):
            assert [count for sender, count in got if sender == f"s{number}"] == list(range(10))
        assert (box.depth, box.tally().done) == (0, 1000)


async def test_a_closed_mailbox_sends_everybody_away() -> None:
    """Who waits gets MailboxClosed, and so does who comes later, sender or receiver."""
    async with on_stage() as stage:
        box = await stage.box()
        receivers = [waiting_for(box), waiting_for(box, lambda _mail: True)]
        await rounds(2)
        await stage.boxes.delete("box", actor=SYSTEM)
        for receiver in receivers:
            with pytest.raises(MailboxClosed):
                await receiver
        with pytest.raises(MailboxClosed):
            await box.receive()
        with pytest.raises(MailboxClosed):
            await box.post(draft("a"))


async def test_a_draining_mailbox_gives_and_does_not_take() -> None:
    """What is in it goes out."""
    async with on_stage() as stage:
        box = await stage.box()
        await box.post(draft("a"))
        box.set_state(MailboxState.DRAINING)
        with pytest.raises(MailboxClosed):
            await box.post(draft("b"))
        assert (await box.receive()).payload == "a"


async def test_looking_changes_nothing() -> None:
    """Peek and browse show what is there; nothing is taken, and no attempt is counted."""
    async with on_stage() as stage:
        box = await stage.box()
        ids = [(await box.post(draft(text, sender=text))).mail_id for text in "abcd"]
        await box.receive()
        peeked = box.peek()
        assert peeked is not None
        assert (peeked.payload, peeked.attempt) == ("b", 0)
        assert [mail.id for mail in box.browse(after=ids[0], limit=2)] == ids[1:3]
        assert [mail.payload for mail in box.browse(where=MailFilter(sender="d"))] == ["d"]
        assert [mail.state for mail in box.browse()][1:] == [MailState.QUEUED] * 3
        assert box.tally().in_flight == 1


@pytest.mark.parametrize("payload", [object(), 2**70, "x" * 2000])
async def test_a_payload_that_cannot_be_kept_is_refused(payload: object) -> None:
    """InvalidInput names the field; nothing was accepted."""
    async with on_stage() as stage:
        box = await stage.box(body_limit_bytes=1000)
        with pytest.raises(InvalidInput) as caught:
            await box.post(Draft(payload=payload))
        assert caught.value.facts["field"] == "payload"
        assert box.tally().accepted == 0


async def test_a_payload_is_shared_with_nobody() -> None:
    """What the sender changes afterwards, or one receiver, is not seen by the next."""
    async with on_stage() as stage:
        box = await stage.box(durable=False)
        payload = {"list": [1]}
        await box.post(Draft(payload=payload))
        payload["list"].append(2)
        mail = await box.receive()
        mail.payload["list"].append(3)
        box.release(mail)
        assert (await box.receive()).payload == {"list": [1]}
