"""Whatever can be ordered can be ordered from everywhere: handler, action, shell form."""

from collections import Counter

import pytest

from console.actions import ACTIONS, actions_for
from core.api.codec import COMMANDS, EVENTS, QUERIES, VIEWS

PLACES = ("overview", "sessions", "session", "approvals", "deliveries", "platforms", "events")


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
    """No two actions of a place share a key."""
    keys = Counter(action.key for action in actions_for(place) if action.key)
    assert [key for key, count in keys.items() if count > 1] == []


def test_what_is_final_says_what_is_lost() -> None:
    """A confirmation can name the loss, and only what loses something claims to."""
    wrong = [action.id for action in ACTIONS if (action.level.name == "FINAL") != bool(action.loses)]
    assert wrong == []
