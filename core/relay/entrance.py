"""What peers reach over HTTP: /relay, and the Agent2Agent half."""

from core.clock import Clock
from core.http.server import HttpServer
from core.relay import a2a_app, relay_app
from core.relay.a2a_app import A2aApp
from core.relay.answers import Answers
from core.relay.inbound import Inbound
from core.relay.peers import Peers
from core.relay.relay_app import RelayApp
from core.relay_settings import RelaySettings


def mount(
    http: HttpServer, *, inbound: Inbound, answers: Answers, peers: Peers, settings: RelaySettings, clock: Clock
) -> None:
    """Put it all on the server."""
    http.mount(
        relay_app.PREFIX,
        RelayApp(inbound=inbound, answers=answers, peers=peers, settings=settings, clock=clock),
    )
    agent = A2aApp(
        inbound=inbound,
        peers=peers,
        settings=settings,
        clock=clock,
        url=lambda: http.url,
        refused=inbound.callers.refused,
    )
    for prefix in a2a_app.PREFIXES:
        http.mount(prefix, agent)
