"""What operators do to mailboxes, on real mailboxes over a store in memory."""

import asyncio
import math
from typing import Any

import msgspec
import pytest

from core.api.base import Command, MailboxName
from core.api.errors import ConflictError, InvalidInput, MailboxClosed, MailboxFull, NotFound
from core.api.mail import BulkReceipt, MailKind, PostMail, Priority
from core.api.mailboxes import (
    CreateMailbox,
    DeleteMailbox,
    Guarantee,
    MailboxChanged,
    MailboxCreated,
    MailboxDeleted,
    MailboxPaused,
    MailboxPolicy,
    MailboxResumed,
    MailboxState,
    Overflow,
    PauseMailbox,
    ResumeMailbox,
    SetMailboxPolicy,
)
from core.mailbox.message import Draft
from core.mailbox.policy_check import NAME_LIMIT, check_name, check_policy
from core.store.memory import MemoryStore
from tests.support.mail_rig import ANA, BOX, MailRig, mail_rig


async def done(rig: MailRig, command: Command[Any]) -> Any:
    """What a command of ana's gives."""
    return await rig.handlers.execute(command, ANA)


async def test_a_mailbox_is_made_once() -> None:
    """The event carries its view and who made it; a second one of that name is refused."""
    async with mail_rig() as rig:
        view = await done(rig, CreateMailbox(mailbox=BOX, policy=MailboxPolicy(capacity=5)))
        assert (view.name, view.state, view.policy.capacity) == (BOX, MailboxState.OPEN, 5)
        assert [event.mailbox.name for event in rig.told(MailboxCreated)] == [BOX]
        assert rig.records[-1].actor == ANA
        with pytest.raises(ConflictError):
            await done(rig, CreateMailbox(mailbox=BOX))


async def test_rules_that_cannot_be_kept_change_nothing() -> None:
    """Neither a new mailbox nor an old one takes them."""
    async with mail_rig() as rig:
        with pytest.raises(InvalidInput):
            await done(rig, CreateMailbox(mailbox=BOX, policy=MailboxPolicy(capacity=-1)))
        assert rig.mailboxes.find(BOX) is None
        await rig.box()
        with pytest.raises(InvalidInput):
            await done(rig, SetMailboxPolicy(mailbox=BOX, policy=MailboxPolicy(max_deliveries=0)))
        assert rig.mailboxes.get(BOX).policy == MailboxPolicy()


async def test_rules_change_and_stay_after_a_restart() -> None:
    """All but whether it is durable."""
    store = MemoryStore()
    async with mail_rig(store) as rig:
        await rig.box()
        view = await done(rig, SetMailboxPolicy(mailbox=BOX, policy=MailboxPolicy(max_deliveries=9)))
        assert view.policy.max_deliveries == 9
        assert [event.mailbox.policy.max_deliveries for event in rig.told(MailboxChanged)] == [9]
        with pytest.raises(InvalidInput) as caught:
            await done(rig, SetMailboxPolicy(mailbox=BOX, policy=MailboxPolicy(durable=False)))
        assert caught.value.facts["field"] == "durable"
        with pytest.raises(NotFound):
            await done(rig, SetMailboxPolicy(mailbox=MailboxName("other"), policy=MailboxPolicy()))
    async with mail_rig(store) as rig:
        assert rig.mailboxes.get(BOX).policy.max_deliveries == 9


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("capacity", -1),
        ("block_s", -0.1),
        ("block_s", 3601.0),
        ("visibility_s", 0.0),
        ("visibility_s", math.inf),
        ("in_flight_limit", -1),
        ("max_deliveries", 0),
        ("max_deliveries", 1001),
        ("retry_base_s", -1.0),
        ("retry_cap_s", math.nan),
        ("retry_cap_s", 0.5),
        ("ttl_s", -1.0),
        ("dedupe_s", 1e9),
        ("body_limit_bytes", 0),
        ("body_limit_bytes", 10**9),
        ("dead_keep_count", -1),
        ("dead_keep_s", -1.0),
    ],
)
def test_a_rule_out_of_range_is_named_with_a_way_out(field: str, value: float) -> None:
    """Each field of the policy by itself."""
    with pytest.raises(InvalidInput) as caught:
        check_policy(msgspec.structs.replace(MailboxPolicy(), **{field: value}))
    assert caught.value.facts["field"] == field
    assert str(caught.value.facts["fix"]).startswith("use ")


def test_exactly_once_needs_a_store_and_a_window() -> None:
    """What cannot be promised is refused."""
    exact = MailboxPolicy(guarantee=Guarantee.EXACTLY_ONCE)
    check_policy(exact)
    for field, value in (("durable", False), ("dedupe_s", 0.0)):
        with pytest.raises(InvalidInput) as caught:
            check_policy(msgspec.structs.replace(exact, **{field: value}))
        assert caught.value.facts["field"] == field


@pytest.mark.parametrize("overflow", Overflow)
def test_the_rules_that_are_the_default_can_be_kept(overflow: Overflow) -> None:
    """With every way of overflow."""
    check_policy(MailboxPolicy(overflow=overflow, capacity=1))


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "a\n", "\x1b[31m", "-v", "x" * (NAME_LIMIT + 1), "a\u202eb", "a\u200bb"]
)
def test_a_name_that_cannot_be_typed_is_refused(name: str) -> None:
    """And is shown without its control characters."""
    with pytest.raises(InvalidInput) as caught:
        check_name(name)
    assert str(caught.value.facts["value"]).isprintable()


