"""An inbox that keeps what adapters hand in and plays given reports to who follows."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from core.api.base import MessageId, SessionId
from core.api.errors import HermesError
from core.api.runs import RunReport, Stop, TextDelta, TurnEnded, Usage
from core.gateway.platform import Accepted, Inbound, InboundEdit, Press
from core.gateway.source import session_id

PLAIN = (
    TextDelta(text="Hello"),
    TextDelta(text=" there"),
    TurnEnded(stop=Stop.END_TURN, usage=Usage(input_tokens=3, output_tokens=2)),
)


class FakeInbox:
    """Implements gateway.platform.Inbox without a gateway.

    script: reports for everyone who follows; an Event in it is waited for before what comes after.
    error: raised by receive() in place of an answer. Messages of one native id are taken in once.
    """

    def __init__(self, script: Sequence[RunReport | asyncio.Event] = PLAIN) -> None:
        self.script = script
        self.error: HermesError | None = None
        self.received: list[Inbound] = []
        self.interrupted: list[SessionId] = []
        self.addresses: list[str] = []
        self.closed_count = 0
        self.arrived = asyncio.Event()
        self.interrupt_asked = asyncio.Event()
        self.stood = asyncio.Event()
        self.edits: list[InboundEdit] = []
        self.presses: list[Press] = []
        self.heard_count = 0
        self.refusals: list[str] = []
        self.kept_cursor = ""
        self.problem = ""
        self._known: dict[str, Accepted] = {}

    async def receive(self, inbound: Inbound, *, follow: bool = False) -> Accepted:
        """Keep the message; play the script to who follows."""
        if self.error is not None:
            raise self.error
        sid = session_id(inbound.source)
        known = self._known.get(inbound.native_id)
        if known is not None:
            return Accepted(
                session_id=known.session_id, message_id=known.message_id, position=0, is_duplicate=True, reports=None
            )
        self.received.append(inbound)
        accepted = Accepted(
            session_id=sid,
            message_id=MessageId(f"m{len(self.received)}"),
            position=0,
            reports=self._played() if follow else None,
        )
        if inbound.native_id:
            self._known[inbound.native_id] = accepted
        self.arrived.set()
        return accepted

    async def interrupt(self, session_id: SessionId, reason: str) -> bool:
        """Note that the session's run was to stop."""
        self.interrupted.append(session_id)
        self.interrupt_asked.set()
        return True

    async def edited(self, edit: InboundEdit) -> None:
        """Keep the change."""
        if self.error is not None:
            raise self.error
        self.edits.append(edit)
        self.arrived.set()

    async def pressed(self, press: Press) -> str:
        """Keep the press; says that it was taken."""
        if self.error is not None:
            raise self.error
        self.presses.append(press)
        self.arrived.set()
        return "taken"

    def refused(self, reason: str) -> None:
        """Keep the reason."""
        self.refusals.append(reason)

    def heard(self) -> None:
        """Count a sign of life."""
        self.heard_count += 1

    async def cursor(self) -> str:
        """What was kept last."""
        return self.kept_cursor

    async def keep_cursor(self, cursor: str) -> None:
        """Keep it."""
        self.kept_cursor = cursor

    def connected(self, address: str, *, problem: str = "") -> None:
        """Note where the adapter listens, and what is wrong."""
        self.addresses.append(address)
        self.problem = problem
        self.stood.set()

    async def _played(self) -> AsyncIterator[RunReport]:
        try:
            for item in self.script:
                if isinstance(item, asyncio.Event):
                    await item.wait()
                else:
                    yield item
        finally:
            self.closed_count += 1
