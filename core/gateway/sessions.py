"""Sessions: takes messages in from platforms and operators, and carries out what operators order."""

import asyncio
from collections.abc import Callable

import msgspec

from core.api.base import Actor, ActorKind, AgentName, EntryId, Event, MessageId, PlatformName, SessionId
from core.api.errors import ConflictError, HermesError, InvalidInput, NotFound, Refused, Unavailable
from core.api.sessions import (
    ChatKind,
    MessageQueued,
    MessageRefused,
    MessageState,
    MessageView,
    Mode,
    OpenSession,
    SendMessage,
    SendReceipt,
    SessionOpened,
    SessionState,
    SessionView,
    Source,
    Voice,
)
from core.api.transcripts import EntryKind, EntryView
from core.clock import Clock, mark
from core.gateway import rows
from core.gateway.follower import Follower
from core.gateway.lane import Lane, Waiting
from core.gateway.lanes import Lanes
from core.gateway.platform import Accepted, Inbound, Limits
from core.gateway.ports import Agents
from core.gateway.session import Arrival, arrival
from core.gateway.source import isolated, session_id, source_of
from core.gateway.steering import Steering
from core.gateway.turns import Turns
from core.gateway.unanswered import MAILBOX
from core.ids import IdSource
from core.journal import Journal
from core.settings import SessionSettings
from core.store.base import MUST_NOT_EXIST, Put, Store
from core.supervisor import Supervisor

