"""The OpenAI-compatible endpoint under /v1: any client of that API talks to our agents."""

from core.api.base import PlatformName
from core.api.errors import ConfigError
from core.gateway.adapters import openai_wire as wire
from core.gateway.adapters.completions import DEFAULT_MODEL, Completions, unknown_model
from core.gateway.adapters.mounted import serve_mounted
from core.gateway.adapters.openapi import document
from core.gateway.platform import Inbox, Limits, Outbound, PlatformContext, PlatformError, PlatformErrorKind
from core.http.asgi import App, Receive, Scope, Send, respond_json
from core.http.auth import demand_key
from core.http.refusal import HttpRefusal
from core.platform_settings import ApiServerSettings
from core.secrets import Secret

PREFIX = "/v1"
_CHAT = "/v1/chat/completions"
_MODELS = "/v1/models"
_OPENAPI = "/v1/openapi.json"


def create(name: PlatformName, settings: ApiServerSettings, context: PlatformContext) -> "ApiServerPlatform":
    """The endpoint. Raises ConfigError when there is no API key."""
    if context.api_key is None:
        raise ConfigError(
            f"platform {name} needs the key of the HTTP API",
            key="http.key",
            fix="set http.key to env:NAME or file:PATH",
        )
    return ApiServerPlatform(name, settings, context, context.api_key)


class ApiServerPlatform:
    """Mounted on the core's HTTP server while it runs.

    The caller waits for its answer on the same connection, so nothing is ever sent afterwards.
    Answers that have begun go on after run() has ended.
    """

    kind = "api_server"
    limits = Limits(sends_answers=False, proves_senders=True)

    def __init__(self, name: PlatformName, settings: ApiServerSettings, context: PlatformContext, key: Secret) -> None:
        self.name = name
        self._http = context.http
        self._clock = context.clock
        self._agents = context.agents
        self._key = key
        self._created = int(context.clock.now())
        self._completions = Completions(name, context, key, settings.keepalive_s)

    async def run(self, inbox: Inbox) -> None:
        """Serve /v1 until cancelled. Raises PlatformError when the HTTP endpoint is not open, or /v1 is taken."""
        await serve_mounted(self._http, PREFIX, self.app, inbox)

    async def send(self, message: Outbound) -> str:
        """Refused: who asked has been answered or is gone. Raises PlatformError."""
        raise PlatformError(PlatformErrorKind.GONE, f"{message.source.chat}: the caller does not wait any more")

    def app(self, inbox: Inbox) -> App:
        """The ASGI app of everything below /v1."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            path: str = scope["path"]
            if path == _OPENAPI:
                _demand_method(scope, "GET")
                await respond_json(send, 200, document())
                return
            demand_key(scope, self._key)
            if path == _CHAT:
                _demand_method(scope, "POST")
                await self._completions.serve(inbox, scope, receive, send)
            elif path == _MODELS:
                _demand_method(scope, "GET")
                await respond_json(send, 200, wire.model_list(self._models(), self._created))
            elif path.startswith(_MODELS + "/"):
                _demand_method(scope, "GET")
                await self._serve_model(path.removeprefix(_MODELS + "/"), send)
            else:
                raise HttpRefusal(404, "unknown_path", f"nothing is served at {path}")

        return serve

    async def _serve_model(self, name: str, send: Send) -> None:
        if name not in self._models():
            raise unknown_model(name)
        await respond_json(send, 200, wire.model(name, self._created))

    def _models(self) -> list[str]:
        return list(dict.fromkeys([DEFAULT_MODEL, *self._agents()]))


def _demand_method(scope: Scope, method: str) -> None:
    known = ("GET", "HEAD") if method == "GET" else (method,)
    if scope["method"] not in known:
        allowed = ", ".join(known)
        raise HttpRefusal(405, "wrong_method", f"{scope['path']} takes {allowed}", headers=(("allow", allowed),))
