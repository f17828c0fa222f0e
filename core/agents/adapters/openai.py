"""Any OpenAI-compatible chat endpoint: one streamed completion for each turn, without tools."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from email.utils import parsedate_to_datetime
from functools import cache

import httpx
import msgspec

from core.agents.adapters import CAPABILITIES
from core.agents.chat import Answer, ChatError, refusal_of, request_body
from core.agents.runner import Decision, Runner, RunnerContext, TurnRequest
from core.agents.sse import EVENT_LIMIT_BYTES, SseParser, SseTooLargeError
from core.api.base import AgentName, Mark
from core.api.errors import Unavailable
from core.api.runs import Phase, PhaseChanged, RunReport, RunRetry, Stop, ToolReported, TurnEnded
from core.backoff import delay_s
from core.secrets import Secret
from core.settings import OpenaiSettings
from core.waits import CutShort, Waits

TRIES = 3
_RETRY_BASE_S = 1.0
_RETRY_CAP_S = 20.0
_WAIT_LIMIT_S = 60.0
_ERROR_BODY_BYTES = 65_536
_OK = 200
_BAD_REQUEST = frozenset({400, 422})
_DONE = "[DONE]"


class OpenaiRunner:
    """Drives a chat endpoint for one session. The conversation is ours; the endpoint remembers nothing."""

    kind = "openai"
    capabilities = CAPABILITIES["openai"]

    def __init__(self, settings: OpenaiSettings, context: RunnerContext) -> None:
        self._settings = settings
        self._context = context
        self._key: Secret | None = None
        self._client: httpx.AsyncClient | None = None
        self._waits = Waits()
        self._is_turning = False
        self._is_cancelled = False
        self._is_closed = False
        self._with_usage = True

    async def open(self) -> None:
        """Read the key and make a client; nothing is sent. Raises ConfigError when the key cannot be had."""
        if self._settings.key is not None:
            self._key = await asyncio.to_thread(self._context.secret, self._settings.key)
        self._client = await asyncio.to_thread(self._made_client)

    async def turn(self, request: TurnRequest) -> AsyncIterator[RunReport]:
        """Ask, and report what comes until it ends."""
        if self._is_closed or self._client is None or self._is_turning:
            code = "closed" if self._is_closed else "not_open" if self._client is None else "busy"
            yield TurnEnded(stop=Stop.ERROR, error=f"this runner is {code.replace('_', ' ')}", code=code)
            return
        self._is_turning, self._is_cancelled = True, False
        answer = Answer()
        try:
            async with aclosing(self._answered(self._client, request, answer)) as reports:
                async for report in reports:
                    yield report
            end = TurnEnded(stop=answer.stop())
        except Exception as error:
            # A connection that is dropped under a read fails in many ways.
            if self._is_cancelled:
                end = TurnEnded(stop=Stop.CANCELLED)
            elif isinstance(error, ChatError):
                end = TurnEnded(stop=Stop.ERROR, error=self._without_key(error.message), code=error.code)
            else:
                raise
        finally:
            self._is_turning = False
        for call in answer.calls():
            yield ToolReported(call=call)
        yield msgspec.structs.replace(end, usage=answer.usage)

    async def decide(self, action_id: str, decision: Decision) -> bool:
        """False: it never asks."""
        del action_id, decision
        return False

    async def steer(self, text: str) -> bool:
        """False: a completion that goes on takes nothing in."""
        del text
        return False

    async def cancel(self, reason: str) -> None:
        """Drop the connection of the turn, if there is one."""
        del reason
        self._is_cancelled = True
        self._waits.cut()

    async def close(self) -> None:
        """Drop all connections."""
        self._is_closed = True
        await self.cancel("closed")
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def describe(self) -> Mapping[str, str]:
        """Model and address."""
        return {"model": self._settings.model, "url": str(httpx.URL(self._settings.base_url).copy_with(userinfo=b""))}

    def _made_client(self) -> httpx.AsyncClient:
        settings = self._settings
        headers = {"accept": "text/event-stream, application/json", "user-agent": "hermes-console"}
        if self._key is not None:
            headers["authorization"] = f"Bearer {self._key.reveal()}"
        limits = httpx.Timeout(settings.stall_limit_s, connect=settings.connect_timeout_s)
        # Proxies of the environment would be handed prompts and key.
        return httpx.AsyncClient(headers=headers, timeout=limits, verify=_tls(), trust_env=False)

    async def _answered(
        self, client: httpx.AsyncClient, request: TurnRequest, answer: Answer
    ) -> AsyncGenerator[RunReport, None]:
        failures = 0
        while True:
            try:
                async with aclosing(self._once(client, request, answer)) as reports:
                    async for report in reports:
                        yield report
            except ChatError as error:
                failures += 1
                wait_s = self._wait_s(error, failures)
                if wait_s is None:
                    raise
                yield self._retrying(error, failures, wait_s)
                await self._wait(wait_s)
                yield PhaseChanged(phase=Phase.MODEL)
            else:
                return

    def _wait_s(self, error: ChatError, failures: int) -> float | None:
        """How long to wait before the next try; None when there is none."""
        if not error.may_retry or failures >= TRIES:
            return None
        if error.retry_after_s is not None:
            return error.retry_after_s if error.retry_after_s <= _WAIT_LIMIT_S else None
        return delay_s(failures, base_s=_RETRY_BASE_S, cap_s=_RETRY_CAP_S, random=self._context.random)

    def _retrying(self, error: ChatError, failures: int, wait_s: float) -> PhaseChanged:
        clock = self._context.clock
        next_at = Mark(clock.now() + wait_s, clock.monotonic() + wait_s)
        retry = RunRetry(next_at=next_at, count=failures, reason=self._without_key(error.message))
        return PhaseChanged(phase=Phase.RETRY_BACKOFF, retry=retry)

    async def _wait(self, wait_s: float) -> None:
        self._check()
        if wait_s > 0:
            await self._waits.wait(self._context.clock.sleep(wait_s))

    def _check(self) -> None:
        if self._is_cancelled:
            raise CutShort

    async def _once(
        self, client: httpx.AsyncClient, request: TurnRequest, answer: Answer
    ) -> AsyncGenerator[RunReport, None]:
        """One request. Failures before anything was reported may be tried again, later ones not."""
        response = await self._asked(client, request)
        try:
            if "json" in response.headers.get("content-type", ""):
                body = await self._body(response, EVENT_LIMIT_BYTES)
                for report in answer.take(body):
                    yield report
                return
            async with aclosing(self._events(response)) as events:
                async for data in events:
                    for report in answer.take(data):
                        yield report
        except ChatError as error:
            error.may_retry = error.may_retry and not answer.has_begun
            raise
        finally:
            await response.aclose()

    async def _asked(self, client: httpx.AsyncClient, request: TurnRequest) -> httpx.Response:
        """The response to the request, its head read. Raises ChatError."""
        response = await self._sent(client, request, with_usage=self._with_usage)
        if response.status_code in _BAD_REQUEST and self._with_usage:
            # Some servers refuse the wish for token counts; only a better answer without it proves that.
            first = await self._refusal(response)
            response = await self._sent(client, request, with_usage=False)
            if response.status_code in _BAD_REQUEST:
                await response.aclose()
                raise first
            self._with_usage = response.status_code != _OK
        if response.status_code != _OK:
            raise await self._refusal(response)
        return response

    async def _sent(self, client: httpx.AsyncClient, request: TurnRequest, *, with_usage: bool) -> httpx.Response:
        self._check()
        body = msgspec.json.encode(request_body(self._settings, request, with_usage=with_usage))
        url = self._settings.base_url.rstrip("/") + "/chat/completions"
        post = client.build_request("POST", url, content=body, headers={"content-type": "application/json"})
        try:
            return await self._waits.wait(client.send(post, stream=True))
        except httpx.HTTPError as error:
            raise self._failure(error, has_answer=False) from None

    async def _refusal(self, response: httpx.Response) -> ChatError:
        try:
            body = await self._body(response, _ERROR_BODY_BYTES)
        except ChatError:
            body = ""
        finally:
            await response.aclose()
        return refusal_of(response.status_code, body, self._retry_after_s(response))

    async def _body(self, response: httpx.Response, limit_bytes: int) -> str:
        found = bytearray()
        async with aclosing(self._chunks(response)) as chunks:
            async for chunk in chunks:
                found += chunk
                if len(found) > limit_bytes:
                    raise ChatError("protocol", f"the answer is larger than {limit_bytes} bytes")
        return found.decode(errors="replace")

    async def _events(self, response: httpx.Response) -> AsyncGenerator[str, None]:
        """Data of the events until the end mark or the end of the bytes."""
        parser = SseParser()
        try:
            async with aclosing(self._chunks(response)) as chunks:
                async for chunk in chunks:
                    for data in parser.feed(chunk):
                        if data.strip() == _DONE:
                            return
                        yield data
            for data in parser.finish():
                if data.strip() != _DONE:
                    yield data
        except SseTooLargeError as error:
            raise ChatError("protocol", str(error)) from None

    async def _chunks(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        source = response.aiter_bytes()
        try:
            while True:
                self._check()
                try:
                    chunk = await self._waits.wait(anext(source))
                except StopAsyncIteration:
                    return
                yield chunk
        except httpx.HTTPError as error:
            raise self._failure(error, has_answer=True) from None

    def _failure(self, error: httpx.HTTPError, *, has_answer: bool) -> ChatError:
        """A failure of the connection, in our words: the library's own may quote headers."""
        where = self.describe()["url"]
        if isinstance(error, httpx.ConnectTimeout):
            return ChatError(
                "connect", f"{where} did not answer within {self._settings.connect_timeout_s:g} s", may_retry=True
            )
        if isinstance(error, httpx.TimeoutException):
            return ChatError("stalled", f"nothing came from {where} for {self._settings.stall_limit_s:g} s")
        if isinstance(error, httpx.ConnectError):
            return ChatError("connect", f"no connection to {where}", may_retry=True)
        what = type(error).__name__
        if has_answer:
            return ChatError("protocol", f"the answer broke off ({what})", may_retry=True)
        return ChatError("connect", f"{where} hung up ({what})", may_retry=True)

    def _retry_after_s(self, response: httpx.Response) -> float | None:
        value = response.headers.get("retry-after", "").strip()
        if not value:
            return None
        if value.replace(".", "", 1).isdecimal():
            return float(value)
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - self._context.clock.now())
        except (ValueError, OverflowError):
            return None

    def _without_key(self, text: str) -> str:
        return text.replace(self._key.reveal(), "***") if self._key is not None else text


def create(agent: AgentName, settings: OpenaiSettings, context: RunnerContext) -> Runner:
    """A runner for one session. Raises Unavailable when the address cannot be used."""
    try:
        httpx.URL(settings.base_url)
    except httpx.InvalidURL as error:
        raise Unavailable(
            f"agent {agent}: base_url is not an address: {error}", field="base_url", fix="correct agents.*.base_url"
        ) from None
    return OpenaiRunner(settings, context)


@cache
def _tls() -> ssl.SSLContext:
    """One for all runners: reading the certificates takes as long as a short answer."""
    return httpx.create_ssl_context(trust_env=False)
