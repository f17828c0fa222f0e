"""One session and what an operator does to its queue, its memory, its archive and its lease."""

from typing import Any, TypeVar

import pytest

from console.screens.session import SessionDetailView
from core.api.approvals import ApprovalState
from core.api.base import AgentName, Command, EntryId, MessageId, RunId, SessionId
from core.api.errors import ConflictError, Refused
from core.api.profiles import PoolState
from core.api.runs import ActionKind, Compacted, CompactionState, Phase
from core.api.session_orders import (
    ArchiveSession,
    CompactSession,
    LeaseReceipt,
    MoveMessage,
    QueueChanged,
    ReleaseLease,
    SessionCompacted,
    SessionReceipt,
    SetMessageMode,
    UnarchiveSession,
)
from core.api.sessions import Mode, SendMessage, SessionState
from core.api.transcripts import EntryKind
from tests.support.console_desk import RUNNING, WAITING, Desk, busy, desk, lease
from tests.support.fake_hermes import FakeHermes, ago, approval, entry, message, outcome, profile, run, session
from tests.support.fake_work import pool, runner

C = TypeVar("C", bound=Command[Any])
ANA = SessionId("local:dm:ana")


def queued(*, idle: bool = False, **changes: Any) -> FakeHermes:
    """A session with a run and three messages behind it; or an idle one."""
    values: dict[str, Any] = {
        "state": SessionState.RUNNING,
        "run": run(),
        "lane_holder": RunId("run-1"),
        "lease": lease(),
        "lease_token": 7,
        "queue_depth": 3,
        "queue_head": ago(30),
    }
    if idle:
        values = {"last_outcome": outcome()}
    messages = [] if idle else [message(f"word {n}", id=MessageId(f"m{n}"), received=ago(30 - n)) for n in range(3)]
    return FakeHermes(sessions=[session("local:dm:ana", **{**values, **changes})], messages=messages)


def sent(seen: Desk, kind: type[C]) -> list[C]:
    """The commands of one kind, in order."""
    return [command for command in seen.hermes.commands if isinstance(command, kind)]


async def to_inputs(seen: Desk) -> None:
    """To the editor of the queue."""
    await seen.say("session local:dm:ana")
    await seen.press("3")


def order(seen: Desk) -> list[str]:
    """The messages of the editor, from its top."""
    view = seen.app.views["session"]
    assert isinstance(view, SessionDetailView)
    return [row_id.partition(":")[2] for row_id in view.inputs.rows.ids if row_id.startswith("message:")]


async def test_a_message_is_staged_at_another_place_and_enter_sends_it():
    """Esc leaves it; a place that is the old one sends nothing."""
    async with desk(queued()) as seen:
        await to_inputs(seen)
        await seen.press("j", "j", "M", "up", "escape")
        await seen.press("M", "enter")
        assert sent(seen, MoveMessage) == []
        await seen.press("M", "k", "k", "k")
        assert "from 3 to 1 of 3" in seen.text
        await seen.press("enter")
        assert sent(seen, MoveMessage) == [MoveMessage(session_id=ANA, message_id=MessageId("m2"), position=0)]
        assert "moved: 1 of 3 now" in seen.text
        assert order(seen) == ["m2", "m0", "m1"]


async def test_the_queue_is_shown_in_the_order_that_another_operator_gave_it():
    """The event says it; the time of arrival does not count."""
    hermes = queued()
    async with desk(hermes) as seen:
        await to_inputs(seen)
        assert order(seen) == ["m0", "m1", "m2"]
        turned = tuple(reversed(hermes.messages))
        hermes.emit(QueueChanged(session=session("local:dm:ana", version=2, queue_depth=3), messages=turned))
        await seen.settle()
        assert order(seen) == ["m2", "m1", "m0"]


async def test_another_way_of_taking_a_message_is_chosen_from_all_of_them():
    """Each is explained in a line; the one that holds already sends nothing."""
    async with desk(queued()) as seen:
        await to_inputs(seen)
        await seen.press("E")
        for mode in Mode:
            assert f") {mode.value} " in seen.text
        await seen.press("enter")
        assert sent(seen, SetMessageMode) == []
        await seen.press("E", "down", "down", "enter")
        assert sent(seen, SetMessageMode) == [
            SetMessageMode(session_id=ANA, message_id=MessageId("m0"), mode=Mode.STEER)
        ]
        assert "taken as steer now" in seen.text


