"""What an agent asks as a chat shows it: words, buttons and signs, and which of several is meant (pure)."""

import unicodedata
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from core.api.approvals import AnswerApproval, ApprovalState, ApprovalView, EndReason, GrantOffer, GrantScope
from core.api.base import ApprovalId, DeliveryId, SessionId
from core.api.runs import ActionKind, ActionOption
from core.api.sessions import Source
from core.gateway.platform import Button, ButtonStyle

SHOWN_LIMIT = 3_000
"""Characters of what is asked that a chat shows at most; what is longer is approved where it can be read whole."""

_AROUND = 1_000
_SHOWN_MIN = 200

_SHORT = 6
_SHORT_MIN = 4
_DIGEST = 8
_NAME_LIMIT = 120
_EXAMPLES = 3
_PATTERN_LIMIT = 4_000
_PAIR = 2
_OPTION_LIMIT = 10
_MINUTE_S, _HOUR_S = 60, 3600


class Choice(StrEnum):
    """What a button says; a digit is the choice of that place in a question."""

    ONCE = "y"
    TASK = "t"
    SESSION = "s"
    ALWAYS = "a"
    DENY = "n"


_SCOPES = {
    Choice.ONCE: GrantScope.ONCE,
    Choice.TASK: GrantScope.TASK,
    Choice.SESSION: GrantScope.SESSION,
    Choice.ALWAYS: GrantScope.ALWAYS,
}
_LABELS = {
    Choice.ONCE: ("Yes, once", "✅"),
    Choice.TASK: ("Yes, for this task", "📋"),
    Choice.SESSION: ("Yes, in this session", "🔁"),
    Choice.ALWAYS: ("Yes, always", "♾"),
    Choice.DENY: ("No", "❌"),
}
_PLACES = tuple("0123456789")
_DIGITS = tuple(f"{digit}️⃣" for digit in "1234567890")
_SIGNS = frozenset(sign.replace("\ufe0f", "") for sign in (*_DIGITS, *(sign for _, sign in _LABELS.values())))


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """An approval that a chat was told of. digest: of what was shown. stem: its buttons' tokens begin so.

    requesters: ids of those whose messages led to it. native_id: of the message, "" until the platform has taken it.
    is_whole: all of what is asked was shown.
    """

    approval_id: ApprovalId
    session_id: SessionId
    source: Source
    digest: str
    delivery_id: DeliveryId
    stem: str
    text: str
    requesters: tuple[str, ...] = ()
    is_question: bool = False
    native_id: str = ""
    is_whole: bool = True


def shown_limit(text_limit: int) -> int:
    """Characters of what is asked that fit into one message of a platform, beside all that is said about it."""
    return max(_SHOWN_MIN, min(SHOWN_LIMIT, text_limit - _AROUND))


def short(approval_id: str) -> str:
    """What people type of an id."""
    return approval_id[-_SHORT:]


def visible(text: str) -> str:
    """The text with everything in sight: what does not print, or turns the direction, is written as its code."""
    return "".join(
        letter if letter in "\n\t" or letter.isprintable() else f"\\u{{{ord(letter):x}}}"
        for letter in unicodedata.normalize("NFC", text)
    )


def named(view: ApprovalView) -> str:
    """What is asked, on one line."""
    what = f"{view.tool} {view.target}" if view.tool and view.target else view.title or view.detail
    line = " ".join(visible(what).split()).replace("`", "'")
    return f"`{line if len(line) <= _NAME_LIMIT else line[: _NAME_LIMIT - 1] + '…'}` ({short(view.id)})"


def is_whole(view: ApprovalView, limit: int = SHOWN_LIMIT) -> bool:
    """Whether a chat that shows so many characters shows all of it."""
    return len(_body(view)) <= limit


