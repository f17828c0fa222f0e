"""What agents tell of a session and ask of an operator, in the words of a run."""

from typing import Any

import pytest

from core.agents.acp.permission import options_of, outcome_of, requested, tool_and_target
from core.agents.acp.updates import FIELD_LIMIT, Updates, asks_in, stop_of
from core.agents.acp.wire import Asked
from core.agents.runner import Decision
from core.api.runs import (
    ActionRequested,
    ModeReported,
    OptionKind,
    PlanReported,
    RunLogged,
    RunReport,
    TextDelta,
    ThoughtDelta,
    ToolCall,
    ToolKind,
    ToolReported,
    ToolStatus,
)


def told(updates: Updates, kind: str, /, **more: Any) -> list[RunReport]:
    """Reports of one update."""
    return list(updates.take({"sessionUpdate": kind} | more))


def call(updates: Updates, what: str, /, **more: Any) -> ToolCall:
    """The tool call of one update."""
    (report,) = told(updates, what, **more)
    assert isinstance(report, ToolReported)
    return report.call


def request(raw: Any = None, known: ToolCall | None = None, **more: Any) -> ActionRequested:
    """The action of a request for permission."""
    params = {"toolCall": {"rawInput": raw} | more}
    return requested(Asked("7", 7, "m", params), known, action_id="7", cwd="/w", listens_s=60.0)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"type": "text", "text": "hi"}, "hi"),
        ({"type": "resource_link", "uri": "file:///a", "name": "a"}, "[resource_link file:///a]"),
        ({"type": "resource", "resource": {"uri": "u", "text": "inside"}}, "inside"),
        ({"type": "resource", "resource": {"uri": "u"}}, "[resource u]"),
        ({"type": "image", "data": "AAAA"}, "[image]"),
    ],
)
def test_a_piece_of_text_is_text_and_the_rest_is_named(content: Any, text: str) -> None:
    """For answers and for thoughts."""
    assert told(Updates(), "agent_message_chunk", content=content) == [TextDelta(text=text)]
    assert told(Updates(), "agent_thought_chunk", content=content) == [ThoughtDelta(text=text)]


def test_an_empty_piece_is_nothing() -> None:
    """Nor is one without content."""
    assert told(Updates(), "agent_message_chunk", content={"type": "text", "text": ""}) == []
    assert told(Updates(), "agent_message_chunk") == []


def test_updates_of_a_call_add_up() -> None:
    """What one leaves out stays as it was."""
    updates = Updates()
    first = call(updates, "tool_call", toolCallId="1", title="run", kind="execute", rawInput={"command": "ls"})
    assert (first.status, first.kind, first.input) == (ToolStatus.PENDING, ToolKind.EXECUTE, '{\n  "command": "ls"\n}')
    second = call(updates, "tool_call_update", toolCallId="1", status="in_progress", rawInput={})
    assert (second.title, second.input, second.status) == ("run", first.input, ToolStatus.IN_PROGRESS)
    content = [
        {"type": "content", "content": {"type": "text", "text": "a.txt"}},
        {"type": "terminal", "terminalId": "t"},
    ]
    third = call(updates, "tool_call_update", toolCallId="1", status="completed", content=content, rawOutput={"a": 1})
    assert (third.output, third.status) == ("a.txt\n[terminal t]", ToolStatus.COMPLETED)
    assert list(updates.closing()) == []


def test_a_call_that_was_never_announced_is_one_all_the_same() -> None:
    """It has a name, and where it looks stands for its input."""
    updates = Updates()
    found = call(updates, "tool_call_update", toolCallId="1", kind="read", locations=[{"path": "/a", "line": 3}])
    assert (found.title, found.input) == ("read", "/a:3")
    assert call(updates, "tool_call_update", toolCallId="2", status="dancing", kind="new").kind is ToolKind.OTHER
    assert [report.call.status for report in updates.closing()] == [ToolStatus.ENDED, ToolStatus.ENDED]
    assert told(updates, "tool_call", title="x")[0] == RunLogged(
        level="debug", text="a tool call without a usable id, or one too many, is left out"
    )


