"""Messages that go somewhere by name: of operators, of jobs on a schedule, of agents that want to tell somebody."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence

from core.api.base import SYSTEM, Actor, ActorKind, AgentName, DeliveryId, MessageId, PlatformName, SessionId
from core.api.deliveries import DeliveryView, SendToTarget, SentToTarget
from core.api.errors import ConflictError, InvalidInput, Refused, Unavailable
from core.api.sessions import Source
from core.clock import Clock
from core.gateway import rows
from core.gateway.deliveries import Deliveries
from core.gateway.directory import Directory
from core.gateway.file_shelf import NotSendable
from core.gateway.mirroring import Mirroring
from core.gateway.outgoing import Outgoing
from core.gateway.platform import Limits, Outbound, OutboundFile
from core.gateway.platforms import Platforms
from core.gateway.source import session_id, source_of
from core.gateway.target import Account, Explicit, formatted, parsed, resolved
from core.handlers import CommandHandlers, QueryHandlers
from core.letters import Mailroom
from core.platform_settings import ChatSettings, PlatformSettings
from core.store.base import MUST_NOT_EXIST, Put
from core.supervisor import Supervisor

_TEXT_LIMIT = 1_000_000
_FILES_LIMIT = 20
_SENDS = PlatformName("send")


def _no_home(_platform: PlatformName) -> Source | None:
    """Nobody chose one."""
    return None


class Sending:
    """Finds the chats, and posts to all of them or to none.

    on_posted: the session of a chat has more to send than before.
    """

    def __init__(
        self,
        *,
        deliveries: Deliveries,
        directory: Directory,
        mirroring: Mirroring,
        outgoing: Outgoing,
        platforms: Platforms,
        sections: Mapping[str, PlatformSettings],
        mail: Mailroom,
        clock: Clock,
        supervisor: Supervisor,
        on_posted: Callable[[SessionId], None],
    ) -> None:
        self._deliveries = deliveries
        self._directory = directory
        self._mirroring = mirroring
        self._outgoing = outgoing
        self._platforms = platforms
        self._sections = sections
        self._mail = mail
        self._clock = clock
        self._supervisor = supervisor
        self._on_posted = on_posted
        # Set by whoever knows the home chats that people chose in a chat.
        self.home_of: Callable[[PlatformName], Source | None] = _no_home

    @property
    def commands(self) -> CommandHandlers:
        """Who carries out which command."""
        return {SendToTarget: self.send_to_target}

    @property
    def queries(self) -> QueryHandlers:
        """None of its own."""
        return {}

    def check(self, target: str) -> None:
        """Raises InvalidInput when it can never be a target here, whatever it comes from."""
        parsed(target, self._accounts())

    def sources(self, target: str, origin: Source | None = None) -> tuple[Source, ...]:
        """The chats that a target means. Raises InvalidInput, NotFound."""
        accounts = self._accounts()
        places = resolved(parsed(target, accounts), origin, accounts)
        found: dict[SessionId, Source] = {}
        for place in places:
            is_origin = (
                origin is not None
                and place.is_exact
                and (place.platform, place.chat, place.thread) == (origin.platform, origin.chat, origin.thread)
            )
            source = origin if is_origin and origin is not None else self._directory.source(place)
            found[session_id(source)] = source
        return tuple(found.values())

    async def send(self, target: str, text: str, *, key: str) -> None:
        """Store a text for delivery; once, however often it is called with that key. Not noted in any transcript.

        Raises Unavailable when it may work later, another HermesError when it will not.
        """
        await self._send(self.sources(target), text, (), SYSTEM, key=key)

    def tag(self, key: str) -> str:
        """How the ids of deliveries of what was sent with that key begin, up to a dash."""
        return f"s{hashlib.sha256(key.encode(errors='surrogatepass')).hexdigest()[:24]}"

    async def send_to_target(self, command: SendToTarget, actor: Actor) -> SentToTarget:
        """Send what was ordered, and note it in the sessions of its chats."""
        origin = None if command.origin is None else source_of(command.origin)
        if not command.text.strip() and not command.files:
            raise InvalidInput("there is nothing to send", field="text", value="", fix="give a text or a file")
        if len(command.text) > _TEXT_LIMIT or len(command.files) > _FILES_LIMIT:
            raise InvalidInput(
                f"at most {_TEXT_LIMIT:,} characters and {_FILES_LIMIT} files can be sent at once",
                field="text",
                value=len(command.text),
                fix="send less",
            )
        sources = self.sources(command.target, origin)
        views = await self._send(sources, command.text, command.files, actor, key=command.idempotency_key)
        if command.is_noted and views is not None:
            await self._note(sources, command.text, actor, origin=command.origin)
        return SentToTarget(deliveries=tuple(views or ()))

    def addressed(self, target: str, session_id: SessionId) -> tuple[str, Source]:
        """The one chat that an agent means, and its name as a target. session_id: the conversation that it is in.

        Raises InvalidInput, NotFound, Refused, Unavailable.
        """
        told = source_of(session_id)
        # Work of a task or a job belongs to no chat.
        sources = self.sources(target, told if told.platform in self._sections else None)
        if len(sources) != 1:
            raise InvalidInput(
                f"{target[:80]!r} means {len(sources)} chats",
                field="target",
                value=target[:80],
                fix="send to one at a time",
            )
        [source] = sources
        self._limits(source.platform)
        return formatted(Explicit(source.platform, source.chat, source.thread)), source

    async def send_from(
        self, session_id: SessionId, source: Source, text: str, *, agent: AgentName, key: str
    ) -> tuple[DeliveryId, ...]:
        """Send what an agent says, and note it in the session of the chat; nothing when that key was used before.

        It is finished even when the run that wants it is stopped. Raises HermesError: then nothing is sent.
        """
        sending = self._said(session_id, source, text, Actor(ActorKind.AGENT, agent), key=key)
        found: tuple[DeliveryId, ...] = await asyncio.shield(self._supervisor.spawn(f"send:{session_id}", sending))
        return found

    # -- inside

    async def _said(
        self, origin: SessionId, source: Source, text: str, actor: Actor, *, key: str
    ) -> tuple[DeliveryId, ...]:
        views = await self._send([source], text, (), actor, key=key)
        if views is None:
            return ()
        await self._note([source], text, actor, origin=origin)
        return (self._id(key, 0),) if key else tuple(view.id for view in views)

    async def _note(self, sources: Sequence[Source], text: str, actor: Actor, *, origin: SessionId | None) -> None:
        for source in sources:
            if session_id(source) != origin:
                await self._mirroring.note(source, text, author=f"{actor.name} (sent)", actor=actor)

    async def _send(
        self, sources: Sequence[Source], text: str, paths: Sequence[str], actor: Actor, *, key: str
    ) -> list[DeliveryView] | None:
        """What is on its way now; None when that key was used before."""
        wholes: list[Outbound] = []
        for number, source in enumerate(sources):
            files = await self._files(source.platform, paths, self._limits(source.platform))
            wholes.append(
                Outbound(
                    delivery_id=self._id(key, number),
                    session_id=session_id(source),
                    source=source,
                    text=text,
                    files=files,
                )
            )
        parts = [part for whole in wholes for part in await self._deliveries.cut(whole)]
        for whole in wholes:
            await self._deliveries.open_outbox(whole.source.platform)
        dedupe = rows.dedupe_key(_SENDS, key) if key else ""
        puts = [Put(dedupe, self._seen(wholes[0]), MUST_NOT_EXIST)] if key else []
        transaction = self._mail.transaction()
        try:
            for part in parts:
                self._deliveries.post(transaction, part)
            await transaction.commit(puts, [], actor=actor)
        except ConflictError as error:
            transaction.cancel()
            if dedupe and error.facts.get("key") == dedupe:
                return None
            raise
        except BaseException:
            transaction.cancel()
            raise
        for part in parts:
            self._deliveries.posted(part)
        for whole in wholes:
            self._on_posted(whole.session_id)
        return [view for part in parts for view in self._deliveries.views_of(part)]

    def _limits(self, name: PlatformName) -> Limits:
        limits = self._platforms.limits(name)
        if limits is None:
            raise Unavailable(f"the connection {name} is not set up", what=str(name), fix="see `platforms list`")
        if not limits.sends_answers:
            raise Refused(
                f"{name} takes no messages: its callers wait for their answers", rule="platform", fix="use another one"
            )
        return limits

    async def _files(self, name: PlatformName, paths: Sequence[str], limits: Limits) -> tuple[OutboundFile, ...]:
        try:
            return await self._outgoing.copied(paths, limits)
        except NotSendable as error:
            raise InvalidInput(
                f"{name} is not sent the file {error}",
                field="files",
                value=", ".join(paths)[:200],
                fix=f"copy it below {self._outgoing.shelf}, or choose another one",
            ) from error

    def _id(self, key: str, number: int) -> DeliveryId:
        if not key:
            return self._deliveries.new_id()
        return DeliveryId(f"{self.tag(key)}-{number}")

    def _seen(self, first: Outbound) -> bytes:
        return rows.body_of(rows.Seen(MessageId(first.delivery_id), first.session_id, self._clock.now()))

    def _accounts(self) -> dict[PlatformName, Account]:
        return {
            PlatformName(name): self._account(PlatformName(name), section) for name, section in self._sections.items()
        }

    def _account(self, name: PlatformName, section: PlatformSettings) -> Account:
        limits = self._platforms.limits(name)
        # While it is not built nobody knows; then a third part is taken for a thread.
        has_threads = limits is None or limits.has_threads
        if not isinstance(section, ChatSettings):
            return Account(has_threads=has_threads)
        home = self.home_of(name)
        if home is not None:
            return Account(has_threads=has_threads, home_chat=home.chat, home_thread=home.thread or "")
        return Account(has_threads=has_threads, home_chat=section.home_chat, home_thread=section.home_thread)
