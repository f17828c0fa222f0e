"""What is noted on an approval besides its decision: who saw it, what became of the call, that it is asked again."""

import msgspec

from core.agents.approvals.approval import too_late
from core.agents.approvals.rows import ApprovalRows
from core.agents.approvals.surface import noted
from core.api.approvals import ApprovalNoted, ApprovalState, ApprovalView, NoteApproval
from core.api.base import Actor, ActorKind, ApprovalId, RunId
from core.api.errors import AlreadyDecided, ConflictError, HermesError
from core.clock import Clock, mark

REASK_PAUSE_S = 60.0
"""An orphan is asked again at most so often: the agent needs a moment to do so."""
_RESULT_LIMIT = 2_000


class ApprovalNotes:
    """Notes on approvals, each stored with its event."""

    def __init__(self, rows: ApprovalRows, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock

    async def note_result(self, run_id: RunId, tool_call_id: str, text: str) -> bool:
        """Keep what became of an approved tool call, cut to 2,000 characters.

        False when no approval was about it, or it cannot be stored: the run does not suffer from that.
        """
        approval_id = self._rows.of_call(run_id, tool_call_id)
        if approval_id is None:
            return False
        await self._rows.free([approval_id])
        view = self._rows.views.get(approval_id)
        if view is None or view.state is not ApprovalState.APPROVED or view.result:
            return False
        done = msgspec.structs.replace(view, version=view.version + 1, result=text[:_RESULT_LIMIT] or "done")
        try:
            await self._rows.write([done], actor=Actor(ActorKind.AGENT, view.agent))
        except HermesError:
            return False
        return True

    async def note_approval(self, command: NoteApproval, actor: Actor) -> ApprovalView:
        """Record that a surface shows it, or that it was seen there. The first time of each counts; one that is no
        longer open stays as it is. Raises NotFound, InvalidInput.
        """
        await self._rows.free([command.approval_id])
        view = self._rows.get(command.approval_id)
        surfaces = noted(view.surfaces, command.surface, is_seen=command.is_seen, now=mark(self._clock))
        if surfaces == view.surfaces or view.state is not ApprovalState.OPEN:
            return view
        changed = msgspec.structs.replace(view, version=view.version + 1, surfaces=surfaces)
        await self._rows.write([changed], event=lambda item: ApprovalNoted(approval=item), actor=actor)
        return changed

    async def orphan(self, approval_id: ApprovalId) -> ApprovalView:
        """An orphan that can be asked again now.

        Raises NotFound, ConflictError, AlreadyDecided when it is none, or was asked again already.
        """
        await self._rows.free([approval_id])
        view = self._rows.get(approval_id)
        now = mark(self._clock)
        if view.state is ApprovalState.OPEN:
            raise ConflictError("it is still open", key=view.id, expected="orphaned", found="open", fix="answer it")
        if view.state is not ApprovalState.ORPHANED:
            raise too_late(view, now)
        if view.replaced_by is not None:
            raise AlreadyDecided(
                f"it was asked again as {view.replaced_by}",
                by=str(view.agent),
                at=now.at,
                outcome="replaced",
                fix=f"answer {view.replaced_by}",
            )
        if view.reasked is not None and now.mono - view.reasked.mono < REASK_PAUSE_S:
            raise AlreadyDecided(
                view.reason, by=view.decided_by, at=view.reasked.at, outcome="reasked", fix="wait for the agent to ask"
            )
        return view

    async def mark_reasked(self, approval_id: ApprovalId, actor: Actor) -> ApprovalView:
        """Note that an operator has an orphan asked again. Raises NotFound, StoreError."""
        await self._rows.free([approval_id])
        view = self._rows.get(approval_id)
        marked = msgspec.structs.replace(
            view, version=view.version + 1, reasked=mark(self._clock), reason=f"asked again for {actor.name}"
        )
        await self._rows.write([marked], actor=actor)
        return marked
