"""A bot of Telegram, directly over its Bot API: by polling, or by calls to our own HTTP endpoint."""

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import Any, cast

import msgspec

from core.api.base import PlatformName
from core.api.errors import ConfigError
from core.api.sessions import Source
from core.gateway.abilities import CommandHint
from core.gateway.adapters import loose
from core.gateway.adapters.telegram_api import BotApi
from core.gateway.adapters.telegram_files import SEND_LIMIT_BYTES
from core.gateway.adapters.telegram_inbound import WANTED, Account
from core.gateway.adapters.telegram_outbound import where
from core.gateway.adapters.telegram_reading import Reading
from core.gateway.adapters.telegram_sending import Sending
from core.gateway.adapters.telegram_text import whole
from core.gateway.adapters.web import TooLargeError
from core.gateway.platform import (
    AsgiApp,
    Inbox,
    Limits,
    Outbound,
    PlatformContext,
    PlatformError,
    PlatformErrorKind,
    TextUnit,
)
from core.http.asgi import Receive, Scope, Send, header, read_body, respond_json
from core.http.refusal import HttpRefusal, retry_after
from core.platform_settings import TelegramSettings
from core.secrets import Secret
from core.waits import task_group

PREFIX = "/telegram"
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the name of a header

_TOKEN = re.compile(r"[0-9]{1,20}:[A-Za-z0-9_-]{1,200}")
_HOOK_SECRET = re.compile(r"[A-Za-z0-9_-]{16,256}")
_COMMAND = re.compile(r"[a-z0-9_]{1,32}")
_POLL_SLACK_S = 10.0
_ANSWER_S = 10.0
_BATCH = 100
_BATCH_LIMIT_BYTES = 8 * 1024 * 1024
_TOAST_LIMIT = 200
_HINT_LIMIT = 256
_COMMAND_LIMIT = 100


def create(name: PlatformName, settings: TelegramSettings, context: PlatformContext) -> "TelegramPlatform":
    """The bot. Raises ConfigError when the token or the webhook cannot be used."""
    token = context.secret(settings.token)
    if _TOKEN.fullmatch(token.reveal()) is None:
        raise ConfigError(
            f"platform {name}: this is no token of a bot",
            key=f"platforms.{name}.token",
            fix="take it from @BotFather: digits, a colon, letters",
        )
    secret = None
    if settings.webhook_url is not None:
        secret = _hook_secret(name, settings, context)
    return TelegramPlatform(name, settings, context, token, secret)


