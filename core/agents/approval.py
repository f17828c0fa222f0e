"""The approval machine: asked once, answered once; what is asked and which answer fits (pure)."""

import hashlib
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from core.api.approvals import ApprovalState
from core.api.errors import InvalidInput
from core.api.runs import ActionOption, ActionRequested, OptionKind, ToolKind
from core.machine import Machine

SIZE_LIMIT_BYTES = 262_144
MARGIN_S = 5.0
_MARGIN_FROM_S = 10.0
_DIGEST_LETTERS = 16


class ApprovalStep(StrEnum):
    """What can happen to an open approval."""

    APPROVE = "approve"
    DENY = "deny"
    EXPIRE = "expire"
    WITHDRAW = "withdraw"


APPROVAL: Machine[ApprovalState, ApprovalStep] = Machine(
    "approval",
    ApprovalState,
    {
        ApprovalState.OPEN: {
            ApprovalStep.APPROVE: ApprovalState.APPROVED,
            ApprovalStep.DENY: ApprovalState.DENIED,
            ApprovalStep.EXPIRE: ApprovalState.EXPIRED,
            ApprovalStep.WITHDRAW: ApprovalState.WITHDRAWN,
        },
        ApprovalState.APPROVED: {},
        ApprovalState.DENIED: {},
        ApprovalState.EXPIRED: {},
        ApprovalState.WITHDRAWN: {},
    },
)


def digest(title: str, detail: str, kind: ToolKind, options: Sequence[ActionOption]) -> str:
    """16 hex letters of everything that the operator is shown, so that an answer can name what it is about."""
    offered = [(option.id, option.label, option.kind.value) for option in options]
    whole = msgspec.json.encode((title, detail, kind.value, offered))
    return hashlib.sha256(whole).hexdigest()[:_DIGEST_LETTERS]


def is_too_large(action: ActionRequested) -> bool:
    """Whether it asks for more than can be shown whole; such a thing must not be approved."""
    return len(msgspec.json.encode(action)) > SIZE_LIMIT_BYTES


def wait_s(own_s: float | None, limit_s: float) -> float:
    """How long an operator has, in seconds.

    own_s: when the agent stops listening; a margin is left before it so that an answer in the
    last moment still arrives.
    """
    if own_s is None:
        return limit_s
    return min(limit_s, max(0.0, own_s - MARGIN_S if own_s > _MARGIN_FROM_S else own_s))


def choose_option(options: Sequence[ActionOption], *, allow: bool, option_id: str = "") -> str:
    """Id of the option that the answer means; "" when the agent offered none that says no.

    Without option_id a yes is the first `allow_once`, never a standing permission, and a no is
    the first `reject_once`, else `reject_always`. Raises InvalidInput when the option is not
    offered, contradicts `allow`, or a yes needs a standing permission that nobody named.
    """
    if option_id:
        return _named(options, allow=allow, option_id=option_id)
    wanted = (OptionKind.ALLOW_ONCE,) if allow else (OptionKind.REJECT_ONCE, OptionKind.REJECT_ALWAYS)
    for kind in wanted:
        for option in options:
            if option.kind is kind:
                return option.id
    if allow and options:
        raise InvalidInput(
            "the agent offers no permission for this once",
            field="option_id",
            value="",
            fix=f"name one of: {', '.join(option.id for option in options)}",
        )
    return ""


def _named(options: Sequence[ActionOption], *, allow: bool, option_id: str) -> str:
    for option in options:
        if option.id == option_id:
            if option.kind.allows is allow:
                return option_id
            raise InvalidInput(
                f"option {option_id} means {'yes' if option.kind.allows else 'no'}",
                field="option_id",
                value=option_id,
                fix="choose an option that says what `allow` says",
            )
    offered = ", ".join(option.id for option in options) or "none"
    raise InvalidInput(f"no option {option_id!r}", field="option_id", value=option_id, fix=f"offered are: {offered}")
