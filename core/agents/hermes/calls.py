"""The calls of a Hermes API of runs: begin, follow, look, answer, stop. Failures are in our words."""

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, NamedTuple, cast

import httpx
import msgspec

from core.agent_settings import HermesRunsSettings
from core.agents.chat.completions import ChatError, refusal_of
from core.agents.endpoints import http_client, shown_address
from core.agents.loose_json import object_in
from core.agents.masks import Mask, redactor
from core.agents.sse import SseParser, SseTooLargeError
from core.agents.turn_waits import TurnWaits
from core.secrets import Secret

_BODY_LIMIT_BYTES = 8_388_608
_ERROR_BODY_LETTERS = 65_536
_RUN_ID = re.compile(r"(?!\.)[A-Za-z0-9_.-]{1,200}")
_OK = 200
_ACCEPTED = 202
_NOT_FOUND = 404
_CONFLICT = 409


class NobodyThereError(ChatError):
    """The machine answers, and says that nothing listens at the address."""


class _Reply(NamedTuple):
    status: int
    text: str


class HermesCalls:
    """One client for one session. waits: of the present turn; answers and stops wait on their own.

    where: the address, without what may be secret in it. without_key: a text with the key masked, should it be quoted.
    """

    def __init__(self, settings: HermesRunsSettings, key: Secret, *, waits: TurnWaits) -> None:
        self._settings = settings
        self._mask = Mask(key)
        self._base = settings.base_url.rstrip("/")
        self._waits = waits
        self._client = http_client(settings, key)
        self.where = shown_address(self._base)
        self.without_key = redactor([key])

    async def begin(self, body: Mapping[str, Any]) -> str:
        """Start a run; its id. Raises ChatError, CutShort."""
        reply = await self._waits.wait(self._post("/runs", body))
        if reply.status in {_OK, _ACCEPTED}:
            run_id = object_in(reply.text).get("run_id")
            if isinstance(run_id, str) and _RUN_ID.fullmatch(run_id):
                return run_id
            raise ChatError("protocol", f"{self.where} began a run without a usable id")
        if reply.status == _NOT_FOUND:
            raise ChatError("not_found", f"{self.where} has no API of runs", status=_NOT_FOUND)
        raise _refusal(reply)

    async def events(self, run_id: str) -> AsyncGenerator[str, None]:
        """Data of the run's events, "" for a sign of life without any, until they end or break off.

        Raises ChatError when they cannot be followed, CutShort.
        """
        url = f"{self._base}/runs/{run_id}/events"
        try:
            response = await self._waits.wait(self._client.send(self._client.build_request("GET", url), stream=True))
        except httpx.HTTPError as error:
            raise self._failure(error) from None
        try:
            if response.status_code != _OK:
                raise ChatError("protocol", f"no events: status {response.status_code}", status=response.status_code)
            async with aclosing(self._data(response)) as found:
                async for data in found:
                    yield data
        finally:
            await response.aclose()

    async def status(self, run_id: str) -> Mapping[str, Any]:
        """How the run stands. Raises ChatError (status 404 when it is not known there), CutShort."""
        reply = await self._waits.wait(self._asked(self._client.build_request("GET", f"{self._base}/runs/{run_id}")))
        if reply.status != _OK:
            raise _refusal(reply)
        return object_in(reply.text)

    async def answer(self, run_id: str, body: Mapping[str, Any]) -> bool:
        """Answer the oldest request for approval. False when none waits. Raises ChatError."""
        reply = await self._post(f"/runs/{run_id}/approval", body)
        if reply.status in {_CONFLICT, _NOT_FOUND}:
            return False
        if reply.status != _OK:
            raise _refusal(reply)
        return True

    async def stop(self, run_id: str, *, limit_s: float) -> None:
        """Ask for the end of the run. It is no failure when that does not arrive: nobody could do more."""
        try:
            async with asyncio.timeout(limit_s):
                await self._post(f"/runs/{run_id}/stop", {})
        except (ChatError, TimeoutError):
            return

    async def aclose(self) -> None:
        """Drop all connections."""
        await self._client.aclose()

    async def _data(self, response: httpx.Response) -> AsyncGenerator[str, None]:
        parser = SseParser()
        source = response.aiter_bytes()
        try:
            while True:
                try:
                    chunk = await self._waits.wait(anext(source))
                except StopAsyncIteration:
                    break
                found = parser.feed(chunk)
                for data in found or [""]:
                    yield self._mask(data)
        except (httpx.HTTPError, SseTooLargeError):
            # What breaks off here is looked up from now on.
            return
        for data in parser.finish():
            yield self._mask(data)

    async def _post(self, path: str, body: Mapping[str, Any]) -> _Reply:
        content = msgspec.json.encode(body)
        headers = {"content-type": "application/json"}
        return await self._asked(
            self._client.build_request("POST", self._base + path, content=content, headers=headers)
        )

    async def _asked(self, request: httpx.Request) -> _Reply:
        found = bytearray()
        try:
            response = await self._client.send(request, stream=True)
            async with aclosing(response):
                async for chunk in response.aiter_bytes():
                    found += chunk
                    if len(found) > _BODY_LIMIT_BYTES:
                        raise ChatError("protocol", f"the answer is larger than {_BODY_LIMIT_BYTES} bytes")
        except httpx.HTTPError as error:
            raise self._failure(error) from None
        return _Reply(response.status_code, self._mask(found.decode(errors="replace")))

    def _failure(self, error: httpx.HTTPError) -> ChatError:
        """A failure of the connection, in our words: the library's own may quote headers."""
        if isinstance(error, httpx.ConnectTimeout):
            text = f"{self.where} did not answer within {self._settings.connect_timeout_s:g} s"
            return ChatError("connect", text, may_retry=True)
        if isinstance(error, httpx.ConnectError):
            kind = NobodyThereError if _is_refused(error) else ChatError
            return kind("connect", f"no connection to {self.where}", may_retry=True)
        if isinstance(error, httpx.TimeoutException):
            return ChatError("stalled", f"nothing came from {self.where} for {self._settings.stall_limit_s:g} s")
        return ChatError("connect", f"{self.where} hung up ({type(error).__name__})")


def _is_refused(error: BaseException | None) -> bool:
    """Whether the connection was refused, however deep the libraries have wrapped that."""
    if isinstance(error, BaseExceptionGroup):
        return all(_is_refused(each) for each in cast("BaseExceptionGroup[BaseException]", error).exceptions)
    if error is None or isinstance(error, ConnectionRefusedError):
        return error is not None
    return _is_refused(error.__cause__ or error.__context__)


def _refusal(reply: _Reply) -> ChatError:
    return refusal_of(reply.status, reply.text[:_ERROR_BODY_LETTERS], None)
