"""GET /healthz and GET /metrics, for machines that watch the core."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from core.api.errors import HermesError
from core.api.platforms import PlatformView
from core.api.system import HealthView
from core.http.asgi import App, Receive, Scope, Send, respond, respond_json
from core.http.auth import demand_key
from core.http.exposition import CONTENT_TYPE, text
from core.http.liveness import liveness
from core.http.metrics import metrics
from core.http.refusal import HttpRefusal, one_line
from core.secrets import Secret

HEALTH_PATH = "/healthz"
METRICS_PATH = "/metrics"
_ANSWER_LIMIT_S = 2.0


def probes_app(
    health: Callable[[], Awaitable[HealthView]],
    platforms: Callable[[], Sequence[PlatformView]],
    oldest_head_age_s: Callable[[], float],
    *,
    metrics_key: Secret | None,
) -> App:
    """An app to mount at HEALTH_PATH and METRICS_PATH.

    /healthz needs no key and shows no secret: 200 while the core does its work, 503 with what
    is late. /metrics needs `metrics_key`, unless it is None (HttpServer.probe_key).
    """

    async def serve_health(send: Send) -> None:
        try:
            async with asyncio.timeout(_ANSWER_LIMIT_S):
                found = liveness(await health())
        except TimeoutError:
            late = f"core: no answer within {_ANSWER_LIMIT_S:g} s"
            await respond_json(send, 503, {"status": "late", "late": [late]})
        except HermesError as error:
            await respond_json(send, 503, {"status": "late", "late": [f"core: {one_line(error.message)}"]})
        else:
            await respond_json(send, 503 if found.late else 200, found)

    async def serve_metrics(scope: Scope, send: Send) -> None:
        if metrics_key is not None:
            demand_key(scope, metrics_key)
        shown = text(metrics(await health(), platforms(), oldest_head_age_s()))
        await respond(send, 200, shown.encode(), content_type=CONTENT_TYPE)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - neither reads a body
        if scope["path"] not in {HEALTH_PATH, METRICS_PATH}:
            raise HttpRefusal(404, "unknown_path", f"nothing is served at {scope['path']}")
        if scope["method"] not in {"GET", "HEAD"}:
            raise HttpRefusal(405, "wrong_method", f"{scope['path']} takes GET", headers=(("allow", "GET, HEAD"),))
        if scope["path"] == HEALTH_PATH:
            await serve_health(send)
        else:
            await serve_metrics(scope, send)

    return app
