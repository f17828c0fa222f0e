"""Bindings of the relay, its far sides, peers, pause and breakers from a shell."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from core.api.bindings import (
    AddBinding,
    BindingDocument,
    BindingImportItem,
    BindingImportReport,
    BindingProblem,
    Candidate,
    ExportBindings,
    ImportBindings,
    RelayProtocol,
    RemoveBinding,
    Resolution,
    ResolveBot,
    UndoBinding,
)
from core.api.breakers import DisableBreaker, ProbeBreaker
from core.api.relay_targets import CheckTarget, PauseRelay, ResumeRelay
from tests.support.busy_relay import NOTIFY, REVIEW, busy_relay
from tests.support.fake_hermes import FakeHermes
from tests.support.relay_views import a_binding, a_bot, a_report
from tests.support.shell import Shell, shell_on

CHAT = "--platform telegram --chat-id=-100200"


@pytest.fixture
def hermes() -> FakeHermes:
    """A relay with something of everything."""
    return FakeHermes(relay=busy_relay())


@pytest.fixture
def shell(hermes: FakeHermes) -> Iterator[Shell]:
    """A shell on it."""
    with tempfile.TemporaryDirectory(prefix="hc-") as folder, shell_on(hermes, Path(folder)) as opened:
        yield opened


@pytest.mark.parametrize("words", ["new=http://h:8080/a?x=1", "new:http://h:8080/a?x=1"])
@pytest.mark.parametrize("verb", ["add_binding", "add-binding"])
def test_a_bot_is_bound_by_either_spelling(shell: Shell, hermes: FakeHermes, verb: str, words: str) -> None:
    """NAME=URL and NAME:URL mean the same; a bot that is new begins with the usual."""
    done = shell.run(f"relay {verb} {CHAT} --bot {words}")
    assert hermes.commands == [
        AddBinding(
            platform="telegram",
            chat="-100200",
            bots=(msgspec.structs.replace(a_bot("new"), url=words[4:], networks=()),),
        )
    ]
    assert done.code == 0
    assert "bound new in telegram -100200" in done.err
    assert [line.split()[0] for line in done.lines] == ["bot", "ops", "notify", "new"]


def test_several_bots_are_bound_with_all_that_can_be_said_of_them(shell: Shell, hermes: FakeHermes) -> None:
    """The flags are for each bot of the call."""
    shell.run(
        "relay add_binding --platform slack --chat-id C1 --bot a=https://a --bot b:https://b --protocol a2a --peer p"
        " --network 10.0.0.0/8 --network fd00::/8 --priority 5 --no-enabled --replace"
    )
    (command,) = hermes.commands
    assert isinstance(command, AddBinding)
    assert (command.is_replacing, command.expected) == (True, None)
    first, second = command.bots
    assert (first.name, first.url, second.name, second.url) == ("a", "https://a", "b", "https://b")
    for bot in command.bots:
        assert (bot.protocol, bot.peer, bot.priority, bot.enabled) == (RelayProtocol.A2A, "p", 5, False)
        assert bot.networks == ("10.0.0.0/8", "fd00::/8")


def test_what_is_not_said_of_a_bound_bot_stays_as_it_is(shell: Shell, hermes: FakeHermes) -> None:
    """A new address takes no credential away; a change by somebody else in between is a conflict."""
    shell.run(f"relay add_binding {CHAT} --bot notify=http://127.0.0.1:7")
    (command,) = hermes.commands
    assert isinstance(command, AddBinding)
    assert command.bots == (a_bot("notify", "http://127.0.0.1:7", peer="hotplex"),)
    assert command.expected == 1
    assert shell.run(f"relay add_binding {CHAT} --bot notify=http://127.0.0.1:8 --peer ''").code == 0
    command = hermes.commands[-1]
    assert isinstance(command, AddBinding)
    assert command.bots[0].peer == ""


@pytest.mark.parametrize("words", ["https://h", "HTTP://h", "name", "=http://h", ":http://h", "name="])
def test_a_bot_without_name_or_address_is_refused(shell: Shell, hermes: FakeHermes, words: str) -> None:
    """Nothing is sent to the core."""
    done = shell.run(f"relay add_binding {CHAT} --bot {words}")
    assert (done.code, hermes.commands) == (2, [])
    assert "NAME=URL" in done.err


def test_a_binding_needs_chat_platform_and_bot(shell: Shell, hermes: FakeHermes) -> None:
    """As at HotPlex; a bot that is named twice is refused too."""
    for words in ("--platform p --chat-id c", "--platform p --bot a=http://a", "--chat-id c --bot a=http://a"):
        assert shell.run(f"relay add_binding {words}").code == 2
    assert shell.run(f"relay add_binding {CHAT} --bot a=http://a --bot a=http://b").code == 2
    assert hermes.commands == []


def test_what_is_odd_about_a_bot_is_said_although_it_is_bound(shell: Shell, hermes: FakeHermes) -> None:
    """Only of those that the call was about."""
    for url in ("http://10.0.0.1", NOTIFY):
        hermes.relay.problems[url] = BindingProblem(
            field="networks", value=url, problem="no network allows it", fix="add --network", is_fatal=False
        )
    done = shell.run(f"relay add_binding {CHAT} --bot new=http://10.0.0.1")
    assert done.code == 0
    assert "new: networks http://10.0.0.1: no network allows it; add --network" in done.err
    assert NOTIFY not in done.err


def test_bindings_are_listed_with_what_is_ambiguous(shell: Shell) -> None:
    """One line for each bot; an undecided name says so beside the data."""
    done = shell.run("relay list_bindings")
    assert done.lines[0].split()[:5] == ["platform", "chat", "bot", "url", "protocol"]
    (notify,) = [line for line in done.lines if " notify " in line]
    assert notify.split()[:6] == ["telegram", "-100200", "notify", NOTIFY, "hotplex", "hotplex"]
    assert (
        "ops stands for http://127.0.0.1:9101 and http://127.0.0.1:9109: a chat or a priority has to decide" in done.err
    )
    assert len(json.loads(shell.run("relay list-bindings --json").out)["bindings"]) == 4


def test_an_empty_list_says_what_to_do() -> None:
    """Where nothing is bound yet."""
    with tempfile.TemporaryDirectory(prefix="hc-") as folder, shell_on(FakeHermes(), Path(folder)) as shell:
        done = shell.run("relay list_bindings")
        assert (done.code, done.out) == (0, "")
        assert "relay add_binding" in done.err
        for words in ("targets", "peers", "history", "graph", "tasks"):
            assert shell.run(f"relay {words}").code == 0


def test_a_binding_is_removed_by_its_chat(shell: Shell, hermes: FakeHermes) -> None:
    """One bot or all; the platform may be left out where only one has such a chat."""
    done = shell.run(f"relay remove_binding {CHAT} --bot notify")
    assert "unbound notify in telegram -100200" in done.err
    shell.run("relay del_binding --chat-id '!room:example.org'")
    assert hermes.commands == [
        RemoveBinding(platform="telegram", chat="-100200", bot="notify"),
        RemoveBinding(platform="matrix", chat="!room:example.org"),
    ]
    assert shell.run("relay remove_binding --platform telegram").code == 2


def test_a_chat_on_two_platforms_is_not_guessed(shell: Shell, hermes: FakeHermes) -> None:
    """HotPlex takes away whichever it finds."""
    shell.on_core(lambda: hermes.relay.bindings.update({("slack", "-100200"): a_binding("-100200", platform="slack")}))
    done = shell.run("relay del_binding --chat-id=-100200")
    assert (done.code, hermes.commands) == (6, [])
    assert "telegram, slack" in done.err


@pytest.mark.parametrize("verb", ["remove_binding", "undo_binding"])
def test_a_chat_that_is_bound_nowhere_is_said_to_be(shell: Shell, hermes: FakeHermes, verb: str) -> None:
    """What is missing is its platform, and no rule about the names of platforms."""
    done = shell.run(f"relay {verb} --chat-id gone")
    assert (done.code, hermes.commands) == (4, [])
    assert "gone is bound to no bot" in done.err
    assert "add --platform" in done.err


def test_a_change_is_taken_back_and_told(shell: Shell, hermes: FakeHermes) -> None:
    """The history says who did what."""
    shell.run(f"relay add_binding {CHAT} --bot new=http://new")
    done = shell.run(f"relay undo_binding {CHAT}")
    assert hermes.commands[-1] == UndoBinding(platform="telegram", chat="-100200")
    assert "taken back: unbound new" in done.err
    lines = shell.run(f"relay history {CHAT}").lines
    assert lines[0].split() == ["no", "ago", "by", "what", "chat", "before", "after"]
    assert ["undone" in lines[1], "changed" in lines[2]] == [True, True]


def test_a_file_is_taken_over_and_what_is_refused_is_told(shell: Shell, hermes: FakeHermes, tmp_path: Path) -> None:
    """From a file or stdin; refused entries make it a failure unless they are skipped on purpose."""
    item = BindingImportItem(platform="slack", chat="C1", name="a", url="ftp://a", outcome="refused", why="no http")
    hermes.receipts[ImportBindings] = BindingImportReport(items=(item,), is_dry_run=True)
    file = tmp_path / "bindings.json"
    file.write_text('{"version": 1}', encoding="utf-8")
    done = shell.run(f"relay import {file} --dry-run --replace")
    assert (done.code, "no http" in done.out) == (2, True)
    assert shell.run("relay import - --skip", stdin="{}").code == 0
    assert hermes.commands == [
        ImportBindings(document='{"version": 1}', is_replacing=True, is_dry_run=True),
        ImportBindings(document="{}", is_skipping=True),
    ]


def test_a_file_that_cannot_be_read_is_named(shell: Shell, hermes: FakeHermes, tmp_path: Path) -> None:
    """Missing, a folder, or no text."""
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for name in ("nothing", ".", "bytes"):
        done = shell.run(f"relay import {tmp_path / name}")
        assert (done.code, str(tmp_path / name) in done.err) == (2, True)
    assert hermes.commands == []


def test_the_export_is_the_file_itself(shell: Shell, hermes: FakeHermes) -> None:
    """What HotPlex cannot say is told beside it."""
    document = '{\n  "version": 1,\n  "bindings": []\n}\n'
    hermes.relay.scripted[ExportBindings] = BindingDocument(document=document, left_out=("review speaks a2a",))
    done = shell.run("relay export")
    assert done.out == document
    assert "left out: review speaks a2a" in done.err


@pytest.mark.parametrize(("chosen", "count", "code"), [(True, 2, 0), (False, 2, 6), (False, 0, 4)])
def test_what_a_name_means_is_told_by_the_exit_code(
    shell: Shell, hermes: FakeHermes, *, chosen: bool, count: int, code: int
) -> None:
    """One is meant, several could be, or there is none."""
    found = [
        Candidate(platform="telegram", chat=f"c{place}", bot=a_bot(), origin="http://127.0.0.1:9101")
        for place in range(count)
    ]
    hermes.relay.scripted[ResolveBot] = Resolution(
        name="ops", candidates=tuple(found), chosen=found[0] if chosen else None, why="" if chosen else "say which chat"
    )
    done = shell.run("relay resolve ops --platform telegram")
    assert done.code == code
    assert sum(line.startswith("*") for line in done.lines) == chosen
    assert ("say which chat" in done.err) is not chosen
    assert ResolveBot(name="ops", platform="telegram") in hermes.queries


def test_a_test_says_how_far_it_came(shell: Shell, hermes: FakeHermes) -> None:
    """Step by step; one that cannot be reached is exit code 7."""
    done = shell.run("relay test_relay ops")
    assert done.code == 0
    assert [line.split()[0] for line in done.lines] == ["address", "connect", "tls", "auth", "identity", "result"]
    hermes.relay.report = a_report(a_bot("review", REVIEW), is_ok=False)
    done = shell.run("relay test-relay --to review")
    assert done.code == 7
    assert "connection refused" in done.err
    assert hermes.commands == [CheckTarget(name="ops"), CheckTarget(name="review")]


def test_an_address_can_be_tested_before_it_is_bound(shell: Shell, hermes: FakeHermes) -> None:
    """With the flags of a binding."""
    shell.run("relay test new --url https://new.example --protocol a2a --network 10.0.0.0/8")
    bot = a_bot("new", "https://new.example", protocol=RelayProtocol.A2A, networks=("10.0.0.0/8",))
    assert hermes.commands == [CheckTarget(bot=bot)]
    assert shell.run("relay test").code == 2
    assert shell.run("relay test a --to b").code == 2


def test_far_sides_are_listed_with_breaker_and_health(shell: Shell) -> None:
    """In one line each."""
    lines = shell.run("relay targets").lines
    (notify,) = [line for line in lines if line.startswith(NOTIFY)]
    assert notify.split()[1:5] == ["open", "6", "0", "0"]
    assert {"38%", "1a2b3c4d", "notify"} <= set(notify.split())
    (pay,) = [line for line in lines if "pay" in line]
    assert "open (held)" in pay
    assert "never" in pay


def test_peers_are_listed_with_what_is_wrong_with_them(shell: Shell) -> None:
    """And where they reach us."""
    done = shell.run("relay peers")
    (hotplex,) = [line for line in done.lines if line.startswith("hotplex")]
    assert "2 keys" in hotplex
    (review,) = [line for line in done.lines if line.startswith("review")]
    assert "bearer" not in review
    assert review.endswith("secret env:REVIEW is missing")
    assert "http://127.0.0.1:8411/relay" in done.err


def test_the_relay_is_paused_and_resumed(shell: Shell, hermes: FakeHermes) -> None:
    """What still runs is said."""
    done = shell.run("relay pause --reason 'moving house'")
    assert "still 1 sending, 2 over there; 9 wait" in done.err
    assert "moving house" in done.out
    assert "paused" in shell.run("relay targets").err
    assert "goes on" in shell.run("relay resume").err
    assert hermes.commands == [PauseRelay(reason="moving house"), ResumeRelay()]


def test_the_graph_is_a_tree_with_what_tripped(shell: Shell) -> None:
    """From where one looks."""
    done = shell.run("relay graph main")
    assert "main > ops (again)" in done.out
    assert "TRIPPED 5 hops at most: main > ops > main > ops > main" in done.out
    assert "breaker open" in done.out
    assert "ends after 5 bots" in done.err


def test_the_graph_of_somebody_unknown_is_not_that_of_all(shell: Shell) -> None:
    """A name that is misspelt is said to be."""
    done = shell.run("relay graph nobody")
    assert (done.code, done.out) == (4, "")
    assert "nothing went from or to nobody" in done.err


def test_a_breaker_is_disabled_and_probed(shell: Shell, hermes: FakeHermes) -> None:
    """Disabling asks first."""
    assert shell.run(f"breakers disable relay {NOTIFY}").code == 5
    done = shell.run(f"breakers disable relay {NOTIFY} --reason drill --yes")
    assert "is off" in done.out
    assert shell.run(f"breakers probe relay {NOTIFY}").code == 0
    assert hermes.commands == [
        DisableBreaker(owner="relay", name=NOTIFY, reason="drill"),
        ProbeBreaker(owner="relay", name=NOTIFY),
    ]
