"""Requests to a chat endpoint: sent, tried again where that may help, read to the end; failures in our words."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import msgspec

from core.agent_settings import OpenaiSettings
from core.agents.chat.answer import Answer
from core.agents.chat.completions import ChatError, refusal_of, request_body, summary_body
from core.agents.endpoints import TRIES, http_client, retry_wait_s, shown_address
from core.agents.masks import Mask, redactor
from core.agents.sse import EVENT_LIMIT_BYTES, SseParser, SseTooLargeError
from core.agents.turn_waits import TurnWaits, retrying
from core.api.runs import Phase, PhaseChanged, RunReport
from core.clock import Clock
from core.secrets import Secret

_WAIT_LIMIT_S = 60.0
_ERROR_BODY_BYTES = 65_536
_OK = 200
_BAD_REQUEST = frozenset({400, 422})
_DONE = "[DONE]"

Body = Mapping[str, Any]


class ChatClient:
    """One client for one session. Made off the loop: it reads the certificates.

    without_key: a text with the key masked, should it be quoted.
    """

    def __init__(
        self,
        settings: OpenaiSettings,
        key: Secret | None,
        *,
        waits: TurnWaits,
        clock: Clock,
        random: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._mask = Mask(key)
        self._waits = waits
        self._clock = clock
        self._random = random
        self._with_usage = True
        self._where = shown_address(settings.base_url)
        self._http = http_client(settings, key)
        self.without_key = redactor([key] if key is not None else [])

    async def answered(
        self, messages: Sequence[Body], answer: Answer, *, model: str, tools: Sequence[Body]
    ) -> AsyncGenerator[RunReport, None]:
        """One round: fills the answer, and reports it as it comes. Raises ChatError, CutShort."""

        def body(with_usage: bool) -> Body:
            return request_body(self._settings, messages, model=model, tools=tools, with_usage=with_usage)

        failures = 0
        while True:
            try:
                async with aclosing(self._once(body, answer)) as reports:
                    async for report in reports:
                        yield report
            except ChatError as error:
                failures += 1
                wait_s = self._wait_s(error, failures)
                if wait_s is None:
                    raise
                yield retrying(self._clock, wait_s, count=failures, reason=self.without_key(error.message))
                self._waits.check()
                if wait_s > 0:
                    await self._waits.wait(self._clock.sleep(wait_s))
                yield PhaseChanged(phase=Phase.MODEL)
            else:
                return

    async def summary(self, text: str, *, model: str) -> str:
        """A summary of a text. Raises ChatError, CutShort."""
        response = await self._sent(summary_body(self._settings, text, model=model))
        if response.status_code != _OK:
            raise await self._refusal(response)
        answer = Answer()
        async with aclosing(self._read(response, answer)) as reports:
            async for _ in reports:
                continue
        return answer.text.strip() if answer.stop().is_answer else ""

    async def aclose(self) -> None:
        """Drop all connections."""
        await self._http.aclose()

    def _wait_s(self, error: ChatError, failures: int) -> float | None:
        """How long to wait before the next try; None when there is none."""
        if not error.may_retry or failures >= TRIES:
            return None
        if error.retry_after_s is not None:
            return error.retry_after_s if error.retry_after_s <= _WAIT_LIMIT_S else None
        return retry_wait_s(failures, self._random)

    async def _once(self, body: Callable[[bool], Body], answer: Answer) -> AsyncGenerator[RunReport, None]:
        """One request. Failures before anything was reported may be tried again, later ones not."""
        response = await self._asked(body)
        try:
            async with aclosing(self._read(response, answer)) as reports:
                async for report in reports:
                    yield report
        except ChatError as error:
            error.may_retry = error.may_retry and not answer.has_begun
            raise

    async def _asked(self, body: Callable[[bool], Body]) -> httpx.Response:
        """The response to the request, its head read. Raises ChatError, CutShort."""
        response = await self._sent(body(self._with_usage))
        if response.status_code in _BAD_REQUEST and self._with_usage:
            # Some servers refuse the wish for token counts; only a better answer without it proves that.
            first = await self._refusal(response)
            response = await self._sent(body(False))
            if response.status_code in _BAD_REQUEST:
                await response.aclose()
                raise first
            self._with_usage = response.status_code != _OK
        if response.status_code != _OK:
            raise await self._refusal(response)
        return response

    async def _sent(self, body: Body) -> httpx.Response:
        url = self._settings.base_url.rstrip("/") + "/chat/completions"
        headers = {"content-type": "application/json"}
        post = self._http.build_request("POST", url, content=msgspec.json.encode(body), headers=headers)
        try:
            return await self._waits.wait(self._http.send(post, stream=True))
        except httpx.HTTPError as error:
            raise self._failure(error, has_answer=False) from None

    async def _read(self, response: httpx.Response, answer: Answer) -> AsyncGenerator[RunReport, None]:
        """All of a response, streamed or not."""
        try:
            if "json" in response.headers.get("content-type", ""):
                for report in answer.take(await self._body(response, EVENT_LIMIT_BYTES)):
                    yield report
                answer.is_whole = True
                return
            async with aclosing(self._events(response)) as events:
                async for data in events:
                    if data.strip() == _DONE:
                        answer.is_whole = True
                        return
                    for report in answer.take(data):
                        yield report
        finally:
            await response.aclose()

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
        return self._mask(found.decode(errors="replace"))

    async def _events(self, response: httpx.Response) -> AsyncGenerator[str, None]:
        """Data of the events until the end of the bytes."""
        parser = SseParser()
        try:
            async with aclosing(self._chunks(response)) as chunks:
                async for chunk in chunks:
                    for data in parser.feed(chunk):
                        yield self._mask(data)
            for data in parser.finish():
                yield self._mask(data)
        except SseTooLargeError as error:
            raise ChatError("protocol", str(error)) from None

    async def _chunks(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        source = response.aiter_bytes()
        try:
            while True:
                try:
                    chunk = await self._waits.wait(anext(source))
                except StopAsyncIteration:
                    return
                yield chunk
        except httpx.HTTPError as error:
            raise self._failure(error, has_answer=True) from None

    def _failure(self, error: httpx.HTTPError, *, has_answer: bool) -> ChatError:
        """A failure of the connection, in our words: the library's own may quote headers."""
        where = self._where
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
            return max(0.0, parsedate_to_datetime(value).timestamp() - self._clock.now())
        except (ValueError, OverflowError):
            return None
