"""The stream of a core for whoever reads it: fed by the journal, waited for where nothing is there yet."""

import math

import msgspec

from core.agents.ports import Conversations
from core.agents.tasks.register import Register
from core.agents.tasks.rows import StoredRun, bare
from core.agents.tasks.stream import SHOWN, Filter, Piece, Ring, find_piece
from core.agents.tasks.task import interaction
from core.api import streams as words
from core.api.base import Record, RunId, TaskId
from core.api.errors import InvalidInput, NotFound
from core.api.sessions import MessageState, MessageView
from core.api.streams import GetInteraction, Interaction, ReadStream, StreamBatch
from core.api.tasks import TaskQueued, TaskView
from core.clock import Clock
from core.handlers import QueryHandlers
from core.waits import CutShort, Waits

LONGEST_WAIT_S = 60.0
_LIMIT = 1_000


class _Reader(msgspec.Struct, eq=False):
    """Who waits for an item. number: of the first that came; 0 while none has."""

    only: Filter
    waits: Waits
    number: int = 0


class Streams:
    """The stream's shell. `take` is an observer of the journal: every record, stored or live."""

    def __init__(self, *, register: Register, conversations: Conversations, clock: Clock, boot: int) -> None:
        self._register = register
        self._conversations = conversations
        self._clock = clock
        self.ring = Ring(boot)
        self._readers: set[_Reader] = set()

    @property
    def queries(self) -> QueryHandlers:
        """Who answers which question."""
        return {words.ReadStream: self.read_stream, words.GetInteraction: self.get_interaction}

    def take(self, record: Record) -> None:
        """Note what happened. Never waits."""
        event = record.event
        if type(event) not in SHOWN:
            return
        # That it was accepted is told by the task itself; the stream begins when it is stored where it is to be done.
        if type(event) is TaskQueued and not record.durable:
            return
        piece = find_piece(event)
        if piece is None:
            return
        if piece.task_id is None and piece.run_id is not None:
            run = self._register.active.get(piece.run_id)
            if run is not None and run.view.task_id is not None:
                piece.task_id = run.view.task_id
        self.ring.push(piece, record.at)
        if self._readers:
            self._call(piece)

    async def read_stream(self, query: ReadStream) -> StreamBatch:
        """What came after a number; waits for the first item as long as it may.

        Raises InvalidInput, NotFound for a task that is not there.
        """
        _check(query)
        only = await self._filter(query)
        read = self.ring.read(query.after, only, query.limit)
        if not read.items and not read.has_gap and query.wait_s:
            after = query.after or read.next_after
            passed = await self._wait(only, query.wait_s)
            only = await self._filter(query)
            # What was let go meanwhile and did not fit is no gap.
            read = self.ring.read(after if self.ring.keeps(after) else passed, only, query.limit)
        task = await self._task(query.task_id)
        run = await self._run(query.run_id or (None if task is None else task.target_run_id))
        return StreamBatch(
            items=read.items,
            next_after=read.next_after,
            has_gap=read.has_gap,
            task=None if task is None else bare(task),
            run=None if run is None else run.view,
            interaction=None if run is None else self._interaction(run),
        )

    async def get_interaction(self, query: GetInteraction) -> Interaction:
        """What a run is doing for whoever talks to it. Raises NotFound."""
        return self._interaction(await self._register.read_run(query.run_id))

    # -- inside

    def _call(self, piece: Piece) -> None:
        for reader in list(self._readers):
            if not reader.number and reader.only.fits(piece):
                reader.number = self.ring.head
                reader.waits.cut()

    async def _wait(self, only: Filter, wait_s: float) -> int:
        """Until something that fits comes, or the time is over. Returns the number up to which nothing does."""
        reader = _Reader(only, Waits())
        self._readers.add(reader)
        try:
            await reader.waits.wait(self._clock.sleep(wait_s))
        except CutShort:
            pass
        finally:
            self._readers.discard(reader)
        return reader.number - 1 if reader.number else self.ring.head

    async def _filter(self, query: ReadStream) -> Filter:
        run_ids: frozenset[RunId] = frozenset()
        if query.task_id is not None:
            run_ids = frozenset((await self._register.read(query.task_id)).run_ids)
        return Filter(query.task_id, query.run_id, query.session_id, run_ids)

    async def _task(self, task_id: TaskId | None) -> TaskView | None:
        return None if task_id is None else (await self._register.read(task_id)).view

    async def _run(self, run_id: RunId | None) -> StoredRun | None:
        try:
            return None if run_id is None else await self._register.read_run(run_id)
        except NotFound:
            return None

    def _interaction(self, run: StoredRun) -> Interaction:
        pending: list[MessageView] = [
            message
            for message in self._conversations.waiting(run.view.session_id)
            if message.state is MessageState.QUEUED
        ]
        return Interaction(run_id=run.view.id, state=interaction(run.view.state, run.phase), pending=tuple(pending))


def _check(query: ReadStream) -> None:
    if not (math.isfinite(query.wait_s) and 0 <= query.wait_s <= LONGEST_WAIT_S):
        raise InvalidInput(
            f"wait_s is {query.wait_s:g}", field="wait_s", value=query.wait_s, fix=f"use 0 to {LONGEST_WAIT_S:g}"
        )
    if not 1 <= query.limit <= _LIMIT:
        raise InvalidInput(f"limit is {query.limit}", field="limit", value=query.limit, fix=f"use 1 to {_LIMIT}")
    if query.after < 0:
        raise InvalidInput(f"after is {query.after}", field="after", value=query.after, fix="use 0 or a next_after")
