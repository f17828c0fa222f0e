"""The dialog of a decision: a yes needs the whole text on the screen, a wider yes shows what it stores."""

from textual.pilot import Pilot
from textual.screen import Screen

from console.widgets.approval import GUARD_S, ApprovalChoice, ApprovalScreen
from console.widgets.controls import ScrolledLines
from core.api.approvals import ApprovalView, GrantOffer, GrantScope
from core.api.base import ApprovalId
from core.api.runs import ActionKind, ToolKind
from tests.support.screens import Bench, screen_text
from tests.support.views import approval

LONG = "\n".join(f"echo line {number}" for number in range(60))
OFFERS = (
    GrantOffer(scope=GrantScope.SESSION, pattern="exec:git status"),
    GrantOffer(scope=GrantScope.ALWAYS, pattern="exec:git *", matches=("git push --force", "git clean -fd")),
)


class Hands:
    """Time in the hands of a test."""

    at = 1000.0

    def __call__(self) -> float:
        """Seconds."""
        return self.at


class Shown:
    """A dialog on the screen, past its guard."""

    def __init__(self, pilot: Pilot[object], results: list[object], hands: Hands, screen: ApprovalScreen) -> None:
        self.pilot, self.results, self.hands, self.screen = pilot, results, hands, screen

    async def press(self, *keys: str) -> str:
        """Keys; the screen afterwards."""
        await self.pilot.press(*keys)
        await self.pilot.pause()
        return screen_text(self.pilot.app)


async def shown(pilot: Pilot[object], view: ApprovalView) -> Shown:
    """Open the dialog and let the guard pass."""
    hands, results = Hands(), list[object]()
    screen = ApprovalScreen(view, monotonic=hands, age_s=lambda mark: hands.at - mark.mono)
    opened: Screen[object] = screen  # type: ignore[assignment]  # whatever it gives
    pilot.app.push_screen(opened, results.append)
    await pilot.pause()
    hands.at += GUARD_S + 0.01
    return Shown(pilot, results, hands, screen)


def fetch(**changes: object) -> ApprovalView:
    """A request that needs no typed id."""
    return approval(ApprovalId("a-xyzk"), kind=ToolKind.FETCH, **changes)  # type: ignore[arg-type]


async def test_a_long_request_is_not_allowed_before_its_end_was_shown() -> None:
    """The key says so; after reading on to the end it is taken."""
    async with Bench().run_test(size=(80, 24)) as pilot:
        seen = await shown(pilot, fetch(detail=LONG))
        assert "read it to its end first" in await seen.press("a", "enter")
        assert seen.results == []
        seen.screen.query_one("#detail").focus()
        # A screen that is drawn more slowly than keys come takes more of them, and passes over no line.
        text = ""
        for _ in range(50):
            text = await seen.press(*(["j"] * 10))
            if "echo line 59" in text:
                break
        assert "echo line 59" in text
        await seen.press("a", "enter")
        assert seen.results == [ApprovalChoice(True, "yes", "", "0123456789abcdef")]


async def test_a_jump_over_the_middle_is_not_reading() -> None:
    """Only line after line counts."""
    async with Bench().run_test(size=(80, 24)) as pilot:
        seen = await shown(pilot, fetch(detail=LONG))
        seen.screen.query_one("#detail").jump_to(1000)  # type: ignore[attr-defined]
        await seen.press("a", "enter")
        assert seen.results == []


async def test_keys_that_come_faster_than_the_screen_is_drawn_pass_over_nothing() -> None:
    """The next line that was not shown stays in sight, so that what was read has been read."""
    async with Bench().run_test(size=(80, 24)) as pilot:
        seen = await shown(pilot, fetch(detail=LONG))
        detail = seen.screen.query_one("#detail", ScrolledLines)
        for _ in range(70):
            detail.action_scroll_by(1)
        assert "echo line 59" not in await seen.press("tab")
        for _ in range(500):
            if detail.is_seen_whole:
                break
            detail.action_scroll_by(1)
            await pilot.pause()
        assert detail.is_seen_whole


async def test_a_long_request_can_be_denied_unread() -> None:
    """A no harms nobody."""
    async with Bench().run_test(size=(80, 24)) as pilot:
        seen = await shown(pilot, fetch(detail=LONG))
        await seen.press("d", "enter")
        assert seen.results == [ApprovalChoice(False, "no", "", "0123456789abcdef")]


async def test_a_wider_yes_shows_its_pattern_and_what_it_would_let_through() -> None:
    """Before it is given; and one that lasts for good needs the typed id."""
    async with Bench().run_test(size=(100, 40)) as pilot:
        seen = await shown(pilot, fetch(offers=OFFERS))
        text = await seen.press("s")
        assert "stores the pattern  exec:git status" in text
        assert "nothing but this very call" in text
        text = await seen.press("w")
        assert "git push --force" in text
        assert seen.results == []
        await seen.press("enter")
        assert seen.results == []
        await seen.press(*"xyzk", "enter")
        assert seen.results == [ApprovalChoice(True, "", "", "0123456789abcdef", GrantScope.ALWAYS, "exec:git *", "")]


async def test_a_question_is_answered_in_words() -> None:
    """An empty answer is not sent."""
    async with Bench().run_test(size=(100, 40)) as pilot:
        seen = await shown(pilot, fetch(action_kind=ActionKind.QUESTION, options=(), title="which repo?"))
        assert "nothing is answered yet" in await seen.press("a", "enter")
        assert seen.results == []
        await seen.press(*"the second", "enter")
        assert seen.results == [ApprovalChoice(True, "", "", "0123456789abcdef", GrantScope.ONCE, "", "the second")]


async def test_warnings_chain_and_place_are_shown_before_anything_else() -> None:
    """And a warning asks for the typed id whatever the kind is."""
    async with Bench().run_test(size=(100, 40)) as pilot:
        view = fetch(
            warnings=("it would stop this core",), chain=("planner", "coder"), cwd="/srv/demo", diff="+new\n-old"
        )
        seen = await shown(pilot, view)
        text = screen_text(pilot.app)
        for words in ("! it would stop this core", "main > planner > coder", "in /srv/demo", "+new", "-old"):
            assert words in text
        await seen.press("a", "enter")
        assert seen.results == []


async def test_text_of_the_agent_cannot_write_to_the_terminal() -> None:
    """In the pattern, the examples, the chain and the diff neither."""
    evil = "\x1b[2J\u202e"
    offer = GrantOffer(scope=GrantScope.SESSION, pattern=f"exec:{evil}", matches=(evil,))
    async with Bench().run_test(size=(100, 40)) as pilot:
        seen = await shown(pilot, fetch(offers=(offer,), chain=(evil,), cwd=evil, diff=evil, warnings=(evil,)))
        text = await seen.press("s")
        assert "\x1b" not in text
        assert "\u202e" not in text