@pytest.mark.parametrize("size", [(80, 24), (140, 40)], ids=["80x24", "140x40"])
async def test_a_message_that_is_taken_otherwise_than_asked_says_why(size: tuple[int, int]):
    """Also on a narrow screen, in the pane beneath the queue."""
    hermes = busy()
    async with desk(hermes, size) as seen:
        await seen.press("2", "enter", "3", "j", "j")
        for words in ("followup, not steer", "2 of 2", "takes nothing in"):
            assert words in seen.text


async def test_nothing_is_moved_or_changed_that_does_not_wait():
    """The reason is said; a message alone has nowhere to go."""
    hermes = queued(queue_depth=1)
    hermes.messages = hermes.messages[:1]
    async with desk(hermes) as seen:
        await seen.say("session local:dm:ana")
        await seen.press("4", "M")
        assert "no queued message under the cursor" in seen.text
        await seen.press("3", "M")
        assert "nothing else waits here" in seen.text


async def test_open_decisions_say_how_long_they_may_be_made_and_what_hangs_on_them():
    """The run, the task, the messages behind it."""
    hermes = queued()
    asked = approval("a1", session_id=ANA, deadline=ago(-90), task_id="task-9")
    hermes.approvals = {asked.id: asked}
    async with desk(hermes) as seen:
        await to_inputs(seen)
        assert "run run-1, task task-9, 3 queued messages" in seen.text
        assert "1m2" in next(line for line in seen.text.splitlines() if "◆ open" in line)


async def test_a_question_names_the_messages_that_may_be_its_answer():
    """Whoever answers it looks there first."""
    hermes = queued(state=SessionState.WAITING, run=run(phase=Phase.CLARIFY))
    asked = approval("a1", session_id=ANA, title="which branch?", action_kind=ActionKind.QUESTION)
    hermes.approvals = {asked.id: asked}
    async with desk(hermes, (140, 40)) as seen:
        await seen.say("session local:dm:ana")
        assert "waiting on question; 3 queued messages may be the answer: which branch?" in seen.text
        assert "3 queued messages may be the answer, A answers" in seen.text


async def test_what_must_not_be_missed_stands_over_every_tab():
    """A mode that does not ask, a lease that is not renewed, a memory that does not get shorter."""
    compaction = Compacted(
        state=CompactionState.INEFFECTIVE, before_tokens=118_000, after_tokens=117_000, limit_tokens=100_000
    )
    hermes = queued(run=run(mode="dont_ask", asks=False), lease=lease(renewed=ago(45)), compaction=compaction)
    async with desk(hermes, (140, 40)) as seen:
        await seen.say("session local:dm:ana")
        for tab in "12345":
            await seen.press(tab)
            for words in ("dont_ask: it does not ask", "lease stale", "compaction ineffective 118k->117k (limit 100k)"):
                assert words in seen.text


async def test_the_state_tab_has_runner_lease_and_memory():
    """Process, generation, token, figures."""
    async with desk(busy(), (140, 60)) as seen:
        await seen.press("2", "enter", "4")
        for words in ("generation 4", "4711", "token 7 of 7", "118k/100k 118%", "2 tries in a row"):
            assert words in seen.text


async def test_a_summary_in_the_transcript_says_what_it_stands_for():
    """It comes with the event, folded."""
    hermes = queued(idle=True)
    async with desk(hermes, (140, 40)) as seen:
        await seen.say("session local:dm:ana")
        said = entry("Ana likes tea.\nShe said so twice.", id=EntryId("e9"), kind=EntryKind.SUMMARY, author="core")
        found = Compacted(state=CompactionState.DONE, before_tokens=118_000, after_tokens=20_000)
        after = session("local:dm:ana", version=2, compaction=found)
        hermes.emit(SessionCompacted(session=after, compaction=found, entry=said))
        await seen.settle()
        assert "Ana likes tea.  (+1 lines)" in seen.text
        assert "stands for everything before" in seen.text
        assert "twice" not in seen.text


