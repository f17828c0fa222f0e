"""While a run of a chat goes on, its platform shows that somebody is writing, where it can."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from core.api.base import PlatformName, Record, SessionId
from core.api.sessions import RunEnded, RunStarted, SessionState, SessionView, Source
from core.clock import Clock
from core.gateway.abilities import Types
from core.gateway.platform import Platform
from core.supervisor import Supervisor

_CALL_LIMIT_S = 10.0
_RENEW_SHARE = 0.8


class TypingSigns:
    """Follows the journal; whatever goes wrong with a sign changes nothing else.

    platform_of: the connection of that name; view_of: a session as it is now. While it waits for a decision of people,
    nobody is writing.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        supervisor: Supervisor,
        platform_of: Callable[[PlatformName], Platform | None],
        view_of: Callable[[SessionId], SessionView | None],
    ) -> None:
        self._clock = clock
        self._supervisor = supervisor
        self._platform_of = platform_of
        self._view_of = view_of
        self._shown: dict[SessionId, asyncio.Task[None]] = {}

    def observe(self, record: Record) -> None:
        """Begin and end with the runs."""
        event = record.event
        if isinstance(event, RunEnded):
            self._end(event.session.id)
        elif isinstance(event, RunStarted):
            platform = self._platform_of(event.session.source.platform)
            if platform is None or platform.limits.typing_s <= 0 or not isinstance(platform, Types):
                return
            session = event.session
            self._end(session.id)
            every_s = platform.limits.typing_s * _RENEW_SHARE
            showing = self._show(platform, session.id, session.source, every_s)
            self._shown[session.id] = self._supervisor.spawn(f"typing:{session.id}", showing)

    def _end(self, session_id: SessionId) -> None:
        task = self._shown.pop(session_id, None)
        if task is not None:
            task.cancel()

    async def _show(self, platform: Types, session_id: SessionId, source: Source, every_s: float) -> None:
        try:
            while True:
                view = self._view_of(session_id)
                if view is None or view.state is not SessionState.WAITING:
                    await self._sign(platform, source, is_on=True)
                await self._clock.sleep(every_s)
        finally:
            await self._sign(platform, source, is_on=False)

    async def _sign(self, platform: Types, source: Source, *, is_on: bool) -> None:
        with suppress(Exception):
            async with asyncio.timeout(_CALL_LIMIT_S):
                await platform.typing(source, is_on=is_on)
