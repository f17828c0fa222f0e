"""What a run is busy with, worked out from what it reports (pure)."""

from collections.abc import Iterator

import msgspec

from core.api.runs import (
    ActionKind,
    ActionRequested,
    ActionSettled,
    Phase,
    PhaseChanged,
    RunReport,
    TextDelta,
    ThoughtDelta,
    ToolCall,
    ToolReported,
    ToolStatus,
    Usage,
    UsageReported,
)

_TITLE_LIMIT = 80


class Progress:
    """Unfinished tool calls, open decisions, phase, usage and text length of one run."""

    def __init__(self) -> None:
        self.calls: dict[str, ToolCall] = {}
        self.actions: dict[str, ActionKind] = {}
        self.usage = Usage()
        self.text_count = 0
        self._phase = Phase.ADMITTING
        self._tool = ""

    def take(self, report: RunReport) -> Iterator[RunReport]:
        """The report, with a change of phase before it when it implies one. Settling twice is left out."""
        if isinstance(report, PhaseChanged):
            self._phase, self._tool = report.phase, report.tool
            yield report
            return
        if isinstance(report, ActionSettled) and report.action_id not in self.actions:
            return
        if self._note(report):
            yield from self._phase_after()
        yield report

    def closing(self, outcome: str) -> Iterator[RunReport]:
        """Reports that end what is unfinished. outcome: of decisions that are still open."""
        for action_id in list(self.actions):
            del self.actions[action_id]
            yield ActionSettled(action_id=action_id, outcome=outcome)
        for call in list(self.calls.values()):
            del self.calls[call.id]
            yield ToolReported(call=msgspec.structs.replace(call, status=ToolStatus.ENDED))

    def _note(self, report: RunReport) -> bool:
        """Take the report in; whether it says anything about the phase."""
        match report:
            case TextDelta() | ThoughtDelta():
                self.text_count += len(report.text)
            case ToolReported(call=call):
                self.calls.pop(call.id, None)
                if not call.status.is_final:
                    self.calls[call.id] = call
            case ActionRequested():
                self.actions[report.action_id] = report.action_kind
            case ActionSettled():
                del self.actions[report.action_id]
            case UsageReported():
                self.usage = report.usage
                return False
            case _:
                return False
        return True

    def _phase_after(self) -> Iterator[PhaseChanged]:
        phase, tool = Phase.MODEL, ""
        if self.actions:
            is_question = set(self.actions.values()) == {ActionKind.QUESTION}
            phase = Phase.CLARIFY if is_question else Phase.APPROVAL
        elif self.calls:
            phase, tool = Phase.TOOL, next(reversed(self.calls.values())).title[:_TITLE_LIMIT]
        if (phase, tool) != (self._phase, self._tool):
            self._phase, self._tool = phase, tool
            yield PhaseChanged(phase=phase, tool=tool)
