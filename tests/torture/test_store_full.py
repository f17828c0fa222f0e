"""A store on a full disk lives on its ballast: what makes room is still written, and all goes on when there is room."""

import asyncio
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.api.errors import StoreError
from core.store.ballast import PROBE_EVERY_S, Ballast
from core.store.base import Batch, Entry, Put, Store
from tests.support.clocks import FakeClock
from tests.support.small_disks import SmallDisk, mounted, played
from tests.support.stores import FILE, files_in, mailed, opened, records_of

BALLAST_BYTES = 1024 * 1024
BALLAST = f"{FILE}.ballast"


@pytest.fixture(params=["mounted", "played"])
def disk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallDisk]:
    """A small disk; where none can be mounted, both are played."""
    if request.param == "mounted":
        with mounted(tmp_path / "small") as made:
            if made is not None:
                yield made
                return
    with played(tmp_path / "small", monkeypatch) as made:
        yield made


async def opened_with_ballast(disk: SmallDisk, clock: FakeClock) -> Store:
    """A store whose ballast is in place."""
    store = await opened("sqlite", disk.folder, clock, ballast_bytes=BALLAST_BYTES)
    await store.count("")
    assert (disk.folder / BALLAST).stat().st_size == BALLAST_BYTES
    return store


async def fill_up(store: Store, disk: SmallDisk) -> list[str]:
    """Commit mail until there is no more room; what was acknowledged."""
    await asyncio.to_thread(disk.take, but_bytes=300_000)
    return await commit_until_full(store, FakeClock(), is_relief=False)


async def commit_until_full(store: Store, clock: FakeClock, *, is_relief: bool) -> list[str]:
    """Commit mail, and let time pass, until there is no more room; what was acknowledged."""
    done: list[str] = []
    for number in range(1000):
        text = f"{is_relief} {number}" + "." * 20_000
        asked = store.submit(mailed(text, is_relief=is_relief))
        await asyncio.wait([asked])
        failure = asked.exception()
        if failure is not None:
            assert isinstance(failure, StoreError)
            assert failure.facts["cause"] == "full"
            assert failure.facts["fix"]
            return done
        done.append(text)
        clock.step(PROBE_EVERY_S)
    pytest.fail("a small disk does not become full")


async def test_relief_is_written_on_a_full_disk(disk: SmallDisk) -> None:
    """The ballast goes, ordinary batches are refused, relief and reading work, and the state is shown."""
    store = await opened_with_ballast(disk, FakeClock())
    done = await fill_up(store, disk)
    assert done
    assert store.stats().is_full
    assert BALLAST not in files_in(disk.folder)
    for number in range(60):
        await store.commit(Batch([Put("acked", b"%d" % number)], [Entry("s", b"ack")], [b"ack"], is_relief=True))
        with pytest.raises(StoreError) as caught:
            await store.commit(mailed("more"))
        assert caught.value.facts["cause"] == "full"
    assert await records_of(store) == [*done, *["ack"] * 60]
    await store.commit(mailed("floor", floor=len(done), is_relief=True))
    assert await records_of(store) == [*["ack"] * 60, "floor"]
    await store.close()


async def test_a_store_takes_everything_again_when_there_is_room(disk: SmallDisk) -> None:
    """Seen by a look now and then, not before; the ballast is back, and no place was left out."""
    clock = FakeClock()
    store = await opened_with_ballast(disk, clock)
    done = await fill_up(store, disk)
    await store.commit(mailed("ack", is_relief=True))
    disk.give()
    with pytest.raises(StoreError):
        await store.commit(mailed("too soon"))
    clock.step(PROBE_EVERY_S)
    await store.commit(mailed("again"))
    assert not store.stats().is_full
    assert (disk.folder / BALLAST).stat().st_size == BALLAST_BYTES
    assert store.stats().mail_last == len(done) + 2
    await store.close()
    store = await opened("sqlite", disk.folder, clock)
    assert await records_of(store) == [*done, "ack", "again"]
    assert store.stats().losses == ()
    await store.close()


