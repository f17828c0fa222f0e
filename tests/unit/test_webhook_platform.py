"""Signed webhooks: what proves a caller, what is refused, and where answers go."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from core.api.base import DeliveryId, MessageId, PlatformName, SessionId
from core.api.errors import ConfigError, Overloaded, StoreError
from core.api.sessions import ChatKind, Source
from core.gateway.adapters import webhook
from core.gateway.adapters.signature import DELIVERY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, is_signed, signature
from core.gateway.adapters.webhook_replies import Replies, refused
from core.gateway.platform import Outbound, PlatformError, PlatformErrorKind
from core.http.asgi import Receive, Scope, Send, header, read_body, respond
from core.platform_settings import WebhookRoute, WebhookSettings
from core.secrets import Secret
from tests.support.api_rig import ROUTE_SECRET, Hooks, context
from tests.support.clocks import FakeClock
from tests.support.http_calls import call, serving

PLATFORM = PlatformName("hooks")


async def test_a_signed_delivery_is_taken_in() -> None:
    """202 tells where the message is."""
    hooks = Hooks(template="[{level}] {text}", chat="{host.name}", agent="coder")
    answer = await hooks.post({"level": "high", "text": "disk {full}", "host": {"name": "db1"}})
    assert answer.status == 202
    assert answer.json() == {
        "message_id": "m1",
        "session_id": "hooks:dm:alerts%2Fdb1",
        "position": 0,
        "duplicate": False,
    }
    [inbound] = hooks.inbox.received
    assert inbound.text == "[high] disk {full}"
    assert inbound.source == Source(platform=PLATFORM, kind=ChatKind.DM, chat="alerts/db1")
    assert inbound.agent == "coder"


async def test_the_same_delivery_is_taken_in_once() -> None:
    """A sender that tries again, with a new time and signature, gets the same ids."""
    hooks = Hooks()
    first = await hooks.post(delivery="d1")
    hooks.clock.step(5)
    second = await hooks.post(delivery="d1")
    assert (first.status, second.status) == (202, 200)
    assert second.json() == {**first.json(), "duplicate": True}
    assert len(hooks.inbox.received) == 1


async def test_a_delivery_that_only_the_gateway_remembers_is_a_duplicate_too() -> None:
    """After a restart the adapter has forgotten, and what is stored has not."""
    hooks = Hooks()
    await hooks.post(delivery="d1")
    fresh = Hooks(hooks.inbox)
    answer = await fresh.post(delivery="d1")
    assert (answer.status, answer.json()["duplicate"]) == (200, True)
    assert len(hooks.inbox.received) == 1


async def test_a_replay_without_a_delivery_id_changes_nothing() -> None:
    """The signature stands for the delivery where there is no id."""
    hooks = Hooks()
    body = b'{"text": "hi"}'
    headers = hooks.signed(body)
    answers = [await hooks.post(body=body, headers=headers) for _ in range(2)]
    assert [answer.status for answer in answers] == [202, 200]
    assert len(hooks.inbox.received) == 1


async def test_a_replay_under_another_delivery_id_is_refused() -> None:
    """The id is not signed, so a captured request could carry any."""
    hooks = Hooks()
    body = b'{"text": "hi"}'
    headers = hooks.signed(body, delivery="d1")
    await hooks.post(body=body, headers=headers)
    answer = await hooks.post(body=body, headers={**headers, DELIVERY_HEADER: "d2"})
    assert (answer.status, answer.error()["code"]) == (409, "replayed")
    assert len(hooks.inbox.received) == 1


async def test_a_delivery_that_was_not_stored_may_come_again() -> None:
    """A failure on our side does not make the next try a replay."""
    hooks = Hooks()
    body = b'{"text": "hi"}'
    headers = hooks.signed(body)
    hooks.inbox.error = StoreError("disk full")
    assert (await hooks.post(body=body, headers=headers)).status == 503
    hooks.inbox.error = None
    assert (await hooks.post(body=body, headers=headers)).status == 202


@pytest.mark.parametrize("age_s", [301, -301, 10**9])
async def test_an_old_or_future_time_is_401(age_s: int) -> None:
    """A signature is good for a while only."""
    hooks = Hooks()
    body = b'{"text": "hi"}'
    headers = hooks.signed(body, timestamp=str(int(hooks.clock.now()) - age_s))
    answer = await hooks.post(body=body, headers=headers)
    assert (answer.status, answer.error()["code"]) == (401, "timestamp_out_of_tolerance")
    assert hooks.inbox.received == []


@pytest.mark.parametrize("timestamp", ["", "now", "1e9", "-5", "17\u00b2", "9" * 40, "0x10"])
async def test_a_time_that_is_none_is_401(timestamp: str) -> None:
    """However well it is signed."""
    hooks = Hooks()
    body = b'{"text": "hi"}'
    answer = await hooks.post(body=body, headers=hooks.signed(body, timestamp=timestamp))
    assert (answer.status, answer.error()["code"]) == (401, "timestamp_out_of_tolerance")


def forged(hooks: Hooks, body: bytes) -> list[dict[str, str]]:
    """Headers that prove nothing."""
    good = hooks.signed(body)
    stamp = good[TIMESTAMP_HEADER]
    return [
        {},
        {TIMESTAMP_HEADER: stamp},
        {SIGNATURE_HEADER: good[SIGNATURE_HEADER]},
        {**good, SIGNATURE_HEADER: ""},
        {**good, SIGNATURE_HEADER: "v1="},
        {**good, SIGNATURE_HEADER: good[SIGNATURE_HEADER].removeprefix("v1=")},
        {**good, SIGNATURE_HEADER: good[SIGNATURE_HEADER].replace("v1=", "v0=")},
        {**good, SIGNATURE_HEADER: good[SIGNATURE_HEADER].upper()},
        {**good, SIGNATURE_HEADER: "v1=\xe9\xe9"},
        {**good, SIGNATURE_HEADER: signature(Secret("other"), stamp, body)},
        {**good, SIGNATURE_HEADER: signature(ROUTE_SECRET, stamp, body + b" ")},
        {**good, TIMESTAMP_HEADER: str(int(stamp) + 1)},
    ]


@pytest.mark.parametrize("number", range(12))
async def test_a_wrong_signature_is_401(number: int) -> None:
    """Whatever is missing or changed, the caller is told no more than that."""
    hooks = Hooks()
    body = b'{"text": "hi"}'
    answer = await hooks.post(body=body, headers=forged(hooks, body)[number])
    assert (answer.status, answer.error()["code"]) == (401, "bad_signature")
    assert hooks.inbox.received == []
    assert hooks.log == []


async def test_the_signature_is_checked_before_the_body_is_looked_at() -> None:
    """Who proves nothing learns nothing about what would have been wrong."""
    hooks = Hooks()
    answer = await hooks.post(body=b"{", headers={})
    assert answer.error()["code"] == "bad_signature"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed_json"),
        (b"{", 400, "malformed_json"),
        (b"\xff", 400, "malformed_json"),
        pytest.param(b"[" * 50_000, 400, "malformed_json", id="deep"),
        (b'{"text": "\\ud800"}', 400, "malformed_json"),
        (b"{}", 422, "missing_field"),
        (b"[]", 422, "missing_field"),
        (b'"text"', 422, "missing_field"),
        (b"null", 422, "missing_field"),
        pytest.param(b"x" * 70_000, 413, "body_too_large", id="large"),
    ],
)
async def test_a_signed_body_that_does_not_fit_is_refused(body: bytes, status: int, code: str) -> None:
    """Right status, one line, nothing handed in."""
    hooks = Hooks()
    answer = await hooks.post(body=body)
    assert (answer.status, answer.error()["code"]) == (status, code)
    assert hooks.inbox.received == []
    assert hooks.log == []


async def test_a_missing_field_is_named() -> None:
    """The sender can see what the route wants."""
    answer = await Hooks(template="{a.b.0.c}").post({"a": {"b": []}})
    assert answer.error()["message"] == "the body has no field a.b.0.c"


async def test_an_empty_chat_is_422() -> None:
    """A chat needs a name."""
    answer = await Hooks(chat="{who}").post({"text": "hi", "who": ""})
    assert (answer.status, answer.error()["code"]) == (422, "empty_chat")


@pytest.mark.parametrize("path", ["/webhooks", "/webhooks/", "/webhooks/other", "/webhooks/alerts/x"])
async def test_an_unknown_route_is_404(path: str) -> None:
    """Only configured routes are there, and a deeper path is no route."""
    hooks = Hooks()
    answer = await call(hooks.app, "POST", path, {}, b"{}")
    assert (answer.status, answer.error()["code"]) == (404, "unknown_route")


async def test_another_method_is_405() -> None:
    """A webhook takes POST."""
    answer = await call(Hooks().app, "GET", "/webhooks/alerts")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("delivery", ["", "a b", "x" * 257, "gr\xfcn"])
async def test_a_delivery_id_that_does_not_fit_is_400(delivery: str) -> None:
    """Ids are short and printable."""
    answer = await Hooks().post(delivery=delivery)
    assert (answer.status, answer.error()["code"]) == (400, "invalid_header")


async def test_more_than_the_rate_is_429() -> None:
    """A route takes its number a minute, and then says when to come again."""
    hooks = Hooks(rate_per_minute=2)
    statuses = [(await hooks.post({"text": str(number)})).status for number in range(2)]
    late = await hooks.post({"text": "late"})
    assert statuses == [202, 202]
    assert (late.status, late.error()["code"], late.headers["retry-after"]) == (429, "rate_limited", "30")
    hooks.clock.step(30)
    assert (await hooks.post({"text": "again"})).status == 202


async def test_a_full_queue_is_429() -> None:
    """The gateway's bound reaches the sender."""
    hooks = Hooks()
    hooks.inbox.error = Overloaded("full", retry_after_s=7)
    answer = await hooks.post()
    assert (answer.status, answer.headers["retry-after"]) == (429, "7")


