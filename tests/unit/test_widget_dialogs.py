"""The dialogs: nothing is lost without a word, nothing is decided by a key that was meant for something else."""

from collections.abc import Sequence

import pytest
from textual.pilot import Pilot
from textual.screen import Screen

from console.widgets.approval import GUARD_S
from console.widgets.confirm import (
    ApprovalChoice,
    ApprovalScreen,
    ConfirmScreen,
    InjectChoice,
    InjectScreen,
    QuitChoice,
    QuitScreen,
)
from core.api.approvals import ApprovalState, ApprovalView
from core.api.base import AgentName, ApprovalId, Mark, RunId, SessionId
from core.api.runs import ActionOption, OptionKind, ToolKind
from core.api.sessions import Mode, Voice
from tests.support.screens import Bench, screen_text

OPTIONS = (
    ActionOption(id="always", label="Always", kind=OptionKind.ALLOW_ALWAYS),
    ActionOption(id="yes", label="Yes", kind=OptionKind.ALLOW_ONCE),
    ActionOption(id="no", label="No [x]", kind=OptionKind.REJECT_ONCE),
)


def approval(**changes: object) -> ApprovalView:
    """An open approval of a command."""
    facts: dict[str, object] = {
        "id": ApprovalId("01jaxyzk"),
        "version": 1,
        "state": ApprovalState.OPEN,
        "session_id": SessionId("telegram:dm:8841"),
        "agent": AgentName("main"),
        "run_id": RunId("r1"),
        "action_id": "a1",
        "title": "shell",
        "detail": "rm -rf build/",
        "kind": ToolKind.EXECUTE,
        "options": OPTIONS,
        "digest": "9f3c77b0aabbccdd",
        "asked": Mark(0.0, 0.0),
    }
    return ApprovalView(**(facts | changes))  # type: ignore[arg-type]


class Hands:
    """A clock in the hands of the test."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.at


async def _open(pilot: Pilot[object], screen: Screen[object], results: list[object]) -> None:
    pilot.app.push_screen(screen, results.append)
    await pilot.pause()


def _approval_screen(hands: Hands, view: ApprovalView | None = None, facts: Sequence[str] = ()) -> ApprovalScreen:
    return ApprovalScreen(view or approval(), monotonic=hands, age_s=lambda mark: hands.at - mark.mono, facts=facts)


@pytest.mark.parametrize(
    ("keys", "result"),
    [
        (["enter"], False),
        (["escape"], False),
        (["right", "enter"], True),
        (["right", "left", "enter"], False),
    ],
)
async def test_a_confirmation_begins_at_cancel(keys: list[str], result: bool) -> None:
    """Enter alone loses nothing; a yes is two keys."""
    results: list[object] = []
    async with Bench().run_test() as pilot:
        await _open(pilot, ConfirmScreen("reset?", ["It begins anew."], loses=["the [memory]"]), results)
        assert "- the [memory]" in screen_text(pilot.app)
        await pilot.press(*keys)
        assert results == [result]


async def test_a_typed_confirmation_waits_for_the_text() -> None:
    """The yes is off until the id is typed; a reason is kept."""
    results: list[object] = []
    screen = ConfirmScreen("stop?", ["It stops."], typed="8841", ask_reason=True)
    async with Bench().run_test() as pilot:
        await _open(pilot, screen, results)
        await pilot.press("right", "enter")
        assert results == []
        await pilot.press("tab", *"demo", "enter", *"884", "enter")
        assert results == []
        screen.query_one("#typed").focus()
        await pilot.press("1", "enter")
        assert results == [True]
        assert screen.reason == "demo"


async def test_quitting_marks_the_harmless_way_and_names_what_is_busy() -> None:
    """Enter leaves the core running; stopping it is a choice of its own."""
    for keys, expected in (
        (["enter"], QuitChoice(stop=False, remember=False)),
        (["right", "enter"], QuitChoice(stop=True, remember=False)),
        (["shift+tab", "space", "tab", "enter"], QuitChoice(stop=False, remember=True)),
        (["right", "right", "enter"], None),
        (["escape"], None),
    ):
        results: list[object] = []
        async with Bench().run_test() as pilot:
            await _open(pilot, QuitScreen(["tg:8841 runs 12s"]), results)
            assert "- tg:8841 runs 12s" in screen_text(pilot.app)
            await pilot.press(*keys)
            assert results == [expected], keys


async def test_where_the_core_cannot_be_left_running_staying_is_marked() -> None:
    """Then only stopping or staying is offered."""
    results: list[object] = []
    async with Bench().run_test() as pilot:
        await _open(pilot, QuitScreen(may_leave_running=False), results)
        assert "leave running" not in screen_text(pilot.app)
        await pilot.press("enter")
        assert results == [None]


def _inject(kept: list[InjectChoice], draft: InjectChoice | None = None, limit: int = 4000) -> InjectScreen:
    return InjectScreen(
        "telegram:dm:8841",
        "tg:8841",
        preview=lambda choice: [f"{choice.voice} {choice.mode} {len(choice.text)}"],
        keep_draft=kept.append,
        draft=draft,
        limit=limit,
    )


async def test_a_note_is_sent_with_enter_and_the_preview_follows() -> None:
    """The preview is asked again at each change."""
    results: list[object] = []
    kept: list[InjectChoice] = []
    async with Bench().run_test() as pilot:
        await _open(pilot, _inject(kept), results)
        await pilot.press(*"hi")
        await pilot.pause()
        assert "note queue 2" in screen_text(pilot.app)
        await pilot.press("shift+tab", "down", "down")
        await pilot.pause()
        assert "note steer 2" in screen_text(pilot.app)
        await pilot.press("ctrl+s")
        assert results == [InjectChoice("hi", Voice.NOTE, Mode.STEER)]
        assert kept == []


async def test_writing_as_the_user_must_be_typed() -> None:
    """Words in somebody's mouth need the end of the id."""
    results: list[object] = []
    async with Bench().run_test() as pilot:
        screen = _inject([], InjectChoice("hi", Voice.USER, Mode.QUEUE))
        await _open(pilot, screen, results)
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert results == []
        assert "not sent: type 8841 to write as the user" in screen_text(pilot.app)
        screen.query_one("#typed").focus()
        await pilot.press(*"8841", "enter")
        assert results == [InjectChoice("hi", Voice.USER, Mode.QUEUE)]