def ask_text(view: ApprovalView, limit: int = SHOWN_LIMIT) -> str:
    """What the chat is told when an agent asks. limit: characters of it that are shown."""
    if view.action_kind is ActionKind.QUESTION:
        return _question_text(view, limit)
    name, agent = short(view.id), view.agent
    body = _body(view)
    lines = [f"**Approval {name}**: {agent} wants to {_line(view.title)}", _fenced(body[:limit])]
    facts = [f"in {_line(view.cwd)}" if view.cwd else "", f"for {_line(view.requester)}" if view.requester else ""]
    facts += [f"by way of {' → '.join(map(_line, view.chain))}" if view.chain else "", _deadline(view)]
    lines.append(" · ".join([*(item for item in facts if item), f"digest {view.digest[:_DIGEST]}"]))
    if view.why_asked:
        lines.append(f"Why it asks: {_line(view.why_asked)}")
    lines += [f"⚠ {_line(warning)}" for warning in view.warnings]
    if is_whole(view, limit):
        lines.append(f"/approve {name} lets it happen once")
        lines += [_offer_line(view, offer) for offer in view.offers]
    else:
        lines.append(
            f"{len(body) - limit} characters more are not shown here, so it can be approved in the console only"
        )
    return "\n".join([*lines, f"/deny {name} [reason] refuses it"])


def _question_text(view: ApprovalView, limit: int) -> str:
    name = short(view.id)
    lines = [f"**Question {name}** of {view.agent}: {_line(view.title)}"]
    if view.detail.strip():
        lines.append(_fenced(_body(view)[:limit]))
    lines += [f"{number}. {_line(option.label)}" for number, option in enumerate(choices(view), 1)]
    lines.append(f"Write the answer, or /answer {name} and the answer; /deny {name} gives none. {_deadline(view)}")
    return "\n".join(lines).rstrip()


def choices(view: ApprovalView) -> tuple[ActionOption, ...]:
    """What a question can be answered with besides words; none where there is no choice between two."""
    allowed = tuple(option for option in view.options if option.kind.allows)
    is_choice = view.action_kind is ActionKind.QUESTION and len(allowed) >= _PAIR
    return allowed[:_OPTION_LIMIT] if is_choice else ()


def buttons(view: ApprovalView, stem: str, limit: int) -> tuple[Button, ...]:
    """What to put under it; at most `limit`. A yes is never there without a no, nor where not all of it is shown."""
    if view.action_kind is ActionKind.QUESTION:
        options = choices(view)
        if len(options) > limit:
            return ()
        return tuple(
            Button(token=f"{stem}{place}", label=_line(option.label), sign=_DIGITS[place])
            for place, option in enumerate(options)
        )
    if limit < _PAIR or not is_whole(view):
        return ()
    wider = [choice for choice, scope in _SCOPES.items() if find_offer(view, scope) is not None]
    chosen = [Choice.ONCE, *wider[: limit - _PAIR], Choice.DENY]
    return tuple(
        Button(token=stem + choice.value, label=_LABELS[choice][0], sign=_LABELS[choice][1], style=_style(choice))
        for choice in chosen
    )


def is_sign(sign: str) -> bool:
    """Whether any button can have that sign."""
    return _bare(sign) in _SIGNS


def sign_code(view: ApprovalView, sign: str) -> str:
    """The code of a button by its sign; "" when no button has it."""
    plain = _bare(sign)
    return next((button.token for button in buttons(view, "", _OPTION_LIMIT) if _bare(button.sign) == plain), "")


def _bare(sign: str) -> str:
    # Platforms hand signs in with and without the mark that asks for the coloured one.
    return sign.replace("\ufe0f", "")


def answer_of(view: ApprovalView, code: str) -> AnswerApproval | None:
    """The decision that a button stands for; None when it has no such one."""
    if code in _PLACES:
        options = choices(view)
        place = _PLACES.index(code)
        if place >= len(options):
            return None
        return AnswerApproval(approval_id=view.id, allow=True, option_id=options[place].id)
    if code not in set(Choice):
        return None
    choice = Choice(code)
    if choice is Choice.DENY:
        return AnswerApproval(approval_id=view.id, allow=False)
    return scoped(view, _SCOPES[choice])


