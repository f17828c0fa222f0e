"""What the OpenAI-compatible endpoint does not take in: right status, one line, nothing handed in."""

import json
from typing import Any

import pytest

from tests.support.api_rig import CHAT, SESSION, Api
from tests.support.http_calls import BEARER, KEY, call


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic " + KEY, "Bearer", KEY, "Bearer k\xe4y"])
@pytest.mark.parametrize("path", ["/v1/models", CHAT, "/v1/nowhere"])
async def test_without_the_key_everything_is_401(header: str | None, path: str) -> None:
    """Nothing is told and nothing taken in before the key is right."""
    api = Api()
    headers = {} if header is None else {"authorization": header}
    answer = await call(api.app, "POST", path, headers, b'{"model":"default"}')
    assert (answer.status, answer.error()["code"]) == (401, "invalid_api_key")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert KEY not in answer.body.decode()
    assert api.inbox.received == []


async def test_a_second_key_beside_the_right_one_is_401() -> None:
    """Two Authorization headers are none."""
    api = Api()
    scope_headers = [(b"host", b"127.0.0.1"), *[(b"authorization", f"Bearer {KEY}".encode())] * 2]
    caller = api.caller("hello")
    caller.scope["headers"] = scope_headers
    await caller.make(api.app)
    assert caller.answer.status == 401


async def test_the_scheme_may_be_written_in_any_case() -> None:
    """`bearer` is as good as `Bearer`."""
    answer = await call(Api().app, "GET", "/v1/models", {"authorization": f"bearer {KEY}"})
    assert answer.status == 200


USER = {"role": "user", "content": "hi"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed_json"),
        (b"{", 400, "malformed_json"),
        (b"\xff\xfe", 400, "malformed_json"),
        pytest.param(b"[" * 30_000, 400, "invalid_body", id="deep"),
        (b"[]", 400, "invalid_body"),
        (b"null", 400, "invalid_body"),
        ({"messages": [USER]}, 400, "invalid_body"),
        ({"model": 7, "messages": [USER]}, 400, "invalid_body"),
        ({"model": "default"}, 400, "invalid_body"),
        ({"model": "default", "messages": []}, 400, "invalid_body"),
        ({"model": "default", "messages": "hi"}, 400, "invalid_body"),
        ({"model": "default", "messages": [{"role": "king", "content": "hi"}]}, 400, "invalid_body"),
        ({"model": "default", "messages": [{"role": "user", "content": 5}]}, 400, "invalid_body"),
        ({"model": "default", "messages": [{"role": "user", "content": [{"type": "text"}]}]}, 400, "invalid_body"),
        ({"model": "default", "messages": [USER], "stream": "yes"}, 400, "invalid_body"),
        ({"model": "default", "messages": [USER], "n": 2}, 400, "unsupported_n"),
        ({"model": "default", "messages": [{"role": "user", "content": [IMAGE]}]}, 400, "unsupported_content"),
        ({"model": "default", "messages": [{"role": "user", "content": " "}]}, 400, "empty_message"),
        ({"model": "default", "messages": [{"role": "user"}]}, 400, "empty_message"),
        ({"model": "default", "messages": [{"role": "system", "content": "hi"}]}, 400, "no_user_message"),
        (
            {"model": "default", "messages": [USER, {"role": "assistant", "content": "x"}]},
            400,
            "no_user_message",
        ),
        ({"model": "nobody", "messages": [USER]}, 404, "model_not_found"),
        (b'{"model": "default", "messages": [{"role": "user", "content": "\\ud800"}]}', 400, "malformed_json"),
        pytest.param(b"x" * 70_000, 413, "body_too_large", id="large"),
    ],
)
async def test_a_body_that_does_not_fit_is_refused(body: Any, status: int, code: str) -> None:
    """Right status, one line, nothing handed in."""
    api = Api()
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await call(api.app, "POST", CHAT, BEARER, raw)
    assert (answer.status, answer.error()["code"]) == (status, code)
    assert api.inbox.received == []
    assert api.log == []


@pytest.mark.parametrize(
    "headers",
    [
        {SESSION: "a/b"},
        {SESSION: "a\\b"},
        {SESSION: "a b"},
        {SESSION: "a\tb"},
        {SESSION: "gr\xfcn"},
        {SESSION: "x" * 257},
        {SESSION: ""},
        {"x-hermes-mode": "shout"},
        {"idempotency-key": "x" * 257},
        {"idempotency-key": "\x7f"},
    ],
)
async def test_a_header_that_does_not_fit_is_400(headers: dict[str, str]) -> None:
    """Ids are short, printable and hold no path."""
    api = Api()
    answer = await api.ask("hello", headers=headers)
    assert (answer.status, answer.error()["code"]) == (400, "invalid_header")
    assert api.inbox.received == []


async def test_another_media_type_is_415() -> None:
    """A form that a web page could send unasked is not taken in."""
    api = Api()
    answer = await api.ask("hello", headers={"content-type": "text/plain"})
    assert (answer.status, answer.error()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [("GET", CHAT, "POST"), ("DELETE", "/v1/models", "GET, HEAD"), ("POST", "/v1/openapi.json", "GET, HEAD")],
)
async def test_a_wrong_method_is_405(method: str, path: str, allow: str) -> None:
    """The answer names the right one."""
    answer = await call(Api().app, method, path, BEARER)
    assert (answer.status, answer.error()["code"], answer.headers["allow"]) == (405, "wrong_method", allow)


async def test_an_unknown_path_is_404() -> None:
    """What is not served is said in one line."""
    answer = await Api().get("/v1/embeddings")
    assert (answer.status, answer.error()["code"]) == (404, "unknown_path")
