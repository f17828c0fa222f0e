"""The screens as an operator sees them: plain text at two sizes, pictures of two, and every key through the real app."""

import re
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot

from console.actions import ACTIONS
from console.app import ConsoleApp
from console.options import ConsoleOptions
from core.api import sessions
from core.api.approvals import AnswerApproval, ApprovalDecided, ApprovalState
from core.api.base import Command, EntryId, MessageId, RunId
from core.api.deliveries import DeliveryState, DropDelivery, RetryDelivery
from core.api.errors import ConfigError, HomeBusy, Refused, StoreError
from core.api.platforms import PlatformState
from core.api.runs import Phase, Stop, ToolCall, ToolStatus
from core.api.sessions import SessionState
from core.api.transcripts import EntryKind
from tests.support.fake_hermes import FakeHermes
from tests.support.screens import screen_text
from tests.support.views import (
    NOW,
    ago,
    answer,
    approval,
    delivery,
    entry,
    health,
    message,
    outcome,
    platform,
    profile,
    run,
    session,
)

GOLDEN = Path(__file__).parent / "golden_screens"
SIZES = ((80, 24), (140, 40))
WAITING = "telegram:dm:8841"
RUNNING = "local:dm:ana"


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterable[None]:
    """Times of day are those of UTC, and nothing is known of the terminal that runs the tests."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


class StepClock:
    """Monotonic time that a test moves."""

    def __init__(self) -> None:
        self.at = NOW.mono

    def __call__(self) -> float:
        return self.at


class Desk:
    """An app on a fake core, with the flush in the hands of the test."""

    def __init__(self, app: ConsoleApp, pilot: Pilot[Any], hermes: FakeHermes, clock: StepClock) -> None:
        self.app, self.pilot, self.hermes, self.clock = app, pilot, hermes, clock

    async def settle(self) -> None:
        """Let everything that is under way come to the screen."""
        for _ in range(4):
            await self.pilot.pause()
            self.clock.at += 0.6
            self.app.redraw.flush()
        self.app.redraw.second()
        await self.pilot.pause()

    async def press(self, *keys: str) -> None:
        """Keys, then what becomes of them."""
        for key in keys:
            await self.pilot.press(key)
            await self.pilot.pause()
        await self.settle()

    async def say(self, line: str) -> None:
        """A command after the colon."""
        await self.press("colon", *(_NAMES.get(sign, sign) for sign in line), "enter")

    @property
    def text(self) -> str:
        """The screen now; ages and measured times that depend on the machine are blanked."""
        shown = screen_text(self.app)
        return re.sub(r"ui \d+ ms", "ui - ms", shown)


_NAMES = {" ": "space", ":": "colon", "/": "slash", "-": "minus", ">": "greater_than_sign"}


@asynccontextmanager
async def desk(
    hermes: FakeHermes,
    size: tuple[int, int] = (80, 24),
    *,
    environ: dict[str, str] | None = None,
    failure: Exception | None = None,
    **options: Any,
) -> AsyncIterator[Desk]:
    """A console of that size; failure: what opening the core raises."""
    clock = StepClock()

    def open_hermes() -> FakeHermes:
        if failure is not None:
            raise failure
        return hermes

    values: dict[str, Any] = {"home": Path("/nowhere"), "is_embedded": True, **options}
    app = ConsoleApp(
        open_hermes,
        ConsoleOptions(**values),
        now=clock,
        environ={"TERM": "xterm-256color", "LANG": "C.UTF-8", **(environ or {})},
        health_period_s=1e6,
    )
    # The timer would flush whenever the machine has time for it; here the test does.
    app.redraw.flush_if_due = lambda: None
    async with app.run_test(size=size) as pilot:
        found = Desk(app, pilot, hermes, clock)
        for _ in range(50):
            await found.pilot.pause(0.02)
            line = app.link.feed.line.state if app.link.feed else ""
            if app.link.failure is not None or line == "live":
                break
        await found.settle()
        yield found


def busy() -> FakeHermes:
    """A core with everything at once: waiting, running, failed, queued, idle, dead, down."""
    waiting = session(
        WAITING,
        state=SessionState.WAITING,
        title="Ivo P.",
        run=run("run-77", phase=Phase.APPROVAL, started=ago(50), phase_since=ago(40)),
        lane_holder=RunId("run-77"),
        queue_depth=2,
        queue_head=ago(30),
        open_approvals=1,
        inbound=ago(12),
        entry_count=5,
        input_tokens=41_000,
    )
    running = session(RUNNING, state=SessionState.RUNNING, run=run(), lane_holder=RunId("run-1"), inbound=ago(12))
    failed = session(
        "discord:channel:55",
        state=SessionState.FAILED,
        title="#dev",
        last_outcome=outcome(
            stop=Stop.ERROR, answered=False, error="provider answered 529: overloaded", ended=ago(200)
        ),
    )
    queued = session("slack:channel:C02", state=SessionState.QUEUED, queue_depth=1, queue_head=ago(9), title="#pay-ops")
    idle = [session(f"local:dm:p{nth}", last_outcome=outcome(ended=ago(300 + nth))) for nth in range(5)]
    tool = ToolCall(id="t1", title="shell ls -la", status=ToolStatus.COMPLETED, output="total 4\nREADME")
    entries = {
        WAITING: [
            entry("can you tidy the repo before the demo?", id=EntryId("e1"), author="Ivo", at=NOW.at - 400),
            answer("Sure. I will remove build artefacts first, then run the tests.", id=EntryId("e2"), at=NOW.at - 395),
            entry("", id=EntryId("e3"), kind=EntryKind.TOOL, author="main", tool=tool, at=NOW.at - 390),
            entry("clean up the build dir", id=EntryId("e4"), author="Ivo", at=NOW.at - 60),
            entry("leave the tests alone", id=EntryId("e5"), kind=EntryKind.NOTE, author="ana", at=NOW.at - 55),
        ]
    }
    messages = [
        message("hello?", id=MessageId("m1"), session_id=waiting.id, sender="Ivo", received=ago(30)),
        message("are you stuck?", id=MessageId("m2"), session_id=waiting.id, sender="Ivo", received=ago(20)),
    ]
    hermes = FakeHermes(
        sessions=[waiting, running, failed, queued, *idle],
        approvals=[
            approval("a91", session_id=waiting.id, title="shell rm -rf build/", detail="rm -rf build/", asked=ago(40))
        ],
        deliveries=[
            delivery("d14", state=DeliveryState.DEAD, platform="discord", attempt=5, error="403 Missing Access"),
            delivery("d15"),
        ],
        platforms=[
            platform(
                "discord", kind="discord", state=PlatformState.DOWN, last_error="403 Missing Access", since=ago(90)
            ),
            platform("local"),
            platform("telegram", kind="telegram", inbound=ago(2), outbound_ack=ago(4), inbound_count=1204),
        ],
        profiles=[profile(busy=2)],
        entries=entries,
        messages=messages,
        health_view=health(queued_count=3, running_count=2),
    )
    hermes.emit(sessions.SessionOpened(session=waiting), at=NOW.at - 500)
    hermes.emit(sessions.MessageQueued(session=waiting, message=messages[0]), at=NOW.at - 30)
    hermes.messages = messages
    assert failed.last_outcome is not None
    hermes.emit(sessions.RunEnded(session=failed, outcome=failed.last_outcome, entries=()), at=NOW.at - 200)
    return hermes


def check(name: str, shown: str) -> None:
    """Compare with the golden file; UPDATE_GOLDEN=1 writes it."""
    import os

    path = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(shown, encoding="utf-8")
    assert path.exists(), f"{path.name} is missing: run with UPDATE_GOLDEN=1 and look at it"
    assert shown == path.read_text(encoding="utf-8"), f"{path.name} differs: run with UPDATE_GOLDEN=1 and look at it"


VIEWS = {
    "overview": (),
    "sessions": ("2",),
    "session": ("2", "enter"),
    "session_timeline": ("2", "enter", "2"),
    "session_inputs": ("2", "enter", "3"),
    "session_state": ("2", "enter", "4"),
    "session_raw": ("2", "enter", "5"),
    "approvals": ("3",),
    "deliveries": ("4",),
    "platforms": ("7",),
    "events": ("9",),
    "help": ("2", "question_mark"),
}


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", VIEWS)
async def test_a_busy_core_looks_as_it_did(name: str, size: tuple[int, int]):
    """Every view with everything in it."""
    async with desk(busy(), size) as seen:
        await seen.press(*VIEWS[name])
        check(f"busy_{name}_{size[0]}x{size[1]}", seen.text)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", ["overview", "sessions", "approvals", "deliveries", "platforms", "events"])
async def test_an_empty_core_says_what_belongs_here(name: str, size: tuple[int, int]):
    """No view is blank; the first two say what to type next."""
    async with desk(FakeHermes(), size) as seen:
        await seen.press(*VIEWS[name])
        check(f"empty_{name}_{size[0]}x{size[1]}", seen.text)


FAILURES = {
    "home_busy": HomeBusy("another core runs on this home", pid=4242, home="/home/ana/x", fix="stop it first"),
    "config": ConfigError("unknown key", file="config.yaml", line=3, key="htpp", fix="did you mean http?"),
    "store": StoreError("the store is corrupt", path="/home/ana/core.db", cause="corrupt", fix="restore a copy"),
    "fault": RuntimeError("something broke"),
}


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", FAILURES)
async def test_a_core_that_does_not_start_is_shown_with_the_way_out(name: str, size: tuple[int, int]):
    """The console stays open: message, facts, fix, r and q."""
    async with desk(FakeHermes(), size, failure=FAILURES[name]) as seen:
        check(f"error_{name}_{size[0]}x{size[1]}", seen.text)
        await seen.press("q")
    assert seen.app.return_value is not None


async def test_a_core_that_starts_at_the_second_try_is_shown():
    """`r` opens it again."""
    hermes = busy()
    async with desk(hermes, failure=FAILURES["store"]) as seen:
        seen.app.link._open_hermes = lambda: hermes
        await seen.press("r")
        for _ in range(20):
            await seen.pilot.pause(0.02)
        await seen.settle()
        assert "core ok" in seen.text
        assert "rm -rf build/" in seen.text


LOOKS = {
    "light": ({"theme": "light"}, {}),
    "contrast": ({"theme": "contrast"}, {}),
    "ansi": ({"theme": "ansi"}, {}),
    "no_color": ({}, {"NO_COLOR": "1"}),
    "ascii": ({}, {"LANG": "C", "TERM": "vt100"}),
}


@pytest.mark.parametrize("look", LOOKS)
async def test_every_look_shows_every_view(look: str, monkeypatch: pytest.MonkeyPatch):
    """No theme, no colour, no Unicode: nothing crashes and the words stay."""
    options, environ = LOOKS[look]
    for key, value in environ.items():
        monkeypatch.setenv(key, value)
    async with desk(busy(), environ=environ, **options) as seen:
        for key in ("1", "2", "3", "4", "7", "9", "question_mark", "1"):
            await seen.press(key)
        assert "NEEDS YOU" in seen.text
        assert "rm -rf build/" in seen.text
        if look == "ascii":
            assert seen.text.isascii()


async def test_a_small_terminal_says_which_size_is_needed():
    """Below the least size there is a notice, and what waits is still counted."""
    async with desk(busy(), (50, 12)) as seen:
        assert "60x16" in seen.text
        assert "1 decisions" in seen.text


HOSTILE = "[red]\x1b[31mEVIL\x1b[0m\x07‮[/red] [@click=app.quit]x[/]"


def hostile() -> FakeHermes:
    """A core in which everything from outside is hostile."""
    view = session(
        RUNNING,
        title=HOSTILE,
        source=msgspec.structs.replace(session(RUNNING).source, chat_name=HOSTILE),
        state=SessionState.WAITING,
        run=run(phase=Phase.APPROVAL, tool=HOSTILE),
        queue_depth=1,
        queue_head=ago(3),
    )
    other = session(
        "local:dm:bo",
        state=SessionState.FAILED,
        title=HOSTILE,
        last_outcome=outcome(stop=Stop.ERROR, answered=False, error=HOSTILE),
    )
    tool = ToolCall(id="t1", title=HOSTILE, input=HOSTILE, output=HOSTILE, status=ToolStatus.FAILED)
    hermes = FakeHermes(
        sessions=[view, other],
        approvals=[approval("a1", title=HOSTILE, detail=HOSTILE)],
        deliveries=[delivery("d1", text=HOSTILE, error=HOSTILE, state=DeliveryState.DEAD)],
        platforms=[platform("local", state=PlatformState.DOWN, last_error=HOSTILE, address=HOSTILE)],
        messages=[message(HOSTILE, sender=HOSTILE)],
        entries={
            RUNNING: [entry(HOSTILE, author=HOSTILE), entry("", id=EntryId("e2"), kind=EntryKind.TOOL, tool=tool)]
        },
        health_view=health(problems=(HOSTILE,)),
    )
    hermes.emit(sessions.MessageQueued(session=view, message=message(HOSTILE, sender=HOSTILE)), subject=HOSTILE)
    return hermes


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize(
    "keys", [*VIEWS.values(), ("3", "A"), ("2", "I"), ("2", "X"), ("2", "R"), ("4", "X"), ("q",), ("ctrl+p",)], ids=str
)
async def test_text_from_outside_is_never_markup_and_never_reaches_the_terminal_raw(
    keys: tuple[str, ...], size: tuple[int, int]
):
    """Names, messages, titles, details and errors are shown as they are written, with hidden characters marked."""
    async with desk(hostile(), size) as seen:
        await seen.press(*keys)
        shown = screen_text(seen.app)
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
        assert "EVIL" not in shown or "<ESC>" in shown or "\\u001b" in shown


@pytest.mark.parametrize(
    "dialog", [("2", "I"), ("2", "X"), ("2", "R"), ("3", "A"), ("1", "N"), ("4", "R"), ("1", "q")], ids=str
)
async def test_the_focus_comes_back_after_a_dialog(dialog: tuple[str, ...]):
    """Esc closes it, nothing was sent, and the keys go where they went before."""
    async with desk(busy()) as seen:
        await seen.press(dialog[0])
        before = seen.app.focused
        await seen.press(dialog[1])
        assert len(seen.app.screen_stack) == 2
        await seen.press("escape")
        assert len(seen.app.screen_stack) == 1
        assert seen.app.focused is before
        assert seen.hermes.commands == []


async def test_the_focus_comes_back_after_the_command_line():
    """Esc closes it, and j moves in the list again."""
    async with desk(busy()) as seen:
        await seen.press("2", "colon", "x", "escape", "j")
        assert seen.app.focused is seen.app.desk.table
        assert seen.app.desk.table.cursor_id != WAITING


async def test_an_action_is_bound_to_the_session_under_the_cursor_at_the_key():
    """Rows change places while the dialog is open; the command goes to the session of the key."""
    hermes = busy()
    async with desk(hermes) as seen:
        await seen.press("2")
        target = seen.app.desk.table.cursor_id
        assert target == WAITING
        await seen.press("I")
        first = session("aaa:dm:new", state=SessionState.WAITING, run=run(phase_since=ago(9_000)))
        hermes.emit(sessions.SessionOpened(session=first))
        await seen.settle()
        await seen.press("h", "i", "enter")
        sent = [command for command in hermes.commands if isinstance(command, sessions.SendMessage)]
        assert [(command.session_id, command.text) for command in sent] == [(target, "hi")]


async def test_the_cursor_stays_on_its_session_when_rows_change_places():
    """The id under the cursor is the same after a new order."""
    hermes = busy()
    async with desk(hermes) as seen:
        await seen.press("2", "j")
        before = seen.app.desk.table.cursor_id
        hermes.emit(sessions.SessionOpened(session=session("aaa:dm:new", state=SessionState.WAITING, run=run())))
        seen.clock.at += 5
        await seen.settle()
        assert seen.app.desk.table.cursor_id == before
        assert "aaa:dm:new" in seen.text


async def test_an_interrupt_names_what_is_lost_and_the_run_that_was_seen():
    """The command carries the run id of the moment of the key."""
    hermes = busy()
    async with desk(hermes) as seen:
        await seen.press("2", "X")
        assert "2 queued messages stay" in seen.text
        await seen.press("right", "enter")
        assert [command.run_id for command in hermes.commands if isinstance(command, sessions.InterruptSession)] == [
            "run-77"
        ]
        assert "released" in seen.text


async def test_a_reset_asks_what_becomes_of_the_queue():
    """Dropping is chosen, not the default, and the receipt says how many went."""
    hermes = busy()
    async with desk(hermes) as seen:
        await seen.press("2", "R")
        await seen.press("shift+tab", "shift+tab", "right", "tab", "tab", "right", "enter")
        resets = [command for command in hermes.commands if isinstance(command, sessions.ResetSession)]
        assert [command.drop_queue for command in resets] == [True]
        assert "2 queued dropped" in seen.text


async def test_a_decision_carries_the_digest_of_what_was_shown():
    """Allowing needs the letters of the id where something is run."""
    hermes = busy()
    async with desk(hermes) as seen:
        await seen.press("3", "A")
        seen.clock.at += 1
        await seen.press("d", "enter")
        answers = [command for command in hermes.commands if isinstance(command, AnswerApproval)]
        assert [(command.approval_id, command.allow, command.digest) for command in answers] == [
            ("a91", False, "0123456789abcdef")
        ]
        assert "denied" in seen.text


async def test_a_decision_made_elsewhere_ends_the_open_dialog():
    """It says so, and nothing is sent."""
    hermes = busy()
    async with desk(hermes) as seen:
        await seen.press("3", "A")
        view = hermes.approvals["a91"]
        decided = msgspec.structs.replace(view, version=2, state=ApprovalState.APPROVED, decided=NOW, decided_by="raj")
        hermes.emit(ApprovalDecided(approval=decided))
        await seen.settle()
        assert "approved by raj" in seen.text
        await seen.press("d", "enter", "escape")
        assert hermes.commands == []


async def test_a_queued_message_is_dropped_from_the_inputs():
    """The cursor's message, after a yes."""
    hermes = busy()
    async with desk(hermes) as seen:
        await seen.press("2", "enter", "3", "G", "D")
        assert "are you stuck?" in seen.text
        await seen.press("right", "enter")
        dropped = [command for command in hermes.commands if isinstance(command, sessions.DropMessage)]
        assert [command.message_id for command in dropped] == ["m2"]