async def test_relief_in_the_group_that_met_the_full_disk_is_written(disk: SmallDisk) -> None:
    """At once, without the ordinary batches that stood beside it; answers come in order."""
    store = await opened_with_ballast(disk, FakeClock())
    await store.commit(mailed("before"))
    await asyncio.to_thread(disk.take, but_bytes=100_000)
    asked = [
        store.submit(mailed("x" * 150_000)),
        store.submit(mailed("relief 1", is_relief=True)),
        store.submit(mailed("y" * 150_000)),
        store.submit(Batch([Put("k", b"", expect=9)], mail=[b"never"], is_relief=True)),
        store.submit(mailed("relief 2", is_relief=True)),
    ]
    ends = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(end).__name__ for end in ends] == [
        "StoreError", "Committed", "StoreError", "ConflictError", "Committed",
    ]  # fmt: skip
    assert await records_of(store) == ["before", "relief 1", "relief 2"]
    await store.close()


async def test_a_disk_that_stays_full_is_no_room_for_relief_either(disk: SmallDisk) -> None:
    """Once the ballast is used up that is said as well, and nothing that was acknowledged suffers."""
    clock = FakeClock()
    store = await opened_with_ballast(disk, clock)
    done = await fill_up(store, disk)
    done += await commit_until_full(store, clock, is_relief=True)
    assert store.stats().is_full
    assert await records_of(store) == done
    await store.close()
    disk.give()
    store = await opened("sqlite", disk.folder, clock)
    assert await records_of(store) == done
    await store.close()


async def test_without_ballast_every_batch_takes_its_chance(disk: SmallDisk) -> None:
    """Nothing is refused unseen; what fits is written."""
    store = await opened("sqlite", disk.folder, FakeClock())
    done = await fill_up(store, disk)
    assert store.stats().is_full
    disk.give()
    await store.commit(mailed("again"))
    assert not store.stats().is_full
    assert await records_of(store) == [*done, "again"]
    await store.close()


# ---------------------------------------------------------------- the ballast itself


def test_the_ballast_is_room_and_not_a_hole(tmp_path: Path) -> None:
    """Its blocks are taken, and only the owner may read it."""
    path = tmp_path / BALLAST
    assert Ballast(path, BALLAST_BYTES).put()
    found = path.stat()
    assert (found.st_size, stat.S_IMODE(found.st_mode)) == (BALLAST_BYTES, 0o600)
    assert found.st_blocks * 512 >= BALLAST_BYTES
    assert [path.name for path in tmp_path.iterdir()] == [BALLAST]


@pytest.mark.parametrize("former", [b"", b"x" * 10, b"x" * 2 * BALLAST_BYTES])
def test_a_ballast_of_another_size_is_replaced(tmp_path: Path, former: bytes) -> None:
    """Also half a one that a crash left; a good one stays as it is."""
    path = tmp_path / BALLAST
    path.write_bytes(former)
    path.with_name(f"{BALLAST}.new").write_bytes(former)
    ballast = Ballast(path, BALLAST_BYTES)
    assert ballast.put()
    number = path.stat().st_ino
    assert ballast.put()
    assert (path.stat().st_size, path.stat().st_ino) == (BALLAST_BYTES, number)


def test_a_ballast_that_is_not_wanted_is_let_go_of(tmp_path: Path) -> None:
    """And its absence makes nothing full."""
    path = tmp_path / BALLAST
    assert Ballast(path, BALLAST_BYTES).put()
    ballast = Ballast(path, 0)
    assert not ballast.put()
    assert not path.exists()
    assert not ballast.release(now=5.0)
    assert not ballast.is_full


def test_a_ballast_leaves_as_much_room_as_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk that is nearly full it would be what fills it."""
    from core.store import ballast

    for free, is_put in [(2 * BALLAST_BYTES - 1, False), (2 * BALLAST_BYTES, True)]:
        monkeypatch.setattr(ballast, "free_bytes", lambda _, free=free: free)
        assert Ballast(tmp_path / BALLAST, BALLAST_BYTES).put() is is_put


def test_a_full_disk_is_looked_at_now_and_then(tmp_path: Path) -> None:
    """Not each time somebody asks; while it is full, nothing else puts the ballast back."""
    ballast = Ballast(tmp_path / BALLAST, BALLAST_BYTES)
    assert ballast.release(now=10.0)
    assert not ballast.put()
    ballast.look(now=10.0 + PROBE_EVERY_S / 2)
    assert ballast.is_full
    ballast.look(now=10.0 + PROBE_EVERY_S)
    assert not ballast.is_full
    assert (tmp_path / BALLAST).exists()