def scoped(view: ApprovalView, scope: GrantScope) -> AnswerApproval:
    """A yes of that reach, with the pattern that was offered for it."""
    offer = find_offer(view, scope)
    pattern = "" if offer is None else offer.pattern
    return AnswerApproval(approval_id=view.id, allow=True, scope=scope, pattern=pattern)


def find_offer(view: ApprovalView, scope: GrantScope) -> GrantOffer | None:
    """What a yes of that reach would store."""
    return next((offer for offer in view.offers if offer.scope is scope), None)


def meant(views: Sequence[ApprovalView], word: str) -> tuple[ApprovalView, ...]:
    """Those that a word names: an id, its last letters, or the beginning of a digest."""
    plain = word.strip("`.,:()#").lower()
    whole = tuple(view for view in views if view.id == plain)
    if whole or len(plain) < _SHORT_MIN:
        return whole
    by_id = tuple(view for view in views if view.id.endswith(plain))
    return by_id or tuple(view for view in views if len(plain) >= _DIGEST and view.digest.startswith(plain))


def settled_text(view: ApprovalView) -> str:
    """How it ended, on one line."""
    what = "Question" if view.action_kind is ActionKind.QUESTION else "Approval"
    by = f" by {_line(view.decided_by)}" if view.decided_by else ""
    why = f": {_line(view.reason)}" if view.reason else ""
    match view.state:
        case ApprovalState.APPROVED if view.action_kind is ActionKind.QUESTION:
            end = f"answered{by}: {_line(view.answer)}"
        case ApprovalState.APPROVED:
            reach = "" if view.scope is GrantScope.ONCE else f" ({view.scope.value})"
            end = f"approved{reach}{by}"
        case ApprovalState.DENIED:
            end = f"denied{by}{why}"
        case ApprovalState.EXPIRED:
            end = "expired: nobody answered in time; not run"
        case ApprovalState.ORPHANED:
            end = "cut off by a restart of the gateway; not run"
        case _:
            end = "stopped with its run; not run" if view.ended is EndReason.STOPPED else "no longer asked; not run"
    return f"{what} {named(view)}: {end}"


def list_text(views: Sequence[ApprovalView]) -> str:
    """Several that are open, one on each line."""
    return "\n".join(f"- {short(view.id)}: {named(view)} · {_deadline(view)}" for view in views)


def _body(view: ApprovalView) -> str:
    parts = [f"{view.tool}: {view.target}" if view.tool and view.target else "", view.detail.strip(), view.diff.strip()]
    if view.target and view.detail.strip() == view.target.strip():
        parts[1] = ""
    return visible("\n".join(part for part in parts if part) or view.title)


def _offer_line(view: ApprovalView, offer: GrantOffer) -> str:
    order = f"/approve {short(view.id)} {offer.scope.value}"
    if offer.pattern == f"{view.tool}:{view.target}" and not offer.matches:
        return f"{order} also lets the very same happen again"
    examples = ", ".join(f"`{_line(item)}`" for item in offer.matches[:_EXAMPLES])
    besides = f", such as {examples}" if examples else ""
    return f"{order} also lets `{_line(offer.pattern, _PATTERN_LIMIT)}` happen{besides}"


def _style(choice: Choice) -> ButtonStyle:
    if choice is Choice.DENY:
        return ButtonStyle.NO
    return ButtonStyle.YES if choice is Choice.ONCE else ButtonStyle.PLAIN


def _deadline(view: ApprovalView) -> str:
    if view.deadline is None:
        return ""
    left_s = max(0.0, view.deadline.mono - view.asked.mono)
    if left_s >= _HOUR_S:
        return f"it waits {left_s / _HOUR_S:.3g} h"
    return f"it waits {left_s / _MINUTE_S:.2g} min" if left_s >= _MINUTE_S else f"it waits {left_s:.0f} s"


def _line(text: str, limit: int = 300) -> str:
    line = " ".join(visible(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _fenced(text: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}\n{text}\n{fence}"
