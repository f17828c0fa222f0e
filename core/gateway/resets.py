"""Conversations that are over by themselves: after a quiet time, or with the day."""

import contextlib
from collections.abc import Callable, Mapping
from datetime import tzinfo

import msgspec

from core.api.base import SYSTEM, Event, Mark, PlatformName, SessionId
from core.api.errors import HermesError, StoreError
from core.api.sessions import ResetCause, SessionReset, SessionView
from core.clock import Clock, mark
from core.days import day_began
from core.gateway import rows
from core.gateway.deliveries import Deliveries
from core.gateway.epochs import begun_anew
from core.gateway.holds import forgotten
from core.gateway.lane import Lane, rebased_view
from core.gateway.lanes import Lanes
from core.gateway.platform import Limits, Outbound
from core.gateway.ports import Agents
from core.gateway.reset import reset_due, reset_words
from core.settings import ResetMode, ResetSettings
from core.store.base import Store

SWEEP_EVERY_S = 300.0
_PAGE = 500


class Resets:
    """Begins sessions anew. rules: by platform; others have the default ones. zones: of the names in the rules.

    is_used: whether any session can be over by itself.
    """

    def __init__(
        self,
        *,
        lanes: Lanes,
        agents: Agents,
        deliveries: Deliveries,
        store: Store,
        clock: Clock,
        default: ResetSettings,
        rules: Mapping[PlatformName, ResetSettings],
        zones: Mapping[str, tzinfo | None],
        limits: Callable[[PlatformName], Limits | None],
    ) -> None:
        self._lanes = lanes
        self._agents = agents
        self._deliveries = deliveries
        self._store = store
        self._clock = clock
        self._default = default
        self._rules = rules
        self._zones = zones
        self._limits = limits
        self.is_used = any(each.mode is not ResetMode.NONE for each in (default, *rules.values()))

    async def settle(self, lane: Lane) -> None:
        """Somebody writes: begin the session anew if it is over, and tell the people in the chat, now that they are
        there. The caller holds its lock, so that who writes at the same time comes after it. Raises StoreError.
        """
        view = lane.view
        if not self.is_used or view is None or lane.is_engaged:
            return
        cause = self._cause(view)
        if cause is None and view.begun_by is None:
            return
        base = msgspec.structs.replace(view if cause is None else begun_anew(view), begun_by=None)
        notice = self._notice(view, cause or view.begun_by)
        try:
            await self._commit(lane, base, cause, notice)
        except StoreError:
            raise
        except HermesError:
            # What an outbox takes no word of must not keep people from writing.
            await self._commit(lane, base, cause, None)

    async def _commit(self, lane: Lane, base: SessionView, cause: ResetCause | None, notice: Outbound | None) -> None:
        """Store it and have its runner go. cause: None when it had begun anew before."""
        before, unsent, history = self._lanes.view(lane), lane.unsent, lane.history

        def events(now: SessionView) -> list[Event]:
            if cause is None:
                return []
            ended = before.epoch
            return [SessionReset(session=now, reason=cause.value, dropped=0, cause=cause, ended_epoch=ended)]

        if notice is not None:
            await self._deliveries.open_outbox(notice.source.platform)
        if cause is not None:
            lane.history = None
        try:
            with self._lanes.mail() as mail:
                if notice is not None:
                    self._deliveries.post(mail, notice)
                    lane.unsent += 1
                await self._lanes.commit(
                    lane, base=base, guard=lane.guard, waiting=lane.waiting, events=events, actor=SYSTEM, mail=mail
                )
        except BaseException:
            lane.history, lane.unsent = history, unsent
            raise
        if notice is not None:
            self._deliveries.posted(notice)
        if cause is not None:
            await forgotten(self._agents, lane.session_id)

    async def run(self) -> None:
        """Look for sessions that are over, until cancelled."""
        while True:
            await self._clock.sleep(SWEEP_EVERY_S)
            await self.sweep()

    async def sweep(self) -> int:
        """Begin all anew that are over, in small steps and without a word: nobody is there whom it would reach at a
        good time. Returns how many. Raises StoreError.
        """
        count = 0
        after = ""
        while self.is_used and (page := await self._store.scan(rows.SESSIONS, after=after, limit=_PAGE)):
            after = page[-1].key
            for row in page:
                view = rebased_view(rows.session_of(row.body), self._lanes.boot, self._clock)
                if self._cause(view) is not None:
                    # One that cannot be now is looked at again with the next sweep, or when somebody writes.
                    with contextlib.suppress(HermesError):
                        count += await self._swept(view.id)
        return count

    async def _swept(self, session_id: SessionId) -> bool:
        async with self._lanes.entered(session_id) as lane:
            cause = None if lane.view is None or lane.is_engaged else self._cause(lane.view)
            if lane.view is None or cause is None:
                return False
            await self._commit(lane, msgspec.structs.replace(begun_anew(lane.view), begun_by=cause), cause, None)
            return True

    def _cause(self, view: SessionView) -> ResetCause | None:
        rules, last = self._of(view), _last(view)
        if rules.mode is ResetMode.NONE or last is None or view.is_archived:
            return None
        now = mark(self._clock)
        return reset_due(rules, last, now, day_began(rules.at_hour, now.at, self._zones.get(rules.timezone)))

    def _of(self, view: SessionView) -> ResetSettings:
        return self._rules.get(view.source.platform, self._default)

    def _notice(self, view: SessionView, cause: ResetCause | None) -> Outbound | None:
        rules, limits = self._of(view), self._limits(view.source.platform)
        is_chat = limits is not None and limits.sends_answers and not limits.proves_senders
        if cause is None or not rules.notify or not is_chat:
            return None
        return Outbound(
            delivery_id=self._deliveries.new_id(),
            session_id=view.id,
            source=view.source,
            text=reset_words(cause, rules),
        )


def _last(view: SessionView) -> Mark | None:
    """When somebody wrote or was answered last; None while nothing was answered in this epoch."""
    if view.last_outcome is None:
        return None
    ended = view.last_outcome.ended
    return ended if view.inbound is None or view.inbound.mono < ended.mono else view.inbound
