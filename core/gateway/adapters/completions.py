"""POST /v1/chat/completions: one message in, the answer of its run out, whole or as a stream."""

import asyncio
import contextlib
import re

import msgspec

from core.api.base import MessageId, PlatformName
from core.api.errors import HermesError, NotFound
from core.api.runs import RunReport, TextDelta, TurnEnded
from core.api.sessions import ChatKind, Mode, Source
from core.gateway.adapters import openai_wire as wire
from core.gateway.adapters.conversations import Conversations, digest
from core.gateway.adapters.following import Ending, follow
from core.gateway.adapters.recent import Recent
from core.gateway.adapters.streaming import StreamWriter
from core.gateway.platform import Accepted, Inbound, Inbox, PlatformContext
from core.gateway.source import source_of
from core.http.asgi import JSON, Receive, Scope, Send, header, media_type, read_body, respond_json
from core.http.refusal import HttpRefusal, retry_after
from core.secrets import Secret

DEFAULT_MODEL = "default"
SESSION_HEADER = "X-Hermes-Session-Id"
MODE_HEADER = "X-Hermes-Mode"
IDEMPOTENCY_HEADER = "Idempotency-Key"
ID_LIMIT = 256

_ID = re.compile(rf"[!-~]{{1,{ID_LIMIT}}}")
_SENDER = "api"
_ANSWERS_KEPT = 256
_ANSWERS_KEEP_S = 600.0
_FAREWELL_S = 0.5


class _Call(msgspec.Struct, frozen=True, kw_only=True):
    """A request with all that its headers say. chat: None where the caller names none."""

    ask: wire.Ask
    chat: str | None
    mode: Mode | None
    native_id: str


class _Answer(msgspec.Struct):
    """An answer as far as it has come."""

    parts: list[str] = msgspec.field(default_factory=list[str])
    ended: TurnEnded | None = None

    @property
    def text(self) -> str:
        return "".join(self.parts)

    def add(self, report: RunReport | None) -> None:
        if isinstance(report, TextDelta):
            self.parts.append(report.text)
        elif isinstance(report, TurnEnded):
            self.ended = report


class _Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """A message that was taken in, and the caller who waits for its answer."""

    call: _Call
    accepted: Accepted
    chat: str
    reply: wire.Reply
    answer: _Answer
    receive: Receive
    send: Send

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        return ((SESSION_HEADER, self.chat),)


