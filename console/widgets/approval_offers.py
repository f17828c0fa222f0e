"""What can be decided about an approval: the answers of the agent, wider permissions, words for a question (pure)."""

from dataclasses import dataclass

from console.text import clean
from core.api.approvals import ApprovalView, GrantScope
from core.api.runs import ActionKind, OptionKind

_WORDS = {
    OptionKind.ALLOW_ONCE: "allow once",
    OptionKind.ALLOW_ALWAYS: "allow always",
    OptionKind.REJECT_ONCE: "deny",
    OptionKind.REJECT_ALWAYS: "deny always",
}
_SCOPES = {
    GrantScope.TASK: "allow for this task",
    GrantScope.SESSION: "allow for this session",
    GrantScope.ALWAYS: "allow always",
}


@dataclass(frozen=True, slots=True)
class Offer:
    """One thing that can be decided. pattern: what a wider yes stores; matches: examples of what it lets through."""

    word: str
    allow: bool
    option_id: str = ""
    scope: GrantScope = GrantScope.ONCE
    pattern: str = ""
    matches: tuple[str, ...] = ()
    needs_answer: bool = False


def offers_of(approval: ApprovalView) -> list[Offer]:
    """The narrowest yes first, then the other answers of the agent, then what the core would store."""
    if approval.action_kind is ActionKind.QUESTION:
        return [
            Offer("answer it in words", allow=True, needs_answer=True),
            Offer("give no answer", allow=False),
        ]
    found = [
        Offer(f'{_WORDS[option.kind]}   "{clean(option.label)}"', option.kind.allows, option.id)
        for option in approval.options
    ]
    if not any(offer.allow for offer in found):
        found.insert(0, Offer("allow once", allow=True))
    if all(offer.allow for offer in found):
        found.append(Offer("deny", allow=False))
    narrow = {
        option.id for option in approval.options if option.kind in {OptionKind.ALLOW_ONCE, OptionKind.REJECT_ONCE}
    }
    found.sort(key=lambda offer: (not offer.allow, bool(offer.option_id) and offer.option_id not in narrow))
    wider = [
        Offer(
            f"{_SCOPES[offer.scope]}   {clean(offer.pattern)}",
            allow=True,
            scope=offer.scope,
            pattern=offer.pattern,
            matches=offer.matches,
        )
        for offer in approval.offers
        if offer.scope in _SCOPES
    ]
    return found + wider


def reach(offer: Offer) -> list[tuple[str, str]]:
    """What a wider yes would store and let through, before it is given; nothing for a narrow one."""
    if not offer.pattern:
        return []
    lines = [(f"stores the pattern  {clean(offer.pattern)}", "strong")]
    if offer.matches:
        lines.append(("it would also let through:", "needs"))
        lines += [(f"- {clean(example)}", "needs") for example in offer.matches]
    else:
        lines.append(("it lets through nothing but this very call", "quiet"))
    return lines
