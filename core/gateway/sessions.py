"""Sessions: takes messages in from platforms and operators, and carries out what operators order."""

import asyncio
from collections.abc import Callable

import msgspec

from core.api.base import Actor, ActorKind, AgentName, Event, Mark, MessageId, PlatformName, SessionId
from core.api.errors import ConflictError, HermesError, NotFound, Refused, Unavailable
from core.api.session_orders import SessionUnarchived
from core.api.sessions import (
    ChatKind,
    MessageQueued,
    MessageRefused,
    Mode,
    OpenSession,
    Outcome,
    SendMessage,
    SendReceipt,
    SessionOpened,
    SessionView,
    Source,
    Voice,
)
from core.api.transcripts import EntryView
from core.clock import Clock, mark
from core.gateway import rows
from core.gateway.epochs import begun_anew
from core.gateway.follower import Follower
from core.gateway.lane import Lane
from core.gateway.lanes import Lanes
from core.gateway.merging import part_of
from core.gateway.offer import (
    Offer,
    Taken,
    check_agent,
    check_text,
    dedupe_keys,
    fingerprint,
    imported_entries,
    new_session,
    outcome_of,
    said,
    surroundings,
    waiting_of,
)
from core.gateway.platform import Accepted, Inbound, Limits
from core.gateway.ports import Agents
from core.gateway.resets import Resets
from core.gateway.session import OFFERED, TURN_LIMIT, arrival
from core.gateway.source import isolated, session_id, source_of
from core.gateway.steering import Steering
from core.gateway.turns import Turns
from core.gateway.unanswered import MAILBOX
from core.ids import IdSource
from core.journal import Journal
from core.settings import SessionSettings
from core.store.base import MUST_NOT_EXIST, Put, Store
from core.supervisor import Supervisor

OFFER_LIMIT_S = 2.0
"""How long a sender waits to hear whether the run took the message."""


class _Placed(msgspec.Struct, frozen=True):
    """A message that is stored. offer: to the run that goes on, if one is made."""

    taken: Taken
    offer: "asyncio.Task[bool] | None" = None


