"""Admission: which run of an agent may start now, who waits behind whom, and why (pure).

`now` is monotonic seconds and never goes back. A run that ends well, or is lost through no fault of the agent, says so;
an agent whose runs fail one after the other gets no further one, until after a while one alone may try.
"""

from collections import OrderedDict

from core.agents.admission import POOL, Ended, Load, PoolStep, Rules, WaitReason
from core.api.base import AgentName, RunId
from core.api.errors import NotFound
from core.api.profiles import PoolState
from core.backoff import ceiling_s

WAIT_CAP_S = 600.0
"""A degraded agent is tried again at least so often."""

_HELD = {
    PoolState.PAUSED: WaitReason.PAUSED,
    PoolState.PROBING: WaitReason.PROBING,
    PoolState.DISABLED: WaitReason.DISABLED,
}


class _Agent:
    """Slots and queue of one agent. waiting: by lane, each run with its number in the order of coming."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.state = PoolState.READY
        self.is_paused = False
        self.is_gone = False
        self.ordered_limit = 0
        self.failure_count = 0
        self.tries = 0
        self.retry_at: float | None = None
        self.probe: RunId | None = None
        self.busy: dict[RunId, str] = {}
        self.busy_in: dict[str, int] = {}
        # Both leaving from the middle and finding the first cost no walk; in a plain dict the second does.
        self.waiting: dict[str, OrderedDict[RunId, int]] = {}
        self.lane_of: dict[RunId, str] = {}

    @property
    def limit(self) -> int:
        return self.ordered_limit or self.rules.limit

    @property
    def bound(self) -> int:
        return min(self.limit, self.rules.runner_limit or self.limit)

    def has_room_in(self, lane: str) -> bool:
        limit = self.rules.lanes.get(lane)
        return limit is None or self.busy_in.get(lane, 0) < limit

    def is_held(self, now: float) -> bool:
        if self.state is PoolState.DEGRADED:
            return self.retry_at is not None and now < self.retry_at
        return self.state is not PoolState.READY

    def step(self, step: PoolStep) -> None:
        self.state = POOL.step(self.state, step)
        if self.state is not PoolState.PROBING:
            self.probe = None
        if self.state is not PoolState.DEGRADED:
            self.retry_at = None

    def seat(self, run_id: RunId) -> None:
        lane = self.lane_of[run_id]
        self.unqueue(run_id)
        if self.state is PoolState.DEGRADED:
            self.step(PoolStep.TRY)
            self.probe = run_id
        self.busy[run_id] = lane
        self.busy_in[lane] = self.busy_in.get(lane, 0) + 1

    def find_next(self, now: float) -> RunId | None:
        """The longest waiting run whose lane has room; None while nothing may start."""
        if not self.waiting or self.is_held(now) or len(self.busy) >= self.bound:
            return None
        heads = [next(iter(runs.items())) for lane, runs in self.waiting.items() if self.has_room_in(lane)]
        return min(heads, key=lambda head: head[1])[0] if heads else None

    def unqueue(self, run_id: RunId) -> None:
        lane = self.lane_of.pop(run_id, None)
        if lane is not None:
            del self.waiting[lane][run_id]
            if not self.waiting[lane]:
                del self.waiting[lane]

    def unseat(self, run_id: RunId) -> bool:
        lane = self.busy.pop(run_id, None)
        if lane is None:
            return False
        self.busy_in[lane] -= 1
        if not self.busy_in[lane]:
            del self.busy_in[lane]
        return True

    def learn(self, run_id: RunId, ended: Ended, now: float) -> None:
        """Draw the conclusion from the end of a run that had a slot."""
        was_probe = run_id == self.probe
        if ended is Ended.OK:
            self.failure_count = self.tries = 0
            if self.state in {PoolState.DEGRADED, PoolState.PROBING}:
                self.step(PoolStep.SUCCEED)
        elif ended is Ended.FAILED:
            self.failure_count += 1
            if was_probe or (self.state is PoolState.READY and self.failure_count >= self.rules.failure_limit):
                self.step(PoolStep.FAIL)
                self.retry_at = now + self.wait_s()
                self.tries += 1
        elif was_probe:
            self.step(PoolStep.LOSE_TRY)
            self.retry_at = now

    def wait_s(self) -> float:
        first_s = self.rules.recovery_s
        return ceiling_s(self.tries + 1, base_s=first_s, cap_s=max(WAIT_CAP_S, first_s))

    def forgive(self) -> None:
        self.failure_count = self.tries = 0


class Pool:
    """Slots of all agents. Of an agent and lane, runs start in the order in which they came."""

    def __init__(self) -> None:
        self._agents: dict[AgentName, _Agent] = {}
        self._number = 0
        self._changed: dict[AgentName, None] = {}

    def put(self, agent: AgentName, rules: Rules, now: float) -> tuple[RunId, ...]:
        """Take an agent in, or change its rules. Returns the runs that have got a slot by it."""
        found = self._agents.get(agent)
        if found is None:
            self._agents[agent] = _Agent(rules)
            return ()
        if found.is_gone:
            fresh = _Agent(rules)
            fresh.busy, fresh.busy_in = found.busy, found.busy_in
            found = self._agents[agent] = fresh
        found.rules = rules
        return self._filled(agent, found, now)

    def remove(self, agent: AgentName) -> tuple[RunId, ...]:
        """Let an agent go. Returns its runs, waiting ones first; those with a slot keep it until they leave."""
        found = self._agents.get(agent)
        if found is None:
            return ()
        waiting = tuple(found.lane_of)
        found.waiting.clear()
        found.lane_of.clear()
        found.is_gone = True
        if not found.busy:
            del self._agents[agent]
        return (*waiting, *found.busy)

    def pause(self, agent: AgentName) -> None:
        """Let nothing start. What goes on goes on, and what waits keeps its place."""
        found = self._get(agent)
        found.is_paused = True
        if found.state is not PoolState.DISABLED:
            self._step(agent, found, PoolStep.PAUSE)

    def resume(self, agent: AgentName, now: float) -> tuple[RunId, ...]:
        """Let runs start again, also after failures. Returns the runs that have got a slot by it."""
        found = self._get(agent)
        found.is_paused = False
        found.forgive()
        if found.state is PoolState.DISABLED:
            return ()
        self._step(agent, found, PoolStep.RESUME)
        return self._filled(agent, found, now)

    def disable(self, agent: AgentName) -> None:
        """Let nothing start until it is enabled."""
        self._step(agent, self._get(agent), PoolStep.DISABLE)

    def enable(self, agent: AgentName, now: float) -> tuple[RunId, ...]:
        """Take a disabled agent back; a paused one is paused still. Returns the runs that have got a slot by it."""
        found = self._get(agent)
        if found.state is PoolState.DISABLED:
            found.forgive()
            self._step(agent, found, PoolStep.ENABLE)
            if found.is_paused:
                self._step(agent, found, PoolStep.PAUSE)
        return self._filled(agent, found, now)

    def set_limit(self, agent: AgentName, limit: int, now: float) -> tuple[RunId, ...]:
        """Have another limit than the profile's; 0 takes it back. Returns the runs that have got a slot by it."""
        found = self._get(agent)
        found.ordered_limit = limit
        return self._filled(agent, found, now)

    def join(self, agent: AgentName, run_id: RunId, now: float, *, lane: str = "") -> bool:
        """Take a slot or a place in the queue. True when it has a slot. Asking again changes nothing.

        Raises NotFound.
        """
        found = self._get(agent)
        if run_id in found.busy:
            return True
        if run_id not in found.lane_of:
            self._number += 1
            found.waiting.setdefault(lane, OrderedDict())[run_id] = self._number
            found.lane_of[run_id] = lane
        if found.find_next(now) != run_id:
            return False
        before = found.state
        found.seat(run_id)
        self._note(agent, before, found)
        return True

    def leave(self, agent: AgentName, run_id: RunId, ended: Ended, now: float) -> tuple[RunId, ...]:
        """Give the slot or the place back. Returns the runs that have got a slot by it."""
        found = self._agents.get(agent)
        if found is None:
            return ()
        found.unqueue(run_id)
        if found.unseat(run_id):
            if found.is_gone:
                if not found.busy:
                    del self._agents[agent]
                return ()
            before = found.state
            found.learn(run_id, ended, now)
            self._note(agent, before, found)
        return self._filled(agent, found, now)

    def tick(self, now: float) -> tuple[RunId, ...]:
        """Let time pass: the runs that may try agents again that were degraded long enough."""
        return tuple(
            run_id
            for agent, found in self._agents.items()
            if found.state is PoolState.DEGRADED and found.waiting
            for run_id in self._filled(agent, found, now)
        )

    def take_changed(self) -> tuple[AgentName, ...]:
        """Agents whose state is another than when this was asked last."""
        changed = tuple(self._changed)
        self._changed.clear()
        return changed

    def find_reason(self, agent: AgentName, run_id: RunId, now: float) -> WaitReason | None:
        """Why a run waits; None when it does not."""
        found = self._agents.get(agent)
        lane = found.lane_of.get(run_id) if found is not None else None
        return None if found is None or lane is None else _reason(found, lane, now)

    def has(self, agent: AgentName) -> bool:
        """Whether the agent is known here, and not let go."""
        found = self._agents.get(agent)
        return found is not None and not found.is_gone

    def is_paused(self, agent: AgentName) -> bool:
        """Whether it is paused, be it disabled besides or not. Raises NotFound."""
        return self._get(agent).is_paused

    def load(self, agent: AgentName) -> Load:
        """How the agent stands. Raises NotFound."""
        found = self._get(agent)
        return Load(
            state=found.state,
            busy=len(found.busy),
            waiting=len(found.lane_of),
            failure_count=found.failure_count,
            retry_at=found.retry_at,
        )

    def busy_count(self) -> int:
        """Runs of all agents that have a slot, those of agents that were let go included."""
        return sum(len(found.busy) for found in self._agents.values())

    def waiting_count(self) -> int:
        """Runs of all agents that wait for a slot."""
        return sum(len(found.lane_of) for found in self._agents.values())

    def _get(self, agent: AgentName) -> _Agent:
        found = self._agents.get(agent)
        if found is None or found.is_gone:
            raise NotFound(f"there is no agent {agent}", noun="agent", id=agent)
        return found

    def _filled(self, agent: AgentName, found: _Agent, now: float) -> tuple[RunId, ...]:
        before = found.state
        admitted: list[RunId] = []
        while (run_id := found.find_next(now)) is not None:
            found.seat(run_id)
            admitted.append(run_id)
        self._note(agent, before, found)
        return tuple(admitted)

    def _step(self, agent: AgentName, found: _Agent, step: PoolStep) -> None:
        before = found.state
        found.step(step)
        self._note(agent, before, found)

    def _note(self, agent: AgentName, before: PoolState, found: _Agent) -> None:
        if found.state is not before:
            self._changed[agent] = None


def _reason(found: _Agent, lane: str, now: float) -> WaitReason:
    if found.state in _HELD:
        return _HELD[found.state]
    if found.is_held(now):
        return WaitReason.DEGRADED
    if len(found.busy) >= found.bound:
        return WaitReason.LIMIT if len(found.busy) >= found.limit else WaitReason.RUNNERS
    if not found.has_room_in(lane):
        return WaitReason.LANE
    return WaitReason.LIMIT if found.state is PoolState.READY else WaitReason.DEGRADED
