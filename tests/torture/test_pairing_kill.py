"""kill -9 around decisions about senders, and two shells at once: what was acknowledged holds, and nothing else."""

import asyncio
import itertools
import json
import os
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from core.api.base import Actor, ActorKind, PlatformName
from core.api.codec import decode_view
from core.api.errors import AlreadyDecided, HermesError
from core.api.pairings import (
    ApprovePairing,
    BlockSender,
    GetPairing,
    PairingApproved,
    PairingId,
    PairingReceipt,
    PairingRevoked,
    PairingState,
    PairingView,
    RevokePairing,
    UnblockSender,
)
from core.api.port import Hermes
from core.api.system import ListEvents
from core.connect import attach
from core.home import prepare
from tests.support.served_core import ServedCore

CONFIG = "http: {enabled: true, port: 0}\n"
LOCAL = PlatformName("local")
OPERATOR = Actor(ActorKind.OPERATOR, "ana")
SENDERS = 5
KILLS, FEW_KILLS = 40, 8
CALLS = 200
STEPS: dict[PairingState, tuple[type[Any], PairingState]] = {
    PairingState.REVOKED: (ApprovePairing, PairingState.APPROVED),
    PairingState.APPROVED: (RevokePairing, PairingState.REVOKED),
}

pytestmark = [pytest.mark.torture, pytest.mark.timeout(600)]


@pytest.fixture
async def core(tmp_path: Path) -> Any:
    """A core as users start it."""
    home = tmp_path / "home"
    await asyncio.to_thread(prepare, home)
    (home / "config.yaml").write_text(CONFIG, encoding="utf-8")
    served = ServedCore(home)
    await served.start()
    yield served
    await served.kill()


async def known_senders(hermes: Hermes, count: int) -> list[PairingId]:
    """Senders that were blocked and unblocked: they have rows and no access."""
    found: list[PairingId] = []
    for number in range(count):
        blocked = await hermes.execute(BlockSender(platform=LOCAL, sender_id=f"s{number}"), actor=OPERATOR)
        await hermes.execute(UnblockSender(pairing_id=blocked.pairing.id), actor=OPERATOR)
        found.append(blocked.pairing.id)
    return found


class Books:
    """For one sender: the state that was acknowledged last, and what was asked for since."""

    def __init__(self, key: PairingId) -> None:
        self.key = key
        self.state = PairingState.REVOKED
        self.asked: PairingState | None = None
        self.acknowledged = 0

    async def keep_deciding(self, hermes: Hermes) -> None:
        """Let in and take back in turn until the core is gone."""
        while True:
            order, state = STEPS[self.state]
            self.asked = state
            try:
                receipt = await hermes.execute(order(pairing_id=self.key), actor=OPERATOR)
            except AlreadyDecided as error:
                # It took place before the kill, unacknowledged; the core remembers.
                self.state = PairingState(str(error.facts["outcome"]))
                continue
            except HermesError:
                return
            assert receipt.pairing.state is state
            self.state, self.asked = state, None
            self.acknowledged += 1

    def check(self, view: PairingView) -> None:
        """What was acknowledged is so, unless the order that was cut off came about instead."""
        assert view.state in {self.state, self.asked or self.state}
        self.state, self.asked = view.state, None


async def test_what_was_acknowledged_survives_every_kill(core: ServedCore) -> None:
    """Approving and revoking five senders at once while the core is killed again and again."""
    rng = random.Random(7)
    kills = KILLS if os.environ.get("HERMES_TORTURE") == "long" else FEW_KILLS
    hermes = await attach(core.home)
    books = [Books(key) for key in await known_senders(hermes, SENDERS)]
    await hermes.close()
    for _ in range(kills):
        hermes = await attach(core.home)
        deciding = [asyncio.get_running_loop().create_task(book.keep_deciding(hermes)) for book in books]
        await asyncio.sleep(rng.uniform(0.02, 0.4))
        await core.kill()
        async with asyncio.timeout(30):
            await asyncio.gather(*deciding)
        await hermes.close()
        await core.start()
        hermes = await attach(core.home)
        for book in books:
            book.check(await hermes.query(GetPairing(pairing_id=book.key)))
        await hermes.close()
    assert all(book.acknowledged for book in books)


async def calls(home: Path, key: PairingId, count: int, rng: random.Random) -> tuple[list[PairingView], Counter[int]]:
    """One shell after another, each with one decision; what was acknowledged, and the exit codes."""
    acknowledged: list[PairingView] = []
    codes: Counter[int] = Counter()
    for _ in range(count):
        verb = rng.choice((["approve"], ["revoke", "--yes"]))
        argv = [sys.executable, "-m", "console", "--home", str(home), "--json", "pairing", verb[0], str(key), *verb[1:]]
        process = await asyncio.create_subprocess_exec(
            *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, complaint = await process.communicate()
        code = process.returncode or 0
        codes[code] += 1
        if code == 0:
            receipt = decode_view(out.strip())
            assert isinstance(receipt, PairingReceipt)
            acknowledged.append(receipt.pairing)
        else:
            assert json.loads(complaint)["code"] in {"decided", "refused"}
    return acknowledged, codes


async def test_two_shells_at_once_end_in_the_last_acknowledged_state(core: ServedCore) -> None:
    """Two hundred decisions about one sender from two sides; every acknowledged one is in the journal, in order."""
    hermes = await attach(core.home)
    [key] = await known_senders(hermes, 1)
    async with asyncio.timeout(500):
        sides = await asyncio.gather(*(calls(core.home, key, CALLS // 2, random.Random(seed)) for seed in (1, 2)))
    acknowledged = sorted((view for views, _ in sides for view in views), key=lambda view: view.version)
    last = await hermes.query(GetPairing(pairing_id=key))
    assert (last.version, last.state) == (acknowledged[-1].version, acknowledged[-1].state)
    assert len({view.version for view in acknowledged}) == len(acknowledged)
    states = [view.state for view in acknowledged]
    assert all(one is not two for one, two in itertools.pairwise(states))
    page = await hermes.query(ListEvents(limit=5000, subject=str(key)))
    told = [record.event for record in page.records if isinstance(record.event, PairingApproved | PairingRevoked)]
    assert [event.pairing.version for event in told] == [view.version for view in acknowledged]
    assert sum(sum(codes.values()) for _, codes in sides) == CALLS
    await hermes.close()
