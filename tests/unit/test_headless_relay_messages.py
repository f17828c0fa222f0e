"""Messages from bot to bot from a shell: send, wait, look, cancel, send again, give another address."""

import json
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from core.api.base import SessionId
from core.api.relay_tasks import (
    AttemptResult,
    CancelRelay,
    ListRelayTasks,
    RelayDirection,
    RelayEnded,
    RelayReason,
    RelayReceipt,
    RelayState,
    RelayTaskFilter,
    RelayTaskId,
    ReplayReceipt,
    ReplayRelay,
    RetargetRelay,
    SendRelay,
)
from tests.support.busy_relay import DEAD_ID, busy_relay
from tests.support.fake_hermes import NOW, FakeHermes
from tests.support.relay_views import a_message, an_attempt
from tests.support.shell import Said, Shell, shell_on

LIMIT_S = 20


@pytest.fixture
def hermes() -> FakeHermes:
    """A relay with messages in every state."""
    return FakeHermes(relay=busy_relay())


@pytest.fixture
def shell(hermes: FakeHermes) -> Iterator[Shell]:
    """A shell on it."""
    with tempfile.TemporaryDirectory(prefix="hc-") as folder, shell_on(hermes, Path(folder)) as opened:
        yield opened


def _end(shell: Shell, hermes: FakeHermes, place: int, **changes: object) -> None:
    task = hermes.relay.tasks[f"0000000{place}-0000-4000-8000-000000000000"]
    ended = msgspec.structs.replace(task, version=task.version + 1, ended=NOW, **changes)
    hermes.emit(RelayEnded(task=ended))


def _waited(shell: Shell, hermes: FakeHermes, line: str, *ends: dict[str, object]) -> Said:
    """What a call prints that waits, while the core ends the messages that it sent."""
    said: list[Said] = []
    thread = threading.Thread(target=lambda: said.append(shell.run(line)), daemon=True)
    thread.start()
    # The answer would be lost on a call that does not follow yet.
    while thread.is_alive() and not shell.on_core(lambda: hermes.subscriber_count):
        pass
    for place, changes in enumerate(ends):
        shell.on_core(lambda place=place, changes=changes: _end(shell, hermes, place, **changes))
    thread.join(LIMIT_S)
    assert not thread.is_alive()
    return said[0]


def test_a_text_is_sent_to_several_bots(shell: Shell, hermes: FakeHermes) -> None:
    """Each gets it for itself; what is stored is printed."""
    done = shell.run("relay send 'is it up?' --to ops --to review --platform telegram --chat-id=-1 --session s")
    assert hermes.commands == [
        SendRelay(to=("ops", "review"), text="is it up?", platform="telegram", chat="-1", session_id=SessionId("s"))
    ]
    assert [line.split()[1] for line in done.lines[1:]] == ["queued", "queued"]
    assert "on its way to ops, review" in done.err


def test_a_text_comes_from_stdin_under_an_id_of_ones_own(shell: Shell, hermes: FakeHermes) -> None:
    """So that a script can repeat the call."""
    shell.run("relay send - --to ops --id mine --url http://127.0.0.1:9101 --context c9", stdin="two\nlines\n")
    assert hermes.commands == [
        SendRelay(to=("ops",), text="two\nlines", id="mine", url="http://127.0.0.1:9101", context="c9")
    ]
    assert shell.run("relay send hello").code == 2


def test_a_call_waits_for_the_answer_and_prints_it(shell: Shell, hermes: FakeHermes) -> None:
    """Nothing but the answer is on stdout."""
    done = _waited(
        shell, hermes, "relay send hello --to ops --wait", {"state": RelayState.COMPLETED, "answer": "it\nis"}
    )
    assert (done.code, done.out) == (0, "it\nis\n")


def test_an_answer_that_asks_back_is_said_to_be_one(shell: Shell, hermes: FakeHermes) -> None:
    """The question is the answer; that it is one is said beside it."""
    asking = {"state": RelayState.COMPLETED, "answer": "Which one?", "error": "it asks back; answer"}
    done = _waited(shell, hermes, "relay send hello --to ops --wait", asking)
    assert (done.code, done.out) == (0, "Which one?\n")
    assert "to ops is completed: it asks back; answer" in done.err


