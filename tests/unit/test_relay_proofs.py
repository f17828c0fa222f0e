"""Who may be believed below /relay: each request proves itself, and for one purpose alone."""

import hashlib

import pytest

from core.api.relay_tasks import RelayDirection, RelayRefused, RelayState, RelayTaskId
from core.clock import mark
from core.http.refusal import HttpRefusal
from core.relay import signing
from core.relay.a2a_app import A2aApp
from core.relay.message import read_response
from core.relay.task import RelayTask
from core.relay.trail import trail_text
from core.relay.wire import Trail
from core.secrets import Secret
from tests.support.relay_door import IN, Door, as_sent, hotplex
from tests.support.relay_inbound import NEW_KEY, OLD_KEY, receiving


async def test_who_it_is_is_what_the_credential_proves() -> None:
    """Never what the message says; both keys are good while one replaces the other."""
    async with receiving() as rig:
        door = Door(rig)
        for number, key in enumerate((OLD_KEY, NEW_KEY)):
            message_id = f"m-{number}"
            body = hotplex(task_id=message_id, **{"from": "bob"})
            answer = await door.signed("POST", "/relay", body, key=key, message_id=message_id)
            # The new key is cyd's too, so it proves nobody in particular.
            assert answer.status == (202 if key == OLD_KEY else 401)
        assert {work.peer for work in rig.workers.works.values()} == {"ana"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong-token-0123456789"},
        {"authorization": "Bearer "},
        {"authorization": f"Basic {IN}"},
        {"authorization": IN},
        {"webhook-id": "m-1", "webhook-timestamp": "1700000000", "webhook-signature": "v1,AAAA"},
        {"webhook-id": "m-1", "webhook-timestamp": "x", "webhook-signature": "v1,AAAA"},
        {"webhook-signature": "v1a,AAAA v2,x"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/relay"),
        ("GET", "/relay"),
        ("POST", "/relay/answers"),
        ("GET", "/relay/tasks/m-1"),
        ("DELETE", "/relay/tasks/m-1"),
    ],
)
async def test_who_proves_nothing_gets_nothing_and_changes_nothing(
    headers: dict[str, str], method: str, path: str
) -> None:
    """The same 401 for all, whatever is there; our operator is told."""
    async with receiving() as rig:
        door = Door(rig)
        await door.bearing("POST", "/relay", hotplex())
        before = [record for record in rig.records if record.durable]
        answer = await door.call(method, path, hotplex(task_id="m-2") if method == "POST" else None, headers)
        assert (answer.status, answer.error()["code"]) == (401, "unauthorised")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert not any(word in answer.body.decode() for word in ("ana", "bob", "cyd", "m-1"))
        assert [record for record in rig.records if record.durable] == before
        [told] = [event for event in rig.events(RelayRefused) if isinstance(event, RelayRefused)]
        assert (told.peer, told.status) == ("", 401)


async def test_a_signature_that_is_too_old_or_of_another_body_is_no_proof() -> None:
    """Five minutes either way."""
    async with receiving() as rig:
        door = Door(rig)
        for ago_s, status in ((299.0, 202), (302.0, 401), (-302.0, 401)):
            answer = await door.signed("POST", "/relay", hotplex(), key=OLD_KEY, ago_s=ago_s)
            assert answer.status == status
        headers = signing.signed_headers([Secret(OLD_KEY)], "m-1", rig.clock.now(), as_sent(hotplex("other")))
        assert (await door.call("POST", "/relay", hotplex("evil"), headers)).status == 401


async def test_a_signature_without_body_counts_for_the_message_that_it_names_alone() -> None:
    """It covers neither path nor method: what was signed to look at one stops neither another nor that one."""
    async with receiving() as rig:
        door = Door(rig)
        for name in ("m-1", "m-2"):
            await door.signed("POST", "/relay", hotplex(task_id=name), key=OLD_KEY, message_id=name)
        stop = {"status": "canceled"}
        other = await door.signed("DELETE", "/relay/tasks/m-2", stop, key=OLD_KEY, message_id="m-1")
        assert (other.status, other.error()["code"]) == (403, "signed_for_another")
        assert (await rig.task(wire_id="m-2")).state is RelayState.WORKING
        look = await door.signed("DELETE", "/relay/tasks/m-2", key=OLD_KEY, message_id="m-2")
        assert (look.status, look.error()["code"]) == (403, "not_signed_to_stop")
        assert (await rig.task(wire_id="m-2")).state is RelayState.WORKING
        own = await door.signed("DELETE", "/relay/tasks/m-2", stop, key=OLD_KEY, message_id="m-2")
        assert (own.status, own.json()["status"]) == (200, "canceled")


