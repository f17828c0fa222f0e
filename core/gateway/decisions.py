"""Decisions in chats: who may make which, which one is meant, and the answer that names what was decided."""

from collections.abc import Sequence

import msgspec

from core.api.approvals import (
    AnswerApproval,
    ApprovalState,
    ApprovalView,
    BulkDenial,
    DenyApprovals,
    GetApproval,
    GrantScope,
    ListApprovals,
)
from core.api.base import ApprovalId
from core.api.errors import HermesError, NotFound
from core.api.runs import ActionKind
from core.gateway.ask import (
    Shown,
    answer_of,
    choices,
    find_offer,
    is_sign,
    is_whole,
    list_text,
    meant,
    named,
    scoped,
    settled_text,
    short,
    sign_code,
)
from core.gateway.asks import Asks
from core.gateway.branch import beginning
from core.gateway.command import Command, may_use, number
from core.gateway.command_ports import Call, Facade, Handlers, Reply, failed, refused
from core.gateway.platform import Press
from core.gateway.source import source_of

_LIMIT = 1_000
_DECIDING = frozenset({"approve", "deny", "answer"})
_SCOPES = {scope.value: scope for scope in GrantScope}


class Decisions:
    """The commands approve, deny and answer, and the buttons that stand for them.

    approving: the row of the table that says who may approve where no approvers are named.
    """

    def __init__(self, *, facade: Facade, asks: Asks, approving: Command) -> None:
        self._facade = facade
        self._asks = asks
        self._approving = approving

    @property
    def handlers(self) -> Handlers:
        """What it carries out."""
        return {"approve": self.approve, "deny": self.deny, "answer": self.answer}

    def may_answer(self, call: Call) -> bool:
        """Whether somebody who may not use the command is named as an approver all the same."""
        return call.command.name in _DECIDING and _is_approver(call)

    async def approve(self, call: Call) -> Reply:
        """Say yes to one thing."""
        views = await self._here(call)
        words = call.rest.lower().split()
        scope = _SCOPES[words.pop()] if words and words[-1] in _SCOPES else GrantScope.ONCE
        if len(words) > 1:
            return failed(
                f"I do not know what to make of that, so nothing was approved. Use it as {call.command.usage}"
            )
        found = self._chosen(views, words[0] if words else "", is_question=False)
        if isinstance(found, Reply):
            return found
        if found.action_kind is ActionKind.QUESTION:
            return failed(f"{named(found)} is a question: use /answer {short(found.id)} and the answer.")
        shown = self._asks.find(found.id)
        is_shown = is_whole(found) if shown is None else shown.is_whole
        if found.state is ApprovalState.OPEN and not is_shown:
            return failed(f"{named(found)} is too long to be shown whole here. Approve it in the console.")
        if scope is not GrantScope.ONCE and find_offer(found, scope) is None:
            offered = ", ".join(["once", *(offer.scope.value for offer in found.offers)])
            return failed(f"A yes for {scope.value} is not offered for {named(found)}. Offered are: {offered}.")
        return await self._decide(call, found, scoped(found, scope))

    async def deny(self, call: Call) -> Reply:
        """Say no to one thing, or to all."""
        views = await self._here(call)
        first, _, rest = call.rest.partition(" ")
        if first.lower() == "all":
            return await self._deny_all(call, views, rest.strip())
        is_named = bool(first) and bool(meant(views, first))
        found = self._chosen(views, first if is_named else "", is_question=None)
        if isinstance(found, Reply):
            return found
        reason = rest.strip() if is_named else call.rest
        return await self._decide(call, found, AnswerApproval(approval_id=found.id, allow=False, reason=reason))

    async def answer(self, call: Call) -> Reply:
        """Answer a question."""
        views = await self._here(call)
        first, _, rest = call.rest.partition(" ")
        is_named = bool(meant(views, first))
        word, text = (first, rest.strip()) if is_named else ("", call.rest.strip())
        if (
            not is_named
            and (replied := self._asks.by_message(call.inbound.platform, call.inbound.reply_to)) is not None
        ):
            word = str(replied.approval_id)
        found = self._chosen(views, word, is_question=True)
        if isinstance(found, Reply):
            return found
        if found.action_kind is not ActionKind.QUESTION:
            return failed(f"{named(found)} is no question: use /approve or /deny.")
        options = choices(found)
        place = number(text) or 0
        if 1 <= place <= len(options):
            order = AnswerApproval(approval_id=found.id, allow=True, option_id=options[place - 1].id)
        else:
            order = AnswerApproval(approval_id=found.id, allow=True, answer=text)
        return await self._decide(call, found, order)

    async def is_answer(self, call: Call) -> bool:
        """Whether plain text is the answer to a question: it replies to it, or it comes from whoever's message led to
        the only one that waits there. One that is over takes none, whatever its message says still.
        """
        if not call.inbound.text.strip() or call.inbound.files:
            return False
        found = self._asks.by_message(call.inbound.platform, call.inbound.reply_to)
        if found is None:
            waiting = self._asks.questions_of(call.session_id)
            if len(waiting) == 1 and not call.sender_ids.isdisjoint(waiting[0].requesters):
                found = waiting[0]
        return found is not None and found.is_question and await self._asks.is_open(found.approval_id)

    async def pressed(self, call: Call, *, press: Press) -> Reply:
        """Decide by a button, or by the sign of one."""
        if not press.token and not is_sign(press.sign):
            # Any other reaction is only a reaction, to whatever message of ours.
            return Reply("")
        shown = self._asks.by_token(press.token) if press.token else None
        if shown is None:
            shown = self._asks.by_message(press.platform, press.answers)
        if shown is None or not _is_same_chat(shown, call):
            return failed("That is no longer asked.")
        try:
            view = await self._facade.query(GetApproval(approval_id=shown.approval_id))
        except NotFound:
            return failed("That is no longer asked.")
        code = press.token[len(shown.stem) :] if press.token else sign_code(view, press.sign)
        order = answer_of(view, code) if code else None
        if order is None:
            return Reply("")
        if view.action_kind is not ActionKind.QUESTION and not _may_approve(call, self._approving):
            return refused("You may not decide that here. Nothing was changed.")
        return await self._decide(call, view, order)

    async def _here(self, call: Call) -> Sequence[ApprovalView]:
        """Everything that was asked in this chat, the open ones first; what the own session asked before others'."""
        listed = await self._facade.query(ListApprovals(limit=_LIMIT))
        here = [view for view in listed.approvals if self._is_here(view, call)]
        return sorted(here, key=lambda view: (view.state is not ApprovalState.OPEN, view.session_id != call.session_id))

    def _is_here(self, view: ApprovalView, call: Call) -> bool:
        if view.session_id == call.session_id:
            return True
        shown = self._asks.find(view.id)
        source = source_of(view.session_id) if shown is None else shown.source
        here = call.source
        return (source.platform, source.chat, source.thread) == (here.platform, here.chat, here.thread)

    @staticmethod
    def _chosen(views: Sequence[ApprovalView], word: str, *, is_question: bool | None) -> ApprovalView | Reply:
        """The one that is meant, or the answer that asks which."""
        is_open = [view for view in views if view.state is ApprovalState.OPEN]
        if word:
            return _named_one(views, is_open, word)
        wanted = [
            view for view in is_open if is_question is None or (view.action_kind is ActionKind.QUESTION) is is_question
        ]
        if len(wanted) == 1:
            return wanted[0]
        if wanted:
            return failed(
                f"{len(wanted)} things wait, so nothing was decided. Name one by its id:\n{list_text(wanted)}"
            )
        if is_open:
            return failed(f"Nothing of that kind waits here. What waits is:\n{list_text(is_open)}")
        return failed("Nothing waits for a decision here.")

    async def _decide(self, call: Call, view: ApprovalView, order: AnswerApproval) -> Reply:
        shown = self._asks.find(view.id)
        if refusal := _refusal(call, view, self._requesters(view), allow=order.allow):
            return refused(f"{refusal} Nothing was changed.")
        # What was shown in the chat is what is decided; without a message, what stands there now.
        digest = view.digest if shown is None else shown.digest
        self._asks.told(view.id)
        try:
            decided = await self._facade.execute(msgspec.structs.replace(order, digest=digest), actor=call.actor)
        except HermesError:
            self._asks.told(view.id, is_told=False)
            raise
        return Reply(settled_text(decided))

    def _requesters(self, view: ApprovalView) -> frozenset[str]:
        """Ids of those whose messages led to it."""
        shown = self._asks.find(view.id)
        return self._asks.requesters(view.session_id) | frozenset(() if shown is None else shown.requesters)

    async def _deny_all(self, call: Call, views: Sequence[ApprovalView], reason: str) -> Reply:
        wanted = [view for view in views if view.state is ApprovalState.OPEN]
        if not call.is_admin:
            wanted = [view for view in wanted if view.session_id == call.session_id]
        if not wanted:
            return failed("Nothing waits for a decision here.")
        for view in wanted:
            if refusal := _refusal(call, view, self._requesters(view), allow=False):
                return refused(f"{refusal} Nothing was changed.")
        order = DenyApprovals(approval_ids=tuple(view.id for view in wanted), reason=reason)
        for approval_id in order.approval_ids:
            self._asks.told(approval_id)
        denied: frozenset[ApprovalId] = frozenset()
        try:
            done: BulkDenial = await self._facade.execute(order, actor=call.actor)
            denied = frozenset(done.denied)
        finally:
            # The others ended, or will end, by somebody else: that is yet to be told.
            for approval_id in order.approval_ids:
                self._asks.told(approval_id, is_told=approval_id in denied)
        lines = [f"- {named(view)}" for view in wanted if view.id in denied]
        late = f"\n{len(done.too_late)} were no longer open." if done.too_late else ""
        return Reply("\n".join(["Denied:", *lines]) + late)