@pytest.mark.parametrize(("key", "kind"), [("R", RetryDelivery), ("X", DropDelivery)])
async def test_a_delivery_is_tried_again_or_dropped_after_a_yes(key: str, kind: type[Command[Any]]):
    """The dead one is the first in the list."""
    hermes = busy()
    async with desk(hermes) as seen:
        await seen.press("4", key, "right", "enter")
        assert [type(command) for command in hermes.commands] == [kind]


async def test_a_new_chat_is_opened_and_shown():
    """Name, message, enter; then the session is on the screen."""
    hermes = busy()
    async with desk(hermes) as seen:
        await seen.press("N", "z", "o", "e", "tab", "h", "i", "enter")
        opened = [command for command in hermes.commands if isinstance(command, sessions.OpenSession)]
        assert [(command.platform, command.chat, command.text) for command in opened] == [("local", "zoe", "hi")]
        assert "local:dm:zoe" in seen.text


async def test_an_error_of_the_core_is_shown_as_the_core_said_it():
    """Not the wish, and the draft is kept."""
    hermes = busy()
    async with desk(hermes) as seen:
        await seen.press("2", "I", "h", "i")
        hermes.fail_next(Refused("the queue is full", fix="wait or drop messages"))
        await seen.press("enter")
        assert "refused: the queue is full; wait or drop messages" in seen.text
        await seen.press("I")
        assert "hi" in seen.text