def test_long_parts_of_a_call_are_cut_in_sight() -> None:
    """What is asked for by the same call later is still whole."""
    updates = Updates()
    raw = "x" * (FIELD_LIMIT + 5)
    content = [{"type": "content", "content": {"type": "text", "text": raw}}]
    found = call(updates, "tool_call", toolCallId="1", title="t", rawInput=raw, content=content)
    assert found.input == found.output == "x" * FIELD_LIMIT + "… (5 more characters)"
    assert request(known=updates.calls["1"]).detail == raw


def test_plans_with_names_stand_side_by_side() -> None:
    """Until they are removed; one without a name replaces them all."""
    updates = Updates()
    entries = [{"content": "a", "priority": "high", "status": "completed"}]

    def steps(kind: str, **more: Any) -> list[str]:
        (report,) = told(updates, kind, **more)
        assert isinstance(report, PlanReported)
        return [f"{step.text} {step.priority} {step.status}" for step in report.steps]

    assert steps("plan_update", plan={"id": "1", "entries": entries}) == ["a high completed"]
    assert steps("plan_update", plan={"planId": "2", "content": "# b"}) == ["a high completed", "# b medium pending"]
    assert steps("plan_removed", plan={"id": "1"}) == ["# b medium pending"]
    assert steps("plan", entries=[{"content": "c"}]) == ["c medium pending"]


def test_a_mode_is_told_when_it_changes() -> None:
    """However the agent says it."""
    updates = Updates()
    assert told(updates, "current_mode_update", currentModeId="plan") == [ModeReported(mode="plan", asks=True)]
    assert told(updates, "current_mode_update", modeId="plan") == []
    options = [{"id": "m", "category": "mode", "currentValue": "bypassPermissions"}, {"category": "model"}]
    assert told(updates, "config_option_update", configOptions=options) == [
        ModeReported(mode="bypassPermissions", asks=False)
    ]


@pytest.mark.parametrize(
    ("mode", "asks"),
    [
        ("default", True), ("plan", True), ("ask", True), ("read-only", True),
        ("dont_ask", False), ("accept_edits", False), ("acceptEdits", False), ("bypassPermissions", False),
        ("dontAsk", False), ("YOLO", False), ("auto_edit", False), ("full-access", False),
    ],
)  # fmt: skip
def test_modes_that_remove_approvals_are_known(mode: str, asks: bool) -> None:
    """By their names, however they are written."""
    assert asks_in(mode) is asks


def test_agents_that_count_each_turn_by_itself_are_believed() -> None:
    """A total that became smaller is none."""
    updates = Updates()
    assert updates.usage({"inputTokens": 100, "outputTokens": 10}).input_tokens == 100
    updates.begin_turn()
    assert updates.usage({"inputTokens": 50, "outputTokens": 5}).input_tokens == 50
    updates.begin_turn()
    assert updates.usage({}).input_tokens == 0
    assert stop_of("bored") is None


def test_the_mapping_of_options_is_careful() -> None:
    """One that is not known is neither the least permission nor a safe refusal; one without an id cannot be chosen."""
    options = options_of(
        [
            {"optionId": "a", "name": "A", "kind": "allow_once"},
            {"optionId": "b", "kind": "allow_forever"},
            {"optionId": "c", "name": "C", "kind": "reject_for_today"},
            {"optionId": "d", "name": "D", "kind": None},
            {"optionId": "a", "name": "again", "kind": "reject_once"},
            {"optionId": "", "name": "none", "kind": "reject_once"},
            {"name": "none"},
        ]
    )
    assert [(option.id, option.label, option.kind) for option in options] == [
        ("a", "A", OptionKind.ALLOW_ONCE),
        ("b", "b", OptionKind.ALLOW_ALWAYS),
        ("c", "C", OptionKind.REJECT_ALWAYS),
        ("d", "D", OptionKind.ALLOW_ALWAYS),
    ]
    assert outcome_of(Decision(allow=False, option_id="b"), options)[0] == {"outcome": {"outcome": "cancelled"}}


