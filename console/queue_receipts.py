"""The core's answers about queues, memory, archive and leases in words and their tone (pure)."""

from collections.abc import Callable

from console import text
from console.session_runtime import compaction_words
from core.api.base import MessageId
from core.api.runs import CompactionState
from core.api.session_orders import LeaseReceipt, QueueReceipt, SessionReceipt


def moved(message_id: MessageId) -> Callable[[QueueReceipt], tuple[str, str]]:
    """Where that message stands now."""

    def words(receipt: QueueReceipt) -> tuple[str, str]:
        ids = [message.id for message in receipt.messages]
        if message_id not in ids:
            return "it does not wait any more: a run took it up", "needs"
        return f"moved: {ids.index(message_id) + 1} of {len(ids)} now", "well"

    return words


def taken(message_id: MessageId) -> Callable[[QueueReceipt], tuple[str, str]]:
    """How that message is taken now, and why that is not what was asked."""

    def words(receipt: QueueReceipt) -> tuple[str, str]:
        found = next((message for message in receipt.messages if message.id == message_id), None)
        if found is None:
            return "it does not wait any more: a run took it up", "needs"
        if found.mode is found.effective_mode:
            return f"taken as {found.effective_mode.value} now", "well"
        why = text.clean(found.mode_reason) or "the core does not say why"
        return f"taken as {found.effective_mode.value}, not {found.mode.value}: {why}", "needs"

    return words


def split(message_id: MessageId) -> Callable[[QueueReceipt], tuple[str, str]]:
    """Whether that message has a turn of its own now."""

    def words(receipt: QueueReceipt) -> tuple[str, str]:
        found = next((message for message in receipt.messages if message.id == message_id), None)
        if found is None:
            return "it does not wait any more: a run took it up", "needs"
        if found.part_of is not None or any(item.part_of == message_id for item in receipt.messages):
            return "it is still a part of another message", "needs"
        return "answered alone now", "well"

    return words


def archived(receipt: SessionReceipt) -> tuple[str, str]:
    """Whether a session is put away."""
    view = receipt.session
    if not view.is_archived:
        return f"{text.clean(view.id)} is not archived", "needs"
    return f"archived: {text.clean(view.id)}; the next message takes it up in a new epoch", "well"


def taken_up(receipt: SessionReceipt) -> tuple[str, str]:
    """In which epoch a session goes on."""
    view = receipt.session
    if view.is_archived:
        return f"{text.clean(view.id)} is still archived", "needs"
    return f"taken up: {text.clean(view.id)} goes on in epoch {view.epoch}", "well"


def compacted(receipt: SessionReceipt) -> tuple[str, str]:
    """Whether the memory is shorter."""
    found = receipt.session.compaction
    if found is None:
        return "there was nothing to make shorter", "needs"
    tone = {CompactionState.DONE: "well", CompactionState.FAILED: "failing"}.get(found.state, "needs")
    return compaction_words(found), tone


def released(receipt: LeaseReceipt) -> tuple[str, str]:
    """Whether a session is free."""
    why = text.clean(receipt.why)
    if receipt.run_id is None:
        return why or "nothing held it", "needs"
    if receipt.is_released:
        return f"released: run {text.clean(receipt.run_id)} holds it no more ({why})", "well"
    return f"not released, run {text.clean(receipt.run_id)} still holds it: {why}", "failing"
