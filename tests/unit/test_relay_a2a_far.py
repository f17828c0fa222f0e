"""Agent2Agent on paper: what others answer and offer, whatever that is."""

import json
from typing import Any

import msgspec
import pytest

from core.api.relay_tasks import RelayState
from core.relay import a2a
from core.relay.a2a import A2aFault, A2aVersion, Code, UnreadableError
from core.relay.a2a_card import ElsewhereError, etag_of, is_known, read_card, write_card
from core.relay.a2a_exchange import EventLines
from core.relay.a2a_far import FarTask, read_sent, read_task, read_update

V1, V03 = A2aVersion.V1, A2aVersion.V03
HOME = "http://bot.example:8080"


def code_of(read: Any, *given: Any) -> int:
    """The code of the fault that comes of it."""
    with pytest.raises(A2aFault) as caught:
        read(*given)
    return caught.value.code


# -- answers


def far(state: str, **more: Any) -> FarTask:
    """A task of 1.0 as it is read."""
    status = {"state": f"TASK_STATE_{state}", **more.pop("status", {})}
    return read_sent({"task": {"id": "t", "contextId": "c", "status": status, **more}})


def said(text: str) -> dict[str, Any]:
    """A status with a message."""
    return {"message": {"messageId": "s", "role": "ROLE_AGENT", "parts": [{"text": text}]}}


def test_an_answer_is_the_artifacts_before_anything_else() -> None:
    """Parts of one artifact are one text, artifacts stand apart; else the status, else the last word of the agent."""
    artifacts = [{"artifactId": "1", "parts": [{"text": "He"}, {"text": "llo"}]}, {"parts": [{"data": {"n": 1}}]}]
    assert far("COMPLETED", artifacts=artifacts, status=said("done")).answer == 'Hello\n\n{"n":1}'
    assert far("COMPLETED", status=said("done")).answer == "done"
    history = [{"role": "ROLE_AGENT", "parts": [{"text": "yes"}]}, {"role": "ROLE_USER", "parts": [{"text": "ask"}]}]
    assert far("COMPLETED", history=history).answer == "yes"
    assert far("COMPLETED").answer == ""
    assert far("WORKING", status=said("thinking")).answer == ""


def test_files_in_an_answer_are_named_and_left_out() -> None:
    """Nothing is fetched."""
    parts = [{"text": "see "}, {"url": "http://h/f", "filename": "plan.pdf"}, {"raw": "AA=="}, {}]
    found = far("COMPLETED", artifacts=[{"artifactId": "1", "parts": parts}])
    assert found.answer == "see [a file plan.pdf, which is left out][a file, which is left out]"


def test_states_that_want_something_are_told_in_words() -> None:
    """A question is the answer; a sign-in and a rejection are failures that say so."""
    asking = far("INPUT_REQUIRED", status=said("Which one?"))
    assert (asking.state, asking.answer) == (RelayState.COMPLETED, "Which one?")
    assert "asks back" in asking.error
    assert far("INPUT_REQUIRED").answer
    signing_in = far("AUTH_REQUIRED", status=said("go to http://h"))
    assert signing_in.state is RelayState.FAILED
    assert "sign in" in signing_in.error
    assert "go to http://h" in signing_in.error
    rejected = far("REJECTED", status=said("not mine"))
    assert (rejected.state, rejected.error) == (RelayState.FAILED, "it will not do it: not mine")
    assert far("FAILED").error == "it failed, and does not say why"
    assert far("SOMETHING_NEW").state is RelayState.WORKING


def test_a_bare_message_is_an_answer() -> None:
    """In both versions, also without kind; some servers of 1.0 answer with a bare task."""
    parts = [{"text": "pong"}]
    new = read_sent({"message": {"messageId": "x", "contextId": "c", "role": "ROLE_AGENT", "parts": parts}})
    assert (new.state, new.answer, new.id, new.context) == (RelayState.COMPLETED, "pong", "", "c")
    bare = read_sent({"id": "t", "status": {"state": "TASK_STATE_COMPLETED", **said("done")}})
    assert (bare.state, bare.answer) == (RelayState.COMPLETED, "done")
    for kind in ({"kind": "message"}, {}):
        assert read_sent({**kind, "messageId": "x", "role": "agent", "parts": parts}).answer == "pong"


