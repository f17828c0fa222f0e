"""The door through which adapters hand in what they received."""

from collections.abc import Callable

from core.api.base import Actor, ActorKind, PlatformName, SessionId
from core.api.sessions import Source
from core.gateway.cursors import Cursors
from core.gateway.intake import Intake
from core.gateway.operations import Operations
from core.gateway.platform import Accepted, Inbound, InboundEdit, Press


class GatewayInbox:
    """The Inbox of one platform. saw: told of the chat of each message that was taken in."""

    def __init__(
        self,
        platform: PlatformName,
        intake: Intake,
        operations: Operations,
        cursors: Cursors,
        saw: Callable[[Source], None] = lambda _: None,
    ) -> None:
        self._platform = platform
        self._intake = intake
        self._operations = operations
        self._cursors = cursors
        self._saw = saw

    async def receive(self, inbound: Inbound, *, follow: bool = False) -> Accepted:
        """Take a message in; returns when it is durable."""
        accepted = await self._intake.receive(inbound, follow=follow)
        self._saw(inbound.source)
        return accepted

    async def interrupt(self, session_id: SessionId, reason: str) -> bool:
        """Stop the session's run. False when none was running."""
        actor = Actor(ActorKind.SENDER, str(self._platform))
        return await self._operations.interrupt_for_caller(session_id, reason, actor)

    async def edited(self, edit: InboundEdit) -> None:
        """Hand in a change of a message."""
        await self._intake.edited(edit)

    async def pressed(self, press: Press) -> str:
        """Hand in the use of a button; returns what to tell whoever used it."""
        return await self._intake.pressed(press)

    async def cursor(self) -> str:
        """Where reading stopped last time."""
        return await self._cursors.get(self._platform)

    async def keep_cursor(self, cursor: str) -> None:
        """Keep where to go on reading."""
        await self._cursors.keep(self._platform, cursor)

    def heard(self) -> None:
        """The platforms shell keeps the state of connections; nothing is left to do here."""

    def refused(self, reason: str) -> None:
        """The platforms shell counts what was refused; nothing is left to do here."""

    def connected(self, address: str, *, problem: str = "") -> None:
        """The platforms shell keeps the state of connections; nothing is left to do here."""
