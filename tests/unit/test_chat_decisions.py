"""Approvals and questions in chats: shown whole, decided by whoever may, and closed once they are over."""

import msgspec
import pytest

from core.api.approvals import AnswerApproval, ApprovalState, ApprovalView, DenyApprovals, GetApproval, GrantScope
from core.api.base import Actor, ActorKind, SessionId
from core.api.errors import Unauthorised
from core.api.runs import ActionOption, OptionKind
from core.api.sessions import ChatKind
from core.gateway.ask import SHOWN_LIMIT, short
from core.gateway.asks import ROWS
from core.gateway.platform import Limits
from core.platform_settings import ChatSettings
from core.store.memory import MemoryStore
from tests.support.approval_desk import a_question, an_action
from tests.support.chat_rig import PEOPLE, Chat, chat, until

ANA = Actor(ActorKind.OPERATOR, "ana")
TEXT_ONLY = Limits()


async def _state(built: Chat, view: ApprovalView) -> ApprovalState:
    return (await built.approvals.get_approval(GetApproval(approval_id=view.id))).state


async def test_the_chat_is_told_what_is_asked_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Id, digest, the exact command with what cannot be seen made visible, folder, who asked, what a wider yes is."""
    async with chat(monkeypatch) as built:
        view = await built.ask(an_action("rm -rf build\u202e && ls", cwd="/srv/app"))
        shown = await built.sent(1)
        for part in (short(view.id), view.digest[:8], "rm -rf build\\u{202e} && ls", "/srv/app", "for Bo"):
            assert part in shown.text
        assert view.offers
        for offer in view.offers:
            assert f"{short(view.id)} {offer.scope.value} also lets" in shown.text
        assert shown.buttons[0].label == "Yes, once"
        assert shown.buttons[-1].label == "No"
        assert all(len(button.token) <= 32 and button.token.isascii() and button.sign for button in shown.buttons)
        await until(lambda: bool(built.chat.asks.find(view.id) and built.chat.asks.find(view.id).native_id))
        noted = await built.approvals.get_approval(GetApproval(approval_id=view.id))
        assert [surface.name for surface in noted.surfaces] in ([], ["people"])


async def test_approve_without_an_id_needs_exactly_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """With two open both are listed and nothing is decided; by id the second runs the second, the first waits on."""
    async with chat(monkeypatch) as built:
        assert await built.reply("/approve") == "Nothing waits for a decision here."
        first = await built.ask(an_action("make one", action_id="a-1"))
        second = await built.ask(an_action("make two", action_id="a-2"))
        await built.sent(3)
        answer = await built.reply("/approve")
        assert short(first.id) in answer
        assert short(second.id) in answer
        assert built.told == []
        assert await built.reply(f"/approve {short(second.id)}") == (
            f"Approval `exec make two` ({short(second.id)}): approved by people:bo"
        )
        assert [action for _, action in built.told] == ["a-2"]
        assert await _state(built, first) is ApprovalState.OPEN
        assert "make one" in await built.reply("/approve")
        assert [action for _, action in built.told] == ["a-2", "a-1"]
        late = await built.reply(f"/approve {short(first.id)}")
        assert "lready approved by people:bo" in late


async def test_deny_tells_the_agent_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an id, without one, and for everything of the session."""
    async with chat(monkeypatch) as built:
        view = await built.ask(an_action("make one", action_id="a-1"))
        assert "denied by people:bo: too risky" in await built.reply(f"/deny {short(view.id)} too risky")
        await built.ask(an_action("make two", action_id="a-2"))
        assert "denied by people:bo: not now" in await built.reply("/deny not now")
        assert [(decision.allow, decision.reason) for decision, _ in built.told] == [
            (False, "too risky"),
            (False, "not now"),
        ]
        for number in (3, 4):
            await built.ask(an_action(f"make {number}", action_id=f"a-{number}"))
        assert (await built.reply("/deny all enough")).startswith("Denied:\n- `exec make 3`")
        assert not any(decision.allow for decision, _ in built.told)


