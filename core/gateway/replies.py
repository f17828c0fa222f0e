"""What the gateway itself tells a chat: stored with what it is about, and sent by the outbox like any answer."""

from collections.abc import Sequence

from core.api.base import SYSTEM, Actor, Event, PlatformName, SessionId
from core.api.errors import HermesError, StoreError
from core.api.sessions import Source
from core.backoff import ceiling_s
from core.clock import Clock
from core.gateway.deliveries import Deliveries
from core.gateway.lanes import Lanes
from core.gateway.platform import Button, Outbound
from core.gateway.turns import Turns
from core.journal import Journal
from core.store.base import Put

_RETRY_S = 1.0
_RETRY_CAP_S = 30.0


class Replies:
    """Writes rows, events and a message to a chat in one commit."""

    def __init__(self, *, lanes: Lanes, turns: Turns, deliveries: Deliveries, journal: Journal, clock: Clock) -> None:
        self._lanes = lanes
        self._turns = turns
        self._deliveries = deliveries
        self._journal = journal
        self._clock = clock

    def sends_to(self, platform: PlatformName) -> bool:
        """Whether a connection is there and takes messages."""
        return self._turns.sends_to(platform)

    def outbound(
        self,
        session_id: SessionId,
        source: Source,
        text: str,
        *,
        reply_to: str = "",
        buttons: tuple[Button, ...] = (),
        edits: str = "",
    ) -> Outbound:
        """A message to the chat of a session."""
        return Outbound(
            delivery_id=self._deliveries.new_id(),
            session_id=session_id,
            source=source,
            text=text,
            reply_to=reply_to,
            buttons=buttons,
            edits=edits,
        )

    async def commit(
        self,
        outbound: Outbound | None,
        puts: Sequence[Put] = (),
        events: Sequence[Event] = (),
        *,
        subject: SessionId,
        actor: Actor = SYSTEM,
        correlation: str = "",
    ) -> None:
        """Store all of it, or nothing. Raises StoreError, ConflictError."""
        pairs = [(str(subject), event) for event in events]
        if outbound is None or not outbound.text or not self.sends_to(outbound.source.platform):
            await self._journal.commit(puts, pairs, actor=actor, correlation=correlation)
            return
        await self._deliveries.open_outbox(outbound.source.platform)
        with self._lanes.mail() as mail:
            self._deliveries.post(mail, outbound)
            await mail.commit(puts, pairs, actor=actor, correlation=correlation)
        self._deliveries.posted(outbound)
        self._count(outbound.session_id)

    async def commit_at_last(
        self,
        outbound: Outbound | None,
        puts: Sequence[Put] = (),
        events: Sequence[Event] = (),
        *,
        subject: SessionId,
        actor: Actor = SYSTEM,
        correlation: str = "",
    ) -> None:
        """The same, tried again for as long as the store cannot be written: what it tells of has happened.

        A message that the outbox does not take is left out.
        """
        failures = 0
        while True:
            try:
                await self.commit(outbound, puts, events, subject=subject, actor=actor, correlation=correlation)
            except StoreError:
                failures += 1
                await self._clock.sleep(ceiling_s(failures, base_s=_RETRY_S, cap_s=_RETRY_CAP_S))
            except HermesError:
                if outbound is None:
                    raise
                outbound = None
            else:
                return

    def _count(self, session_id: SessionId) -> None:
        lane = self._lanes.find(session_id)
        if lane is not None and lane.view is not None:
            lane.unsent = self._deliveries.unsent(session_id)
            self._lanes.publish(lane)
