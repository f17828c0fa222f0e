"""Sessions, approvals and deliveries from a shell, over a real socket."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.api.approvals import AnswerApproval
from core.api.base import Actor, ActorKind, Command, MessageId, R, RunId, SessionId
from core.api.codec import decode_record, decode_view
from core.api.deliveries import DropDelivery, RetryDelivery
from core.api.errors import AlreadyDecided, Overloaded
from core.api.runs import Phase, Stop
from core.api.session_queue import DropMessage, MessageDropped
from core.api.sessions import (
    InterruptSession,
    MessageQueued,
    Mode,
    OpenSession,
    ResetSession,
    RunEnded,
    RunStarted,
    SendMessage,
    SendReceipt,
    SessionDetail,
    SessionOpened,
    SessionPage,
    Voice,
)
from core.api.transcripts import EntryKind
from tests.support.fake_hermes import (
    FakeHermes,
    ago,
    answer,
    approval,
    delivery,
    entry,
    message,
    outcome,
    run,
    session,
)
from tests.support.shell import Shell, shell_on

ANA = SessionId("local:dm:ana")


class Answering(FakeHermes):
    """A core whose agent answers at once; `ending` is how."""

    ending = Stop.END_TURN
    drops = False

    async def execute(self, command: Command[R], *, actor: Actor) -> R:
        """Queue as the fake does, then let the run come and go."""
        receipt = await super().execute(command, actor=actor)
        if isinstance(receipt, SendReceipt) and not receipt.is_duplicate:
            self._run(receipt.message_id)
        return receipt

    def _run(self, message_id: MessageId) -> None:
        held = self.sessions[ANA]
        if self.drops:
            bo = Actor(ActorKind.OPERATOR, "bo")
            self.emit(MessageDropped(session=held, message=self.messages[-1], reason=""), actor=bo)
            return
        running = msgspec.structs.replace(held, run=run("run-7", message_ids=(message_id,)))
        self.emit(RunStarted(session=running, entries=(entry(message_id=message_id),)))
        ended = outcome("run-7", stop=self.ending, answered=self.ending.is_answer, error="")
        said = answer("two\nlines \x1b[31m", run_id=RunId("run-7"))
        self.emit(RunEnded(session=held, outcome=ended, entries=(said,)))


@pytest.fixture
def home() -> Iterator[Path]:
    """A home whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="hc-") as folder:
        yield Path(folder)


@pytest.fixture
def shell(home: Path) -> Iterator[Shell]:
    """A shell on a core with three sessions."""
    fake = FakeHermes(
        sessions=[
            session("ana", queue_depth=1, queue_head=ago(5), inbound=ago(5), open_approvals=1),
            session("bo", phase=Phase.TOOL),
            session("telegram:group:7", title="\x1b[2Jcats \u202e"),
        ],
        messages=[message("what is it?")],
        entries={ANA: [entry("hello"), answer("hi\nthere")]},
        approvals=[approval()],
        deliveries=[delivery()],
    )
    with shell_on(fake, home) as opened:
        yield opened


def test_sessions_are_listed_in_aligned_columns(shell: Shell) -> None:
    """Every row has its cells where the heading has them."""
    said = shell.run("sessions list")
    assert said.code == 0
    head, *rows = said.lines
    assert [row.split()[0] for row in rows] == ["local:dm:ana", "local:dm:bo", "telegram:group:7"]
    assert {row[head.index("state") :].split()[0] for row in rows} == {"idle", "running"}


def test_text_from_outside_reaches_no_terminal(shell: Shell) -> None:
    """Control characters and direction marks are shown, not obeyed."""
    said = shell.run("sessions list --plain")
    assert "<ESC>[2Jcats <U+202E>" in said.out
    assert "\x1b" not in said.out


def test_a_list_fits_the_terminal_unless_it_is_plain(shell: Shell) -> None:
    """On a terminal the widest columns are cut; --plain cuts nothing."""
    assert max(len(line) for line in shell.run("sessions list", width=60).lines) <= 60
    assert max(len(line) for line in shell.run("sessions list --plain", width=60).lines) > 60


def test_json_is_the_view_in_one_line(shell: Shell) -> None:
    """What --json prints is the encoded view and nothing else."""
    said = shell.run("sessions list --json --state running")
    page = decode_view(said.out.encode())
    assert isinstance(page, SessionPage)
    assert [view.id for view in page.sessions] == ["local:dm:bo"]
    assert said.out.count("\n") == 1


def test_a_list_that_is_cut_says_so_aside(shell: Shell) -> None:
    """The data stays data; that there is more is narrated."""
    said = shell.run("--json sessions list --limit 1")
    assert len(json.loads(said.out)["sessions"]) == 1
    assert "1 of 3 sessions" in said.err


def test_a_session_is_shown_with_the_ages_of_its_facts(shell: Shell) -> None:
    """Name, age and wall time of each fact, and what waits."""
    said = shell.run(f"sessions show {ANA}")
    rows = {line.split()[0]: line.split()[1:] for line in said.lines if line}
    assert rows["created"][0] == "1h00m"
    assert rows["created"][1].startswith("2023-11-14")
    assert rows["outbound_ack"] == ["never"]
    assert "what is it?" in said.out


