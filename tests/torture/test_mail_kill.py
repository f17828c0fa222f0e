"""A process with producers and consumers of mail is killed again and again; the sets must agree."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.mail_checks import Accounts, Value
from tests.support.mail_torture import SENDERS, drain
from tests.support.tree import ROOT

KILLS = 60
FEW_KILLS = 6
NAMES = [f"{kind}{number}" for kind in "po" for number in range(SENDERS)]


def killed(home: Path, starts: dict[str, int], after_s: float) -> tuple[list[str], str]:
    """Let them work for a while after the first confirmation, then kill them; what was said, and complaints."""
    command = [sys.executable, "-m", "tests.support.mail_torture", str(home)]
    command += [f"{sender}={number}" for sender, number in starts.items()]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    assert child.stdout is not None
    assert child.stderr is not None
    with child, child.stdout as speech:
        heard = [speech.readline()]
        while heard[-1] and not heard[-1].startswith(b"A"):
            heard.append(speech.readline())
        time.sleep(after_s)
        child.send_signal(signal.SIGKILL)
        heard += speech.readlines()
        complaints = child.stderr.read().decode()
    assert child.returncode == -signal.SIGKILL, complaints
    return [line.decode().strip() for line in heard if line.endswith(b"\n")], complaints


def noted(accounts: Accounts, lines: list[str]) -> None:
    """Enter what one start said."""
    settled: list[Value] = []
    for line in lines:
        act, sender, number = line.split()
        value = (sender, int(number))
        if act == "R":
            settled.append(value)
        else:
            (accounts.sent if act == "S" else accounts.acked).add(value)
    accounts.received.append(settled)


def next_of(accounts: Accounts) -> dict[str, int]:
    """Where each sender goes on: behind the last message that was confirmed to it."""
    last = dict.fromkeys(NAMES, 0)
    for sender, number in accounts.acked:
        last[sender] = max(last[sender], number)
    return {sender: number + 1 for sender, number in last.items()}


async def kill_again_and_again(home: Path, *, kills: int, seed: int) -> Accounts:
    """Kill, go on where it stopped; at the end settle what is left, and count."""
    dice = random.Random(seed)
    accounts = Accounts()
    for _ in range(kills):
        lines, complaints = await asyncio.to_thread(killed, home, next_of(accounts), dice.uniform(0.005, 0.3))
        noted(accounts, lines)
        assert complaints == ""
    left: list[str] = []
    accounts.effects, after, accounts.dead = await drain(home, left.append)
    noted(accounts, left)
    assert sorted(after) == sorted(accounts.effects)
    return accounts


@pytest.mark.torture
@pytest.mark.timeout(600)
async def test_no_confirmed_message_is_lost_and_none_has_two_effects(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sent, confirmed and received agree over all kills, in the order of each pair."""
    kills = KILLS if os.environ.get("HERMES_TORTURE") == "long" else FEW_KILLS
    accounts = await kill_again_and_again(tmp_path, kills=kills, seed=kills)
    with capsys.disabled():
        print(f"\nkills={kills} {accounts}")  # noqa: T201 -- the count is the result
    assert accounts.faults() == []
    assert len(accounts.acked) > kills * 10
    assert len(accounts.effects) > kills
    assert len(accounts.sent) - len(accounts.acked) <= len(NAMES)