class Completions:
    """Serves the chat completions of one platform.

    A caller is led back to its chat by the session header, or else by the history that it
    brings along. A request that repeats an idempotency key gets the earlier answer again.
    """

    def __init__(self, name: PlatformName, context: PlatformContext, key: Secret, keepalive_s: float) -> None:
        self._name = name
        self._context = context
        self._key = key
        self._keepalive_s = keepalive_s
        self._conversations = Conversations()
        self._answers: Recent[MessageId, _Answer] = Recent(limit=_ANSWERS_KEPT, keep_s=_ANSWERS_KEEP_S)

    async def serve(self, inbox: Inbox, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises HttpRefusal until the answer has begun."""
        call = await self._called(scope, receive)
        accepted, chat = await self._hand_in(inbox, call)
        exchange = _Exchange(
            call=call,
            accepted=accepted,
            chat=chat,
            reply=wire.Reply(
                id=f"chatcmpl-{accepted.message_id}", model=call.ask.model, created=int(self._context.clock.now())
            ),
            answer=_Answer(),
            receive=receive,
            send=send,
        )
        if accepted.reports is None:
            await self._repeat(exchange)
            return
        if call.ask.wants_stream:
            ending = await self._stream(exchange)
        else:
            ending = await self._whole(exchange)
        if ending is Ending.LEFT_RUNNING:
            await inbox.interrupt(accepted.session_id, "the caller hung up")

    async def _called(self, scope: Scope, receive: Receive) -> _Call:
        if media_type(scope) != JSON:
            raise HttpRefusal(415, "unsupported_media_type", f"send the body as {JSON}")
        chat = _id_header(scope, SESSION_HEADER)
        if chat is not None and ("/" in chat or "\\" in chat):
            raise HttpRefusal(400, "invalid_header", f"{SESSION_HEADER} may hold no slash")
        mode = _mode(header(scope, MODE_HEADER))
        native_id = _id_header(scope, IDEMPOTENCY_HEADER) or ""
        ask = wire.ask_of(await read_body(receive))
        if ask.model != DEFAULT_MODEL and ask.model not in self._context.agents():
            raise unknown_model(ask.model)
        return _Call(ask=ask, chat=chat, mode=mode, native_id=native_id)

    async def _hand_in(self, inbox: Inbox, call: _Call) -> tuple[Accepted, str]:
        history = digest(self._key, call.ask.model, call.ask.earlier)
        remembered = self._conversations.take(history) if call.chat is None else None
        chat = call.chat or remembered or self._context.ids.new_id()
        try:
            accepted = await inbox.receive(self._inbound(call, chat), follow=True)
        except HermesError as error:
            if remembered is not None:
                self._conversations.remember(history, remembered)
            if isinstance(error, NotFound):
                raise unknown_model(call.ask.model) from error
            raise
        if accepted.is_duplicate:
            return accepted, source_of(accepted.session_id).chat
        self._conversations.forget(chat)
        return accepted, chat

    def _inbound(self, call: _Call, chat: str) -> Inbound:
        ask = call.ask
        return Inbound(
            platform=self._name,
            source=Source(platform=self._name, kind=ChatKind.DM, chat=chat),
            sender_id=_SENDER,
            sender_name=ask.user or _SENDER,
            text=ask.text,
            native_id=call.native_id,
            mode=call.mode,
            agent=None if ask.model == DEFAULT_MODEL else ask.model,
            imported=tuple(turn for turn in ask.earlier if turn[1].strip()),
            may_command=False,
        )

    async def _whole(self, exchange: _Exchange) -> Ending:
        ending = await self._followed(exchange, None)
        if ending is Ending.ENDED:
            await self._respond(exchange, exchange.answer)
            self._remember(exchange)
        return ending

    async def _stream(self, exchange: _Exchange) -> Ending:
        writer = self._writer(exchange)
        await writer.begin(exchange.headers)
        try:
            ending = await self._followed(exchange, writer)
        except asyncio.CancelledError:
            # The server stops; a caller that still reads learns why its answer is short.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FAREWELL_S):
                    await writer.fail("stopping", "the server is stopping; the run may go on")
            raise
        if ending is Ending.ENDED:
            await writer.end(exchange.answer.ended)
            self._remember(exchange)
        return ending

    async def _repeat(self, exchange: _Exchange) -> None:
        answer = self._answers.find(exchange.accepted.message_id, self._context.clock.monotonic())
        if answer is None:
            raise HttpRefusal(
                409,
                "already_taken_in",
                "this idempotency key was used before, and its answer is not ready or no longer kept here",
                headers=(*exchange.headers, retry_after(1.0)),
            )
        if not exchange.call.ask.wants_stream:
            await self._respond(exchange, answer)
            return
        writer = self._writer(exchange)
        await writer.begin(exchange.headers)
        await writer.take(TextDelta(text=answer.text))
        await writer.end(answer.ended)

    async def _followed(self, exchange: _Exchange, writer: StreamWriter | None) -> Ending:
        reports = exchange.accepted.reports
        assert reports is not None, "a repeated message is not followed"

        async def take(report: RunReport | None) -> None:
            exchange.answer.add(report)
            if writer is not None:
                await writer.take(report)

        return await follow(reports, exchange.receive, silence_s=self._keepalive_s, take=take)

    async def _respond(self, exchange: _Exchange, answer: _Answer) -> None:
        ended = answer.ended
        if ended is None or not ended.stop.is_answer:
            code, message = ("lost", "the run left no answer") if ended is None else wire.failure(ended)
            raise HttpRefusal(502, code, message, headers=exchange.headers)
        body = wire.completion(exchange.reply, answer.text, ended)
        await respond_json(exchange.send, 200, body, headers=exchange.headers)

    def _remember(self, exchange: _Exchange) -> None:
        ask, answer = exchange.call.ask, exchange.answer
        if answer.ended is None or not answer.ended.stop.is_answer:
            return
        turns = (*ask.earlier, ("user", ask.text), ("assistant", answer.text))
        self._conversations.remember(digest(self._key, ask.model, turns), exchange.chat)
        if exchange.call.native_id:
            self._answers.put(exchange.accepted.message_id, answer, self._context.clock.monotonic())

    def _writer(self, exchange: _Exchange) -> StreamWriter:
        return StreamWriter(
            exchange.send,
            exchange.reply,
            clock=self._context.clock,
            keepalive_s=self._keepalive_s,
            wants_usage=exchange.call.ask.wants_usage,
        )


def unknown_model(name: str) -> HttpRefusal:
    """The answer to a model that is no agent's name."""
    return HttpRefusal(404, "model_not_found", f"there is no model {name[:ID_LIMIT]}; see GET /v1/models")


def _id_header(scope: Scope, name: str) -> str | None:
    value = header(scope, name)
    if value is not None and _ID.fullmatch(value) is None:
        raise HttpRefusal(400, "invalid_header", f"{name} must be 1 to {ID_LIMIT} printable ASCII characters")
    return value


def _mode(value: str | None) -> Mode | None:
    if value is None:
        return None
    try:
        return Mode(value)
    except ValueError as error:
        known = ", ".join(Mode)
        raise HttpRefusal(400, "invalid_header", f"{MODE_HEADER} must be one of {known}") from error
