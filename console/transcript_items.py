"""Entries, queued messages and decisions of a session as items of a transcript (pure)."""

from collections.abc import Iterable

from console import text
from console.watched import WatchedSession
from console.widgets.transcript_body import TranscriptItem
from core.api.approvals import ApprovalView
from core.api.runs import ActionKind
from core.api.sessions import MessageState, MessageView
from core.api.transcripts import EntryKind, EntryView

_TONES = {
    EntryKind.USER: "accent",
    EntryKind.NOTE: "busy",
    EntryKind.AGENT: "strong",
    EntryKind.THOUGHT: "quiet",
    EntryKind.TOOL: "quiet",
    EntryKind.APPROVAL: "quiet",
    EntryKind.SYSTEM: "quiet",
    EntryKind.SUMMARY: "accent",
}
_NAMES = {
    EntryKind.THOUGHT: "thinks",
    EntryKind.TOOL: "tool",
    EntryKind.APPROVAL: "decided",
    EntryKind.SYSTEM: "system",
    EntryKind.SUMMARY: "recap",
}
_FOLDABLE = frozenset({EntryKind.THOUGHT, EntryKind.TOOL, EntryKind.SUMMARY})


def entry_item(entry: EntryView) -> TranscriptItem:
    """One entry of the transcript."""
    words, marks = entry.text, [] if not entry.is_partial else ["cut off"]
    if entry.is_imported:
        marks.append("brought along")
    if entry.kind is EntryKind.NOTE:
        marks.append("operator note")
    if entry.kind is EntryKind.SUMMARY:
        marks.append("stands for everything before")
    tone = _TONES[entry.kind]
    if entry.tool is not None:
        tool = entry.tool
        marks.append(tool.status.value.replace("_", " "))
        parts = [tool.title, tool.input, tool.output, tool.diff, entry.text]
        words = "\n".join(dict.fromkeys(part for part in parts if part)) or tool.id
        tone = "failing" if tool.status.value == "failed" else tone
    is_foldable = entry.kind in _FOLDABLE and "\n" in words
    author = _NAMES.get(entry.kind) or text.clean(entry.author) or entry.kind.value
    return TranscriptItem(
        id=f"entry:{entry.id}",
        at=entry.at,
        author=author,
        tone=tone,
        text=words,
        marks=", ".join(marks),
        folded=is_foldable,
        foldable=is_foldable,
    )


def entry_items(entries: Iterable[EntryView]) -> list[TranscriptItem]:
    """Entries in order, with a rule where the agent's memory was reset."""
    items: list[TranscriptItem] = []
    epoch: int | None = None
    for entry in entries:
        if epoch is not None and entry.epoch > epoch:
            items.append(
                TranscriptItem(
                    id=f"epoch:{entry.epoch}",
                    at=None,
                    author="",
                    tone="quiet",
                    text=f"reset here: the agent knows nothing of what is above (epoch {entry.epoch})",
                )
            )
        epoch = entry.epoch if epoch is None else max(epoch, entry.epoch)
        items.append(entry_item(entry))
    return items


def queued_messages(watched: WatchedSession) -> list[MessageView]:
    """The messages that no run has taken up, in the order of the core's queue."""
    return [item for item in watched.messages.values() if item.state is MessageState.QUEUED]


def tail_items(watched: WatchedSession, approval: ApprovalView | None, decide_key: str) -> list[TranscriptItem]:
    """What stands below the transcript: the open decision and what waits in the queue."""
    items: list[TranscriptItem] = []
    waiting = queued_messages(watched)
    if approval is not None:
        items.append(
            TranscriptItem(
                id=f"approval:{approval.id}",
                at=approval.asked.at,
                author="WAITS",
                tone="needs",
                text=f"{text.clean(approval.title)}",
                marks=_wait_marks(approval, len(waiting), decide_key),
            )
        )
    for place, message in enumerate(waiting, 1):
        items.append(
            TranscriptItem(
                id=f"message:{message.id}",
                at=message.received.at,
                author=text.clean(message.sender),
                tone="stale",
                text=message.text,
                marks=f"queued {place} of {len(waiting)}",
            )
        )
    return items


def _wait_marks(approval: ApprovalView, waiting: int, decide_key: str) -> str:
    is_question = approval.action_kind is ActionKind.QUESTION
    decides = f"{decide_key} {'answers' if is_question else 'decides'}" if decide_key else ""
    if is_question and waiting:
        may = f"{text.counted(waiting, 'queued message')} may be the answer"
        return f"{may}, {decides}" if decides else may
    return decides
