"""What the screens say about a sender that asks for access, and about an invitation (pure)."""

from collections.abc import Callable

from console import text
from console.access_receipts import notice_words
from console.session_facts import Fact
from console.session_words import exact
from core.api.base import Mark
from core.api.pairings import InviteState, InviteView, PairingState, PairingView

Age = Callable[[Mark], float]
SOON_S = 300.0
_DECIDED = {
    PairingState.APPROVED: "let in",
    PairingState.DENIED: "turned down",
    PairingState.EXPIRED: "nobody decided in time",
    PairingState.REVOKED: "access was taken back",
    PairingState.BLOCKED: "blocked",
}


def left_words(expires: Mark | None, age_s: Age) -> str:
    """How long somebody has to decide still."""
    if expires is None:
        return "-"
    left_s = -age_s(expires)
    return text.age(left_s) if left_s > 0 else "over"


def is_soon(expires: Mark | None, age_s: Age) -> bool:
    """Whether little time is left."""
    return expires is not None and -age_s(expires) < SOON_S


def sender_facts(view: PairingView, age_s: Age) -> list[Fact]:
    """All of one identity: the raw id first, for a name can be anybody's."""
    facts: list[Fact] = [(f"-- {text.clean(view.platform)}", "", "")]
    facts += [("warning", text.clean(words), "failing") for words in view.warnings]
    facts += [
        ("id", text.clean(view.sender_id), "strong"),
        ("name", f"{text.clean(view.sender_name)} (self-given)" if view.sender_name else "none", "plain"),
        ("chat", text.clean(view.chat), "plain"),
        ("asked", f"{exact(view.asked, age_s)}, {text.counted(view.tries, 'message')} since", "plain"),
    ]
    if view.state is PairingState.ASKED:
        left = left_words(view.expires, age_s)
        facts.append(("time left", left, "failing" if is_soon(view.expires, age_s) else "needs"))
        if view.is_in_line:
            facts.append(("in line", "others asked before; not told yet, and can be decided already", "plain"))
    else:
        by = f" by {text.clean(view.decided_by)}" if view.decided_by else ""
        when = f", {exact(view.decided, age_s)}" if view.decided else ""
        facts.append(("stands", f"{_DECIDED[view.state]}{by}{when}", "plain"))
    if view.reason:
        facts.append(("because", text.clean(view.reason), "plain"))
    if view.locked_until is not None and age_s(view.locked_until) < 0:
        words = (
            f"after {text.counted(view.failures, 'wrong code')}, {left_words(view.locked_until, age_s)} left; U ends it"
        )
        facts.append(("locked out", words, "failing"))
    elif view.failures:
        facts.append(("wrong codes", str(view.failures), "needs"))
    if view.invite_id is not None:
        facts.append(("invitation", text.clean(view.invite_id), "plain"))
    if notice := notice_words(view):
        facts.append(("notice", notice, "failing" if view.notice_error else "plain"))
    if view.first_text:
        facts.append(("held back", text.clean(view.first_text, keep_newlines=True), "strong"))
    return facts


def invite_facts(view: InviteView, age_s: Age) -> list[Fact]:
    """All of an invitation but its code, which is nowhere."""
    left = left_words(view.expires, age_s) if view.state is InviteState.OPEN else view.state.value
    facts: list[Fact] = [
        (f"-- invitation {text.clean(view.id)}", "", ""),
        ("for", text.clean(view.platform or "") or "all connections", "plain"),
        ("made", f"{exact(view.created, age_s)} by {text.clean(view.created_by)}", "plain"),
        ("time left", left, "plain"),
    ]
    if view.note:
        facts.append(("note", text.clean(view.note), "plain"))
    if view.used_by is not None:
        facts.append(("used by", text.clean(view.used_by), "plain"))
    return [*facts, ("code", "shown once, to who made it", "quiet")]
