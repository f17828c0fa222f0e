"""Our half that calls others over Agent2Agent: messages, streams, polls, and its counterpart here."""

import asyncio

import msgspec
import pytest

from core.api.bindings import Bot, RelayProtocol
from core.api.relay_tasks import AttemptResult, RelayState
from core.relay.adapters.a2a import A2aAdapter
from core.relay.inbound import RefusedMessage
from core.relay.peers import Credentials
from core.relay.web import CallError
from core.secrets import Secret
from tests.support.a2a_far import HOME, LIMIT_S, Far, call_of, card, event, fault, result, task
from tests.support.a2a_rig import SIGNING_KEY, Rig
from tests.support.fake_inbound import FakeInbound
from tests.support.fake_web import AppWeb, json_answer

# -- messages


async def test_a_message_goes_out_with_its_own_id() -> None:
    """Version, bearer, messageId, conversation and trail; the networks are those of the bot."""
    far = Far(lambda _: result({"task": task()}))
    reply = await far.adapter.send(call_of(sender="Ann"))
    assert (reply.result, reply.state, reply.remote_id, reply.context) == (
        AttemptResult.DELIVERED,
        RelayState.WORKING,
        "t-1",
        "c-1",
    )
    (asked,) = far.web.calls("POST")
    assert (asked.url, asked.networks) == (f"{HOME}/rpc", ("10.0.0.0/8",))
    assert asked.headers["a2a-version"] == "1.0"
    assert asked.headers["authorization"] == "Bearer s3cret-token"
    assert asked.json()["method"] == "SendMessage"
    assert asked.json()["params"] == {
        "message": {
            "messageId": "wire-1",
            "role": "ROLE_USER",
            "parts": [{"text": "hello"}],
            "contextId": "talk",
            "metadata": {"conversation": "talk", "hops": 1, "path": ["us"], "sender": "Ann"},
        },
        "configuration": {"returnImmediately": True},
    }


async def test_an_answer_at_once_is_the_end() -> None:
    """A message in place of a task."""
    far = Far(lambda _: result({"message": {"messageId": "x", "role": "ROLE_AGENT", "parts": [{"text": "pong"}]}}))
    reply = await far.adapter.send(call_of())
    assert (reply.state, reply.answer) == (RelayState.COMPLETED, "pong")


async def test_a_bot_of_0_3_is_spoken_to_in_0_3() -> None:
    """By its card, which has no interfaces."""
    far = Far(lambda _: result({"kind": "task", "id": "t-1", "status": {"state": "working"}}), card("0.3"))
    reply = await far.adapter.send(call_of())
    assert (reply.state, reply.remote_id) == (RelayState.WORKING, "t-1")
    await far.adapter.ask(call_of(remote_id="t-1"))
    await far.adapter.cancel(call_of(remote_id="t-1"))
    assert far.methods == ["message/send", "tasks/get", "tasks/cancel"]
    (sent, *_) = far.web.calls("POST")
    assert sent.headers["a2a-version"] == "0.3"
    assert sent.json()["params"]["message"]["parts"] == [{"kind": "text", "text": "hello"}]


async def test_a_tenant_of_the_card_is_named() -> None:
    """In every call."""
    offers = [{"url": f"{HOME}/rpc", "protocolBinding": "JSONRPC", "tenant": "west"}]
    far = Far(lambda _: result({"task": task()}), json_answer({"supportedInterfaces": offers}))
    await far.adapter.send(call_of())
    await far.adapter.ask(call_of(remote_id="t-1"))
    tenants = [asked.json()["params"]["tenant"] for asked in far.web.calls("POST")]
    assert tenants == ["west", "west"]


# -- streams


async def test_a_short_answer_comes_with_the_message() -> None:
    """Where the card says that it streams; the stream is closed."""
    lines: list[str | CallError | None] = [
        event({"task": task()}),
        "",
        event({"artifactUpdate": {"taskId": "t-1", "artifact": {"artifactId": "a", "parts": [{"text": "pong"}]}}}),
        "",
        event({"statusUpdate": {"taskId": "t-1", "status": {"state": "TASK_STATE_COMPLETED"}}}),
        "",
        None,
    ]
    far = Far(lambda _: list(lines), card(streaming=True))
    async with asyncio.timeout(LIMIT_S):
        reply = await far.adapter.send(call_of())
    assert (reply.state, reply.answer, reply.remote_id) == (RelayState.COMPLETED, "pong", "t-1")
    assert far.methods == ["SendStreamingMessage"]
    assert far.web.closed_streams == 1


