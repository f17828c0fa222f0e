"""Whatever can be ordered can be ordered from everywhere: handler, action, shell form."""

import asyncio
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from console.actions import ACTIONS, actions_for
from core.api.codec import COMMANDS, EVENTS, QUERIES, VIEWS
from core.config import load
from core.home import prepare
from core.kernel import Kernel
from tests.support.tree import ROOT

PLACES = ("overview", "sessions", "session", "approvals", "deliveries", "platforms", "events")
PLACES += ("mailboxes", "mailbox", "mail", "dead", "grants", "agents", "agent", "tasks", "task")
PLACES += ("hooks", "cron", "pairing", "access", "why", "outboxes", "relay", "relayed")


def test_every_command_has_exactly_one_action_with_a_shell_form() -> None:
    """One line of the registry gives a command its key, its palette entry and its verb."""
    counted = Counter(action.command for action in ACTIONS if action.command is not None)
    assert counted == Counter(COMMANDS)
    assert [action.id for action in ACTIONS if action.command is not None and action.verb is None] == []


def test_names_are_unique_over_the_whole_facade() -> None:
    """A tag on the wire means one thing."""
    names = [word.__name__ for word in (*COMMANDS, *QUERIES, *EVENTS, *VIEWS)]
    assert [name for name, count in Counter(names).items() if count > 1] == []


def test_action_ids_and_verbs_are_unique() -> None:
    """A key override and a shell command name one action each."""
    ids = Counter(action.id for action in ACTIONS)
    verbs = Counter(action.verb for action in ACTIONS if action.verb)
    assert [key for key, count in (*ids.items(), *verbs.items()) if count > 1] == []


@pytest.mark.parametrize("place", PLACES)
def test_a_key_means_one_thing_in_one_place(place: str) -> None:
    """No two actions of a place share a key; one of the place itself may stand in for one that is everywhere."""
    for is_general in (False, True):
        keys = Counter(
            action.key for action in actions_for(place) if action.key and ("*" in action.where.places) == is_general
        )
        assert [key for key, count in keys.items() if count > 1] == []


def test_what_is_final_says_what_is_lost() -> None:
    """A confirmation can name the loss, and only what loses something claims to."""
    wrong = [action.id for action in ACTIONS if (action.level.name == "FINAL") != bool(action.loses)]
    assert wrong == []


async def test_every_command_and_query_has_a_handler(tmp_path: Path) -> None:
    """What the facade names the core answers, and nothing else."""
    home = tmp_path / "home"
    await asyncio.to_thread(prepare, home)
    (home / "config.yaml").write_text("http: {enabled: false}\nstore: {url: 'memory:'}\n", encoding="utf-8")
    kernel = await Kernel.open(home, await asyncio.to_thread(load, home, {}))
    words = kernel.words
    await kernel.close()
    assert words == {*COMMANDS, *QUERIES}


@pytest.mark.parametrize("verb", sorted(action.verb for action in ACTIONS if action.verb), ids="-".join)
def test_every_action_with_a_verb_has_its_shell_form(verb: tuple[str, str]) -> None:
    """`hermes-console NOUN VERB --help` explains it."""
    argv = [sys.executable, "-m", "console", *verb, "--help"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert verb[1] in done.stdout
