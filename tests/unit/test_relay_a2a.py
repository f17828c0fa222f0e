"""Agent2Agent on paper: envelopes, versions, messages and tasks."""

import json
from typing import Any

import msgspec
import pytest

from core.api.base import Mark
from core.api.relay_tasks import RelayDirection, RelayState, RelayTaskId
from core.relay import a2a
from core.relay.a2a import A2aFault, A2aVersion, Code, Method
from core.relay.a2a_far import read_sent
from core.relay.a2a_words import Order, order_params, read_order, read_task_id, task_object, updates, whole
from core.relay.task import RelayTask
from core.relay.wire import Trail

V1, V03 = A2aVersion.V1, A2aVersion.V03
TRAIL = Trail(conversation="talk", hops=2, path=("a", "b"))


def message(**fields: Any) -> dict[str, Any]:
    """Parameters of a call that sends a message."""
    given = {"messageId": "m-1", "role": "ROLE_USER", "parts": [{"text": "hello"}], **fields}
    return {"message": {key: value for key, value in given.items() if value is not ...}}


def task(state: RelayState = RelayState.WORKING, **fields: Any) -> RelayTask:
    """A message that came in."""
    given: dict[str, Any] = {
        "id": RelayTaskId("peer/m-1"),
        "wire_id": "m-1",
        "direction": RelayDirection.IN,
        "state": state,
        "text": "hello",
        "created": Mark(1_774_191_845.0, 1.0),
        "trail": TRAIL,
        "context": "talk",
        **fields,
    }
    return RelayTask(**given)


def code_of(read: Any, *given: Any) -> int:
    """The code of the fault that comes of it."""
    with pytest.raises(A2aFault) as caught:
        read(*given)
    return caught.value.code


# -- envelopes


def test_a_call_is_read() -> None:
    """Method, parameters, and the id in the type that the caller gave it."""
    found = a2a.read_request(b'{"jsonrpc":"2.0","id":7,"method":"GetTask","params":{"id":"x"},"more":1}')
    assert (found.id, found.method, found.params) == (7, "GetTask", {"id": "x"})
    assert a2a.read_request(b'{"jsonrpc":"2.0","id":"a","method":"GetTask","params":null}').params == {}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", Code.PARSE),
        (b"{", Code.PARSE),
        (b"\xff\xfe", Code.PARSE),
        (b'{"a":"\xff"}', Code.PARSE),
        (b"[" * 100_000, Code.PARSE),
        (b"[]", Code.REQUEST),
        (b'[{"jsonrpc":"2.0","id":1,"method":"GetTask"}]', Code.REQUEST),
        (b"7", Code.REQUEST),
        (b"null", Code.REQUEST),
        (b"{}", Code.REQUEST),
        (b'{"jsonrpc":"1.0","id":1,"method":"GetTask"}', Code.REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":3}', Code.REQUEST),
        (b'{"jsonrpc":"2.0","id":{},"method":"GetTask"}', Code.REQUEST),
        (b'{"jsonrpc":"2.0","id":true,"method":"GetTask"}', Code.REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":"GetTask","params":[1]}', Code.REQUEST),
    ],
)
def test_what_is_no_call_is_refused_with_its_code(body: bytes, code: int) -> None:
    """Not JSON is -32700, everything else that is no call -32600."""
    assert code_of(a2a.read_request, body) == code


def test_an_error_of_a_call_that_is_no_good_still_bears_its_id() -> None:
    """The caller can tell which call it was, unless the id itself cannot be."""
    assert a2a.request_id(b'{"id":"x","method":3}') == "x"
    assert a2a.request_id(b'{"id":[1]}') is None
    assert a2a.request_id(b"{") is None


def test_an_error_is_written_with_its_reason() -> None:
    """Code, words and an ErrorInfo, as the official client reads them."""
    fault = A2aFault(Code.TASK_NOT_FOUND, "no such task")
    assert json.loads(a2a.write_fault("1", fault)) == {
        "jsonrpc": "2.0",
        "id": "1",
        "error": {
            "code": -32001,
            "message": "no such task",
            "data": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "TASK_NOT_FOUND",
                    "domain": "a2a-protocol.org",
                }
            ],
        },
    }


@pytest.mark.parametrize(
    ("header", "version"), [("", V03), (" ", V03), ("1.0", V1), ("1.7", V1), ("1", V1), ("1.0.0", V1), ("0.3", V03)]
)
def test_a_version_is_understood(header: str, version: A2aVersion) -> None:
    """Without the header it is 0.3; of 1 every smaller number will do."""
    assert a2a.version_of(header) is version