async def test_leaving_keeps_the_draft() -> None:
    """Escape sends nothing and hands back what was written."""
    results: list[object] = []
    kept: list[InjectChoice] = []
    async with Bench().run_test() as pilot:
        await _open(pilot, _inject(kept, InjectChoice("draft", Voice.NOTE, Mode.INTERRUPT)), results)
        await pilot.press("!", "escape")
        assert results == [None]
        assert kept == [InjectChoice("draft!", Voice.NOTE, Mode.INTERRUPT)]


async def test_a_text_that_is_empty_or_too_long_is_not_sent() -> None:
    """The dialog says why."""
    results: list[object] = []
    async with Bench().run_test() as pilot:
        await _open(pilot, _inject([], limit=3), results)
        await pilot.press("enter")
        await pilot.pause()
        assert "there is no text" in screen_text(pilot.app)
        await pilot.press(*"abcd", "enter")
        await pilot.pause()
        assert "1 characters too long" in screen_text(pilot.app)
        assert results == []


async def test_keys_in_the_first_moment_decide_nothing() -> None:
    """Whatever was typed for the screen before does not reach the approval."""
    hands = Hands()
    results: list[object] = []
    async with Bench().run_test() as pilot:
        await _open(pilot, _approval_screen(hands, approval(kind=ToolKind.READ)), results)
        await pilot.press("a", "enter", "escape")
        assert results == []
        hands.at += GUARD_S + 0.01
        await pilot.press("a", "enter")
        assert results == [ApprovalChoice(True, "yes", "", "9f3c77b0aabbccdd")]


async def test_enter_without_a_staged_answer_leaves_it_open() -> None:
    """Nothing is chosen at first; n goes back to that."""
    hands = Hands()
    results: list[object] = []
    async with Bench().run_test() as pilot:
        await _open(pilot, _approval_screen(hands), results)
        hands.at += 1
        await pilot.press("a", "n", "enter")
        assert results == [None]


async def test_a_denial_takes_a_reason() -> None:
    """The reason goes to the agent and the journal."""
    hands = Hands()
    results: list[object] = []
    async with Bench().run_test() as pilot:
        screen = _approval_screen(hands)
        await _open(pilot, screen, results)
        hands.at += 1
        await pilot.press("d")
        screen.query_one("#reason").focus()
        await pilot.press(*"wrong", "enter")
        assert results == [ApprovalChoice(False, "no", "wrong", "9f3c77b0aabbccdd")]


