"""What the demo begins with beside its configuration: chats that reach a bot here, and one that is never there."""

from pathlib import Path

from core.api.base import SYSTEM
from core.api.bindings import ANY_CHAT, AddBinding, Bot
from core.api.port import Hermes
from core.api.system import GetHealth

PEER = "twin"
"""Entry of relay.peers in demo.yaml: this very core."""

_LOOPBACK = ("127.0.0.0/8",)
# The port of the discard service: nothing listens there where this runs.
_NOBODY = "http://127.0.0.1:9"


async def open_furnished(home: Path) -> Hermes:
    """Start the core of a demo's home. Raises what starting one raises."""
    from core.host import open_core

    hermes = await open_core(home)
    try:
        await furnish(hermes)
    except BaseException:
        await hermes.close()
        raise
    return hermes


async def furnish(hermes: Hermes) -> None:
    """Bind every chat to a bot that answers, which is this core itself, and to one whose breaker will open."""
    health = await hermes.query(GetHealth())
    bots = [Bot(name="night-shift", url=_NOBODY, networks=_LOOPBACK)]
    if health.http_url:
        bots.append(Bot(name=PEER, url=health.http_url, peer=PEER, networks=_LOOPBACK))
    await hermes.execute(AddBinding(platform=ANY_CHAT, chat=ANY_CHAT, bots=tuple(bots)), actor=SYSTEM)