@pytest.mark.parametrize("place", ["1", "2", "3", "4"])
async def test_a_read_only_console_sends_nothing_and_says_why(place: str):
    """Every key that would act is off, with the reason."""
    hermes = busy()
    async with desk(hermes, read_only=True) as seen:
        await seen.press(place)
        for action in ACTIONS:
            if action.command is not None and action.key and action.where.covers(seen.app.navigator.place):
                await seen.press(action.key)
                assert "read-only session" in seen.text
                assert len(seen.app.screen_stack) == 1
        assert hermes.commands == []


async def test_shutdown_needs_the_typed_word():
    """Enter alone does not stop the core."""
    hermes = busy()
    async with desk(hermes) as seen:
        await seen.say("shutdown")
        await seen.press("right", "enter")
        assert hermes.commands == []
        await seen.press("shift+tab", "s", "t", "o", "p", "enter")
        assert [type(command).__name__ for command in hermes.commands] == ["Shutdown"]


async def test_a_lost_core_is_shown_with_the_time_of_the_data_and_takes_the_keys_away():
    """Rows stay, actions are off with the reason."""
    hermes = busy()
    async with desk(hermes) as seen:
        await seen.press("2")
        hermes.lose()
        await seen.settle()
        assert "reconnecting" in seen.text
        assert "data as of" in seen.text
        assert WAITING in seen.text
        await seen.press("I")
        assert "no connection to the core" in seen.text