def test_a_session_as_json_has_its_ages(shell: Shell) -> None:
    """The detail carries ages_s."""
    detail = decode_view(shell.run(f"sessions show {ANA} --json").out.encode())
    assert isinstance(detail, SessionDetail)
    assert detail.ages_s["created"] == 3600


def test_a_transcript_is_printed_entry_by_entry(shell: Shell) -> None:
    """Who, when, and the text set in."""
    said = shell.run(f"sessions transcript {ANA}")
    assert [line.strip() for line in said.lines if line.startswith("  ")] == ["hello", "hi", "there"]


def test_a_message_is_sent_as_a_note_unless_said_otherwise(shell: Shell) -> None:
    """The text, voice, mode and key reach the core as one command, with the operator as actor."""
    assert shell.run(f"sessions send {ANA} 'mind the gap'").code == 0
    assert shell.run(f"sessions send {ANA} now --as user --mode interrupt --key k1").code == 0
    assert shell.fake.commands == [
        SendMessage(session_id=ANA, text="mind the gap", voice=Voice.NOTE),
        SendMessage(session_id=ANA, text="now", voice=Voice.USER, mode=Mode.INTERRUPT, idempotency_key="k1"),
    ]
    assert {actor.kind for actor in shell.fake.actors} == {ActorKind.OPERATOR}


def test_a_dash_reads_the_text_from_stdin(shell: Shell) -> None:
    """The last line break is not part of it."""
    shell.run(f"sessions send {ANA} -", stdin="one\ntwo\n")
    assert shell.fake.commands == [SendMessage(session_id=ANA, text="one\ntwo")]


def test_a_conversation_is_begun(shell: Shell) -> None:
    """OpenSession with its platform, chat, text and agent."""
    assert shell.run("sessions open local lobby hello --agent main").code == 0
    assert shell.fake.commands == [OpenSession(platform="local", chat="lobby", text="hello", agent="main")]  # type: ignore[arg-type]  # names are plain text here


@pytest.mark.parametrize("line", [f"sessions send {ANA} hi --wait", "sessions open local ana hi --wait"])
def test_waiting_prints_the_answer_and_nothing_else(home: Path, line: str) -> None:
    """The answer is the data, made harmless; the receipt is narration."""
    with shell_on(Answering(sessions=[session("ana")]), home) as shell:
        said = shell.run(line)
    assert (said.code, said.out) == (0, "two\nlines <ESC>[31m\n")
    assert "sent-1" in said.err


def test_waiting_with_json_gives_the_receipt_and_the_record_of_the_end(home: Path) -> None:
    """Two lines, each a word of the facade."""
    with shell_on(Answering(sessions=[session("ana")]), home) as shell:
        receipt, end = shell.run(f"sessions send {ANA} hi --wait --json").lines
    assert json.loads(receipt)["message_id"] == "sent-1"
    record = decode_record(end.encode())
    assert isinstance(record.event, RunEnded)
    assert record.event.entries[0].kind is EntryKind.AGENT


def test_a_run_without_an_answer_is_a_failure(home: Path) -> None:
    """Exit code 1, nothing on stdout, the reason on stderr."""
    fake = Answering(sessions=[session("ana")])
    fake.ending = Stop.TIMEOUT
    with shell_on(fake, home) as shell:
        said = shell.run(f"sessions send {ANA} hi --wait")
    assert (said.code, said.out) == (1, "")
    assert "timeout" in said.err


def test_a_message_that_somebody_drops_is_not_waited_for(home: Path) -> None:
    """Exit code 6, and who did it."""
    fake = Answering(sessions=[session("ana")])
    fake.drops = True
    with shell_on(fake, home) as shell:
        said = shell.run(f"sessions send {ANA} hi --wait")
    assert said.code == 6
    assert "dropped by bo" in said.err


def test_waiting_for_a_repeated_order_finds_the_old_answer(home: Path) -> None:
    """The same key again: nothing new is sent, the answer is found in the journal."""
    fake = Answering(sessions=[session("ana")])
    with shell_on(fake, home) as shell:
        first = shell.run(f"sessions send {ANA} hi --wait --key k1")
        before = len(fake.records)
        second = shell.run(f"sessions send {ANA} hi --wait --key k1")
    assert (second.code, second.out) == (0, first.out)
    assert len(fake.records) == before


def test_waiting_ends_at_its_limit(shell: Shell) -> None:
    """Exit code 7; the message stays."""
    said = shell.run(f"sessions send {ANA} hi --wait --timeout 0.05")
    assert said.code == 7
    assert "no answer within 0.05 s" in said.err
    assert [item.text for item in shell.fake.messages][-1] == "hi"


def test_a_run_is_stopped_by_its_id(shell: Shell) -> None:
    """InterruptSession with the run that was meant; another one is a conflict."""
    assert shell.run("sessions stop local:dm:bo --run run-1 --reason enough").code == 0
    assert shell.run("sessions stop local:dm:bo --run run-9").code == 6
    assert shell.fake.commands[0] == InterruptSession(
        session_id=SessionId("local:dm:bo"), run_id=RunId("run-1"), reason="enough"
    )


