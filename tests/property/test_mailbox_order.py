"""Nobody overtakes what the same sender sent before, and no lane waits beyond its bound."""

import asyncio
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.api.mail import MailState, Priority
from core.mailbox.message import Draft
from core.mailbox.order import BOUNDS, WEIGHTS, Lanes
from tests.support.mail_checks import StrictLanes, Value, overtaken, waits
from tests.support.mail_stage import MailStage
from tests.support.mails import a_mail

RANKS = range(len(WEIGHTS))
# Bursts of one rank, and deliveries in between: what a fair choice could be deceived by.
BURSTS = st.lists(
    st.tuples(st.sampled_from([*RANKS, -1, -1]), st.integers(1, 12)).map(lambda burst: [burst[0]] * burst[1]),
    max_size=60,
).map(lambda bursts: [step for burst in bursts for step in burst])
MIXED = st.lists(st.sampled_from([*RANKS, -1, -1, -1]), max_size=300)
ACTS = ["ack", "ack", "ack", "nack", "nack_later", "release", "reject", "advance", "crash", "none"]


@given(st.one_of(BURSTS, MIXED))
@settings(max_examples=300)
def test_no_lane_waits_beyond_its_bound(steps: list[int]) -> None:
    """A lane of weight w that holds something sees at most W - w deliveries of others before its own."""
    assert [(rank, wait) for rank, wait in enumerate(waits(Lanes(), steps)) if wait > BOUNDS[rank]] == []


def test_the_bound_is_met_exactly_when_all_lanes_are_full() -> None:
    """Under full load each lane waits for as long as its bound says, and no longer."""
    assert waits(Lanes(), [*RANKS] * 200 + [-1] * 200) == list(BOUNDS) == [14, 13, 11, 7]


def test_the_highest_goes_first_always_breaks_the_bound() -> None:
    """The check can fail: strict priority lets the low lanes starve."""
    assert waits(StrictLanes(), [*RANKS] * 50 + [-1, 3] * 60)[0] > BOUNDS[0]


@given(st.lists(st.tuples(st.sampled_from(RANKS), st.booleans()), max_size=60), st.integers(0, 60))
def test_what_was_withdrawn_is_passed_over_and_nothing_else(arrivals: list[tuple[int, bool]], popped: int) -> None:
    """A message that left the queue in the meantime is never given; each other one is, once, in its lane's order."""
    lanes = Lanes()
    mails = [a_mail(number, rank=rank) for number, (rank, _) in enumerate(arrivals)]
    for mail in mails:
        lanes.push(mail)
    given_out = [lanes.pop() for _ in range(popped)]
    for mail, (_, is_withdrawn) in zip(mails, arrivals, strict=True):
        if is_withdrawn and mail not in given_out:
            mail.state = MailState.DROPPED
    while (mail_next := lanes.peek()) is not None:
        given_out.append(lanes.pop())
        assert given_out[-1] is mail_next
    assert lanes.pop() is None
    out = [mail for mail in given_out if mail is not None]
    assert {mail.id for mail in out} == {mail.id for mail in mails if mail.state is MailState.QUEUED}
    for rank in RANKS:
        ids = [mail.id for mail in out if mail.rank == rank]
        assert ids == sorted(set(ids))


async def acked_in_order(
    stage: MailStage, sent: list[tuple[str, Priority]], acts: list[str], *, ordered: bool
) -> list[Value]:
    """What was acked, in order, while consumers did what the acts say."""
    box = await stage.box(ordered=ordered, max_deliveries=1000, retry_base_s=1.0, visibility_s=2.5)
    counts: defaultdict[str, int] = defaultdict(int)
    for sender, priority in sent:
        counts[sender] += 1
        await box.post(Draft(payload=counts[sender], sender=sender, priority=priority))
    acked: list[Value] = []
    for act in [*acts, *["ack"] * len(sent) * 8]:
        mail = box.try_receive()
        if mail is None:
            await stage.advance(2.0)
        elif act == "ack":
            box.ack(mail)
            acked.append((mail.sender, mail.payload))
        elif act.startswith("nack"):
            box.nack(mail, error="no", delay_s=1.5 if act == "nack_later" else 0.0)
        elif act == "release":
            box.release(mail)
        elif act == "reject":
            box.reject(mail, error="no")
        elif act == "advance":
            await stage.advance(1.0)
        elif act == "crash":
            await stage.settle()
            await stage.crash()
            box = stage.boxes.get("box")
    assert box.depth == 0
    return acked


@given(
    st.lists(st.tuples(st.sampled_from(["ana", "bo"]), st.sampled_from(Priority)), max_size=12),
    st.lists(st.sampled_from(ACTS), max_size=25),
)
@settings(max_examples=120)
def test_the_order_of_a_pair_is_kept(sent: list[tuple[str, Priority]], acts: list[str]) -> None:
    """Through priorities, failures, later redelivery, leases that end, and restarts."""

    async def whole() -> None:
        stage = MailStage()
        await stage.open()
        assert overtaken(await acked_in_order(stage, sent, acts, ordered=True)) == []
        await stage.end()

    asyncio.run(whole())


@pytest.mark.parametrize("act", ["nack_later", "none"])
async def test_without_lines_a_failure_breaks_the_order_of_a_pair(act: str) -> None:
    """The check can fail: an unordered mailbox lets later messages pass one that failed."""
    stage = MailStage()
    await stage.open()
    sent = [("ana", Priority.NORMAL)] * 3
    assert overtaken(await acked_in_order(stage, sent, [act], ordered=False)) == [("ana", 1)]
    await stage.end()
