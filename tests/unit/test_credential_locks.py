"""Locks on credentials: one core of a user for each account, whatever crashed before."""

import asyncio
import os
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from core.api.base import PlatformName
from core.api.platforms import PlatformDisconnected, PlatformState
from core.gateway.locks import CredentialLocks, Owner, lock_folder, lock_name
from core.gateway.platform import PlatformError
from core.process_state import Identity
from core.processes import boot_id, own_identity, start_of
from tests.support.clocks import FakeClock
from tests.support.outbox import LOCAL, FakePlatform, outbox

BOT = PlatformName("bot")


class Account(FakePlatform):
    """A connection that only one program may make at a time."""

    credential = ("telegram", "digest-of-a-token")


def locks(tmp_path: Path, home: str = "home") -> CredentialLocks:
    """The locks of a core of one home."""
    return CredentialLocks(tmp_path / home, FakeClock(), folder=tmp_path / "locks")


@asynccontextmanager
async def held(of: CredentialLocks, name: PlatformName, platform: FakePlatform) -> AsyncIterator[None]:
    """The lock of a connection for the time of a block."""
    async with of.lease(name) as lease:
        await lease.take(platform)
        yield


def file(tmp_path: Path) -> Path:
    """The lock file of the account."""
    return tmp_path / "locks" / lock_name(*Account.credential)


def left_by(tmp_path: Path, process: Identity) -> None:
    """A lock file as another process left it."""
    file(tmp_path).parent.mkdir()
    owner = Owner(process=process, home="/home/ana/other", platform="tg", at=1.0)
    file(tmp_path).write_bytes(msgspec.json.encode(owner))


def test_the_folder_is_shared_by_all_homes_of_a_user() -> None:
    """Below XDG_STATE_HOME, or below the own folder; a relative setting is none."""
    assert lock_folder({"XDG_STATE_HOME": "/s"}) == Path("/s/hermes-console/locks")
    own = Path("~/.local/state/hermes-console/locks").expanduser()
    assert lock_folder({}) == own
    assert lock_folder({"XDG_STATE_HOME": "s"}) == own


def test_a_name_tells_nothing_and_mixes_nothing_up() -> None:
    """Kind and identity are hashed together; no two pairs come to the same."""
    names = {lock_name("a", "b:token"), lock_name("ab", ":token"), lock_name("a", "b:other")}
    assert len(names) == 3
    assert all("token" not in name for name in names)


async def test_a_lock_is_held_and_given_back(tmp_path: Path) -> None:
    """File 600, folder 700, with pid, start and boot; afterwards the file is there and empty."""
    async with held(locks(tmp_path), BOT, Account(BOT)):
        owner = msgspec.json.decode(file(tmp_path).read_bytes(), type=Owner)
        assert owner.process == await asyncio.to_thread(own_identity)
        assert (owner.home, owner.platform) == (str(tmp_path / "home"), "bot")
        assert stat.S_IMODE(file(tmp_path).stat().st_mode) == 0o600
        assert stat.S_IMODE(file(tmp_path).parent.stat().st_mode) == 0o700
    assert file(tmp_path).read_bytes() == b""


async def test_a_lock_is_kept_between_two_attempts(tmp_path: Path) -> None:
    """Asking for it again is nothing; it goes with the end of the block."""
    async with locks(tmp_path).lease(BOT) as lease:
        await lease.take(Account(BOT))
        before = file(tmp_path).read_bytes()
        await lease.take(Account(BOT))
        assert file(tmp_path).read_bytes() == before
    assert file(tmp_path).read_bytes() == b""


async def test_a_second_core_is_refused_with_the_pid_and_home_of_the_first(tmp_path: Path) -> None:
    """Another home, or another connection of the same home."""
    async with held(locks(tmp_path), BOT, Account(BOT)):
        with pytest.raises(PlatformError, match=rf"process {os.getpid()} of {tmp_path}/home \(bot\)"):
            async with held(locks(tmp_path, "second"), BOT, Account(BOT)):
                pytest.fail("both had it")
        with pytest.raises(PlatformError, match="connection bot of this home"):
            async with held(locks(tmp_path), PlatformName("twin"), Account(BOT)):
                pytest.fail("both had it")
    async with held(locks(tmp_path, "second"), BOT, Account(BOT)):
        assert b"second" in file(tmp_path).read_bytes()


