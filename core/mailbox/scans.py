"""Looks at much mail that let the loop breathe: however much there is, nobody waits for it."""

from collections.abc import AsyncIterator, Sequence
from operator import attrgetter

from core.mailbox.filter import Fits
from core.mailbox.message import Mail
from core.waits import breathe

_PORTION = 512
_UNIT_BYTES = 256

_id = attrgetter("id")


async def portions(mails: Sequence[Mail]) -> AsyncIterator[Sequence[Mail]]:
    """All of them in order, as many at a time as are looked at within a few milliseconds; a breath after each."""
    start = spent = 0
    for place, mail in enumerate(mails, 1):
        spent += 1 + len(mail.body) // _UNIT_BYTES
        if spent >= _PORTION:
            yield mails[start:place]
            start, spent = place, 0
            await breathe()
    if start < len(mails):
        yield mails[start:]


async def fitting(mails: Sequence[Mail], fits: Fits) -> list[Mail]:
    """Those that fit when they are looked at, in the order given."""
    found: list[Mail] = []
    async for portion in portions(mails):
        found += [mail for mail in portion if fits(mail)]
    return found


async def first_fitting(mails: Sequence[Mail], fits: Fits, *, after: int, limit: int) -> list[Mail]:
    """The `limit` lowest ids beyond `after` among those that fit, in order."""
    found: list[Mail] = []
    last: float = float("inf")
    async for portion in portions(mails):
        found += [mail for mail in portion if after < mail.id < last and fits(mail)]
        if len(found) >= limit:
            found.sort(key=_id)
            del found[limit:]
            if found:
                last = found[-1].id
    found.sort(key=_id)
    return found