async def test_archiving_asks_why_and_the_list_hides_what_is_archived():
    """The word in the filter shows it, and so does the key for idle ones."""
    async with desk(queued(idle=True)) as seen:
        await seen.press("2", "i", "V", "shift+tab", *"done", "tab", "right", "enter")
        assert sent(seen, ArchiveSession) == [ArchiveSession(session_id=ANA, reason="done")]
        assert "archived; answered" in seen.text
        await seen.press("i")
        assert "1 archived hidden" in seen.text
        assert "archived; answered" not in seen.text
        await seen.press("slash", *"archived", "enter")
        assert "archived; answered" in seen.text


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "a run goes on"),
        ({"run": None, "queue_depth": 2}, "2 messages in its queue"),
        ({"run": None, "queue_depth": 0, "unsent": 1}, "1 answer not sent yet"),
        ({"run": None, "queue_depth": 0, "is_archived": True}, ":session.unarchive takes it up again"),
    ],
)
async def test_what_cannot_be_archived_says_why(changes: dict[str, Any], reason: str):
    """Before anything is sent."""
    async with desk(queued(**changes)) as seen:
        await seen.say("session local:dm:ana")
        await seen.press("V")
        assert reason in seen.text
        assert seen.hermes.commands == []


async def test_a_session_is_taken_up_where_it_was_or_in_an_earlier_epoch():
    """An epoch that it never had is refused in the dialog."""
    async with desk(queued(idle=True, is_archived=True, epoch=2)) as seen:
        await seen.say("session local:dm:ana")
        await seen.say("session.unarchive")
        await seen.press("enter")
        await seen.say("session.unarchive")
        await seen.press("7", "enter")
        assert "is none of its epochs: 0 to 2" in seen.text
        await seen.press("backspace", "1", "enter")
        assert sent(seen, UnarchiveSession) == [
            UnarchiveSession(session_id=ANA, epoch=None),
            UnarchiveSession(session_id=ANA, epoch=1),
        ]


async def test_compacting_says_whether_it_helped():
    """What the core made of it, not that it was asked."""
    hermes = queued(idle=True, context_tokens=118_000)
    found = Compacted(
        state=CompactionState.INEFFECTIVE, before_tokens=118_000, after_tokens=117_000, limit_tokens=100_000
    )
    hermes.receipts[CompactSession] = SessionReceipt(session=session("local:dm:ana", compaction=found))
    async with desk(hermes) as seen:
        await seen.say("session local:dm:ana")
        await seen.press("C")
        assert "118k tokens, estimate" in seen.text
        await seen.press("right", "enter")
        assert sent(seen, CompactSession) == [CompactSession(session_id=ANA)]
        assert "compaction ineffective 118k->117k (limit 100k)" in seen.text


async def test_a_lease_of_a_holder_that_lives_is_released_by_force_only_with_the_typed_id():
    """First without force; then what the core says, and the id; the run that was looked at is named both times."""
    async with desk(queued()) as seen:
        await seen.say("session local:dm:ana")
        await seen.press("L", "shift+tab", *"hung", "tab", "right")
        seen.hermes.fail_next(Refused("the lease was kept: the run goes on", rule="no proof", fix="interrupt the run"))
        await seen.press("enter")
        assert "the holder is alive: release by force?" in seen.text
        assert "the run goes on" in seen.text
        await seen.press("right", "enter")
        assert sent(seen, ReleaseLease) == []
        seen.hermes.receipts[ReleaseLease] = LeaseReceipt(
            session_id=ANA, run_id=RunId("run-1"), is_released=True, why="by force"
        )
        await seen.press("shift+tab", *str(ANA), "enter")
        assert sent(seen, ReleaseLease) == [
            ReleaseLease(session_id=ANA, is_forced=True, run_id=RunId("run-1"), reason="hung")
        ]
        assert "released: run run-1 holds it no more (by force)" in seen.text