async def test_quitting_asks_once_names_the_busy_and_may_leave_the_core_running(tmp_path: Path):
    """What was chosen is remembered when told to."""
    async with desk(busy(), home=tmp_path) as seen:
        await seen.press("q")
        assert "rm -rf build/" in seen.text
        await seen.press("shift+tab", "space", "tab", "enter")
    assert seen.app.return_value is not None
    assert seen.app.return_value.keep_core
    async with desk(busy(), home=tmp_path) as again:
        await again.press("q")
    assert again.app.return_value is not None
    assert again.app.return_value.keep_core
    assert (tmp_path / "last_frame.json").exists()


@pytest.mark.parametrize(("on_quit", "keeps"), [("stop", False), ("keep", True)])
async def test_a_configured_answer_is_not_asked_for(on_quit: str, keeps: bool):
    """The configuration decides."""
    async with desk(busy(), on_quit=on_quit) as seen:
        await seen.press("q")
    assert seen.app.return_value is not None
    assert seen.app.return_value.keep_core is keeps


async def test_leaving_an_attached_console_asks_nothing():
    """The core goes on in its own process."""
    async with desk(busy(), is_embedded=False) as seen:
        await seen.press("q")
    assert seen.app.return_value is not None
    assert not seen.app.return_value.keep_core


