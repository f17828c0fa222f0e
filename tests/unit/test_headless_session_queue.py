"""The queue, the archive, the memory and the lease of a session from a shell."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.api.base import MessageId, RunId, SessionId
from core.api.errors import Refused
from core.api.runs import Compacted, CompactionState
from core.api.session_orders import (
    ArchiveSession,
    CompactSession,
    LeaseReceipt,
    MoveMessage,
    ReleaseLease,
    SessionReceipt,
    SetMessageMode,
    UnarchiveSession,
)
from core.api.sessions import MessageState, Mode, Outcome, SendMessage, SendReceipt, SessionState
from tests.support.console_desk import lease
from tests.support.fake_hermes import FakeHermes, ago, message, run, session
from tests.support.fake_work import runner
from tests.support.shell import Shell, shell_on

ANA = SessionId("local:dm:ana")
COMPACTED = Compacted(
    state=CompactionState.INEFFECTIVE, before_tokens=118_000, after_tokens=117_000, limit_tokens=100_000
)


@pytest.fixture
def hermes() -> FakeHermes:
    """A session with a run, two messages behind it, and everything that works for it."""
    busy = session(
        ANA,
        state=SessionState.RUNNING,
        run=run(),
        lane_holder=RunId("run-1"),
        queue_depth=2,
        lease=lease(),
        lease_token=7,
        runner=runner(mode="dont_ask", asks=False, facts={"pid": "4711"}),
        compaction=COMPACTED,
        context_tokens=118_000,
    )
    messages = [
        message("now", id=MessageId("m0"), state=MessageState.RUNNING),
        message("first", id=MessageId("m1"), received=ago(30)),
        message(
            "\x1b[31msecond",
            id=MessageId("m2"),
            received=ago(20),
            mode=Mode.STEER,
            effective_mode=Mode.FOLLOWUP,
            mode_reason="this agent takes nothing in",
        ),
    ]
    return FakeHermes(sessions=[busy], messages=messages)


@pytest.fixture
def shell(hermes: FakeHermes) -> Iterator[Shell]:
    """A shell on that core."""
    with tempfile.TemporaryDirectory(prefix="hc-") as folder, shell_on(hermes, Path(folder)) as opened:
        yield opened


def test_the_queue_is_listed_with_its_order_and_why_modes_differ(shell: Shell) -> None:
    """What is being answered is not in it; text from outside cannot write to the terminal."""
    said = shell.run(f"sessions queue {ANA}")
    assert said.code == 0
    rows = [line.split() for line in said.lines[1:]]
    assert [row[:2] for row in rows] == [["0", "m1"], ["1", "m2"]]
    assert "this agent takes nothing in" in said.lines[2]
    assert "\x1b" not in said.out
    found = json.loads(shell.run(f"sessions queue {ANA} --json").out)
    assert [item["id"] for item in found["messages"]] == ["m1", "m2"]


def test_a_message_is_moved_and_the_new_order_is_printed(shell: Shell, hermes: FakeHermes) -> None:
    """Data on stdout, what came of it on stderr."""
    hermes.messages = hermes.messages[1:]
    said = shell.run(f"sessions move {ANA} m2 0")
    assert [line.split()[1] for line in said.lines[1:]] == ["m2", "m1"]
    assert "moved: 1 of 2 now" in said.err
    assert hermes.commands == [MoveMessage(session_id=ANA, message_id=MessageId("m2"), position=0)]


def test_a_message_is_taken_in_another_way(shell: Shell, hermes: FakeHermes) -> None:
    """A way that there is not is refused before anything is sent."""
    assert shell.run(f"sessions mode {ANA} m1 shout").code == 2
    assert hermes.commands == []
    said = shell.run(f"sessions mode {ANA} m1 steer-backlog")
    assert "taken as steer-backlog now" in said.err
    assert hermes.commands == [SetMessageMode(session_id=ANA, message_id=MessageId("m1"), mode=Mode.STEER_BACKLOG)]


def test_what_does_not_wait_cannot_be_moved(shell: Shell) -> None:
    """The core says so, and the exit code does."""
    assert shell.run(f"sessions move {ANA} nope 0").code == 4


def test_a_session_is_archived_and_taken_up_again(shell: Shell, hermes: FakeHermes) -> None:
    """In its last epoch unless another is named; one below zero is none."""
    assert "archived: local:dm:ana" in shell.run(f"sessions archive {ANA} --reason done").out
    assert "yes" in next(line for line in shell.run(f"sessions show {ANA}").lines if line.startswith("archived"))
    assert "goes on in epoch 0" in shell.run(f"sessions unarchive {ANA}").out
    assert shell.run(f"sessions unarchive {ANA} --epoch 0").code == 0
    assert shell.run(f"sessions unarchive {ANA} --epoch -1").code == 2
    assert hermes.commands == [
        ArchiveSession(session_id=ANA, reason="done"),
        UnarchiveSession(session_id=ANA),
        UnarchiveSession(session_id=ANA, epoch=0),
    ]


def test_compacting_prints_what_came_of_it(shell: Shell, hermes: FakeHermes) -> None:
    """A try that did not help is not called done."""
    hermes.receipts[CompactSession] = SessionReceipt(session=session(ANA, compaction=COMPACTED))
    assert "compaction ineffective 118k->117k (limit 100k)" in shell.run(f"sessions compact {ANA}").out


def test_a_lease_is_released_by_force_only_after_a_yes(shell: Shell, hermes: FakeHermes) -> None:
    """Without force nobody is asked, and the core decides."""
    shell.on_core(
        lambda: hermes.fail_next(Refused("the lease was kept: the run goes on", rule="no proof", fix="use force"))
    )
    said = shell.run(f"sessions release {ANA} --run run-1")
    assert said.code == 5
    assert "the run goes on" in said.err
    assert shell.run(f"sessions release {ANA} --force").code == 5
    assert hermes.commands == []
    hermes.receipts[ReleaseLease] = LeaseReceipt(
        session_id=ANA, run_id=RunId("run-1"), is_released=True, why="by force"
    )
    said = shell.run(f"sessions release {ANA} --force --yes --run run-1 --reason hung")
    assert said.code == 0
    assert "holds it no more" in said.out
    assert hermes.commands == [
        ReleaseLease(session_id=ANA, is_forced=True, run_id=RunId("run-1"), reason="hung"),
    ]


def test_show_has_runner_lease_and_memory(shell: Shell) -> None:
    """With the mode that does not ask, and what became of the last compaction."""
    out = shell.run(f"sessions show {ANA}").out
    for words in (
        "scripted 1, idle",
        "dont_ask: it does not ask",
        "4711",
        "run-1, token 7",
        "118000 of 100000 tokens, estimate",
        "compaction ineffective 118k->117k (limit 100k)",
        "lease_renewed",
        "runner_active",
    ):
        assert words in out


@pytest.mark.parametrize("mode", list(Mode))
def test_a_message_is_sent_in_every_way_and_says_what_became_of_it(
    shell: Shell, hermes: FakeHermes, mode: Mode
) -> None:
    """The outcome is the core's."""
    hermes.receipts[SendMessage] = SendReceipt(
        session_id=ANA,
        message_id=MessageId("m9"),
        position=0,
        mode=mode,
        effective_mode=mode,
        outcome=Outcome.INTERRUPTED,
    )
    said = shell.run(f"sessions send {ANA} hello --mode {mode.value} --model big")
    assert "interrupted" in said.out
    (command,) = hermes.commands
    assert isinstance(command, SendMessage)
    assert (command.mode, command.model) == (mode, "big")
