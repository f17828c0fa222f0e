"""What other agents reach over Agent2Agent: our card, and the calls that give messages to agents here.

Errors of the protocol are answers of status 200. A caller that proves nothing gets 401, one that is to slow down 429
or 503 with Retry-After, so that every HTTP client understands it.
"""

import asyncio
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import aclosing, contextmanager, suppress
from typing import Protocol

import msgspec

from core import __version__
from core.api.errors import HermesError
from core.clock import Clock
from core.http.asgi import JSON, Receive, Scope, Send, chunk, header, media_type, read_body, respond, start
from core.http.leaving import while_there
from core.http.refusal import HttpRefusal, refusal_of, retry_after
from core.relay import a2a_card
from core.relay.a2a import (
    CARD_PATH,
    VERSION_HEADER,
    A2aFault,
    A2aVersion,
    Code,
    Method,
    Request,
    method_of,
    read_request,
    request_id,
    version_of,
    write_fault,
    write_result,
)
from core.relay.a2a_words import Order, read_order, read_task_id, task_object, updates, whole
from core.relay.inbound import Inbound, Message, RefusedMessage
from core.relay.peers import Peers, UnknownCallerError
from core.relay.relay_app import borne, headers_of
from core.relay.signing import is_claimed
from core.relay.task import RelayTask
from core.relay_settings import RelaySettings

PREFIXES = (a2a_card.PATH, CARD_PATH)
"""Where the app is to be mounted."""

BLOCK_LIMIT_S = 110.0
"""Longest wait of a caller that wants the end: shorter than most give up after. Then it gets the task as it is."""

CANCEL_LIMIT_S = 5.0
HELD_LIMIT = 32
"""Calls of one peer that wait or stream at a time, so that no peer takes all connections."""

STREAM_LIMIT_S = 3600.0
KEEPALIVE_S = 5.0
"""Longest silence of a stream. Some callers give up after little more."""

_WRITE_LIMIT_S = 30.0
_EVENTS = "text/event-stream; charset=utf-8"
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}(:[0-9]{1,5})?|\[[0-9a-fA-F:.]{2,45}\](:[0-9]{1,5})?")
_BUSY = {429, 503}
_ANSWERS = {Code.TASK_NOT_FOUND, Code.NOT_CANCELABLE}
"""Errors that only say how it is: nothing was refused."""

_SENDS = {Method.SEND, Method.STREAM}
_STREAMS = {Method.STREAM, Method.SUBSCRIBE}
_CODES = {
    "message": {404: Code.PARAMS, 508: Code.UNSUPPORTED},
    "task": {404: Code.TASK_NOT_FOUND, 409: Code.NOT_CANCELABLE},
}


class Refused(Protocol):
    """Told of every request that is not taken: by whom ("" for nobody known), status, a word, why."""

    def __call__(self, peer: str, status: int, code: str, why: str, /) -> None:
        """Take note."""
        ...


