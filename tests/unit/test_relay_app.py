"""What peers reach below /relay: who proves nothing gets nothing, and HotPlex is understood."""

import pytest

from core.api.relay_tasks import RelayState
from core.relay.message import read_response
from core.relay.moment import Moment, write
from core.relay.relay_app import REPEATED
from tests.support.relay_door import Door, hotplex
from tests.support.relay_inbound import OLD_KEY, receiving


async def test_a_message_of_hotplex_is_taken_and_its_answer_can_be_asked_for() -> None:
    """202 at once, 200 with the content when it is over; the token is all that it needs."""
    async with receiving() as rig:
        door = Door(rig)
        answer = await door.bearing("POST", "/relay", hotplex())
        assert (answer.status, answer.headers["location"]) == (202, "/relay/tasks/m-1")
        assert list(answer.json()) == ["task_id", "status", "timestamp", "duration"]
        assert (answer.json()["task_id"], answer.json()["status"]) == ("m-1", "working")
        answer = await door.bearing("GET", "/relay/tasks/m-1")
        assert (answer.status, answer.json()["status"]) == (200, "working")
        await rig.workers.end("42")
        answer = await door.bearing("GET", "/relay/tasks/m-1")
        said = read_response(answer.body)
        assert (answer.status, said.status, said.content) == (200, "completed", "42")
        again = await door.bearing("POST", "/relay", hotplex())
        assert (again.status, again.json()["content"], again.headers[REPEATED]) == (200, "42", "true")
        assert rig.workers.starts == 1


async def test_the_text_is_read_where_receivers_of_hotplex_look_for_it_too() -> None:
    """As `message` alone, and `content` where both are there."""
    async with receiving() as rig:
        door = Door(rig)
        for number, body in enumerate(({"message": "one"}, {"content": "two", "message": "x"})):
            await door.bearing("POST", "/relay", {"task_id": f"m-{number}", "from": "dev", "session_key": "s", **body})
        assert [work.text for work in rig.workers.works.values()] == ["one", "two"]
        assert {(work.conversation, work.sender) for work in rig.workers.works.values()} == {("s", "dev")}


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (hotplex(""), 400, "no text"),
        ({"task_id": "m-1", "status": "failed", "error": "boom"}, 400, "no text"),
        ({"task_id": "m-1", "response": "an answer", "status": "completed"}, 400, "no text"),
        ({"task_id": "m-1", "content": "an answer", "status": "completed"}, 400, "not a message"),
        ({"task_id": "m-1", "content": 7}, 400, "content"),
        ({"task_id": "m-1", "content": "x", "metadata": {"a": 1}}, 400, "metadata"),
        ({"task_id": "m-1", "content": "x", "created_at": "2026-03-22 15:04:05"}, 400, "created_at"),
        ({"content": "x"}, 400, "id"),
        ([], 400, "message"),
        (b"{", 400, "JSON"),
        (b"\xff\xfe", 400, ""),
        (hotplex("x" * 2_000), 413, "characters"),
    ],
)
async def test_what_makes_no_sense_is_said_as_the_answer_to_the_message(body: object, status: int, words: str) -> None:
    """As HotPlex reads it, with status failed; an error or a state is never anybody's words to an agent."""
    async with receiving(text_limit=1_000) as rig:
        answer = await Door(rig).bearing("POST", "/relay", body)
        said = read_response(answer.body)
        assert (answer.status, said.status) == (status, "failed")
        assert words.lower() in said.error.lower()
        assert rig.workers.starts == 0


async def test_an_id_that_is_used_again_is_422() -> None:
    """With the id of the message."""
    async with receiving() as rig:
        door = Door(rig)
        await door.bearing("POST", "/relay", hotplex())
        answer = await door.bearing("POST", "/relay", hotplex("other"))
        assert (answer.status, answer.json()["task_id"]) == (422, "m-1")


