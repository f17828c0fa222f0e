"""The OpenAPI document and the routes are one: every route is in it, and answers with what it says."""

import json
import re
from typing import Any

import msgspec
import pytest

from core.api.base import AgentName
from core.api.errors import ConflictError
from core.api.profiles import DeleteReceipt, ProfileDefaults, ProfileOrigin, ProfileView
from core.rest.app import ROUTES, RestApp
from core.rest.decoding import Anything, Nothing
from core.rest.fault import ErrorBody
from core.rest.openapi import document
from core.rest.route import Route
from core.secrets import Secret
from tests.support.canned_hermes import CannedHermes
from tests.support.clocks import FakeClock
from tests.support.http_calls import BEARER, KEY, call, guarded

DOCUMENT = document(ROUTES)
PLACES = {"name": "main", "task_id": "task-1", "run_id": "run_task-1", "approval_id": "a-1"}


def operations() -> list[dict[str, Any]]:
    """Every operation of the document."""
    return [operation for path in DOCUMENT["paths"].values() for operation in path.values()]


def references(value: Any) -> set[str]:
    """Every schema that is named."""
    return set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(value)))


def test_the_document_is_whole() -> None:
    """Each reference leads somewhere, each schema is used, each operation has a name of its own."""
    assert references(DOCUMENT) - set(DOCUMENT["components"]["schemas"]) == set()
    unused = set(DOCUMENT["components"]["schemas"]) - references(DOCUMENT)
    queries = {route.query.__name__ for route in ROUTES}
    assert unused - queries == set()
    names = [operation["operationId"] for operation in operations()]
    assert len(names) == len(set(names)) == len(ROUTES) + 1


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_each_route_is_in_the_document_as_it_is(route: Route[Any, Any]) -> None:
    """Path, parameters, fields of the body and statuses are those of the structs."""
    operation = DOCUMENT["paths"][route.path][route.method.lower()]
    by_place: dict[str, set[str]] = {"path": set(), "query": set(), "header": set()}
    for parameter in operation.get("parameters", []):
        by_place[parameter["in"]].add(parameter["name"])
    assert by_place["path"] == set(re.findall(r"{(\w+)}", route.path))
    assert by_place["query"] == {field.encode_name for field in msgspec.structs.fields(route.query)}
    assert {str(status) for status in route.results} <= set(operation["responses"])
    assert ("requestBody" in operation) is (route.method in {"POST", "PATCH"})
    if "requestBody" in operation:
        name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        shape = DOCUMENT["components"]["schemas"][name]
        assert set(shape.get("properties", {})) == {field.encode_name for field in msgspec.structs.fields(route.body)}
        is_strict = route.path.startswith("/api/")
        assert shape.get("additionalProperties", True) is not is_strict


def test_words_in_a_body_need_not_be_named() -> None:
    """`type` may be left out of a policy that is sent, as the decoder has it."""
    assert "type" not in DOCUMENT["components"]["schemas"]["ExecutionPolicy"]["required"]
    assert "type" not in DOCUMENT["components"]["schemas"]["RetryPolicy"]["required"]
    assert "type" in DOCUMENT["components"]["schemas"]["TaskView"]["required"]


async def test_the_document_is_served_as_it_is_made() -> None:
    """Without a key, by GET only."""
    app = guarded(RestApp(CannedHermes({}), clock=FakeClock(), key=Secret(KEY)))
    answer = await call(app, "GET", "/api/openapi.json")
    assert answer.status == 200
    assert answer.json() == json.loads(json.dumps(DOCUMENT))
    assert (await call(app, "POST", "/api/openapi.json")).status == 405


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
async def test_each_route_asks_for_the_key_and_refuses_what_it_does_not_know(route: Route[Any, Any]) -> None:
    """401 without the key; 400 with the field's name for a strange parameter and, below /api, a strange field."""
    app = guarded(RestApp(CannedHermes({}), clock=FakeClock(), key=Secret(KEY)))
    path = route.path.format(**PLACES)
    assert (await call(app, route.method, path)).status == 401
    body = b"{}" if route.body in {Nothing, Anything} else b""
    if route.method in {"GET", "DELETE"} or body:
        odd = await call(app, route.method, path, BEARER, body, query=b"colour=red")
        assert (odd.status, odd.json()["error"]["field"]) == (400, "colour")
    if route.method in {"POST", "PATCH"} and route.path.startswith("/api/"):
        strange = await call(app, route.method, path, BEARER, b'{"colour": "red"}')
        error = msgspec.json.decode(strange.body, type=ErrorBody).error
        assert strange.status == 400
        assert error.field == "colour" or "required" in error.message


def profile() -> ProfileView:
    """An agent."""
    return ProfileView(
        name=AgentName("main"),
        runner="scripted",
        model="",
        is_default=True,
        approvals=True,
        steer=True,
        isolation="",
        origin=ProfileOrigin.STORED,
    )


@pytest.mark.parametrize("route", [route for route in ROUTES if "/agents/" in route.path], ids=lambda route: route.name)
async def test_an_agents_route_answers_with_what_the_document_says(route: Route[Any, Any]) -> None:
    """The body fits the type, and the order names the agent of the path."""
    receipts = {
        DeleteReceipt: DeleteReceipt(name=AgentName("main"), stopped=0),
        ProfileDefaults: ProfileDefaults(name=AgentName("main"), settings={}),
        ProfileView: profile(),
    }
    (status, result), *_ = route.results.items()

    class Giving(dict[Any, Any]):
        def __missing__(self, key: Any) -> Any:
            return lambda _: receipts[result]

    hermes = CannedHermes(Giving())
    app = guarded(RestApp(hermes, clock=FakeClock(), key=Secret(KEY)))
    body = {"updateAgent": b'{"settings": {}}', "limitAgent": b'{"limit": 2}'}.get(route.name, b"")
    answer = await call(app, route.method, route.path.format(**PLACES), BEARER, body)
    assert answer.status == status, answer.body
    assert msgspec.json.decode(answer.body, type=result) == receipts[result]
    (word,) = [*hermes.asked, *(command for command, _ in hermes.ordered)]
    assert getattr(word, "name", None) == "main"
    assert {actor.name for _, actor in hermes.ordered} <= {"http"}


async def test_a_refusal_has_the_shape_of_the_document() -> None:
    """Code, field, value, fix and what else is known."""

    def refuse(_: object) -> object:
        raise ConflictError("it changed", key="name", expected=1, found=2, field="version", value=1, fix="look again")

    class Refusing(dict[Any, Any]):
        def __missing__(self, key: Any) -> Any:
            return refuse

    app = guarded(RestApp(CannedHermes(Refusing()), clock=FakeClock(), key=Secret(KEY)))
    answer = await call(app, "POST", "/api/agents/main/enable", BEARER)
    error = msgspec.json.decode(answer.body, type=ErrorBody, strict=True).error
    assert answer.status == 409
    assert (error.code, error.field, error.value, error.fix) == ("conflict", "version", 1, "look again")
    assert error.facts == {"key": "name", "expected": 1, "found": 2}