async def test_a_signature_counts_for_no_message_whose_id_cannot_be_signed_but_by_its_hash() -> None:
    """An id with a point can be none of a signature: its hash stands for it, and nothing else does."""
    async with receiving() as rig:
        door = Door(rig)
        plain = hashlib.sha256(b"m.1").hexdigest()
        await door.signed("POST", "/relay", hotplex(task_id="m.1"), key=OLD_KEY, message_id=plain)
        stop = {"status": "canceled"}
        for method, body in (("GET", None), ("DELETE", stop)):
            other = await door.signed(method, "/relay/tasks/m.1", body, key=OLD_KEY, message_id="m-2")
            assert (other.status, other.error()["code"]) == (403, "signed_for_another")
        look = await door.signed("DELETE", "/relay/tasks/m.1", key=OLD_KEY, message_id=plain)
        assert (look.status, look.error()["code"]) == (403, "not_signed_to_stop")
        assert (await rig.task(wire_id="m.1")).state is RelayState.WORKING
        own = await door.signed("DELETE", "/relay/tasks/m.1", stop, key=OLD_KEY, message_id=plain)
        assert (own.status, own.json()["status"]) == (200, "canceled")


async def test_our_own_message_does_not_come_back_as_one_of_its_receiver() -> None:
    """Both sides sign with the same keys, so who sees what we send could send it to us."""
    async with receiving() as rig:
        door = Door(rig)
        now = mark(rig.clock)
        sent = RelayTask(
            id=RelayTaskId("m-1"),
            wire_id="m-1",
            direction=RelayDirection.OUT,
            state=RelayState.SENDING,
            text="delete it all",
            created=now,
            trail=Trail(conversation="m-1", path=("home",)),
            peer="ana",
        )
        await rig.ledger.keep(sent, None)
        body = hotplex("delete it all", metadata=trail_text(sent.trail))
        answer = await door.signed("POST", "/relay", body, key=OLD_KEY)
        said = read_response(answer.body)
        assert (answer.status, said.status, rig.workers.starts) == (403, "failed", 0)
        other = hotplex("hello", task_id="m-2", metadata=trail_text(sent.trail))
        assert (await door.signed("POST", "/relay", other, key=OLD_KEY, message_id="m-2")).status == 202


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer wrong-token-0123456789"}, {"authorization": f"Basic {IN}"}]
)
async def test_nothing_is_read_of_a_body_whose_sender_cannot_be_anybody(headers: dict[str, str]) -> None:
    """Not even how long it is matters then; a signature with a token that is wrong is no proof either."""
    async with receiving() as rig:
        door = Door(rig)

        async def receive() -> dict[str, object]:
            raise AssertionError("the body was read")

        for more in ({}, {"content-length": "900000"}):
            with pytest.raises(HttpRefusal) as found:
                await door.relay(_scope({**headers, **more}), receive, _nowhere)
            assert found.value.status == 401
        if headers.get("authorization", "").startswith("Bearer"):
            signed = signing.signed_headers([Secret(OLD_KEY)], "m-1", rig.clock.now(), b"")
            with pytest.raises(HttpRefusal) as found:
                await door.relay(_scope({**headers, **signed}), receive, _nowhere)
            assert found.value.status == 401


def _scope(headers: dict[str, str]) -> dict[str, object]:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": "POST", "path": "/relay", "headers": raw}


async def _nowhere(message: dict[str, object]) -> None:
    del message


async def test_nothing_is_read_of_a_call_over_agent2agent_either() -> None:
    """The same proof is asked of it."""
    async with receiving() as rig:
        app = A2aApp(
            inbound=rig.inbound,
            peers=rig.peers,
            settings=rig.rules,
            clock=rig.clock,
            url=lambda: "http://127.0.0.1:1",
            refused=rig.inbound.callers.refused,
        )

        async def receive() -> dict[str, object]:
            raise AssertionError("the body was read")

        with pytest.raises(HttpRefusal) as found:
            await app({**_scope({}), "path": "/a2a"}, receive, _nowhere)
        assert found.value.status == 401
