"""The core's answers about senders, invitations and access in words and their tone (pure)."""

from console import text
from core.api.access import Verdict
from core.api.deliveries import DeliveryState
from core.api.pairings import InviteView, PairingReceipt, PairingState, PairingView

_NOTICES = {
    DeliveryState.QUEUED: "the sender is being told",
    DeliveryState.SENDING: "the sender is being told",
    DeliveryState.RETRYING: "telling the sender is tried again",
    DeliveryState.SENT: "the sender was told",
    DeliveryState.DEAD: "the sender could not be told",
}


def who(view: PairingView) -> str:
    """A sender by connection and raw id, with the name that it gives itself."""
    name = f" ({text.clean(view.sender_name)})" if view.sender_name else ""
    return f"{text.clean(view.platform)}:{text.clean(view.sender_id)}{name}"


def notice_words(view: PairingView) -> str:
    """What became of the last message to the sender; "" when there was none."""
    if view.notice is None:
        return ""
    error = f": {text.clean(view.notice_error)}" if view.notice_error else ""
    return f"{_NOTICES[view.notice]}{error}"


def sender_decided(receipt: PairingReceipt) -> tuple[str, str]:
    """How the sender stands, whether it hears of it, and what was stopped or replayed."""
    view = receipt.pairing
    words = [f"{view.state.value}: {who(view)}"]
    if notice := notice_words(view):
        words.append(notice)
    if receipt.stopped_runs:
        words.append(f"{text.counted(receipt.stopped_runs, 'run')} told to stop")
    if receipt.is_replayed:
        words.append("the message that was held back went to the agent")
    elif view.first_text and view.state is PairingState.APPROVED:
        words.append("the message that was held back was not given to the agent")
    return "; ".join(words), "well" if view.notice is not DeliveryState.DEAD else "needs"


def invited(view: InviteView) -> tuple[str, str]:
    """How an invitation stands."""
    where = text.clean(view.platform) if view.platform else "all connections"
    return f"invitation {view.id} for {where} is {view.state.value}", "well"


def verdict_words(verdict: Verdict) -> tuple[str, str]:
    """A verdict with its rule and where that stands."""
    word = f"let in as {verdict.tier.value}" if verdict.is_admitted else "not let in"
    rule = verdict.rule.value.replace("_", " ")
    line = f"{word}: {rule} (layer {verdict.layer}, {text.clean(verdict.origin)}): {text.clean(verdict.text)}"
    return line, "well" if verdict.is_admitted else "needs"