def test_answers_of_several_bots_are_told_apart(shell: Shell, hermes: FakeHermes) -> None:
    """One that did not end well is a failure, with its reason."""
    done = _waited(
        shell,
        hermes,
        "relay send hello --to ops --to review --wait",
        {"state": RelayState.COMPLETED, "answer": "yes"},
        {"state": RelayState.DEAD, "reason": RelayReason.UNDELIVERED},
    )
    assert (done.code, done.out) == (1, "ops: yes\n")
    assert "to review is dead: it cannot have been seen over there" in done.err


def test_one_that_was_over_before_is_printed_at_once(shell: Shell, hermes: FakeHermes) -> None:
    """A repeated call gives the answer of the first."""
    over = a_message(DEAD_ID, state=RelayState.COMPLETED, answer="long since")
    shell.on_core(lambda: hermes.relay.tasks.update({DEAD_ID: over}))
    hermes.receipts[SendRelay] = RelayReceipt(tasks=(over,), is_duplicate=True)
    done = shell.run("relay send hello --to ops --id x --wait")
    assert (done.code, done.out) == (0, "long since\n")
    assert "sent before" in done.err


def test_a_call_that_fell_behind_goes_on_waiting(shell: Shell, hermes: FakeHermes) -> None:
    """It asks how the message stands, and follows from there."""
    shell.on_core(lambda: setattr(hermes, "kept_after", hermes.seq + 1))
    done = _waited(shell, hermes, "relay send hello --to ops --wait", {"state": RelayState.FAILED, "error": "no model"})
    assert (done.code, done.out) == (1, "")
    assert "to ops is failed: no model" in done.err


def test_a_wait_ends_with_its_limit(shell: Shell) -> None:
    """The message stays."""
    done = shell.run("relay send hello --to ops --wait --timeout 0.05")
    assert done.code == 7
    assert "stays where it is" in done.err


@pytest.mark.parametrize("words", ["-3", "0", "nan", "inf", "soon"])
def test_a_wait_that_cannot_be_sends_nothing(shell: Shell, hermes: FakeHermes, words: str) -> None:
    """It would be over before the answer could come."""
    done = shell.run(f"relay send hello --to ops --wait --timeout={words}")
    assert (done.code, hermes.commands) == (2, [])
    assert f"{words} is no number of seconds" in done.err


def test_messages_are_listed_and_narrowed(shell: Shell, hermes: FakeHermes) -> None:
    """By all that is known of them; counts of all stand beside the data."""
    done = shell.run("relay tasks")
    assert done.lines[0].split() == ["message", "state", "way", "age", "try", "next", "error", "text"]
    assert [line for line in done.lines if "hotplex/42" in line]
    assert [line for line in done.lines if line.startswith(DEAD_ID)]
    assert "3 dead" in done.err
    shell.run(
        "relay tasks --state dead --state failed --direction out --bot b --origin o --peer p --reason loop --text t"
        " --conversation c --since 1h --limit 5 --cursor 2"
    )
    assert hermes.queries[-2] == ListRelayTasks(
        only=RelayTaskFilter(
            states=(RelayState.DEAD, RelayState.FAILED),
            direction=RelayDirection.OUT,
            bot="b",
            origin="o",
            peer="p",
            reason=RelayReason.LOOP,
            text="t",
            conversation="c",
            since=NOW.at - 3600,
        ),
        limit=5,
        cursor="2",
    )


@pytest.mark.parametrize(
    ("words", "since"), [("90", NOW.at - 90), ("1d", NOW.at - 86_400), ("2023-11-14T22:00:00+00:00", 1_699_999_200.0)]
)
def test_times_are_spans_or_dates(shell: Shell, hermes: FakeHermes, words: str, since: float) -> None:
    """A span is counted on the core's clock."""
    shell.run(f"relay tasks --since {words}")
    found = [query for query in hermes.queries if isinstance(query, ListRelayTasks)]
    assert found[-1].only.since == since
    assert shell.run("relay tasks --since yesterday").code == 2


