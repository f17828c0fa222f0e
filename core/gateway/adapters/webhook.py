"""Signed HTTP in and out: POST /webhooks/{route} hands a message in, answers go to the route's reply_url."""

import re

import msgspec

from core.api.base import PlatformName
from core.api.errors import ConfigError
from core.api.sessions import ChatKind, Source
from core.clock import Clock
from core.gateway.adapters.mounted import serve_mounted
from core.gateway.adapters.rate import Bucket
from core.gateway.adapters.recent import Recent
from core.gateway.adapters.signature import (
    DELIVERY_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    is_signed,
)
from core.gateway.adapters.template import MissingField, Template
from core.gateway.adapters.webhook_replies import Replies
from core.gateway.platform import (
    Accepted,
    Inbound,
    Inbox,
    Limits,
    Outbound,
    PlatformContext,
    PlatformError,
    PlatformErrorKind,
)
from core.http.asgi import App, Receive, Scope, Send, header, read_body, respond_json
from core.http.refusal import HttpRefusal, retry_after
from core.platform_settings import WebhookRoute, WebhookSettings
from core.secrets import Secret
from core.timely import is_timely

PREFIX = "/webhooks"
_DELIVERY = re.compile(r"[!-~]{1,256}")
_KEPT = 10_000


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a delivery. position: what is before the message; 0 is next."""

    message_id: str
    session_id: str
    position: int
    duplicate: bool


def create(name: PlatformName, settings: WebhookSettings, context: PlatformContext) -> "WebhookPlatform":
    """All routes of the configuration. Raises ConfigError for a bad template or a secret that is not there."""
    now = context.clock.monotonic()
    routes = {
        key: _Route(name, key, route, context.secret(route.secret), context.clock, now)
        for key, route in settings.routes.items()
    }
    return WebhookPlatform(name, routes, context)


class WebhookPlatform:
    """Mounted on the core's HTTP server while it runs.

    An answer to a route without reply_url goes nowhere: send() returns "" for it, and the answer
    is kept in the transcript only.
    """

    kind = "webhook"
    limits = Limits(proves_senders=True)

    def __init__(self, name: PlatformName, routes: "dict[str, _Route]", context: PlatformContext) -> None:
        self.name = name
        self._routes = routes
        self._http = context.http
        self._replies = Replies(context.clock)

    async def run(self, inbox: Inbox) -> None:
        """Serve /webhooks until cancelled. Raises PlatformError when there is no endpoint, or it is taken."""
        await serve_mounted(self._http, PREFIX, self.app, inbox)

    async def send(self, message: Outbound) -> str:
        """Post the answer to the route's reply_url; returns the delivery id, or "" where there is none.

        Raises PlatformError: GONE when the route is no longer configured, else what the far side means.
        """
        route = self._routes.get(message.source.chat.partition("/")[0])
        if route is None:
            raise PlatformError(PlatformErrorKind.GONE, "the route of this chat is no longer configured")
        if route.settings.reply_url is None:
            return ""
        return await self._replies.post(route.settings.reply_url, route.secret, message)

    def app(self, inbox: Inbox) -> App:
        """The ASGI app of everything below /webhooks."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            name = scope["path"].removeprefix(PREFIX).removeprefix("/")
            route = self._routes.get(name)
            if route is None:
                raise HttpRefusal(404, "unknown_route", f"no webhook route is called {name[:80] or '(nothing)'}")
            if scope["method"] != "POST":
                raise HttpRefusal(405, "wrong_method", "a webhook takes POST", headers=(("allow", "POST"),))
            receipt = await route.receive(inbox, scope, await read_body(receive))
            await respond_json(send, 200 if receipt.duplicate else 202, receipt)

        return serve


