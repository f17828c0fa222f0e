"""Calls of platforms over HTTP: bounded in time and size, and failures in the four kinds that the core knows."""

import asyncio
import importlib
import json
import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from contextlib import aclosing
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec

from core.clock import Clock
from core.gateway.platform import PlatformError, PlatformErrorKind
from core.retry_after import LONGEST_WAIT_S, retry_after_s
from core.secrets import Secret

DEADLINE_S = 30.0
CONNECT_S = 10.0
ANSWER_LIMIT_BYTES = 4 * 1024 * 1024
PIECE_BYTES = 65_536

_WORDS_LIMIT = 200
_KINDS = {
    401: PlatformErrorKind.UNAUTHORISED,
    403: PlatformErrorKind.REFUSED,
    404: PlatformErrorKind.GONE,
    408: PlatformErrorKind.RETRY_AFTER,
    410: PlatformErrorKind.GONE,
    425: PlatformErrorKind.RETRY_AFTER,
    429: PlatformErrorKind.RETRY_AFTER,
}

Content = bytes | AsyncIterable[bytes]


class TooLargeError(PlatformError):
    """An answer has more bytes than were asked for. Tried again, it may be as large."""

    def __init__(self, message: str) -> None:
        super().__init__(PlatformErrorKind.RETRY_AFTER, message)


class UnsentError(PlatformError):
    """The request never left, so the far side cannot have done anything."""

    def __init__(self, message: str) -> None:
        super().__init__(PlatformErrorKind.RETRY_AFTER, message)


class Answer(msgspec.Struct, frozen=True):
    """What came back, whatever its status. headers: names in lower case. now: UTC seconds when it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    now: float

    @property
    def is_ok(self) -> bool:
        """Whether the far side took the request."""
        return 200 <= self.status < 300  # noqa: PLR2004 - the statuses that say so

    def json(self) -> Any:
        """The body as JSON; None for what is none. Strings may hold what is no valid Unicode: read them by `loose`."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        try:
            # More lenient, so that one odd character does not hide everything that came along with it.
            return json.loads(self.body.decode(errors="replace"))
        except (ValueError, RecursionError):
            return None

    def retry_after_s(self) -> float | None:
        """Seconds that the header Retry-After asks for; None when it says nothing."""
        return retry_after_s(self.headers.get("retry-after", ""), self.now)