async def test_a_long_answer_is_asked_for_later() -> None:
    """A stream that goes silent after the task is left; what it was by then counts."""
    far = Far(lambda _: [event({"task": task()}), "", None], card(streaming=True))
    far.clock.step(0)
    async with asyncio.timeout(LIMIT_S):
        reply = await far.adapter.send(call_of())
    assert (reply.result, reply.state, reply.remote_id) == (AttemptResult.DELIVERED, RelayState.WORKING, "t-1")
    assert far.web.closed_streams == 1


@pytest.mark.parametrize(
    "rest", [[CallError("cut", AttemptResult.UNKNOWN)], ["data: {", ""], [event({"x": 1}), ""], []]
)
async def test_a_stream_that_breaks_after_the_task_was_delivered(rest: list[str | CallError | None]) -> None:
    """The far side has it: whatever comes then is found out by asking."""
    far = Far(lambda _: [event({"task": task()}), "", *rest], card(streaming=True))
    reply = await far.adapter.send(call_of())
    assert (reply.result, reply.remote_id) == (AttemptResult.DELIVERED, "t-1")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([CallError("cut", AttemptResult.UNKNOWN)], AttemptResult.UNKNOWN),
        ([], AttemptResult.UNKNOWN),
        (["data: <html>", ""], AttemptResult.REFUSED),
    ],
)
async def test_a_stream_that_breaks_before_a_word_is_no_delivery(
    lines: list[str | CallError | None], expected: AttemptResult
) -> None:
    """Nobody can tell, or it is no Agent2Agent."""
    far = Far(lambda _: list(lines), card(streaming=True))
    reply = await far.adapter.send(call_of())
    assert (reply.result, reply.state) == (expected, None)


@pytest.mark.parametrize("code", [-32601, -32004])
async def test_a_bot_that_cannot_stream_after_all_is_sent_plainly(code: int) -> None:
    """Once and for all: the next message is not tried as a stream."""
    far = Far(
        lambda asked: fault(code) if asked.json()["method"] == "SendStreamingMessage" else result({"task": task()}),
        card(streaming=True),
    )
    assert (await far.adapter.send(call_of())).state is RelayState.WORKING
    assert (await far.adapter.send(call_of(id="wire-2"))).state is RelayState.WORKING
    assert far.methods == ["SendStreamingMessage", "SendMessage", "SendMessage"]


async def test_a_message_that_was_refused_for_a_reason_is_not_sent_plainly() -> None:
    """Our own half refuses a loop with the code by which others say that they do not stream."""
    rig = Rig(FakeInbound())
    rig.inbound.refusal = RefusedMessage(508, "loop", "5 hops are allowed: a > b > a")
    web = AppWeb(rig.app)
    adapter = A2aAdapter(web, rig.clock)  # type: ignore[arg-type]
    reply = await adapter.send(call_of(bot=OPS, credentials=ANN))
    assert reply.result is AttemptResult.REFUSED
    assert "a > b > a" in reply.error
    assert [asked.json()["method"] for asked in web.calls("POST")] == ["SendStreamingMessage"]


@pytest.mark.parametrize("kind", ["text/event-stream", "Text/Event-Stream; charset=UTF-8"])
async def test_a_stream_is_known_by_its_type(kind: str) -> None:
    """However that is written: it is not read to its end."""
    far = Far(lambda _: [event({"task": task()}), "", None], card(streaming=True))
    far.web.stream_type = kind
    async with asyncio.timeout(LIMIT_S):
        assert (await far.adapter.send(call_of())).remote_id == "t-1"


async def test_a_stream_that_is_answered_plainly_counts() -> None:
    """Some servers answer a short message as JSON."""
    far = Far(lambda _: result({"task": task("COMPLETED")}), card(streaming=True))
    assert (await far.adapter.send(call_of())).state is RelayState.COMPLETED


# -- polls


async def test_a_task_is_asked_for_by_its_own_id() -> None:
    """By that of the message where no other is known."""
    far = Far(lambda _: result(task("COMPLETED", artifacts=[{"artifactId": "a", "parts": [{"text": "pong"}]}])))
    reply = await far.adapter.ask(call_of(remote_id="t-1"))
    assert (reply.state, reply.answer) == (RelayState.COMPLETED, "pong")
    await far.adapter.ask(call_of())
    assert [asked.json()["params"]["id"] for asked in far.web.calls("POST")] == ["t-1", "wire-1"]


