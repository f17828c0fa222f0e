"""The Agent2Agent half that others reach: card, calls, streams, who may see what, and every error with its code."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
import pytest

from core.api.relay_tasks import RelayState
from core.relay import signing
from core.relay.a2a_app import HELD_LIMIT
from core.relay.inbound import RefusedMessage
from core.relay.task import RelayTask
from core.relay_settings import RelaySettings
from core.secrets import Secret
from tests.support.a2a_rig import CARD, LIMIT_S, PEERS, SIGNING_KEY, Rig, encoded, events, message
from tests.support.fake_inbound import FakeInbound
from tests.support.http_calls import call

# -- the card


async def test_the_card_is_public_and_names_where_it_was_asked() -> None:
    """No credential is needed; the host is the caller's."""
    rig = Rig(FakeInbound())
    found = await call(rig.app, "GET", CARD, {"host": "localhost:9999"})
    assert found.status == 200
    card = found.json()
    assert card["supportedInterfaces"][0]["url"] == "http://localhost:9999/a2a"
    assert (card["name"], card["capabilities"]["streaming"]) == ("ops", True)
    again = await call(rig.app, "GET", CARD, {"host": "localhost:9999", "if-none-match": found.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


async def test_a_public_address_of_the_configuration_is_in_the_card() -> None:
    """Whoever asks."""
    rig = Rig(FakeInbound(), RelaySettings(public_url="https://bots.example/x/", peers=PEERS))
    card = (await call(rig.app, "GET", CARD)).json()
    assert card["url"] == "https://bots.example/x/a2a"


async def test_other_methods_and_paths_are_refused() -> None:
    """405 names what may be used."""
    rig = Rig(FakeInbound())
    assert (await call(rig.app, "POST", CARD, {}, b"{}")).status == 405
    found = await call(rig.app, "GET", "/a2a")
    assert (found.status, found.headers["allow"]) == (405, "POST")
    assert (await call(rig.app, "POST", "/a2a/x", {}, b"{}")).status == 404


# -- who calls


@pytest.mark.parametrize("token", ["", "wrong", "ann-token2", "ann-toke"])
async def test_nobody_gets_in_without_a_credential(token: str) -> None:
    """401 with the scheme, nothing taken, and no word about who would be known."""
    rig = Rig(FakeInbound())
    found = await rig.post({"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": message()}, token=token)
    assert (found.status, found.headers["www-authenticate"]) == (401, "Bearer")
    assert b"ann" not in found.body
    assert rig.inbound.taken == []
    assert rig.inbound.admitted == []
    assert rig.refused == [("", 401, "unauthorised")]


async def test_a_signature_is_a_credential() -> None:
    """Standard Webhooks over the body of the call; the message is that of the signer."""
    rig = Rig(FakeInbound())
    body = encoded({"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": message()})
    headers = signing.signed_headers([Secret(SIGNING_KEY)], "m-1", rig.clock.now(), body)
    assert (await rig.post(body, token="", **headers)).status == 200
    assert [item.peer for item in rig.inbound.taken] == ["ben"]
    assert (await rig.post(body + b" ", token="", **headers)).status == 401


async def test_a_peer_sees_nothing_of_another() -> None:
    """Its tasks are not found, whatever is asked of them, and its ids may be used again."""
    rig = Rig(FakeInbound())
    await rig.result("SendMessage", message())
    for method in ("GetTask", "CancelTask", "SubscribeToTask"):
        assert await rig.code(method, {"id": "m-1"}, token="ben-token") == -32001
    assert await rig.code("SendMessage", message(message_id="m-2", taskId="m-1"), token="ben-token") == -32001
    await rig.result("SendMessage", message("mine"), token="ben-token")
    assert [(item.peer, item.text) for item in rig.inbound.taken] == [("ann", "hello"), ("ben", "mine")]


# -- messages


async def test_a_message_is_taken_as_it_was_meant() -> None:
    """Text, conversation, trail and sender; the task bears the id of the message."""
    rig = Rig(FakeInbound())
    metadata = {"conversation": "talk", "hops": 2, "path": ["a"], "sender": "Ann"}
    found = await rig.result("SendMessage", message(contextId="ctx", metadata=metadata))
    assert found["task"]["id"] == "m-1"
    assert found["task"]["contextId"] == "ctx"
    assert found["task"]["status"]["state"] == "TASK_STATE_WORKING"
    (taken,) = rig.inbound.taken
    assert (taken.peer, taken.wire_id, taken.text, taken.context, taken.sender) == ("ann", "m-1", "hello", "ctx", "Ann")
    assert (taken.trail.conversation, taken.trail.hops, taken.trail.path) == ("talk", 2, ("a",))


async def test_a_message_that_waits_gets_the_end() -> None:
    """Blocking is what a caller gets that says nothing."""
    rig = Rig(FakeInbound())
    caller = rig.caller("SendMessage", message(configuration={}))
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        group.create_task(caller.make(rig.app))
        await rig.inbound.waiting.wait()
        assert not caller.answer.is_whole
        rig.inbound.end("ann", "m-1", answer="done")
    task = caller.answer.json()["result"]["task"]
    assert task["status"]["state"] == "TASK_STATE_COMPLETED"
    assert task["artifacts"][0]["parts"] == [{"text": "done"}]


async def test_a_message_that_waits_too_long_gets_the_task_as_it_is() -> None:
    """Before most callers give up; the task goes on."""
    rig = Rig(FakeInbound(), block_limit_s=0.01)
    found = await rig.result("SendMessage", message(configuration={}))
    assert found["task"]["status"]["state"] == "TASK_STATE_WORKING"
    assert (await rig.result("GetTask", {"id": "m-1"}))["status"]["state"] == "TASK_STATE_WORKING"


async def test_a_caller_that_hangs_up_leaves_the_task_running() -> None:
    """Whether it waited or streamed; nobody waits for it any more."""
    rig = Rig(FakeInbound())
    for method, message_id in (("SendMessage", "m-1"), ("SendStreamingMessage", "m-2")):
        rig.inbound.waiting.clear()
        caller = rig.caller(method, message(message_id=message_id, configuration={}))
        async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
            group.create_task(caller.make(rig.app))
            await rig.inbound.waiting.wait()
            caller.hung_up.set()
        assert rig.inbound.waiter_count == 0
        assert rig.inbound.tasks["ann", message_id].state is RelayState.WORKING


async def test_the_same_message_is_the_same_task() -> None:
    """One effect, the task as it is by then; another text or conversation under its id is an error."""
    rig = Rig(FakeInbound())
    await rig.result("SendMessage", message())
    rig.inbound.end("ann", "m-1", answer="done")
    again = await rig.result("SendMessage", message(metadata={"hops": 1}, configuration={}))
    assert again["task"]["status"]["state"] == "TASK_STATE_COMPLETED"
    assert len(rig.inbound.taken) == 1
    for other in (message("other"), message(contextId="elsewhere")):
        found = await rig.rpc("SendMessage", other)
        assert found["error"]["code"] == -32602
        assert found["error"]["data"][0]["reason"] == "ID_REUSED"


async def test_a_task_takes_no_second_message() -> None:
    """-32004 says to send it without taskId."""
    rig = Rig(FakeInbound(answer="done"))
    await rig.result("SendMessage", message())
    assert await rig.code("SendMessage", message(message_id="m-2", taskId="m-1")) == -32004
    assert await rig.code("SendMessage", message(message_id="m-2", taskId="never")) == -32001
    assert len(rig.inbound.taken) == 1


async def test_another_agent_than_the_peers_own_is_refused() -> None:
    """-32602, and nothing is kept."""
    rig = Rig(FakeInbound())
    assert await rig.code("SendMessage", {**message(), "tenant": "nobody"}) == -32602
    assert rig.inbound.taken == []


# -- streams


async def test_a_stream_tells_the_task_its_answer_and_its_end() -> None:
    """Three results, then the end of the body."""
    rig = Rig(FakeInbound())
    caller = rig.caller("SendStreamingMessage", message())
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        group.create_task(caller.make(rig.app))
        await rig.inbound.waiting.wait()
        assert caller.answer.headers["content-type"].startswith("text/event-stream")
        rig.inbound.end("ann", "m-1", answer="done")
    first, artifact, status = events(caller.answer)
    assert first["task"]["status"]["state"] == "TASK_STATE_WORKING"
    assert artifact["artifactUpdate"]["artifact"]["parts"] == [{"text": "done"}]
    assert status["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED"
    assert caller.answer.is_whole


async def test_a_silent_stream_is_kept_alive() -> None:
    """With comments, so that nothing in between takes it for dead."""
    rig = Rig(FakeInbound(), keepalive_s=0.01)
    caller = rig.caller("SendStreamingMessage", message())
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        group.create_task(caller.make(rig.app))
        await caller.until(b": keepalive\n\n")
        rig.inbound.end("ann", "m-1", state=RelayState.FAILED, error="out of luck")
    last = events(caller.answer)[-1]["statusUpdate"]["status"]
    assert last["state"] == "TASK_STATE_FAILED"
    assert last["message"]["parts"] == [{"text": "out of luck"}]


async def test_a_stream_is_kept_alive_also_when_its_message_comes_again() -> None:
    """That changes the task, and is nothing to tell: the caller hears a comment all the same."""

    class Repeated(FakeInbound):
        async def changes(self, task: RelayTask, *, limit_s: float) -> AsyncGenerator[RelayTask, None]:
            async with aclosing(super().changes(task, limit_s=limit_s)) as changes:
                async for changed in changes:
                    yield msgspec.structs.replace(changed, repeats=task.repeats + 1)

    rig = Rig(Repeated(), keepalive_s=0.01)
    caller = rig.caller("SendStreamingMessage", message())
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        group.create_task(caller.make(rig.app))
        await caller.until(b": keepalive\n\n")
        rig.inbound.end("ann", "m-1", answer="done")
    assert len(events(caller.answer)) == 3


async def test_a_stream_that_broke_is_taken_up_again() -> None:
    """SubscribeToTask follows a task that goes on, and refuses one that is over."""
    rig = Rig(FakeInbound())
    await rig.result("SendMessage", message())
    caller = rig.caller("SubscribeToTask", {"id": "m-1"})
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        group.create_task(caller.make(rig.app))
        await rig.inbound.waiting.wait()
        rig.inbound.end("ann", "m-1", answer="done")
    assert len(events(caller.answer)) == 3
    assert await rig.code("SubscribeToTask", {"id": "m-1"}) == -32004


async def test_a_stream_that_cannot_begin_is_an_error() -> None:
    """As plain JSON."""
    rig = Rig(FakeInbound())
    assert await rig.code("SendStreamingMessage", {"message": {}}) == -32602
    assert await rig.code("SubscribeToTask", {"id": "never"}) == -32001


async def test_what_is_over_already_is_one_event() -> None:
    """The task with its answer."""
    rig = Rig(FakeInbound(answer="done"))
    answer = await rig.post({"jsonrpc": "2.0", "id": 1, "method": "SendStreamingMessage", "params": message()})
    (only,) = events(answer)
    assert only["task"]["artifacts"][0]["parts"] == [{"text": "done"}]


# -- tasks


async def test_a_task_is_asked_for_and_canceled() -> None:
    """Once: what is over cannot be canceled."""
    rig = Rig(FakeInbound())
    await rig.result("SendMessage", message())
    assert (await rig.result("GetTask", {"id": "m-1", "historyLength": 3}))["id"] == "m-1"
    assert (await rig.result("CancelTask", {"id": "m-1"}))["status"]["state"] == "TASK_STATE_CANCELED"
    assert await rig.code("CancelTask", {"id": "m-1"}) == -32002
    assert await rig.code("GetTask", {"id": "never"}) == -32001
    assert await rig.code("GetTask", {}) == -32602


# -- 0.3


async def test_a_caller_of_0_3_is_answered_in_0_3() -> None:
    """With or without the header, by the old names."""
    rig = Rig(FakeInbound())
    given = message(role="user", kind="message", parts=[{"kind": "text", "text": "hello"}])
    given["configuration"] = {"blocking": False}
    for version in ("", "0.3"):
        found = await rig.result("message/send", given, version=version)
        assert (found["kind"], found["status"]["state"]) == ("task", "working")
    assert len(rig.inbound.taken) == 1
    assert (await rig.result("tasks/get", {"id": "m-1"}, version=""))["kind"] == "task"
    caller = rig.caller("tasks/resubscribe", {"id": "m-1"}, version="")
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        group.create_task(caller.make(rig.app))
        await rig.inbound.waiting.wait()
        rig.inbound.end("ann", "m-1", answer="done")
    assert [item["kind"] for item in events(caller.answer)] == ["task", "artifact-update", "status-update"]
    assert events(caller.answer)[-1]["final"] is True
    assert await rig.code("tasks/cancel", {"id": "m-1"}, version="") == -32002


async def test_an_old_name_with_the_new_header_is_answered_in_1_0() -> None:
    """As some do that came to 1.0 early."""
    rig = Rig(FakeInbound())
    found = await rig.result("message/send", message())
    assert found["task"]["status"]["state"] == "TASK_STATE_WORKING"


# -- errors


@pytest.mark.parametrize(
    ("method", "version", "code"),
    [
        ("SendMessage", "2.0", -32009),
        ("SendMessage", "", -32009),
        ("message/sent", "1.0", -32601),
        ("ListTasks", "1.0", -32601),
        ("Nonsense", "1.0", -32601),
        ("CreateTaskPushNotificationConfig", "1.0", -32003),
        ("tasks/pushNotificationConfig/set", "", -32003),
        ("GetExtendedAgentCard", "1.0", -32007),
    ],
)
async def test_what_is_not_served_has_its_code(method: str, version: str, code: int) -> None:
    """Nothing is counted as taken for it."""
    rig = Rig(FakeInbound())
    assert await rig.code(method, message(), version=version) == code
    assert rig.inbound.taken == []


@pytest.mark.parametrize(("body", "code"), [(b"{", -32700), (b"[]", -32600), (b'{"id":4}', -32600)])
async def test_a_body_that_is_no_call_has_its_code(body: bytes, code: int) -> None:
    """Status 200, as the protocol wants it."""
    found = await Rig(FakeInbound()).post(body)
    assert (found.status, found.json()["error"]["code"]) == (200, code)


async def test_bounds_are_said_as_http_clients_know_them() -> None:
    """Too much and a pause are 429 and 503 with Retry-After; asking goes on meanwhile."""
    rig = Rig(FakeInbound())
    await rig.result("SendMessage", message())
    for status, delay in ((429, 2.5), (503, None)):
        rig.inbound.refusal = RefusedMessage(status, "rate", "slower", delay)
        found = await rig.post({"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": message()})
        assert (found.status, found.headers["retry-after"]) == (status, "3" if delay else "1")
        assert found.json()["error"]["message"] == "slower"
        assert (await rig.result("GetTask", {"id": "m-1"}))["id"] == "m-1"
        assert ("ann", status, "rate") in rig.refused


async def test_a_loop_is_an_error_that_names_its_path() -> None:
    """-32004 with the words of the limit."""
    rig = Rig(FakeInbound())
    rig.inbound.refusal = RefusedMessage(508, "loop", "5 hops are allowed: a > b > a")
    found = await rig.rpc("SendMessage", message())
    assert (found["error"]["code"], found["error"]["data"][0]["reason"]) == (-32004, "LOOP")
    assert "a > b > a" in found["error"]["message"]


async def test_a_body_too_large_or_of_another_type_is_refused() -> None:
    """413 and 415, before anything of it is read."""
    rig = Rig(FakeInbound(), RelaySettings(peers=PEERS, body_limit_bytes=1024))
    assert (await rig.post(b"x" * 1025)).status == 413
    assert (await rig.post({"jsonrpc": "2.0"}, **{"content-type": "text/plain"})).status == 415
    assert rig.refused == [("ann", 413, "body_too_large"), ("ann", 415, "unsupported_media_type")]


async def test_no_peer_takes_all_connections() -> None:
    """So many calls of one may wait; more are told to ask instead, and others are not concerned."""
    rig = Rig(FakeInbound())
    await rig.result("SendMessage", message())
    callers = [rig.caller("SubscribeToTask", {"id": "m-1"}) for _ in range(HELD_LIMIT)]
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        for caller in callers:
            group.create_task(caller.make(rig.app))
        for caller in callers:
            await caller.until(b"data: ")
        found = await rig.post(
            {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": message(configuration={})}
        )
        assert (found.status, found.headers["retry-after"]) == (429, "1")
        assert (await rig.result("SendMessage", message()))["task"]["id"] == "m-1"
        other = message(configuration={}, message_id="m-2")
        rig.inbound.answer = "done"
        assert (await rig.result("SendMessage", other, token="ben-token"))["task"]["id"] == "m-2"
        rig.inbound.end("ann", "m-1", answer="done")
    assert (await rig.result("SendMessage", message(configuration={})))["task"]["id"] == "m-1"
