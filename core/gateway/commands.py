"""Chat commands: matched to the table, checked, carried out once, and answered to whoever gave them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec

from core.api.access import Verdict
from core.api.base import Actor, ActorKind, MessageId, PlatformName, SessionId
from core.api.chat_commands import ChatCommandUsed, CommandOutcome
from core.api.errors import ConflictError, HermesError
from core.api.runs import Stop, TextDelta, TurnEnded
from core.api.sessions import Source
from core.clock import Clock
from core.gateway import rows
from core.gateway.asks import Asks
from core.gateway.command import (
    TABLE,
    Ambiguous,
    Command,
    Facility,
    Found,
    Spoken,
    Topic,
    Unknown,
    may_use,
    needs_text,
    resolved,
    spoken,
)
from core.gateway.command_ports import Call, Handler, Handlers, Reply, failed, refused
from core.gateway.command_text import ambiguous_text, error_text, unknown_text
from core.gateway.decisions import Decisions
from core.gateway.follower import Follower
from core.gateway.offer import dedupe_keys
from core.gateway.platform import Accepted, Inbound, Outbound, Press, inbound_of
from core.gateway.replies import Replies
from core.gateway.source import isolated, session_id
from core.ids import IdSource
from core.platform_settings import ChatSettings
from core.settings import SessionSettings
from core.store.base import MUST_NOT_EXIST, Put, Store
from core.supervisor import Supervisor

PENDING = "chatcommand/"
"""Rows of commands that are being carried out."""

INLINE_LIMIT_S = 3.0
"""How long the connection that handed a command in waits for it; the command itself goes on."""

ARGUMENTS_LIMIT = 200
_REASON_LIMIT = 300
_PAGE = 200
_NO_COMMAND = Command(name="", text="", topic=Topic.KNOW, takes_text=True)
_PRESS = Command(name="press", text="", topic=Topic.DECIDE, takes_text=True)
_ANSWER = next(command for command in TABLE if command.name == "answer")


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A command that was begun. What a start of the core finds of these was cut off."""

    reply_to: str
    source: Source
    session_id: SessionId
    sender_id: str
    sender_name: str
    command: str


_pending = msgspec.json.Decoder(Pending)


