"""What the policy says to one action: allowed, refused, or the operator is asked; always with its rule (pure)."""

from collections.abc import Sequence

from core.agents.policy.patterns import find_match, matches
from core.api.approvals import GrantScope, GrantView
from core.api.base import AgentName, Mark, SessionId, TaskId
from core.api.policies import Ask, ExecutionPolicy, PolicyVerdict, Security, VerdictKind
from core.api.runs import ActionKind, ActionRequested


def verdict(policy: ExecutionPolicy, action: ActionRequested, grants: Sequence[GrantView], now: Mark) -> PolicyVerdict:
    """What becomes of an action. grants: those that hold where it is asked, see holds_at; it looks at their patterns.

    In this order: a question always reaches the operator; security deny refuses; a remembered no refuses; a grant lets
    through, also when everything is asked, since an operator gave it in the face of that; then the policy's own table:

    | security  | allowlist     | ask off | on-miss | always |
    |-----------|---------------|---------|---------|--------|
    | full      | not looked at | allow   | allow   | ask    |
    | allowlist | match         | allow   | allow   | ask    |
    | allowlist | miss          | deny    | ask     | ask    |

    With full there is no allowlist that could be missed, so on-miss never asks there.
    """
    if action.action_kind is ActionKind.QUESTION:
        return _say(VerdictKind.ASK, "question", "the agent wants to know something; only a person can answer")
    if policy.security is Security.DENY:
        return _say(VerdictKind.DENY, "security.deny", "the policy lets this agent do nothing")
    held = [grant for grant in grants if is_live(grant, now) and matches(grant.pattern, action.tool, action.target)]
    if held:
        # False sorts first: a no that is remembered wins over every yes.
        return _by_grant(min(held, key=lambda grant: grant.allow))
    return _by_table(policy, action)


def is_live(grant: GrantView, now: Mark) -> bool:
    """Whether it still stands: neither revoked nor expired."""
    return grant.revoked is None and (grant.expires is None or now.mono < grant.expires.mono)


def holds_at(grant: GrantView, agent: AgentName, session_id: SessionId | None, task_id: TaskId | None) -> bool:
    """Whether it reaches as far as this agent, session and task."""
    if grant.agent != agent:
        return False
    match grant.scope:
        case GrantScope.ALWAYS:
            return True
        case GrantScope.SESSION:
            return grant.session_id is not None and grant.session_id == session_id
        case GrantScope.TASK:
            return grant.task_id is not None and grant.task_id == task_id
        case _:
            return False


def _by_table(policy: ExecutionPolicy, action: ActionRequested) -> PolicyVerdict:
    if policy.ask is Ask.ALWAYS:
        return _say(VerdictKind.ASK, "ask.always", "the policy asks for everything")
    if policy.security is Security.FULL:
        return _say(VerdictKind.ALLOW, "security.full", "the policy allows everything")
    pattern = find_match(policy.allow, action.tool, action.target)
    if pattern:
        return _say(VerdictKind.ALLOW, "allow", f"the allowlist has {pattern}", pattern)
    return _missed(policy, action)


def _missed(policy: ExecutionPolicy, action: ActionRequested) -> PolicyVerdict:
    why = "it is not on the allowlist"
    if not action.tool or not action.target:
        why = "the agent does not say which tool and target, so the allowlist cannot have it"
    if policy.ask is Ask.OFF:
        return _say(VerdictKind.DENY, "ask.off", f"{why}, and the policy asks nobody")
    return _say(VerdictKind.ASK, "ask.on-miss", why)


def _by_grant(grant: GrantView) -> PolicyVerdict:
    where = {GrantScope.TASK: "for this task", GrantScope.SESSION: "for this session"}.get(grant.scope, "for good")
    if not grant.allow:
        return PolicyVerdict(
            kind=VerdictKind.DENY,
            rule="refusal",
            reason=f"{grant.given_by} said no to this and wants it remembered",
            pattern=grant.pattern,
            grant_id=grant.id,
        )
    return PolicyVerdict(
        kind=VerdictKind.ALLOW,
        rule="grant",
        reason=f"{grant.given_by} allowed this {where}",
        pattern=grant.pattern,
        grant_id=grant.id,
    )


def _say(kind: VerdictKind, rule: str, reason: str, pattern: str = "") -> PolicyVerdict:
    return PolicyVerdict(kind=kind, rule=rule, reason=reason, pattern=pattern)