class _Route:
    """One route: proves who calls, then makes a message of the body."""

    def __init__(
        self, platform: PlatformName, name: str, settings: WebhookRoute, secret: Secret, clock: Clock, now: float
    ) -> None:
        self.settings = settings
        self.secret = secret
        self._platform = platform
        self._name = name
        self._clock = clock
        self._template = _parsed(name, "template", settings.template)
        self._chat = _parsed(name, "chat", settings.chat)
        self._bucket = Bucket(settings.rate_per_minute, now)
        keep_s = 2 * settings.tolerance_s
        self._receipts: Recent[str, Receipt] = Recent(limit=_KEPT, keep_s=keep_s)
        self._signatures: Recent[str, str] = Recent(limit=_KEPT, keep_s=keep_s)

    async def receive(self, inbox: Inbox, scope: Scope, body: bytes) -> Receipt:
        """Take one delivery in. Raises HttpRefusal or HermesError; then nothing is stored."""
        claimed = self._proved(scope, body)
        delivery = _delivery(scope) or claimed
        now = self._clock.monotonic()
        known = self._receipts.find(delivery, now)
        if known is not None:
            return msgspec.structs.replace(known, position=0, duplicate=True)
        # The delivery id is not signed, so the same signature under a new one is a replay.
        if self._signatures.find(claimed, now) not in {None, delivery}:
            raise HttpRefusal(409, "replayed", "this signature was used before, under another delivery id")
        wait_s = self._bucket.wait_s(now)
        if wait_s > 0:
            limit = self.settings.rate_per_minute
            message = f"this route takes {limit} requests a minute"
            raise HttpRefusal(429, "rate_limited", message, headers=(retry_after(wait_s),))
        inbound = self._inbound(_json(body), delivery, claimed)
        self._signatures.put(claimed, delivery, now)
        try:
            accepted = await inbox.receive(inbound)
        except BaseException:
            self._signatures.drop(claimed)
            raise
        receipt = _receipt(accepted)
        self._receipts.put(delivery, receipt, now)
        return receipt

    def _proved(self, scope: Scope, body: bytes) -> str:
        """The signature of the request. Raises HttpRefusal 401 when it does not prove anything."""
        timestamp = header(scope, TIMESTAMP_HEADER) or ""
        claimed = (header(scope, SIGNATURE_HEADER) or "").strip()
        if not is_signed(self.secret, timestamp, body, claimed):
            raise HttpRefusal(
                401, "bad_signature", f"{SIGNATURE_HEADER} is missing or does not fit {TIMESTAMP_HEADER} and body"
            )
        if not is_timely(timestamp, self._clock.now(), self.settings.tolerance_s):
            tolerance_s = self.settings.tolerance_s
            raise HttpRefusal(
                401, "timestamp_out_of_tolerance", f"{TIMESTAMP_HEADER} is more than {tolerance_s:g} s from our time"
            )
        return claimed

    def _inbound(self, value: object, delivery: str, proof: str) -> Inbound:
        try:
            text, chat = self._template.render(value), self._chat.render(value)
        except MissingField as error:
            raise HttpRefusal(422, "missing_field", f"the body has no field {error.path}") from error
        if not chat:
            raise HttpRefusal(422, "empty_chat", "the chat that the body names is empty")
        return Inbound(
            platform=self._platform,
            source=Source(platform=self._platform, kind=ChatKind.DM, chat=f"{self._name}/{chat}"),
            sender_id=self._name,
            sender_name=self._name,
            text=text,
            native_id=f"{self._name}/{delivery}",
            proof_id=f"{self._name}/{proof}",
            agent=self.settings.agent,
            may_command=False,
        )


def _parsed(route: str, field: str, text: str) -> Template:
    try:
        return Template(text)
    except ValueError as error:
        raise ConfigError(
            f"route {route}: {field}: {error}", key=f"routes.{route}.{field}", value=text, fix="use {a.b} for a field"
        ) from error


def _delivery(scope: Scope) -> str | None:
    value = header(scope, DELIVERY_HEADER)
    if value is not None and _DELIVERY.fullmatch(value) is None:
        raise HttpRefusal(400, "invalid_header", f"{DELIVERY_HEADER} must be 1 to 256 printable ASCII characters")
    return value


def _json(body: bytes) -> object:
    try:
        value: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HttpRefusal(400, "malformed_json", f"the body is not JSON: {error}") from error
    return value


def _receipt(accepted: Accepted) -> Receipt:
    return Receipt(
        message_id=accepted.message_id,
        session_id=accepted.session_id,
        position=accepted.position,
        duplicate=accepted.is_duplicate,
    )