async def test_a_wider_yes_is_given_as_it_was_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not offered is refused, and decides nothing."""
    async with chat(monkeypatch) as built:
        view = await built.ask()
        assert "task is not offered" in await built.reply("/approve task")
        assert "I do not know what to make of that" in await built.reply("/approve this please")
        assert await _state(built, view) is ApprovalState.OPEN
        assert "approved (session)" in await built.reply("/approve session")
        after = await built.approvals.get_approval(GetApproval(approval_id=view.id))
        assert after.scope is GrantScope.SESSION


@pytest.mark.parametrize("word", ["yes", "ok", "y", "no", "approve", "👍"])
async def test_bare_words_are_no_decisions(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    """They go to the agent like any text."""
    async with chat(monkeypatch) as built:
        view = await built.ask()
        await built.say(word)
        await built.agents.begun(1)
        assert await _state(built, view) is ApprovalState.OPEN


async def test_only_approvers_decide_where_there_are_some(monkeypatch: pytest.MonkeyPatch) -> None:
    """By command and by button; a refusal is on record."""
    settings = ChatSettings(approvers=("ada",), user_commands=())
    async with chat(monkeypatch, settings=settings) as built:
        built.gate.admins = {"bo"}
        view = await built.ask()
        shown = await built.sent(1)
        assert "not among those who may approve" in await built.reply("/approve")
        assert "not among those who may approve" in await built.press(shown.buttons[0].token)
        assert await _state(built, view) is ApprovalState.OPEN
        assert await built.uses() == [("approve", "refused"), ("press", "refused")]
        assert "approved by people:ada" in await built.reply("/approve", by="ada")


async def test_a_requester_may_not_approve_the_own_message_where_that_is_configured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not under another id of the same person either; a no of theirs counts, and somebody else's yes."""
    more = {"access": _aliases({"bo": ("people:bo", "people:bo2")})}
    settings = ChatSettings(own_approvals=False)
    async with chat(monkeypatch, settings=settings, more=more, per_user_in_groups=False) as built:
        await built.say("deploy", kind=ChatKind.GROUP)
        await built.agents.begun(1)
        session_id = SessionId(f"{PEOPLE}:group:8841")
        first = await built.ask(an_action("make one", action_id="a-1"), session_id)
        await built.sent(1)
        for by in ("bo", "bo2"):
            answer = await built.reply("/approve", by=by, kind=ChatKind.GROUP)
            assert "what your own message led to" in answer
        assert "denied by people:bo" in await built.reply("/deny", kind=ChatKind.GROUP)
        second = await built.ask(an_action("make two", action_id="a-2"), session_id)
        assert "approved by people:cy" in await built.reply("/approve", by="cy", kind=ChatKind.GROUP)
        assert await _state(built, first) is ApprovalState.DENIED
        assert await _state(built, second) is ApprovalState.APPROVED
        built.agents.runs[0].answer("done")
        await until(lambda: "done" in built.texts)


async def test_somebody_else_in_the_same_chat_can_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each member has a session; the question stands in the chat of all. Another chat knows nothing of it."""
    async with chat(monkeypatch) as built:
        view = await built.ask(session_id=SessionId(f"{PEOPLE}:group:8841:u=bo"))
        await built.sent(1)
        assert "Nothing waits" in await built.reply("/approve", by="cy", kind=ChatKind.GROUP, chat="99")
        assert f"Nothing is called {short(view.id)}" in await built.reply(
            f"/approve {short(view.id)}", by="cy", kind=ChatKind.GROUP, chat="99"
        )
        assert "approved by people:cy" in await built.reply("/approve", by="cy", kind=ChatKind.GROUP)


async def test_a_stranger_presses_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    """A press is authorised like a message."""
    async with chat(monkeypatch) as built:
        built.gate.strangers = {"eve"}
        view = await built.ask()
        shown = await built.sent(1)
        with pytest.raises(Unauthorised):
            await built.press(shown.buttons[0].token, by="eve")
        assert await _state(built, view) is ApprovalState.OPEN
        assert [inbound.sender_id for inbound in built.gate.turned] == ["eve"]


async def test_a_button_decides_and_the_message_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same message, without its buttons; a second press is told that it is over."""
    async with chat(monkeypatch) as built:
        view = await built.ask()
        shown = await built.sent(1)
        await until(lambda: bool(built.chat.asks.find(view.id).native_id))
        session = next(button for button in shown.buttons if button.label == "Yes, in this session")
        assert "approved (session) by people:bo" in await built.press(session.token, answers="1")
        edit = await built.sent(2)
        assert (edit.edits, edit.buttons) == ("1", ())
        assert edit.text.startswith(shown.text)
        assert edit.text.endswith("approved (session) by people:bo")
        await until(lambda: built.chat.asks.find(view.id) is None)
        assert await built.press(session.token, answers="1") == "That is no longer asked."
        assert await built.store.scan(ROWS) == []


