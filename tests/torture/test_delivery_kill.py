"""A core is killed again and again in the middle of sending; the far side has each stored answer once, in order."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from core.gateway.chunking import chunks
from tests.support.delivery_torture import LIMIT, text_of
from tests.support.tree import ROOT

KILLS = 40
FEW_KILLS = 5
CHATS = [f"c{number}" for number in range(6)]


def _command(home: Path, *rest: str) -> list[str]:
    return [sys.executable, "-m", "tests.support.delivery_torture", str(home), *rest]


def killed(home: Path, following: dict[str, int], after_s: float) -> tuple[list[str], str]:
    """Let it work for a while after the first answer, then kill it; what was said, and complaints."""
    command = _command(home, *(f"{chat}={number}" for chat, number in following.items()))
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    assert child.stdout is not None
    assert child.stderr is not None
    with child, child.stdout as speech:
        heard = [speech.readline()]
        time.sleep(after_s)
        child.send_signal(signal.SIGKILL)
        heard += speech.readlines()
        complaints = child.stderr.read().decode()
    assert child.returncode == -signal.SIGKILL, complaints
    return [line.decode().strip() for line in heard if line.endswith(b"\n")], complaints


@pytest.mark.torture
@pytest.mark.timeout(600)
async def test_every_stored_answer_arrives_exactly_once_whenever_the_core_is_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Parts of long ones too, in the order of each chat; what the far side was asked twice it knew by its id."""
    kills = KILLS if os.environ.get("HERMES_TORTURE") == "long" else FEW_KILLS
    dice = random.Random(kills)
    last = dict.fromkeys(CHATS, 0)
    confirmed: set[tuple[str, str]] = set()
    for _ in range(kills):
        # A number whose storing was not confirmed is given out to nobody else.
        following = {chat: number + 1000 for chat, number in last.items()}
        lines, complaints = await asyncio.to_thread(killed, tmp_path, following, dice.uniform(0.02, 0.4))
        assert complaints == ""
        for line in lines:
            _, chat, number = line.split()
            confirmed.add((chat, number))
            last[chat] = max(last[chat], int(number))
    done = await asyncio.to_thread(
        subprocess.run, _command(tmp_path, "--drain"), cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split() == ["D", "0", "0"]
    log = (tmp_path / "far.log").read_text(encoding="utf-8").splitlines()
    again = sum(line.startswith("=") for line in log)
    taken = [line.split(" ", 3) for line in log if not line.startswith("=")]
    assert [key for key, count in Counter(item[0] for item in taken).items() if count > 1] == []
    texts: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    order: defaultdict[str, list[int]] = defaultdict(list)
    for delivery_id, chat, part, text in taken:
        number = delivery_id.partition("-")[2].partition(".")[0]
        texts[chat, number].append(text)
        order[chat].append(int(number) * 100 + int(part))
    with capsys.disabled():
        print(  # noqa: T201 -- the count is the result
            f"\nkills={kills} confirmed={len(confirmed)} arrived={len(texts)} messages={len(taken)} asked twice={again}"
        )
    assert confirmed <= texts.keys()
    assert len(texts) - len(confirmed) <= kills * len(CHATS)
    for (chat, number), parts in texts.items():
        assert parts == [repr(part.text) for part in chunks(text_of(chat, int(number)), LIMIT)]
    assert all(numbers == sorted(numbers) for numbers in order.values())
    assert again <= kills * 16
    assert len(confirmed) > kills * 5
