"""Lines of Claude Code, without a process: whatever comes, a reader goes on, and nothing is granted by mistake."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.agents.claude.permissions import Permissions, requested
from core.agents.claude.wire import Fields, Reader, diff_of, line_of
from core.agents.hermes.wire import RemoteRun
from core.agents.loose_json import object_in
from core.agents.open_requests import OPEN_LIMIT
from core.agents.runner import Decision
from core.api.runs import ActionRequested, ActionSettled, RunReport, TextDelta, ToolReported

YES = Decision(allow=True, option_id="allow")
NAMES = (
    "type subtype event message content delta text usage input id name is_error todos tool_use_id parent_tool_use_id "
    "result choices command timestamp resolved tool"
)
WORDS = (
    "system stream_event assistant user result message_start content_block_delta tool_use tool_result text init "
    "success Edit TodoWrite approval.request approval.responded tool.started tool.completed run.completed once"
)
names, words = st.sampled_from(NAMES.split()), st.sampled_from(WORDS.split())
values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | words | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=6),
    max_leaves=8,
)
messages = st.dictionaries(names, values, max_size=8)


class Wire:
    """What permissions send and report."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.reports: list[RunReport] = []
        self.is_there = True
        self.permissions = Permissions(self.send, self.reports.append)

    def send(self, message: Fields) -> bool:
        """To the program."""
        if self.is_there:
            self.sent.append(json.loads(line_of(message))["response"])
        return self.is_there

    def ask(self, request_id: str, command: str = "ls") -> str:
        """A request comes; why it was denied."""
        request = {"tool_name": "Bash", "input": {"command": command}, "tool_use_id": "t1"}
        return self.permissions.put(request_id, request, cwd="/w", chain=())

    def behaviours(self) -> list[tuple[str, str]]:
        """Answers that were sent."""
        return [(item["request_id"], item["response"]["behavior"]) for item in self.sent]

    def outcomes(self) -> list[tuple[str, str]]:
        """How requests ended."""
        return [(item.action_id, item.outcome) for item in self.reports if isinstance(item, ActionSettled)]


@settings(max_examples=60, deadline=None)
@given(st.lists(messages, max_size=6))
def test_a_reader_takes_in_any_line(lines: list[dict[str, Any]]) -> None:
    """Of any shape; every tool call that began is ended."""
    reader = Reader()
    reports: list[RunReport] = []
    for line in lines:
        reports += reader.take(object_in(json.dumps(line).encode()))
    reports += reader.closing()
    last = {item.call.id: item.call.status for item in reports if isinstance(item, ToolReported)}
    assert all(status.is_final for status in last.values())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(words, messages), max_size=6), messages)
def test_a_run_of_hermes_takes_in_any_event(events: list[tuple[str, dict[str, Any]]], status: dict[str, Any]) -> None:
    """The same of the other agent that tells in JSON."""
    run = RemoteRun("r", 60.0)
    for name, event in events:
        list(run.take(json.dumps({**event, "event": name}), 0.0))
    list(run.poll(status, 1.0))
    list(run.close())


@settings(max_examples=60, deadline=None)
@given(messages)
def test_any_request_can_be_shown(request: dict[str, Any]) -> None:
    """Its arguments exactly."""
    action = requested("r-1", request, cwd="/w", chain=())
    given_ = request.get("input")
    assert json.loads(action.detail) == (given_ if isinstance(given_, dict) else {})


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"7", b"\xff\xfe", b"[" * 100_000])
def test_a_line_that_is_no_message_is_an_empty_one(line: bytes) -> None:
    """Without an error."""
    assert object_in(line) == {}


def test_a_diff_is_made_of_what_the_arguments_tell() -> None:
    """Each edit of several is a part of it; other tools have none."""
    edits = [{"old_string": "a\n", "new_string": "b\n"}, {"old_string": "c\n", "new_string": ""}]
    whole = diff_of("MultiEdit", {"file_path": "x.py", "edits": edits})
    assert whole.count("+++ x.py") == 2
    assert "-a\n+b\n" in whole
    assert "-c\n" in whole
    assert diff_of("Write", {"file_path": "x.py", "content": "new\n"}).startswith("--- /dev/null\n+++ x.py\n")
    assert diff_of("Bash", {"command": "ls"}) == ""


def test_text_that_was_not_streamed_comes_from_the_whole_message() -> None:
    """Once."""
    reader = Reader()
    line = {"type": "assistant", "message": {"model": "m", "content": [{"type": "text", "text": "hello"}]}}
    reports = [*reader.take(line), *reader.take({"type": "result", "subtype": "success", "result": "hello"})]
    assert [item.text for item in reports if isinstance(item, TextDelta)] == ["hello"]


def test_an_id_that_is_used_twice_grants_nothing() -> None:
    """One answer would count for both."""
    wire = Wire()
    assert wire.ask("r-1") == ""
    assert wire.ask("r-1", "rm -rf /")
    assert not wire.permissions.decide("r-1", YES)
    assert wire.behaviours() == [("r-1", "deny")]
    assert wire.outcomes() == [("r-1", "withdrawn")]


def test_requests_are_bounded() -> None:
    """Those beyond are denied without asking, as is one without an id."""
    wire = Wire()
    assert wire.ask("")
    for number in range(OPEN_LIMIT):
        assert wire.ask(f"r-{number}") == ""
    assert wire.ask("one-more")
    assert wire.behaviours() == [("", "deny"), ("one-more", "deny")]
    assert sum(isinstance(item, ActionRequested) for item in wire.reports) == OPEN_LIMIT


def test_a_call_that_has_ended_needs_no_decision() -> None:
    """A late one arrives nowhere."""
    wire = Wire()
    wire.ask("r-1")
    wire.permissions.expire("t2")
    wire.permissions.expire("t1")
    assert wire.outcomes() == [("r-1", "expired")]
    assert not wire.permissions.decide("r-1", YES)
    assert wire.sent == []


def test_a_decision_for_a_program_that_is_gone_has_not_arrived() -> None:
    """It is settled as expired and never as approved."""
    wire = Wire()
    wire.ask("r-1")
    wire.is_there = False
    assert not wire.permissions.decide("r-1", YES)
    assert wire.outcomes() == [("r-1", "expired")]


def test_all_that_is_open_is_refused_at_the_end() -> None:
    """None is left without an answer."""
    wire = Wire()
    wire.ask("r-1")
    wire.ask("r-2")
    wire.permissions.drop("withdrawn")
    assert wire.behaviours() == [("r-1", "deny"), ("r-2", "deny")]
    assert wire.outcomes() == [("r-1", "withdrawn"), ("r-2", "withdrawn")]