@pytest.mark.parametrize(("field", "text"), [("template", "{"), ("template", "{a!r}"), ("chat", "{}")])
def test_a_bad_template_is_a_fault_of_the_configuration(field: str, text: str) -> None:
    """It is found at the start and not with the first message."""
    route: Any = {"secret": "env:HOOK", field: text}
    settings = WebhookSettings(routes={"alerts": WebhookRoute(**route)})
    with pytest.raises(ConfigError) as caught:
        webhook.create(PLATFORM, settings, context(FakeClock()))
    assert caught.value.facts["key"] == f"routes.alerts.{field}"


async def test_the_platform_is_mounted_while_it_runs() -> None:
    """It says where it listens, and leaves nothing behind."""
    hooks = Hooks()
    async with asyncio.TaskGroup() as group:
        run = group.create_task(hooks.platform.run(hooks.inbox))
        await hooks.inbox.stood.wait()
        assert hooks.inbox.addresses == ["http://127.0.0.1:1/webhooks"]
        run.cancel()


def outbound(chat: str = "alerts/db1") -> Outbound:
    """An answer on its way."""
    return Outbound(
        delivery_id=DeliveryId("d1"),
        session_id=SessionId("hooks:dm:alerts%2Fdb1"),
        source=Source(platform=PLATFORM, kind=ChatKind.DM, chat=chat),
        text="done",
        message_id=MessageId("m1"),
    )


