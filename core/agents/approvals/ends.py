"""How approvals end: answered and passed on, at their deadline, with their run; stored before anybody hears of it."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from core.agents.approvals.answer import Answer
from core.agents.approvals.approval import TIMEOUT, Ending, choose_option, closed
from core.agents.approvals.grants import Grants
from core.agents.approvals.rows import ApprovalRows, Waiting, told
from core.agents.runner import Decision
from core.api.approvals import ApprovalState, ApprovalView, EndReason
from core.api.base import SYSTEM, Actor, ApprovalId
from core.api.errors import HermesError
from core.clock import Clock, mark
from core.supervisor import Supervisor
from core.waits import task_group

_SERVICE = "approvals"
_TICK_S = 0.5
_RETRY_S = 5.0
_DELIVER_LIMIT_S = 10.0


class ApprovalEnds:
    """Ends approvals, once each, and tells the agents."""

    def __init__(self, *, rows: ApprovalRows, grants: Grants, clock: Clock, supervisor: Supervisor) -> None:
        self._rows = rows
        self._grants = grants
        self._clock = clock
        self._supervisor = supervisor
        self._is_watching = False

    def watch(self) -> None:
        """Hold open ones to their deadlines from now on."""
        if not self._is_watching:
            self._is_watching = True
            self._supervisor.start(_SERVICE, self._keep_time)

    async def close(self) -> None:
        """Watch no longer."""
        if self._is_watching:
            self._is_watching = False
            await self._supervisor.stop_service(_SERVICE)

    async def answer(self, answers: Mapping[ApprovalId, Answer], actor: Actor) -> list[ApprovalView | None]:
        """Store answers and pass them on; None for each that came too late."""
        await self._end_overdue(answers)
        await self._rows.free(answers)
        now = mark(self._clock)
        waits = {item: self._rows.waiting[item] for item in answers if self._is_answerable(item)}
        decided = [closed(self._rows.views[item], answers[item].ending, now) for item in waits]
        if not decided:
            return [None] * len(answers)
        wish = next((answers[view.id].wish for view in decided), None)
        pages = None if wish is None else self._grants.give(decided[0], wish, actor)
        correlation = next(iter(waits.values())).correlation if len(waits) == 1 else ""
        await self._rows.write(decided, pages=pages, actor=actor, correlation=correlation)
        informed: dict[ApprovalId, ApprovalView] = {}

        async def tell(view: ApprovalView) -> None:
            decision = _decision(view)
            informed[view.id] = await self.deliver(view, waits[view.id], decision, actor)

        async with task_group() as group:
            for view in decided:
                group.create_task(tell(view))
        return [informed.get(item) for item in answers]

    async def _end_overdue(self, ids: Iterable[ApprovalId]) -> None:
        """A deadline that is over counts from that moment, not from when somebody looks."""
        now = self._clock.monotonic()
        for item in ids:
            waiting = self._rows.waiting.get(item)
            if waiting is not None and (waiting.ending is not None or waiting.due <= now):
                await self._expire_one(item)

    async def end(self, ids: Sequence[ApprovalId], ending: Ending, *, actor: Actor = SYSTEM) -> list[ApprovalId]:
        """Store the end of those that are still open; returns them."""
        for item in ids:
            waiting = self._rows.waiting.get(item)
            if waiting is not None and waiting.ending is None:
                waiting.ending = ending
        await self._rows.free(ids)
        waits = {item: self._rows.waiting[item] for item in ids if item in self._rows.waiting}
        if not waits:
            return []
        now = mark(self._clock)
        for waiting in waits.values():
            waiting.retry_at = now.mono + _RETRY_S
        ended = [closed(self._rows.views[item], waiting.ending or ending, now) for item, waiting in waits.items()]
        correlation = next(iter(waits.values())).correlation if len(waits) == 1 else ""
        await self._rows.write(ended, actor=actor, correlation=correlation)
        return [view.id for view in ended]

    async def deliver(
        self, view: ApprovalView, waiting: Waiting, decision: Decision, actor: Actor = SYSTEM
    ) -> ApprovalView:
        """Tell the agent, and store how that went."""
        try:
            async with asyncio.timeout(_DELIVER_LIMIT_S):
                delivery = "sent" if await waiting.deliver(decision, view) else "refused_late"
        except Exception:  # noqa: BLE001 - whatever a runner raises, the answer stands and did not arrive
            delivery = "failed"
        await self._rows.free([view.id])
        after = told(self._rows.views.get(view.id, view), delivery)
        try:
            await self._rows.write([after], actor=actor, correlation=waiting.correlation)
        except HermesError:
            # The decision itself is stored and carried out; failing the command would say otherwise.
            return view
        return after

    def _is_answerable(self, approval_id: ApprovalId) -> bool:
        waiting = self._rows.waiting.get(approval_id)
        return waiting is not None and waiting.ending is None

    async def _keep_time(self) -> None:
        while True:
            await self._clock.sleep(_TICK_S)
            now = self._clock.monotonic()
            for item, waiting in list(self._rows.waiting.items()):
                if (waiting.ending is not None or waiting.due <= now) and waiting.retry_at <= now:
                    waiting.retry_at = now + _RETRY_S
                    self._supervisor.spawn(f"expire:{item}", self._expire_one(item))
            try:
                await self._grants.tick()
            except HermesError:
                # Counts of uses are stored with the next tick; deadlines must not wait for that.
                continue

    async def _expire_one(self, approval_id: ApprovalId) -> None:
        waiting = self._rows.waiting.get(approval_id)
        if waiting is None or not await self.end([approval_id], waiting.ending or TIMEOUT):
            return
        view = self._rows.get(approval_id)
        if view.ended is EndReason.TIMEOUT and view.state is ApprovalState.EXPIRED:
            await self.deliver(view, waiting, no_decision(view))


def no_decision(view: ApprovalView) -> Decision:
    """What the agent hears when nobody decided: never that somebody refused."""
    reason = f"{view.reason}; nobody refused it. Approval {view.id} is closed: ask again if it is still needed"
    return Decision(allow=False, option_id=choose_option(view.options, allow=False), reason=reason)


def _decision(view: ApprovalView) -> Decision:
    allow = view.state is ApprovalState.APPROVED
    return Decision(allow=allow, option_id=view.option_id, reason=view.reason, answer=view.answer)
