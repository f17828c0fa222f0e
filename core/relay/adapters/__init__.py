"""The protocols that bots are spoken to in. Each is imported when it is first used."""

from core.api.bindings import RelayProtocol
from core.clock import Clock
from core.relay.web import Web
from core.relay.wire import Adapter
from core.relay_settings import RelaySettings


def load_adapter(protocol: RelayProtocol, web: Web, settings: RelaySettings, clock: Clock) -> Adapter:
    """The adapter of a protocol."""
    if protocol is RelayProtocol.HOTPLEX:
        from core.relay.adapters.hotplex import HotplexAdapter

        return HotplexAdapter(web, settings)
    from core.relay.adapters.a2a import A2aAdapter

    return A2aAdapter(web, clock)
