"""The router: who gets a message, who is refused and why, what is counted, and how it ends."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from core.api.base import SYSTEM, AgentName, MailId
from core.api.errors import (
    ConflictError,
    HermesError,
    InvalidInput,
    MailboxClosed,
    MailboxFull,
    NotFound,
)
from core.api.mail import DeadReason
from core.api.mailboxes import MailboxPolicy, MailboxState, Overflow
from core.mailbox.address import parse_address
from core.mailbox.message import Draft
from core.mailbox.registry import Registry
from tests.support.journals import until_idle
from tests.support.routing import DURABLE, MEMORY, Routing, routing

SMALL = MailboxPolicy(durable=False, capacity=1)


@pytest.fixture(params=["memory", "durable"])
def policy(request: pytest.FixtureRequest) -> MailboxPolicy:
    """A mailbox in memory, and one that is stored."""
    return MEMORY if request.param == "memory" else DURABLE


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Routing]:
    """A router whose undeliverable mail is kept."""
    async with routing(tmp_path, undeliverable="dead.letters") as opened:
        await opened.boxes.ensure("dead.letters", MEMORY)
        yield opened


async def test_a_message_reaches_the_agent_that_it_names(rig: Routing, policy: MailboxPolicy) -> None:
    """By name and by pid, and with its sender."""
    pid = await rig.router.register("worker", policy)
    await rig.send("worker", 1)
    await rig.send(str(pid), 2)
    assert [(mail.payload, mail.sender) for mail in rig.taken("worker")] == [(1, "ana"), (2, "ana")]


async def test_a_name_is_registered_once_at_a_time(rig: Routing, policy: MailboxPolicy) -> None:
    """The second is a conflict, also when both begin at the same moment."""
    outcomes = await asyncio.gather(*(rig.router.register("worker", policy) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 4
    with pytest.raises(ConflictError) as caught:
        await rig.router.register("worker", policy)
    assert caught.value.facts["found"] == str(rig.router.registry.running("worker"))


async def test_each_run_has_a_pid_of_its_own_greater_than_those_before(rig: Routing) -> None:
    """Also after the name was unregistered."""
    first = await rig.router.register("worker", MEMORY)
    await rig.router.stop(first)
    second = await rig.router.register("worker", MEMORY)
    await rig.router.unregister("worker")
    third = await rig.router.register("worker", MEMORY)
    assert first < second < third


async def test_pids_are_not_used_again_after_a_restart(tmp_path: Path) -> None:
    """A store remembers how far the numbers went."""
    seen: list[int] = []
    for _ in range(3):
        async with routing(tmp_path, "sqlite") as rig:
            pids = await asyncio.gather(*(rig.router.register(f"a{number}", MEMORY) for number in range(5)))
            seen += [pid.incarnation for pid in pids]
    assert seen[:5] == [1, 2, 3, 4, 5]
    assert len(set(seen)) == 15
    assert max(seen[:5]) < min(seen[5:10]) <= max(seen[5:10]) < min(seen[10:])


async def test_an_unknown_recipient_is_named_as_such(rig: Routing) -> None:
    """NotFound with the reason `unknown`; nothing is made for it."""
    with pytest.raises(NotFound) as caught:
        await rig.send("nobody", "hello")
    assert caught.value.facts["reason"] == "unknown"
    assert rig.boxes.find("nobody") is None


async def test_mail_for_a_run_that_is_over_is_refused_with_its_reason(rig: Routing) -> None:
    """A pid means that run only; the name goes on taking mail for the next one."""
    pid = await rig.router.register("worker", MEMORY)
    await rig.router.stop(pid, "out of memory")
    with pytest.raises(NotFound) as caught:
        await rig.send(str(pid), "hello")
    assert (caught.value.facts["reason"], caught.value.facts["why"]) == ("ended", "out of memory")
    await rig.send("worker", "for the next one")
    await rig.router.register("worker", MEMORY)
    with pytest.raises(NotFound) as caught:
        await rig.send(str(pid), "hello")
    assert caught.value.facts["reason"] == "ended"
    assert rig.payloads("worker") == ["for the next one"]


async def test_a_pid_that_was_never_given_is_unknown(rig: Routing) -> None:
    """It is not mistaken for one that ended."""
    await rig.agents("worker")
    with pytest.raises(NotFound) as caught:
        await rig.send("worker#999999", "hello")
    assert caught.value.facts["reason"] == "unknown"


async def test_what_is_left_in_a_mailbox_is_there_for_the_next_run(rig: Routing, policy: MailboxPolicy) -> None:
    """A mailbox belongs to the name, not to one run."""
    await rig.agents("worker", policy=policy)
    await rig.send("worker", 1)
    await rig.router.unregister("worker")
    with pytest.raises(NotFound):
        await rig.send("worker", 2)
    await rig.agents("worker", policy=policy)
    await rig.send("worker", 3)
    assert rig.payloads("worker") == [1, 3]


async def test_full_and_closed_mailboxes_are_told_apart(rig: Routing) -> None:
    """Each refusal has its own error: one may be tried again, the other not."""
    await rig.agents("worker", policy=SMALL)
    await rig.send("worker", 1)
    with pytest.raises(MailboxFull):
        await rig.send("worker", 2)
    rig.box("worker").set_state(MailboxState.CLOSED)
    with pytest.raises(MailboxClosed):
        await rig.send("worker", 3)
    assert MailboxFull.retryable
    assert not MailboxClosed.retryable


async def test_a_deleted_mailbox_is_a_closed_one(rig: Routing) -> None:
    """Its agent is still registered, and nothing is made behind its back."""
    await rig.agents("worker")
    await rig.boxes.delete("worker", actor=SYSTEM)
    with pytest.raises(MailboxClosed, match="deleted"):
        await rig.send("worker", 1)


async def test_undeliverable_mail_is_kept_as_a_dead_letter_and_refused_all_the_same(rig: Routing) -> None:
    """The sender gets its error, an operator finds the message with whom it was for."""
    with pytest.raises(NotFound) as caught:
        await rig.send("nobody", {"text": "hello"}, key="k1", delay_s=60, ttl_s=5)
    kept = rig.dead("dead.letters", DeadReason.UNDELIVERABLE)
    assert [(mail.payload, mail.headers) for mail in kept] == [({"text": "hello"}, {"to": "nobody"})]
    assert caught.value.facts["kept_as"] == f"m-{kept[0].id}"
    # What was for live delivery is left out, so that a redrive is not refused, put off or out of date.
    assert (kept[0].key, kept[0].due_at, kept[0].expires_at) == ("", 0, 0)
    assert "nobody" in kept[0].error
    assert rig.router.stats().undeliverable == 1
    assert rig.box("dead.letters").tally().difference == 0


async def test_a_sender_is_noted_by_name_and_its_pid_in_a_header(rig: Routing) -> None:
    """So the order between two agents holds over a restart of the sender."""
    await rig.agents("worker")
    first = await rig.router.register("planner", MEMORY)
    await rig.send("worker", 1, str(first))
    await rig.router.stop(first)
    second = await rig.router.register("planner", MEMORY)
    await rig.send("worker", 2, str(second))
    mails = rig.taken("worker")
    assert [(mail.sender, mail.order_key) for mail in mails] == [("planner", "planner")] * 2
    assert [mail.headers for mail in mails] == [{"pid": str(first)}, {"pid": str(second)}]


async def test_the_figures_add_up_and_name_each_cause(rig: Routing) -> None:
    """Routed = delivered + duplicates + refused, by cause."""
    await rig.agents("a")
    await rig.agents("full", policy=SMALL)
    gone = await rig.router.register("gone", MEMORY)
    await rig.router.stop(gone)
    await rig.send("a", 1, key="same")
    await rig.send("a", 1, key="same")
    await rig.send("full", 1)
    for to in ("full", "nobody", str(gone), "Not An Address"):
        with pytest.raises(HermesError):
            await rig.send(to, 2)
    await rig.router.broadcast("*", Draft(payload=3))
    stats = rig.router.stats()
    assert stats.refused == {"mailbox_full": 2, "not_found:unknown": 1, "not_found:ended": 1, "invalid": 1}
    assert (stats.delivered, stats.duplicates, stats.broadcasts) == (4, 1, 1)
    assert stats.routed == stats.delivered + stats.duplicates + sum(stats.refused.values())
    assert (stats.agents, stats.recipients) == (2, 3)
    assert sum(rig.box(name).tally().accepted for name in ("a", "full", "gone")) == stats.delivered


async def test_a_sender_that_gives_up_is_counted_too(rig: Routing) -> None:
    """So the figures still add up; whether it was accepted is not known then."""
    await rig.agents("a", policy=MailboxPolicy(durable=False, capacity=1, overflow=Overflow.BLOCK, block_s=60))
    await rig.send("a", 1)
    waiting = asyncio.ensure_future(rig.send("a", 2))
    await until_idle()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    stats = rig.router.stats()
    assert (stats.routed, stats.delivered, stats.refused) == (2, 1, {"cancelled": 1})


async def test_unregister_by_an_old_pid_changes_nothing(rig: Routing) -> None:
    """A late clean-up of an earlier run does not end the present one."""
    old = await rig.router.register("worker", MEMORY)
    await rig.router.stop(old)
    new = await rig.router.register("worker", MEMORY)
    assert not await rig.router.unregister(old)
    assert not await rig.router.stop(old)
    assert rig.router.registry.running("worker") == new
    assert await rig.router.unregister(new)
    assert not await rig.router.unregister("worker")


async def test_a_name_that_cannot_be_is_refused(rig: Routing) -> None:
    """Names of agents follow the rules of the configuration."""
    for name in ("", "Worker", "worker#1", "group:x"):
        with pytest.raises(InvalidInput):
            await rig.router.register(name)


async def test_more_agents_at_once_than_a_block_of_numbers_get_one_each(tmp_path: Path) -> None:
    """In the order in which they asked."""
    async with routing(tmp_path) as rig:
        names = [f"a{number:04d}" for number in range(2500)]
        pids = await asyncio.gather(*(rig.router.register(name, MEMORY) for name in names))
        assert [pid.incarnation for pid in pids] == list(range(1, 2501))


def test_an_earlier_run_does_not_end_the_present_one() -> None:
    """The registry compares the whole pid, not its name alone."""
    registry = Registry()
    old = registry.begin(AgentName("worker"), 1)
    assert registry.end(old, "normal")
    new = registry.begin(AgentName("worker"), 2)
    assert not registry.end(old, "late")
    assert registry.running("worker") == new


def test_addresses_are_read_from_text_once() -> None:
    """The hot path gets the same object again."""
    assert parse_address("worker#17") is parse_address("worker#17")


class Guard:
    """A part of the core that keeps a mailbox for itself."""

    name = "the sessions"
    put_in = take_out = rules = "elsewhere"

    def redriven(self, ids: Sequence[MailId]) -> None:
        """Nothing is kept here."""


async def test_a_mailbox_of_another_part_of_the_core_is_no_agents(tmp_path: Path) -> None:
    """Mail to an agent of that name would land among messages that somebody else keeps in order."""
    async with routing(tmp_path) as rig:
        rig.boxes.owners["sessions"] = Guard()
        with pytest.raises(ConflictError):
            await rig.router.register("sessions")