def test_a_reset_keeps_the_queue_and_asks_nothing(shell: Shell) -> None:
    """Nothing queued is lost, so there is no question."""
    assert shell.run(f"sessions reset {ANA} --reason new").code == 0
    assert shell.fake.commands == [ResetSession(session_id=ANA, reason="new")]


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (f"sessions reset {ANA} --drop-queue", ResetSession(session_id=ANA, drop_queue=True)),
        (f"sessions drop {ANA} message-1", DropMessage(session_id=ANA, message_id=MessageId("message-1"))),
        ("deliveries drop delivery-1", DropDelivery(delivery_id="delivery-1")),  # type: ignore[arg-type]  # plain text
    ],
)
def test_what_loses_something_asks_first(shell: Shell, line: str, command: Any) -> None:
    """Without a terminal it needs --yes; with one the question names the loss, and only yes goes on."""
    refused = shell.run(line)
    assert refused.code == 5
    assert "--yes" in refused.err
    declined = shell.run(line, stdin="\n", is_terminal=True)
    assert declined.code == 5
    assert "loses" in declined.err
    assert shell.fake.commands == []
    assert shell.run(line, stdin="yes\n", is_terminal=True).code == 0
    assert shell.fake.commands == [command]


def test_yes_asks_nothing(shell: Shell) -> None:
    """For scripts."""
    said = shell.run(f"sessions drop {ANA} message-1 --yes")
    assert (said.code, said.err) == (0, "")


def test_approvals_are_listed_and_shown_in_full(shell: Shell) -> None:
    """What is asked, the answers, and the digest of it all."""
    assert "delete report.txt" in shell.run("approvals list").out
    said = shell.run("approvals show approval-1")
    assert "0123456789abcdef" in said.out
    assert "rm report.txt" in said.out
    assert [line.split()[0] for line in said.lines[-2:]] == ["yes", "no"]


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        ("approvals approve approval-1 --reason fine", {"allow": True, "reason": "fine"}),
        ("approvals deny approval-1 --digest 00", {"allow": False, "digest": "00"}),
        ("approvals answer approval-1 no", {"allow": False, "option_id": "no", "digest": "0123456789abcdef"}),
    ],
)
def test_a_decision_reaches_the_core(shell: Shell, line: str, changes: dict[str, Any]) -> None:
    """Approve, deny, or one of the agent's own answers."""
    assert shell.run(line).code == 0
    assert shell.fake.commands == [AnswerApproval(approval_id=approval().id, **changes)]


def test_an_answer_that_is_not_offered_is_refused_here(shell: Shell) -> None:
    """Exit code 2, and the answers that there are."""
    said = shell.run("approvals answer approval-1 maybe")
    assert said.code == 2
    assert "yes, no" in said.err
    assert shell.fake.commands == []


def test_the_second_decision_comes_too_late(shell: Shell) -> None:
    """Exit code 6 of AlreadyDecided crosses the socket."""
    shell.run("approvals approve approval-1")
    assert shell.run("approvals deny approval-1").code == AlreadyDecided.exit_code == 6


def test_deliveries_are_listed_and_retried(shell: Shell) -> None:
    """What is stuck, why, and a new attempt."""
    assert "connection refused" in shell.run("deliveries list").out
    assert shell.run("deliveries retry delivery-1").code == 0
    assert shell.fake.commands == [RetryDelivery(delivery_id=delivery().id)]


def test_an_error_is_told_with_its_fix_and_its_code(shell: Shell) -> None:
    """In words, or as JSON on stderr; stdout stays empty."""
    said = shell.run("sessions show local:dm:nobody")
    assert (said.code, said.out) == (4, "")
    assert said.err.startswith("hermes-console: no session")
    shell.fake.fail_next(Overloaded("too much\x1b[0m", limit=3, fix="wait"))
    said = shell.run("sessions show local:dm:ana --json")
    assert said.code == 5
    assert json.loads(said.err) == {
        "code": "overloaded",
        "message": "too much\x1b[0m",
        "facts": {"limit": 3, "fix": "wait"},
    }
    shell.fake.fail_next(Overloaded("too much\x1b[0m", limit=3, fix="wait"))
    assert shell.run("sessions show local:dm:ana").err == "hermes-console: too much<ESC>[0m\n  try: wait\n"


def test_events_that_come_meanwhile_disturb_nothing(home: Path) -> None:
    """A wait looks only at its own session and message."""

    class Busy(Answering):
        def _run(self, message_id: MessageId) -> None:
            other = session("bo", run=run("run-8", message_ids=(MessageId("m8"),)))
            self.emit(SessionOpened(session=other))
            self.emit(MessageQueued(session=other, message=message(session_id=other.id, id=MessageId("m8"))))
            self.emit(RunStarted(session=other, entries=()))
            self.emit(RunEnded(session=other, outcome=outcome("run-8"), entries=(answer("not this"),)))
            super()._run(message_id)

    with shell_on(Busy(sessions=[session("ana")]), home) as shell:
        said = shell.run(f"sessions send {ANA} hi --wait")
    assert said.out.startswith("two\n")