async def test_a_lock_of_a_live_process_elsewhere_holds(tmp_path: Path) -> None:
    """It was taken by a process that is there, with that very start."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "input()", stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    start = await asyncio.to_thread(start_of, process.pid)
    left_by(tmp_path, Identity(process.pid, await asyncio.to_thread(boot_id), start or ""))
    with pytest.raises(PlatformError, match=rf"process {process.pid} of /home/ana/other"):
        async with held(locks(tmp_path), BOT, Account(BOT)):
            pytest.fail("both had it")
    await process.communicate(b"\n")


_HOLDS = """
import fcntl, sys
stream = open(sys.argv[1], "r+b")
fcntl.flock(stream, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


async def test_a_lock_holds_against_a_process_that_cannot_be_seen(tmp_path: Path) -> None:
    """In another container it has a pid that is nobody here; the system knows all the same, and lets go with it."""
    left_by(tmp_path, Identity(2**22 + 1, await asyncio.to_thread(boot_id), "1"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _HOLDS, str(file(tmp_path)), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 20) == b"held\n"
    with pytest.raises(PlatformError, match=rf"process {2**22 + 1} of /home/ana/other"):
        async with held(locks(tmp_path), BOT, Account(BOT)):
            pytest.fail("both had it")
    process.kill()
    await process.communicate()
    async with held(locks(tmp_path), BOT, Account(BOT)):
        assert str(tmp_path).encode() in file(tmp_path).read_bytes()


async def test_who_is_stopped_while_it_takes_the_lock_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs in a thread cannot be cancelled: taken too late, it is given back all the same."""
    began, go_on, is_done = threading.Event(), threading.Event(), threading.Event()
    take = CredentialLocks.take

    def slowly(self: CredentialLocks, name: PlatformName, kind: str, identity: str) -> object:
        began.set()
        assert go_on.wait(20)
        try:
            return take(self, name, kind, identity)
        finally:
            is_done.set()

    monkeypatch.setattr(CredentialLocks, "take", slowly)

    async def connected() -> None:
        async with held(locks(tmp_path), BOT, Account(BOT)):
            pytest.fail("it was stopped before")

    taking = asyncio.create_task(connected())
    assert await asyncio.to_thread(began.wait, 20)
    taking.cancel()
    # The thread is let go on only when its waiter has been told.
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(taking, 20)
    assert await asyncio.to_thread(is_done.wait, 20)
    assert file(tmp_path).read_bytes() == b""


@pytest.mark.parametrize("of", ["a dead pid", "a pid that was given away", "an earlier boot", "nobody"])
async def test_what_a_crash_left_behind_holds_nothing(tmp_path: Path, of: str) -> None:
    """The pid is gone, or belongs to another, or the machine was restarted, or the file is damaged."""
    boot = await asyncio.to_thread(boot_id)
    gone = {
        "a dead pid": Identity(2**22 + 1, boot, "1"),
        "a pid that was given away": Identity(os.getppid(), boot, "1"),
        "an earlier boot": Identity(os.getppid(), "before", await asyncio.to_thread(start_of, os.getppid()) or ""),
        "nobody": Identity(0, boot, ""),
    }
    left_by(tmp_path, gone[of])
    if of == "nobody":
        file(tmp_path).write_bytes(b'{"process": {"pid"')
    async with held(locks(tmp_path), BOT, Account(BOT)):
        assert str(tmp_path).encode() in file(tmp_path).read_bytes()


async def test_a_connection_without_a_credential_needs_no_lock(tmp_path: Path) -> None:
    """Nothing is written."""
    async with held(locks(tmp_path), BOT, FakePlatform(BOT)):
        assert not (tmp_path / "locks").exists()


async def test_without_a_place_for_locks_nobody_connects(tmp_path: Path) -> None:
    """What to do is said; two programs on one account would be worse."""
    (tmp_path / "locks").write_text("")
    with pytest.raises(PlatformError, match="XDG_STATE_HOME"):
        async with held(locks(tmp_path), BOT, Account(BOT)):
            pytest.fail("it had it")


async def test_a_locked_account_is_down_with_its_holder_on_the_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection never runs while another process has the account, and says who."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = lock_folder({"XDG_STATE_HOME": str(tmp_path / "state")})
    folder.mkdir(parents=True)
    parent = os.getppid()
    process = Identity(parent, await asyncio.to_thread(boot_id), await asyncio.to_thread(start_of, parent) or "")
    owner = Owner(process=process, home="/home/ana/other", platform="tg", at=1.0)
    (folder / lock_name(*Account.credential)).write_bytes(msgspec.json.encode(owner))
    made: list[Account] = []

    def create(name: PlatformName, *_: object) -> FakePlatform:
        platform = Account(name) if name == LOCAL else FakePlatform(name)
        made.extend([platform] if isinstance(platform, Account) else [])
        return platform

    async with outbox(monkeypatch, create=create) as built:
        (down,) = await built.until(PlatformDisconnected, 1)
        view = down.platform
        assert (view.name, view.state) == (LOCAL, PlatformState.CONFLICT)
        assert f"process {parent} of /home/ana/other (tg)" in view.last_error
        assert view.holder == f"process {parent} of /home/ana/other (tg)"
        assert made[0].run_count == 0
