"""The approval machine: asked once, answered once; what is asked, for how long, and how it ends (pure)."""

import hashlib
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from core.api.approvals import ApprovalState, ApprovalView, EndReason, GrantScope
from core.api.base import Mark
from core.api.errors import AlreadyDecided, InvalidInput
from core.api.runs import ActionOption, ActionRequested, ActionSettled, OptionKind, Stop, TurnEnded
from core.machine import Machine

SIZE_LIMIT_BYTES = 262_144
MARGIN_S = 5.0
STOPPING = "stopping"
"""Code of the end of a run that a stop of the whole core brought about."""

_MARGIN_FROM_S = 10.0
_DIGEST_LETTERS = 16
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400


class ApprovalStep(StrEnum):
    """What can happen to an open approval."""

    APPROVE = "approve"
    DENY = "deny"
    EXPIRE = "expire"
    WITHDRAW = "withdraw"
    ORPHAN = "orphan"


APPROVAL: Machine[ApprovalState, ApprovalStep] = Machine(
    "approval",
    ApprovalState,
    {
        ApprovalState.OPEN: {
            ApprovalStep.APPROVE: ApprovalState.APPROVED,
            ApprovalStep.DENY: ApprovalState.DENIED,
            ApprovalStep.EXPIRE: ApprovalState.EXPIRED,
            ApprovalStep.WITHDRAW: ApprovalState.WITHDRAWN,
            ApprovalStep.ORPHAN: ApprovalState.ORPHANED,
        },
        ApprovalState.APPROVED: {},
        ApprovalState.DENIED: {},
        ApprovalState.EXPIRED: {},
        ApprovalState.WITHDRAWN: {},
        ApprovalState.ORPHANED: {},
    },
)


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How an approval ends, and the first change of everything that goes with it. by: name of who ended it."""

    step: ApprovalStep
    ended: EndReason
    reason: str = ""
    by: str = "core"
    option_id: str = ""
    answer: str = ""
    scope: GrantScope = GrantScope.ONCE


TIMEOUT = Ending(step=ApprovalStep.EXPIRE, ended=EndReason.TIMEOUT, reason="nobody answered in time")
RESTART = Ending(step=ApprovalStep.ORPHAN, ended=EndReason.RESTART, reason="the core was started again")
SUPERSEDED = Ending(
    step=ApprovalStep.WITHDRAW, ended=EndReason.SUPERSEDED, reason="the agent asked again for the same call"
)


def closed(view: ApprovalView, ending: Ending, now: Mark) -> ApprovalView:
    """The approval after its end. Raises IllegalTransition when it has ended before."""
    return msgspec.structs.replace(
        view,
        version=view.version + 1,
        state=APPROVAL.step(view.state, ending.step),
        ended=ending.ended,
        decided=now,
        decided_by=ending.by,
        option_id=ending.option_id,
        reason=ending.reason,
        answer=ending.answer,
        scope=ending.scope,
    )


def ending_of_run(end: TurnEnded) -> Ending:
    """What becomes of the open approvals of a run that ended so.

    A stop of the core is not a stop of the run: who starts it again finds the question and can have it asked again.
    """
    if end.stop is Stop.CANCELLED and end.code == STOPPING:
        return Ending(step=ApprovalStep.ORPHAN, ended=EndReason.RESTART, reason="the core was stopped")
    ended = EndReason.AGENT
    if end.stop is Stop.CANCELLED:
        ended = EndReason.STOPPED
    elif end.stop is Stop.DIED:
        ended = EndReason.DIED
    elif end.stop is Stop.TIMEOUT:
        return Ending(step=ApprovalStep.EXPIRE, ended=EndReason.TIMEOUT, reason=f"the run ended: {_why(end)}")
    return Ending(step=ApprovalStep.WITHDRAW, ended=ended, reason=f"the run ended: {_why(end)}")


def ending_by_agent(report: ActionSettled) -> Ending:
    """What becomes of an approval that the agent no longer waits for, whatever it says to have decided by itself."""
    if report.outcome == ApprovalState.EXPIRED.value:
        return Ending(step=ApprovalStep.EXPIRE, ended=EndReason.AGENT, reason="the agent waited no longer")
    reason = "the agent no longer asks"
    if report.outcome != ApprovalState.WITHDRAWN.value:
        reason = f"the agent settled it without us: {report.outcome[:40]}"
    return Ending(step=ApprovalStep.WITHDRAW, ended=EndReason.AGENT, reason=reason)


def digest(action: ActionRequested) -> str:
    """16 hex letters of everything that is asked, so that an answer can name what it is about.

    The agent's own ids and its patience are left out: the same question asked again has the same digest.
    """
    offered = [(option.id, option.label, option.kind.value) for option in action.options]
    whole = msgspec.json.encode(
        (
            action.action_kind.value, action.title, action.detail, action.kind.value, offered,
            action.tool, action.target, action.cwd, action.diff, action.chain,
        )
    )  # fmt: skip
    return hashlib.sha256(whole).hexdigest()[:_DIGEST_LETTERS]


def is_too_large(action: ActionRequested) -> bool:
    """Whether it asks for more than can be shown whole; such a thing must not be approved."""
    return len(msgspec.json.encode(action)) > SIZE_LIMIT_BYTES


def wait_s(own_s: float | None, *limits_s: float) -> float:
    """How long an operator has, in seconds: the one deadline there is.

    own_s: when the agent stops listening; a margin is left before it so that an answer in the
    last moment still arrives. limits_s: of the profile or the core, and what is left of the run.
    """
    limit_s = max(0.0, min(limits_s))
    if own_s is None:
        return limit_s
    return min(limit_s, max(0.0, own_s - MARGIN_S if own_s > _MARGIN_FROM_S else own_s))


def choose_option(
    options: Sequence[ActionOption], *, allow: bool, option_id: str = "", scope: GrantScope = GrantScope.ONCE
) -> str:
    """Id of the option that the answer means; "" when the agent offered none that says no.

    Without option_id a yes is the first `allow_once`, and only with scope `always` else an `allow_always`; a no is
    the first `reject_once`, else `reject_always`. Raises InvalidInput when the option is not
    offered, contradicts `allow`, or a yes needs a standing permission that nobody named.
    """
    if option_id:
        return _named(options, allow=allow, option_id=option_id)
    wanted = [OptionKind.ALLOW_ONCE] if allow else [OptionKind.REJECT_ONCE, OptionKind.REJECT_ALWAYS]
    if allow and scope is GrantScope.ALWAYS:
        # Ours is kept here and can be revoked; the agent's own is the last resort.
        wanted.append(OptionKind.ALLOW_ALWAYS)
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


def too_late(view: ApprovalView, now: Mark) -> AlreadyDecided:
    """The error for whoever answers one that has ended: what it became, by whom, how long ago, and what to do."""
    at = view.decided or view.asked
    ago = f"{_age(now.mono - at.mono)} ago"
    by = view.decided_by or "core"
    fix = "nothing is left to do"
    match view.state:
        case ApprovalState.APPROVED | ApprovalState.DENIED:
            message = f"already {view.state.value} by {by} {ago}"
        case ApprovalState.ORPHANED:
            message, fix = f"orphaned by a restart {ago}; not run", "ask again: it comes back under a new id"
        case ApprovalState.EXPIRED:
            message, fix = f"expired {ago}; not run", "tell the agent to try again"
        case _:
            why = view.ended.value if view.ended is not None else "agent"
            message = f"withdrawn {ago} ({why}); not run"
    return AlreadyDecided(message, by=by, at=at.at, outcome=view.state.value, fix=fix)


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


def _why(end: TurnEnded) -> str:
    return end.error or end.stop.value


def _age(seconds: float) -> str:
    whole = max(0, int(seconds))
    for size, unit in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if whole >= 2 * size:
            return f"{whole // size} {unit}"
    return f"{whole} s"
