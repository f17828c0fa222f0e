"""The door through which adapters hand in what they received."""

from core.api.base import Actor, ActorKind, PlatformName, SessionId
from core.gateway.operations import Operations
from core.gateway.platform import Accepted, Inbound
from core.gateway.sessions import Sessions


class GatewayInbox:
    """The Inbox of one platform."""

    def __init__(self, platform: PlatformName, sessions: Sessions, operations: Operations) -> None:
        self._platform = platform
        self._sessions = sessions
        self._operations = operations

    async def receive(self, inbound: Inbound, *, follow: bool = False) -> Accepted:
        """Take a message in; returns when it is durable."""
        return await self._sessions.receive(inbound, follow=follow)

    async def interrupt(self, session_id: SessionId, reason: str) -> bool:
        """Stop the session's run. False when none was running."""
        actor = Actor(ActorKind.SENDER, str(self._platform))
        return await self._operations.interrupt_for_caller(session_id, reason, actor)

    def connected(self, address: str) -> None:
        """The platforms shell keeps the state of connections; nothing is left to do here."""