async def test_a_command_that_is_not_known_says_what_is_nearest():
    """Nothing happens in silence."""
    async with desk(busy()) as seen:
        await seen.say("sesions")
        assert "nearest is :sessions" in seen.text


async def test_the_command_line_goes_to_views_sessions_and_themes():
    """A filter, part of an id, a theme."""
    async with desk(busy()) as seen:
        await seen.say("sessions state:failed")
        assert "discord:channel:55" in seen.text
        assert WAITING not in seen.text
        await seen.say("session 8841")
        assert "clean up the build dir" in seen.text
        await seen.say("theme light")
        assert seen.app.theme == "hermes-light"
        await seen.say("vitals")
        assert "this console" in seen.text


async def test_a_filter_works_while_it_is_typed_and_says_when_nothing_matches():
    """Never a blank table; esc brings all back."""
    async with desk(busy()) as seen:
        await seen.press("2", "slash", "z", "z", "z")
        assert "0 of 9 match /zzz" in seen.text
        await seen.press("escape")
        assert WAITING in seen.text


async def test_a_paused_view_counts_what_waits_and_shows_it_later():
    """Data go on, the view stands still."""
    hermes = busy()
    async with desk(hermes) as seen:
        await seen.press("2", "p")
        hermes.emit(sessions.SessionOpened(session=session("aaa:dm:new", state=SessionState.RUNNING, run=run())))
        await seen.settle()
        assert "paused, 2 changes wait" in seen.text
        assert "aaa:dm:new" not in seen.text
        await seen.press("p")
        seen.clock.at += 5
        await seen.settle()
        assert "aaa:dm:new" in seen.text


