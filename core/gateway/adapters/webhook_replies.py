"""Posts answers to the addresses that webhook routes name, signed as their requests are."""

import asyncio
import importlib
import ssl
from email.utils import parsedate_to_datetime

import msgspec

from core.clock import Clock
from core.gateway.adapters.signature import DELIVERY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, signature
from core.gateway.platform import Outbound, PlatformError, PlatformErrorKind
from core.secrets import Secret

DEADLINE_S = 30.0
_RETRY_LIMIT_S = 86_400.0

_KINDS = {
    401: PlatformErrorKind.UNAUTHORISED,
    403: PlatformErrorKind.UNAUTHORISED,
    404: PlatformErrorKind.GONE,
    408: PlatformErrorKind.RETRY_AFTER,
    410: PlatformErrorKind.GONE,
    425: PlatformErrorKind.RETRY_AFTER,
    429: PlatformErrorKind.RETRY_AFTER,
}


class Replies:
    """A client of its own for each answer: they are rare, and none can hold another up."""

    def __init__(self, clock: Clock, *, deadline_s: float = DEADLINE_S) -> None:
        self._clock = clock
        self._deadline_s = deadline_s
        self._tls: ssl.SSLContext | None = None

    async def post(self, url: str, secret: Secret, message: Outbound) -> str:
        """Post one answer; returns its delivery id. Raises PlatformError, which never holds the address."""
        if self._tls is None:
            # Both the import and reading the certificates take longer than the loop may stand still.
            self._tls = await asyncio.to_thread(_prepared)
        import httpx

        body = msgspec.json.encode(
            {
                "delivery_id": message.delivery_id,
                "session_id": message.session_id,
                "message_id": message.message_id,
                "text": message.text,
            }
        )
        try:
            async with (
                asyncio.timeout(self._deadline_s),
                httpx.AsyncClient(
                    verify=self._tls, trust_env=False, follow_redirects=False, timeout=self._deadline_s
                ) as client,
                client.stream("POST", url, content=body, headers=self._headers(secret, message, body)) as response,
            ):
                status, retry_after = response.status_code, response.headers.get("retry-after", "")
        except TimeoutError as error:
            raise _failed(f"no answer within {self._deadline_s:g} s") from error
        except httpx.HTTPError as error:
            raise _failed(type(error).__name__) from error
        except httpx.InvalidURL as error:
            raise PlatformError(PlatformErrorKind.REFUSED, "reply_url is not an address") from error
        if not 200 <= status < 300:  # noqa: PLR2004 - the statuses that say it was taken
            raise refused(status, retry_after, self._clock.now())
        return message.delivery_id

    def _headers(self, secret: Secret, message: Outbound, body: bytes) -> dict[str, str]:
        timestamp = str(int(self._clock.now()))
        return {
            "content-type": "application/json",
            TIMESTAMP_HEADER: timestamp,
            SIGNATURE_HEADER: signature(secret, timestamp, body),
            DELIVERY_HEADER: message.delivery_id,
        }


def refused(status: int, retry_after: str, now: float) -> PlatformError:
    """What a status other than 2xx means for the next attempt. retry_after: the header's value, or ""."""
    kind = _KINDS.get(status)
    if kind is None:
        kind = PlatformErrorKind.RETRY_AFTER if status >= 500 else PlatformErrorKind.REFUSED  # noqa: PLR2004
    wait_s = _wait_s(retry_after, now) if kind is PlatformErrorKind.RETRY_AFTER else None
    return PlatformError(kind, f"the address of replies answered {status}", retry_after_s=wait_s)


def _wait_s(retry_after: str, now: float) -> float | None:
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _RETRY_LIMIT_S)
    try:
        at = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, at - now), _RETRY_LIMIT_S)


def _failed(cause: str) -> PlatformError:
    return PlatformError(PlatformErrorKind.RETRY_AFTER, f"the address of replies cannot be reached: {cause}")


def _prepared() -> ssl.SSLContext:
    # A client imports these when it is made and when it first connects: on the loop that could wait for another thread.
    for name in ("anyio", "httpcore"):
        importlib.import_module(name)
    import httpx

    return httpx.create_ssl_context(trust_env=False)
