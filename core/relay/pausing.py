"""The pause of the whole relay, which lasts over a restart.

It cuts nothing off: what is being sent is sent to its end, and what agents here work on goes on. Nothing new goes out,
because the gates of all targets ask here, and nothing new is taken from peers.
"""

import asyncio
from collections.abc import Callable
from functools import partial

import msgspec

from core.api.base import Actor, Mark
from core.api.errors import ConflictError, StoreError
from core.api.relay_targets import RELAY, PauseRelay, RelayPause, RelayPaused, RelayResumed, ResumeRelay
from core.clock import Clock, mark, rebased
from core.handlers import CommandHandlers
from core.journal import Journal
from core.store.base import Committed, Put, Store

_ROW = "relay_pause"
_REASON_LIMIT = 300


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    """The pause as it is stored. since: None while nothing is paused; version: of the view, over all starts."""

    version: int
    since: Mark | None = None
    by: str = ""
    reason: str = ""


class Pausing:
    """Whether the relay is stopped. counts: sending, working, running, waiting, as they are now. woken: to go on."""

    def __init__(
        self,
        *,
        store: Store,
        journal: Journal,
        clock: Clock,
        counts: Callable[[], tuple[int, int, int, int]],
        woken: Callable[[], None],
    ) -> None:
        self._store = store
        self._journal = journal
        self._clock = clock
        self._counts = counts
        self._woken = woken
        self._turn = asyncio.Lock()
        # An order may still be written when whoever gave it waits no more: the next must know what came of it.
        self._written = asyncio.Event()
        self._written.set()
        self._row = _Row(version=1)
        self.is_paused = False
        """Whether nothing may go out or come in."""

    async def open(self) -> None:
        """Read it. Raises StoreError."""
        row = await self._store.get(_ROW)
        if row is None:
            return
        try:
            found = _rows.decode(row.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # Nobody can tell any more whether somebody stopped it: to send against their will is worse than to wait.
            found = _Row(version=1, since=mark(self._clock), reason="the stored state of the pause cannot be read")
        since = None if found.since is None else rebased(found.since, self._clock)
        self._row = msgspec.structs.replace(found, since=since)
        self.is_paused = since is not None

    @property
    def why(self) -> str:
        """Why nothing goes out or comes in, in words for people; "" when it does."""
        if not self.is_paused:
            return ""
        by = f" by {self._row.by}" if self._row.by else ""
        return f"the relay is paused{by}" + (f": {self._row.reason}" if self._row.reason else "")

    def view(self) -> RelayPause:
        """As it is now, with what still goes on."""
        return self._view(self._row)

    @property
    def commands(self) -> CommandHandlers:
        """Who carries out which command."""
        return {PauseRelay: self.pause, ResumeRelay: self.resume}

    async def pause(self, command: PauseRelay, actor: Actor) -> RelayPause:
        """Stop it. Raises StoreError; then it goes on."""
        async with self._turn:
            await self._written.wait()
            if self.is_paused:
                return self.view()
            row = _Row(
                version=self._row.version + 1,
                since=mark(self._clock),
                by=actor.name,
                reason=" ".join(command.reason.split())[:_REASON_LIMIT],
            )
            # Nothing may slip out while it is written.
            self.is_paused = True
            await self._store_row(row, RelayPaused, actor)
        return self.view()

    async def resume(self, command: ResumeRelay, actor: Actor) -> RelayPause:  # noqa: ARG002 - every command has one
        """Go on. Raises ConflictError when nothing is paused, StoreError; then it stays paused."""
        async with self._turn:
            await self._written.wait()
            if not self.is_paused:
                raise ConflictError(
                    "the relay is not paused", key="paused", expected="paused", found="running", fix="nothing to resume"
                )
            await self._store_row(_Row(version=self._row.version + 1), RelayResumed, actor)
        return self.view()

    async def _store_row(self, row: _Row, kind: type[RelayPaused | RelayResumed], actor: Actor) -> None:
        events = [(RELAY, kind(pause=self._view(row)))]
        # To stop it must also be possible when the disk is almost full.
        try:
            future = self._journal.submit([Put(_ROW, msgspec.json.encode(row))], events, actor=actor, is_relief=True)
        except StoreError:
            self._go_by_row()
            raise
        # What is written counts, also when whoever asked for it does not wait for that.
        self._written.clear()
        future.add_done_callback(partial(self._stored, row))
        await asyncio.shield(future)

    def _stored(self, row: _Row, future: asyncio.Future[Committed]) -> None:
        if not future.cancelled() and future.exception() is None:
            self._row = row
        self._written.set()
        self._go_by_row()

    def _go_by_row(self) -> None:
        self.is_paused = self._row.since is not None
        if not self.is_paused:
            self._woken()

    def _view(self, row: _Row) -> RelayPause:
        sending, working, running, waiting = self._counts()
        return RelayPause(
            version=row.version,
            is_paused=row.since is not None,
            since=row.since,
            by=row.by,
            reason=row.reason,
            sending=sending,
            working=working,
            running=running,
            waiting=waiting,
        )


_rows = msgspec.json.Decoder(_Row)