@pytest.mark.parametrize("kind", [ToolKind.EXECUTE, ToolKind.DELETE])
async def test_running_and_deleting_must_be_typed(kind: ToolKind) -> None:
    """Allowing asks for the last letters of the id; enter goes to the place to type them."""
    hands = Hands()
    results: list[object] = []
    async with Bench().run_test() as pilot:
        await _open(pilot, _approval_screen(hands, approval(kind=kind)), results)
        hands.at += 1
        await pilot.press("a", "enter")
        await pilot.pause()
        assert results == []
        assert "type xyzk to allow it" in screen_text(pilot.app)
        await pilot.press(*"xyzk", "enter")
        assert results == [ApprovalChoice(True, "yes", "", "9f3c77b0aabbccdd")]


async def test_a_particular_option_can_be_chosen() -> None:
    """All of the agent's options are there under plain words, the narrowest first."""
    hands = Hands()
    results: list[object] = []
    async with Bench().run_test() as pilot:
        await _open(pilot, _approval_screen(hands, approval(kind=ToolKind.FETCH)), results)
        shown = screen_text(pilot.app)
        assert shown.index("allow once") < shown.index("allow always") < shown.index('deny   "No [x]"')
        hands.at += 1
        await pilot.press("down", "down", "enter")
        assert results == [ApprovalChoice(True, "always", "", "9f3c77b0aabbccdd")]


async def test_an_agent_without_options_gets_a_plain_yes_or_no() -> None:
    """The core picks the option that fits."""
    hands = Hands()
    results: list[object] = []
    async with Bench().run_test() as pilot:
        await _open(pilot, _approval_screen(hands, approval(kind=ToolKind.FETCH, options=())), results)
        hands.at += 1
        await pilot.press("d", "enter")
        assert results == [ApprovalChoice(False, "", "", "9f3c77b0aabbccdd")]


async def test_a_request_that_changes_must_be_looked_at_again() -> None:
    """Staged answers and typed letters are taken back, and the guard begins anew."""
    hands = Hands()
    results: list[object] = []
    async with Bench().run_test() as pilot:
        screen = _approval_screen(hands)
        await _open(pilot, screen, results)
        hands.at += 1
        await pilot.press("a", "enter", *"xyzk")
        screen.show(approval(version=2, detail="rm -rf /", digest="00ff00ff00ff00ff"))
        await pilot.pause()
        assert "this changed while you looked at it" in screen_text(pilot.app)
        assert "rm -rf /" in screen_text(pilot.app)
        await pilot.press("enter")
        assert results == []
        hands.at += 1
        await pilot.press("enter")
        assert results == [None], "nothing is staged any more"


async def test_a_request_that_was_decided_elsewhere_goes_dead() -> None:
    """The dialog says who decided; nothing can be sent from it."""
    hands = Hands()
    results: list[object] = []
    async with Bench().run_test() as pilot:
        screen = _approval_screen(hands)
        await _open(pilot, screen, results)
        hands.at += 1
        await pilot.press("d")
        screen.show(approval(version=2, state=ApprovalState.DENIED, decided_by="bo"))
        await pilot.pause()
        assert screen.is_dead
        assert "no longer open: denied by bo. Nothing was sent from here." in screen_text(pilot.app)
        await pilot.press("enter")
        assert results == [None]


async def test_an_approval_shows_all_of_what_is_asked() -> None:
    """Hidden characters are marked and counted as such; age, deadline and digest are there; long text scrolls."""
    hands = Hands()
    view = approval(
        detail="rm\u00a0-rf \u202e/ \n" + "\n".join(f"line {n}" for n in range(30)) + "\nthe end",
        deadline=Mark(0.0, 192.0),
    )
    async with Bench().run_test(size=(80, 24)) as pilot:
        screen = _approval_screen(hands, view, ["7 messages wait behind it"])
        await _open(pilot, screen, [])
        shown = screen_text(pilot.app)
        for part in (
            "rm<U+00A0>-rf <U+202E>/<SPACE>",
            "hidden ones marked",
            "1m40s ago",
            "expires in 1m32s",
            "digest 9f3c77b0aabbccdd",
            "7 messages wait behind it",
            "esc close",
        ):
            assert part in shown, part
        assert "the end" not in shown
        hands.at += 1
        screen.query_one("#detail").focus()
        await pilot.press(*["j"] * 40)
        await pilot.pause()
        assert "the end" in screen_text(pilot.app)