async def test_an_answer_is_seen_while_it_is_written():
    """Pieces appear in the transcript before the run ends."""
    hermes = busy()
    async with desk(hermes) as seen:
        await seen.say(f"session {RUNNING}")
        for offset, words in ((0, "The answer "), (11, "is 42.")):
            event = sessions.RunOutput(session_id=session(RUNNING).id, run_id=RunId("run-1"), offset=offset, text=words)
            hermes.emit(event, durable=False)
        await seen.settle()
        assert "The answer is 42." in seen.text
        ended = session(RUNNING, version=9, last_outcome=outcome())
        hermes.emit(sessions.RunEnded(session=ended, outcome=outcome(), entries=(answer("The answer is 42."),)))
        await seen.settle()
        assert seen.text.count("The answer is 42.") == 1
        assert "is being written" not in seen.text


async def test_earlier_entries_come_when_the_first_one_is_reached():
    """A long transcript begins with its newest page."""
    hermes = busy()
    hermes.entries[RUNNING] = [
        entry(f"line {nth}", id=EntryId(f"e{nth:04}"), at=NOW.at - 1000 + nth) for nth in range(300)
    ]
    async with desk(hermes) as seen:
        await seen.say(f"session {RUNNING}")
        assert "line 299" in seen.text
        assert len(seen.app.desk.transcript.items) == 200
        await seen.press("g")
        await seen.press("k")
        assert len(seen.app.desk.transcript.items) == 300


