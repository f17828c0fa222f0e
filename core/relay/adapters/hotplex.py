"""The relay of HotPlex, which is also ours: a message is posted, and the answer is asked for."""

from collections.abc import Sequence
from typing import cast
from urllib.parse import quote

import msgspec

from core.api.errors import HermesError
from core.api.relay_targets import TargetFinding, TargetStep
from core.api.relay_tasks import AttemptResult, RelayState
from core.relay import signing
from core.relay.message import RelayMessage, RelayResponse, WireStatus, read_response, write_for_peer, write_message
from core.relay.moment import Moment
from core.relay.outcome import refusal_of, reply_of
from core.relay.peers import Credentials
from core.relay.trail import trail_text
from core.relay.web import CallError, Web, WebAnswer
from core.relay.wire import ASKS_BACK, NO_QUESTION, Call, Reply, far_name
from core.relay_settings import RelaySettings

ANSWER_LIMIT_BYTES = 4 * 1_048_576
"""Of one answer of a bot."""

_WORDS_LIMIT = 200
_STATES = {
    WireStatus.WORKING: RelayState.WORKING,
    WireStatus.COMPLETED: RelayState.COMPLETED,
    WireStatus.FAILED: RelayState.FAILED,
    WireStatus.CANCELED: RelayState.CANCELED,
    WireStatus.NOT_IMPLEMENTED: RelayState.FAILED,
}
_OK, _REDIRECT, _REFUSAL = 200, 300, 400
_UNAUTHORISED, _FORBIDDEN, _NOT_FOUND, _NO_METHOD, _GONE, _NOT_IMPLEMENTED, _LOOP = 401, 403, 404, 405, 410, 501, 508
_UNKNOWN_THERE = frozenset({_NOT_FOUND, _NO_METHOD, _GONE, _NOT_IMPLEMENTED})


class _Identity(msgspec.Struct):
    name: str = ""
    version: str = ""
    protocol: str = ""
    peer: str = ""


_IDENTITY = msgspec.json.Decoder(_Identity)


class HotplexAdapter:
    """Speaks it. A peer of HotPlex itself takes messages and never says more; one of our kind can be asked."""

    def __init__(self, web: Web, settings: RelaySettings) -> None:
        self._web = web
        self._settings = settings

    async def send(self, call: Call) -> Reply:
        """Deliver the message. Done again with the same id, it is the same message."""
        message = RelayMessage(
            task_id=call.id,
            sender=call.sender or self._settings.name,
            to=call.bot.name,
            content=call.text,
            session_key=call.context,
            metadata=trail_text(call.trail),
            status=WireStatus.WORKING,
            created_at=Moment.of(call.created_at),
        )
        answer = await self._asked(call, "POST", "/relay", write_for_peer(message))
        if isinstance(answer, Reply):
            return answer
        return _taken(call, answer) if _is_success(answer) else _refused(call, answer)

    async def ask(self, call: Call) -> Reply:
        """How far the task is over there."""
        answer = await self._asked(call, "GET", _task_path(call))
        if isinstance(answer, Reply):
            return answer
        if answer.status in _UNKNOWN_THERE:
            return Reply(
                result=AttemptResult.DELIVERED,
                status=answer.status,
                error="the far side does not tell what became of it",
                state=RelayState.WORKING,
                is_silent=True,
            )
        return _taken(call, answer) if _is_success(answer) else _refused(call, answer)

    async def cancel(self, call: Call) -> Reply:
        """Tell the far side to stop."""
        # Signed with its purpose: a signature covers neither method nor path.
        order = RelayMessage(task_id=call.id, status=WireStatus.CANCELED, created_at=Moment.of(self._web.clock.now()))
        answer = await self._asked(call, "DELETE", _task_path(call), write_message(order))
        if isinstance(answer, Reply):
            return answer
        return _taken(call, answer) if _is_success(answer) else _refused(call, answer)

    async def look(self, call: Call) -> tuple[Sequence[TargetFinding], str]:
        """Whether the far side would take a message, from its address to who it says it is, without sending one."""
        clock = self._web.clock
        began = clock.monotonic()
        findings = list(await self._web.look(call.bot.url, networks=call.bot.networks, limit_s=call.limit_s))
        if any(finding.is_ok is False for finding in findings):
            return findings, ""
        since = clock.monotonic()
        left_s = max(0.001, call.limit_s - (since - began))
        answer = await self._asked(msgspec.structs.replace(call, limit_s=left_s), "GET", "/relay")
        said = _identified(call, answer)
        seconds = clock.monotonic() - since
        findings.append(TargetFinding(step=TargetStep.AUTH, is_ok=said.is_let_in, seconds=seconds, detail=said.auth))
        findings.append(TargetFinding(step=TargetStep.IDENTITY, is_ok=said.is_relay, seconds=0.0, detail=said.words))
        return findings, said.identity

    async def _asked(self, call: Call, method: str, path: str, body: bytes = b"") -> WebAnswer | Reply:
        try:
            headers = self._proof(call, body)
        except HermesError as error:
            return reply_of(error.message, AttemptResult.REFUSED, is_ours=True)
        if body:
            headers["content-type"] = "application/json"
        try:
            return await self._web.call(
                method,
                call.bot.url + path,
                headers=headers,
                body=body,
                networks=call.bot.networks,
                limit_s=call.limit_s,
                limit_bytes=ANSWER_LIMIT_BYTES,
            )
        except CallError as error:
            return reply_of(str(error), error.result, is_ours=error.is_ours)

    def _proof(self, call: Call, body: bytes) -> dict[str, str]:
        known = call.credentials
        headers = signing.signed_headers(known.keys, call.id, self._web.clock.now(), body) if known.keys else {}
        if known.token is not None:
            headers["authorization"] = f"Bearer {known.token.reveal()}"
        return headers


