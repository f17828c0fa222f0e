"""Whom our half that calls others over Agent2Agent finds: cards, checks, and what every failure means."""

import pytest

from core.api.relay_targets import TargetFinding, TargetStep
from core.api.relay_tasks import AttemptResult
from core.relay.a2a_discovery import KEPT_S
from core.relay.outcome import reason_of
from core.relay.web import CallError, WebAnswer
from tests.support.a2a_far import HOME, Far, call_of, card, fault, result, task
from tests.support.fake_web import Asked, Said, json_answer

# -- cards


async def test_a_card_is_kept_and_asked_for_again_with_its_tag() -> None:
    """After its time; 304 keeps it."""
    far = Far(lambda _: result({"task": task()}))
    for _ in range(3):
        await far.adapter.send(call_of())
    assert len(far.web.calls("GET")) == 1
    far.clock.step(KEPT_S + 1)
    far.card = WebAnswer(304, {}, b"")
    for _ in range(2):
        assert (await far.adapter.send(call_of())).result is AttemptResult.DELIVERED
    assert [asked.headers.get("if-none-match") for asked in far.web.calls("GET")] == [None, '"v1"']


async def test_a_card_that_leads_elsewhere_stops_the_message() -> None:
    """By a rule of ours: nothing leaves, and the far side is not blamed."""
    far = Far(lambda _: result({"task": task()}), card(url="http://evil.example/rpc"))
    reply = await far.adapter.send(call_of())
    assert (reply.result, reply.status) == (AttemptResult.REFUSED, 0)
    assert reason_of(reply).value == "policy"
    assert "evil.example" in reply.error
    assert far.web.calls("POST") == []


@pytest.mark.parametrize(
    ("answer", "expected", "status"),
    [
        (CallError("no route", AttemptResult.UNDELIVERED), AttemptResult.UNDELIVERED, 0),
        (CallError("late", AttemptResult.UNKNOWN), AttemptResult.UNDELIVERED, 0),
        (CallError("forbidden", AttemptResult.UNDELIVERED, is_ours=True), AttemptResult.REFUSED, 0),
        (CallError("stop", AttemptResult.CUT_OFF), AttemptResult.CUT_OFF, 0),
        (WebAnswer(404, {}, b""), AttemptResult.REFUSED, 404),
        (WebAnswer(401, {}, b"who?"), AttemptResult.REFUSED, 401),
        (WebAnswer(302, {}, b""), AttemptResult.REFUSED, 302),
        (WebAnswer(500, {}, b"boom"), AttemptResult.UNDELIVERED, 500),
        (WebAnswer(503, {}, b"", retry_after_s=9.0), AttemptResult.UNDELIVERED, 503),
        (WebAnswer(200, {}, b"<html>"), AttemptResult.REFUSED, 200),
        (WebAnswer(200, {}, b"x" * 300_000), AttemptResult.UNDELIVERED, 0),
    ],
)
async def test_without_a_card_nothing_was_sent(answer: Said, expected: AttemptResult, status: int) -> None:
    """So it is never unknown whether the far side has it."""
    far = Far(lambda _: result({"task": task()}), answer)
    reply = await far.adapter.send(call_of())
    assert (reply.result, reply.status) == (expected, status)
    assert reply.error
    assert far.web.calls("POST") == []


async def test_the_card_of_an_old_server_is_found() -> None:
    """At its old place."""
    far = Far(lambda _: result({"kind": "message", "parts": [{"kind": "text", "text": "pong"}]}))
    far.web.say = lambda asked: (
        WebAnswer(404, {}, b"")
        if asked.url.endswith("agent-card.json")
        else card("0.3")
        if asked.method == "GET"
        else result({"kind": "message", "parts": [{"kind": "text", "text": "pong"}]})
    )
    assert (await far.adapter.send(call_of())).answer == "pong"
    assert [asked.url for asked in far.web.calls("GET")] == [
        f"{HOME}/.well-known/agent-card.json",
        f"{HOME}/.well-known/agent.json",
    ]


async def test_the_card_of_an_old_server_is_asked_for_again_with_its_tag() -> None:
    """304 keeps it there too, and the message goes out."""
    far = Far(lambda _: result({"kind": "message", "parts": [{"kind": "text", "text": "pong"}]}))
    say = far.web.say

    def old(asked: Asked) -> Said:
        if asked.url.endswith("agent-card.json"):
            return WebAnswer(404, {}, b"")
        if asked.method == "GET" and "if-none-match" in asked.headers:
            return WebAnswer(304, {}, b"")
        return say(asked)

    far.web.say = old
    for _ in range(2):
        assert (await far.adapter.send(call_of())).answer == "pong"
        far.clock.step(KEPT_S + 1)


async def test_a_card_that_is_out_of_date_is_read_again() -> None:
    """A server that has moved on refuses; the new card is tried once, and only a fresh refusal is final."""
    far = Far(lambda asked: result({"task": task()}) if asked.url.endswith("/new") else WebAnswer(404, {}, b""))
    first = await far.adapter.send(call_of())
    assert (first.result, first.status) == (AttemptResult.REFUSED, 404)
    far.card = card()
    far.web.say = lambda asked: card() if asked.method == "GET" else result({"task": task()})
    await far.adapter.send(call_of())
    far.web.say = lambda asked: (
        card(url=f"{HOME}/new")
        if asked.method == "GET"
        else result({"task": task()})
        if asked.url.endswith("/new")
        else fault(-32009)
    )
    assert (await far.adapter.send(call_of())).result is AttemptResult.DELIVERED


