"""What the end of a run means: for the transcript, for the books, and for the one who waits."""

from core.api.base import EntryId, Mark, RunId
from core.api.runs import RunOutcome, RunView, Stop, ToolCall, TurnEnded
from core.api.transcripts import EntryKind, EntryView

THOUGHT_LIMIT = 20_000


def outcome(run: RunView, end: TurnEnded, *, answer: str, now: Mark) -> RunOutcome:
    """How the run ended. What a failed run wrote is never an answer."""
    return RunOutcome(
        run_id=run.id,
        stop=end.stop,
        ended=now,
        duration_s=round(now.mono - run.started.mono, 3),
        answered=end.stop.is_answer and bool(answer),
        error=end.error or ("the agent ended without an answer" if end.stop.is_answer and not answer else ""),
        code=end.code or ("empty_answer" if end.stop.is_answer and not answer else ""),
        usage=end.usage,
    )


def outbound_text(result: RunOutcome, answer: str) -> str:
    """What the chat is told: the answer, a notice of the failure, or nothing after an interrupt."""
    if result.answered:
        return answer
    if result.stop is Stop.CANCELLED:
        return ""
    return f"The agent could not answer: {result.error or result.stop.value}"


def text_entry(
    kind: EntryKind, text: str, *, entry_id: EntryId, at: float, author: str, epoch: int, run_id: RunId, partial: bool
) -> EntryView:
    """Text of a run as it stands in the transcript."""
    return EntryView(
        id=entry_id, at=at, kind=kind, author=author, text=text, epoch=epoch, run_id=run_id, is_partial=partial
    )


def tool_entry(call: ToolCall, *, entry_id: EntryId, at: float, author: str, epoch: int, run_id: RunId) -> EntryView:
    """A finished tool call as it stands in the transcript."""
    return EntryView(
        id=entry_id,
        at=at,
        kind=EntryKind.TOOL,
        author=author,
        text=call.title,
        epoch=epoch,
        run_id=run_id,
        tool=call,
    )
