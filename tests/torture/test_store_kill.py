"""A store whose process is killed in the middle of writing."""

import asyncio
import itertools
import random
import signal
import time
from pathlib import Path

import pytest

from core.api.base import Seq
from core.store.base import Row, StoredEntry
from tests.support.stores import opened, records_of, start_program

Acknowledged = tuple[str, int, int]


def killed(home: Path, after_s: float) -> list[Acknowledged]:
    """Let the program commit for a while after its first acknowledgement, kill it; what it acknowledged."""
    child = start_program("commit", home)
    assert child.stdin is not None
    assert child.stdout is not None
    with child, child.stdout as speech:
        first = speech.readline()
        time.sleep(after_s)
        child.send_signal(signal.SIGKILL)
        child.stdin.close()
        lines = (first + speech.read()).decode().splitlines()
    assert child.returncode == -signal.SIGKILL
    return [(key, int(revision), int(seq)) for key, revision, seq in map(str.split, lines)]


async def what_is_there(home: Path) -> tuple[list[Row], list[StoredEntry], list[str]]:
    """All rows, entries and mail, after opening and closing the store in this process; nothing is told as lost."""
    store = await opened("sqlite", home)
    rows = await store.scan("")
    entries = await store.read(after=Seq(0), limit=10**9)
    mail = await records_of(store)
    assert store.stats().losses == ()
    await store.close()
    return rows, entries, mail


async def kill_again_and_again(home: Path, *, rounds: int) -> None:
    """Kill, open, compare; the same store all the time."""
    dice = random.Random(rounds)
    acknowledged: list[Acknowledged] = []
    for _ in range(rounds):
        acknowledged += await asyncio.to_thread(killed, home, dice.uniform(0, 0.3))
        rows, entries, mail = await what_is_there(home)
        seqs = [entry.seq for entry in entries]
        assert all(one < other for one, other in itertools.pairwise(seqs))
        assert sorted(mail) == sorted(f"{entry.subject} {entry.body.decode()}" for entry in entries)
        by_seq = {entry.seq: (entry.subject, entry.body) for entry in entries}
        for key, revision, seq in acknowledged:
            assert by_seq[Seq(seq)] == (key, str(revision).encode())
        last = {key: revision for key, revision, _ in acknowledged}
        for row in rows:
            told = [int(entry.body) for entry in entries if entry.subject == row.key]
            assert told == list(range(1, row.revision + 1))
            assert row.body == str(row.revision).encode()
            # Each writer asks for one commit at a time; only that one may be there without a word.
            assert row.revision - last.get(row.key, 0) <= 1
        unheard = sum(row.revision for row in rows) - len(acknowledged)
        assert 0 <= unheard <= len(rows)
        acknowledged = [(entry.subject, int(entry.body), entry.seq) for entry in entries]
    assert acknowledged


async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    """Twice killed: nothing lost, rows and journal agree, at most one commit for each writer is extra."""
    await kill_again_and_again(tmp_path, rounds=2)


@pytest.mark.torture
async def test_what_was_acknowledged_survives_many_kills(tmp_path: Path) -> None:
    """The same, ten times on one store."""
    await kill_again_and_again(tmp_path, rounds=10)
