"""The guide to dead letters: each of its shell lines is run on a core in which letters died, and does what it says."""

import re
import shlex
import subprocess
import time
from pathlib import Path

import pytest

from console.actions import ACTIONS
from console.mailbox_words import REASONS
from core.api.mail import DeadReason
from tests.support.tree import ROOT
from tests.support.typed_commands import Shell, read_json

pytestmark = pytest.mark.e2e

TEXT = (ROOT / "docs" / "guide" / "dead_letters.md").read_text(encoding="utf-8")
LINES: list[str] = re.findall(r"^    hermes-console (.+)$", TEXT, re.MULTILINE)
MAILBOX = "outbox.telegram"
KEYS = {"4": "view.mailboxes", "d": "view.dead", "T": "obj.trace", "P": "mailbox.pause"} | {
    "R": "mail.redrive", "X": "mail.purge", "E": "mailbox.policy"
}  # fmt: skip
PEOPLE_COUNT = 8
PEOPLE = "names: [ana, bo]\npersonas: [{name: curious, openings: [hello], otherwise: [thanks]}]\n"
CONFIG = f"""\
http: {{port: 0}}
core: {{drain_s: 1.0}}
agents:
  main: {{runner: scripted, pace: 0}}
platforms:
  telegram: {{kind: simulated, scenario: people.yaml, people: {PEOPLE_COUNT}, rate_per_s: 50, blocked_ratio: 1}}
"""


@pytest.fixture
def home(home: Path) -> Path:
    """A home in which people of a made-up platform write once and have the bot blocked when the answer comes."""
    (home / "config.yaml").write_text(CONFIG, encoding="utf-8")
    (home / "people.yaml").write_text(PEOPLE, encoding="utf-8")
    return home


@pytest.fixture
def died(served: subprocess.Popen[str], shell: Shell) -> int:
    """How many letters died: everybody was answered once, so there will be no more."""
    end = time.monotonic() + 30
    while dead(shell) < PEOPLE_COUNT:
        assert time.monotonic() < end, "not everybody was answered"
    return PEOPLE_COUNT


def dead(shell: Shell) -> int:
    """Dead letters of the mailbox."""
    groups = read_json(shell("mailbox", "dead", MAILBOX, "--json"))["groups"]
    return sum(group["count"] for group in groups)


def line_of(*words: str, without: tuple[str, ...] = ()) -> str:
    """The one shell line of the page with these words and none of the others."""
    (found,) = [
        line for line in LINES if all(word in line for word in words) and not any(word in line for word in without)
    ]
    return found


def test_each_shell_line_of_the_guide_runs(died: int, shell: Shell) -> None:
    """In the order of the page, on a core as the page describes it; the last act drops what died."""
    some_id = read_json(shell("mailbox", "dead", MAILBOX, "--json"))["groups"][0]["example"]["id"]
    assert len(LINES) == len(set(LINES)) >= 10
    for line in LINES:
        done = shell(*shlex.split(line.replace("m-17", f"m-{some_id}")))
        assert done.returncode == 0, f"{line}: {done.stderr}"
        assert done.stdout, line
    assert dead(shell) < died


def test_a_dry_run_of_the_guide_counts_and_does_nothing(died: int, shell: Shell) -> None:
    """The line with --dry-run finds all of them and leaves them; the canary takes one."""
    counted = read_json(shell(*shlex.split(line_of("mailbox redrive", "--dry-run")), "--json"))
    assert (counted["is_dry_run"], counted["matched"], counted["changed"]) == (True, died, 0)
    assert dead(shell) == died
    sent = read_json(shell(*shlex.split(line_of("mailbox redrive", "--limit 1")), "--json"))
    assert (sent["changed"], len(sent["mail_ids"])) == (1, 1)


def test_a_paused_mailbox_holds_what_was_sent_again(died: int, shell: Shell) -> None:
    """As the page says: pause, send again, look, resume."""
    pause, resume = (line_of(f"mailbox {verb}") for verb in ("pause", "resume"))
    again = line_of("mailbox redrive", without=("--dry-run", "--limit"))
    shell(*shlex.split(pause))
    shell(*shlex.split(again))
    view = read_json(shell("mailbox", "show", MAILBOX, "--json"))
    assert (view["state"], view["tally"]["queued"], view["tally"]["dead"]) == ("paused", died, 0)
    assert view["tally"]["difference"] == 0
    assert read_json(shell(*shlex.split(resume), "--json"))["state"] == "open"


def test_the_guide_names_every_reason_with_its_word_on_the_screen() -> None:
    """A reason that is new or renamed is noticed here."""
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", TEXT, re.MULTILINE)
    assert dict(rows) == {reason.value: REASONS[reason] for reason in DeadReason}


def test_the_keys_of_the_guide_are_those_of_the_console() -> None:
    """Every key that the page names does what the page says it does."""
    known = {action.id: action.key for action in ACTIONS}
    assert {key: known[action_id] for key, action_id in KEYS.items()} == {key: key for key in KEYS}
    assert set(re.findall(r"`([0-9A-Za-z])`", TEXT)) == set(KEYS)