async def test_an_answer_without_an_address_is_kept() -> None:
    """The transcript has it, and nobody is asked to try again."""
    assert await Hooks().platform.send(outbound()) == ""


async def test_an_answer_to_a_route_that_is_gone_is_gone() -> None:
    """Nobody is left who could take it."""
    with pytest.raises(PlatformError) as caught:
        await Hooks().platform.send(outbound("former/db1"))
    assert caught.value.kind is PlatformErrorKind.GONE


class Receiver:
    """The far side of reply_url."""

    def __init__(self, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self.status = status
        self.headers = headers
        self.received: list[tuple[Scope, bytes]] = []
        self.url = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Keep the request and answer as told."""
        self.received.append((scope, await read_body(receive)))
        await respond(send, self.status, b"{}", headers=self.headers)


@asynccontextmanager
async def receiving(receiver: Receiver) -> AsyncIterator[Receiver]:
    """The far side on a real socket."""
    async with serving() as server:
        server.mount("/replies", receiver)
        receiver.url = server.url + "/replies"
        yield receiver


async def test_an_answer_is_posted_signed() -> None:
    """The far side can prove who wrote it, and knows a second attempt by its id."""
    async with receiving(Receiver()) as receiver:
        hooks = Hooks(reply_url=receiver.url)
        assert await hooks.platform.send(outbound()) == "d1"
    [(scope, body)] = receiver.received
    assert json.loads(body) == {
        "delivery_id": "d1",
        "session_id": "hooks:dm:alerts%2Fdb1",
        "message_id": "m1",
        "text": "done",
    }
    assert header(scope, DELIVERY_HEADER) == "d1"
    stamp = header(scope, TIMESTAMP_HEADER) or ""
    assert is_signed(ROUTE_SECRET, stamp, body, header(scope, SIGNATURE_HEADER) or "")


@pytest.mark.parametrize(
    ("status", "kind", "wait_s"),
    [
        (429, PlatformErrorKind.RETRY_AFTER, 7.0),
        (503, PlatformErrorKind.RETRY_AFTER, 7.0),
        (500, PlatformErrorKind.RETRY_AFTER, 7.0),
        (401, PlatformErrorKind.UNAUTHORISED, None),
        (403, PlatformErrorKind.UNAUTHORISED, None),
        (404, PlatformErrorKind.GONE, None),
        (410, PlatformErrorKind.GONE, None),
        (400, PlatformErrorKind.REFUSED, None),
        (302, PlatformErrorKind.REFUSED, None),
    ],
)
async def test_what_the_far_side_answers_decides_about_the_next_attempt(
    status: int, kind: PlatformErrorKind, wait_s: float | None
) -> None:
    """Its words are translated, its address stays out of the error, and no redirect is followed."""
    headers = (("retry-after", "7"), ("location", "/replies"))
    async with receiving(Receiver(status, headers)) as receiver:
        with pytest.raises(PlatformError) as caught:
            await Hooks(reply_url=receiver.url).platform.send(outbound())
    assert (caught.value.kind, caught.value.retry_after_s) == (kind, wait_s)
    assert receiver.url not in caught.value.message
    assert len(receiver.received) == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "http://nowhere.example.org/x"])
async def test_a_far_side_that_is_not_there_is_tried_again(url: str) -> None:
    """A closed port or an unknown name may be back later."""
    with pytest.raises(PlatformError) as caught:
        await Hooks(reply_url=url).platform.send(outbound())
    assert caught.value.kind is PlatformErrorKind.RETRY_AFTER


async def test_an_address_that_is_none_is_not_tried_again() -> None:
    """Only somebody who changes the configuration can help."""
    with pytest.raises(PlatformError) as caught:
        await Hooks(reply_url="http://127.0.0.1:none/").platform.send(outbound())
    assert caught.value.kind is PlatformErrorKind.REFUSED


async def test_a_far_side_that_never_answers_meets_the_deadline() -> None:
    """One attempt has an end."""

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async with serving() as server:
        server.mount("/replies", silent)
        replies = Replies(FakeClock(), deadline_s=0.05)
        with pytest.raises(PlatformError) as caught:
            await replies.post(server.url + "/replies", ROUTE_SECRET, outbound())
    assert caught.value.kind is PlatformErrorKind.RETRY_AFTER


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        ("", None),
        ("soon", None),
        ("0", 0.0),
        ("99999999999", 86_400.0),
        ("Tue, 14 Nov 2023 22:13:30 GMT", 10.0),
        ("Tue, 14 Nov 2022 22:13:30 GMT", 0.0),
        ("-5", None),
    ],
)
def test_a_wait_is_seconds_or_a_date_and_never_absurd(value: str, wait_s: float | None) -> None:
    """Both forms of Retry-After are understood, and nonsense leaves it to the backoff."""
    assert refused(429, value, 1_700_000_000.0).retry_after_s == wait_s