class TelegramPlatform:
    """One bot. Sends also while run() does not go on. Everything it knows of chats it forgets with the process."""

    kind = "telegram"
    limits = Limits(
        text_limit=4096,
        text_unit=TextUnit.UTF16,
        rate_per_s=30.0,
        burst=30,
        chat_rate_per_s=1.0,
        typing_s=5.0,
        file_bytes=SEND_LIMIT_BYTES,
        buttons=12,
        can_edit=True,
        has_threads=True,
    )

    def __init__(
        self,
        name: PlatformName,
        settings: TelegramSettings,
        context: PlatformContext,
        token: Secret,
        hook_secret: Secret | None,
        api: BotApi | None = None,
    ) -> None:
        self.name = name
        self._settings = settings
        self._http = context.http
        self._clock = context.clock
        self._hook_secret = hook_secret
        self._api = api or BotApi(settings.base_url, token, context.clock)
        self._sending = Sending(self._api, context.clock)
        bot_id = token.reveal().partition(":")[0]
        self._account = Account(platform=name, id=int(bot_id), username="", trust_usernames=settings.trust_usernames)
        # How much longer than it was asked for a poll may take before we give the line up.
        self.poll_slack_s = _POLL_SLACK_S
        self._batch = _BATCH
        self._reading: Reading | None = None

    @property
    def credential(self) -> tuple[str, str]:
        """A digest of the bot's number, which is no secret."""
        return self.kind, hashlib.sha256(f"telegram:{self._account.id}".encode()).hexdigest()[:32]

    @property
    def heard_every_s(self) -> float:
        """How long a poll is held open; nobody knows when Telegram calls us."""
        return 0.0 if self._settings.webhook_url else self._settings.poll_s

    async def run(self, inbox: Inbox) -> None:
        """Read updates until cancelled. Raises PlatformError, also when another program reads them."""
        async with self._api.web:
            await self._learn_who_we_are()
            kept = await inbox.cursor()
            try:
                async with task_group() as group:
                    await self._read(inbox, Reading(inbox, lambda: self._account, self._answer_press, kept, group))
            except BaseExceptionGroup as failed:
                raise failed.exceptions[0] from None

    async def send(self, message: Outbound) -> str:
        """Send; returns CHAT/MESSAGE of the part that carries the text. Raises PlatformError.

        A delivery whose try was left unanswered may appear twice: then the error of that try says so.
        """
        return await self._sending.send(message)

    async def typing(self, source: Source, *, is_on: bool) -> None:
        """Show that somebody writes; Telegram hides it by itself. Raises PlatformError."""
        if is_on and (self._reading is None or source.chat not in self._reading.closed_chats):
            params = {**where(source, names_general=True), "action": "typing"}
            await self._api.call("sendChatAction", params, deadline_s=_ANSWER_S)

    async def fetch(self, ref: str) -> AsyncGenerator[bytes, None]:
        """The contents of a file. Raises PlatformError; more than 20 MB cannot be had."""
        async with self._api.web, aclosing(self._api.download(ref)) as pieces:
            async for piece in pieces:
                yield piece

    async def probe(self) -> None:
        """Ask who we are; where Telegram calls us, also whether it still does. Raises PlatformError."""
        await self._learn_who_we_are()
        if self._settings.webhook_url is not None:
            found = await self._api.call("getWebhookInfo")
            if loose.text(found, "url") != self._settings.webhook_url:
                raise PlatformError(PlatformErrorKind.RETRY_AFTER, "the webhook was given to somebody else, or removed")

    async def offer_commands(self, commands: Sequence[CommandHint]) -> None:
        """Put them into the bot's menu. What has a name that Telegram cannot show is left out. Raises PlatformError."""
        menu = {hint.name.lower().replace("-", "_"): hint for hint in commands}
        shown = [(name, hint) for name, hint in menu.items() if _COMMAND.fullmatch(name)][:_COMMAND_LIMIT]
        await self._api.call(
            "setMyCommands",
            {"commands": [{"command": name, "description": _line(hint.text, _HINT_LIMIT)} for name, hint in shown]},
        )
        names = {name: hint.name for name, hint in shown if name != hint.name}
        self._account = msgspec.structs.replace(self._account, menu=names)

    async def _learn_who_we_are(self) -> None:
        me = await self._api.call("getMe")
        number = whole(me, "id")
        if number != self._account.id:
            raise PlatformError(PlatformErrorKind.UNAUTHORISED, f"{self._api.host} takes the token for another bot's")
        self._account = msgspec.structs.replace(self._account, username=loose.text(me, "username").lower())

    @property
    def _address(self) -> str:
        return f"@{self._account.username or self._account.id} at {self._api.host}"

    async def _read(self, inbox: Inbox, reading: Reading) -> None:
        self._reading = reading
        if self._hook_secret is not None and self._settings.webhook_url is not None:
            await self._serve(inbox, reading, self._hook_secret, self._settings.webhook_url)
        else:
            await self._poll(inbox, reading)

    async def _poll(self, inbox: Inbox, reading: Reading) -> None:
        await self._api.call("deleteWebhook", {"drop_pending_updates": False})
        hold_s = 0.0
        # Only an answered poll shows that nobody else reads.
        values = await self._updates(reading.next_id, hold_s)
        inbox.connected(self._address)
        while True:
            inbox.heard()
            wait_s = await reading.take(values)
            if wait_s:
                await self._clock.sleep(wait_s)
            hold_s = 0.0 if wait_s else self._settings.poll_s
            values = await self._updates(reading.next_id, hold_s)

    async def _updates(self, next_id: int | None, hold_s: float) -> Sequence[object]:
        params: dict[str, Any] = {"timeout": int(hold_s), "limit": self._batch, "allowed_updates": WANTED}
        if next_id is not None:
            params["offset"] = next_id
        try:
            # A server that never answers would leave us deaf, and nobody would know.
            result = await self._api.call(
                "getUpdates", params, deadline_s=hold_s + self.poll_slack_s, limit_bytes=_BATCH_LIMIT_BYTES
            )
        except TooLargeError:
            self._batch = max(1, self._batch // 2)
            raise
        if not isinstance(result, list):
            raise PlatformError(PlatformErrorKind.RETRY_AFTER, f"{self._api.host} answered a poll with no list")
        self._batch = min(_BATCH, self._batch * 2)
        return cast("list[object]", result)

    async def _serve(self, inbox: Inbox, reading: Reading, secret: Secret, url: str) -> None:
        if not self._http.url:
            raise PlatformError(PlatformErrorKind.RETRY_AFTER, "the HTTP endpoint is not open")
        prefix = f"{PREFIX}/{self.name}"
        try:
            self._http.mount(prefix, _app(inbox, reading, secret))
        except ValueError as error:
            raise PlatformError(PlatformErrorKind.REFUSED, f"another platform serves {prefix}") from error
        try:
            # More than one at a time could overtake each other.
            params = {"url": url, "secret_token": secret.reveal(), "max_connections": 1, "allowed_updates": WANTED}
            await self._api.call("setWebhook", {**params, "drop_pending_updates": False})
            inbox.connected(f"{self._address}, called at {url}")
            # What was kept while it polled.
            while wait_s := await reading.take(()):
                await self._clock.sleep(wait_s)
            await asyncio.Event().wait()
        finally:
            self._http.unmount(prefix)

    async def _answer_press(self, press_id: str, words: str) -> None:
        # The press is done with, whether or not its sign can still be taken away.
        with suppress(PlatformError):
            params = {"callback_query_id": press_id, "text": _line(words, _TOAST_LIMIT)}
            await self._api.call("answerCallbackQuery", params, deadline_s=_ANSWER_S)


def _hook_secret(name: PlatformName, settings: TelegramSettings, context: PlatformContext) -> Secret:
    key = f"platforms.{name}.webhook_secret"
    if settings.webhook_secret is None:
        raise ConfigError(
            f"platform {name}: without a secret anybody could call the webhook", key=key, fix="set it to env:NAME"
        )
    secret = context.secret(settings.webhook_secret)
    if _HOOK_SECRET.fullmatch(secret.reveal()) is None:
        raise ConfigError(
            f"platform {name}: the secret of a webhook has 16 to 256 of A-Z a-z 0-9 _ -", key=key, fix="make another"
        )
    return secret


def _app(inbox: Inbox, reading: Reading, secret: Secret) -> AsgiApp:
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            raise HttpRefusal(405, "wrong_method", "a webhook takes POST", headers=(("allow", "POST"),))
        if not secret.matches(header(scope, SECRET_HEADER) or ""):
            raise HttpRefusal(401, "bad_secret", f"{SECRET_HEADER} is missing or wrong")
        body = await read_body(receive)
        inbox.heard()
        if not await reading.take_one(_json(body)):
            raise HttpRefusal(503, "try_again", "it cannot be taken in now", headers=(retry_after(1.0),))
        await respond_json(send, 200, {"ok": True})

    return serve


def _json(body: bytes) -> object:
    try:
        value: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HttpRefusal(400, "malformed_json", "the body is not JSON") from error
    return value


def _line(text: str, limit: int) -> str:
    return " ".join(text.split())[:limit]