def test_a_stream_adds_up() -> None:
    """Pieces that are appended, pieces that replace, states, in either version."""
    new = read_update({"task": {"id": "t", "status": {"state": "TASK_STATE_SUBMITTED"}}}, None)
    for text, is_more in (("He", False), ("llo", True)):
        artifact = {"artifactId": "a", "parts": [{"text": text}]}
        new = read_update({"artifactUpdate": {"taskId": "t", "artifact": artifact, "append": is_more}}, new)
    assert new.answer == ""
    new = read_update({"statusUpdate": {"taskId": "t", "status": {"state": "TASK_STATE_COMPLETED"}}}, new)
    assert (new.id, new.state, new.answer) == ("t", RelayState.COMPLETED, "Hello")
    old = read_update({"kind": "status-update", "taskId": "t", "contextId": "c", "status": {"state": "working"}}, None)
    old = read_update({"kind": "artifact-update", "artifact": {"parts": [{"kind": "text", "text": "x"}]}}, old)
    old = read_update({"kind": "status-update", "status": {"state": "completed"}, "final": True}, old)
    assert (old.id, old.context, old.answer) == ("t", "c", "x")


@pytest.mark.parametrize(
    "result",
    [{}, {"task": 3}, {"task": {}}, {"task": {"id": 5}}, {"message": []}, {"kind": "other"}, {"statusUpdate": 1}],
)
def test_an_answer_that_is_none_is_unreadable(result: dict[str, Any]) -> None:
    """It is no error of the far side, and no crash here."""
    with pytest.raises(UnreadableError):
        read_sent(result)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"[]", b'{"result":7}', b'{"error":"x"}', b"[" * 100_000])
def test_a_body_that_is_no_answer_is_unreadable(body: bytes) -> None:
    """A page of a proxy, for example."""
    with pytest.raises(UnreadableError):
        a2a.read_answer(body)


def test_an_error_of_the_far_side_keeps_its_code() -> None:
    """Its words are one line."""
    with pytest.raises(A2aFault) as caught:
        a2a.read_answer(b'{"jsonrpc":"2.0","id":1,"error":{"code":-32001,"message":"gone\\n\\u001b[31m","data":7}}')
    assert (caught.value.code, caught.value.message) == (-32001, "gone [31m")
    assert not isinstance(caught.value, UnreadableError)
    assert read_task({"id": "t", "status": {"state": "canceled"}}).state is RelayState.CANCELED


def test_events_are_put_together_from_lines() -> None:
    """Several lines of data are one event; comments and empty events are none."""
    events = EventLines()
    lines = [": hello", "", "data: {", "data:1}", "\r", "event: x", "id: 4", "data: y\r", "", "data: lost"]
    assert [event for line in lines if (event := events.feed(line)) is not None] == ["{\n1}", "y"]


# -- cards


def test_our_card_reads_in_both_versions() -> None:
    """Interfaces for 1.0 and 0.3; those that know neither find the fields of 0.3."""
    body = write_card(name="ops", url="https://bots.example/", version="0.1.0")
    card = json.loads(body)
    assert [(item["url"], item["protocolVersion"]) for item in card["supportedInterfaces"]] == [
        ("https://bots.example/a2a", "1.0"),
        ("https://bots.example/a2a", "0.3"),
    ]
    assert (card["url"], card["protocolVersion"]) == ("https://bots.example/a2a", "0.3.0")
    found = read_card(body, "https://bots.example")
    assert (found.url, found.version, found.can_stream) == ("https://bots.example/a2a", V1, True)
    assert found.identity == "ops 0.1.0"


