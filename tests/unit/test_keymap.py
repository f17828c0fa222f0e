"""Keys: the defaults do not clash, overrides are taken or told, what belongs to a place goes first."""

import pytest

from console.actions import ACTIONS
from console.keymap import RESERVED, build_keymap, key_name, key_sign
from console.screens.help import help_fields, help_line

PLACES = ("overview", "sessions", "session", "approvals", "deliveries", "platforms", "events", "vitals", "help", "raw")
PLACES += ("mailboxes", "mailbox", "mail", "dead")


def test_the_default_keys_do_not_clash():
    """No two actions of one place have the same key by default."""
    assert build_keymap({}).problems == ()


@pytest.mark.parametrize("place", PLACES)
def test_every_key_of_a_place_does_exactly_one_thing(place: str):
    """A key finds one action, and that one is of the place or everywhere."""
    keymap = build_keymap({})
    for action in ACTIONS:
        key = keymap.key_of(action.id)
        if key and action.where.covers(place):
            found = keymap.find(key, place)
            assert found is not None
            assert found.where.covers(place)


def test_what_belongs_to_a_place_goes_before_what_is_everywhere():
    """Digits are tabs inside a session and views elsewhere."""
    keymap = build_keymap({})
    inside, outside = keymap.find("1", "session"), keymap.find("1", "sessions")
    assert (inside.id if inside else "", outside.id if outside else "") == ("session.tab_transcript", "view.overview")


def test_lower_case_never_acts():
    """Every default key that sends a command is an upper-case letter or none."""
    for action in ACTIONS:
        if action.command is not None and action.key:
            assert action.key.isupper()


def test_an_override_moves_a_key_and_frees_the_old_one():
    """The operator's key works, the default of the action does not any more."""
    keymap = build_keymap({"session.inject": "M"})
    found = keymap.find("M", "sessions")
    assert found is not None
    assert found.id == "session.inject"
    assert keymap.find("I", "sessions") is None


def test_an_override_that_clashes_wins_over_a_default_and_is_told():
    """Nothing happens by a key in silence."""
    keymap = build_keymap({"session.inject": "X"})
    found = keymap.find("X", "sessions")
    assert found is not None
    assert found.id == "session.inject"
    assert any("session.interrupt has no key now" in problem for problem in keymap.problems)


def test_an_empty_override_takes_a_key_away():
    """A key that is pressed by mistake can be switched off."""
    assert build_keymap({"app.detach": ""}).find("q", "overview") is None


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"session.injekt": "M"}, "nearest is session.inject"),
        ({"session.inject": "j"}, "moves about in every list"),
        ({"nav.back": "b"}, "cannot be moved"),
    ],
)
def test_an_override_that_cannot_be_is_told(overrides: dict[str, str], words: str):
    """An unknown action, a reserved key, a fixed action."""
    assert any(words in problem for problem in build_keymap(overrides).problems)


@pytest.mark.parametrize(("sign", "name"), [(":", "colon"), ("/", "slash"), ("?", "question_mark"), ("I", "I")])
def test_keys_are_named_as_the_terminal_names_them(sign: str, name: str):
    """People write signs, terminals report names."""
    assert (key_name(sign), key_sign(name)) == (name, sign)


def test_no_default_is_a_key_that_moves_about():
    """Lists keep their keys, but for the fixed ones."""
    taken = {action.id for action in ACTIONS if action.key in RESERVED}
    assert taken <= {"nav.open", "nav.back", "nav.pane"}


def test_every_action_has_a_line_in_the_help_of_its_place():
    """The help is made from the registry, and shows why something is off."""
    keymap = build_keymap({})
    for place in PLACES:
        lines = {(key, words) for key, words, _ in help_fields(place, keymap, lambda _: "")}
        for action in ACTIONS:
            if action.where.covers(place):
                key, words, _ = help_line(action, keymap, "")
                shadow = keymap.find(keymap.key_of(action.id), place)
                assert (key, words) in lines or (shadow is not None and shadow is not action)


def test_an_action_that_is_off_says_why_in_the_help():
    """The reason stands beside the key."""
    keymap = build_keymap({})
    lines = help_fields("sessions", keymap, lambda action: "no run goes on" if action.id == "session.interrupt" else "")
    assert any("interrupt run" in words and "off: no run goes on" in words for _, words, _ in lines)
