"""The log is kept short, and nothing that is needed goes with what is let go."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from core.mailbox import cleaning
from core.mailbox.message import Draft, Mail
from core.store.base import Batch, Put
from tests.support.mail_stage import MailStage, on_stage
from tests.unit.test_mail_restart import drained

KINDS = pytest.mark.parametrize("kind", ["memory", "sqlite"])


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaning, "_KEPT_PACKS", 4)


def is_from(sender: str, mail: Mail) -> bool:
    """Whether somebody sent it."""
    return mail.sender == sender


def packs_of(stage: MailStage) -> int:
    """Packs that the log has."""
    stats = stage.store.stats()
    return stats.mail_last - stats.mail_first + 1


async def cleaned(stage: MailStage) -> None:
    """Give the cleaning its time."""
    for _ in range(3):
        await stage.advance(6.0)
        # What the cleaning asks of the store is done before this is.
        for _ in range(6):
            await stage.store.read_packs(after=10**9)
            await stage.store.commit(Batch([Put("scratch", b"")]))
            await stage.settle()


@KINDS
async def test_the_log_of_settled_mail_is_let_go(kind: str, tmp_path: Path) -> None:
    """However much went through, few packs are left when the keys are out of their window."""
    async with on_stage(kind, tmp_path) as stage:
        box = await stage.box()
        for number in range(60):
            await box.post(Draft(payload=number, sender="ana", key=f"k{number}"))
            box.ack(await box.receive())
        await stage.settle()
        assert packs_of(stage) > 60
        await stage.advance(121.0)
        await cleaned(stage)
        assert packs_of(stage) <= 6


@KINDS
async def test_nothing_that_lives_is_lost_by_cleaning(kind: str, tmp_path: Path) -> None:
    """Queued, delayed, failed, in flight and dead: each is at the next start what it was, with its story."""
    async with on_stage(kind, tmp_path) as stage:
        box = await stage.box(max_deliveries=3, visibility_s=9000.0)
        for name in ("queued", "flight", "failed", "dead"):
            await box.post(Draft(payload=name, sender=name, headers={"a": "b"}, correlation="c"))
        await box.post(Draft(payload="delayed", sender="delayed", delay_s=5000.0))
        for name in ("flight", "failed", "dead"):
            mail = await box.receive(partial(is_from, name))
            if name == "failed":
                box.nack(mail, error="no", delay_s=5000.0)
            elif name == "dead":
                box.reject(mail, error="never")
        for number in range(100):
            await box.post(Draft(payload=number, sender="many"))
            box.ack(await box.receive(lambda mail: mail.sender == "many"))
        await stage.settle()
        before = stage.store.stats().mail_first
        await cleaned(stage)
        assert stage.store.stats().mail_first > before + 50
        assert packs_of(stage) < 30
        await stage.crash()
        box = stage.boxes.get("box")
        found = {mail.payload: (mail.state.value, mail.attempt, mail.crashes) for mail in box.live()}
        assert found == {
            "queued": ("queued", 0, 0),
            "flight": ("queued", 1, 1),
            "failed": ("delayed", 1, 0),
            "delayed": ("delayed", 0, 0),
        }
        (dead,) = (box.dead or {}).values()
        assert (dead.payload, dead.error, dead.headers, dead.correlation) == ("dead", "never", {"a": "b"}, "c")
        await stage.advance(5001.0)
        assert sorted(str(payload) for payload in await drained(box)) == ["delayed", "failed", "flight", "queued"]


@KINDS
async def test_keys_and_ids_outlive_the_packs_they_were_in(kind: str, tmp_path: Path) -> None:
    """A duplicate is still one right after a cleaning and a restart, and ids go on."""
    async with on_stage(kind, tmp_path) as stage:
        box = await stage.box(dedupe_s=1000.0)
        last = 0
        for number in range(60):
            last = (await box.post(Draft(payload=number, sender="ana", key=f"k{number}"))).mail_id
            box.ack(await box.receive())
        await stage.settle()
        before = stage.store.stats().mail_first
        await cleaned(stage)
        assert stage.store.stats().mail_first > before
        for _ in range(3):
            await stage.crash()
            box = stage.boxes.get("box")
            for number in (0, 30, 59):
                assert (await box.post(Draft(payload="again", key=f"k{number}"))).is_duplicate
            new = (await box.post(Draft(payload="new", sender="bo"))).mail_id
            assert new > last
            last = new
            await drained(box)
            await stage.settle()
            await cleaned(stage)


async def test_ids_go_on_when_everything_was_let_go() -> None:
    """The newest pack stays, and knows the next id."""
    async with on_stage() as stage:
        box = await stage.box(dedupe_s=0.0)
        for number in range(40):
            await box.post(Draft(payload=number))
            box.ack(await box.receive())
        await stage.advance(10.0)
        await cleaned(stage)
        await stage.crash()
        assert (await stage.boxes.get("box").post(Draft(payload="new"))).mail_id > 40


async def test_stored_mail_is_not_cleaned_away_before_it_is_read() -> None:
    """Much new mail during a slow start must not make the log forget the old."""
    async with on_stage() as stage:
        box = await stage.box()
        for number in range(5):
            await box.post(Draft(payload=number, sender="ana"))
        await stage.crash(is_indexed=False)
        gate = asyncio.Event()
        read_packs = stage.store.read_packs

        async def slow(**where: int) -> object:
            await gate.wait()
            return await read_packs(**where)

        stage.store.read_packs = slow  # type: ignore[assignment,method-assign] # a slow disk
        box = stage.boxes.get("box")
        assert stage.boxes.is_indexing
        for number in range(20):
            await box.post(Draft(payload=f"new {number}", sender="bo", guarantee=None))
        stage.store.read_packs = read_packs  # type: ignore[method-assign] # the cleaning reads, the start waits
        await stage.clock.advance(6.0)
        gate.set()
        await stage.boxes.indexed()
        assert box.depth == 25
        await stage.crash()
        assert stage.boxes.get("box").depth == 25


async def test_what_happens_during_a_cleaning_is_not_undone_by_it() -> None:
    """Messages that are settled, failed or taken while their copies are being written stay so."""
    async with on_stage() as stage:
        box = await stage.box(ordered=False)
        for number in range(60):
            await box.post(Draft(payload=number, sender="ana"))
        for _ in range(54):
            box.ack(await box.receive())
        await stage.settle()
        stage.store.is_held = True
        stage.clock.step(5.5)
        for _ in range(20):
            await asyncio.sleep(0)
        assert stage.store.held_count > 0
        box.ack(await box.receive())
        box.nack(await box.receive(), error="no", delay_s=100.0)
        box.reject(await box.receive(), error="never")
        await box.receive()
        stage.store.let_go()
        await stage.settle()
        await stage.crash()
        tally = stage.boxes.get("box").tally()
        assert (tally.queued, tally.delayed, tally.dead) == (3, 1, 1)