class A2aApp:
    """An ASGI app, to mount at PREFIXES. url: where the server listens."""

    def __init__(
        self,
        *,
        inbound: Inbound,
        peers: Peers,
        settings: RelaySettings,
        clock: Clock,
        url: Callable[[], str],
        refused: Refused,
        block_limit_s: float = BLOCK_LIMIT_S,
        keepalive_s: float = KEEPALIVE_S,
    ) -> None:
        self._inbound = inbound
        self._peers = peers
        self._settings = settings
        self._clock = clock
        self._url = url
        self._refused = refused
        self._block_limit_s = block_limit_s
        self._keepalive_s = keepalive_s
        self._held: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises HttpRefusal until the answer has begun."""
        path, method = scope["path"], scope["method"]
        if path == CARD_PATH:
            _demand_method(scope, method, ("GET", "HEAD"))
            await self._show_card(scope, send)
        elif path == a2a_card.PATH:
            _demand_method(scope, method, ("POST",))
            await self._answer(scope, receive, send)
        else:
            raise HttpRefusal(404, "unknown_path", f"nothing is served at {path}")

    async def _show_card(self, scope: Scope, send: Send) -> None:
        card = a2a_card.write_card(name=self._settings.name, url=self._address(scope), version=__version__)
        etag = a2a_card.etag_of(card)
        if a2a_card.is_known(header(scope, "if-none-match") or "", etag):
            await respond(send, 304, b"", headers=[("etag", etag)])
            return
        await respond(send, 200, card, headers=[("etag", etag)])

    def _address(self, scope: Scope) -> str:
        """Where this caller can reach us: what the configuration says, else the name that it called."""
        if self._settings.public_url:
            return self._settings.public_url
        host = header(scope, "host") or ""
        return f"{scope.get('scheme', 'http')}://{host}" if _HOST.fullmatch(host) else self._url()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Who cannot be anybody is not listened to.
        self._caller(scope, None)
        body = await read_body(receive)
        peer = self._caller(scope, body)
        if len(body) > self._settings.body_limit_bytes:
            raise self._refusal(peer, 413, "body_too_large", f"{self._settings.body_limit_bytes} bytes are taken")
        if media_type(scope) != JSON:
            raise self._refusal(peer, 415, "unsupported_media_type", f"send the body as {JSON}")
        call_id = request_id(body)
        try:
            version = version_of(header(scope, VERSION_HEADER) or "")
            request = read_request(body)
            is_signed = is_claimed(headers_of(scope))
            call = _Call(self, peer, request, method_of(request.method, version), version, is_signed=is_signed)
            await call.serve(receive, send)
        except A2aFault as fault:
            if fault.code not in _ANSWERS:
                self._refused(peer, fault.status, fault.reason.lower(), fault.message)
            await respond(send, 200, write_fault(call_id, fault))
        except RefusedMessage as refusal:
            self._refused(peer, refusal.status, refusal.code, str(refusal))
            headers = [retry_after(refusal.retry_after_s or 1.0)] if refusal.status in _BUSY else []
            status = refusal.status if refusal.status in _BUSY else 200
            await respond(send, status, write_fault(call_id, _fault_of(refusal, "message")), headers=headers)
        except HermesError as error:
            plain = refusal_of(error)
            self._refused(peer, plain.status, plain.code, plain.message)
            raise plain from error

    def _caller(self, scope: Scope, body: bytes | None) -> str:
        """Who calls. body: None while it is not there; see relay_app.borne. Raises HttpRefusal 401."""
        headers, now = headers_of(scope), self._clock.now()
        try:
            return borne(self._peers, headers, now) if body is None else self._peers.identify(headers, body, now)
        except UnknownCallerError as error:
            self._refused("", 401, "unauthorised", str(error))
            message = "the credential is missing or wrong; send it as Authorization: Bearer TOKEN"
            raise HttpRefusal(401, "unauthorised", message, headers=(("www-authenticate", "Bearer"),)) from None

    def _refusal(self, peer: str, status: int, code: str, why: str) -> HttpRefusal:
        self._refused(peer, status, code, why)
        return HttpRefusal(status, code, why)

    # -- for calls

    def admit(self, peer: str, *, is_read: bool) -> None:
        """Count a request. Raises RefusedMessage."""
        self._inbound.admit(peer, is_read=is_read)

    @contextmanager
    def holding(self, peer: str) -> Generator[None]:
        """While a call of that peer waits or streams. Raises RefusedMessage when too many do."""
        if self._held[peer] >= HELD_LIMIT:
            raise RefusedMessage(429, "held", f"{HELD_LIMIT} calls of yours wait already; ask with GetTask", 1.0)
        self._held[peer] += 1
        try:
            yield
        finally:
            self._held[peer] -= 1

    async def take(self, peer: str, order: Order, *, is_signed: bool) -> RelayTask:
        """Give a message to its agent. Raises RefusedMessage, A2aFault."""
        if order.task_id:
            await self.find(peer, order.task_id)
            why = "a task takes no other message; send it without taskId, with the same contextId"
            raise A2aFault(Code.UNSUPPORTED, why)
        taken = await self._inbound.take(
            Message(
                peer=peer,
                wire_id=order.message_id,
                text=order.text,
                trail=order.trail,
                body_hash=_hash_of(order),
                to=order.to,
                sender=order.sender,
                context=order.context,
                is_signed=is_signed,
            )
        )
        return taken.task

    async def find(self, peer: str, task_id: str) -> RelayTask:
        """A task of that peer. Raises A2aFault."""
        try:
            return await self._inbound.find(peer, task_id)
        except RefusedMessage as refusal:
            raise _fault_of(refusal, "task") from None

    async def cancel(self, peer: str, task_id: str) -> RelayTask:
        """Stop a task. Raises A2aFault."""
        try:
            task = await self._inbound.cancel(peer, task_id, "")
        except RefusedMessage as refusal:
            raise _fault_of(refusal, "task") from None
        return task if task.state.is_over else await self.ended(task, CANCEL_LIMIT_S)

    async def ended(self, task: RelayTask, limit_s: float = 0.0) -> RelayTask:
        """The task once it is over, or as it is when the wait is. limit_s: 0 for as long as callers wait."""
        async with aclosing(self._inbound.changes(task, limit_s=limit_s or self._block_limit_s)) as changes:
            async for changed in changes:
                task = changed
        return task

    async def stream(self, send: Send, task: RelayTask, call_id: str | int | None, version: A2aVersion) -> None:
        """Write the task and what becomes of it, until it is over."""

        async def write(piece: bytes, *, more: bool = True) -> None:
            async with asyncio.timeout(_WRITE_LIMIT_S):
                await chunk(send, piece, more=more)

        await write(_event(call_id, whole(task, version)))
        ends = self._clock.monotonic() + STREAM_LIMIT_S
        while not task.state.is_over and self._clock.monotonic() < ends:
            async with aclosing(self._inbound.changes(task, limit_s=self._keepalive_s)) as changes:
                async for changed in changes:
                    is_news = (changed.state, changed.answer) != (task.state, task.answer)
                    task = changed
                    if is_news:
                        for update in updates(task, version):
                            await write(_event(call_id, update))
            if not task.state.is_over:
                await write(b": keepalive\n\n")
        await write(b"", more=False)


class _Call:
    """One call of a peer that has proved who it is."""

    def __init__(
        self, app: A2aApp, peer: str, request: Request, method: Method, version: A2aVersion, *, is_signed: bool
    ) -> None:
        self._app = app
        self._is_signed = is_signed
        self._peer = peer
        self._id = request.id
        self._params = request.params
        self._method = method
        self._version = version

    async def serve(self, receive: Receive, send: Send) -> None:
        """Answer it. Raises A2aFault and RefusedMessage until the answer has begun, ClientGone."""
        # What is here already may be looked after also while nothing new is taken.
        self._app.admit(self._peer, is_read=self._method not in _SENDS)
        if self._method in _STREAMS:
            with self._app.holding(self._peer):
                task = await self._first()
                await start(send, 200, [("content-type", _EVENTS)])
                # One that reads nothing is left; the task goes on.
                with suppress(TimeoutError):
                    await while_there(receive, self._app.stream(send, task, self._id, self._version))
            return
        result = await self._result(receive)
        await respond(send, 200, write_result(self._id, result))

    async def _first(self) -> RelayTask:
        if self._method is Method.STREAM:
            return await self._app.take(self._peer, read_order(self._params), is_signed=self._is_signed)
        task = await self._app.find(self._peer, read_task_id(self._params))
        if task.state.is_over:
            raise A2aFault(Code.UNSUPPORTED, "the task is over; ask for it with GetTask")
        return task

    async def _result(self, receive: Receive) -> dict[str, object]:
        match self._method:
            case Method.SEND:
                order = read_order(self._params)
                if order.is_immediate:
                    return whole(await self._app.take(self._peer, order, is_signed=self._is_signed), self._version)
                with self._app.holding(self._peer):
                    task = await self._app.take(self._peer, order, is_signed=self._is_signed)
                    if not task.state.is_over:
                        task = await while_there(receive, self._app.ended(task))
                return whole(task, self._version)
            case Method.CANCEL:
                task = await self._app.cancel(self._peer, read_task_id(self._params))
            case _:
                task = await self._app.find(self._peer, read_task_id(self._params))
        return task_object(task, self._version)


def _fault_of(refusal: RefusedMessage, noun: str) -> A2aFault:
    code = _CODES[noun].get(refusal.status)
    if code is None:
        code = Code.PARAMS if refusal.status not in _BUSY else Code.INTERNAL
    reason = "" if code in {Code.TASK_NOT_FOUND, Code.NOT_CANCELABLE} else refusal.code.upper()
    return A2aFault(code, str(refusal), reason)


def _event(call_id: str | int | None, result: dict[str, object]) -> bytes:
    return b"data: " + write_result(call_id, result) + b"\n\n"


def _hash_of(order: Order) -> str:
    """Of all that makes a message what it is; its way here is not part of that."""
    return hashlib.sha256(msgspec.json.encode([order.text, order.context, order.to])).hexdigest()


def _demand_method(scope: Scope, method: str, allowed: tuple[str, ...]) -> None:
    if method not in allowed:
        text = ", ".join(allowed)
        raise HttpRefusal(405, "wrong_method", f"{scope['path']} takes {text}", headers=(("allow", text),))
