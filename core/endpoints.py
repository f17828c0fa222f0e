"""What the HTTP server of a core answers besides its platforms: probes, metrics, the API of tasks and runs."""

from collections.abc import Callable, Sequence

from core.api.platforms import PlatformView
from core.api.port import Hermes
from core.api.system import GetHealth
from core.clock import Clock
from core.http.probes import HEALTH_PATH, METRICS_PATH, probes_app
from core.http.server import HttpServer
from core.rest.app import API_PREFIX, RUNS_PREFIX, RestApp


def mount(
    http: HttpServer,
    hermes: Hermes,
    *,
    platforms: Callable[[], Sequence[PlatformView]],
    oldest_head_age_s: Callable[[], float],
    clock: Clock,
) -> None:
    """Put them all on the server. Without a key there is no API."""
    app = probes_app(
        health=lambda: hermes.query(GetHealth()),
        platforms=platforms,
        oldest_head_age_s=oldest_head_age_s,
        metrics_key=http.probe_key,
    )
    http.mount(HEALTH_PATH, app)
    http.mount(METRICS_PATH, app)
    if (key := http.api_key) is not None:
        rest = RestApp(hermes, clock=clock, key=key)
        for prefix in (API_PREFIX, RUNS_PREFIX):
            http.mount(prefix, rest)
