"""Calls of a Matrix homeserver's client API: signed in, and what its refusals mean."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import quote

from core.api.errors import ConfigError
from core.gateway.adapters import loose
from core.gateway.adapters.loose import Json
from core.gateway.adapters.matrix_events import media_of
from core.gateway.adapters.web import ANSWER_LIMIT_BYTES, DEADLINE_S, Answer, Content, WebClient, kind_of
from core.gateway.platform import PlatformError, PlatformErrorKind
from core.platform_settings import MatrixSettings
from core.secrets import Secret

_CLIENT = "/_matrix/client/v3"
_MEDIA = "/_matrix/client/v1/media"
_UPLOAD_DEADLINE_S = 300.0
_MS = 1000.0
_TOO_OLD_TOKEN = frozenset({"M_UNKNOWN_TOKEN", "M_MISSING_TOKEN"})
_ERRCODES = {
    "M_UNKNOWN_TOKEN": PlatformErrorKind.UNAUTHORISED,
    "M_MISSING_TOKEN": PlatformErrorKind.UNAUTHORISED,
    "M_USER_DEACTIVATED": PlatformErrorKind.UNAUTHORISED,
    "M_USER_LOCKED": PlatformErrorKind.UNAUTHORISED,
    "M_USER_SUSPENDED": PlatformErrorKind.UNAUTHORISED,
    "M_LIMIT_EXCEEDED": PlatformErrorKind.RETRY_AFTER,
    "M_RESOURCE_LIMIT_EXCEEDED": PlatformErrorKind.RETRY_AFTER,
    "M_FORBIDDEN": PlatformErrorKind.REFUSED,
    "M_GUEST_ACCESS_FORBIDDEN": PlatformErrorKind.REFUSED,
    "M_NOT_FOUND": PlatformErrorKind.GONE,
    "M_TOO_LARGE": PlatformErrorKind.REFUSED,
    "M_UNRECOGNIZED": PlatformErrorKind.REFUSED,
}
_SIGN_IN = {"M_FORBIDDEN": PlatformErrorKind.UNAUTHORISED, "M_INVALID_USERNAME": PlatformErrorKind.UNAUTHORISED}


class MatrixError(PlatformError):
    """A refusal by the homeserver. errcode: its own word for it, "" where it gave none."""

    def __init__(self, error: PlatformError, errcode: str, status: int) -> None:
        super().__init__(error.kind, error.message, retry_after_s=error.retry_after_s)
        self.errcode = errcode
        self.status = status


class MatrixCalls:
    """One account at one homeserver. With a password it signs in when it has to, and again when it was signed out."""

    def __init__(
        self, settings: MatrixSettings, web: WebClient, *, token: Secret | None, password: Secret | None
    ) -> None:
        self._settings = settings
        self._web = web
        self._token = token
        self._password = password
        self._lock = asyncio.Lock()
        self.user_id = settings.user_id

    @property
    def where(self) -> str:
        """The homeserver for people."""
        return self._web.where

    @property
    def web(self) -> WebClient:
        """What keeps the connections."""
        return self._web

    @property
    def credential(self) -> tuple[str, str]:
        """What tells this account from others."""
        account = f"{self._settings.homeserver.rstrip('/')}\n{self.user_id}"
        return "matrix", hashlib.sha256(account.encode(errors="replace")).hexdigest()[:32]

    async def check_account(self) -> None:
        """Ask who we are. Raises PlatformError, ConfigError when the token is somebody else's."""
        found = loose.text(await self.get("account", "whoami"), "user_id")
        if found != self.user_id:
            raise ConfigError(
                f"{self.where} knows the token as {self._web.masked(found) or 'nobody'}, not as {self.user_id}",
                key="user_id",
                value=self.user_id,
                fix="correct user_id, or take a token of that account",
            )

    async def get(self, *path: str, params: Mapping[str, str] | None = None, **how: Any) -> Json:
        """GET below the client API; the object that it answers. Raises PlatformError."""
        return loose.mapping((await self._signed("GET", self.url(*path), params=params, **how)).json())

    async def put(self, *path: str, body: Any) -> Json:
        """PUT below the client API. Raises PlatformError."""
        return loose.mapping((await self._signed("PUT", self.url(*path), body=body)).json())

    async def post(self, *path: str, body: Any, **how: Any) -> Json:
        """POST below the client API. Raises PlatformError."""
        return loose.mapping((await self._signed("POST", self.url(*path), body=body, **how)).json())

    async def relations(self, room_id: str, event_id: str, rel_type: str, kind: str) -> Json:
        """Events that refer to another one, newest first, a hundred at most. Raises PlatformError."""
        base = self._base("/_matrix/client/v1", "rooms", room_id, "relations", event_id, rel_type, kind)
        return loose.mapping((await self._signed("GET", base, params={"limit": "100"})).json())

    async def file_limit_bytes(self) -> int | None:
        """Largest file that the server takes; None when it does not say. Raises PlatformError."""
        return loose.count((await self._signed("GET", self._base(_MEDIA, "config"))).json(), "m.upload.size")

    async def upload(self, content: Content, *, name: str, mime: str, size_bytes: int) -> str:
        """Hand a file in; its address mxc://... Raises PlatformError."""
        answer = await self._signed(
            "POST",
            self._base("/_matrix/media/v3", "upload"),
            params={"filename": name},
            headers={"content-type": mime, "content-length": str(size_bytes)},
            content=content,
            deadline_s=_UPLOAD_DEADLINE_S,
        )
        address = loose.text(answer.json(), "content_uri")
        if media_of(address) is None:
            raise PlatformError(PlatformErrorKind.RETRY_AFTER, f"{self.where} gave a file no address")
        return address

    async def download(self, address: str) -> AsyncGenerator[bytes, None]:
        """The contents of a file. Raises PlatformError; GONE for what is no address of a file."""
        media = media_of(address)
        if media is None:
            raise PlatformError(PlatformErrorKind.GONE, "this is no file of a Matrix room")
        for is_last in (self._password is None, True):
            token, has_begun = await self._signed_in(), False
            pieces = self._web.stream(self._base(_MEDIA, "download", *media), headers=_bearer(token))
            try:
                async with aclosing(pieces):
                    async for piece in pieces:
                        has_begun = True
                        yield piece
            except PlatformError as error:
                if error.kind is not PlatformErrorKind.UNAUTHORISED or has_begun or is_last:
                    raise
                self._forget(token)
            else:
                return

    def url(self, *path: str) -> str:
        """The address of something below the client API; each part is encoded."""
        return self._base(_CLIENT, *path)

    def _base(self, prefix: str, *path: str) -> str:
        return self._settings.homeserver.rstrip("/") + prefix + "".join("/" + quote(part, safe="") for part in path)

    async def _signed(self, method: str, url: str, *, headers: Mapping[str, str] | None = None, **how: Any) -> Answer:
        """Call as the account; once more after signing in anew where that may help."""
        token = await self._signed_in()
        try:
            return await self._asked(method, url, token, headers, **how)
        except MatrixError as error:
            if error.errcode not in _TOO_OLD_TOKEN or self._password is None:
                raise
            self._forget(token)
            if _is_spent(how.get("content")):
                raise PlatformError(PlatformErrorKind.RETRY_AFTER, error.message, retry_after_s=0.0) from None
        return await self._asked(method, url, await self._signed_in(), headers, **how)

    async def _asked(
        self,
        method: str,
        url: str,
        token: Secret,
        headers: Mapping[str, str] | None,
        *,
        deadline_s: float = DEADLINE_S,
        limit_bytes: int = ANSWER_LIMIT_BYTES,
        **how: Any,
    ) -> Answer:
        sent = {**(headers or {}), **_bearer(token)}
        answer = await self._web.call(method, url, headers=sent, deadline_s=deadline_s, limit_bytes=limit_bytes, **how)
        if not answer.is_ok:
            raise self._refusal(answer, _ERRCODES)
        return answer

    def _forget(self, token: Secret) -> None:
        # Somebody else may have signed in anew in the meantime.
        if self._token is token:
            self._token = None

    async def _signed_in(self) -> Secret:
        async with self._lock:
            if self._token is None:
                self._token = await self._sign_in()
            return self._token

    async def _sign_in(self) -> Secret:
        if self._password is None:
            raise PlatformError(PlatformErrorKind.UNAUTHORISED, f"{self.where} wants a new token")
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": self.user_id},
            "password": self._password.reveal(),
            "device_id": self._settings.device,
            "initial_device_display_name": "hermes-console",
        }
        answer = await self._web.call("POST", self.url("login"), body=body)
        if not answer.is_ok:
            raise self._refusal(answer, {**_ERRCODES, **_SIGN_IN})
        token = loose.text(answer.json(), "access_token")
        if not token:
            raise PlatformError(PlatformErrorKind.RETRY_AFTER, f"{self.where} signed us in and gave no token")
        secret = Secret(token)
        self._web.learn(secret)
        return secret

    def _refusal(self, answer: Answer, kinds: Mapping[str, PlatformErrorKind]) -> MatrixError:
        body = answer.json()
        errcode = loose.text(body, "errcode", 100)
        kind = kinds.get(errcode)
        if kind is None:
            kind = kind_of(answer.status)
            if not errcode and kind is not PlatformErrorKind.UNAUTHORISED:
                # What stands before a homeserver says so while that is away: nothing is known of the chat.
                kind = PlatformErrorKind.RETRY_AFTER
        wait_ms = loose.number(body, "retry_after_ms")
        words = " ".join(part for part in (errcode, loose.text(body, "error", 200)) if part)
        error = self._web.refused(answer, words, kind=kind, retry_after_s=None if wait_ms is None else wait_ms / _MS)
        return MatrixError(error, errcode, answer.status)


def _bearer(token: Secret) -> dict[str, str]:
    return {"authorization": f"Bearer {token.reveal()}"}


def _is_spent(content: Content | None) -> bool:
    """Whether it cannot be sent again."""
    return content is not None and not isinstance(content, bytes)
