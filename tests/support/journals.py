"""Events that can be told apart, written to a journal and read from it."""

import asyncio

from core.api.base import Record
from core.api.system import AlarmRaised
from core.journal import Journal, Subscription


def said(text: str) -> AlarmRaised:
    """An event that can be told apart by its text."""
    return AlarmRaised(what="test", error=text)


def text_of(record: Record) -> str:
    """The text of such an event."""
    assert isinstance(record.event, AlarmRaised)
    return record.event.error


async def tell(journal: Journal, *texts: str, subject: str = "s") -> None:
    """Commit one event after another."""
    for text in texts:
        await journal.commit((), [(subject, said(text))])


async def taken(subscription: Subscription, count: int) -> list[str]:
    """The texts of the next records."""
    return [text_of(await anext(subscription)) for _ in range(count)]


async def until_idle(rounds: int = 50) -> None:
    """Let everything run that can."""
    for _ in range(rounds):
        await asyncio.sleep(0)
