"""Calls of the Bot API. The token is part of every address, so no address is ever shown."""

import json
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from core.clock import Clock
from core.gateway.adapters import loose
from core.gateway.adapters.telegram_errors import BotError, refusal
from core.gateway.adapters.telegram_files import FETCH_LIMIT_BYTES
from core.gateway.adapters.telegram_outbound import Params
from core.gateway.adapters.web import Answer, WebClient, file_pieces
from core.gateway.platform import OutboundFile, PlatformError, PlatformErrorKind
from core.secrets import Secret

CALL_S = 20.0
"""Deadline of a call that carries no file. Shorter than that of a delivery, so that our own words are shown."""

UPLOAD_S = 300.0

_QUOTED = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


class BotApi:
    """One bot at one server. `web`: what it calls through; keep it entered while calls follow each other."""

    def __init__(self, base_url: str, token: Secret, clock: Clock, web: WebClient | None = None) -> None:
        self._base_url = base_url.rstrip("/")
        self._token = token
        self.host = urlsplit(base_url).hostname or "the Bot API"
        self.web = web or WebClient(self.host, clock, secrets=(token,))

    async def call(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        deadline_s: float = CALL_S,
        limit_bytes: int = 1024 * 1024,
    ) -> Any:
        """The result of a method. Raises BotError, or PlatformError when nothing that can be read came back."""
        answer = await self.web.call(
            "POST", self._url(method), body=dict(params or {}), deadline_s=deadline_s, limit_bytes=limit_bytes
        )
        return self._result(answer)

    async def upload(self, method: str, params: Params, field: str, file: OutboundFile) -> Any:
        """The result of a method that takes a file. Raises as call() does, and when the file cannot be read."""
        # Nobody who writes a text or a file can know it, and so end its part early.
        boundary = secrets.token_hex(24)
        head, tail = _around(boundary, params, field, file)
        headers = {
            "content-type": f"multipart/form-data; boundary={boundary}",
            "content-length": str(len(head) + file.size_bytes + len(tail)),
        }

        async def body() -> AsyncGenerator[bytes, None]:
            yield head
            async with aclosing(file_pieces(file.path, file.size_bytes)) as pieces:
                async for piece in pieces:
                    yield piece
            yield tail

        answer = await self.web.call("POST", self._url(method), headers=headers, content=body(), deadline_s=UPLOAD_S)
        return self._result(answer)

    async def download(self, file_id: str) -> AsyncGenerator[bytes, None]:
        """The contents of a file in pieces. Raises PlatformError, also when it is too large."""
        found = await self.call("getFile", {"file_id": file_id})
        path = loose.text(found, "file_path")
        if not path or path.startswith("/") or ".." in path.split("/"):
            raise PlatformError(PlatformErrorKind.REFUSED, f"{self.host} names no place where the file can be had")
        url = f"{self._base_url}/file/bot{self._token.reveal()}/{quote(path)}"
        size = 0
        async with aclosing(self.web.stream(url)) as pieces:
            async for piece in pieces:
                size += len(piece)
                if size > FETCH_LIMIT_BYTES:
                    raise PlatformError(PlatformErrorKind.REFUSED, f"the file has more than {FETCH_LIMIT_BYTES} bytes")
                yield piece

    def _url(self, method: str) -> str:
        return f"{self._base_url}/bot{self._token.reveal()}/{method}"

    def _result(self, answer: Answer) -> Any:
        value = answer.json()
        if answer.is_ok and loose.flag(value, "ok"):
            return loose.mapping(value).get("result")
        said = loose.mapping(value)
        words = self.web.masked(loose.text(said, "description"))
        if answer.is_ok and "error_code" not in said:
            raise BotError(
                PlatformErrorKind.RETRY_AFTER, f"{self.host} answered with what is no answer of a Bot API", status=502
            )
        raise refusal(answer.status, said, host=self.host, words=words)


def _around(boundary: str, params: Params, field: str, file: OutboundFile) -> tuple[bytes, bytes]:
    """What stands before and after the contents of a file in a form."""
    parts = [
        f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{_plain(value)}\r\n'
        for name, value in params.items()
    ]
    name = file.name.translate(_QUOTED) or "file"
    mime = file.mime if file.mime.isascii() and file.mime.isprintable() and file.mime else "application/octet-stream"
    parts.append(
        f'--{boundary}\r\ncontent-disposition: form-data; name="{field}"; filename="{name}"\r\n'
        f"content-type: {mime}\r\n\r\n"
    )
    return "".join(parts).encode(errors="replace"), f"\r\n--{boundary}--\r\n".encode()


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(msgspec.to_builtins(value))
