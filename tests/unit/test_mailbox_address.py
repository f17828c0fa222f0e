"""Addresses of agents, their runs and groups: read, written, compared, refused."""

import pytest

from core.api.base import AgentName
from core.api.errors import InvalidInput
from core.mailbox.address import (
    Address,
    Group,
    Pid,
    agent_name,
    agent_of,
    format_address,
    group_name,
    name_of,
    parse_address,
)

GOOD: list[tuple[str, Address]] = [
    ("worker", AgentName("worker")),
    ("a.b-c_9", AgentName("a.b-c_9")),
    ("worker#17", Pid(AgentName("worker"), 17)),
    ("group:reviewers", Group("reviewers")),
    ("x" * 64, AgentName("x" * 64)),
]
BAD = ["", "#1", "Worker", "worker#", "worker#0", "worker#01", "worker#-1", "worker#1#2", "group:", "group:a#1",
       "a b", "worker\n", "x" * 65, "worker#" + "9" * 30, "группа", "\x1b[31m"]  # fmt: skip


@pytest.mark.parametrize(("text", "address"), GOOD)
def test_an_address_is_read_and_written_back(text: str, address: Address) -> None:
    """What parse reads, format writes again."""
    assert parse_address(text) == address
    assert format_address(parse_address(text)) == text


@pytest.mark.parametrize("text", BAD)
def test_a_text_that_is_no_address_is_refused_with_field_value_and_fix(text: str) -> None:
    """The error names what was wrong and what would be right, and shows no raw control character."""
    with pytest.raises(InvalidInput) as caught:
        parse_address(text)
    facts = caught.value.facts
    assert facts["field"] in {"address", "group"}
    assert facts["value"]
    assert facts["fix"]
    assert "\x1b" not in caught.value.message


def test_runs_of_one_agent_sort_by_their_number() -> None:
    """A later run is greater, also where its text would sort before."""
    runs = [Pid(AgentName("worker"), number) for number in (10, 2, 1)]
    assert [str(pid) for pid in sorted(runs)] == ["worker#1", "worker#2", "worker#10"]


def test_the_name_in_a_sender_is_that_of_its_pid() -> None:
    """A pid counts as its name; other texts are left alone, with marks or without."""
    assert name_of(Pid(AgentName("worker"), 3)) == name_of("worker#3") == "worker"
    assert name_of("chat 42#general") == "chat 42#general"
    assert name_of("ana") == "ana"


def test_where_an_agent_is_wanted_a_group_is_refused() -> None:
    """A group cannot be stopped or watched."""
    with pytest.raises(InvalidInput, match="is a group"):
        agent_of("group:reviewers")
    with pytest.raises(InvalidInput):
        agent_name("worker#1")


def test_a_group_may_be_named_with_or_without_its_mark() -> None:
    """Both mean the same group."""
    assert group_name("reviewers") == group_name("group:reviewers") == group_name(Group("reviewers"))
    with pytest.raises(InvalidInput):
        group_name("No Group")
