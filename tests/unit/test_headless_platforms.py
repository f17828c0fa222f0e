"""Connections from a shell: the worst first, all of one, and what can be ordered."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.event_line import event_line
from console.exit_codes import Exit
from console.needs import needs
from console.platform_facts import PLATFORM_ORDER, error_words, platform_facts
from console.platform_receipts import paused, probed, reconnecting
from core.api.base import SYSTEM, Event, PlatformName, Record, Seq
from core.api.codec import decode_view
from core.api.platforms import (
    PausePlatform,
    PlatformDeaf,
    PlatformDisconnected,
    PlatformPaused,
    PlatformProbe,
    PlatformProbed,
    PlatformReconnecting,
    PlatformResumed,
    PlatformState,
    PlatformView,
    ProbePlatform,
    ReconnectPlatform,
    ResumePlatform,
)
from tests.support.fake_hermes import FakeHermes
from tests.support.fake_platforms import all_states, telegram
from tests.support.shell import Shell, shell_on
from tests.support.views import NOW, ago

HELPDESK = PlatformName("helpdesk")


@pytest.fixture
def hermes() -> FakeHermes:
    """One connection in each state."""
    return FakeHermes(platforms=all_states())


@pytest.fixture
def shell(hermes: FakeHermes) -> Iterator[Shell]:
    """A shell on that core."""
    with tempfile.TemporaryDirectory(prefix="hc-") as folder, shell_on(hermes, Path(folder)) as opened:
        yield opened


def test_the_list_begins_with_the_worst(shell: Shell) -> None:
    """With ages, what waits, the countdown, the probe and the reason."""
    lines = shell.run("platforms list --plain").lines
    names = [line.split()[0] for line in lines[1:]]
    assert names == ["ops", "support", "matrix", "discord", "slack", "email", "helpdesk", "local"]
    assert "identity conflict: another program reads" in lines[1]
    assert "process 4711 of /home/ana/other (tg)" in lines[2]
    assert "nothing heard for 75 s" in lines[3]
    assert "paused by raj: moving the server" in lines[6]
    assert "41ms" in lines[7]


def test_one_connection_is_shown_with_every_age(shell: Shell) -> None:
    """What is heard, what comes in and goes out, what waits, what the last probe said."""
    said = shell.run("platforms show matrix").out
    for words in (
        "deaf",
        "asked: no answer within 10 s",
        "1m19s ago; every 30s is usual, 1m15s is too long",
        "3 messages waiting",
        "no good answer 4s ago",
        "number 2 in",
        "matrix, @bot:example.org at matrix.example.org",
    ):
        assert words in said
    assert "20 came again" in shell.run("platforms show helpdesk").out
    view = decode_view(shell.run("platforms show support --json").out.encode())
    assert isinstance(view, PlatformView)
    assert view.holder == "process 4711 of /home/ana/other (tg)"


def test_each_verb_sends_its_order(shell: Shell, hermes: FakeHermes) -> None:
    """And prints what became of it."""
    assert "nothing is taken in and nothing sent" in shell.run("platforms pause helpdesk --reason spam").out
    assert "goes on: connecting" in shell.run("platforms resume helpdesk").out
    assert "is connected anew: connecting" in shell.run("platforms reconnect helpdesk").out
    assert "answered in 41ms" in shell.run("platforms probe helpdesk").out
    assert hermes.commands == [
        PausePlatform(platform=HELPDESK, reason="spam"),
        ResumePlatform(platform=HELPDESK),
        ReconnectPlatform(platform=HELPDESK),
        ProbePlatform(platform=HELPDESK),
    ]


def test_a_probe_without_a_good_answer_has_an_exit_code_of_its_own(shell: Shell) -> None:
    """A script can tell."""
    said = shell.run("platforms probe discord")
    assert said.code == Exit.UNAVAILABLE
    assert "gave no good answer: no route to host" in said.out


def test_a_name_that_is_nobodys_is_answered_with_the_nearest(shell: Shell) -> None:
    """Nothing is done."""
    said = shell.run("platforms show helpdisk")
    assert said.code == Exit.NOT_FOUND
    assert "did you mean helpdesk?" in said.err


def test_what_is_in_trouble_needs_somebody(hermes: FakeHermes) -> None:
    """Conflict, deaf and down, each under its own word; a pause was somebody's wish."""
    from console.mirror import Mirror
    from core.api.platforms import PlatformList

    mirror = Mirror()
    mirror.load_platforms(PlatformList(platforms=tuple(hermes.platforms.values()), seq=Seq(0)))
    found = {(need.subject, need.kind) for need in needs(mirror, NOW.mono) if need.place == "platforms"}
    assert found == {("ops", "conflict"), ("support", "conflict"), ("matrix", "deaf"), ("discord", "down")}


def test_the_order_of_a_list_names_every_state() -> None:
    """None is left out."""
    assert set(PLATFORM_ORDER) == set(PlatformState)


def _line(event: Event) -> tuple[str, str, str]:
    line = event_line(
        Record(seq=Seq(1), at=NOW.at, actor=SYSTEM, subject="helpdesk", event=event, durable=True, correlation="")
    )
    return line.level, line.kind, line.text


def test_every_event_about_a_connection_has_words() -> None:
    """Who, what and why in one line."""
    views = {str(view.name): view for view in all_states()}
    assert _line(PlatformDeaf(platform=views["matrix"]))[:2] == ("fail", "platform deaf")
    assert _line(PlatformDisconnected(platform=views["ops"]))[:2] == ("fail", "platform conflict")
    off = telegram(state=PlatformState.OFF)
    assert _line(PlatformDisconnected(platform=off)) == ("info", "platform off", "telegram")
    assert _line(PlatformPaused(platform=views["email"])) == ("warn", "platform paused", "raj: moving the server")
    assert _line(PlatformResumed(platform=telegram()))[1] == "platform resumed"
    assert _line(PlatformReconnecting(platform=telegram()))[1] == "reconnect asked"
    assert _line(PlatformProbed(platform=telegram())) == ("good", "platform probed", "answered in 41 ms")
    assert _line(PlatformProbed(platform=views["matrix"])) == ("fail", "platform probed", "no answer within 10 s")


def test_receipts_say_what_is_not_so_yet() -> None:
    """An adapter that has not let go, a connection that is down again."""
    stuck = telegram(state=PlatformState.PAUSED, last_error="its adapter has not let go for 10 s; it is waited for")
    assert paused(stuck) == (f"telegram is paused, but {stuck.last_error}", "needs")
    assert "; 4 messages waiting" in paused(telegram(state=PlatformState.PAUSED, backlog=4))[0]
    down = telegram(state=PlatformState.DOWN, last_error="no token")
    assert reconnecting(down) == ("telegram is connected anew: down: no token", "failing")
    assert probed(telegram(probe=None))[1] == "failing"


def test_a_probe_that_failed_is_a_problem_of_a_connection_that_stands() -> None:
    """The state is what it is; the reason is beside it."""
    view = telegram(probe=PlatformProbe(asked=ago(1), error="token revoked"))
    assert error_words(view) == "asked, it failed: token revoked"
    facts = {label: tone for label, _, tone in platform_facts(view, lambda mark: NOW.mono - mark.mono, waiting=0)}
    assert facts["state"] == "needs"
    assert facts["probe"] == "failing"