async def test_the_key_of_the_api_is_named_by_its_file_and_never_shown():
    """The ready-made request reads the key from its file."""
    async with desk(FakeHermes()) as seen:
        assert "secrets/api_key" in seen.text
        assert "curl -sN http://127.0.0.1:8642/v1/chat/completions" in seen.text


async def test_what_came_while_nobody_looked_is_listed():
    """The overview says how long that was."""
    hermes = busy()
    async with desk(hermes, (140, 40)) as seen:
        seen.app.redraw.is_blurred = True
        seen.app._overview.left()
        seen.clock.at += 360
        ended = outcome(stop=Stop.ERROR, answered=False, error="it broke")
        hermes.emit(sessions.RunEnded(session=session("local:dm:late", version=2), outcome=ended, entries=()))
        seen.app._overview.came_back()
        await seen.settle()
        assert "since you looked, 6m" in seen.text
        assert "it broke" in seen.text


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("keys", [(), ("2", "enter")], ids=["overview", "session"])
def test_pictures_of_overview_and_session(keys: tuple[str, ...], size: tuple[int, int], snap_compare: Any):
    """Colours and places, as a picture."""
    hermes, clock = busy(), StepClock()
    app = ConsoleApp(
        lambda: hermes,
        ConsoleOptions(home=Path("/nowhere"), is_embedded=True),
        now=clock,
        environ={"TERM": "xterm-256color", "LANG": "C.UTF-8"},
        health_period_s=1e6,
    )
    app.redraw.flush_if_due = lambda: None

    async def arrange(pilot: Pilot[Any]) -> None:
        found = Desk(app, pilot, hermes, clock)
        for _ in range(50):
            await pilot.pause(0.02)
            if app.link.feed is not None and app.link.feed.line.state == "live":
                break
        await found.settle()
        await found.press(*keys)
        app.stage.vitals.keys.__init__()
        app.redraw.show_lines()

    assert snap_compare(app, terminal_size=size, run_before=arrange)