async def test_a_sign_decides_and_any_other_reaction_is_only_a_reaction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a platform has no buttons but reactions."""
    async with chat(monkeypatch) as built:
        view = await built.ask()
        await built.sent(1)
        await until(lambda: bool(built.chat.asks.find(view.id).native_id))
        assert await built.press("", answers="1", sign="🎉") == ""
        assert await built.press("", answers="no such", sign="✅") == "That is no longer asked."
        assert await _state(built, view) is ApprovalState.OPEN
        assert "denied by people:bo" in await built.press("", answers="1", sign="❌\ufe0f")


async def test_without_edits_an_answer_says_that_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once: a command that decided it has said so already."""
    async with chat(monkeypatch, limits=TEXT_ONLY) as built:
        view = await built.ask(an_action("make one", action_id="a-1"))
        assert (await built.sent(1)).buttons == ()
        await until(lambda: bool(built.chat.asks.find(view.id).native_id))
        await built.approvals.answer_approval(AnswerApproval(approval_id=view.id, allow=True), ANA)
        told = await built.sent(2)
        assert (told.reply_to, told.edits) == ("1", "")
        assert told.text.endswith("approved by ana")
        other = await built.ask(an_action("make two", action_id="a-2"))
        await built.sent(3)
        await built.reply("/approve")
        await until(lambda: built.chat.asks.find(other.id) is None)
        await built.reply("/version")
        assert len(built.people.sent) == 5


async def test_a_decision_is_about_what_the_chat_was_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where something else stands under that id nothing is decided, and its end is told later all the same."""
    async with chat(monkeypatch, limits=TEXT_ONLY) as built:
        view = await built.ask()
        await built.named(view.id)
        shown = built.chat.asks.find(view.id)
        assert shown is not None
        built.chat.asks._rows[view.id] = msgspec.structs.replace(shown, digest="0" * 16)
        assert "something else than what was looked at" in await built.reply("/approve")
        assert await _state(built, view) is ApprovalState.OPEN
        await built.approvals.answer_approval(AnswerApproval(approval_id=view.id, allow=False), ANA)
        assert (await built.sent(3)).text.endswith("denied by ana")


async def test_several_that_end_alike_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the whole id; nothing is decided for a word that fits two."""
    async with chat(monkeypatch) as built:
        one = await built.ask(an_action("make one", action_id="a-1"))
        two = await built.ask(an_action("make one", action_id="a-2"))
        answer = await built.reply(f"/approve {one.digest[:8]}")
        assert one.digest == two.digest
        assert one.id in answer
        assert two.id in answer
        assert built.told == []
        assert "approved" in await built.reply(f"/approve {two.id}")
        assert [action for _, action in built.told] == ["a-2"]


async def test_what_a_restart_cut_off_is_closed_in_the_chat(monkeypatch: pytest.MonkeyPatch) -> None:
    """And its old button says that it is over; what is still open keeps its buttons."""
    store = MemoryStore()
    async with chat(monkeypatch, store=store) as built:
        await built.ask()
        token = (await built.sent(1)).buttons[0].token
        await until(lambda: bool(next(iter(built.chat.asks._rows.values())).native_id))
        await built.reply("/version")
    async with chat(monkeypatch, store=store, boot=2) as built:
        edit = await built.sent(1)
        assert edit.edits == "1"
        assert edit.text.endswith("cut off by a restart of the gateway; not run")
        assert await built.press(token, answers="1") == "That is no longer asked."


async def test_what_is_too_long_to_be_shown_is_not_approved_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """It can be refused, and it has no button that says yes."""
    async with chat(monkeypatch) as built:
        view = await built.ask(an_action("echo " + "x" * SHOWN_LIMIT))
        shown = await built.sent(1)
        assert "approved in the console only" in shown.text
        assert shown.buttons == ()
        assert "Approve it in the console" in await built.reply("/approve")
        assert await _state(built, view) is ApprovalState.OPEN
        assert "denied" in await built.reply("/deny")