@pytest.mark.parametrize("header", ["2.0", "0.2", "0", "v1", "1.x", "1,0", "1.0, 1.0", "²", "9" * 9000, "-1.0", "1."])
def test_an_unknown_version_is_refused(header: str) -> None:
    """-32009, whatever is written there."""
    assert code_of(a2a.version_of, header) == Code.VERSION


def test_methods_go_by_the_names_of_their_version() -> None:
    """An old name will do for 1.0 too; a new one says which header would make it right; pushing is refused as such."""
    for version, names in a2a.NAMES.items():
        assert [a2a.method_of(name, version) for name in names.values()] == list(Method)
    assert code_of(a2a.method_of, "SendMessage", V03) == Code.VERSION
    assert a2a.method_of("message/send", V1) is Method.SEND
    assert code_of(a2a.method_of, "ListTasks", V1) == Code.METHOD
    assert code_of(a2a.method_of, "CreateTaskPushNotificationConfig", V1) == Code.NO_PUSH
    assert code_of(a2a.method_of, "tasks/pushNotificationConfig/set", V03) == Code.NO_PUSH
    assert code_of(a2a.method_of, "GetExtendedAgentCard", V1) == Code.NO_CARD


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (-32001, 404),
        (-32002, 409),
        (-32602, 400),
        (-32005, 415),
        (-32603, 500),
        (-32000, 500),
        (-32050, 500),
        (17, 400),
    ],
)
def test_an_error_means_as_much_as_a_status_of_http(code: int, status: int) -> None:
    """What may pass is 5xx; what the far side will never take is 4xx."""
    assert A2aFault(code, "x").status == status


# -- messages


def test_a_message_of_1_0_is_read() -> None:
    """Text, data, conversation, trail, and whom it names."""
    parts = [{"text": "hello"}, {"data": {"a": [1]}}]
    metadata = {"conversation": "c", "hops": 3, "path": ["x"], "sender": "Ann\n"}
    found = read_order(
        {
            **message(parts=parts, contextId="talk", taskId="t", metadata=metadata),
            "tenant": "coder",
            "configuration": {"returnImmediately": True},
        }
    )
    assert found == Order(
        message_id="m-1",
        text='hello\n{"a":[1]}',
        trail=Trail(conversation="c", hops=3, path=("x",)),
        context="talk",
        task_id="t",
        to="coder",
        sender="Ann",
        is_immediate=True,
    )


def test_a_message_of_0_3_is_read() -> None:
    """kind, small letters, and blocking in place of returnImmediately."""
    given = message(kind="message", role="user", parts=[{"kind": "text", "text": "hello"}])
    found = read_order({**given, "configuration": {"blocking": False, "historyLength": 3}})
    assert (found.text, found.is_immediate, found.context) == ("hello", True, "")
    assert found.trail == Trail(conversation="m-1")
    assert not read_order(given).is_immediate


@pytest.mark.parametrize(
    ("params", "code", "word"),
    [
        ({}, Code.PARAMS, "message"),
        ({"message": 7}, Code.PARAMS, "message"),
        (message(messageId=...), Code.PARAMS, "message.messageId"),
        (message(messageId=""), Code.PARAMS, "message.messageId"),
        (message(messageId=5), Code.PARAMS, "messageId"),
        (message(messageId="x" * 201), Code.PARAMS, "message.messageId"),
        (message(messageId="a\nb"), Code.PARAMS, "message.messageId"),
        (message(parts=...), Code.PARAMS, "message.parts"),
        (message(parts=[]), Code.PARAMS, "message.parts"),
        (message(parts=[{}]), Code.PARAMS, "message.parts[0]"),
        (message(parts=[{"text": " \n"}]), Code.PARAMS, "message.parts"),
        (message(parts=[{"text": "x"}] * 1001), Code.PARAMS, "message.parts"),
        (message(parts=[{"text": "x"}, {"url": "http://h/f"}]), Code.CONTENT_TYPE, "message.parts[1]"),
        (message(parts=[{"kind": "file", "file": {"uri": "http://h/f"}}]), Code.CONTENT_TYPE, "message.parts[0]"),
        (message(parts=[{"raw": "AA=="}]), Code.CONTENT_TYPE, "message.parts[0]"),
        (message(role="ROLE_AGENT"), Code.PARAMS, "message.role"),
        (message(role="agent"), Code.PARAMS, "message.role"),
        (message(contextId="x" * 201), Code.PARAMS, "message.contextId"),
        (
            {**message(), "configuration": {"taskPushNotificationConfig": {"url": "http://h"}}},
            Code.NO_PUSH,
            "pushed",
        ),
        ({**message(), "configuration": {"pushNotificationConfig": {"url": "http://h"}}}, Code.NO_PUSH, "pushed"),
    ],
)
def test_a_message_that_cannot_be_is_refused_by_its_field(params: dict[str, Any], code: int, word: str) -> None:
    """The error names what is wrong."""
    with pytest.raises(A2aFault) as caught:
        read_order(params)
    assert caught.value.code == code
    assert word in caught.value.message


