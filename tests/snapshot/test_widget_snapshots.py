"""How the widgets look, kept as text for review and once as a picture.

The texts are in golden/*.txt; UPDATE_GOLDEN=1 writes them anew, and then the diff is to be looked at.
"""

from collections.abc import Callable

import pytest
from textual.app import ComposeResult
from textual.pilot import Pilot
from textual.screen import Screen

from console.glyphs import badge, tone_badge
from console.widgets.badge import badge_cell
from console.widgets.confirm import ConfirmScreen, InjectChoice, InjectScreen, QuitScreen
from console.widgets.event_log import EventLog, LogLine
from console.widgets.fields import FieldPane
from console.widgets.meter import spark
from console.widgets.status_bar import Hint, HintBar, StatusBar
from console.widgets.table import Column, Row, VirtualTable
from console.widgets.transcript import TranscriptItem, TranscriptView
from core.api.base import Mark
from core.api.sessions import Mode, SessionState, Voice
from tests.support.screens import Bench, matches_golden, screen_text, text_of
from tests.unit.test_widget_dialogs import Hands, _approval_screen, approval

SIZES = [(80, 24), (140, 40)]
LOOKS = ["hermes-dark", "hermes-light", "no_color", "ascii"]

COLUMNS = (
    Column("state", "STATE", 10),
    Column("session", "SESSION", 9),
    Column("platform", "PLATFORM", 8, min_screen=120),
    Column("agent", "AGENT", 5),
    Column("who", "WHO", 9),
    Column("wait", "WAIT", 6, align="right"),
    Column("queue", "Q", 3, align="right"),
    Column("last", "LAST", 20, flex=True),
)

STATES = [
    (SessionState.WAITING, "sl:C02/9", "slack", "ops", "#pay-ops", "4m10s", "0", "approval a92 http"),
    (SessionState.RUNNING, "tg:9022", "telegram", "main", "Tomas", "48s", "0", "tool web.fetch 12s"),
    (SessionState.RUNNING, "dc:55/2", "discord", "dev", "#dev", "31s", "2", "model 28s, first token 9s"),
    (SessionState.QUEUED, "tg:4410", "telegram", "main", "Ana", "11s", "1", "main 4/4 busy, 3rd in line"),
    (SessionState.INTERRUPTING, "sl:D77", "slack", "main", "bo", "2s", "0", "asked to stop by ana"),
    (SessionState.FAILED, "dc:55/1", "discord", "dev", "#dev", "3m20s", "0", "provider 529, retry in 2m"),
    (SessionState.IDLE, "tg:2001", "telegram", "main", "Petra \u202e", "31m", "0", "[b]replied[/b] \x1b[31m漢字 👍"),
]


class _Sessions:
    """The rows of the picture."""

    generation = 0

    def __init__(self, *, use_ascii: bool) -> None:
        self._use_ascii = use_ascii
        self.ids = ["stuck", *(state[1] for state in STATES)]

    def row(self, row_id: str) -> Row:
        """One session."""
        if row_id == "stuck":
            sign = tone_badge("failing", "stuck", use_ascii=self._use_ascii)
            cells = (
                badge_cell(sign),
                "tg:8841",
                "telegram",
                "main",
                "Ivo P.",
                ("6m52s", "failing"),
                "7",
                "approval a91 unseen",
            )
            return Row(row_id, cells, 0)
        state, *words = STATES[self.ids.index(row_id) - 1]
        return Row(row_id, (badge_cell(badge(state, use_ascii=self._use_ascii)), *words), 0)


class Desk(Bench):
    """A composite of bars, table and facts, as a screen of the console has them."""

    CSS = "VirtualTable { height: 1fr; } FieldPane { height: 8; }"

    def compose(self) -> ComposeResult:
        """One under the other."""
        head, crumb, table, pane, hints = (
            StatusBar(),
            StatusBar(),
            VirtualTable(COLUMNS),
            FieldPane(title="tg:8841"),
            HintBar(),
        )
        head.set_parts([("HERMES", "strong"), ("prod-eu1", "accent"), ("core ok 2ms", "well")], [("14:02:11", "plain")])
        crumb.set_parts(
            [("sessions", "strong"), ("/state!=idle", "accent")], [("31 of 1,204", "quiet"), ("sort wait", "quiet")]
        )
        table.set_source(_Sessions(use_ascii=self.use_ascii))
        table.set_sort("wait", descending=True)
        rates = [0, 1, 3, 2, 5, 8, 13, 8, 5, 3, 2, 1, 0, 0, 1, 4]
        pane.set_fields(
            [
                ("BLOCKED BY", "approval a91, pending 6m48s, no surface shows it", "needs"),
                ("lease", "w3 epoch 41, renewed 4s ago: healthy", "well"),
                ("breakers", "none on this path", "quiet"),
                ("-- rates", "", ""),
                ("in", f"2.1/s  {spark(rates, 24, use_ascii=self.use_ascii)}", "plain"),
            ]
        )
        hints.set_hints(
            [Hint("enter", "open"), Hint("I", "inject"), Hint("X", "interrupt", "nothing runs"), Hint("?", "help")]
        )
        yield head
        yield crumb
        yield table
        yield pane
        yield hints


