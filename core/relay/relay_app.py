"""What other bots reach below /relay: messages in, how far they are, taking one back, answers to what we asked."""

import hashlib
from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from core import __version__
from core.api.errors import HermesError, InvalidInput, NotFound
from core.api.relay_tasks import AttemptResult, RelayState
from core.clock import Clock
from core.http.asgi import JSON, Receive, Scope, Send, header, media_type, read_body, respond, respond_json
from core.http.refusal import HttpRefusal, one_line, refusal_of, retry_after
from core.relay import relay_openapi, signing
from core.relay.answers import Answers
from core.relay.callback import response_of, signed_id
from core.relay.inbound import Inbound, Message, RefusedMessage
from core.relay.message import RelayMessage, RelayResponse, WireStatus, read_message, read_response, write_response
from core.relay.moment import Moment
from core.relay.peers import Peers, UnknownCallerError
from core.relay.trail import read_trail
from core.relay.wire import Reply
from core.relay_settings import RelaySettings

PREFIX = "/relay"
"""Where the app is to be mounted."""

ANSWERS, TASKS = "/relay/answers", "/relay/tasks/"
REPEATED = "idempotent-replayed"
"""Header of an answer to a message that was here before."""

_STATES = {
    WireStatus.COMPLETED: RelayState.COMPLETED,
    WireStatus.FAILED: RelayState.FAILED,
    WireStatus.CANCELED: RelayState.CANCELED,
}


