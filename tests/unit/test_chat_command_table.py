"""The table of chat commands, and how what somebody types is matched to it."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.api.access import Tier
from core.gateway.command import (
    TABLE,
    Ambiguous,
    Command,
    Facility,
    Found,
    Topic,
    Unknown,
    hints,
    may_use,
    needs_text,
    offered,
    resolved,
    spoken,
)
from core.platform_settings import ChatSettings

NAMES = {name: command for command in TABLE for name in command.names}


def test_no_two_commands_share_a_name() -> None:
    """Every name and alias belongs to one row."""
    names = [name for command in TABLE for name in command.names]
    assert sorted(names) == sorted(set(names))


def test_names_are_what_people_type_and_menus_take() -> None:
    """Lower case letters and hyphens, at most 32; a text for each."""
    for command in TABLE:
        assert all(set(name) <= set(string.ascii_lowercase + "-") and len(name) <= 32 for name in command.names)
        assert command.text
        assert command.text[0].islower()
        assert not command.text.endswith(".")


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_name_and_alias_means_its_command(name: str) -> None:
    """Also where it is the beginning of another one, in capitals, with underscores, or with an addressee."""
    for typed in (f"/{name}", f"/{name.upper()}", f"/{name.replace('-', '_')}", f"/{name}@some_bot", f"  /{name}!"):
        said = spoken(f"{typed} x y")
        assert said is not None
        assert said.rest == "x y"
        assert resolved(said.name) == Found(NAMES[name])


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_beginning_means_one_command_or_shows_all_that_it_can_be(name: str) -> None:
    """A unique beginning resolves; any other names exactly the commands that begin so."""
    for size in range(1, len(name)):
        begin = name[:size]
        if begin in NAMES:
            continue
        begun = {command.name for item, command in NAMES.items() if item.startswith(begin)}
        found = resolved(begin)
        if len(begun) == 1:
            assert found == Found(NAMES[name])
        else:
            assert isinstance(found, Ambiguous)
            assert set(found.names) == begun


@given(st.text(alphabet=string.ascii_lowercase + "-", min_size=1, max_size=12))
def test_whatever_is_typed_means_at_most_one_command(name: str) -> None:
    """Found only for a name or a beginning; nothing that merely looks like a command is one."""
    found = resolved(name)
    if isinstance(found, Found):
        assert any(item.startswith(name) for item in found.command.names)
    elif isinstance(found, Unknown):
        assert not any(item.startswith(name) for item in NAMES)
    else:
        assert len(found.names) > 1


@pytest.mark.parametrize(
    ("typed", "meant"), [("stpo", "stop"), ("aprove", "approve"), ("statsu", "status"), ("comprss", "compress")]
)
def test_a_mistyped_command_is_recognised_and_not_taken_for_it(typed: str, meant: str) -> None:
    """The near one is named, and nothing is found."""
    found = resolved(typed)
    assert isinstance(found, Unknown)
    assert found.near[0] == meant


@pytest.mark.parametrize(
    "text", ["/etc/hosts", "/stop/now", "//stop", "/", "/ stop", "/-", "/?", "stop", "", "   ", "look at /stop", "😀"]
)
def test_paths_and_plain_text_are_no_commands(text: str) -> None:
    """What has a slash inside its first word is a path; what has no letter after the slash is text."""
    assert spoken(text) is None


@given(st.text(max_size=200))
def test_parsing_takes_any_text(text: str) -> None:
    """It never raises, and what it keeps of a command was typed."""
    said = spoken(text)
    if said is not None:
        assert text.lstrip().startswith("/")
        assert said.rest in text
        assert 0 < len(said.name) <= 64
        assert resolved(said.name) is not None


def test_arguments_keep_their_lines() -> None:
    """Only the white space around them goes."""
    said = spoken("/queue  first line\n  second line \n")
    assert said is not None
    assert said.rest == "first line\n  second line"


def test_users_get_what_is_listed_and_what_nobody_can_take_away() -> None:
    """By any name of a command; what is for admins only cannot be listed."""
    listed = ("/Compact", "set_home", "q", "nonsense")
    assert may_use(NAMES["compress"], Tier.USER, listed)
    assert may_use(NAMES["queue"], Tier.USER, listed)
    assert may_use(NAMES["help"], Tier.USER, ())
    assert not may_use(NAMES["stop"], Tier.USER, listed)
    assert not may_use(NAMES["sethome"], Tier.USER, listed)
    assert all(may_use(command, Tier.ADMIN, ()) for command in TABLE)


def test_the_default_list_of_users_names_commands() -> None:
    """Every name in the default of user_commands is one of the table."""
    assert [name for name in ChatSettings().user_commands if name not in NAMES] == []


def test_a_command_without_its_facility_is_not_offered() -> None:
    """Neither in help nor in a menu."""
    assert NAMES["cron"] not in offered(Tier.ADMIN, (), ())
    assert NAMES["cron"] in offered(Tier.ADMIN, (), {Facility.JOBS})
    shown = hints(offered(Tier.USER, ("stop",), ()))
    assert {hint.name for hint in shown} >= {"help", "whoami", "status", "stop"}
    assert "sethome" not in {hint.name for hint in shown}


def test_only_commands_that_are_nothing_without_text_ask_for_it() -> None:
    """An optional argument stays optional."""
    assert needs_text(NAMES["queue"])
    assert needs_text(NAMES["steer"])
    assert not needs_text(NAMES["answer"])
    assert not needs_text(NAMES["new"])


def test_a_table_of_ones_own_is_matched_alone() -> None:
    """The functions look at what they are handed."""
    table = (Command(name="go", text="go", topic=Topic.TALK), Command(name="gone", text="leave", topic=Topic.TALK))
    assert resolved("go", table) == Found(table[0])
    assert resolved("g", table) == Ambiguous(("go", "gone"))
    assert resolved("stop", table) == Unknown(())