@pytest.mark.parametrize("name", ["a", "relay.out", "agent:main:über", "x" * NAME_LIMIT])
def test_an_ordinary_name_will_do(name: str) -> None:
    """Letters of any language, marks between them."""
    check_name(name)


async def test_a_mailbox_is_deleted_only_when_it_is_empty() -> None:
    """Live messages and dead letters keep it."""
    async with mail_rig() as rig:
        box = await rig.box()
        dead = await rig.killed(box, Draft(payload=1), "no")
        with pytest.raises(ConflictError):
            await done(rig, DeleteMailbox(mailbox=BOX))
        box.drop_now(dead)
        await box.post(Draft(payload=2))
        with pytest.raises(ConflictError):
            await done(rig, DeleteMailbox(mailbox=BOX))
        box.ack(await box.receive())
        receipt = await done(rig, DeleteMailbox(mailbox=BOX))
        assert receipt == BulkReceipt(matched=0, changed=0, is_dry_run=False, by_mailbox={"box": 0})
        assert rig.mailboxes.find(BOX) is None
        assert [event.name for event in rig.told(MailboxDeleted)] == [BOX]
        with pytest.raises(NotFound):
            await done(rig, DeleteMailbox(mailbox=BOX))


async def test_a_paused_mailbox_gives_nothing_out_until_it_is_resumed() -> None:
    """The view says who paused it and why."""
    async with mail_rig() as rig:
        box = await rig.box()
        view = await done(rig, PauseMailbox(mailbox=BOX, reason="maintenance"))
        assert (view.state, view.paused_by, view.paused_reason) == (MailboxState.PAUSED, "ana", "maintenance")
        assert view.paused_until is None
        await box.post(Draft(payload=1))
        assert box.try_receive() is None
        view = await done(rig, ResumeMailbox(mailbox=BOX))
        assert (view.state, view.paused_by) == (MailboxState.OPEN, "")
        assert box.try_receive() is not None
        assert len(rig.told(MailboxPaused)) == len(rig.told(MailboxResumed)) == 1


async def test_a_pause_can_end_by_itself() -> None:
    """After for_s seconds, and whoever waits is served."""
    async with mail_rig() as rig:
        box = await rig.box()
        view = await done(rig, PauseMailbox(mailbox=BOX, for_s=60))
        assert view.paused_until.mono == rig.clock.monotonic() + 60
        await box.post(Draft(payload=1))
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(box.receive())
            await rig.clock.advance(59)
            assert not waiting.done()
            await rig.clock.advance(2)
        assert waiting.result().payload == 1


@pytest.mark.parametrize("for_s", [-1.0, math.nan, math.inf])
async def test_a_pause_of_no_length_is_refused(for_s: float) -> None:
    """It names the field."""
    async with mail_rig() as rig:
        await rig.box()
        with pytest.raises(InvalidInput, match="for_s"):
            await done(rig, PauseMailbox(mailbox=BOX, for_s=for_s))


async def test_what_an_operator_posts_says_so() -> None:
    """Sender, kind and all that was given; a key counts as for any sender."""
    async with mail_rig() as rig:
        box = await rig.box()
        order = PostMail(
            mailbox=BOX, payload={"a": 1}, priority=Priority.HIGH, key="k", correlation="c", headers={"h": "v"}, ttl_s=9
        )
        receipt = await done(rig, order)
        assert (await done(rig, order)).is_duplicate
        mail = await box.receive()
        assert mail.id == receipt.mail_id
        assert (mail.sender, mail.kind, mail.message_type) == ("operator:ana", MailKind.CAST, "operator")
        assert (mail.payload, mail.correlation, mail.headers) == ({"a": 1}, "c", {"h": "v"})
        assert mail.expires_at == rig.clock.now() + 9


@pytest.mark.parametrize(
    "wrong",
    [
        {"message_type": "x" * 2001},
        {"key": "x" * 2001},
        {"correlation": "x" * 2001},
        {"headers": {"h": "x" * 2001}},
        {"headers": {str(number): "" for number in range(101)}},
        {"delay_s": -1.0},
        {"ttl_s": math.nan},
        {"payload": object()},
    ],
)
async def test_a_message_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    """Nothing is posted."""
    async with mail_rig() as rig:
        box = await rig.box()
        with pytest.raises(InvalidInput):
            await done(rig, PostMail(**{"mailbox": BOX, "payload": 1, **wrong}))
        assert box.depth == 0


async def test_a_post_is_refused_as_the_mailbox_refuses_it() -> None:
    """Full, closed, or not there."""
    async with mail_rig() as rig:
        box = await rig.box(capacity=1)
        await done(rig, PostMail(mailbox=BOX, payload=1))
        with pytest.raises(MailboxFull):
            await done(rig, PostMail(mailbox=BOX, payload=2))
        box.set_state(MailboxState.CLOSED)
        with pytest.raises(MailboxClosed):
            await done(rig, PostMail(mailbox=BOX, payload=3))
        with pytest.raises(NotFound):
            await done(rig, PostMail(mailbox=MailboxName("other"), payload=1))


async def test_every_word_about_mailboxes_has_its_handler() -> None:
    """No command or query of the facade is left out."""
    from core.api import mail, mailboxes
    from core.api.base import Query

    async with mail_rig() as rig:
        asked = {
            word
            for word in (*vars(mail).values(), *vars(mailboxes).values())
            if isinstance(word, type) and issubclass(word, Command | Query) and word not in {Command, Query}
        }
        assert rig.handlers.words == asked
