"""Which of several cores on one store keeps the time of the jobs: a row with an end, taken by compare-and-set."""

import msgspec

from core.api.errors import ConflictError
from core.clock import Clock
from core.journal import Journal
from core.store.base import MUST_NOT_EXIST, Put, Row, Store

LEASE_S = 90.0
"""How long it holds without being renewed; a core that went away is replaced after that."""

RETRY_S = 10.0
_KEY = "cron/lease"


class LeaseRow(msgspec.Struct, frozen=True):
    """Who keeps the time. until_at: UTC seconds."""

    owner: str
    until_at: float


_decoder = msgspec.json.Decoder(LeaseRow)


class JobLease:
    """owner: name of this core for as long as it runs. is_alone: any other owner is known to be gone at the start.

    Two machines whose clocks differ may both believe in it for a moment; the revisions of the rows then decide.
    """

    def __init__(self, store: Store, journal: Journal, clock: Clock, *, owner: str, is_alone: bool) -> None:
        self._store = store
        self._journal = journal
        self._clock = clock
        self._owner = owner
        self._is_alone = is_alone
        self._until_mono = float("-inf")
        self.other = ""

    @property
    def is_held(self) -> bool:
        """Whether this core keeps the time now."""
        return self._clock.monotonic() < self._until_mono

    @property
    def retry_s(self) -> float:
        """How long to wait before asking again."""
        return RETRY_S

    async def hold(self) -> bool:
        """Take it, or keep it; False when somebody else has it."""
        now = self._clock.monotonic()
        if self._until_mono - now > LEASE_S / 2:
            return True
        found = await self._store.get(_KEY)
        held = None if found is None else _decoder.decode(found.body)
        if held is not None and not self._is_free(held):
            self._until_mono = float("-inf")
            self.other = held.owner
            return False
        return await self._take(found, now)

    async def release(self) -> None:
        """Let another core have it at once."""
        if not self.is_held:
            return
        self._until_mono = float("-inf")
        found = await self._store.get(_KEY)
        if found is not None and _decoder.decode(found.body).owner == self._owner:
            body = msgspec.json.encode(LeaseRow(self._owner, 0.0))
            try:
                await self._journal.commit([Put(_KEY, body, expect=found.revision)], [])
            except ConflictError:
                return

    def _is_free(self, held: LeaseRow) -> bool:
        if held.owner == self._owner or self._is_alone:
            return True
        left_s = held.until_at - self._clock.now()
        # One that lasts longer than any lease was written before the clock was set back.
        return left_s <= 0 or left_s > 2 * LEASE_S

    async def _take(self, found: Row | None, now: float) -> bool:
        body = msgspec.json.encode(LeaseRow(self._owner, self._clock.now() + LEASE_S))
        expect = found.revision if found else MUST_NOT_EXIST
        try:
            await self._journal.commit([Put(_KEY, body, expect=expect)], [])
        except ConflictError:
            self._until_mono = float("-inf")
            return False
        self._until_mono = now + LEASE_S
        self._is_alone = False
        self.other = ""
        return True