async def test_a_task_that_was_forgotten_has_no_answer() -> None:
    """The far side has it no more, and will never say more; some say so in HTTP as well."""
    for answer in (fault(-32001), msgspec.structs.replace(fault(-32001), status=404)):
        far = Far(lambda _, said=answer: said)
        reply = await far.adapter.ask(call_of(remote_id="t-1"))
        assert (reply.is_silent, reply.state) == (True, RelayState.FAILED)
        assert "knows nothing of the task" in reply.error
        assert far.methods == ["GetTask"]
    closed = msgspec.structs.replace(fault(-32001), status=401)
    assert not (await Far(lambda _: closed).adapter.ask(call_of(remote_id="t-1"))).is_silent


@pytest.mark.parametrize("name", ["x" * 201, "a\nb", ""])
async def test_names_of_the_far_side_that_cannot_be_kept_are_left_out(name: str) -> None:
    """They would stand in every view of the message; the task goes by the id of the message then."""
    far = Far(lambda _: result({"task": {**task(), "id": name, "contextId": name}}))
    reply = await far.adapter.send(call_of())
    assert (reply.result, reply.remote_id, reply.context) == (AttemptResult.DELIVERED, "", "")


async def test_a_task_that_is_over_cannot_be_canceled() -> None:
    """That is an answer, not a failure of the far side."""
    reply = await Far(lambda _: fault(-32002)).adapter.cancel(call_of(remote_id="t-1"))
    assert (reply.result, reply.status) == (AttemptResult.REFUSED, 409)
    done = await Far(lambda _: result(task("CANCELED"))).adapter.cancel(call_of(remote_id="t-1"))
    assert done.state is RelayState.CANCELED


# -- our two halves


OPS = Bot(name="ops", url="http://127.0.0.1:8642", protocol=RelayProtocol.A2A)
ANN, BEN = Credentials("ann", (), Secret("ann-token")), Credentials("ben", (Secret(SIGNING_KEY),))


@pytest.mark.parametrize("credentials", [ANN, BEN], ids=["token", "signature"])
@pytest.mark.parametrize("version", ["1.0", "0.3"])
async def test_our_two_halves_understand_each_other(credentials: Credentials, version: str) -> None:
    """In both versions, with a token or a signature: sent, repeated, asked for, canceled; a stranger is kept out."""
    rig = Rig(FakeInbound(answer="pong"))
    web = AppWeb(rig.app)
    if version == "0.3":
        web.canned["GET"] = card("0.3", streaming=True, url=f"{OPS.url}/a2a")
    adapter = A2aAdapter(web, rig.clock)  # type: ignore[arg-type]
    asked = call_of(bot=OPS, credentials=credentials)
    async with asyncio.timeout(LIMIT_S):
        sent = await adapter.send(asked)
        again = await adapter.send(asked)
        polled = await adapter.ask(msgspec.structs.replace(asked, remote_id=sent.remote_id))
    assert (sent.state, sent.answer, sent.remote_id) == (RelayState.COMPLETED, "pong", "wire-1")
    assert again == sent == polled
    assert {item.headers["a2a-version"] for item in web.calls("POST")} == {version}
    (taken,) = rig.inbound.taken
    assert (taken.peer, taken.trail) == (credentials.peer, asked.trail)
    stranger = msgspec.structs.replace(asked, credentials=Credentials())
    assert (await adapter.send(stranger)).status == 401
    assert (await adapter.cancel(asked)).status == 409
    other = await adapter.send(msgspec.structs.replace(asked, text="something else"))
    assert (other.result, other.status) == (AttemptResult.REFUSED, 400)


async def test_what_our_server_refuses_for_now_is_tried_again() -> None:
    """Too much, or a pause: undelivered, with the time that was asked for; a loop is final."""
    rig = Rig(FakeInbound())
    adapter = A2aAdapter(AppWeb(rig.app), rig.clock)  # type: ignore[arg-type]
    asked = call_of(bot=OPS, credentials=ANN)
    rig.inbound.refusal = RefusedMessage(503, "paused", "the relay is paused here", 30.0)
    reply = await adapter.send(asked)
    assert (reply.result, reply.status) == (AttemptResult.UNDELIVERED, 503)
    assert "paused" in reply.error
    rig.inbound.refusal = RefusedMessage(508, "loop", "loop: a > b > a")
    reply = await adapter.send(asked)
    assert reply.result is AttemptResult.REFUSED
    assert "a > b > a" in reply.error
