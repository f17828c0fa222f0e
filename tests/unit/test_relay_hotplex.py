"""What is sent to a relay of HotPlex, and what its answers mean."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from core.api.bindings import Bot
from core.api.relay_targets import TargetStep
from core.api.relay_tasks import AttemptResult, RelayState
from core.breaker import Outcome
from core.clock import SystemClock
from core.relay import signing
from core.relay.adapters.hotplex import HotplexAdapter
from core.relay.message import read_message
from core.relay.outcome import is_retried, outcome_of
from core.relay.peers import NOBODY, Credentials
from core.relay.trail import read_trail
from core.relay.web import Web
from core.relay.web_exchanges import ERROR_LIMIT_BYTES
from core.relay.wire import ASKS_BACK, NO_QUESTION, Call, Trail
from core.relay_settings import RelaySettings
from core.secrets import Secret
from tests.support.far_side import Answering, FarSide, far_side, raw, says

ID = "8d1f4c52-0a3e-4b7c-9f6e-2b1a7c3d4e5f"
KEY = Secret("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
OTHER_KEY = Secret("whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=")
TOKEN = Secret("t0ken-of-ours")
JSON = "application/json"


class Line:
    """An adapter and a far side. call: what it is asked with, its URL filled in."""

    def __init__(self, adapter: HotplexAdapter, far: FarSide) -> None:
        self.adapter = adapter
        self.far = far

    def call(self, credentials: Credentials = NOBODY, *, path: str = "", remote_id: str = "") -> Call:
        """A call of the bot at the far side."""
        return Call(
            id=ID,
            bot=Bot(name="security-bot", url=self.far.url + path, networks=("127.0.0.0/8",)),
            text="Analyze <s> & report ä",
            trail=Trail(conversation="c-1", hops=2, path=("a", "b")),
            credentials=credentials,
            created_at=1_774_191_845.0,
            attempt=1,
            limit_s=10.0,
            remote_id=remote_id,
        )


@asynccontextmanager
async def line(answer: Answering) -> AsyncIterator[Line]:
    """Both, for as long as the block lasts."""
    settings = RelaySettings(name="our-core")
    web = Web(settings, SystemClock())
    async with far_side(answer) as far:
        try:
            yield Line(HotplexAdapter(web, settings), far)
        finally:
            await web.close()


def told(status: str, **fields: object) -> bytes:
    """A response of the relay."""
    return msgspec.json.encode(
        {"task_id": ID, "status": status, "timestamp": "2026-03-22T15:04:05Z", "duration": 0, **fields}
    )


async def test_a_message_is_posted_as_both_kinds_of_receivers_read_it() -> None:
    """The text stands in content and in message, the trail in metadata, the task in task_id."""
    async with line(says(202, told("working"))) as on:
        reply = await on.adapter.send(on.call(path="/base"))
        assert (reply.result, reply.status, reply.state) == (AttemptResult.DELIVERED, 202, RelayState.WORKING)
        assert not reply.is_silent
        heard = on.far.heard[0]
        assert (heard.method, heard.target) == ("POST", "/base/relay")
        assert heard.headers["content-type"] == JSON
        assert "authorization" not in heard.headers
        document = msgspec.json.decode(heard.body, type=dict[str, object])
        assert document["content"] == document["message"] == "Analyze <s> & report ä"
        message = read_message(heard.body)
        assert (message.task_id, message.to, message.sender) == (ID, "security-bot", "our-core")
        assert read_trail(message.metadata, "") == Trail(conversation="c-1", hops=2, path=("a", "b"))


async def test_a_message_is_signed_with_every_key_and_bears_the_token() -> None:
    """The signatures fit the body that was sent, under the id of the message."""
    async with line(says(202, told("working"))) as on:
        await on.adapter.send(on.call(Credentials("peer", (KEY, OTHER_KEY), TOKEN, "12345678")))
        heard = on.far.heard[0]
        assert heard.headers["webhook-id"] == ID
        assert heard.headers["authorization"] == "Bearer t0ken-of-ours"
        keys = [signing.key_bytes(KEY), signing.key_bytes(OTHER_KEY)]
        now = SystemClock().now()
        assert signing.fitting(keys, heard.headers, heard.body, now, 60.0) == [True, True]


@pytest.mark.parametrize(
    ("body", "state", "is_silent", "answer"),
    [
        (told("working"), RelayState.WORKING, False, ""),
        (told("completed", content="done"), RelayState.COMPLETED, False, "done"),
        (told("failed", error="no"), RelayState.FAILED, False, ""),
        (told("canceled"), RelayState.CANCELED, False, ""),
        (
            b'{"task_id":"","status":"ok","timestamp":"0001-01-01T00:00:00Z","duration":0}\n',
            RelayState.WORKING,
            True,
            "",
        ),
        (told("sent"), RelayState.WORKING, True, ""),
        (told("ok", content="hi"), RelayState.COMPLETED, False, "hi"),
        (told("not_implemented"), RelayState.FAILED, False, ""),
        (b'{"error":"engine is down"}', RelayState.FAILED, False, ""),
        (b"{}", RelayState.WORKING, True, ""),
        (b"", RelayState.WORKING, True, ""),
    ],
)
async def test_what_an_answer_says_of_the_task_is_understood(
    body: bytes, state: RelayState, is_silent: bool, answer: str
) -> None:
    """A relay of HotPlex says ok and never more; one of ours says how far it is."""
    async with line(says(200, body)) as on:
        reply = await on.adapter.send(on.call())
        assert (reply.result, reply.state) == (AttemptResult.DELIVERED, state)
        assert (reply.is_silent, reply.answer) == (is_silent, answer)
        assert bool(reply.error) == (state is RelayState.FAILED)


@pytest.mark.parametrize("name", ["x" * 201, "a\nb"])
async def test_a_name_of_the_far_side_that_cannot_be_kept_is_left_out(name: str) -> None:
    """It would stand in every view of the message, and in the path of every question."""
    async with line(says(200, msgspec.json.encode({"task_id": name, "status": "working"}))) as on:
        reply = await on.adapter.send(on.call())
        assert (reply.state, reply.remote_id) == (RelayState.WORKING, "")


@pytest.mark.parametrize("question", ["Which one?", ""])
async def test_a_far_side_that_asks_back_has_answered(question: str) -> None:
    """Its question is the answer, as over Agent2Agent, and the message says that it is one."""
    async with line(says(200, told("input_required", content=question))) as on:
        reply = await on.adapter.send(on.call())
        assert (reply.result, reply.state, reply.is_silent) == (AttemptResult.DELIVERED, RelayState.COMPLETED, False)
        assert (reply.answer, reply.error) == (question or NO_QUESTION, ASKS_BACK)


@pytest.mark.parametrize("body", [b"<html>Welcome</html>", b"[]", b'{"status":1}', b'{"duration":"1s"}', b"\xff\xfe"])
async def test_a_page_that_is_no_relay_did_not_take_the_message(body: bytes) -> None:
    """A login page answers 200, too; sent again, it would not be another."""
    async with line(says(200, body)) as on:
        reply = await on.adapter.send(on.call())
        assert (reply.result, reply.state, reply.status) == (AttemptResult.REFUSED, None, 200)
        assert "not as a relay does" in reply.error
        assert not is_retried(reply)


async def test_an_answer_that_breaks_off_after_its_status_is_delivered() -> None:
    """What became of it can be asked for."""
    async with line(raw(b'HTTP/1.1 202 OK\r\nContent-Length: 100\r\n\r\n{"task_id"')) as on:
        reply = await on.adapter.send(on.call())
        assert (reply.result, reply.state, reply.is_silent) == (AttemptResult.DELIVERED, RelayState.WORKING, False)


@pytest.mark.parametrize(
    ("status", "result", "outcome"),
    [
        (301, AttemptResult.REFUSED, Outcome.SUCCESS),
        (400, AttemptResult.REFUSED, Outcome.SUCCESS),
        (401, AttemptResult.REFUSED, Outcome.SUCCESS),
        (404, AttemptResult.REFUSED, Outcome.SUCCESS),
        (409, AttemptResult.REFUSED, Outcome.SUCCESS),
        (410, AttemptResult.REFUSED, Outcome.SUCCESS),
        (422, AttemptResult.REFUSED, Outcome.SUCCESS),
        (429, AttemptResult.UNDELIVERED, Outcome.FAILURE),
        (500, AttemptResult.UNKNOWN, Outcome.FAILURE),
        (501, AttemptResult.REFUSED, Outcome.SUCCESS),
        (503, AttemptResult.UNDELIVERED, Outcome.FAILURE),
        (508, AttemptResult.REFUSED, Outcome.SUCCESS),
    ],
)
async def test_an_answer_that_is_no_success_is_told_in_words(
    status: int, result: AttemptResult, outcome: Outcome
) -> None:
    """Whether it may pass depends on the status; a loop that the far side ended does not."""
    async with line(says(status, b'{"error":{"message":"not\\nnow"}}', Retry_After="3")) as on:
        reply = await on.adapter.send(on.call())
        assert (reply.result, reply.status, reply.state) == (result, status, None)
        assert outcome_of(reply) is outcome
        assert reply.is_gone == (status == 410)
        assert str(status) in reply.error
        assert ("not now" in reply.error) == (status != 301)
        assert reply.retry_after_s == (3.0 if is_retried(reply) else None)


async def test_a_far_side_that_repeats_our_secrets_does_not_get_them_into_an_error() -> None:
    """What it says is for people and for the ledger: one line, bounded, without them."""
    echo = f"who is {TOKEN.reveal()}? \x1b[31m {KEY.reveal()} ".encode() + b"x" * 5000
    async with line(says(403, echo)) as on:
        reply = await on.adapter.send(on.call(Credentials("peer", (KEY,), TOKEN, "12345678")))
        assert TOKEN.reveal() not in reply.error
        assert KEY.reveal() not in reply.error
        assert reply.error.isprintable()
        assert len(reply.error) < 300


@pytest.mark.parametrize("room", [1, 6, len(TOKEN.reveal()) - 1, len(TOKEN.reveal()) + 5])
async def test_a_secret_of_which_a_body_holds_a_part_is_not_told(room: int) -> None:
    """An error is read up to a limit, which may be in the middle of one; blanks before it are not shown."""
    body = b" " * (ERROR_LIMIT_BYTES - room) + TOKEN.reveal().encode() + b"-" * 100
    async with line(says(400, body)) as on:
        reply = await on.adapter.send(on.call(Credentials("peer", (), TOKEN, "12345678")))
        assert reply.error.startswith("it answered 400")
        assert TOKEN.reveal()[:1] not in reply.error.removeprefix("it answered 400")


async def test_how_far_a_task_is_can_be_asked() -> None:
    """By the id that the far side gave it, or by ours; the question is signed as the message was."""
    async with line(says(200, told("completed", content="done"))) as on:
        credentials = Credentials("peer", (KEY,), None, "12345678")
        reply = await on.adapter.ask(on.call(credentials, remote_id="their/id"))
        assert (reply.state, reply.answer) == (RelayState.COMPLETED, "done")
        heard = on.far.heard[0]
        assert (heard.method, heard.target, heard.body) == ("GET", "/relay/tasks/their%2Fid", b"")
        assert signing.fitting([signing.key_bytes(KEY)], heard.headers, b"", SystemClock().now(), 60.0) == [True]
        await on.adapter.ask(on.call())
        assert on.far.heard[1].target == f"/relay/tasks/{ID}"


@pytest.mark.parametrize("status", [404, 405, 410, 501])
async def test_a_far_side_that_does_not_know_the_question_will_never_say_more(status: int) -> None:
    """It has the message, and is silent from then on."""
    async with line(says(status)) as on:
        reply = await on.adapter.ask(on.call())
        assert (reply.result, reply.is_silent, reply.is_gone) == (AttemptResult.DELIVERED, True, False)


async def test_a_question_that_fails_says_nothing_of_the_task() -> None:
    """It can be asked again."""
    async with line(says(500)) as on:
        reply = await on.adapter.ask(on.call())
        assert (reply.state, is_retried(reply)) == (None, True)


async def test_the_far_side_is_told_to_stop() -> None:
    """It says what became of the task."""
    async with line(says(200, told("canceled"))) as on:
        reply = await on.adapter.cancel(on.call())
        assert reply.state is RelayState.CANCELED
        assert (on.far.heard[0].method, on.far.heard[0].target) == ("DELETE", f"/relay/tasks/{ID}")
        assert b'"status":"canceled"' in on.far.heard[0].body


async def test_an_address_that_may_not_be_called_is_our_own_refusal() -> None:
    """It says nothing about the far side."""
    async with line(says(200)) as on:
        call = on.call()
        reply = await on.adapter.send(msgspec.structs.replace(call, bot=msgspec.structs.replace(call.bot, networks=())))
        assert (reply.result, reply.status) == (AttemptResult.REFUSED, 0)
        assert outcome_of(reply) is Outcome.NEUTRAL
        assert "127.0.0.1" in reply.error


async def test_an_id_that_cannot_be_signed_sends_nothing() -> None:
    """The reason says so."""
    async with line(says(200)) as on:
        call = msgspec.structs.replace(on.call(Credentials("peer", (KEY,), None, "1")), id="a.b")
        reply = await on.adapter.send(call)
        assert (reply.result, reply.status) == (AttemptResult.REFUSED, 0)
        assert not on.far.heard


@pytest.mark.parametrize(
    ("status", "body", "is_let_in", "is_relay", "identity"),
    [
        (200, b'{"name":"far","version":"1.2","protocol":"hotplex","peer":"us"}', True, True, "far 1.2"),
        (200, b'{"name":"far\x1b[2J","protocol":"hotplex"}'.replace(b"\x1b", b"\\u001b"), True, True, "far\ufffd[2J"),
        (200, b"<html>", None, False, ""),
        (200, b'{"name":1}', None, False, ""),
        (401, b"", False, None, ""),
        (403, b"", False, None, ""),
        (404, b"", None, False, ""),
        (405, b"", None, None, ""),
        (500, b"", None, False, ""),
    ],
)
async def test_a_look_tells_who_is_there_and_whether_we_are_let_in(
    status: int, body: bytes, is_let_in: bool | None, is_relay: bool | None, identity: str
) -> None:
    """No message is sent for it."""
    async with line(says(status, body)) as on:
        findings, name = await on.adapter.look(on.call())
        found = {finding.step: finding for finding in findings}
        assert found[TargetStep.CONNECT].is_ok
        assert found[TargetStep.TLS].is_ok is None
        assert (found[TargetStep.AUTH].is_ok, found[TargetStep.IDENTITY].is_ok, name) == (is_let_in, is_relay, identity)
        assert all(finding.detail.isprintable() and finding.detail for finding in findings)
        assert [(heard.method, heard.target) for heard in on.far.heard] == [("GET", "/relay")]


async def test_a_look_ends_at_the_first_step_that_fails() -> None:
    """What comes after it is not said."""
    async with line(says(200)) as on:
        await on.far.stop()
        call = on.call()
        bot = msgspec.structs.replace(call.bot, networks=())
        findings, name = await on.adapter.look(msgspec.structs.replace(call, bot=bot))
        assert [(finding.step, finding.is_ok) for finding in findings] == [(TargetStep.ADDRESS, False)]
        assert name == ""
        bot = msgspec.structs.replace(call.bot, url="http://127.0.0.1:1")
        findings, _ = await on.adapter.look(msgspec.structs.replace(call, bot=bot))
        assert [finding.is_ok for finding in findings] == [True, False]
