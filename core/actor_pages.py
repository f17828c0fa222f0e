"""Pages of the journal with what certain actors caused: looked for a bounded number of records at a time."""

from typing import Protocol

from core.api.base import Record, Seq
from core.api.system import ListEvents

LOOKED_THROUGH = 20_000
_PAGE = 2_000


class Read(Protocol):
    """Reads the journal; see Journal.read."""

    async def __call__(
        self, *, after: Seq | None = None, before: Seq | None = None, subject: str = "", limit: int = 500
    ) -> list[Record]:
        """Records in order."""
        ...


async def by_actors(read: Read, query: ListEvents) -> tuple[list[Record], Seq]:
    """Records that the asked actors caused, and how far was looked: go on from there; 0 is the begin."""
    wanted = frozenset(query.actors)
    found: list[Record] = []
    reached = query.after if query.after is not None else query.before or Seq(0)
    looked = 0
    while len(found) < query.limit and looked < LOOKED_THROUGH:
        if query.after is not None:
            page = await read(after=reached, subject=query.subject, limit=_PAGE)
        else:
            page = await read(before=reached or None, subject=query.subject, limit=_PAGE)
        if not page:
            return found, reached if query.after is not None else Seq(0)
        looked += len(page)
        hits = [record for record in page if record.actor.kind in wanted]
        if query.after is not None:
            found += hits
            reached = page[-1].seq
        else:
            found = hits + found
            reached = page[0].seq
    if len(found) <= query.limit:
        return found, reached
    if query.after is not None:
        found = found[: query.limit]
        return found, found[-1].seq
    found = found[-query.limit :]
    return found, found[0].seq
