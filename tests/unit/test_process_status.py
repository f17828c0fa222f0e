"""The status of a core's process: believed only as far as the process proves it."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.api.processes import FailedStart, ProcessStanding
from core.home import HomeLock, prepare
from core.process_state import (
    CRASH_LOOP_STARTS,
    CRASH_LOOP_WINDOW_S,
    STALE_INTERVALS,
    Attempt,
    Identity,
    Phase,
    Status,
    judge,
    looping,
)
from core.process_status import STATUS_NAME, Beat, read_process
from core.processes import is_alive, own_identity, start_of
from core.starts import Starts, digest_of, read_attempts
from tests.support.clocks import FakeClock

BOOT = "b-1"
HERE = Identity(7, BOOT, "100")


def written(phase: Phase, **fields: object) -> Status:
    """What a core wrote at 1,000 seconds of its boot."""
    status = Status(
        process=HERE,
        phase=phase,
        version="1",
        interval_s=2.0,
        started_at=5_000.0,
        started_mono=900.0,
        heartbeat_at=5_100.0,
        heartbeat_mono=1_000.0,
    )
    return msgspec.structs.replace(status, **fields)


def test_nothing_written_is_never() -> None:
    """A home without a status file never had a core."""
    assert judge(None, is_alive=False, boot=BOOT, now=0, mono=0).state is ProcessStanding.NEVER


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.RUNNING, Phase.DRAINING])
def test_a_process_that_is_gone_is_crashed_whatever_it_wrote(phase: Phase) -> None:
    """What it was is told as the reason."""
    found = judge(written(phase), is_alive=False, boot=BOOT, now=5_100, mono=1_000)
    assert found.state is ProcessStanding.CRASHED
    assert phase.value in found.reason


def test_a_machine_that_was_restarted_makes_a_crash() -> None:
    """A pid of an earlier boot is nobody."""
    found = judge(written(Phase.RUNNING), is_alive=False, boot="b-2", now=9_000, mono=10)
    assert (found.state, found.reason) == (
        ProcessStanding.CRASHED,
        "the machine was restarted; the core was running",
    )


@pytest.mark.parametrize(("late_s", "state"), [(6.0, ProcessStanding.RUNNING), (6.1, ProcessStanding.HUNG)])
def test_three_missed_heartbeats_are_hung(late_s: float, state: ProcessStanding) -> None:
    """Just as many as the rule says, and not one less."""
    found = judge(written(Phase.RUNNING), is_alive=True, boot=BOOT, now=0, mono=1_000 + late_s)
    assert found.state is state


@given(now=st.floats(-1e12, 1e12), mono=st.floats(1_000, 1_000 + STALE_INTERVALS * 2.0))
def test_no_step_of_the_wall_clock_changes_a_verdict(now: float, mono: float) -> None:
    """Within a boot only the monotonic clock counts."""
    found = judge(written(Phase.RUNNING), is_alive=True, boot=BOOT, now=now, mono=mono)
    assert found.state is ProcessStanding.RUNNING
    assert found.heartbeat_age_s == mono - 1_000
    assert found.age_s == mono - 900


@pytest.mark.parametrize(
    ("phase", "state"), [(Phase.STOPPED, ProcessStanding.STOPPED), (Phase.FAILED, ProcessStanding.FAILED)]
)
def test_a_last_word_stands_whatever_became_of_the_process(phase: Phase, state: ProcessStanding) -> None:
    """Who has said that it ended has ended, years later, too."""
    for is_there in (True, False):
        assert judge(written(phase), is_alive=is_there, boot="b-9", now=9e9, mono=0).state is state


def test_a_pid_that_was_given_to_another_is_not_taken_for_it() -> None:
    """Our pid with another start is not us."""
    own = own_identity()
    assert is_alive(own)
    assert not is_alive(msgspec.structs.replace(own, start="1"))
    assert not is_alive(msgspec.structs.replace(own, boot="another"))


def test_a_process_that_nobody_has_waited_for_is_gone() -> None:
    """A zombie does nothing any more."""
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert start_of(process.pid) is None


async def test_a_beat_writes_a_file_of_its_owner_that_is_read_back(tmp_path: Path) -> None:
    """Mode 600, with pid, start, boot and heartbeat; every change is there at once."""
    clock = FakeClock()
    beat = Beat(tmp_path, clock)
    await beat.begin(await asyncio.to_thread(own_identity))
    file = tmp_path / STATUS_NAME
    assert file.stat().st_mode & 0o777 == 0o600
    found = await asyncio.to_thread(read_process, tmp_path, clock)
    assert (found.state, found.pid) == (ProcessStanding.STARTING, os.getpid())
    await beat.say(Phase.RUNNING)
    assert (await asyncio.to_thread(read_process, tmp_path, clock)).state is ProcessStanding.RUNNING
    await clock.advance(100)
    late = await asyncio.to_thread(read_process, tmp_path, clock)
    assert late.state is ProcessStanding.HUNG
    assert late.heartbeat_age_s == pytest.approx(100)
    await beat.end(Phase.STOPPED, "told to")
    await beat.say(Phase.RUNNING)
    assert (await asyncio.to_thread(read_process, tmp_path, clock)).state is ProcessStanding.STOPPED


async def test_a_clock_that_is_set_makes_no_core_older_or_younger(tmp_path: Path) -> None:
    """Years ahead or back: it runs, and its ages are those of before."""
    clock = FakeClock()
    beat = Beat(tmp_path, clock)
    await beat.begin(await asyncio.to_thread(own_identity))
    await beat.say(Phase.RUNNING)
    await clock.advance(3)
    for wall_s in (1e8, -2e8):
        clock.jump(wall_s)
        found = await asyncio.to_thread(read_process, tmp_path, clock)
        assert (found.state, found.heartbeat_age_s, found.age_s) == (ProcessStanding.RUNNING, 3.0, 3.0)


def test_a_damaged_file_is_no_running_core(tmp_path: Path) -> None:
    """What cannot be read proves nothing, and says so."""
    (tmp_path / STATUS_NAME).write_bytes(b'{"phase": "runn')
    found = read_process(tmp_path, FakeClock())
    assert found.state is ProcessStanding.CRASHED
    assert "damaged" in found.reason


def test_who_holds_the_home_without_a_word_starts_or_is_silent(tmp_path: Path) -> None:
    """Just after the lock was taken it starts; later it is said that it writes nothing."""
    home = tmp_path / "home"
    prepare(home)
    lock = HomeLock(home)
    lock.acquire()
    clock = FakeClock(now=(home / "core.lock").stat().st_mtime + 1)
    assert read_process(home, clock).state is ProcessStanding.STARTING
    clock = FakeClock(now=(home / "core.lock").stat().st_mtime + 100)
    found = read_process(home, clock)
    lock.release()
    assert (found.state, found.pid) == (ProcessStanding.HUNG, os.getpid())


def failure(at: float, mono: float, *, digest: str = "d", boot: str = BOOT) -> Attempt:
    """A start that failed."""
    why = FailedStart(at=at, part="store", code="config", message="no")
    return Attempt(process=Identity(1, boot), at=at, mono=mono, digest=digest, failure=why)


def test_three_failures_on_one_configuration_are_a_loop() -> None:
    """Two are none; a changed configuration begins anew; so does a long pause."""
    three = tuple(failure(5_000 + n, 100 + n) for n in range(CRASH_LOOP_STARTS))

    def asked(attempts: tuple[Attempt, ...], *, digest: str = "d", mono: float = 110) -> FailedStart | None:
        return looping(attempts, digest=digest, boot=BOOT, now=0, mono=mono)

    assert asked(three) is not None
    assert asked(three[1:]) is None
    assert asked(three, digest="mended") is None
    assert asked(three, mono=110 + CRASH_LOOP_WINDOW_S) is None


def test_failures_of_an_earlier_boot_count_by_the_wall_clock() -> None:
    """A machine that restarts because of us must not hide the loop."""
    three = tuple(failure(5_000 + n, 100 + n, boot="b-0") for n in range(CRASH_LOOP_STARTS))
    assert looping(three, digest="d", boot=BOOT, now=5_010, mono=3) is not None
    assert looping(three, digest="d", boot=BOOT, now=4_000, mono=3) is None


def test_the_book_keeps_failures_until_a_start_is_ready(tmp_path: Path) -> None:
    """What a process that died was starting is known; an own end counts for nothing; ready forgets all."""
    clock = FakeClock()
    gone = Identity(2**22 + 1, own_identity().boot, "5")
    died = Starts(tmp_path, clock)
    died.begin(gone)
    died.step("platforms")
    ended = Starts(tmp_path, clock)
    ended.begin(own_identity())
    ended.withdraw()
    (left,) = read_attempts(tmp_path)
    assert (left.part, left.failure) == ("platforms", None)
    ready = Starts(tmp_path, clock)
    ready.begin(own_identity())
    ready.ready()
    assert read_attempts(tmp_path) == ()


def test_three_processes_that_died_while_starting_are_a_loop_that_names_the_part(tmp_path: Path) -> None:
    """Nobody could write a reason; what was being started is known all the same."""
    own = own_identity()
    for pid in range(3):
        died = Starts(tmp_path, FakeClock())
        assert died.begin(msgspec.structs.replace(own, pid=2**22 + 1 + pid)) is None
        died.step("platforms")
    found = Starts(tmp_path, FakeClock()).begin(own)
    assert found is not None
    assert (found.code, found.message) == ("crashed", "the process died while starting platforms")


def _broken() -> None:
    raise RuntimeError("hunter2")


def test_an_unknown_error_is_noted_without_its_words(tmp_path: Path) -> None:
    """They may hold a secret; type, file and line do not."""
    starts = Starts(tmp_path, FakeClock())
    starts.begin(own_identity())
    with pytest.raises(RuntimeError) as raised:
        _broken()
    found = starts.failed(raised.value)
    assert "hunter2" not in json.dumps(msgspec.to_builtins(read_attempts(tmp_path)))
    assert "RuntimeError" in found.message
    assert "test_process_status.py:" in found.message


def test_whoever_touches_the_configuration_begins_anew(tmp_path: Path) -> None:
    """Files, agents, `.env` and variables are all part of it; other variables are not."""
    before = digest_of(tmp_path, {})
    assert digest_of(tmp_path, {"PATH": "/bin"}) == before
    assert digest_of(tmp_path, {"HERMES_CONSOLE__HTTP__PORT": "1"}) != before
    (tmp_path / ".env").write_text("A=1\n", encoding="utf-8")
    assert digest_of(tmp_path, {}) != before