class WebClient:
    """Calls of one account. It keeps its connections for as long as somebody is inside `async with`; a call outside
    has one of its own.

    where: the far side for people, such as a host name; it is what errors say. headers: sent with every call.
    secrets: masked in every error. transport: in place of the network, for tests.
    """

    def __init__(
        self,
        where: str,
        clock: Clock,
        *,
        headers: Mapping[str, str] | None = None,
        secrets: Sequence[Secret] = (),
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.where = where
        self._clock = clock
        self._headers = {"user-agent": "hermes-console", "accept-encoding": "identity", **(headers or {})}
        self._secrets = tuple(secrets)
        self._transport = transport
        self._client: httpx.AsyncClient | None = None
        self._user_count = 0

    async def __aenter__(self) -> Self:
        """Keep connections from here on."""
        self._user_count += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close them when nobody else is inside."""
        self._user_count -= 1
        if not self._user_count and self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    async def call(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        content: Content | None = None,
        deadline_s: float = DEADLINE_S,
        limit_bytes: int = ANSWER_LIMIT_BYTES,
    ) -> Answer:
        """Ask once; the answer whatever its status. body: sent as JSON; content: sent as it is, in place of body.

        Raises PlatformError (retry after) when nothing came back within deadline_s, UnsentError when the request did
        not even leave, TooLargeError.
        """
        found = bytearray()
        try:
            async with asyncio.timeout(deadline_s), self:
                response = await self._begun(method, url, params, headers, body, content, deadline_s)
                try:
                    async with aclosing(_pieces(response)) as pieces:
                        async for piece in pieces:
                            found += piece
                            if len(found) > limit_bytes:
                                raise TooLargeError(f"{self.where} answered with more than {limit_bytes} bytes")
                finally:
                    await response.aclose()
        except TimeoutError:
            raise self._unreachable(f"no answer within {deadline_s:g} s") from None
        names = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, names, bytes(found), self._clock.now())

    async def stream(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        piece_deadline_s: float = DEADLINE_S,
    ) -> AsyncGenerator[bytes, None]:
        """What GET answers, in pieces; every piece must come within its deadline. Raises PlatformError, also when
        the status is another than 2xx. Close it when you stop early.
        """
        async with self:
            try:
                async with asyncio.timeout(piece_deadline_s):
                    response = await self._begun("GET", url, params, headers, None, None, piece_deadline_s)
            except TimeoutError:
                raise self._unreachable(f"no answer within {piece_deadline_s:g} s") from None
            try:
                if not 200 <= response.status_code < 300:  # noqa: PLR2004 - as above
                    names = {name.lower(): value for name, value in response.headers.items()}
                    raise self.refused(Answer(response.status_code, names, b"", self._clock.now()))
                async with aclosing(_pieces(response)) as pieces:
                    while (piece := await self._next(pieces, piece_deadline_s)) is not None:
                        yield piece
            finally:
                await response.aclose()

    def refused(
        self,
        answer: Answer,
        words: str = "",
        *,
        kind: PlatformErrorKind | None = None,
        retry_after_s: float | None = None,
    ) -> PlatformError:
        """What an answer other than 2xx means. words: the far side's own; kind, retry_after_s: where they say more
        than the status and the header.
        """
        kind = kind or kind_of(answer.status)
        said = f": {self.masked(words)}" if words else ""
        wait_s = None
        if kind is PlatformErrorKind.RETRY_AFTER:
            wait_s = retry_after_s if retry_after_s is not None else answer.retry_after_s()
            wait_s = None if wait_s is None else min(max(0.0, wait_s), LONGEST_WAIT_S)
        return PlatformError(kind, f"{self.where} answered {answer.status}{said}", retry_after_s=wait_s)

    def masked(self, words: str) -> str:
        """The far side's words for people: one line, bounded, no secret of ours in it."""
        for secret in self._secrets:
            words = words.replace(secret.reveal(), "***")
        return " ".join(words.split())[:_WORDS_LIMIT]

    def learn(self, secret: Secret) -> None:
        """Mask a further secret from now on, such as a token that was just given."""
        self._secrets = (*self._secrets, secret)

    async def _begun(
        self,
        method: str,
        url: str,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        body: Any,
        content: Content | None,
        deadline_s: float,
    ) -> httpx.Response:
        client = await self._opened()
        sent = dict(headers or {})
        if body is not None and content is None:
            content = msgspec.json.encode(body)
            sent.setdefault("content-type", "application/json")
        try:
            limits = httpx.Timeout(deadline_s, connect=min(CONNECT_S, deadline_s))
            request = client.build_request(
                method, url, params=dict(params) if params else None, headers=sent, content=content, timeout=limits
            )
            return await client.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise UnsentError(f"{self.where} cannot be reached: {type(error).__name__}") from None
        except httpx.HTTPError as error:
            # The library's own words may quote the address, which may hold a token.
            raise self._unreachable(type(error).__name__) from None
        except (httpx.InvalidURL, UnicodeError):
            raise PlatformError(PlatformErrorKind.REFUSED, f"what is asked of {self.where} is no address") from None

    async def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            tls = await asyncio.to_thread(_prepared)
            if self._client is None:
                # Proxies of the environment would be handed every message.
                self._client = httpx.AsyncClient(
                    headers=self._headers,
                    verify=tls,
                    trust_env=False,
                    follow_redirects=False,
                    transport=self._transport,
                )
        return self._client

    async def _next(self, pieces: AsyncGenerator[bytes, None], deadline_s: float) -> bytes | None:
        try:
            async with asyncio.timeout(deadline_s):
                return await anext(pieces, None)
        except TimeoutError:
            raise self._unreachable(f"nothing more came for {deadline_s:g} s") from None

    def _unreachable(self, cause: str) -> PlatformError:
        return PlatformError(PlatformErrorKind.RETRY_AFTER, f"{self.where} cannot be reached: {cause}")


def kind_of(status: int) -> PlatformErrorKind:
    """What a status other than 2xx means for the next attempt, where nothing else is known."""
    kind = _KINDS.get(status)
    if kind is None:
        kind = PlatformErrorKind.RETRY_AFTER if status >= 500 else PlatformErrorKind.REFUSED  # noqa: PLR2004
    return kind


async def file_pieces(path: str, size_bytes: int) -> AsyncGenerator[bytes, None]:
    """The contents of a file for `content`, read off the loop. size_bytes: as the far side was told.

    Raises PlatformError (refused) when it cannot be read, or has another size now.
    """
    left = size_bytes
    try:
        handle = await asyncio.to_thread(Path(path).open, "rb")
        try:
            while piece := await asyncio.to_thread(handle.read, PIECE_BYTES):
                left -= len(piece)
                if left < 0:
                    break
                yield piece
        finally:
            await asyncio.to_thread(handle.close)
    except OSError as error:
        raise PlatformError(
            PlatformErrorKind.REFUSED, f"a file to send cannot be read: {error.strerror or type(error).__name__}"
        ) from None
    if left:
        raise PlatformError(PlatformErrorKind.REFUSED, "a file to send has changed its size")


async def _pieces(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    where = response.url.host
    if response.headers.get("content-encoding", "identity") not in {"", "identity"}:
        raise PlatformError(PlatformErrorKind.RETRY_AFTER, f"{where} packed its answer, which was not asked for")
    try:
        async for piece in response.aiter_bytes(PIECE_BYTES):
            yield piece
    except (httpx.HTTPError, httpx.StreamError) as error:
        raise PlatformError(
            PlatformErrorKind.RETRY_AFTER, f"the answer of {where} broke off: {type(error).__name__}"
        ) from None


@cache
def _prepared() -> ssl.SSLContext:
    # A client imports these when it is made and when it first connects: on the loop that could wait for another thread.
    for name in ("anyio", "anyio._backends._asyncio", "httpcore"):
        importlib.import_module(name)
    # At this level it names every address that is asked for, and some platforms have their token in it.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("httpcore").setLevel(logging.WARNING)
    return httpx.create_ssl_context(trust_env=False)