# -- failures


@pytest.mark.parametrize(
    ("answer", "expected", "status"),
    [
        (CallError("refused", AttemptResult.UNDELIVERED), AttemptResult.UNDELIVERED, 0),
        (CallError("late", AttemptResult.UNKNOWN), AttemptResult.UNKNOWN, 0),
        (WebAnswer(401, {}, b"who?"), AttemptResult.REFUSED, 401),
        (WebAnswer(429, {}, b"", retry_after_s=7.0), AttemptResult.UNDELIVERED, 429),
        (WebAnswer(500, {}, b""), AttemptResult.UNKNOWN, 500),
        (WebAnswer(307, {"location": "http://evil"}, b""), AttemptResult.REFUSED, 307),
        (WebAnswer(200, {}, b"<html>log in"), AttemptResult.REFUSED, 200),
        (WebAnswer(200, {}, b'{"jsonrpc"' + b" " * 5_000_000), AttemptResult.UNKNOWN, 200),
        (fault(-32602), AttemptResult.REFUSED, 400),
        (fault(-32005), AttemptResult.REFUSED, 415),
        (fault(-32603), AttemptResult.UNKNOWN, 500),
        (fault(-32000), AttemptResult.UNKNOWN, 500),
        (result({"nothing": 1}), AttemptResult.REFUSED, 200),
    ],
)
async def test_every_failure_says_what_is_known_of_the_message(
    answer: Said, expected: AttemptResult, status: int
) -> None:
    """Undelivered, refused, or nobody can tell; whether it streams or not."""
    for streaming in (False, True):
        far = Far(lambda _: answer, card(streaming=streaming))
        reply = await far.adapter.send(call_of())
        assert (reply.result, reply.status, reply.state) == (expected, status, None)
        assert reply.error
        assert "s3cret" not in reply.error
        if status == 429:
            assert reply.retry_after_s == 7.0


async def test_a_far_side_that_is_gone_is_told_apart() -> None:
    """410."""
    reply = await Far(lambda _: WebAnswer(410, {}, b"")).adapter.send(call_of())
    assert reply.is_gone


# -- looking


async def test_a_look_says_who_is_there_and_whether_we_are_let_in() -> None:
    """A task that cannot be is asked for: not found means let in."""
    far = Far(lambda _: fault(-32001), card(streaming=True))
    findings, identity = await far.adapter.look(call_of())
    assert [(finding.step, finding.is_ok) for finding in findings] == [(step, True) for step in TargetStep]
    assert identity == "far 7"
    assert findings[-1].detail == "far 7, Agent2Agent 1.0, streams"
    assert far.methods == ["GetTask"]


@pytest.mark.parametrize(
    ("answer", "is_ok"), [(WebAnswer(401, {}, b""), False), (WebAnswer(403, {}, b""), False), (fault(-32601), None)]
)
async def test_a_look_tells_a_closed_door_from_an_unclear_one(answer: Said, is_ok: bool | None) -> None:
    """401 is a no; another error says nothing of the credential."""
    findings, _ = await Far(lambda _: answer).adapter.look(call_of())
    assert findings[3].is_ok is is_ok


async def test_a_look_goes_no_further_than_it_gets() -> None:
    """Without a connection or without a card the rest was not reached."""
    far = Far(lambda _: fault(-32001))
    far.web.findings = [TargetFinding(step=TargetStep.ADDRESS, is_ok=False, seconds=0.1, detail="no such host")]
    findings, identity = await far.adapter.look(call_of())
    assert [finding.is_ok for finding in findings] == [False, None, None]
    assert (identity, far.web.asked) == ("", [])
    findings, _ = await Far(lambda _: fault(-32001), WebAnswer(404, {}, b"")).adapter.look(call_of())
    assert [finding.is_ok for finding in findings] == [True, True, True, None, False]
    assert "no agent card" in findings[-1].detail


async def test_our_credential_is_in_nothing_that_is_kept() -> None:
    """A far side that sends it back, in an error, an answer or its card, does not bring it into the ledger."""
    echo = "you sent Bearer s3cret-token"
    cut = "x" * (299 - len("s3cret")) + "s3cret-token"
    for answer in (fault(-32602, echo), WebAnswer(401, {}, echo.encode()), fault(-32602, cut)):
        assert "s3cret" not in (await Far(lambda _, said=answer: said).adapter.send(call_of())).error
    done = task("COMPLETED", artifacts=[{"artifactId": "a", "parts": [{"text": echo}]}])
    assert (await Far(lambda _: result({"task": done})).adapter.send(call_of())).answer == "you sent Bearer ***"
    findings, _ = await Far(lambda _: WebAnswer(401, {}, echo.encode())).adapter.look(call_of())
    assert "s3cret" not in findings[3].detail
    findings, _ = await Far(lambda _: fault(-32001), WebAnswer(500, {}, echo.encode())).adapter.look(call_of())
    assert "s3cret" not in findings[4].detail
    offers = [{"url": f"{HOME}/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}]
    for name in (echo, cut):
        named = json_answer({"name": name, "supportedInterfaces": offers})
        findings, identity = await Far(lambda _: fault(-32001), named).adapter.look(call_of())
        assert findings[4].is_ok
        assert "s3cret" not in findings[4].detail + identity
