"""Producers and consumers of mail in a process that a test kills, again and again, on one store.

`python -m tests.support.mail_torture HOME SENDER=N...` goes on from the N-th message of each sender until it is
killed. On stdout: "S sender n" before a message is sent, "A sender n" once it is confirmed, "R sender n" once
a consumer of mailbox `plain` has settled it. Consumers of `once` write their effect as a row in the commit that settles
the message, with a message to `after`.
"""

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from core.api.errors import MailboxFull
from core.api.mailboxes import Guarantee, MailboxPolicy, Overflow
from core.clock import SystemClock
from core.journal import Journal
from core.mailbox.mailbox import Mailbox
from core.mailbox.mailboxes import Mailboxes
from core.mailbox.message import Draft
from core.store.base import Put, Store
from core.supervisor import Supervisor
from tests.support.mail_checks import Value
from tests.support.stores import opened

SENDERS = 8
CONSUMERS = 3
EFFECT = "effect/"
PLAIN, ONCE, AFTER = "plain", "once", "after"

Said = Callable[[str], None]

_RULES = {
    "capacity": 100,
    "overflow": Overflow.BLOCK,
    "block_s": 60.0,
    "visibility_s": 60.0,
    "max_deliveries": 1000,
    "retry_base_s": 0.01,
    "retry_cap_s": 0.05,
    "dedupe_s": 3600.0,
}
_FAIL_SHARE = 0.1
_RELEASE_SHARE = 0.05


class Bench:
    """The mailboxes of one process. said: hears of every settlement."""

    def __init__(self, store: Store, said: Said) -> None:
        clock = SystemClock()
        self.store = store
        self.journal = Journal(store, clock)
        self.supervisor = Supervisor(clock, lambda _view, error: _fail(error), lambda *error: _fail(str(error)))
        self.boxes = Mailboxes(
            journal=self.journal, store=store, clock=clock, supervisor=self.supervisor, random=random.random
        )
        self._said = said
        self._effect = 0

    async def open(self) -> None:
        """The mailboxes, and the number of the next effect."""
        last = await self.store.scan(EFFECT, newest_first=True, limit=1)
        self._effect = int(last[0].key.removeprefix(EFFECT)) if last else 0
        await self.boxes.open()
        for name in (PLAIN, ONCE):
            guarantee = Guarantee.EXACTLY_ONCE if name == ONCE else Guarantee.AT_LEAST_ONCE
            await self.boxes.ensure(name, MailboxPolicy(guarantee=guarantee, **_RULES))  # type: ignore[arg-type] # rules
        await self.boxes.ensure(AFTER, MailboxPolicy(ordered=False))

    async def produce(self, sender: str, number: int) -> None:
        """Send one message after another, each once the one before it is confirmed."""
        box = self.boxes.get(ONCE if sender.startswith("o") else PLAIN)
        while True:
            self._said(f"S {sender} {number}")
            try:
                # The first one may have been stored before the kill: its key tells.
                await box.post(Draft(payload=number, sender=sender, key=f"{sender}/{number}"))
            except MailboxFull:
                continue
            self._said(f"A {sender} {number}")
            number += 1

    async def consume(self, box: Mailbox) -> None:
        """Take, now and then fail, settle."""
        while True:
            mail = await box.receive()
            luck = random.random()
            if luck < _FAIL_SHARE:
                box.nack(mail, error="bad luck")
            elif luck < _FAIL_SHARE + _RELEASE_SHARE:
                box.release(mail)
            elif box.name == ONCE:
                transaction = self.boxes.transaction()
                transaction.ack(mail)
                transaction.post(AFTER, Draft(payload=[mail.sender, mail.payload], sender=ONCE, causation=mail.id))
                self._effect += 1
                await transaction.commit([Put(f"{EFFECT}{self._effect:010}", f"{mail.sender} {mail.payload}".encode())])
            else:
                box.ack(mail)
                self._said(f"R {mail.sender} {mail.payload}")


@asynccontextmanager
async def bench(home: Path, said: Said) -> AsyncIterator[Bench]:
    """Mailboxes on the store of a home, in this process."""
    store = await opened("sqlite", home)
    found = Bench(store, said)
    await found.open()
    yield found
    await found.supervisor.stop(deadline_s=5.0)
    await found.boxes.close()
    await store.close()


async def work(home: Path, starts: list[Value]) -> None:
    """Until killed."""
    async with bench(home, _say) as found, asyncio.TaskGroup() as group:
        for sender, number in starts:
            group.create_task(found.produce(sender, number))
        for name in (PLAIN, ONCE):
            for _ in range(CONSUMERS):
                group.create_task(found.consume(found.boxes.get(name)))


async def drain(home: Path, said: Said) -> tuple[list[Value], list[Value], set[Value]]:
    """Settle all that is left: the effects and the messages to `after` over all starts, and dead letters."""
    async with bench(home, said) as found:
        await found.boxes.indexed()
        boxes = [found.boxes.get(name) for name in (PLAIN, ONCE)]
        tasks = [asyncio.get_running_loop().create_task(found.consume(box)) for box in boxes for _ in range(CONSUMERS)]
        while any(box.depth for box in boxes):  # noqa: ASYNC110 -- there is no event for it
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert [box.name for box in found.boxes.all() if box.tally().difference] == []
        rows = await found.store.scan(EFFECT)
        effects = [(sender, int(number)) for sender, number in (row.body.decode().split() for row in rows)]
        after = [(mail.payload[0], mail.payload[1]) for mail in found.boxes.get(AFTER).live()]
        dead = {(mail.sender, mail.payload) for box in boxes for mail in (box.dead or {}).values()}
    return effects, after, dead


def _say(line: str) -> None:
    # One write for one line, so that a kill leaves no half line behind a whole one.
    os.write(1, f"{line}\n".encode())


def _fail(error: str) -> None:
    if error:
        os.write(2, f"{error}\n".encode())


if __name__ == "__main__":
    pairs = (argument.split("=") for argument in sys.argv[2:])
    asyncio.run(work(Path(sys.argv[1]), [(sender, int(number)) for sender, number in pairs]))