def _refusal(call: Call, view: ApprovalView, requesters: frozenset[str], *, allow: bool) -> str:
    """Why somebody may not decide this; "" when they may."""
    is_own = not call.sender_ids.isdisjoint(requesters)
    if view.action_kind is ActionKind.QUESTION:
        if is_own or call.is_admin or not requesters or _is_approver(call):
            return ""
        return "That question is for whoever the agent works for."
    if call.chat.approvers and not _is_approver(call):
        return "You are not among those who may approve here."
    if allow and is_own and not call.chat.own_approvals:
        return "You may not approve what your own message led to; somebody else must."
    return ""


def _named_one(views: Sequence[ApprovalView], is_open: Sequence[ApprovalView], word: str) -> ApprovalView | Reply:
    found = meant(is_open, word) or meant(views, word)
    if len(found) == 1:
        return found[0]
    if found:
        whole = "\n".join(f"- {view.id}: {named(view)}" for view in found)
        return failed(f"{beginning(word)} can mean several. Name one by its whole id:\n{whole}")
    rest = f"Open are:\n{list_text(is_open)}" if is_open else "Nothing waits for a decision here."
    return failed(f"Nothing is called {beginning(word)} here. {rest}")


def _is_approver(call: Call) -> bool:
    named_ones = frozenset(call.chat.approvers)
    return "*" in named_ones or not call.sender_ids.isdisjoint(named_ones)


def _may_approve(call: Call, approving: Command) -> bool:
    # Where approvers are named, the tier says nothing.
    return bool(call.chat.approvers) or may_use(approving, call.verdict.tier, call.chat.user_commands)


def _is_same_chat(shown: Shown, call: Call) -> bool:
    return (shown.source.platform, shown.source.chat) == (call.inbound.platform, call.inbound.source.chat)