class _Said(msgspec.Struct, frozen=True):
    """What an answer to `who are you` tells. is_let_in, is_relay: None when it does not tell."""

    is_let_in: bool | None
    auth: str
    is_relay: bool | None
    words: str
    identity: str = ""


def _identified(call: Call, answer: WebAnswer | Reply) -> _Said:
    if isinstance(answer, Reply):
        return _Said(False, answer.error, None, "not reached")
    if answer.status in {_UNAUTHORISED, _FORBIDDEN}:
        sent = "what we prove ourselves with" if call.credentials.fingerprint else "a call without credentials"
        return _Said(False, f"it does not accept {sent} ({answer.status})", None, "not told to strangers")
    if answer.status == _NO_METHOD:
        return _Said(None, "a relay of HotPlex does not tell whether it knows us", None, "does not say who it is")
    if not _is_success(answer):
        words = f"there is no relay at this address: {_words(call, answer)}"
        return _Said(None, "not reached", False, words)
    try:
        told = _IDENTITY.decode(answer.body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        told = _Identity()
    if told.protocol != "hotplex":
        return _Said(None, "not reached", False, "what answers at this address is no relay")
    name = _shown(f"{told.name} {told.version}".strip()) or "without a name"
    peer = _shown(told.peer)
    return _Said(True, f"known there as {peer}" if peer else "let in", True, name, name)


def _taken(call: Call, answer: WebAnswer) -> Reply:
    """What an answer of 2xx says of the task."""
    if answer.is_cut:
        # The status is there: it has the message. What it said with it can be asked for.
        return Reply(result=AttemptResult.DELIVERED, status=answer.status, state=RelayState.WORKING)
    try:
        said = read_response(answer.body) if answer.body.strip() else RelayResponse()
    except HermesError as error:
        return Reply(
            result=AttemptResult.REFUSED,
            status=answer.status,
            error=f"it answered {answer.status}, but not as a relay does: {_masked(call, error.message)}",
        )
    state = _STATES.get(said.status)
    common = Reply(
        result=AttemptResult.DELIVERED,
        status=answer.status,
        remote_id=far_name(said.task_id) if said.task_id != call.id else "",
        answer=said.content,
        retry_after_s=answer.retry_after_s,
    )
    if state is None:
        return _unusual(call, common, said)
    why = _masked(call, said.error)
    if said.status == WireStatus.NOT_IMPLEMENTED:
        why = why or "the relay of the far side is not implemented"
    elif state is RelayState.FAILED:
        why = why or "the far side says that it failed, and not why"
    return msgspec.structs.replace(common, state=state, error=why)


def _unusual(call: Call, common: Reply, said: RelayResponse) -> Reply:
    """A status that is none of a task: HotPlex says ok or sent and means that it has it, for good."""
    if said.error:
        return msgspec.structs.replace(common, state=RelayState.FAILED, error=_masked(call, said.error))
    if said.status == "input_required":
        question = said.content or NO_QUESTION
        return msgspec.structs.replace(common, state=RelayState.COMPLETED, answer=question, error=ASKS_BACK)
    if said.content:
        return msgspec.structs.replace(common, state=RelayState.COMPLETED)
    return msgspec.structs.replace(common, state=RelayState.WORKING, is_silent=True)


def _refused(call: Call, answer: WebAnswer) -> Reply:
    reply = refusal_of(answer.status, _words(call, answer), retry_after_s=answer.retry_after_s)
    if answer.status == _LOOP:
        # It ended a loop: sent again, it would end there again.
        return msgspec.structs.replace(reply, result=AttemptResult.REFUSED, retry_after_s=None)
    return reply


def _words(call: Call, answer: WebAnswer) -> str:
    if _REDIRECT <= answer.status < _REFUSAL:
        where = _masked(call, answer.headers.get("location", ""))
        leads = f" (to {where})" if where else ""
        return f"it answered {answer.status}{leads}: that is not followed, bind the address that is meant"
    told = _masked(call, _error_of(answer.body), is_cut=answer.is_cut)
    return f"it answered {answer.status}: {told}" if told else f"it answered {answer.status}"


def _error_of(body: bytes) -> str:
    """What a body says went wrong: as HotPlex, as ours, or as it stands there."""
    try:
        document: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return body.decode(errors="replace")
    found: object = document
    for name in ("error", "message"):
        if isinstance(found, dict) and name in found:
            found = cast("dict[str, object]", found)[name]
    return found if isinstance(found, str) else body.decode(errors="replace")


def _masked(call: Call, text: str, *, is_cut: bool = False) -> str:
    """Words of the far side for people: one line, bounded, none of our secrets in it. is_cut: its end is missing."""
    secrets = _secrets(call.credentials)
    for secret in secrets:
        text = text.replace(secret, "***")
    if is_cut and secrets:
        # What is left of one there is not known for one.
        text = text[: -max(map(len, secrets))]
    return _shown(text)


def _secrets(known: Credentials) -> list[str]:
    return [secret.reveal() for secret in (*known.keys, *((known.token,) if known.token else ()))]


def _shown(text: str) -> str:
    line = " ".join(text.split())[:_WORDS_LIMIT]
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in line)


def _task_path(call: Call) -> str:
    return f"/relay/tasks/{quote(call.remote_id or call.id, safe='')}"


def _is_success(answer: WebAnswer) -> bool:
    return _OK <= answer.status < _REDIRECT
