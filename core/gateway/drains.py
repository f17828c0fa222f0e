"""A stop in the making: until when it waits, and for which runs, by name, phase and age."""

from core.api.base import Mark, RunId
from core.api.processes import DrainView, GetDrain, HolderView
from core.clock import Clock, mark
from core.gateway.lane import Lane
from core.gateway.lanes import Lanes

_SHOWN = 100


class Drains:
    """The stop of this core: none yet, or the one that goes on."""

    def __init__(self, *, lanes: Lanes, clock: Clock) -> None:
        self._lanes = lanes
        self._clock = clock
        self._reason = ""
        self._began: Mark | None = None
        self._deadline: Mark | None = None
        self._cut_off_count = 0

    def begin(self, drain_s: float, reason: str) -> None:
        """A stop begins and gives runs drain_s seconds."""
        now = mark(self._clock)
        self._reason, self._began = reason, now
        self._deadline = Mark(now.at + drain_s, now.mono + drain_s)

    def hurry(self, drain_s: float) -> None:
        """Give runs only drain_s seconds from now on. A deadline that is nearer stays."""
        now = mark(self._clock)
        if self._deadline is not None and now.mono + drain_s < self._deadline.mono:
            self._deadline = Mark(now.at + drain_s, now.mono + drain_s)

    def is_over(self) -> bool:
        """Whether the deadline has passed; also while no stop goes on."""
        return self._deadline is None or self._clock.monotonic() >= self._deadline.mono

    def ended(self, cut_off_count: int) -> None:
        """The wait is over; so many runs were cut off."""
        self._cut_off_count = cut_off_count

    def view(self) -> DrainView:
        """What a stop waits for, or would wait for."""
        now = mark(self._clock)
        lanes = self._lanes.in_memory()
        holders = sorted((found for lane in lanes if (found := _holder(lane, now))), key=lambda item: -item.age_s)
        return DrainView(
            is_draining=self._began is not None,
            reason=self._reason,
            now=now,
            began=self._began,
            deadline=self._deadline,
            holders=tuple(holders[:_SHOWN]),
            holder_count=len(holders),
            queued_count=sum(len(lane.guard.queue) for lane in lanes),
            cut_off_count=self._cut_off_count,
        )

    def while_draining(self) -> DrainView | None:
        """The same while a stop goes on; None otherwise."""
        return self.view() if self._began is not None else None

    async def get_drain(self, query: GetDrain) -> DrainView:  # noqa: ARG002 - every query has one
        """The same, for who asks."""
        return self.view()


def _holder(lane: Lane, now: Mark) -> HolderView | None:
    run_id: RunId | None = lane.guard.run_id
    if run_id is None or lane.view is None:
        return None
    run = lane.view.run
    phase, since = ("starting", now) if run is None else (run.phase.value, run.phase_since)
    return HolderView(session_id=lane.session_id, run_id=run_id, phase=phase, age_s=max(0.0, now.mono - since.mono))