@pytest.mark.parametrize(
    ("kind", "raw", "told_paths", "found"),
    [
        (ToolKind.EXECUTE, {"command": "ls -l", "description": "look"}, [], ("exec", "ls -l")),
        (ToolKind.EXECUTE, {"command": ["rm", "a b"]}, [], ("exec", "rm 'a b'")),
        (ToolKind.EXECUTE, {"command": "git", "args": ["push", "-f"]}, [], ("exec", "git push -f")),
        (ToolKind.EXECUTE, {"arguments": {"cmd": "make"}}, [], ("exec", "make")),
        (ToolKind.EXECUTE, {"command": "ls", "cmd": "rm"}, [], ("exec", "")),
        (ToolKind.EXECUTE, {"code": "import os"}, [], ("exec", "")),
        (ToolKind.EDIT, {"command": "rm x", "path": "/a"}, [], ("exec", "rm x")),
        (ToolKind.OTHER, {"command": "rm x"}, [], ("exec", "rm x")),
        (ToolKind.EDIT, {"file_path": "/a", "content": "b"}, [], ("edit", "/a")),
        (ToolKind.EDIT, {"arguments": {"path": "/a"}}, ["/a"], ("edit", "/a")),
        (ToolKind.EDIT, {"path": "/a"}, ["/b"], ("edit", "")),
        (ToolKind.EDIT, None, ["/a", "/b"], ("edit", "")),
        (ToolKind.READ, None, ["/a"], ("read", "/a")),
        (ToolKind.DELETE, {"path": "/a"}, [], ("delete", "/a")),
        (ToolKind.MOVE, {"path": "/a", "to": "/b"}, [], ("move", "")),
        (ToolKind.FETCH, {"url": "http://x/", "prompt": "read"}, [], ("fetch", "http://x/")),
        (ToolKind.SEARCH, {"pattern": "needle"}, ["/a"], ("search", "needle")),
        (ToolKind.OTHER, {"path": "/a"}, ["/a"], ("", "")),
        (ToolKind.THINK, "words", [], ("", "")),
    ],
)
def test_a_policy_sees_the_whole_of_what_would_happen_or_nothing(
    kind: ToolKind, raw: Any, told_paths: list[str], found: tuple[str, str]
) -> None:
    """A part of it could fit a pattern that the rest does not."""
    assert tool_and_target(kind, raw, told_paths, cwd="/w") == found


@pytest.mark.parametrize(
    ("more", "is_clear"),
    [
        ({"cwd": "/w"}, True),
        ({"cwd": "sub/deep"}, True),
        ({"cwd": "/w/sub/"}, True),
        ({"cwd": "/w2"}, False),
        ({"cwd": "/w/../x"}, False),
        ({"workdir": ".."}, False),
        ({"env": {"GIT_PAGER": "evil"}}, False),
        ({"env": {}}, True),
        ({"stdin": "y"}, False),
        ({"arguments": {"cwd": "/etc"}}, False),
    ],
)
def test_a_command_with_more_than_its_line_is_not_on_an_allowlist(more: dict[str, Any], is_clear: bool) -> None:
    """Elsewhere, or with other variables, it is another command; it is asked about and shown whole."""
    found = tool_and_target(ToolKind.EXECUTE, {"command": "git status"} | more, (), cwd="/w")
    assert found == ("exec", "git status" if is_clear else "")


def test_a_request_without_arguments_leans_on_its_call() -> None:
    """And without a call on whatever it says."""
    known = ToolCall(id="1", title="edit it", kind=ToolKind.EDIT, input="the input")
    leaning = request(known=known, toolCallId="1")
    assert (leaning.title, leaning.kind, leaning.detail) == ("edit it", ToolKind.EDIT, "the input")
    content = [{"type": "content", "content": {"type": "text", "text": "$ make"}}]
    assert request(content=content).detail == "$ make"
    assert '"status": "odd"' in request(status="odd").detail
    assert (request().title, request("words").detail) == ("other", "words")


def test_a_long_title_is_cut_in_sight_and_its_details_are_not() -> None:
    """A command is shown whole somewhere."""
    command = "x" * 100_000
    made = request({"command": command}, title=command, kind="execute")
    assert made.title == "x" * 300 + "…"
    assert command in made.detail
    assert made.target == command
    assert (made.deadline_s, made.cwd, request({"cwd": "/other"}).cwd) == (60.0, "/w", "/other")
