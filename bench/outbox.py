"""Ten thousand pending deliveries to fifty accounts: one that is told to wait and one that is dead must delay no other.

A delivery is timed from the moment at which all connections stand until its message reaches the platform's send(). The
same healthy load is sent alone and beside the two, in turn and as often first as second; the figure is the median of
the pairs. Each answer settles in a synced commit.
"""

import asyncio
import gc
import random
import tempfile
import time
import types
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.report import Figure, median, percentile
from core.api.base import DeliveryId, PlatformName, SessionId
from core.api.sessions import ChatKind, Source
from core.clock import SystemClock
from core.gateway import platforms as connections
from core.gateway.accounts import Accounts
from core.gateway.deliveries import Deliveries
from core.gateway.platform import Inbox, Limits, Outbound, PlatformContext, PlatformError, PlatformErrorKind
from core.gateway.platforms import Platforms
from core.ids import IdSource
from core.journal import Journal
from core.mailroom import Mailroom
from core.platform_settings import LoopbackSettings
from core.settings import DeliverySettings, Settings
from core.store import open_store
from core.supervisor import Supervisor
from tests.support.outbox import NoHttp, no_secret

ACCOUNTS = 50
LIMITED, DEAD = PlatformName("limited"), PlatformName("dead")
_SEND_S = 0.002
_CHATS = 20
_POSTED_AT_ONCE = 200


class Arrivals(list[float]):
    """When each delivery came, in seconds of the performance counter. full: set with the last of so many."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count
        self.full = asyncio.Event()

    def note(self) -> None:
        """One came."""
        self.append(time.perf_counter())
        if len(self) >= self._count:
            self.full.set()


class Far:
    """A far side."""

    kind = "loopback"
    limits = Limits()

    def __init__(self, name: PlatformName, arrived: Arrivals) -> None:
        self.name = name
        self._arrived = arrived

    async def run(self, inbox: Inbox) -> None:
        """Stand."""
        inbox.connected(str(self.name))
        await asyncio.Event().wait()

    async def send(self, message: Outbound) -> str:
        """Take it soon, ask to wait, or never answer."""
        if self.name == LIMITED:
            raise PlatformError(PlatformErrorKind.RETRY_AFTER, "too many requests", retry_after_s=0.5)
        if self.name == DEAD:
            await asyncio.sleep(3600.0)
        self._arrived.note()
        await asyncio.sleep(_SEND_S)
        return message.delivery_id


class _Deaf:
    def connected(self, address: str, *, problem: str = "") -> None:
        """Nothing comes in."""


@asynccontextmanager
async def _outboxes(
    names: list[PlatformName], arrived: Arrivals
) -> AsyncIterator[tuple[Deliveries, Mailroom, Platforms]]:
    clock = SystemClock()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        store = await open_store("sqlite:core.db", home=home, clock=clock)
        journal = Journal(store, clock)
        supervisor = Supervisor(clock, lambda *_: None, lambda *_: None)
        ids = IdSource(clock)
        settings = Settings(
            platforms={str(name): LoopbackSettings() for name in names}, deliveries=DeliverySettings(timeout_s=5.0)
        )
        module = types.SimpleNamespace(create=lambda name, *_: Far(name, arrived))
        connections.load_adapter = lambda _: module  # type: ignore[assignment,return-value]
        platforms = Platforms(
            store=store,
            journal=journal,
            clock=clock,
            supervisor=supervisor,
            settings=settings,
            context=PlatformContext(clock=clock, ids=ids, http=NoHttp(), secret=no_secret, home=home),
            inbox_for=lambda _: _Deaf(),  # type: ignore[arg-type,return-value]
        )
        mail = Mailroom(journal=journal, store=store, clock=clock, supervisor=supervisor, boot=1, random=random.random)
        accounts = Accounts(
            mail=mail,
            store=store,
            journal=journal,
            clock=clock,
            supervisor=supervisor,
            settings=settings.deliveries,
            sections=settings.platforms.get,
            limits_of=platforms.limits,
            random=random.random,
        )
        deliveries = Deliveries(
            mail=mail,
            store=store,
            journal=journal,
            clock=clock,
            ids=ids,
            supervisor=supervisor,
            settings=settings.deliveries,
            platforms=platforms,
            accounts=accounts,
            random=random.random,
            on_settled=lambda *_: None,
        )
        await mail.open()
        try:
            yield deliveries, mail, platforms
        finally:
            await mail.stop(0.1)
            await supervisor.stop(deadline_s=5)
            await mail.close()
            await store.close()


async def _post(deliveries: Deliveries, mail: Mailroom, names: list[PlatformName], each: int) -> None:
    """Store everything before anything can be sent."""
    for name in names:
        await deliveries.open_outbox(name)
    wanted = [(name, number) for number in range(each) for name in names]
    for first in range(0, len(wanted), _POSTED_AT_ONCE):
        transaction = mail.transaction()
        for name, number in wanted[first : first + _POSTED_AT_ONCE]:
            chat = f"c{number % _CHATS}"
            deliveries.post(
                transaction,
                Outbound(
                    delivery_id=DeliveryId(f"{name}-{number}"),
                    session_id=SessionId(f"{name}:dm:{chat}"),
                    source=Source(platform=name, kind=ChatKind.DM, chat=chat),
                    text="hello",
                ),
            )
        await transaction.commit((), ())


async def p99_s(healthy: int, each: int, *, is_beside: bool) -> tuple[float, float]:
    """The 99th percentile of the healthy deliveries, and the time until all of them were sent."""
    arrived = Arrivals(healthy * each)
    names = [PlatformName(f"a{number:02}") for number in range(healthy)]
    everyone = [LIMITED, DEAD, *names] if is_beside else names
    async with _outboxes(everyone, arrived) as (deliveries, mail, platforms):
        await _post(deliveries, mail, everyone, each)
        began = time.perf_counter()
        await platforms.start()
        await arrived.full.wait()
        taken = [at - began for at in arrived]
    return percentile(taken, 0.99), max(taken)


def measure(*, is_short: bool) -> list[Figure]:
    """The healthy accounts alone and beside the others, in turn."""
    # A single pair of short runs tells of the machine's noise alone.
    rounds, total = (10, 2_000) if is_short else (6, 10_000)
    each = total // ACCOUNTS
    healthy = ACCOUNTS - 2
    alone: list[tuple[float, float]] = []
    beside: list[tuple[float, float]] = []
    asyncio.run(p99_s(healthy, each // 5, is_beside=False))
    for number in range(rounds):
        for is_beside in (False, True) if number % 2 else (True, False):
            gc.collect()
            (beside if is_beside else alone).append(asyncio.run(p99_s(healthy, each, is_beside=is_beside)))
    ratio = median([with_them[0] / by_itself[0] for by_itself, with_them in zip(alone, beside, strict=True)])
    rate = median([healthy * each / seconds for _, seconds in beside])
    what = f"{total:,} pending to {ACCOUNTS} accounts"
    return [
        Figure(f"{what}: p99 of the healthy, alone", median([item[0] for item in alone]), "s", note="until send()"),
        Figure("the same beside one limited and one dead", median([item[0] for item in beside]), "s"),
        Figure("beside / alone", ratio, "x", target=1.2, note="in turn"),
        Figure("deliveries settled meanwhile", rate, "/s", note="each in a synced commit"),
    ]
