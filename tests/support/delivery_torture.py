"""A program that answers chats as fast as it can, to be killed in the middle of it, and a far side that remembers.

    python -m tests.support.delivery_torture HOME CHAT=NEXT ...     answers from those numbers on, until killed
    python -m tests.support.delivery_torture HOME --drain           sends what is left, and ends

It says `A CHAT NUMBER` once an answer is stored for good. The far side keeps one line for each message that it took in
HOME/far.log, `DELIVERY CHAT PART TEXT`, and one for each attempt of one that it knew already, with `=` before it.
"""

import asyncio
import os
import random
import sys
import types
from pathlib import Path
from typing import Any

from core.api.base import DeliveryId, MessageId, PlatformName, SessionId
from core.api.sessions import ChatKind, Source
from core.clock import SystemClock
from core.gateway import platforms as connections
from core.gateway.accounts import Accounts
from core.gateway.deliveries import Deliveries
from core.gateway.platform import Inbox, Limits, Outbound, PlatformContext
from core.gateway.platforms import Platforms
from core.ids import IdSource
from core.journal import Journal
from core.mailroom import Mailroom
from core.platform_settings import LoopbackSettings
from core.settings import DeliverySettings, Settings
from core.store import open_store
from core.supervisor import Supervisor
from tests.support.outbox import NoHttp, no_secret

FAR = PlatformName("far")
LIMIT = 60
_LONG_EVERY = 3


def text_of(chat: str, number: int) -> str:
    """An answer; each third one is too long for one message."""
    words = f"{chat} {number} "
    return words * (12 if number % _LONG_EVERY == 0 else 1)


class FarSide:
    """Takes each delivery id once, whatever happens to who sends."""

    name = FAR
    kind = "loopback"
    limits = Limits(text_limit=LIMIT)

    def __init__(self, log: Path) -> None:
        self._file = os.open(log, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        lines = log.read_text(encoding="utf-8").splitlines()
        self._known = {line.split(" ", 1)[0] for line in lines if not line.startswith("=")}
        self._dice = random.Random()

    async def run(self, inbox: Inbox) -> None:
        """Stand."""
        inbox.connected("far")
        await asyncio.Event().wait()

    async def send(self, message: Outbound) -> str:
        """Take it, and answer a little later."""
        await asyncio.sleep(self._dice.uniform(0, 0.004))
        mark = "=" if message.delivery_id in self._known else ""
        self._known.add(message.delivery_id)
        line = f"{mark}{message.delivery_id} {message.source.chat} {message.part} {message.text!r}\n"
        os.write(self._file, line.encode())
        await asyncio.sleep(self._dice.uniform(0, 0.004))
        return message.delivery_id


async def _built(home: Path) -> tuple[Deliveries, Mailroom, Supervisor, Any]:
    clock = SystemClock()
    store = await open_store("sqlite:core.db", home=home, clock=clock)
    journal = Journal(store, clock)
    supervisor = Supervisor(clock, lambda *_: None, _complain)
    ids = IdSource(clock)
    settings = Settings(platforms={FAR: LoopbackSettings()}, deliveries=DeliverySettings(max_attempts=100))
    module = types.SimpleNamespace(create=lambda *_: FarSide(home / "far.log"))
    connections.load_adapter = lambda _: module  # type: ignore[assignment,return-value]
    platforms = Platforms(
        store=store,
        journal=journal,
        clock=clock,
        supervisor=supervisor,
        settings=settings,
        context=PlatformContext(clock=clock, ids=ids, http=NoHttp(), secret=no_secret, home=home),
        inbox_for=lambda _: Deaf(),
    )
    boot = int((home / "boot").read_text()) + 1 if (home / "boot").exists() else 1
    (home / "boot").write_text(str(boot))
    mail = Mailroom(journal=journal, store=store, clock=clock, supervisor=supervisor, boot=boot, random=random.random)
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
    await deliveries.recover()
    await platforms.start()
    return deliveries, mail, supervisor, store


class Deaf:
    """Nothing comes in."""

    def connected(self, address: str, *, problem: str = "") -> None:
        """Fine."""


def _complain(name: str, error: Exception) -> None:
    sys.stderr.write(f"{name}: {error!r}\n")


async def answer(deliveries: Deliveries, mail: Mailroom, chat: str, number: int) -> None:
    """Store one, as the end of a run does."""
    outbound = Outbound(
        delivery_id=DeliveryId(f"{chat}-{number}"),
        session_id=SessionId(f"far:dm:{chat}"),
        source=Source(platform=FAR, kind=ChatKind.DM, chat=chat),
        text=text_of(chat, number),
        message_id=MessageId(f"m-{chat}-{number}"),
    )
    await deliveries.open_outbox(FAR)
    transaction = mail.transaction()
    deliveries.post(transaction, outbound)
    await transaction.commit((), ())
    sys.stdout.write(f"A {chat} {number}\n")
    sys.stdout.flush()
    deliveries.posted(outbound)


async def _answer_on(deliveries: Deliveries, mail: Mailroom, chat: str, number: int) -> None:
    while True:
        await answer(deliveries, mail, chat, number)
        number += 1
        while deliveries.waiting_count > 200:  # noqa: ASYNC110 - a program to be killed may look now and then
            await asyncio.sleep(0.005)


async def main(argv: list[str]) -> None:
    """Answer until killed, or drain."""
    deliveries, mail, supervisor, store = await _built(Path(argv[0]))
    if argv[1:] == ["--drain"]:
        while deliveries.waiting_count:  # noqa: ASYNC110 - the same
            await asyncio.sleep(0.01)
        sys.stdout.write(f"D {deliveries.dead_count} 0\n")
        await mail.stop(5)
        await supervisor.stop(deadline_s=5)
        await mail.close()
        await store.close()
        return
    async with asyncio.TaskGroup() as group:
        for pair in argv[1:]:
            chat, _, number = pair.partition("=")
            group.create_task(_answer_on(deliveries, mail, chat, int(number)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
