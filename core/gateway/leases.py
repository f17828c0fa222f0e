"""Leases of sessions: renewed while their runs go on, and released when an operator finds a holder gone."""

from core.api.base import Actor
from core.api.errors import ConflictError, Refused
from core.api.runs import Stop, TurnEnded
from core.api.session_orders import LeaseReceipt, LeaseReleased, ReleaseLease
from core.clock import Clock, mark
from core.gateway.lane import Lane, Live
from core.gateway.lanes import Lanes
from core.gateway.ports import Agents
from core.gateway.turns import Turns
from core.lease import RENEW_EVERY_S, Execution, Verdict, execution, reconcile, renewed
from core.supervisor import Supervisor
from core.waits import breathe

_BREATHE_EVERY = 100


class Leases:
    """Who holds which session, as far as it can be proved."""

    def __init__(self, *, lanes: Lanes, turns: Turns, agents: Agents, clock: Clock, supervisor: Supervisor) -> None:
        self._lanes = lanes
        self._turns = turns
        self._agents = agents
        self._clock = clock
        self._supervisor = supervisor

    async def run(self) -> None:
        """Renew, every ten seconds, what is held by runs that go on; until cancelled."""
        while True:
            await self._clock.sleep(RENEW_EVERY_S)
            await self.renew()

    async def renew(self) -> None:
        """Renew in memory, and show it, the leases of runs that go on."""
        for count, lane in enumerate([item for item in self._lanes.in_memory() if item.live is not None]):
            self._renew(lane)
            if count % _BREATHE_EVERY == 0:
                await breathe()

    def _renew(self, lane: Lane) -> None:
        if lane.view is None or lane.view.lease is None or not self._agents.holds(lane.view.lease.run_id):
            return
        self._lanes.renew(lane, renewed(lane.view.lease, mark(self._clock)))

    async def release_lease(self, command: ReleaseLease, actor: Actor) -> LeaseReceipt:
        """Free a session whose holder is gone: its run is closed as died, and what waits goes on.

        A holder that seems to be alive is told to stop, and refused from then on, only if that is forced; else Refused
        is raised. ConflictError when another run holds the session than the one that was looked at.
        """
        lane = await self._lanes.existing(command.session_id)
        async with lane.lock:
            run_id, live = lane.guard.run_id, lane.live
            if command.run_id is not None and command.run_id != run_id:
                raise ConflictError(
                    "that run no longer holds the session", key="run_id", expected=command.run_id, found=run_id
                )
            if run_id is None or live is None:
                return LeaseReceipt(
                    session_id=lane.session_id, run_id=None, is_released=True, why="nothing holds the session"
                )
            verdict = self._verdict(lane, live)
            if not verdict.is_released and not command.is_forced:
                raise Refused(
                    f"the lease was kept: {verdict.why}",
                    rule="no proof that the holder is gone",
                    holder=run_id,
                    fix="interrupt the run, or release it by force",
                )
            await self._close(lane, live, command, actor, is_forced=not verdict.is_released)
        why = "by force" if not verdict.is_released else verdict.why
        return LeaseReceipt(session_id=lane.session_id, run_id=run_id, is_released=True, why=why)

    def _verdict(self, lane: Lane, live: Live) -> Verdict:
        lease = self._lanes.view(lane).lease
        if lease is None:
            return reconcile(None, Execution.UNPROVEN)
        found = execution(lease, boot=self._lanes.boot, is_held=self._agents.holds(live.run.id))
        if found is Execution.UNKNOWN and (live.is_ending or not live.is_handed_over):
            # The runtime is yet to hear of it, or has just ended it: that it has no such run proves nothing.
            found = Execution.UNPROVEN
        return reconcile(lease, found)

    async def _close(self, lane: Lane, live: Live, command: ReleaseLease, actor: Actor, *, is_forced: bool) -> None:
        run_id = live.run.id
        what = "by force " if is_forced else ""
        end = TurnEnded(stop=Stop.DIED, error=f"its lease was released {what}by {actor.name}", code="lease_released")
        await self._turns.close(
            lane,
            live,
            end,
            facts=lambda after: [
                LeaseReleased(session=after, run_id=run_id, is_forced=is_forced, reason=command.reason)
            ],
            actor=actor,
            # Nobody has this token: whatever the holder writes from now on is late.
            lease_token=self._lanes.view(lane).lease_token + is_forced,
        )
        if is_forced:
            reason = command.reason or f"its lease was released by {actor.name}"
            self._supervisor.spawn(f"interrupt:{run_id}", self._agents.interrupt(run_id, reason))
