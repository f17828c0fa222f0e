"""Whether an answer fits what was asked, and what it then means: ending, grant, and what the agent is told (pure)."""

import math

import msgspec

from core.agents.approvals.approval import ApprovalStep, Ending, choose_option
from core.agents.policy.patterns import exact_pattern
from core.api.approvals import AnswerApproval, ApprovalView, EndReason, GrantScope
from core.api.base import Actor, ActorKind
from core.api.errors import ConflictError, InvalidInput, Refused
from core.api.runs import ActionKind

REASON_LIMIT = 2_000
ANSWER_LIMIT = 20_000
REMEMBER_LIMIT_S = 86_400.0


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """A standing yes or no to be stored with the decision. expires_s: from now; None is until revoked."""

    allow: bool
    scope: GrantScope
    pattern: str
    expires_s: float | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that fits. wish: what is to be remembered beyond this once."""

    ending: Ending
    wish: Wish | None = None


def check_answer(view: ApprovalView, command: AnswerApproval, actor: Actor) -> Answer:
    """What the answer means. Raises InvalidInput, ConflictError when its digest is of something else, Refused when an
    agent answers itself.
    """
    check_reason(command.reason)
    if actor.kind is ActorKind.AGENT:
        raise Refused("an agent cannot answer what an agent asks", rule="approval_by_agent", fix="a person must answer")
    if command.digest and command.digest != view.digest:
        raise ConflictError(
            "this approval asks for something else than what was looked at",
            key=view.id,
            expected=command.digest,
            found=view.digest,
        )
    is_question = view.action_kind is ActionKind.QUESTION
    wish = _wish(view, command, is_question=is_question)
    return Answer(
        ending=Ending(
            step=ApprovalStep.APPROVE if command.allow else ApprovalStep.DENY,
            ended=EndReason.OPERATOR,
            reason=command.reason,
            by=actor.name,
            option_id=_option(view, command, is_question=is_question),
            answer=_words(view, command, is_question=is_question),
            scope=command.scope,
        ),
        wish=wish,
    )


def denial(view: ApprovalView, reason: str, actor: Actor) -> Answer:
    """A plain no. Raises InvalidInput, Refused."""
    return check_answer(view, AnswerApproval(approval_id=view.id, allow=False, reason=reason), actor)


def check_reason(reason: str) -> None:
    """Raises InvalidInput for one that is too long."""
    if len(reason) > REASON_LIMIT:
        raise InvalidInput("the reason is too long", field="reason", value=len(reason), fix=f"at most {REASON_LIMIT}")


def _option(view: ApprovalView, command: AnswerApproval, *, is_question: bool) -> str:
    if is_question and command.allow and not command.option_id:
        # The words are the answer; a choice that nobody named is not made for them.
        return ""
    return choose_option(view.options, allow=command.allow, option_id=command.option_id, scope=command.scope)


def _words(view: ApprovalView, command: AnswerApproval, *, is_question: bool) -> str:
    answer = command.answer
    if len(answer) > ANSWER_LIMIT:
        raise InvalidInput("the answer is too long", field="answer", value=len(answer), fix=f"at most {ANSWER_LIMIT}")
    if not is_question or not command.allow:
        if answer:
            what = "a no carries no answer" if is_question else "this is no question"
            raise InvalidInput(
                what, field="answer", value=answer[:80], fix="put what the agent should know into reason"
            )
        return ""
    if answer.strip():
        return answer
    chosen = next((option.label for option in view.options if option.id == command.option_id), "")
    if not chosen.strip():
        raise InvalidInput(
            "an empty answer tells the agent nothing", field="answer", value="", fix="write one, or say no"
        )
    return chosen


def _wish(view: ApprovalView, command: AnswerApproval, *, is_question: bool) -> Wish | None:
    seconds, scope = command.remember_s, command.scope
    if not (math.isfinite(seconds) and 0 <= seconds <= REMEMBER_LIMIT_S):
        raise InvalidInput(
            f"remember_s is {seconds:g}", field="remember_s", value=seconds, fix=f"use 0 to {REMEMBER_LIMIT_S:.0f}"
        )
    if is_question and (scope is not GrantScope.ONCE or seconds):
        raise InvalidInput("a question is answered once", field="scope", value=scope.value, fix="use once")
    if command.allow:
        if seconds:
            raise InvalidInput(
                "only a no is remembered for a time", field="remember_s", value=seconds, fix="use 0, or scope"
            )
        return _granted(view, command)
    if scope is not GrantScope.ONCE and not seconds:
        raise InvalidInput(
            "a no beyond this once needs a time", field="remember_s", value=0.0, fix=f"use up to {REMEMBER_LIMIT_S:.0f}"
        )
    return _refused(view, command) if seconds else None


def _granted(view: ApprovalView, command: AnswerApproval) -> Wish | None:
    if command.scope is GrantScope.ONCE:
        if command.pattern:
            raise InvalidInput(
                "once needs no pattern", field="pattern", value=command.pattern[:200], fix="name a wider scope"
            )
        return None
    offer = next((offer for offer in view.offers if offer.scope is command.scope), None)
    if offer is None:
        offered = ", ".join(offer.scope.value for offer in view.offers)
        raise InvalidInput(
            f"a yes for {command.scope.value} is not offered here",
            field="scope",
            value=command.scope.value,
            fix=f"offered are: once{', ' if offered else ''}{offered}",
        )
    if command.pattern != offer.pattern:
        raise InvalidInput(
            "the pattern is not the one that was offered",
            field="pattern",
            value=command.pattern[:200],
            fix=f"repeat it: {offer.pattern}",
        )
    return Wish(allow=True, scope=command.scope, pattern=offer.pattern)


def _refused(view: ApprovalView, command: AnswerApproval) -> Wish:
    scope = GrantScope.SESSION if command.scope is GrantScope.ONCE else command.scope
    pattern = exact_pattern(view.tool, view.target)
    if not pattern:
        raise InvalidInput(
            "the agent does not say which tool and target, so there is nothing to remember it by",
            field="remember_s",
            value=command.remember_s,
            fix="use 0",
        )
    if scope is GrantScope.TASK and view.task_id is None:
        raise InvalidInput("it belongs to no task", field="scope", value=scope.value, fix="use session or always")
    return Wish(allow=False, scope=scope, pattern=pattern, expires_s=command.remember_s)
