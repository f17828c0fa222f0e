"""One call to a server of Agent2Agent whose card is known: sent, streamed, read."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

import msgspec

from core.api.relay_tasks import AttemptResult
from core.clock import Clock
from core.relay import signing
from core.relay.a2a import (
    LOOP,
    NAMES,
    VERSION_HEADER,
    A2aFault,
    Code,
    Method,
    UnreadableError,
    cut,
    read_answer,
    write_request,
)
from core.relay.a2a_card import Card
from core.relay.a2a_far import FarTask, read_sent, read_task, read_update
from core.relay.a2a_words import Order, order_params
from core.relay.outcome import refusal_of, reply_of
from core.relay.web import CallError, Web, WebAnswer
from core.relay.wire import Call, Reply

LINGER_S = 1.0
"""How long a stream is read once the far side has the message, so that a short answer needs no question."""

ANSWER_LIMIT_BYTES = 4_194_304
_LEAST_S = 0.001
_OK = 200
_SUCCESS = range(200, 300)
_JSON, _EVENTS = "application/json", "text/event-stream"
_LOST = {404, 405}
_SAYS_CODE = {400, 404}
_PLAIN = {Code.METHOD, Code.UNSUPPORTED}
_OUTDATED = {Code.METHOD, Code.VERSION}


class FailedError(Exception):
    """A call came to nothing. fault: what the far side says of it in words of the protocol, None for HTTP alone."""

    def __init__(self, reply: Reply, fault: A2aFault | None = None) -> None:
        super().__init__(reply.error)
        self.reply = reply
        self.code = 0 if fault is None else fault.code
        self.may_be_plain = self.code in _PLAIN and fault is not None and fault.reason != LOOP
        """Whether it may be the stream alone that the far side does not do."""

    @property
    def is_outdated(self) -> bool:
        """Whether the card may be to blame, and nothing was done."""
        return self.code in _OUTDATED or (not self.code and self.reply.status in _LOST)


def credentials(call: Call, body: bytes, now: float) -> dict[str, str]:
    """The headers that prove who we are: what the peer is given, a token, signatures or both. Raises ConfigError."""
    found: dict[str, str] = {}
    if call.credentials.token is not None:
        found["authorization"] = f"Bearer {call.credentials.token.reveal()}"
    if call.credentials.keys and body and signing.is_id(call.id):
        found.update(signing.signed_headers(call.credentials.keys, call.id, now, body))
    return found


class Exchange:
    """Of one attempt. ends: monotonic seconds, of all of it."""

    def __init__(self, web: Web, clock: Clock, call: Call, card: Card, ends: float) -> None:
        self._web = web
        self._clock = clock
        self._call = call
        self._card = card
        self._ends = ends
        self.is_plain = False
        """Whether the far side turned out not to stream."""

    async def send(self, order: Order) -> Reply:
        """Deliver a message. Raises FailedError."""
        params = order_params(order, self._card.version)
        if self._card.can_stream:
            try:
                return _reply(await self._streamed(params))
            except FailedError as error:
                if not error.may_be_plain:
                    raise
                self.is_plain = True
        result = await self.rpc(Method.SEND, params)
        return _reply(_understood(lambda: read_sent(result)))

    async def ask(self) -> Reply:
        """How far the task is. Raises FailedError."""
        return await self._about(Method.GET)

    async def cancel(self) -> Reply:
        """Stop it. Raises FailedError."""
        return await self._about(Method.CANCEL)

    async def rpc(self, method: Method, params: Mapping[str, object]) -> Mapping[str, object]:
        """The result of a call. Raises FailedError."""
        body, headers = self._request(method, params, _JSON)
        try:
            answer = await self._web.call(
                "POST",
                self._card.url,
                headers=headers,
                body=body,
                networks=self._call.bot.networks,
                limit_s=self._left_s(),
                limit_bytes=ANSWER_LIMIT_BYTES,
            )
        except CallError as error:
            raise _cut_off(error) from None
        return _result(answer)

    async def _about(self, method: Method) -> Reply:
        # One that never told the id of its task may know it by the id of the message, as ours do.
        result = await self.rpc(method, {"id": self._call.remote_id or self._call.id})
        return _reply(_understood(lambda: read_task(result)))

    async def _streamed(self, params: Mapping[str, object]) -> FarTask:
        body, headers = self._request(Method.STREAM, params, f"{_EVENTS}, {_JSON}")
        lines = self._web.lines(
            "POST",
            self._card.url,
            headers=headers,
            body=body,
            networks=self._call.bot.networks,
            limit_s=self._left_s(),
            limit_bytes=ANSWER_LIMIT_BYTES,
        )
        async with aclosing(lines):
            try:
                answer = await anext(lines)
            except CallError as error:
                raise _cut_off(error) from None
            assert isinstance(answer, WebAnswer), "the answer comes before its lines"
            if answer.status not in _SUCCESS or not _is_stream(answer):
                return await self._plain(answer, lines)
            return await self._followed(lines)

    async def _plain(self, answer: WebAnswer, lines: AsyncGenerator[str | WebAnswer]) -> FarTask:
        """An answer that is no stream, which is how errors come."""
        read: list[str] = []
        is_cut = False
        try:
            async for line in lines:
                read += [str(line)]
        except CallError:
            is_cut = True
        result = _result(msgspec.structs.replace(answer, body="\n".join(read).encode(), is_cut=is_cut))
        return _understood(lambda: read_sent(result))

    async def _followed(self, lines: AsyncGenerator[str | WebAnswer]) -> FarTask:
        """The task after what the stream says in time. Its end is no end of the task."""
        found: FarTask | None = None
        events, until = EventLines(), self._ends
        try:
            while found is None or not found.state.is_over:
                async with asyncio.timeout(max(_LEAST_S, until - self._clock.monotonic())):
                    line = await anext(lines, None)
                data = events.feed("" if line is None else str(line))
                if data is not None:
                    if found is None:
                        until = min(self._ends, self._clock.monotonic() + LINGER_S)
                    found = _told(data, found)
                if line is None:
                    break
        except (CallError, TimeoutError, FailedError) as error:
            # Once the far side has it, whatever else goes wrong is found out by asking.
            if found is None:
                raise _before_a_word(error) from None
        if found is None:
            raise FailedError(Reply(result=AttemptResult.UNKNOWN, status=_OK, error="the stream ended without a word"))
        return found

    def _request(self, method: Method, params: Mapping[str, object], accept: str) -> tuple[bytes, dict[str, str]]:
        card = self._card
        given = {**params, "tenant": card.tenant} if card.tenant else params
        body = write_request(NAMES[card.version][method], given, self._call.id)
        headers = {
            "content-type": _JSON,
            "accept": accept,
            VERSION_HEADER: card.version.value,
            **credentials(self._call, body, self._clock.now()),
        }
        return body, headers

    def _left_s(self) -> float:
        return max(_LEAST_S, self._ends - self._clock.monotonic())


class EventLines:
    """Puts the lines of a stream of events together (pure). Comments and names of events are passed over."""

    def __init__(self) -> None:
        self._data: list[str] = []

    def feed(self, line: str) -> str | None:
        """The data of the event that this line ends; None when it ends none."""
        line = line.rstrip("\r\n")
        if line:
            name, _, value = line.partition(":")
            if name == "data":
                self._data.append(value.removeprefix(" "))
            return None
        data, self._data = self._data, []
        return "\n".join(data) if data else None


def _result(answer: WebAnswer) -> Mapping[str, object]:
    try:
        result = read_answer(answer.body)
        if answer.status in _SUCCESS:
            return result
        said, fault = "", None
    except UnreadableError as error:
        if answer.status in _SUCCESS:
            raise _unreadable(error, answer.status, is_cut=answer.is_cut) from None
        said, fault = cut(answer.body.decode(errors="replace")), None
    except A2aFault as error:
        said, fault = error.message, error
    if fault is not None and answer.status in _SUCCESS:
        raise FailedError(refusal_of(fault.status, f"{said} (Agent2Agent {fault.code})"), fault)
    words = f"it answers {answer.status}" + (f": {said}" if said else "")
    # Some say in HTTP too what the code says. Who does not let us in may have any code for it.
    known = fault if answer.status in _SAYS_CODE else None
    raise FailedError(refusal_of(answer.status, words, retry_after_s=answer.retry_after_s), known)


def _is_stream(answer: WebAnswer) -> bool:
    return answer.headers.get("content-type", "").lower().startswith(_EVENTS)


def _told(data: str, before: FarTask | None) -> FarTask:
    result = _result(WebAnswer(_OK, {}, data.encode()))
    return _understood(lambda: read_update(result, before))


def _understood(read: Callable[[], FarTask]) -> FarTask:
    try:
        return read()
    except UnreadableError as error:
        raise _unreadable(error, _OK, is_cut=False) from None


def _unreadable(error: UnreadableError, status: int, *, is_cut: bool) -> FailedError:
    """An answer of success that says nothing. One that was broken off may have said that all is well."""
    if is_cut:
        what = "its answer did not come whole"
        return FailedError(Reply(result=AttemptResult.UNKNOWN, status=status, error=what))
    return FailedError(Reply(result=AttemptResult.REFUSED, status=status, error=error.message))


def _cut_off(error: CallError) -> FailedError:
    return FailedError(reply_of(str(error), error.result, is_ours=error.is_ours))


def _before_a_word(error: CallError | TimeoutError | FailedError) -> FailedError:
    match error:
        case CallError():
            return _cut_off(error)
        case FailedError():
            return error
        case _:
            return FailedError(reply_of("the stream said nothing in time", AttemptResult.UNKNOWN, is_ours=False))


def _reply(task: FarTask) -> Reply:
    return Reply(
        result=AttemptResult.DELIVERED,
        status=_OK,
        state=task.state,
        answer=task.answer,
        error=task.error,
        remote_id=task.id,
        context=task.context,
    )