class RelayApp:
    """An ASGI app. Who calls is what the credential proves; a request that proves nothing changes nothing."""

    def __init__(
        self, *, inbound: Inbound, answers: Answers, peers: Peers, settings: RelaySettings, clock: Clock
    ) -> None:
        self._inbound = inbound
        self._answers = answers
        self._peers = peers
        self._settings = settings
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises HttpRefusal until the answer has begun."""
        path: str = scope["path"]
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        if path == relay_openapi.PATH:
            _demand_method(path, method, ("GET",))
            await respond_json(send, 200, relay_openapi.document())
            return
        is_task = path.startswith(TASKS) and len(path) > len(TASKS)
        if path not in {PREFIX, ANSWERS} and not is_task:
            raise HttpRefusal(404, "unknown_path", f"nothing is served at {path}")
        _demand_method(path, method, _METHODS.get(path, ("GET", "DELETE")))
        call = await self._call(scope, receive)
        wire_id = path.removeprefix(TASKS) if is_task else ""
        try:
            await self._serve(method, path, wire_id, call, send)
        except RefusedMessage as refusal:
            raise self._refused(call.peer, refusal.status, refusal.code, str(refusal), refusal.retry_after_s) from None
        except HermesError as error:
            plain = refusal_of(error)
            self._inbound.callers.refused(call.peer, plain.status, plain.code, plain.message)
            raise plain from error

    async def _serve(self, method: str, path: str, wire_id: str, call: "_Call", send: Send) -> None:
        if wire_id:
            await self._serve_task(method, wire_id, call, send)
        elif method == "GET":
            self._inbound.admit(call.peer, is_read=True)
            known = {"name": self._settings.name, "version": __version__, "protocol": "hotplex", "peer": call.peer}
            await respond_json(send, 200, known)
        elif path == ANSWERS:
            await self._take_answer(call, send)
        else:
            await self._take_message(call, send)

    async def _call(self, scope: Scope, receive: Receive) -> "_Call":
        """Who calls and what is sent. Raises HttpRefusal 401, 413, 415."""
        limit, headers = self._settings.body_limit_bytes, headers_of(scope)
        # Who cannot be anybody is not listened to.
        claimed = self._identified(headers, None)
        declared = header(scope, "content-length") or ""
        if declared.isascii() and declared.isdigit() and int(declared[:20]) > limit:
            raise self._refused(claimed, 413, "body_too_large", f"{limit} bytes are taken")
        body = await read_body(receive)
        peer = self._identified(headers, body)
        if len(body) > limit:
            raise self._refused(peer, 413, "body_too_large", f"{limit} bytes are taken")
        if scope["method"] == "POST" and media_type(scope) != JSON:
            raise self._refused(peer, 415, "unsupported_media_type", f"send the body as {JSON}")
        return _Call(peer, headers, body)

    def _identified(self, headers: Mapping[str, str], body: bytes | None) -> str:
        """Who calls. body: None while it is not there, "" is somebody who has signed then. Raises HttpRefusal 401."""
        now = self._clock.now()
        try:
            return borne(self._peers, headers, now) if body is None else self._peers.identify(headers, body, now)
        except UnknownCallerError as error:
            self._inbound.callers.refused("", 401, "unauthorised", str(error))
            # What exactly was wrong is told to our operator, and to nobody who only tries.
            message = "the credential is missing or wrong; sign the request or send Authorization: Bearer TOKEN"
            raise HttpRefusal(401, "unauthorised", message, headers=(("www-authenticate", "Bearer"),)) from None

    # -- messages

    async def _take_message(self, call: "_Call", send: Send) -> None:
        wire_id = call.headers.get(signing.ID_HEADER, "")
        try:
            self._inbound.admit(call.peer)
            message = read_message(call.body)
            wire_id = message.task_id or wire_id
            taken = await self._inbound.take(_message(call, wire_id, message))
        except InvalidInput as error:
            await self._say_refused(call, wire_id, RefusedMessage(400, error.code, _words(error)), send)
            return
        except RefusedMessage as refusal:
            await self._say_refused(call, wire_id, refusal, send)
            return
        place = ("location", TASKS + quote(wire_id, safe="-._~"))
        headers = [place, (REPEATED, "true")] if taken.is_repeated else [place]
        status = 200 if taken.task.state.is_over else 202
        await respond(send, status, write_response(response_of(taken.task)) + b"\n", headers=headers)

    async def _say_refused(self, call: "_Call", wire_id: str, refusal: RefusedMessage, send: Send) -> None:
        """Say it as such senders expect it: as the answer to their message."""
        self._inbound.callers.refused(call.peer, refusal.status, refusal.code, str(refusal))
        response = RelayResponse(
            task_id=wire_id,
            status=WireStatus.FAILED,
            timestamp=Moment.of(self._clock.now()),
            error=one_line(str(refusal)),
        )
        headers = [] if refusal.retry_after_s is None else [retry_after(refusal.retry_after_s)]
        await respond(send, refusal.status, write_response(response) + b"\n", headers=headers)

    async def _serve_task(self, method: str, wire_id: str, call: "_Call", send: Send) -> None:
        self._check_bound(method, call, wire_id)
        # Work may be taken back also while nothing else is taken.
        self._inbound.admit(call.peer, is_read=True)
        if method == "DELETE":
            task = await self._inbound.cancel(call.peer, wire_id, "")
        else:
            task = await self._inbound.find(call.peer, wire_id)
        await respond(send, 200, write_response(response_of(task)) + b"\n")

    def _check_bound(self, method: str, call: "_Call", wire_id: str) -> None:
        """A signature covers neither path nor method, so it counts only for the message it names, and one that was
        made to look cannot be used to stop.
        """
        if not signing.is_claimed(call.headers):
            return
        if call.headers.get(signing.ID_HEADER) != signed_id(wire_id):
            named = "the id in the path" if signing.is_id(wire_id) else "the SHA-256 of the id in the path, in hex"
            raise RefusedMessage(403, "signed_for_another", f"{signing.ID_HEADER} must be {named}")
        if method == "DELETE" and not _is_canceling(call.body):
            raise RefusedMessage(403, "not_signed_to_stop", 'sign the body {"status":"canceled"}')

    # -- answers

    async def _take_answer(self, call: "_Call", send: Send) -> None:
        self._inbound.admit(call.peer)
        try:
            response = read_response(call.body)
        except InvalidInput as error:
            raise RefusedMessage(400, error.code, _words(error)) from None
        if not response.task_id:
            raise RefusedMessage(400, "bad_id", "task_id says which message it answers")
        state = _STATES.get(response.status.lower())
        if state is None and response.status.lower() != WireStatus.WORKING:
            raise RefusedMessage(400, "bad_status", "status is working, completed, failed or canceled")
        if state is not None:
            try:
                await self._answers.came(call.peer, response.task_id, _reply(response, state))
            except NotFound:
                raise RefusedMessage(404, "unknown_task", "you were sent no such message") from None
        said = RelayResponse(task_id=response.task_id, status=WireStatus.OK, timestamp=Moment.of(self._clock.now()))
        await respond(send, 200, write_response(said) + b"\n")

    # -- refusing

    def _refused(
        self, peer: str, status: int, code: str, message: str, retry_after_s: float | None = None
    ) -> HttpRefusal:
        self._inbound.callers.refused(peer, status, code, message)
        headers = () if retry_after_s is None else (retry_after(retry_after_s),)
        return HttpRefusal(status, code, message, headers=headers)


class _Call(msgspec.Struct, frozen=True):
    """A request of a peer that has proved who it is."""

    peer: str
    headers: Mapping[str, str]
    body: bytes


_METHODS = {PREFIX: ("GET", "POST"), ANSWERS: ("POST",)}


def headers_of(scope: Scope) -> dict[str, str]:
    """Headers by their name in lower case; several of one name joined, so that two never pass for a single one."""
    found: dict[str, str] = {}
    for key, value in scope["headers"]:
        name, text = key.decode("latin-1").lower(), value.decode("latin-1")
        found[name] = f"{found[name]}, {text}" if name in found else text
    return found


def borne(peers: Peers, headers: Mapping[str, str], now: float) -> str:
    """Whose token came with a request, before its body is there; "" for one that is only signed.

    Raises UnknownCallerError.
    """
    plain = {name: value for name, value in headers.items() if name != signing.SIGNATURE_HEADER}
    if signing.is_claimed(headers) and not headers.get("authorization", "").lower().startswith("bearer "):
        return ""
    return peers.identify(plain, b"", now)


def _message(call: _Call, wire_id: str, message: RelayMessage) -> Message:
    if message.content and message.status.lower() not in {"", WireStatus.WORKING}:
        # The same signature would do for both, so an answer must not pass for a message.
        raise RefusedMessage(400, "bad_status", "by its status it is an answer, and not a message")
    return Message(
        peer=call.peer,
        wire_id=wire_id,
        text=message.content,
        trail=read_trail(message.metadata, message.session_key or wire_id),
        body_hash=hashlib.sha256(msgspec.json.encode([message.content, message.session_key])).hexdigest(),
        to=message.to,
        sender=message.sender,
        context=message.session_key,
        is_signed=signing.is_claimed(call.headers),
    )


def _reply(response: RelayResponse, state: RelayState) -> Reply:
    return Reply(
        result=AttemptResult.DELIVERED,
        status=200,
        state=state,
        answer=response.content,
        error=one_line(response.error),
        remote_id=response.task_id,
    )


def _is_canceling(body: bytes) -> bool:
    try:
        return read_message(body).status == WireStatus.CANCELED
    except InvalidInput:
        return False


def _words(error: InvalidInput) -> str:
    fix = error.facts.get("fix")
    return f"{error.message}; {fix}" if fix else error.message


def _demand_method(path: str, method: str, allowed: tuple[str, ...]) -> None:
    if method not in allowed:
        known = ", ".join(sorted({*allowed, "HEAD"} if "GET" in allowed else set(allowed)))
        raise HttpRefusal(405, "wrong_method", f"{path} takes {known}", headers=(("allow", known),))