def test_a_message_is_shown_whole(shell: Shell, hermes: FakeHermes) -> None:
    """With every attempt, its text line by line, and who else got it."""
    group = [a_message(f"a{n}", group="g", bot=f"bot-{n}", text="one\ntwo", answer="three\nfour") for n in (1, 2)]
    shell.on_core(lambda: hermes.relay.tasks.update({str(task.id): task for task in group}))
    hermes.relay.attempts["a1"] = (an_attempt(), an_attempt(2, result=AttemptResult.DELIVERED, status=202, error=""))
    done = shell.run("relay show a1")
    assert "attempt 1, 4m59s ago: undelivered 503 in 0.31 s, first try" in done.out
    assert "attempt 2, 4m58s ago: delivered 202" in done.out
    assert "a2  queued  bot-2" in done.out
    assert done.out.endswith("-- text\none\ntwo\n\n-- answer\nthree\nfour\n")
    assert json.loads(shell.run("relay show a1 --json").out)["text"] == "one\ntwo"
    assert shell.run("relay show zz").code == 4


def test_what_goes_on_with_a_message_is_shown_as_a_shell_knows_it(shell: Shell, hermes: FakeHermes) -> None:
    """The conversation over there for --context, and commands in place of keys."""
    hermes.relay.contexts[DEAD_ID] = "talk-7"
    dead = a_message(DEAD_ID, state=RelayState.DEAD, reason=RelayReason.UNDELIVERED)
    shell.on_core(lambda: hermes.relay.tasks.update({DEAD_ID: dead}))
    lines = shell.run(f"relay show {DEAD_ID}").lines
    assert ["context", "talk-7"] in [line.split() for line in lines]
    assert any(line.startswith(f"relay replay {DEAD_ID} sends it again") for line in lines)
    assert not any(line.split()[:2] == ["next", "R"] for line in lines)
    assert max(len(line) - len(line.split(None, 1)[1]) for line in lines if line.startswith("state")) < 20


def test_a_message_is_canceled_by_the_beginning_of_its_id(shell: Shell, hermes: FakeHermes) -> None:
    """After a question; the core gets the whole id."""
    assert shell.run("relay cancel 9c").code == 5
    done = shell.run("relay cancel 9c --reason mistake --yes")
    assert hermes.commands == [CancelRelay(id=RelayTaskId("9c000000-0000-4000-8000-00000000000f"), reason="mistake")]
    assert "is canceled" in done.err
    assert shell.run("relay cancel zz --yes").code == 4


def test_dead_messages_are_sent_again(shell: Shell, hermes: FakeHermes) -> None:
    """By id, or all that fit; a dry run only says which."""
    assert "1 message on the way again" in shell.run("relay replay 77120").err
    shell.run("relay replay --all --bot notify --since 1h --dry-run")
    assert hermes.commands == [
        ReplayRelay(ids=(RelayTaskId(DEAD_ID),)),
        ReplayRelay(bot="notify", since=NOW.at - 3600, is_dry_run=True),
    ]
    hermes.receipts[ReplayRelay] = ReplayReceipt(tasks=(), skipped=("a1 is bound nowhere",), is_dry_run=False)
    assert "skipped: a1 is bound nowhere" in shell.run("relay replay --all").err


@pytest.mark.parametrize("words", ["", "77120 --all", "77120 --bot notify", "--bot notify"])
def test_nothing_is_sent_again_by_guess(shell: Shell, hermes: FakeHermes, words: str) -> None:
    """Either ids or --all."""
    assert shell.run(f"relay replay {words}").code == 2
    assert hermes.commands == []


def test_a_message_gets_another_address(shell: Shell, hermes: FakeHermes) -> None:
    """It stays dead until it is sent again."""
    done = shell.run("relay retarget 77120 ops --platform telegram --url http://127.0.0.1:9101")
    assert hermes.commands == [
        RetargetRelay(id=RelayTaskId(DEAD_ID), to="ops", platform="telegram", url="http://127.0.0.1:9101")
    ]
    assert "dead until it is sent again" in done.err