_TITLE_LIMIT = 80


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A message on its way in, whoever brings it. dedupe_keys: each is taken in once."""

    source: Source
    agent: AgentName
    voice: Voice
    sender: str
    sender_id: str
    text: str
    mode: Mode | None
    actor: Actor
    dedupe_keys: tuple[str, ...] = ()
    reply_to: str = ""
    title: str = ""
    imported: tuple[tuple[str, str], ...] = ()
    must_exist: bool = False


class Taken(msgspec.Struct, frozen=True):
    """What became of an offer."""

    receipt: SendReceipt
    follower: Follower | None = None


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
        self.is_draining = False

    async def receive(self, inbound: Inbound, *, follow: bool = False) -> Accepted:
        """Take in a message from a platform; see gateway.platform.Inbox."""
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
            text=inbound.text,
            mode=inbound.mode,
            actor=Actor(ActorKind.SENDER, f"{inbound.platform}:{inbound.sender_id}"),
            dedupe_keys=_dedupe_keys(inbound),
            reply_to=inbound.reply_to or inbound.native_id,
            title=inbound.title,
            imported=tuple(inbound.imported),
        )
        taken = await self._offer(offer, follow=follow)
        receipt, follower = taken.receipt, taken.follower
        return Accepted(
            session_id=receipt.session_id,
            message_id=receipt.message_id,
            position=receipt.position,
            is_duplicate=receipt.is_duplicate,
            reports=None if follower is None else follower.reports(),
        )

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
            must_exist=True,
        )
        return (await self._offer(offer, follow=False)).receipt

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
        return (await self._offer(offer, follow=False)).receipt

    def _agent(self, platform: PlatformName, name: str | None) -> AgentName:
        wanted = name or self._agent_of(platform)
        agent = self._agents.find_agent(wanted)
        if agent is None:
            raise NotFound(f"no agent {wanted}", noun="agent", id=wanted, fix="see `agents list`")
        return agent

    async def _offer(self, offer: Offer, *, follow: bool) -> Taken:
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
        limit = self._settings.text_limit
        if not offer.text.strip():
            raise InvalidInput("the message is empty", field="text", value="", fix="send some text")
        if len(offer.text) > limit:
            raise InvalidInput(
                f"the message has {len(offer.text)} characters; at most {limit} are taken in",
                field="text",
                fix="send less, or raise sessions.text_limit",
            )
        try:
            offer.text.encode()
        except UnicodeEncodeError as error:
            raise InvalidInput("the message is not valid Unicode", field="text", fix="send valid text") from error

    async def _take(self, sid: SessionId, offer: Offer, *, follow: bool) -> Taken:
        lane = self._lanes.lane(sid)
        async with lane.lock:
            await self._lanes.load(lane)
            if offer.must_exist:
                self._lanes.view(lane)
            try:
                return await self._place(lane, offer, follow=follow)
            except ConflictError as error:
                key = error.facts.get("key")
                if isinstance(key, str) and key in offer.dedupe_keys:
                    return Taken(await self._duplicate(offer, key))
                raise
            finally:
                if lane.view is None:
                    self._lanes.discard(lane)

    async def _duplicate(self, offer: Offer, key: str) -> SendReceipt:
        row = await self._store.get(key)
        if row is None:
            raise ConflictError("the message was taken in at the same moment", key=key)
        message_id, sid, _ = rows.seen_of(row.body)
        mode = offer.mode or self._settings.mode
        return SendReceipt(
            session_id=sid, message_id=message_id, position=0, mode=mode, effective_mode=mode, is_duplicate=True
        )

    async def _place(self, lane: Lane, offer: Offer, *, follow: bool) -> Taken:
        is_new = lane.view is None
        view = lane.view or self._new_session(lane, offer)
        mode = offer.mode or self._settings.mode
        message_id = MessageId(self._ids.new_id())
        placed = arrival(
            lane.guard,
            message_id,
            mode,
            can_steer=self._agents.can_steer(view.agent),
            limit=self._settings.queue_limit,
        )
        waiting = self._waiting(lane, offer, message_id, mode, placed)
        seen = rows.body_of((message_id, lane.session_id, self._clock.now()))

        def facts(after: SessionView) -> list[Event]:
            opened: list[Event] = [SessionOpened(session=after)] if is_new else []
            return [*opened, MessageQueued(session=after, message=waiting.message)]

        with self._lanes.mail() as mail:
            mail_id = mail.post(
                MAILBOX, waiting, sender=offer.actor.name, order_key=lane.session_id, correlation=message_id
            )
            is_begun = await self._turns.commit(
                lane,
                mail,
                base=msgspec.structs.replace(view, inbound=waiting.message.received),
                guard=placed.guard,
                waiting={**lane.waiting, message_id: msgspec.structs.replace(waiting, mail_id=mail_id)},
                facts=facts,
                puts=[Put(key, seen, MUST_NOT_EXIST) for key in offer.dedupe_keys],
                entries=self._imported(view, offer) if is_new else (),
                actor=offer.actor,
                correlation=message_id,
            )
        follower = Follower() if follow else None
        if follower is not None:
            # Before the run that was begun can report anything: its job waits for the next round of the loop.
            lane.followers[message_id] = [follower]
        if not is_begun:
            self._steering.settle(lane, message_id, placed.effective_mode)
        receipt = SendReceipt(
            session_id=lane.session_id,
            message_id=message_id,
            position=placed.position,
            mode=mode,
            effective_mode=placed.effective_mode,
            mode_reason=placed.mode_reason,
        )
        return Taken(receipt, follower)

    def _new_session(self, lane: Lane, offer: Offer) -> SessionView:
        return SessionView(
            id=lane.session_id,
            version=0,
            boot=self._lanes.boot,
            source=offer.source,
            agent=offer.agent,
            state=SessionState.IDLE,
            created=mark(self._clock),
            title=(offer.title or " ".join(offer.text.split()))[:_TITLE_LIMIT],
            queue_limit=self._settings.queue_limit,
        )

    def _waiting(self, lane: Lane, offer: Offer, message_id: MessageId, mode: Mode, placed: Arrival) -> Waiting:
        message = MessageView(
            id=message_id,
            session_id=lane.session_id,
            received=mark(self._clock),
            voice=offer.voice,
            sender=offer.sender,
            text=offer.text,
            state=MessageState.QUEUED,
            mode=mode,
            effective_mode=placed.effective_mode,
            mode_reason=placed.mode_reason,
        )
        return Waiting(message, offer.sender_id, offer.reply_to)

    def _imported(self, view: SessionView, offer: Offer) -> tuple[EntryView, ...]:
        kinds = {"user": EntryKind.USER, "assistant": EntryKind.AGENT}
        return tuple(
            EntryView(
                id=EntryId(self._ids.new_id()),
                at=self._clock.now(),
                kind=kinds.get(role, EntryKind.SYSTEM),
                author=offer.sender if role == "user" else role,
                text=text,
                epoch=view.epoch,
                is_imported=True,
            )
            for role, text in offer.imported
        )


def _dedupe_keys(inbound: Inbound) -> tuple[str, ...]:
    known = dict.fromkeys(item for item in (inbound.native_id, inbound.proof_id) if item)
    return tuple(rows.dedupe_key(inbound.platform, item) for item in known)