class Sessions:
    """The way in. Everything it returns is stored; everything it raises left nothing behind."""

    def __init__(
        self,
        *,
        lanes: Lanes,
        turns: Turns,
        steering: Steering,
        agents: Agents,
        store: Store,
        journal: Journal,
        clock: Clock,
        ids: IdSource,
        supervisor: Supervisor,
        settings: SessionSettings,
        limits: Callable[[PlatformName], Limits | None],
        agent_of: Callable[[PlatformName], str | None],
        mode_of: Callable[[PlatformName], Mode | None],
        resets: Resets,
        model_of: Callable[[SessionId], str] = lambda _: "",
    ) -> None:
        self._lanes = lanes
        self._turns = turns
        self._steering = steering
        self._agents = agents
        self._store = store
        self._journal = journal
        self._clock = clock
        self._ids = ids
        self._supervisor = supervisor
        self._settings = settings
        self._limits = limits
        self._agent_of = agent_of
        self._mode_of = mode_of
        self._model_of = model_of
        self._resets = resets
        self.is_draining = False

    async def receive(self, inbound: Inbound, *, typed: str | None = None, follow: bool = False) -> Accepted:
        """Take in a message from a platform; see gateway.platform.Inbox.

        typed: the sender's own words, with which its text begins; None when that is all of it.
        """
        agent = self._agent(inbound.platform, inbound.agent)
        source = isolated(
            inbound.source,
            inbound.sender_id,
            in_groups=self._settings.per_user_in_groups,
            in_threads=self._settings.per_user_in_threads,
        )
        offer = Offer(
            source=source,
            agent=agent,
            voice=Voice.USER,
            sender=inbound.sender_name or inbound.sender_id,
            sender_id=inbound.sender_id,
            text=said(inbound),
            mode=inbound.mode,
            actor=Actor(ActorKind.SENDER, f"{inbound.platform}:{inbound.sender_id}"),
            dedupe_keys=dedupe_keys(inbound),
            reply_to=inbound.native_id or inbound.reply_to,
            title=inbound.title or (inbound.text if inbound.quoted else ""),
            imported=tuple(inbound.imported),
            native_id=inbound.native_id,
            group_id=inbound.group_id,
            is_typed=self._is_typed(inbound.platform),
            around=surroundings(inbound, inbound.text if typed is None else typed),
            model=self._model_of(session_id(source)),
        )
        taken = await self.take_in(offer, follow=follow)
        receipt, follower = taken.receipt, taken.follower
        return Accepted(
            session_id=receipt.session_id,
            message_id=receipt.message_id,
            position=receipt.position,
            is_duplicate=receipt.is_duplicate,
            reports=None if follower is None else follower.reports(),
        )

    async def is_known(self, inbound: Inbound) -> bool:
        """Whether it was taken in before, so that receive() will only say so. Raises StoreError."""
        for key in dedupe_keys(inbound):
            if await self._store.get(key) is not None:
                return True
        return False

    async def send_message(self, command: SendMessage, actor: Actor) -> SendReceipt:
        """Put an operator's message to a session."""
        source = source_of(command.session_id)
        view = self._lanes.view(await self._lanes.existing(command.session_id))
        key = command.idempotency_key
        offer = Offer(
            source=view.source,
            agent=view.agent,
            voice=command.voice,
            sender=actor.name,
            sender_id=actor.name,
            text=command.text,
            mode=command.mode,
            actor=actor,
            dedupe_keys=(rows.dedupe_key(source.platform, f"{command.session_id} {key}"),) if key else (),
            fingerprint=fingerprint(command.text, command.mode or "", command.voice, command.model) if key else "",
            must_exist=True,
            model=command.model,
        )
        return (await self.take_in(offer)).receipt

    async def open_session(self, command: OpenSession, actor: Actor) -> SendReceipt:
        """Begin a conversation where the platform lets an operator do so."""
        limits = self._limits(command.platform)
        if limits is None:
            raise NotFound(f"no platform {command.platform}", noun="platform", id=command.platform)
        if not limits.opens_chats:
            raise Refused(
                f"{command.platform} does not let an operator begin a chat", rule="platform", fix="use a loopback one"
            )
        agent = self._agent(command.platform, command.agent)
        offer = Offer(
            source=Source(platform=command.platform, kind=ChatKind.DM, chat=command.chat, chat_name=command.chat),
            agent=agent,
            voice=Voice.USER,
            sender=actor.name,
            sender_id=actor.name,
            text=command.text,
            mode=None,
            actor=actor,
        )
        return (await self.take_in(offer)).receipt

    def _agent(self, platform: PlatformName, name: str | None) -> AgentName:
        wanted = name or self._agent_of(platform)
        agent = self._agents.find_agent(wanted)
        if agent is None:
            raise NotFound(f"no agent {wanted}", noun="agent", id=wanted, fix="see `agents list`")
        return agent

    async def take_in(self, offer: Offer, *, follow: bool = False) -> Taken:
        """Store a message and let it begin a run, or wait. Raises InvalidInput, NotFound, Refused, Overloaded,
        ConflictError, Unavailable, StoreError: then nothing of it is kept.
        """
        self._check(offer)
        sid = session_id(offer.source)
        # In a job of its own, so that a caller who hangs up cannot leave it half done.
        job = self._supervisor.spawn(f"message:{sid}", self._take(sid, offer, follow=follow))
        try:
            taken: Taken = await asyncio.shield(job)
        except HermesError as error:
            self._journal.publish(
                str(sid),
                MessageRefused(platform=offer.source.platform, session_id=sid, code=error.code, reason=error.message),
                actor=offer.actor,
            )
            raise
        return taken

    def _check(self, offer: Offer) -> None:
        if self.is_draining:
            raise Unavailable("the core is stopping and takes nothing in", fix="send it again in a moment")
        check_text(offer.text, self._settings.text_limit)

    async def _take(self, sid: SessionId, offer: Offer, *, follow: bool) -> Taken:
        async with self._lanes.entered(sid) as lane:
            if offer.must_exist:
                self._lanes.view(lane)
            if offer.task_id is None:
                await self._resets.settle(lane)
            try:
                placed = await self._place(lane, offer, follow=follow)
            except ConflictError as error:
                key = error.facts.get("key")
                if isinstance(key, str) and key in offer.dedupe_keys:
                    return Taken(await self._duplicate(lane, offer, key))
                raise
        return placed.taken if placed.offer is None else await self._offered(lane, placed.taken, placed.offer)

    async def _offered(self, lane: Lane, taken: Taken, offer: "asyncio.Task[bool]") -> Taken:
        """What the run said to the offer, if it said something soon."""
        receipt = taken.receipt
        done, _ = await asyncio.wait({offer}, timeout=OFFER_LIMIT_S)
        if done and not offer.cancelled() and offer.exception() is None and offer.result():
            receipt = msgspec.structs.replace(receipt, outcome=Outcome.DIRECT)
        elif (waiting := lane.waiting.get(receipt.message_id)) is not None:
            message = waiting.message
            receipt = msgspec.structs.replace(
                receipt, effective_mode=message.effective_mode, mode_reason=message.mode_reason
            )
        return msgspec.structs.replace(taken, receipt=receipt)

    async def _duplicate(self, lane: Lane, offer: Offer, key: str) -> SendReceipt:
        row = await self._store.get(key)
        if row is None:
            raise ConflictError("the message was taken in at the same moment", key=key)
        seen = rows.seen_of(row.body)
        if seen.fingerprint and offer.fingerprint and seen.fingerprint != offer.fingerprint:
            raise ConflictError(
                "the same idempotency key came with another message before",
                key="idempotency_key",
                found=seen.message_id,
                fix="use a new key",
            )
        mode = self._mode(offer, offer.agent)
        waiting = lane.waiting.get(seen.message_id)
        return SendReceipt(
            session_id=seen.session_id,
            message_id=seen.message_id,
            position=0,
            mode=mode if waiting is None else waiting.message.mode,
            effective_mode=mode if waiting is None else waiting.message.effective_mode,
            mode_reason="" if waiting is None else waiting.message.mode_reason,
            is_duplicate=True,
            outcome=Outcome.QUEUED if seen.message_id in lane.guard.queue else Outcome.DIRECT,
        )

    def _mode(self, offer: Offer, agent: AgentName) -> Mode:
        """What the message does to a busy session: as it says itself, or its agent, its platform, the whole gateway."""
        asked = offer.mode or self._agents.default_mode(agent)
        return asked or self._mode_of(offer.source.platform) or self._settings.mode

    async def _place(self, lane: Lane, offer: Offer, *, follow: bool) -> _Placed:
        view, now = lane.view, mark(self._clock)
        is_new = view is None
        if view is None:
            limit = self._settings.queue_limit
            view = new_session(offer, lane.session_id, boot=self._lanes.boot, created=now, queue_limit=limit)
        if offer.task_id is not None:
            # Two that make it at once both found none before.
            check_agent(view, offer.agent)
        if refusal := self._agents.refusal(view.agent):
            raise Refused(refusal, rule="agent", agent=view.agent, fix="see `agents list`")
        is_restarted = view.is_archived
        mode = self._mode(offer, view.agent)
        message_id = MessageId(self._ids.new_id())
        can_steer = self._agents.can_steer(view.agent)
        placed = arrival(lane.guard, message_id, mode, can_steer=can_steer, limit=self._settings.queue_limit)
        waiting = waiting_of(
            offer,
            lane.session_id,
            message_id,
            mode,
            placed,
            now=now,
            collect_s=self._settings.collect_s,
            part_of=self._part_of(lane, offer, placed.effective_mode, now),
        )
        if is_restarted:
            view, lane.history = begun_anew(view), None

        def facts(after: SessionView) -> list[Event]:
            queued = MessageQueued(session=after, message=waiting.message)
            if is_new:
                return [SessionOpened(session=after), queued]
            return [SessionUnarchived(session=after), queued] if is_restarted else [queued]

        def receipt(*, is_begun: bool) -> SendReceipt:
            return SendReceipt(
                session_id=lane.session_id,
                message_id=message_id,
                position=placed.position,
                mode=mode,
                effective_mode=placed.effective_mode,
                mode_reason=placed.mode_reason,
                outcome=outcome_of(placed.effective_mode, is_begun=is_begun, is_restarted=is_restarted),
            )

        with self._lanes.mail() as mail:
            mail_id = mail.post(
                MAILBOX, waiting, sender=offer.actor.name, order_key=lane.session_id, correlation=message_id
            )
            is_begun = await self._turns.commit(
                lane,
                mail,
                base=msgspec.structs.replace(view, inbound=now),
                guard=placed.guard,
                waiting={**lane.waiting, message_id: msgspec.structs.replace(waiting, mail_id=mail_id)},
                facts=facts,
                puts=self._memory(offer, lane.session_id, message_id),
                entries=self._imported(view, offer) if is_new else (),
                actor=offer.actor,
                correlation=message_id,
                pages=lambda begun: () if offer.pages is None else (offer.pages(receipt(is_begun=begun)),),
            )
        follower = Follower() if follow else None
        if follower is not None:
            # Before the run that was begun can report anything: its job waits for the next round of the loop.
            lane.followers[message_id] = [follower]
        taken = Taken(receipt(is_begun=is_begun), follower)
        if is_begun:
            return _Placed(taken)
        if placed.effective_mode in OFFERED:
            offering = self._steering.offer(lane, message_id, placed.effective_mode)
            return _Placed(taken, self._supervisor.spawn(f"steer:{message_id}", offering))
        self._steering.settle(lane, message_id, placed.effective_mode)
        return _Placed(taken)

    def _part_of(self, lane: Lane, offer: Offer, mode: Mode, now: Mark) -> MessageId | None:
        if not offer.group_id and not offer.is_typed:
            return None
        queue = tuple(lane.waiting[item] for item in lane.guard.queue[-TURN_LIMIT:])
        return part_of(queue, offer.sender_id, offer.group_id, mode, now=now, burst_s=self._settings.burst_s)

    def _is_typed(self, platform: PlatformName) -> bool:
        limits = self._limits(platform)
        return limits is not None and not limits.proves_senders

    def _memory(self, offer: Offer, sid: SessionId, message_id: MessageId) -> list[Put]:
        """What makes a copy of the message known as one."""
        if not offer.dedupe_keys:
            return []
        seen = rows.body_of(rows.Seen(message_id, sid, self._clock.now(), offer.fingerprint))
        return [Put(key, seen, MUST_NOT_EXIST) for key in offer.dedupe_keys]

    def _imported(self, view: SessionView, offer: Offer) -> tuple[EntryView, ...]:
        return tuple(imported_entries(offer, view, at=self._clock.now(), new_id=self._ids.new_id))
