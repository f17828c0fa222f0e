"""JSON-RPC with agents: two id spaces, and lines of which any may be nonsense."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.agents.acp.permission import options_of, requested
from core.agents.acp.updates import Updates
from core.agents.acp.wire import (
    Answered,
    Asked,
    Nonsense,
    Told,
    Wire,
    answer,
    fields,
    notification,
    objects,
    pretty,
    refusal,
    request_key,
    text,
)
from core.agents.loose_json import number_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


def taken(wire: Wire, message: Any) -> Any:
    """What a message means."""
    return wire.take(json.dumps(message).encode())


def test_both_sides_number_from_zero() -> None:
    """An answer is matched by its direction: the agent's request 0 is not the answer to ours, nor the other way."""
    wire = Wire()
    ours, line = wire.request("initialize", {"a": 1})
    assert (ours, json.loads(line)) == (0, {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"a": 1}})
    asked = taken(wire, {"id": 0, "method": "session/request_permission", "params": {"x": 1}})
    assert asked == Asked("0", 0, "session/request_permission", {"x": 1})
    assert taken(wire, {"id": 0, "result": {"ok": True}}) == Answered(0, "initialize", {"ok": True}, None)
    assert isinstance(taken(wire, {"id": 0, "result": {}}), Nonsense)
    assert wire.request("session/new", {})[0] == 1


@pytest.mark.parametrize("request_id", [0, "0", -1, 'a"b', 1.5, 10**30])
def test_ids_of_the_agent_come_back_as_they_are(request_id: Any) -> None:
    """Whatever they are; a number and its text are two ids."""
    asked = taken(Wire(), {"id": request_id, "method": "m"})
    assert json.loads(answer(asked.id, {})) == {"jsonrpc": "2.0", "id": request_id, "result": {}}
    assert json.loads(refusal(asked.id, -1, "no"))["id"] == request_id
    assert asked.key == request_key(request_id)
    assert request_key(0) != request_key("0")


def test_what_has_no_id_wants_no_answer() -> None:
    """Parameters of a wrong shape are none."""
    assert taken(Wire(), {"method": "session/update", "params": {"a": 1}}) == Told("session/update", {"a": 1})
    assert taken(Wire(), {"method": "session/update", "id": None, "params": [1]}) == Told("session/update", {})
    assert json.loads(notification("session/cancel", {})) == {
        "jsonrpc": "2.0",
        "method": "session/cancel",
        "params": {},
    }


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        ({"code": -32000, "message": "Authentication required"}, -32000, "Authentication required"),
        ({"code": -32603, "message": "Internal error", "data": "no provider"}, -32603, "Internal error: no provider"),
        ({"code": 1, "message": "a", "data": {"details": "b\nc", "message": "a"}}, 1, "a: b c"),
        ({"code": True, "message": None, "data": [1]}, 0, "no reason given"),
        ("broken", 0, "no reason given"),
    ],
)
def test_a_refusal_is_one_line_with_what_the_agent_added(error: Any, code: int, message: str) -> None:
    """Whatever shape it has."""
    wire = Wire()
    wire.request("session/new", {})
    found = taken(wire, {"id": 0, "error": error})
    assert (found.error.code, found.error.message, found.result) == (code, message, {})


@pytest.mark.parametrize(
    "line",
    [b"", b"null", b"[]", b"[{}]", b"{", b"hello", b"{}", b'{"id":true,"result":{}}', b"[" * 100_000, b"\xff\xfe"],
)
def test_nonsense_is_said_to_be_nonsense(line: bytes) -> None:
    """Also a line that is nested too deep."""
    assert isinstance(Wire().take(line), Nonsense)


def test_an_answer_to_nobody_is_kept_for_the_log() -> None:
    """With what it complains of: an agent that cannot read a line of ours answers without an id."""
    found = taken(Wire(), {"id": None, "error": {"code": -32700, "message": "Parse error"}})
    assert found == Nonsense("an answer to no request of ours (None): Parse error")


def test_odd_numbers_and_letters_do_not_spoil_a_line() -> None:
    """Others read them, so agents send them."""
    found = Wire().take(b'{"method":"m","params":{"n":1e999,"t":"\\ud800","u":"\xff"}}')
    assert isinstance(found, Told)
    assert found.params["t"] == "?"
    json.dumps(found.params).encode()


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_line_raises(line: bytes) -> None:
    """Whatever comes."""
    wire = Wire()
    wire.request("a", {})
    wire.take(line)


@given(
    JSON,
    st.dictionaries(
        st.sampled_from(
            ["toolCallId", "title", "kind", "status", "content", "locations", "rawInput", "rawOutput", "entries",
             "plan", "cost", "used", "size", "currentModeId", "configOptions", "options", "toolCall"]
        ),
        JSON,
    ),
    st.sampled_from(
        ["agent_message_chunk", "agent_thought_chunk", "tool_call", "tool_call_update", "plan", "plan_update",
         "plan_removed", "usage_update", "current_mode_update", "config_option_update", "session_info_update", "?"]
    ),
)  # fmt: skip
def test_no_update_and_no_request_raises(odd: Any, update: dict[str, Any], kind: str) -> None:
    """Whatever their parts are."""
    updates = Updates()
    list(updates.take(update | {"sessionUpdate": kind}))
    list(updates.take({"sessionUpdate": kind, "toolCallId": "1", "content": [odd, {"type": "diff", "path": odd}]}))
    updates.usage(update)
    list(updates.closing())
    call = update | {"content": [{"type": "content", "content": odd}, {"type": "diff", "newText": odd}]}
    params = {"toolCall": call, "options": [odd, {"optionId": "a", "kind": odd}]}
    made = requested(Asked("0", 0, "m", params), None, action_id="0", cwd="/", listens_s=None)
    assert made.action_id == "0"
    options_of(odd)


def test_values_of_a_wrong_shape_are_empty() -> None:
    """Never taken for something else."""
    assert (fields([1]), objects({}), objects([1, {"a": 1}]), text(1)) == ({}, [], [{"a": 1}], "")
    assert [number_of(value) for value in (3, 2.5, True, -1, "7", float("inf"), None)] == [3, 2.5, 0, 0, 0, 0, 0]


def test_a_value_for_people_is_whole() -> None:
    """Every letter as it is, in the agent's order."""
    assert pretty({"b": "é\u202e", "a": [1]}) == '{\n  "b": "é\u202e",\n  "a": [\n    1\n  ]\n}'