async def test_a_small_platform_shows_less_and_lets_less_be_approved(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit into one message with all that is said about it is approved elsewhere."""
    async with chat(monkeypatch, limits=Limits(text_limit=2000, buttons=3, can_edit=True)) as built:
        view = await built.ask(an_action("echo " + "x" * 1500))
        shown = await built.sent(1)
        assert len(shown.text) <= 2000
        assert shown.buttons == ()
        assert "Approve it in the console" in await built.reply("/approve")
        await built.named(view.id)
        await built.approvals.answer_approval(AnswerApproval(approval_id=view.id, allow=True), ANA)
        edit = await built.sent(3)
        assert edit.edits == "1"
        assert edit.text.endswith("approved by ana")


async def test_fences_in_what_is_asked_stay_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an agent asks cannot write beside its block."""
    async with chat(monkeypatch) as built:
        await built.ask(an_action("echo ```\n/approve all ```"))
        shown = await built.sent(1)
        assert "\n````\nexec: echo ```\n/approve all ```\n````\n" in shown.text


async def test_a_question_is_answered_by_the_next_words_of_whoever_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another member's text goes to the agent; a bare yes is an answer here."""
    async with chat(monkeypatch, per_user_in_groups=False) as built:
        await built.say("plan", kind=ChatKind.GROUP)
        await built.agents.begun(1)
        session_id = SessionId(f"{PEOPLE}:group:8841")
        view = await built.ask(a_question(title="Which harbour?"), session_id)
        shown = await built.sent(1)
        assert "Which harbour?" in shown.text
        other = await built.say("hello", by="cy", kind=ChatKind.GROUP)
        assert other.command == ""
        assert await _state(built, view) is ApprovalState.OPEN
        assert "for whoever the agent works for" in await _as_user(built, "/answer north")
        assert "answered by people:bo: yes" in await built.reply("yes", kind=ChatKind.GROUP)
        assert [decision.answer for decision, _ in built.told] == ["yes"]
        after = await built.say("more", kind=ChatKind.GROUP)
        assert after.command == ""


async def _as_user(built: Chat, text: str) -> str:
    built.gate.admins = {"ada"}
    try:
        return await built.reply(text, by="cy", kind=ChatKind.GROUP)
    finally:
        built.gate.admins = None


async def test_a_choice_is_answered_by_number_button_or_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the agent is told is the choice's own words."""
    options = tuple(
        ActionOption(id=name, label=name.title(), kind=OptionKind.ALLOW_ONCE) for name in ("north", "south")
    )
    async with chat(monkeypatch) as built:
        await built.ask(a_question(options=options, action_id="q-1"))
        shown = await built.sent(1)
        assert "1. North\n2. South" in shown.text
        assert [button.label for button in shown.buttons] == ["North", "South"]
        assert "answered by people:bo: South" in await built.reply("/answer 2")
        await built.ask(a_question(options=options, action_id="q-2"))
        shown = await built.sent(4) if len(built.people.sent) >= 4 else await built.sent(len(built.people.sent) + 1)
        await until(lambda: any(shown.native_id for shown in built.chat.asks._rows.values()))
        button = next(message for message in reversed(built.people.sent) if message.buttons).buttons[0]
        assert "answered by people:bo: North" in await built.press(button.token)
        view = await built.ask(a_question(action_id="q-3"))
        await until(lambda: bool(built.chat.asks.find(view.id) and built.chat.asks.find(view.id).native_id))
        native_id = built.chat.asks.find(view.id).native_id
        assert "answered by people:bo: east" in await built.reply("east", reply_to=native_id)
        assert "is no question" in await _approval_answered(built)


async def _approval_answered(built: Chat) -> str:
    view = await built.ask(an_action("make it", action_id="a-9"))
    answer = await built.reply(f"/answer {short(view.id)} yes")
    await built.approvals.deny_approvals(DenyApprovals(approval_ids=(view.id,)), ANA)
    return answer


def _aliases(people: dict[str, tuple[str, ...]]):
    from core.settings import AccessSettings

    return AccessSettings(aliases=people)
