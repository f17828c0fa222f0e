"""Messages of peers: taken once each, given to an agent here, answered by poll, callback or stream."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

import msgspec

from core.api.base import AgentName
from core.api.errors import HermesError
from core.api.relay_targets import PeerView
from core.api.relay_tasks import RelayDirection, RelayEnded, RelayReason, RelayReceived, RelayRepeated
from core.clock import Clock, mark
from core.journal import Journal
from core.relay import incoming
from core.relay.callbacks import Callbacks
from core.relay.callers import Callers
from core.relay.incoming import Message, RefusedMessage, task_id_of
from core.relay.ledger import Change, Ledger
from core.relay.locks import Locks
from core.relay.peers import Peers
from core.relay.ports import Workers
from core.relay.task import RelayTask
from core.relay.trails import Trails
from core.relay.web import Web
from core.relay.working import Working
from core.relay_settings import RelaySettings
from core.supervisor import Supervisor

__all__ = ["Inbound", "Message", "RefusedMessage", "Taken"]

T = TypeVar("T")

PAUSED_S = 30.0
"""When a peer is told to come again while the relay is paused."""

_BUSY_S = 2.0
_KEPT_CHANGES = 100


class Taken(msgspec.Struct, frozen=True):
    """A message that is kept. is_repeated: it was here before."""

    task: RelayTask
    is_repeated: bool


class Inbound:
    """All that comes in. Nothing of it happens before the peer has proved who it is, which is its caller's part."""

    def __init__(
        self,
        *,
        journal: Journal,
        clock: Clock,
        supervisor: Supervisor,
        settings: RelaySettings,
        peers: Peers,
        ledger: Ledger,
        trails: Trails,
        workers: Workers,
        web: Web,
        is_paused: Callable[[], bool],
        random: Callable[[], float],
        on_fault: Callable[[str, Exception], None],
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._supervisor = supervisor
        self._settings = settings
        self._peers = peers
        self._ledger = ledger
        self._trails = trails
        self._workers = workers
        self._is_paused = is_paused
        self._locks = Locks()
        self._watchers: dict[str, list[_Watcher]] = {}
        self.callers = Callers(peers=peers, journal=journal, clock=clock, supervisor=supervisor)
        self._callbacks = Callbacks(
            clock=clock,
            supervisor=supervisor,
            settings=settings,
            peers=peers,
            ledger=ledger,
            web=web,
            is_paused=is_paused,
            random=random,
            on_fault=on_fault,
        )
        self._working = Working(
            journal=journal,
            clock=clock,
            supervisor=supervisor,
            ledger=ledger,
            workers=workers,
            callbacks=self._callbacks,
            random=random,
            on_end=self._ended,
            on_fault=on_fault,
        )
        ledger.on_change(self._changed)

    async def start(self) -> None:
        """Give agents what an earlier start had taken and not given them, and send answers that were not sent."""
        for task in self._ledger.live():
            if task.direction is RelayDirection.IN and not task.state.is_over:
                self.callers.begun(task.peer, task.id)
        self._working.mend()
        self._callbacks.start()

    def admit(self, peer: str, *, is_read: bool = False) -> None:
        """Count a request of a peer. is_read: it asks for nothing to be done.

        Raises RefusedMessage 429 over its rate, 503 while the relay is paused.
        """
        self.callers.admit(peer, is_read=is_read)
        if self._is_paused() and not is_read:
            raise RefusedMessage(503, "paused", "the relay is paused here; send it again later", PAUSED_S)

    async def take(self, message: Message) -> Taken:
        """Keep a message and give it to its agent. Raises RefusedMessage: 422 for another body under the same id,
        429 over what the peer may have in flight, 404 for no such agent, 413, 508 for a loop, 403 for what is ours.
        """
        incoming.check(message, self._settings.text_limit)
        # In a job of its own: a peer that hangs up cannot leave it half done.
        return await self._whole(f"relay take:{message.peer}", self._take(message))

    async def find(self, peer: str, wire_id: str) -> RelayTask:
        """A message of that peer. Raises RefusedMessage 404, also for one of another peer."""
        task = await self._ledger.find(task_id_of(peer, wire_id))
        if task is None or task.peer != peer or task.direction is not RelayDirection.IN:
            raise RefusedMessage(404, "unknown_task", "you have sent no such message, or it is not kept any more")
        return task

    async def cancel(self, peer: str, wire_id: str, reason: str) -> RelayTask:
        """Stop it. Raises RefusedMessage 404, 409 when it is over."""
        return await self._whole(f"relay cancel:{peer}", self._cancel(peer, wire_id, reason))

    async def changes(self, task: RelayTask, *, limit_s: float) -> AsyncGenerator[RelayTask, None]:
        """The message now and whenever it changes, until it is over or the time is."""
        watcher = _Watcher()
        self._watchers.setdefault(task.id, []).append(watcher)
        until = self._clock.monotonic() + limit_s
        try:
            found = await self._ledger.find(task.id) or task
            yield found
            while not found.state.is_over:
                following = await watcher.next(until - self._clock.monotonic())
                if following is None:
                    return
                found = following
                yield found
        finally:
            left = self._watchers[task.id]
            left.remove(watcher)
            if not left:
                del self._watchers[task.id]

    def peer_views(self) -> list[PeerView]:
        """All peers with their counts."""
        return self.callers.views()

    # -- inside

    async def _take(self, message: Message) -> Taken:
        relay_id = task_id_of(message.peer, message.wire_id)
        async with self._locks.alone(relay_id):
            known = await self._ledger.find(relay_id)
            if known is not None:
                return await self._repeated(known, message)
            if await self._is_echo(message):
                raise RefusedMessage(403, "echo", "that is our own message to you, and none of yours")
            task = await self._begun(message)
        if task.state.is_over:
            raise RefusedMessage(incoming.LOOP_STATUS, "loop", task.error)
        self._working.give(task)
        return Taken(task, is_repeated=False)

    async def _is_echo(self, message: Message) -> bool:
        """Whether it is what we sent to that peer ourselves, and somebody sends it back. Raises StoreError."""
        if not message.is_signed or message.trail.path[-1:] != (self._trails.name,):
            return False
        sent = await self._ledger.find(message.wire_id)
        return sent is not None and sent.direction is RelayDirection.OUT and sent.peer == message.peer

    async def _begun(self, message: Message) -> RelayTask:
        # Whoever asks for a message that is not there yet holds its name meanwhile. From here to keep() nothing waits.
        await self._ledger.rest(task_id_of(message.peer, message.wire_id))
        agent = self._agent(message)
        limit = self._peers.settings_of(message.peer).in_flight
        if self.callers.working(message.peer) >= limit:
            raise RefusedMessage(429, "in_flight", f"agents here work on {limit} of your messages already", _BUSY_S)
        session_id = self._workers.session_of(message.peer, incoming.conversation_of(message), agent)
        task = incoming.received(message, agent, session_id, mark(self._clock))
        why = self._trails.refusal(task.trail, self._trails.name, peer=message.peer)
        if why:
            self._trails.noted(message.peer, self._trails.name, is_failed=True, why=why, trail=task.trail)
            return await self._ledger.keep(incoming.looped(task, why), lambda view: RelayEnded(task=view))
        # Counted before it is stored: others of the same peer come meanwhile.
        self.callers.begun(message.peer, task.id)
        try:
            stored = await self._ledger.keep(task, lambda view: RelayReceived(task=view))
        except BaseException:
            self.callers.ended(message.peer, task.id)
            self._trails.not_taken(task.trail, peer=message.peer)
            raise
        self._trails.noted(message.peer, self._trails.name, is_failed=False, trail=task.trail)
        self._trails.bind(session_id, task.trail)
        self.callers.took(message.peer)
        return stored

    def _agent(self, message: Message) -> AgentName:
        """The agent that answers this peer. A peer calls us as it likes, and by the name of another agent not that."""
        wanted = self._peers.settings_of(message.peer).agent
        agent = self._workers.find(wanted)
        other = self._workers.find(message.to) if message.to else None
        if agent is None:
            raise RefusedMessage(404, "unknown_agent", f"there is no agent {wanted or 'here'} that could answer")
        if other is not None and other != agent:
            raise RefusedMessage(404, "unknown_agent", f"no agent {message.to} answers you here")
        return agent

    async def _repeated(self, known: RelayTask, message: Message) -> Taken:
        if known.body_hash != message.body_hash:
            raise RefusedMessage(422, "id_reused", "another message has this id already; give each its own")
        self.callers.repeated(known.peer)
        with contextlib.suppress(HermesError):
            # It is only a count; the answer is there all the same.
            known = await self._ledger.change(known.id, _once_more)
        self._journal.publish(known.id, RelayRepeated(task=self._ledger.view(known)))
        if known.reason is RelayReason.LOOP:
            raise RefusedMessage(incoming.LOOP_STATUS, "loop", known.error)
        return Taken(known, is_repeated=True)

    async def _cancel(self, peer: str, wire_id: str, reason: str) -> RelayTask:
        task = await self.find(peer, wire_id)
        if task.state.is_over:
            raise RefusedMessage(409, "over", f"it is {task.state.value} already")
        return await self._working.cancel(task, reason or f"{peer} took it back")

    async def _whole(self, name: str, job: Awaitable[T]) -> T:
        found: T | RefusedMessage = await asyncio.shield(self._supervisor.spawn(name, _settled(job)))
        if isinstance(found, RefusedMessage):
            raise found
        return found

    def _ended(self, task: RelayTask) -> None:
        self.callers.ended(task.peer, task.id)

    def _changed(self, task: RelayTask) -> None:
        for watcher in self._watchers.get(task.id, ()):
            watcher.put(task)


def _once_more(task: RelayTask) -> Change:
    return Change(msgspec.structs.replace(task, repeats=task.repeats + 1))


async def _settled(job: Awaitable[T]) -> T | RefusedMessage:
    """What comes of it; a refusal is no failure of a job."""
    try:
        return await job
    except RefusedMessage as refusal:
        return refusal


class _Watcher:
    """Somebody who follows one message."""

    def __init__(self) -> None:
        self._changes: deque[RelayTask] = deque(maxlen=_KEPT_CHANGES)
        self._come = asyncio.Event()

    def put(self, task: RelayTask) -> None:
        """A new value."""
        self._changes.append(task)
        self._come.set()

    async def next(self, limit_s: float) -> RelayTask | None:
        """The next value; None when the time is over."""
        while not self._changes:
            self._come.clear()
            try:
                async with asyncio.timeout(max(0.0, limit_s)):
                    await self._come.wait()
            except TimeoutError:
                return None
        return self._changes.popleft()
