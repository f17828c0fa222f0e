"""What happens to a task, told as events of a run (pure)."""

from collections.abc import Iterator

from core.api.approvals import ApprovalState, ApprovalView, GrantScope
from core.api.runs import ToolStatus
from core.api.streams import StreamItem, StreamKind
from core.rest.v1_status import DENY, choices, command_of
from core.rest.v1_words import EventName, RunEvent, RunStatus

_PREVIEW_LENGTH = 500
_SCOPES = {
    GrantScope.ONCE: "once",
    GrantScope.TASK: "session",
    GrantScope.SESSION: "session",
    GrantScope.ALWAYS: "always",
}
_ENDS: dict[str, EventName] = {
    "completed": "run.completed",
    "failed": "run.failed",
    "cancelled": "run.cancelled",
}


class RunTeller:
    """Turns items of a task's stream into events, for one reader."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._asked: dict[str, str] = {}
        self._settled: set[str] = set()
        self._has_begun = False

    def tell(self, item: StreamItem, approval: ApprovalView | None = None) -> list[RunEvent]:
        """What an item means. approval: the one that it is about, None where that is no longer known."""
        match item.kind:
            case StreamKind.TEXT:
                return [RunEvent(event="message.delta", run_id=self._run_id, timestamp=item.at, delta=item.text)]
            case StreamKind.THOUGHT:
                return [RunEvent(event="reasoning.available", run_id=self._run_id, timestamp=item.at, text=item.text)]
            case StreamKind.TOOL:
                return list(self._tool(item))
            case StreamKind.APPROVAL:
                return [] if approval is None else list(self._approval(item, approval))
            case _:
                return []

    def gap(self, at: float) -> RunEvent:
        """What happened before was let go; the run itself is whole."""
        return RunEvent(event="stream.gap", run_id=self._run_id, timestamp=at, text="earlier events are no longer kept")

    def broken(self, at: float, code: str, message: str) -> RunEvent:
        """The events end here, and the run goes on."""
        return RunEvent(event="stream.error", run_id=self._run_id, timestamp=at, code=code, error=message)

    def end(self, status: RunStatus) -> RunEvent:
        """The last event. status: of a run that is over."""
        event = _ENDS[status.status]
        is_answer = event == "run.completed"
        return RunEvent(
            event=event,
            run_id=self._run_id,
            timestamp=status.ended_at or status.updated_at,
            output=status.output if is_answer else None,
            error="" if is_answer else status.error or "no reason was given",
            code=status.code,
            usage=status.usage,
        )

    def _tool(self, item: StreamItem) -> Iterator[RunEvent]:
        title, _, output = item.text.partition("\n")
        over = next((name for name in self._asked if name in self._settled), None)
        # One that was asked for has begun before; of the others only the end is on record.
        tool = title if over is None else self._asked.pop(over)
        if over is None:
            yield RunEvent(event="tool.started", run_id=self._run_id, timestamp=item.at, tool=tool)
        has_failed = item.what == ToolStatus.FAILED.value
        yield RunEvent(
            event="tool.completed",
            run_id=self._run_id,
            timestamp=item.at,
            tool=tool,
            preview=title,
            result=output,
            error=has_failed,
        )

    def _approval(self, item: StreamItem, view: ApprovalView) -> Iterator[RunEvent]:
        if item.what == ApprovalState.OPEN.value:
            yield from self._request(view)
        else:
            yield self._responded(view, item.at)

    def _request(self, view: ApprovalView) -> Iterator[RunEvent]:
        tool = view.tool or view.action_kind.value
        self._asked[view.id] = tool
        command = command_of(view)
        yield RunEvent(
            event="tool.started",
            run_id=self._run_id,
            timestamp=view.asked.at,
            tool=tool,
            preview=(view.target or command)[:_PREVIEW_LENGTH],
        )
        offered = choices(view)
        yield RunEvent(
            event="approval.request",
            run_id=self._run_id,
            timestamp=view.asked.at,
            approval_id=view.id,
            kind=view.action_kind.value,
            tool=tool,
            description=view.title,
            command=command,
            cwd=view.cwd,
            diff=view.diff,
            digest=view.digest,
            pattern_key=next((offer.pattern for offer in view.offers), ""),
            choices=offered,
            allow_permanent="always" in offered,
            deadline_at=None if view.deadline is None else view.deadline.at,
        )

    def _responded(self, view: ApprovalView, at: float) -> RunEvent:
        self._settled.add(view.id)
        is_yes = view.state is ApprovalState.APPROVED
        return RunEvent(
            event="approval.responded",
            run_id=self._run_id,
            timestamp=at,
            approval_id=view.id,
            # Whatever else ended it, nothing was allowed.
            choice=_SCOPES[view.scope] if is_yes else DENY,
            resolved=1,
            state=view.state.value,
            by=view.decided_by,
        )
