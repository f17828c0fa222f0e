"""What operators do: dialogs, commands bound to what was seen, receipts, reasons."""

from typing import Any

import msgspec
import pytest

from console.actions import ACTIONS
from core.api import session_queue, sessions
from core.api.approvals import AnswerApproval, ApprovalDecided, ApprovalState
from core.api.base import Command
from core.api.deliveries import DropDelivery, RetryDelivery
from core.api.errors import Refused
from core.api.sessions import SessionState
from tests.support.console_desk import WAITING, busy, desk
from tests.support.views import (
    NOW,
    ago,
    run,
    session,
)


@pytest.mark.parametrize(
    "dialog", [("2", "I"), ("2", "X"), ("2", "R"), ("3", "A"), ("1", "N"), ("8", "R"), ("1", "q")], ids=str
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
        assert "2 queued messages kept" in seen.text
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
        decided = msgspec.structs.replace(view, version=9, state=ApprovalState.APPROVED, decided=NOW, decided_by="raj")
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
        dropped = [command for command in hermes.commands if isinstance(command, session_queue.DropMessage)]
        assert [command.message_id for command in dropped] == ["m2"]


@pytest.mark.parametrize(("key", "kind"), [("R", RetryDelivery), ("X", DropDelivery)])
async def test_a_delivery_is_tried_again_or_dropped_after_a_yes(key: str, kind: type[Command[Any]]):
    """The dead one is the first in the list."""
    hermes = busy()
    async with desk(hermes) as seen:
        await seen.press("8", key, "right", "enter")
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


@pytest.mark.parametrize("place", ["1", "2", "3", "4", "8"])
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
