"""What is kept of conversations that end: heard from the journal, so that none waits for it and a kill loses none."""

import asyncio
from collections.abc import Callable

from core.agents.memory.memories import NONE, Memories
from core.agents.memory.summaries import Summaries
from core.agents.memory_provider import EndedConversation, MemoryOwner
from core.agents.ports import Conversations
from core.agents.profiles.profiles import Profiles
from core.api.base import Record, Seq, SessionId
from core.api.errors import ConfigError, HermesError, Lagged
from core.api.session_orders import SessionArchived
from core.api.sessions import SessionReset, SessionView
from core.backoff import ceiling_s
from core.clock import Clock
from core.journal import Journal
from core.store.base import Put, Store

_HEARD = "memory/heard"
_TRIES = 3
_BASE_S, _CAP_S = 1.0, 30.0
_PAGE = 1000
_ADVANCE_AFTER = 20_000
ENDS = (SessionReset, SessionArchived)


class Endings:
    """One conversation after another, in the order of their ends. on_fault(what, error): one of which nothing is kept;
    its transcript stays.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        store: Store,
        clock: Clock,
        conversations: Conversations,
        profiles: Profiles,
        memories: Memories,
        summaries: Summaries,
        on_fault: Callable[[str, Exception], None],
    ) -> None:
        self._journal = journal
        self._store = store
        self._clock = clock
        self._conversations = conversations
        self._profiles = profiles
        self._memories = memories
        self._summaries = summaries
        self._on_fault = on_fault
        self._queue: asyncio.Queue[Record] = asyncio.Queue()
        # What came up to here is kept, or holds nothing to keep.
        self._place = Seq(0)
        self._passed = 0
        self._is_listening = False

    async def run(self) -> None:
        """Keep what ended while nobody looked, then what ends, until cancelled; in the order of the journal."""
        row = await self._store.get(_HEARD)
        head = await self._journal.head()
        self._place = head if row is None else min(Seq(int(row.body)), head)
        if not self._is_listening:
            self._is_listening = True
            self._journal.on_record(self._hear)
        await self._catch_up()
        while True:
            record = await self._queue.get()
            # Some were on record already when this looked back.
            if record.seq > self._place:
                await self._take(record)

    def _hear(self, record: Record) -> None:
        self._passed += 1
        # Others now and then, so that a start need not read what held nothing.
        if (record.durable and isinstance(record.event, ENDS)) or self._passed >= _ADVANCE_AFTER:
            self._passed = 0
            self._queue.put_nowait(record)

    async def _catch_up(self) -> None:
        """Ends that an earlier start of the core, or of this service, heard of and did not come to."""
        while True:
            try:
                page = await self._journal.read(after=self._place, limit=_PAGE)
            except Lagged as error:
                # Older ends are no longer on record; those that are come now.
                self._on_fault("memories", error)
                self._place = Seq(int(str(error.facts["floor"])))
                continue
            for record in page:
                if isinstance(record.event, ENDS):
                    await self._take(record)
            await self._note(page[-1].seq if page else self._place)
            if len(page) < _PAGE:
                return

    async def _take(self, record: Record) -> None:
        if isinstance(record.event, ENDS):
            await self._keep(record.event, record.at)
        await self._note(record.seq)

    async def _keep(self, event: SessionReset | SessionArchived, at: float) -> None:
        epoch = event.ended_epoch if isinstance(event, SessionReset) else event.session.epoch
        settings = self._profiles.find(event.session.agent)
        if epoch is None or settings is None or settings.memory == NONE:
            return
        owner, ended = MemoryOwner(event.session.agent, event.session.user), None
        for attempt in range(1, _TRIES + 1):
            try:
                # Summed up once: that may be a turn of an agent.
                ended = ended or await self._ended(event.session, epoch, at)
                if ended is not None:
                    await self._memories.ended(settings.memory, owner, ended)
            except HermesError as error:
                if attempt == _TRIES or isinstance(error, ConfigError):
                    self._on_fault(f"memory of {event.session.id}", error)
                    return
                await self._clock.sleep(ceiling_s(attempt, base_s=_BASE_S, cap_s=_CAP_S))
            except Exception as error:  # noqa: BLE001 - one that can never be kept must not keep the others
                self._on_fault(f"memory of {event.session.id}", error)
                return
            else:
                return

    async def _ended(self, view: SessionView, epoch: int, at: float) -> EndedConversation | None:
        """What ended; None where nothing was said."""
        entries = await self._conversations.said(SessionId(view.id), epoch)
        if not entries:
            return None
        return EndedConversation(
            session_id=view.id,
            epoch=epoch,
            at=at,
            entries=entries,
            summary=await self._summaries.of(view.agent, view.id, entries),
        )

    async def _note(self, seq: Seq) -> None:
        await self._journal.commit([Put(_HEARD, str(seq).encode())], [])
        self._place = seq
