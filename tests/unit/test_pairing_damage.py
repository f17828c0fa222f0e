"""Rows that cannot be read: nothing is changed, nothing is rewritten, and nobody is let in by it."""

import asyncio

import pytest

from core.api.access import Rule
from core.api.errors import StoreError
from core.api.pairings import ApprovePairing, BlockSender, CreateInvite, ListPairings, PairingId, VoidInvite
from core.gateway.access import Access
from core.store.base import Batch, Committed, Put, Row
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock
from tests.support.pairing_rig import LOCAL, OPERATOR, desk, key_of, message, rules

EVERYBODY = Access({LOCAL: rules(allow_all="config.yaml:3")})


async def damaged(body: bytes) -> tuple[MemoryStore, FakeClock]:
    """A store with one sender let in, one blocked, and the row of another one replaced."""
    store, clock = MemoryStore(), FakeClock()
    async with desk(store=store, clock=clock) as found:
        for sender in ("41", "42"):
            await found.write(sender)
            await found.approve(sender)
        await found.order(BlockSender(platform=LOCAL, sender_id="43"))
    await store.commit(Batch([Put(f"pairing/{key_of('42')}", body)]))
    return store, clock


async def bytes_of(store: MemoryStore) -> list[Row]:
    """All rows as they are."""
    return [row for prefix in ("pairing/", "invite/") for row in await store.scan(prefix)]


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"view": 7}', b"\xff\xfe", b'{"view": {"type": "PairingView", "new": 1}}']
)
async def test_a_row_that_cannot_be_read_makes_pairing_read_only(body: bytes) -> None:
    """The reason is in the list; every order is refused with it; the bytes stay as they are."""
    store, clock = await damaged(body)
    before = await bytes_of(store)
    async with desk(store=store, clock=clock) as found:
        listed = await found.parts.pairings.list_pairings(ListPairings())
        assert "cannot be read" in listed.problem
        assert str(key_of("42")) in listed.problem
        for order in (
            ApprovePairing(pairing_id=key_of("41")),
            BlockSender(platform=LOCAL, sender_id="44"),
            CreateInvite(),
            VoidInvite(invite_id="i-1"),
        ):
            with pytest.raises(StoreError, match="cannot be read"):
                await found.order(order)
        await found.write("99", "let me in")
        await found.pass_time(100_000)
    assert await bytes_of(store) == before


async def test_who_was_decided_about_legibly_stays_so() -> None:
    """Those let in are let in, those blocked are blocked, and the one that cannot be read is not let in."""
    store, clock = await damaged(b"{")
    async with desk(store=store, clock=clock) as found:
        assert (await found.write("41")).rule is Rule.PAIRED
        assert (await found.write("43")).rule is Rule.BLOCKED
        assert not (await found.write("42")).is_admitted


async def test_no_list_lets_in_whoever_may_have_been_blocked() -> None:
    """Not even where everybody is let in."""
    store, clock = await damaged(b"{")
    async with desk(store=store, clock=clock, access=EVERYBODY) as found:
        assert (await found.write("42")).rule is Rule.BLOCKED
        assert (await found.write("44")).is_admitted


async def test_a_row_under_anothers_key_counts_as_damaged() -> None:
    """Copying bytes from one key to another lets nobody in."""
    store, clock = await damaged(b"{")
    good = await store.get(f"pairing/{key_of('41')}")
    assert good is not None
    await store.commit(Batch([Put(f"pairing/{key_of('42')}", good.body)]))
    async with desk(store=store, clock=clock) as found:
        assert not (await found.write("42")).is_admitted
        assert found.rows.problem


async def test_a_store_that_cannot_be_read_at_all_lets_nobody_in() -> None:
    """Whoever was blocked might be anybody."""

    class Unreadable(MemoryStore):
        async def scan(
            self, prefix: str, *, after: str = "", limit: int | None = None, newest_first: bool = False
        ) -> list[Row]:
            """Fail."""
            raise StoreError("the disk is broken", cause="io")

    async with desk(store=Unreadable(), access=EVERYBODY) as found:
        assert (await found.write("42")).rule is Rule.BLOCKED
        assert "the disk is broken" in found.parts.pairings.problem


async def test_a_decision_that_could_not_be_stored_did_not_happen() -> None:
    """The operator is told; the next message is judged as before; the request is still there."""

    class Full(MemoryStore):
        is_full = False

        def submit(self, batch: Batch) -> asyncio.Future[Committed]:
            """Refuse while full."""
            if self.is_full:
                raise StoreError("the disk is full", cause="full")
            return super().submit(batch)

    store = Full()
    async with desk(store=store) as found:
        await found.write("42")
        store.is_full = True
        with pytest.raises(StoreError):
            await found.parts.pairings.approve_pairing(ApprovePairing(pairing_id=key_of("42")), OPERATOR)
        assert not (await found.write("42")).is_admitted
        stranger = message("77")
        error = await found.parts.gate.turned_away(stranger, found.parts.gate.verdict(stranger))
        # The platform brings the message again: otherwise nobody would know that somebody asked.
        assert isinstance(error, StoreError)
        assert error.retryable
        assert PairingId(key_of("77")) not in found.rows.rows
        store.is_full = False
        await found.approve("42")
        assert (await found.write("42")).is_admitted