async def test_force_is_not_offered_when_another_run_holds_the_lease_by_now():
    """What was looked at is gone: look again."""
    async with desk(queued()) as seen:
        await seen.say("session local:dm:ana")
        await seen.press("L", "right")
        seen.hermes.fail_next(ConflictError("that run no longer holds the session", key="run_id"))
        await seen.press("enter")
        assert len(seen.app.screen_stack) == 1
        assert "that run no longer holds the session" in seen.text


async def test_a_session_that_nobody_holds_has_nothing_to_release():
    """The key says so."""
    async with desk(queued(idle=True)) as seen:
        await seen.say("session local:dm:ana")
        await seen.press("L")
        assert "nothing holds it" in seen.text


async def test_a_message_can_be_sent_in_every_way_and_to_another_model():
    """The preview follows the way; the model is for this turn alone."""
    async with desk(queued()) as seen:
        await seen.say("session local:dm:ana")
        await seen.press("I", *"look", "shift+tab", "down")
        assert "followups share a turn" in seen.text
        await seen.press("tab", "tab", *"big", "enter")
        (command,) = sent(seen, SendMessage)
        assert (command.text, command.mode, command.model) == ("look", Mode.FOLLOWUP, "big")


async def test_sessions_of_tasks_are_in_the_list():
    """Work without a chat is a session like any other."""
    hermes = queued()
    hermes.sessions[SessionId("tasks:dm:task-1")] = session("tasks:dm:task-1", phase=Phase.TOOL)
    async with desk(hermes) as seen:
        await seen.press("2")
        assert "tasks:dm:task-1" in seen.text


async def test_the_overview_leads_to_agents_and_tasks_and_asks_orphans_again():
    """One line each; R on what a restart left undecided."""
    hermes = FakeHermes(
        sessions=[session("local:dm:ana")],
        approvals=[approval("a1", state=ApprovalState.ORPHANED)],
        profiles=[profile("main", pool=pool(state=PoolState.PAUSED, reason="freeze", changed_by="raj"))],
    )
    async with desk(hermes, (140, 40)) as seen:
        assert "a restart left it undecided" in seen.text
        assert "paused by raj: freeze" in seen.text
        assert "main paused" in seen.text
        await seen.press("R")
        assert "ask again?" in seen.text
        await seen.press("escape", "j", "enter")
        assert seen.app.navigator.place == "agent"
        assert seen.app.navigator.view.target().agent == AgentName("main")


async def test_a_runner_that_does_not_ask_is_seen_in_the_list():
    """In the row of its session."""
    async with desk(busy()) as seen:
        await seen.press("2")
        (row,) = [line for line in seen.text.splitlines() if RUNNING in line]
        assert "dont_ask: it does not ask" in row
        assert WAITING in seen.text


@pytest.mark.parametrize(
    "keys", [("1",), ("3", "j", "j"), ("4",), ("3", "j", "j", "M"), ("3", "j", "j", "E")], ids="".join
)
async def test_a_session_needs_no_unicode(keys: tuple[str, ...]):
    """Bars, signs and cut words too."""
    async with desk(busy(), environ={"LANG": "C", "TERM": "vt100"}) as seen:
        await seen.press("2", "enter", *keys)
        assert seen.text.isascii()


async def test_facts_of_a_runner_cannot_write_to_the_terminal_or_make_headings():
    """They come from the agent's process."""
    hostile = runner(
        kind="a\x1bcp", mode="\x1b[31mfree", asks=False, facts={"-- pid": "\x1b]0;x\x07", "api_key": "sk-123456789abc"}
    )
    async with desk(queued(idle=True, runner=hostile), (140, 70)) as seen:
        await seen.say("session local:dm:ana")
        await seen.press("4")
        assert "\x1b" not in seen.text
        assert "<ESC>[31mfree: it does not ask" in seen.text
        assert "-- pid" not in seen.text
        assert "sk-123456789abc" not in seen.text


async def test_a_runner_of_an_idle_session_is_shown_too():
    """It is kept for the next turn."""
    hermes = queued(idle=True, runner=runner(facts={"pid": "99"}))
    async with desk(hermes, (140, 40)) as seen:
        await seen.say("session local:dm:ana")
        assert "scripted 1" in seen.text