@pytest.mark.parametrize("hostile", [None, 7, [], "{", {"hops": -1, "path": 3}, {"path": [{}], "conversation": "\x00"}])
def test_a_hostile_trail_counts_as_not_said(hostile: Any) -> None:
    """A message is not lost for its metadata."""
    given = message(metadata=hostile)
    if hostile is not None and not isinstance(hostile, dict):
        assert code_of(read_order, given) == Code.PARAMS
    else:
        assert read_order(given).trail == Trail(conversation="m-1")


@pytest.mark.parametrize("version", list(A2aVersion))
def test_what_is_sent_is_what_is_read(version: A2aVersion) -> None:
    """A message survives the way there, in either version."""
    order = Order(message_id="m", text="hello\n🐎", trail=TRAIL, context="talk", sender="Ann", is_immediate=True)
    assert read_order(json.loads(msgspec.json.encode(order_params(order, version)))) == order


def test_a_task_that_is_asked_for_is_named() -> None:
    """-32602 without a name."""
    assert read_task_id({"id": "m-1"}) == "m-1"
    assert code_of(read_task_id, {}) == Code.PARAMS
    assert code_of(read_task_id, {"id": 4}) == Code.PARAMS
    assert code_of(read_task_id, {"id": ""}) == Code.PARAMS


# -- tasks


def test_a_task_is_written_in_1_0() -> None:
    """To the letter."""
    done = task(RelayState.COMPLETED, answer="hi", ended=Mark(1_774_191_850.25, 6.0))
    assert task_object(done, V1) == {
        "id": "m-1",
        "contextId": "talk",
        "status": {"state": "TASK_STATE_COMPLETED", "timestamp": "2026-03-22T15:04:10.25Z"},
        "artifacts": [{"artifactId": "answer", "name": "answer", "parts": [{"text": "hi"}]}],
    }
    assert whole(done, V1) == {"task": task_object(done, V1)}


def test_a_task_is_written_in_0_3() -> None:
    """With kinds and small letters; the reason of a failure is a message of the agent."""
    failed = task(RelayState.FAILED, error="out of luck")
    assert whole(failed, V03) == {
        "kind": "task",
        "id": "m-1",
        "contextId": "talk",
        "status": {
            "state": "failed",
            "timestamp": "2026-03-22T15:04:05Z",
            "message": {
                "kind": "message",
                "messageId": "m-1-status",
                "role": "agent",
                "parts": [{"kind": "text", "text": "out of luck"}],
                "taskId": "m-1",
                "contextId": "talk",
            },
        },
    }


def test_the_end_of_a_stream_is_the_answer_and_then_the_state() -> None:
    """Both with the ids of the task; 0.3 says that it is final."""
    done = task(RelayState.COMPLETED, answer="hi")
    artifact, status = updates(done, V1)
    assert artifact["artifactUpdate"] == {
        "taskId": "m-1",
        "contextId": "talk",
        "artifact": {"artifactId": "answer", "name": "answer", "parts": [{"text": "hi"}]},
        "lastChunk": True,
    }
    assert set(status) == {"statusUpdate"}
    old_artifact, old_status = updates(done, V03)
    assert (old_artifact["kind"], old_status["kind"], old_status["final"]) == ("artifact-update", "status-update", True)
    assert [update.get("final") for update in updates(task(), V03)] == [False]


@pytest.mark.parametrize("state", list(RelayState))
@pytest.mark.parametrize("version", list(A2aVersion))
def test_every_state_has_a_name_that_the_other_half_understands(state: RelayState, version: A2aVersion) -> None:
    """What we write we also read; a loop is a rejection."""
    found = read_sent(whole(task(state, error="why"), version))
    expected = {RelayState.QUEUED: RelayState.WORKING, RelayState.SENDING: RelayState.WORKING}
    expected[RelayState.DEAD] = RelayState.FAILED
    assert found.state is expected.get(state, state)
    assert (found.id, found.context) == ("m-1", "talk")