def test_the_tag_of_a_card_says_whether_it_changed() -> None:
    """Weak or strong, one of several, or any."""
    tag = etag_of(write_card(name="a", url=HOME, version="1"))
    assert tag != etag_of(write_card(name="b", url=HOME, version="1"))
    assert is_known(tag, tag)
    assert is_known(f'"x", W/{tag}', tag)
    assert is_known("*", tag)
    assert not is_known("", tag)
    assert not is_known('"x"', tag)


def card_of(*offers: dict[str, Any], **more: Any) -> bytes:
    """A card of 1.0."""
    return msgspec.json.encode({"name": "far", "supportedInterfaces": offers, **more})


def offer(url: str = f"{HOME}/rpc", binding: str = "JSONRPC", **more: Any) -> dict[str, Any]:
    """An interface."""
    return {"url": url, "protocolBinding": binding, **more}


def test_the_latest_version_over_json_rpc_is_taken() -> None:
    """Whatever stands first; one without a version is of 1.0, one that we do not speak is passed over."""
    offers = [
        offer(f"{HOME}/grpc", "GRPC", protocolVersion="1.0"),
        offer(f"{HOME}/old", protocolVersion="0.3.0"),
        offer(f"{HOME}/next", protocolVersion="2.0"),
        offer(f"{HOME}/new", protocolVersion="1.0", tenant="x"),
    ]
    found = read_card(card_of(*offers, capabilities={"streaming": None}), HOME)
    assert (found.url, found.version, found.tenant, found.can_stream) == (f"{HOME}/new", V1, "x", False)
    assert read_card(card_of(*offers[:3]), HOME).version is V03
    assert read_card(card_of(offer()), HOME).version is V1


def test_a_card_of_0_3_is_understood() -> None:
    """Url and preferredTransport; another transport may have the JSON-RPC among the additional ones."""
    old = {"name": "far", "url": f"{HOME}/", "protocolVersion": "0.3.0", "capabilities": {"streaming": True}}
    found = read_card(msgspec.json.encode(old), HOME)
    assert (found.url, found.version, found.can_stream) == (f"{HOME}/", V03, True)
    more = [{"url": f"{HOME}/rpc", "transport": "JSONRPC"}]
    other = {**old, "preferredTransport": "GRPC", "additionalInterfaces": more}
    assert read_card(msgspec.json.encode(other), HOME).url == f"{HOME}/rpc"
    bare = {"name": "far", "url": f"{HOME}/x"}
    assert read_card(msgspec.json.encode(bare), HOME).version is V03


@pytest.mark.parametrize(
    "url",
    [
        "http://other.example:8080/rpc",
        "http://bot.example:8081/rpc",
        "https://bot.example:8080/rpc",
        "http://bot.example:8080@evil.example/rpc",
        "http://user:pw@bot.example:8080/rpc",
        "http://bot.example:8080\\@evil.example/rpc",
        "http://bot.example.evil.example:8080/rpc",
        "//bot.example:8080/rpc",
        "/rpc",
        "file:///etc/passwd",
        "http://bot.example:8080/rpc#x",
        "http://bot.example:99999/rpc",
    ],
)
def test_a_card_that_leads_elsewhere_is_refused(url: str) -> None:
    """No credential leaves for a place that nobody bound."""
    with pytest.raises(ElsewhereError):
        read_card(card_of(offer(url)), HOME)


def test_of_several_offers_the_one_at_home_is_taken() -> None:
    """Another way in somewhere else does no harm; spellings of one place are one place."""
    offers = (offer("http://other.example/rpc", protocolVersion="1.0"), offer("HTTP://Bot.Example:8080/rpc?x=1"))
    assert read_card(card_of(*offers), HOME).url == "HTTP://Bot.Example:8080/rpc?x=1"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'"x"',
        b"{}",
        b'{"supportedInterfaces":7}',
        b"[" * 100_000,
        card_of(offer(binding="GRPC")),
    ],
)
def test_what_is_no_card_is_an_error_in_words(body: bytes) -> None:
    """Nothing crashes, nothing is guessed."""
    assert code_of(read_card, body, HOME) in {Code.ANSWER, Code.VERSION}