async def test_bounds_say_when_to_come_again() -> None:
    """Too many in flight, too many in a minute, and a pause."""
    async with receiving() as rig:
        door = Door(rig)
        busy = [await door.bearing("POST", "/relay", hotplex(task_id=f"m-{number}")) for number in range(9)]
        assert [answer.status for answer in busy] == [202] * 8 + [429]
        assert busy[-1].headers["retry-after"] == "2"
        many = [await door.bearing("POST", "/relay", hotplex(task_id=f"n-{number}")) for number in range(52)]
        assert {answer.headers["retry-after"] for answer in many[:-1]} == {"2"}
        assert (many[-1].status, many[-1].headers["retry-after"]) == (429, "1")
        assert (await door.bearing("GET", "/relay/tasks/m-1")).status == 200
        rig.is_paused = True
        await rig.clock.advance(60.0)
        answer = await door.bearing("POST", "/relay", hotplex(task_id="late"))
        assert (answer.status, answer.headers["retry-after"]) == (503, "30")
        assert (await door.bearing("DELETE", "/relay/tasks/m-1")).status == 200


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("PUT", "/relay", {}, 405),
        ("POST", "/relay/tasks/m-1", {}, 405),
        ("GET", "/relay/answers", {}, 405),
        ("GET", "/relay/tasks/", {}, 404),
        ("GET", "/relay/other", {}, 404),
        ("GET", "/relay/tasks/none", {}, 404),
        ("DELETE", "/relay/tasks/none", {}, 404),
        ("POST", "/relay", {"content-type": "text/plain"}, 415),
        ("POST", "/relay", {"content-length": "300000"}, 413),
    ],
)
async def test_other_mistakes_are_one_line_of_json(
    method: str, path: str, headers: dict[str, str], status: int
) -> None:
    """With an error object."""
    async with receiving() as rig:
        answer = await Door(rig).bearing(method, path, hotplex() if method == "POST" else None, **headers)
        assert answer.status == status
        assert answer.error()["code"]


async def test_a_body_that_is_too_large_is_not_taken_whoever_sends_it() -> None:
    """Also one that does not say how large it is."""
    async with receiving(body_limit_bytes=2_048) as rig:
        answer = await Door(rig).bearing("POST", "/relay", hotplex("x" * 3_000))
        assert answer.status == 413


async def test_a_caller_is_told_who_we_are_and_who_it_is() -> None:
    """That is how a check of a target knows that it is let in."""
    async with receiving() as rig:
        answer = await Door(rig).bearing("GET", "/relay")
        said = answer.json()
        assert (said["name"], said["protocol"], said["peer"]) == ("home", "hotplex", "bob")
        assert said["version"]


async def test_an_answer_to_what_we_asked_is_passed_on() -> None:
    """With its state; one that only says that it works changes nothing, one to nothing of ours is 404."""
    async with receiving() as rig:
        door = Door(rig)
        at = write(Moment.of(rig.clock.now()))

        def response(**changes: object) -> dict[str, object]:
            return {
                "task_id": "ours",
                "status": "completed",
                "content": "42",
                "timestamp": at,
                "duration": 1,
                **changes,
            }

        assert (await door.bearing("POST", "/relay/answers", response())).status == 200
        assert (await door.bearing("POST", "/relay/answers", response(status="failed", error="boom"))).status == 200
        assert (await door.bearing("POST", "/relay/answers", response(status="working"))).status == 200
        assert [(peer, reply.state, reply.answer, reply.error) for peer, _, reply in door.answers.came_in] == [
            ("bob", RelayState.COMPLETED, "42", ""),
            ("bob", RelayState.FAILED, "42", "boom"),
        ]
        assert (await door.bearing("POST", "/relay/answers", response(task_id="theirs"))).status == 404
        for wrong in ({"status": "ok"}, {"task_id": ""}, {"duration": "1.5s"}):
            answer = await door.bearing("POST", "/relay/answers", response(**wrong))
            assert (answer.status, bool(answer.error()["message"])) == (400, True)


async def test_messages_of_others_look_like_none() -> None:
    """404 for both, with the same words."""
    async with receiving() as rig:
        door = Door(rig)
        await door.signed("POST", "/relay", hotplex(), key=OLD_KEY)
        others = await door.bearing("GET", "/relay/tasks/m-1")
        none = await door.bearing("GET", "/relay/tasks/m-9")
        assert (others.status, others.body) == (none.status, none.body) == (404, none.body)
