"""The core's answers in words and their tone: what is so now, not what was wished (pure)."""

from console import text
from core.api.approvals import ApprovalView
from core.api.deliveries import DeliveryView
from core.api.sessions import DropReceipt, InterruptReceipt, ResetReceipt, SendReceipt
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
    return f"stored: {receipt.effective_mode.value}, {_place(receipt.position)}{changed}", "well"


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


def decided(view: ApprovalView) -> tuple[str, str]:
    """What was decided, and whether the agent knows."""
    told = {"sent": "the agent was told", "refused_late": "but the agent did not listen any more"}
    words = told.get(view.delivery, f"telling the agent: {view.delivery or 'on its way'}")
    tone = "well" if view.delivery == "sent" else "needs"
    return f"{view.state.value}: {text.clean(view.title)}; {words}", tone


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
