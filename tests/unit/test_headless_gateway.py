"""Shell commands about the core's process, and about deeds."""

import plistlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from console.headless import LOCAL_VERBS, VERBS
from console.process_words import drain_words, failed_words, holder_words, process_facts
from console.service_files import Service, launchd_plist, service_name, systemd_unit
from console.shell.arguments import NOUNS
from core.api import sessions
from core.api.base import SYSTEM, Actor, ActorKind, Mark, RunId, SessionId
from core.api.codec import decode_view, encode
from core.api.processes import FailedStart, HolderView, ProcessStanding, ProcessView
from tests.support.fake_hermes import FakeHermes
from tests.support.shell import FakeDoors, Shell, run_line, shell_on
from tests.support.views import NOW, drain, session

ANA = Actor(ActorKind.OPERATOR, "ana")
HOLDER = HolderView(session_id=SessionId("tg:dm:8841"), run_id=RunId("run-77"), phase="approval", age_s=412.0)


@pytest.fixture
def fake() -> FakeHermes:
    """A core with deeds in its journal."""
    hermes = FakeHermes()
    before = session("local:dm:ana", version=1)
    hermes.emit(sessions.SessionOpened(session=before), actor=Actor(ActorKind.SENDER, "local:ana"))
    hermes.emit(sessions.SessionActive(session=before), actor=SYSTEM)
    after = msgspec.structs.replace(before, version=2, epoch=1)
    hermes.emit(sessions.SessionReset(session=after, dropped=0, reason="wrong agent"), actor=ANA)
    return hermes


@pytest.fixture
def shell(fake: FakeHermes, tmp_path: Path) -> Iterator[Shell]:
    """A shell on it."""
    with shell_on(fake, tmp_path) as made:
        yield made


def test_every_noun_is_explained() -> None:
    """`--help` says what each is about."""
    assert {noun for noun, verb in (*VERBS, *LOCAL_VERBS) if verb} - NOUNS.keys() == set()


def test_deeds_are_those_of_people(shell: Shell) -> None:
    """What the core did by itself is no deed; the newest is the last."""
    said = shell.run("audit list")
    assert [line.split()[3:5] for line in said.lines] == [["sender", "local:ana"], ["operator", "ana"]]


def test_a_deed_is_told_with_before_and_after(shell: Shell) -> None:
    """What it changed, and nothing else."""
    said = shell.run("audit list --changes --by operator")
    assert [line.strip() for line in said.lines[1:]] == ["epoch: 0 -> 1"]


def test_deeds_can_be_read_as_json_and_narrowed(shell: Shell) -> None:
    """One page, which says how far was looked."""
    said = shell.run("--json audit list --subject local:dm:ana --limit 1")
    page = decode_view(said.out.encode())
    assert [record["actor"]["name"] for record in msgspec.json.decode(encode(page))["records"]] == ["ana"]
    assert shell.run("audit list --subject nobody").err.strip() == "no deeds"


def test_status_of_a_home_without_a_core_is_7(tmp_path: Path) -> None:
    """And it says never."""
    said = run_line(FakeDoors(tmp_path), "gateway status")
    assert said.code == 7
    assert "never" in said.out


def test_a_stop_of_what_does_not_run_is_done(tmp_path: Path) -> None:
    """What was wanted is so: 0, and nothing is signalled."""
    doors = FakeDoors(tmp_path)
    said = run_line(doors, "gateway stop --now")
    assert (said.code, doors.opened) == (0, [])
    assert "no core runs" in said.err


def test_unsafe_and_profile_reach_who_starts(tmp_path: Path) -> None:
    """Before the noun and after the verb."""
    doors = FakeDoors(tmp_path)
    run_line(doors, "--unsafe --profile work gateway start")
    run_line(doors, "gateway start --profile work")
    run_line(doors, "gateway run --unsafe")
    work = tmp_path / "profiles" / "work"
    opened = [call for call in doors.opened if call[0] != "left"]
    assert opened == [("unsafe daemon", work), ("daemon", work), ("serve", tmp_path)]
    assert doors.flags["unsafe"]


