"""Whatever comes in over Agent2Agent, nothing breaks: there is a fault with a code, or there is an answer."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from core.api.relay_tasks import RelayState
from core.relay.a2a import A2aFault, A2aVersion, method_of, read_answer, read_request, request_id, version_of
from core.relay.a2a_card import read_card
from core.relay.a2a_exchange import EventLines
from core.relay.a2a_far import FarTask, read_task, read_update
from core.relay.a2a_words import read_order, read_task_id

WORDS = (
    "message",
    "messageId",
    "parts",
    "text",
    "data",
    "kind",
    "role",
    "metadata",
    "contextId",
    "taskId",
    "configuration",
    "blocking",
    "task",
    "status",
    "state",
    "artifacts",
    "artifactId",
    "history",
    "statusUpdate",
    "artifactUpdate",
    "artifact",
    "append",
    "id",
    "result",
    "error",
    "code",
    "jsonrpc",
    "method",
    "params",
    "supportedInterfaces",
    "url",
    "protocolBinding",
    "protocolVersion",
    "capabilities",
    "streaming",
    "conversation",
    "hops",
    "path",
)
VALUES = (
    "2.0",
    "SendMessage",
    "message/send",
    "TASK_STATE_COMPLETED",
    "input-required",
    "task",
    "JSONRPC",
    "1.0",
    "ROLE_USER",
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(VALUES)
)
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=4), inner, max_size=6)
    ),
    max_leaves=25,
)
OBJECTS = st.dictionaries(st.sampled_from(WORDS), JSON, max_size=8)
VERSIONS = st.sampled_from(list(A2aVersion))


def fault_or(read: Any, *given_: Any) -> Any:
    """What is read; None for a fault, which is the only thing that may be raised."""
    found, fault = None, None
    try:
        found = read(*given_)
    except A2aFault as error:
        fault = error
    if fault is not None:
        assert fault.message
        assert fault.message.isprintable()
        assert 400 <= fault.status < 600
    return found


@given(value=JSON, raw=st.binary(max_size=60))
def test_no_body_breaks_the_reading_of_calls(value: Any, raw: bytes) -> None:
    """JSON of any shape, and what is none."""
    for body in (msgspec.json.encode(value), raw):
        found = fault_or(read_request, body)
        request_id(body)
        if found is not None:
            fault_or(read_order, found.params)
        fault_or(read_answer, body)
        fault_or(read_card, body, "http://bot.example")


@given(params=OBJECTS, version=VERSIONS)
def test_no_message_breaks_the_reading_of_messages(params: dict[str, Any], version: A2aVersion) -> None:
    """Also with the envelope that it needs."""
    fault_or(read_task_id, params)
    for given_ in (params, {"message": params}, {"message": {"messageId": "m", "parts": [params], "metadata": params}}):
        found = fault_or(read_order, given_)
        if found is not None:
            assert found.message_id
            assert found.text.strip()
            assert found.trail.hops >= 0
    fault_or(method_of, str(params.get("method")), version)


@given(results=st.lists(OBJECTS, max_size=5))
def test_no_stream_breaks_the_reading_of_answers(results: list[dict[str, Any]]) -> None:
    """A task is always in a state that we know, and has an answer only when it is over."""
    task: FarTask | None = None
    for result in results:
        task = fault_or(read_update, result, task) or task
        fault_or(read_task, {"id": "t", **result})
        if task is not None:
            assert task.state in RelayState
            assert task.state.is_over or not task.answer
            assert isinstance(task.error, str)


@given(header=st.text(max_size=20) | st.from_regex(r"[0-9.]{0,9}", fullmatch=True))
def test_no_version_breaks_its_reading(header: str) -> None:
    """One that we speak, or a fault."""
    fault_or(version_of, header)


@given(lines=st.lists(st.text(max_size=10) | st.sampled_from(["", "data:", "data: x", ":", "data"]), max_size=20))
def test_no_line_breaks_a_stream(lines: list[str]) -> None:
    """Whatever is no data is passed over."""
    events = EventLines()
    for line in lines:
        events.feed(line)