def transcript() -> TranscriptView:
    """A conversation with a tool call, a question and a live answer."""
    view = TranscriptView()
    view.set_lines(
        [
            TranscriptItem("1", 1_700_000_000.0, "Ivo", "accent", "can you tidy the repo before the demo?"),
            TranscriptItem(
                "2",
                1_700_000_004.0,
                "main",
                "busy",
                "Sure. I will remove build artefacts first.\nThen I run the tests.",
            ),
            TranscriptItem(
                "3", 1_700_000_017.0, "tool", "quiet", "shell ls -la\n" + "file\n" * 40, foldable=True, folded=True
            ),
            TranscriptItem("4", 1_700_000_030.0, "WAIT", "needs", "approval a91: shell rm -rf build/"),
            TranscriptItem("5", 1_700_000_041.0, "Ivo", "accent", "hello?", marks="queued 1 of 7"),
            TranscriptItem("6", 1_700_000_060.0, "main", "busy", "The first half of an ans", marks="partial"),
        ]
    )
    view.set_live("I am looking at the tests now.\nThere are three that", author="main")
    return view


def event_log() -> EventLog:
    """A few lines of a journal."""
    log = EventLog()
    words = [
        ("plain", "SessionOpened by Ivo"),
        ("needs", "ApprovalAsked shell rm -rf build/"),
        ("failing", "PlatformDisconnected 403"),
    ]
    log.extend(
        LogLine(n, 1_700_000_000.0 + n, *(words[n % 3][0], f"telegram:dm:{8800 + n}", words[n % 3][1]))
        for n in range(60)
    )
    return log


def _bench(look: str, make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> Bench:
    if look == "no_color":
        monkeypatch.setenv("NO_COLOR", "1")
    theme = look if look.startswith("hermes") else "hermes-ansi"
    return make(theme=theme, use_ascii=look == "ascii")


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    __import__("time").tzset()


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("look", LOOKS)
async def test_a_desk_looks_as_it_did(look: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Colour changes no word: dark, light and NO_COLOR give the same text, ASCII the same layout."""
    shown = await text_of(_bench(look, Desk, monkeypatch), size)
    kind = "ascii" if look == "ascii" else "unicode"
    assert matches_golden(f"desk_{kind}_{size[0]}x{size[1]}", shown)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize(("name", "make"), [("transcript", transcript), ("event_log", event_log)])
async def test_a_stream_looks_as_it_did(
    name: str, make: Callable[[], TranscriptView | EventLog], size: tuple[int, int]
) -> None:
    """What was said and what happened."""
    assert matches_golden(f"{name}_{size[0]}x{size[1]}", await text_of(Bench(make()), size))


def _inject() -> Screen[object]:
    return InjectScreen(
        "telegram:dm:8841",
        "tg:8841 (main, telegram, Ivo P.)",
        preview=lambda choice: [
            "1 position 8 of 8, waits for a91 like the rest",
            f"2 {len(choice.text)} letters to main",
        ],
        keep_draft=lambda _: None,
        draft=InjectChoice("Skip the delete.\nContinue with the tests.", Voice.USER, Mode.STEER),
    )


def _approval() -> Screen[object]:
    view = approval(
        title="shell rm -rf build/", detail="rm -rf build/ \u202etxt.exe\ncwd /srv/demo", deadline=Mark(0.0, 278.0)
    )
    return _approval_screen(Hands(), view, ["unblocks the run and 7 messages"])


DIALOGS: dict[str, Callable[[], Screen[object]]] = {
    "confirm": lambda: ConfirmScreen(
        "interrupt the run of tg:8841?",
        ["The run is told to stop. What it wrote is kept."],
        loses=["the rest of the answer that is being written"],
        typed="8841",
        ask_reason=True,
        verb="interrupt",
    ),
    "quit": lambda: QuitScreen(["tg:8841 runs 12s", "sl:C02/9 waits for approval a92"]),
    "inject": _inject,
    "approval": _approval,
}


@pytest.mark.parametrize("name", DIALOGS)
async def test_a_dialog_looks_as_it_did(name: str) -> None:
    """At 80 columns, over a desk."""

    async def open_it(pilot: Pilot[object]) -> None:
        pilot.app.push_screen(DIALOGS[name]())

    assert matches_golden(f"dialog_{name}_80x24", await text_of(Desk(), (80, 24), do=open_it))


async def test_a_golden_text_that_differs_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison itself works."""
    monkeypatch.delenv("UPDATE_GOLDEN", raising=False)
    shown = await text_of(Desk(), (80, 24))
    with pytest.raises(AssertionError, match="differs"):
        matches_golden("desk_unicode_80x24", shown.replace("HERMES", "HERMÈS"))


def test_a_desk_has_the_picture_that_was_looked_at(snap_compare: Callable[..., bool]) -> None:
    """One picture, for colours and weights."""

    async def settle(pilot: Pilot[object]) -> None:
        await pilot.press("j", "space")
        assert "HERMES" in screen_text(pilot.app)

    assert snap_compare(Desk(), terminal_size=(100, 30), run_before=settle)
