"""Jobs and hooks in config.yaml: what is wrong is named with its line, and what replaced the timetable is said."""

from pathlib import Path

import pytest

from core.api.jobs import Misfire, Overlap
from core.config import FILE_NAME, check, load


def read(home: Path, text: str) -> Path:
    """A home with this configuration."""
    (home / FILE_NAME).write_text(text, encoding="utf-8")
    return home


def test_a_job_has_defaults_for_all_but_time_and_text(tmp_path: Path) -> None:
    """Missed times are made up for once; there is never a second run beside the first."""
    found = load(read(tmp_path, "cron:\n  look:\n    schedule: every 10m\n    text: look\n"), {}).settings.cron["look"]
    assert (found.misfire, found.overlap, found.timezone, found.lane) == (Misfire.RUN_ONCE, Overlap.SKIP, "UTC", "cron")


@pytest.mark.parametrize(
    ("line", "key", "said"),
    [
        ("schedule: 61 * * * *", "schedule", "out of range"),
        ("schedule: every now", "schedule", "is no schedule"),
        ("schedule: 0 0 31 2 *", "schedule", "never comes round"),
        ("timezone: Europe/Atlantis", "timezone", "no time zone is called"),
        ("misfire: sometimes", "misfire", "skip, run_once, run_all"),
        ("overlap: twice", "overlap", "skip, queue"),
        ("agent: nobody", "agent", "names no agent"),
    ],
)
def test_a_bad_job_names_its_line(tmp_path: Path, line: str, key: str, said: str) -> None:
    """Before the core starts, and in `config check`."""
    lines = ["schedule: every 10m", "text: look"]
    lines = [other for other in lines if other.partition(":")[0] != line.partition(":")[0]]
    text = "cron:\n  look:\n" + "".join(f"    {each}\n" for each in [*lines, line])
    _, (fault,) = check(read(tmp_path, text), {})
    assert fault.facts["key"] == f"cron.look.{key}"
    assert fault.facts["line"] == text.count("\n")
    assert said in fault.message


def test_a_timetable_says_what_it_is_called_now(tmp_path: Path) -> None:
    """The fault names the line and how to write it."""
    text = "core: {}\ntimetable:\n  look:\n    text: look\n    every_s: 60\n"
    _, (fault,) = check(read(tmp_path, text), {})
    assert (fault.facts["key"], fault.facts["line"]) == ("timetable", 2)
    assert "schedule: every 60s" in str(fault.facts["fix"])


def test_hooks_can_be_switched_by_name(tmp_path: Path) -> None:
    """On and off are lists of names, and words in YAML."""
    found = load(read(tmp_path, "hooks:\n  on: [event_lines]\n  off: [watch]\n"), {}).settings.hooks
    assert (found.on, found.off) == (("event_lines",), ("watch",))
