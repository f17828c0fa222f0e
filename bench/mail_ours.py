"""Our mailboxes over the SQLite store, with all that a core gives them: journal, supervisor, timers and cleaning.

One mailbox holds the mail of all senders, in order for each of them; no idempotency key is given.
"""

import asyncio
import contextlib
import random
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from bench.mail_load import BODY, CALLERS, awaited, awaited_cycle
from core.api.mailboxes import MailboxPolicy
from core.clock import SystemClock
from core.journal import Journal
from core.mailbox.mailboxes import Mailboxes
from core.mailbox.message import Draft
from core.store import open_store
from core.supervisor import Supervisor

_TEXT = BODY.decode()


@contextlib.asynccontextmanager
async def opened(folder: str, url: str = "sqlite:mail.db") -> AsyncIterator[Mailboxes]:
    """The mailboxes of one home; stored mail is being read when they are given."""
    clock = SystemClock()
    store = await open_store(url, home=Path(folder), clock=clock)
    faults: list[str] = []
    supervisor = Supervisor(
        clock,
        lambda view, error: faults.append(f"{view} {error}") if error else None,
        lambda *fault: faults.append(str(fault)),
    )
    boxes = Mailboxes(
        journal=Journal(store, clock), store=store, clock=clock, supervisor=supervisor, random=random.random
    )
    await boxes.open()
    try:
        yield boxes
        await boxes.close()
    finally:
        await supervisor.stop(deadline_s=5.0)
        await store.close()
    if faults:
        raise RuntimeError(f"the mailboxes had faults: {faults[:3]}")


def drafts() -> list[Draft]:
    """One draft for each sender."""
    return [Draft(payload=_TEXT, sender=f"sender-{number}", message_type="bench") for number in range(CALLERS)]


async def load(case: str, seconds: float, boxes: Mailboxes, mailbox: str = "bench") -> dict[str, float]:
    """One run on open mailboxes: `enqueue`, or the whole `cycle`."""
    box = await boxes.ensure(mailbox, MailboxPolicy())
    given = drafts()
    post, receive, ack = box.post, box.receive, box.ack

    async def send(number: int) -> None:
        await post(given[number])

    async def take(_: int) -> int:
        ack(await receive())
        return 1

    if case == "enqueue":
        return await awaited(seconds, send)
    result = await awaited_cycle(seconds, send, take)
    tally = box.tally()
    if tally.difference or tally.done != result["count"] or tally.redelivered:
        raise RuntimeError(f"the counts do not add up: {tally}")
    return result


async def ours(case: str, seconds: float, folder: str) -> dict[str, float]:
    """One run in a new store."""
    home = Path(folder) / "ours"
    home.mkdir(mode=0o700)
    try:
        async with opened(str(home)) as boxes:
            return await load(case, seconds, boxes)
    finally:
        await asyncio.to_thread(shutil.rmtree, home)