class ChatCommands:
    """Implements intake.ChatCommands. A command never waits in the queue of its session, and never stands in its
    transcript.

    It is begun in a commit that remembers its native id, so that a copy of it does nothing, and ends in one that holds
    its answer. chat_of: settings of a connection. facilities: what is there. aliases: ids of each person who has
    several, as PLATFORM:ID. masked: a text without known secrets. on_fault(what, error): told of faults of ours.
    """

    def __init__(
        self,
        *,
        handlers: Handlers,
        decisions: Decisions,
        asks: Asks,
        replies: Replies,
        store: Store,
        clock: Clock,
        ids: IdSource,
        supervisor: Supervisor,
        sessions: SessionSettings,
        chat_of: Callable[[PlatformName], ChatSettings],
        facilities: Callable[[], frozenset[Facility]],
        aliases: Mapping[str, Sequence[str]],
        masked: Callable[[str], str],
        on_fault: Callable[[str, Exception], None],
    ) -> None:
        self._handlers = handlers
        self._decisions = decisions
        self._asks = asks
        self._replies = replies
        self._store = store
        self._clock = clock
        self._ids = ids
        self._supervisor = supervisor
        self._sessions = sessions
        self._chat_of = chat_of
        self._facilities = facilities
        self._people = {item: frozenset(ids) for ids in aliases.values() for item in ids}
        self._masked = masked
        self._cut_off: list[tuple[str, Pending]] = []
        self._on_fault = on_fault

    async def carry_out(self, inbound: Inbound, verdict: Verdict, *, follow: bool = False) -> Accepted | None:
        """The command of a message; None when it is none. Raises InvalidInput, StoreError: then nothing was done."""
        said = spoken(inbound.text)
        # What names another bot in talk that is only overheard is that one's.
        is_other = said is not None and bool(said.addressee) and not inbound.is_addressed
        if said is None or is_other or not _is_storable(inbound.text):
            return await self._answered(inbound, verdict, follow=follow)
        meant = resolved(said.name)
        call = self._call(inbound, verdict, meant.command if isinstance(meant, Found) else _NO_COMMAND, said.rest)
        check = self._check(said, meant, call)
        return await self._taken(call, said.name, check, follow=follow)

    async def pressed(self, press: Press, verdict: Verdict) -> str:
        """The use of a button; what to tell whoever used it."""
        call = self._call(inbound_of(press), verdict, _PRESS, press.token or press.sign)
        reply = await self._reply(call, partial(self._decisions.pressed, press=press))
        if reply.text:
            await self._journal_use(call, reply)
        return reply.text

    async def open(self) -> None:
        """Look for what the last start of the core was stopped in the middle of. Raises StoreError."""
        after = ""
        while page := await self._store.scan(PENDING, after=after, limit=_PAGE):
            after = page[-1].key
            self._cut_off += [(row.key, _pending.decode(row.body)) for row in page]

    async def recover(self) -> int:
        """Tell whoever gave those commands, as far as they can be told. Returns how many."""
        found, self._cut_off = self._cut_off, []
        for key, pending in found:
            text = (
                f"The gateway was stopped while it did /{pending.command}. Look at /status, and order it again if "
                "it is still wanted."
            )
            outbound = self._replies.outbound(pending.session_id, pending.source, text, reply_to=pending.reply_to)
            event = ChatCommandUsed(
                platform=pending.source.platform,
                session_id=pending.session_id,
                sender_id=pending.sender_id,
                sender_name=pending.sender_name,
                command=pending.command,
                arguments="",
                outcome=CommandOutcome.CUT_OFF,
                reason="the core was stopped meanwhile",
            )
            await self._replies.commit_at_last(outbound, [Put(key, None)], [event], subject=pending.session_id)
        return len(found)

    async def _answered(self, inbound: Inbound, verdict: Verdict, *, follow: bool) -> Accepted | None:
        """Plain text may be the answer to a question of the agent."""
        if not self._asks.has_questions:
            return None
        call = self._call(inbound, verdict, _ANSWER, inbound.text)
        if not await self._decisions.is_answer(call):
            return None
        return await self._taken(call, _ANSWER.name, None, follow=follow)

    def _call(self, inbound: Inbound, verdict: Verdict, command: Command, rest: str) -> Call:
        source = isolated(
            inbound.source,
            inbound.sender_id,
            in_groups=self._sessions.per_user_in_groups,
            in_threads=self._sessions.per_user_in_threads,
        )
        return Call(
            inbound=inbound,
            verdict=verdict,
            command=command,
            rest=rest,
            session_id=session_id(source),
            source=source,
            command_id=MessageId(self._ids.new_id()),
            actor=Actor(ActorKind.SENDER, f"{inbound.platform}:{inbound.sender_id}"),
            chat=self._chat_of(inbound.platform),
            sender_ids=self._ids_of(inbound),
        )

    def _ids_of(self, inbound: Inbound) -> frozenset[str]:
        own = {inbound.sender_id, *inbound.aliases}
        begin = f"{inbound.platform}:"
        same = {other for item in own for other in self._people.get(begin + item, ())}
        return frozenset(own | {item.removeprefix(begin) for item in same if item.startswith(begin)})

    def _check(self, said: Spoken, meant: Found | Ambiguous | Unknown, call: Call) -> Reply | None:
        """The answer to what cannot be carried out; None when it can."""
        if isinstance(meant, Ambiguous):
            text = ambiguous_text(said.name, meant.names)
            return Reply(text, CommandOutcome.AMBIGUOUS, text)
        if isinstance(meant, Unknown):
            text = unknown_text(said.name, meant.near)
            return Reply(text, CommandOutcome.UNKNOWN, text)
        command = meant.command
        if not may_use(command, call.verdict.tier, call.chat.user_commands) and not self._decisions.may_answer(call):
            return refused(f"You may not use /{command.name} here. /help shows what you can use. Nothing was changed.")
        if command.needs is not None and command.needs not in self._facilities():
            return failed(f"/{command.name} has nothing to work with here: this gateway has no {command.needs.value}.")
        if needs_text(command) and not call.rest:
            return failed(f"What? Use it as {command.usage}")
        return None

    async def _taken(self, call: Call, name: str, check: Reply | None, *, follow: bool) -> Accepted:
        follower = Follower() if follow else None
        job = f"command:{call.session_id}"

        async def begun() -> asyncio.Task[None]:
            await self._begin(call, name)
            return self._supervisor.spawn(job, self._done(call, name, check, follower))

        # In jobs of their own: a caller who hangs up cannot leave it half done, nor begun and never done.
        try:
            done = await asyncio.shield(self._supervisor.spawn(job, begun()))
        except ConflictError:
            return self._accepted(call, name, is_duplicate=True)
        await asyncio.wait({done}, timeout=INLINE_LIMIT_S)
        accepted = self._accepted(call, name)
        return accepted if follower is None else msgspec.structs.replace(accepted, reports=follower.reports())

    def _accepted(self, call: Call, name: str, *, is_duplicate: bool = False) -> Accepted:
        return Accepted(
            session_id=call.session_id,
            message_id=call.command_id,
            position=0,
            is_duplicate=is_duplicate,
            command=call.command.name or name,
        )

    async def _begin(self, call: Call, name: str) -> None:
        """Remember that it came. Raises ConflictError when it had come before, StoreError."""
        seen = rows.body_of(rows.Seen(call.command_id, call.session_id, self._clock.now()))
        pending = Pending(
            reply_to=call.inbound.native_id,
            source=call.source,
            session_id=call.session_id,
            sender_id=call.inbound.sender_id,
            sender_name=call.inbound.sender_name,
            command=call.command.name or name,
        )
        puts = [Put(key, seen, MUST_NOT_EXIST) for key in dedupe_keys(call.inbound)]
        puts.append(Put(PENDING + call.command_id, rows.body_of(pending), MUST_NOT_EXIST))
        await self._replies.commit(None, puts, subject=call.session_id, actor=call.actor)

    async def _done(self, call: Call, name: str, check: Reply | None, follower: Follower | None) -> None:
        reply = check or await self._reply(call, self._handlers[call.command.name])
        if follower is not None:
            follower.push(TextDelta(text=reply.text))
            follower.push(TurnEnded(stop=Stop.END_TURN))
        await self._end(call, name, reply)
        if reply.later is not None:
            later = reply.later
            after = await self._reply(call, lambda _: later())
            outbound = self._outbound(call, after.text)
            await self._replies.commit_at_last(outbound, subject=call.session_id, actor=call.actor)

    async def _reply(self, call: Call, handler: Handler) -> Reply:
        try:
            return await handler(call)
        except HermesError as error:
            return failed(error_text(error))
        except Exception as error:  # noqa: BLE001 - whoever gave it is told, whatever fault of ours it met
            self._on_fault(f"command {call.command.name}", error)
            return failed(f"/{call.command.name} met a fault in the gateway; its operator sees it.")

    async def _end(self, call: Call, name: str, reply: Reply) -> None:
        await self._replies.commit_at_last(
            self._outbound(call, reply.text),
            [Put(PENDING + call.command_id, None)],
            [self._event(call, name, reply)],
            subject=call.session_id,
            actor=call.actor,
            correlation=call.command_id,
        )

    async def _journal_use(self, call: Call, reply: Reply) -> None:
        event = self._event(call, call.command.name, reply)
        await self._replies.commit_at_last(None, (), [event], subject=call.session_id, actor=call.actor)

    def _event(self, call: Call, name: str, reply: Reply) -> ChatCommandUsed:
        return ChatCommandUsed(
            platform=call.inbound.platform,
            session_id=call.session_id,
            sender_id=call.inbound.sender_id,
            sender_name=call.inbound.sender_name,
            command=call.command.name or self._masked(name),
            arguments="" if call.command.takes_text else self._masked(call.rest)[:ARGUMENTS_LIMIT],
            outcome=reply.outcome,
            reason=self._masked(reply.reason)[:_REASON_LIMIT],
        )

    def _outbound(self, call: Call, text: str) -> Outbound:
        return self._replies.outbound(call.session_id, call.source, text, reply_to=call.inbound.native_id)


def _is_storable(text: str) -> bool:
    """Whether it is valid Unicode; the session says what is wrong with any other."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
