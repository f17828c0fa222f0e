"""The core's answers in words and their tone: what is so now, not what was wished (pure)."""

from console import text
from core.api.deliveries import DeliveryView
from core.api.session_queue import DropReceipt
from core.api.sessions import InterruptReceipt, Outcome, ResetReceipt, SendReceipt
from core.api.system import ShutdownReceipt


def _place(position: int) -> str:
    return "next" if position == 0 else f"{position} before it"


def sent(receipt: SendReceipt) -> tuple[str, str]:
    """Where a message is."""
    if receipt.is_duplicate:
        return "stored already: the same message was sent before", "well"
    changed = ""
    if receipt.mode is not receipt.effective_mode:
        changed = f" ({receipt.mode.value} became {receipt.effective_mode.value}: {text.clean(receipt.mode_reason)})"
    return f"{_OUTCOMES[receipt.outcome]}: {receipt.effective_mode.value}{_waits(receipt)}{changed}", "well"


_OUTCOMES = {
    Outcome.DIRECT: "taken up at once",
    Outcome.QUEUED: "stored",
    Outcome.INTERRUPTED: "the run was told to stop",
    Outcome.RESTARTED: "begun again",
}


def _waits(receipt: SendReceipt) -> str:
    return "" if receipt.outcome is Outcome.DIRECT else f", {_place(receipt.position)}"


def interrupted(receipt: InterruptReceipt) -> tuple[str, str]:
    """Whether the lane is free."""
    if receipt.run_id is None:
        return "nothing was running", "needs"
    if receipt.is_released:
        return f"released: run {receipt.run_id} ended; {receipt.queue_depth} queued go on", "well"
    return f"told to stop, but the lane is still held by {receipt.holder or receipt.run_id}", "needs"


def was_reset(receipt: ResetReceipt) -> tuple[str, str]:
    """What a reset did."""
    stopped = f", run {receipt.interrupted} stopped" if receipt.interrupted else ""
    dropped = f", {receipt.dropped} queued dropped" if receipt.dropped else ""
    return f"reset: epoch {receipt.epoch} began{stopped}{dropped}", "well"


def dropped(receipt: DropReceipt) -> tuple[str, str]:
    """Which message went."""
    return f"dropped: message {receipt.message_id}", "well"


def delivery_words(view: DeliveryView) -> tuple[str, str]:
    """Where a delivery is."""
    error = f": {text.clean(view.error)}" if view.error and view.state.value in {"retrying", "dead"} else ""
    return f"delivery is {view.state.value} now{error}", "well"


def stopping(receipt: ShutdownReceipt) -> tuple[str, str]:
    """What the drain waits for."""
    return (
        f"the core stops: {receipt.running} runs get {receipt.drain_s:.0f} s, {receipt.queued} queued stay stored",
        "needs",
    )
