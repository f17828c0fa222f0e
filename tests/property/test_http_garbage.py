"""Whatever is sent, the answer is a proper one and only proper messages are handed in."""

import asyncio
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from core.api.sessions import Mode
from core.gateway.adapters.openai_wire import ask_of
from core.gateway.adapters.template import MissingField, Template
from core.gateway.source import session_id
from core.http.origin import is_loopback_host, is_same_origin
from core.http.refusal import HttpRefusal
from tests.support.api_rig import CHAT, Api, Hooks
from tests.support.http_calls import BEARER, Answer, call

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
ROLES = st.sampled_from(["system", "developer", "user", "assistant", "tool", "function", "king", ""])
CONTENT = (
    st.none()
    | st.text(max_size=20)
    | st.lists(st.fixed_dictionaries({}, optional={"type": st.sampled_from(["text", "image_url"]), "text": JSON}))
    | JSON
)
MESSAGES = st.lists(st.fixed_dictionaries({}, optional={"role": ROLES | JSON, "content": CONTENT}), max_size=5) | JSON
NEARLY = st.fixed_dictionaries(
    {"model": st.sampled_from(["default", "main", "nobody"]) | JSON, "messages": MESSAGES},
    optional={"stream": JSON, "n": JSON, "user": JSON, "stream_options": JSON, "temperature": JSON},
)
BODIES = st.binary(max_size=200) | (JSON | NEARLY).map(lambda value: json.dumps(value).encode())
HEADER_TEXT = st.text(st.characters(max_codepoint=255), max_size=40)
CHUNKS = st.lists(st.binary(max_size=50), min_size=1, max_size=4)


def is_proper(answer: Answer, known: set[int]) -> None:
    """Whole, with a status that we know, and one line of JSON where it is an error."""
    assert answer.is_whole
    assert answer.status in known
    if answer.status >= 400:
        answer.error()


@given(body=BODIES, session=st.none() | HEADER_TEXT, mode=st.none() | HEADER_TEXT, key=st.none() | HEADER_TEXT)
def test_garbage_never_breaks_the_api(body: bytes, session: str | None, mode: str | None, key: str | None) -> None:
    """Refused with nothing handed in, or answered with exactly one message handed in."""
    api = Api()
    given_headers = {"x-hermes-session-id": session, "x-hermes-mode": mode, "idempotency-key": key}
    headers = {name: value for name, value in given_headers.items() if value is not None}
    answer = asyncio.run(call(api.app, "POST", CHAT, {**BEARER, **headers}, body))
    is_proper(answer, {200, 400, 404})
    assert api.log == []
    assert len(api.inbox.received) == (answer.status == 200)
    for inbound in api.inbox.received:
        assert inbound.text.strip()
        inbound.text.encode()
        assert session_id(inbound.source)
        assert inbound.mode is None or inbound.mode in set(Mode)


@given(method=st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS", "X"]), path=st.text(max_size=40), body=CHUNKS)
def test_garbage_paths_never_break_the_api(method: str, path: str, body: list[bytes]) -> None:
    """Unknown paths and wrong methods are said in one line."""
    api = Api()
    answer = asyncio.run(call(api.app, method, "/v1/" + path, BEARER, body))
    is_proper(answer, {200, 400, 404, 405, 414})
    assert api.log == []
    assert api.inbox.received == []


@given(headers=st.dictionaries(st.sampled_from(["authorization", "host", "origin", "x"]), HEADER_TEXT))
def test_garbage_headers_never_open_the_api(headers: dict[str, str]) -> None:
    """Without the key nothing is answered but a refusal."""
    api = Api()
    answer = asyncio.run(call(api.app, "POST", CHAT, headers, b'{"model":"default","messages":[]}'))
    is_proper(answer, {401, 403})
    assert api.inbox.received == []


@given(body=BODIES, template=st.sampled_from(["{text}", "{a.b}", "{0}", "x{messages.0.content}"]))
def test_signed_garbage_never_breaks_a_webhook(body: bytes, template: str) -> None:
    """What is signed may still be nonsense."""
    hooks = Hooks(template=template)
    answer = asyncio.run(hooks.post(body=body))
    is_proper(answer, {202, 400, 422})
    assert hooks.log == []
    assert len(hooks.inbox.received) == (answer.status == 202)
    for inbound in hooks.inbox.received:
        inbound.text.encode()
        assert session_id(inbound.source).startswith("hooks:dm:alerts%2F")


@given(body=BODIES, timestamp=HEADER_TEXT, claimed=HEADER_TEXT, delivery=HEADER_TEXT)
def test_unsigned_garbage_never_enters_a_webhook(body: bytes, timestamp: str, claimed: str, delivery: str) -> None:
    """A signature cannot be guessed, in whatever alphabet."""
    hooks = Hooks()
    headers = {"x-hermes-timestamp": timestamp, "x-hermes-signature": claimed, "x-hermes-delivery": delivery}
    answer = asyncio.run(hooks.post(body=body, headers=headers))
    assert (answer.status, answer.error()["code"]) == (401, "bad_signature")
    assert hooks.inbox.received == []


@given(body=st.binary(max_size=300))
def test_any_bytes_are_an_ask_or_a_400(body: bytes) -> None:
    """The parser raises nothing else."""
    status = 0
    try:
        ask_of(body)
    except HttpRefusal as refusal:
        status = refusal.status
    assert status in {0, 400}


@given(text=st.text(max_size=40), body=JSON)
def test_any_template_is_refused_or_shows_text(text: str, body: Any) -> None:
    """A template that parses either renders or names what is missing."""
    try:
        template = Template(text)
    except ValueError:
        return
    missing = ""
    try:
        shown = template.render(body)
    except MissingField as error:
        shown, missing = "", "{" + error.path + "}"
    assert isinstance(shown, str)
    assert missing in text


@given(text=st.text(max_size=40))
def test_text_in_braces_comes_out_as_it_was(text: str) -> None:
    """Doubling the braces takes all meaning from a text."""
    assert Template(text.replace("{", "{{").replace("}", "}}")).render({}) == text


@given(value=st.text(max_size=60), host=st.text(max_size=60))
def test_any_host_and_origin_can_be_judged(value: str, host: str) -> None:
    """Both answers are plain ones, whatever the headers hold."""
    assert is_loopback_host(value) in {True, False}
    assert is_same_origin(value, host) in {True, False}
