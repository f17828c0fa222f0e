"""Hooks and jobs from a shell and from the screen: the same words, the same orders."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.automation_lines import AUTOMATION_WORDS
from console.automation_rows import HANDLED
from console.event_line import event_line
from core.api.base import SYSTEM, Record, Seq
from core.api.errors import ConflictError
from core.api.hooks import (
    HookAnswered,
    HookFailed,
    HookPaused,
    HookResumed,
    HooksLoaded,
    PauseHook,
    ReloadHooks,
    ResumeHook,
    TestHook,
)
from core.api.jobs import (
    AddJob,
    JobChanged,
    JobEnded,
    JobMissed,
    JobRemoved,
    JobSpec,
    JobStarted,
    Misfire,
    Overlap,
    PauseJob,
    RemoveJob,
    ResumeJob,
    RunJob,
)
from tests.support.console_desk import desk
from tests.support.fake_automation import busy_automation, hook, job
from tests.support.fake_hermes import FakeHermes
from tests.support.rows import HOSTILE
from tests.support.shell import Shell, shell_on


@pytest.fixture
def hermes() -> FakeHermes:
    """A core with hooks and jobs in every state."""
    return FakeHermes(automation=busy_automation())


@pytest.fixture
def shell(hermes: FakeHermes) -> Iterator[Shell]:
    """A shell on that core."""
    with tempfile.TemporaryDirectory(prefix="hc-") as folder, shell_on(hermes, Path(folder)) as opened:
        yield opened


# -- from a shell


def test_lists_say_what_is_wrong(shell: Shell) -> None:
    """One row each, with the reason; JSON is the view of the core."""
    said = shell.run("hooks list --plain")
    rows = {line.split()[0]: line for line in said.lines[1:]}
    assert "write events: [agent:end]" in rows["pager"]
    assert "5 failures in a row" in rows["notify"]
    said = shell.run("cron list --plain")
    rows = {line.split()[0]: line for line in said.lines[1:]}
    assert "529: overloaded" in rows["digest"]
    assert "home failed" in rows["launch"]
    assert json.loads(shell.run("cron show digest --json").out)["missed_count"] == 3
    assert json.loads(shell.run("hooks show notify --json").out)["timeout_count"] == 5


def test_one_is_shown_with_all_of_its_facts(shell: Shell) -> None:
    """As on the screen; one that is not there is an error that says where to look."""
    assert "3 dropped because too many waited" in shell.run("hooks show slow").out
    assert "Summarise the alarms" in shell.run("cron show report").out
    for line in ("hooks show nobody", "cron show nobody"):
        said = shell.run(line)
        assert said.code == 4
        assert "list" in said.err


def test_orders_carry_what_was_typed(shell: Shell, hermes: FakeHermes) -> None:
    """Each verb sends its command."""
    for line in (
        "hooks reload slow",
        "hooks pause audit --reason 'too loud'",
        "hooks resume notify",
        "hooks test audit agent:start",
        "cron add look 'every 30m' 'have a look' --agent ops --deliver home --misfire skip --overlap queue --grace 5",
        "cron pause report --reason holiday",
        "cron resume holiday",
        "cron run digest",
        "cron remove digest --yes",
    ):
        assert shell.run(line).code == 0, line
    spec = JobSpec(
        schedule="every 30m",
        text="have a look",
        agent="ops",
        deliver="home",
        misfire=Misfire.SKIP,
        misfire_grace_s=5.0,
        overlap=Overlap.QUEUE,
    )
    assert hermes.commands == [
        ReloadHooks(name="slow"),
        PauseHook(name="audit", reason="too loud"),
        ResumeHook(name="notify"),
        TestHook(name="audit", event_type="agent:start"),
        AddJob(name="look", spec=spec),
        PauseJob(name="report", reason="holiday"),
        ResumeJob(name="holiday"),
        RunJob(name="digest"),
        RemoveJob(name="digest"),
    ]


def test_a_test_that_fails_ends_with_an_exit_code(shell: Shell) -> None:
    """So that a script can go by it; what the hook printed is there."""
    said = shell.run("hooks test notify")
    assert said.code == 1
    assert "took longer than 10 s" in said.out
    assert "written" in said.out


def test_removing_asks_first_and_what_is_configured_stays(shell: Shell, hermes: FakeHermes) -> None:
    """Nobody is there to ask, so nothing is sent."""
    assert shell.run("cron remove digest").code == 5
    assert hermes.commands == []
    assert shell.run("cron remove report --yes").code == 5


def test_a_schedule_can_be_looked_at_before_it_is_used(shell: Shell) -> None:
    """With its next times; one that cannot be says why."""
    said = shell.run("cron preview '13 * * * *' --count 2")
    assert len(said.lines) == 3
    assert shell.run("cron preview nonsense").code == 2


# -- on the screen


async def test_the_hook_under_the_cursor_is_meant(hermes: FakeHermes) -> None:
    """P pauses with a reason and resumes at once; Y tries; what cannot be says why."""
    async with desk(hermes) as seen:
        await seen.press("h")
        await seen.press("P")
        assert "it is broken" in seen.text
        await seen.press("j", "P")
        assert hermes.commands == [ResumeHook(name="notify")]
        await seen.press("g", "j", "Y", "right", "enter")
        await seen.press("S", "right", "enter")
    assert [type(command) for command in hermes.commands[1:]] == [TestHook, ReloadHooks]


async def test_the_job_under_the_cursor_is_meant(hermes: FakeHermes) -> None:
    """R runs it after a yes, P pauses, X of a configured one is off with the reason."""
    async with desk(hermes) as seen:
        await seen.say(":cron")
        await seen.press("R", "right", "enter")
        assert hermes.commands == [RunJob(name="digest")]
        await seen.press("j", "X")
        assert "it is written in config.yaml" in seen.text
        await seen.press("g", "P", "right", "enter")
        assert hermes.commands[1:] == [PauseJob(name="digest", reason="")]
        await seen.press("P")
        assert isinstance(hermes.commands[2], ResumeJob | PauseJob)


async def test_a_new_job_is_shown_before_it_is_made(hermes: FakeHermes) -> None:
    """Its next times come from the core; then one yes."""
    async with desk(hermes) as seen:
        await seen.say(":cron")
        await seen.press("N", *"look", "tab", *"every", "space", *"1h", "tab", "tab", *"hello", "enter")
        assert "hourly at :13; next:" in seen.text
        assert hermes.commands == []
        await seen.press("right", "enter")
    assert hermes.commands == [AddJob(name="look", spec=JobSpec(schedule="every 1h", text="hello"))]


async def test_a_job_that_the_core_refuses_is_not_typed_again(hermes: FakeHermes) -> None:
    """The form comes back as it was, whether the schedule or the job was wrong, until it is made or left."""
    async with desk(hermes) as seen:
        await seen.say(":cron")
        await seen.press("N", *"look", "tab", *"nonsense", "tab", "tab", *"hello", "enter")
        assert "not made" in seen.text
        assert "nonsense" in seen.text
        await seen.press("tab", *["backspace"] * 8, *"every", "space", *"1h", "enter")
        hermes.fail_next(ConflictError("a job is called look already", key="name", expected="", found="look"))
        await seen.press("right", "enter")
        assert "not made" in seen.text
        await seen.press(*"er", "enter")
        await seen.press("right", "enter")
    assert hermes.commands == [AddJob(name="looker", spec=JobSpec(schedule="every 1h", text="hello"))]


async def test_events_change_the_rows_while_one_looks(hermes: FakeHermes) -> None:
    """A hook that is paused and a job that is removed are seen at once."""
    async with desk(hermes) as seen:
        await seen.say(":hooks")
        hermes.emit(
            HookPaused(hook=hook(version=9, state=busy_automation().hooks["notify"].state, paused_reason="now"))
        )
        await seen.settle()
        assert "now" in seen.text
        hermes.emit(HooksLoaded(hooks=(hook(version=10),)))
        await seen.settle()
        assert "pager" not in seen.text
        await seen.say(":cron")
        hermes.emit(JobRemoved(name="digest"))
        await seen.settle()
        assert "digest" not in seen.text


@pytest.mark.parametrize("words", HOSTILE)
def test_every_event_has_its_words(words: str) -> None:
    """Whatever the names in it are."""
    wild = job(words, spec=JobSpec(schedule="x", text=words), words=words, running=None)
    odd = hook(words, last_error=words, paused_reason=words)
    events = [
        HooksLoaded(hooks=(odd,)),
        HookAnswered(hook=odd),
        HookFailed(hook=odd),
        HookPaused(hook=odd),
        HookResumed(hook=odd),
        JobChanged(job=wild),
        JobStarted(job=wild),
        JobEnded(job=wild),
        JobMissed(job=wild, count=2, why=words),
        JobRemoved(name=words),
    ]
    assert {type(event) for event in events} == set(AUTOMATION_WORDS) == set(HANDLED)
    for event in events:
        assert event_line(Record(seq=Seq(1), at=0.0, actor=SYSTEM, subject="s", event=event)).kind