@pytest.mark.parametrize("name", ["../x", "A", "", "a/b", "x" * 33])
def test_a_profile_that_is_no_name_is_refused(name: str, tmp_path: Path) -> None:
    """No home is looked for elsewhere; an empty one is the default home."""
    said = run_line(FakeDoors(tmp_path), f"--profile '{name}' gateway status")
    assert said.code == (7 if not name else 2)


def test_holders_are_told_with_phase_age_and_deadline() -> None:
    """The deadline in seconds to go, and that it has passed."""
    view = drain(
        is_draining=True,
        began=NOW,
        deadline=Mark(NOW.at + 8, NOW.mono + 8),
        holders=(HOLDER,),
        holder_count=1,
        queued_count=2,
    )
    assert drain_words(view) == "waits for 1 run, deadline in 8s; 2 queued messages kept"
    assert holder_words(HOLDER) == "tg:dm:8841  approval 6m52s  run-77"
    late = msgspec.structs.replace(view, now=Mark(NOW.at + 9, NOW.mono + 9))
    assert "deadline passed" in drain_words(late)


def test_a_crashed_core_is_never_told_as_if_it_were_there() -> None:
    """Its pid is marked as gone, its failed starts are listed with place and fix."""
    failed = FailedStart(at=1.0, part="store", code="config", message="config.yaml:2: no", fix="mend it")
    view = ProcessView(home="/h", state=ProcessStanding.CRASHED, pid=7, reason="gone", failed_starts=(failed,))
    facts = dict(process_facts(view))
    assert (facts["state"], facts["pid"]) == ("crashed: gone", "7, gone")
    assert failed_words(failed) in facts["failed start"]
    assert "while starting store: config.yaml:2: no - try: mend it" in facts["failed start"]


def service(**changes: object) -> Service:
    """A core in a home whose name is a trap."""
    argv = ("/usr/bin/python", "-m", "console", "--home", '/home/an a/100%"$HOME\\', "gateway", "run")
    return Service(name="hermes-console", title="core 100%", argv=argv, log="/l & <g>")._replace(**changes)


def test_a_unit_takes_any_path_as_it_is() -> None:
    """Blanks, quotes, percent and dollar mean themselves; the stop is given time."""
    lines = systemd_unit(service(drain_s=45)).splitlines()
    assert 'ExecStart=/usr/bin/python -m console --home "/home/an a/100%%\\"$$HOME\\\\" gateway run' in lines
    assert "Description=core 100%%" in lines
    assert "TimeoutStopSec=75" in lines
    assert "WantedBy=default.target" in lines
    assert {"User=ana", "WantedBy=multi-user.target"} <= set(systemd_unit(service(user="ana")).splitlines())


def test_a_property_list_is_one() -> None:
    """It is read back as it was meant."""
    found = plistlib.loads(launchd_plist(service()).encode())
    assert found["ProgramArguments"] == list(service().argv)
    assert (found["StandardOutPath"], found["Umask"], found["RunAtLoad"]) == ("/l & <g>", 0o077, True)
    assert found["KeepAlive"] == {"SuccessfulExit": False}


def test_each_profile_is_a_service_of_its_own() -> None:
    """Two never share a name."""
    assert [service_name(""), service_name("work")] == ["hermes-console", "hermes-console-work"]


def test_an_import_is_shown_before_it_is_written(tmp_path: Path) -> None:
    """A table with what is taken and what not and why; nothing is written without --write."""
    from tests.support.hermes_homes import SECRETS, hermes_home

    there = hermes_home(tmp_path / "hermes")
    said = run_line(FakeDoors(tmp_path / "home"), f"import hermes {there}")
    assert said.code == 0
    assert "TELEGRAM_BOT_TOKEN" in said.out
    assert "no such connection here yet" in said.out
    assert "--write" in said.err
    assert [secret for secret in SECRETS if secret in said.out + said.err] == []
    assert not (tmp_path / "home").exists()
