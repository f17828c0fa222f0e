"""A language model on this machine, as OpenAI and as Anthropic speak of it, that does what its user orders.

    with FakeLlm() as llm:
        ... point an agent to f"{llm.url}/v1" (OpenAI) or llm.url (Anthropic) ...
    assert [call.path for call in llm.calls] == ["/v1/chat/completions"]

`llm_script` has the orders. By hand: python -m tests.interop.fake_llm --port 0
"""

import argparse
import hashlib
import json
import select
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec

from tests.interop.llm_script import Answer, answer_to

MODEL = "fake-model"
USAGE = (11, 7)
"""Tokens that every answer claims: of the input, of the output."""
ANSWERING = ("/v1/chat/completions", "/v1/messages")
_PIECE = 12
_LOOK_S = 0.2


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A request that came. key: bearer or x-api-key, "" for none; body: decoded."""

    path: str
    key: str
    body: dict[str, Any]


class FakeLlm:
    """The server, in a thread of its own. calls: what came, in order."""

    def __init__(self, port: int = 0) -> None:
        self.calls: list[Call] = []
        self.ending = threading.Event()
        self._server = _Server(("127.0.0.1", port), self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def refused(self) -> list[str]:
        """Machines that were wanted from it as a proxy."""
        return [
            call.path.removeprefix("CONNECT ") for call in self.calls if call.path.startswith(("CONNECT ", "http:"))
        ]

    def asked(self) -> list[Call]:
        """Calls for an answer of the model."""
        return [call for call in self.calls if call.path in ANSWERING]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], llm: FakeLlm) -> None:
        self.llm = llm
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that leave."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def _llm(self) -> FakeLlm:
        assert isinstance(self.server, _Server)
        return self.server.llm

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that the base class gives it
        """Nothing is printed."""

    def do_CONNECT(self) -> None:
        """Refuse the way to another machine, and keep in mind that it was wanted."""
        self._note(f"CONNECT {self.path}", {})
        self._refuse(403)

    def do_HEAD(self) -> None:
        """Answer that somebody is here."""
        self._whole(200, {})

    def do_GET(self) -> None:
        """Answer what models there are."""
        path = urlsplit(self.path).path
        self._note(path, {})
        model = {"id": MODEL, "object": "model", "created": 1, "owned_by": "nobody", "type": "model"}
        if path == "/v1/models":
            self._whole(200, {"object": "list", "data": [{**model, "context_length": 200_000}], "has_more": False})
        elif path.startswith("/v1/models/"):
            self._whole(200, {**model, "id": path.removeprefix("/v1/models/")})
        else:
            self._refuse(404)

    def do_POST(self) -> None:
        """Answer as the model."""
        path = urlsplit(self.path).path
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        self._note(path, body)
        if path == "/v1/messages/count_tokens":
            self._whole(200, {"input_tokens": USAGE[0]})
        elif path in ANSWERING:
            self._answer(answer_to(body), body, is_openai=path == ANSWERING[0])
        else:
            self._refuse(404)

    def _answer(self, answer: Answer, body: Mapping[str, Any], *, is_openai: bool) -> None:
        # Agents take answers of one id for pieces of one answer.
        named = {"id": f"answer-{len(self._llm.calls)}", "model": str(body.get("model") or MODEL)}
        if answer.status != 200:
            self._refuse(answer.status)
        elif body.get("stream"):
            self._streamed(openai_events(answer, named) if is_openai else anthropic_events(answer, named), answer)
        elif answer.hangs:
            self._hang()
        else:
            self._whole(200, openai_whole(answer, named) if is_openai else anthropic_whole(answer, named))

    def _note(self, path: str, body: dict[str, Any]) -> None:
        given = self.headers.get("Authorization", "").removeprefix("Bearer ") or self.headers.get("x-api-key", "")
        self._llm.calls.append(Call(path=path, key=given, body=body))

    def _refuse(self, status: int) -> None:
        error = {"type": "invalid_request_error", "code": str(status), "message": f"refused with {status}"}
        self._whole(status, {"type": "error", "error": error})

    def _whole(self, status: int, body: Mapping[str, Any]) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    def _streamed(self, events: Iterator[str], answer: Answer) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for event in events:
            self.wfile.write(event.encode())
            self.wfile.flush()
        if answer.hangs:
            self._hang()

    def _hang(self) -> None:
        """Keep the connection until the client or the server goes."""
        self.close_connection = True
        while not self._llm.ending.is_set():
            if select.select([self.connection], [], [], _LOOK_S)[0]:
                with suppress(ConnectionError):
                    if self.connection.recv(1, socket.MSG_PEEK):
                        continue
                return


def pieces(text: str) -> Iterator[str]:
    """A text as it streams."""
    for start in range(0, len(text), _PIECE):
        yield text[start : start + _PIECE]


def openai_whole(answer: Answer, named: Mapping[str, str]) -> dict[str, Any]:
    """A chat completion. named: its id and model."""
    said: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
    if answer.tool:
        said["tool_calls"] = [_openai_call(answer, json.dumps(answer.arguments))]
    choice = {"index": 0, "message": said, "finish_reason": _finish(answer), "logprobs": None}
    kept = {**named, "object": "chat.completion", "created": 1}
    return {**kept, "choices": [choice], "usage": _openai_usage()}


def openai_events(answer: Answer, named: Mapping[str, str]) -> Iterator[str]:
    """The same as a stream, with the usage in a last chunk; one that hangs has no end."""

    def chunk(delta: Mapping[str, Any], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return _event({**kept, "choices": [choice]})

    kept: dict[str, Any] = {**named, "object": "chat.completion.chunk", "created": 1}
    yield chunk({"role": "assistant", "content": ""})
    for piece in pieces(answer.text):
        yield chunk({"content": piece})
    if answer.hangs:
        return
    if answer.tool:
        yield chunk({"tool_calls": [_openai_call(answer, "")]})
        for piece in pieces(json.dumps(answer.arguments)):
            yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    yield chunk({}, _finish(answer))
    yield _event({**kept, "choices": [], "usage": _openai_usage()})
    yield "data: [DONE]\n\n"


def anthropic_whole(answer: Answer, named: Mapping[str, str]) -> dict[str, Any]:
    """A message."""
    blocks: list[dict[str, Any]] = [{"type": "text", "text": answer.text}] if answer.text else []
    if answer.tool:
        blocks.append({**_tool_use(answer), "input": answer.arguments})
    stop = "tool_use" if answer.tool else "end_turn"
    return {**_message(named), "content": blocks, "stop_reason": stop, "usage": _anthropic_usage()}


def anthropic_events(answer: Answer, named: Mapping[str, str]) -> Iterator[str]:
    """The same as a stream; one that hangs has no end."""

    def event(kind: str, **fields: Any) -> str:
        return f"event: {kind}\n{_event({'type': kind, **fields})}"

    yield event("message_start", message={**_message(named), "usage": {**_anthropic_usage(), "output_tokens": 1}})
    yield event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    for piece in pieces(answer.text):
        yield event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
    if answer.hangs:
        return
    yield event("content_block_stop", index=0)
    if answer.tool:
        yield event("content_block_start", index=1, content_block={**_tool_use(answer), "input": {}})
        for piece in pieces(json.dumps(answer.arguments)):
            yield event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": piece})
        yield event("content_block_stop", index=1)
    stop = {"stop_reason": "tool_use" if answer.tool else "end_turn", "stop_sequence": None}
    yield event("message_delta", delta=stop, usage={"output_tokens": USAGE[1]})
    yield event("message_stop")


def _event(value: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(value)}\n\n"


def _finish(answer: Answer) -> str:
    return "tool_calls" if answer.tool else "stop"


def _call_id(answer: Answer) -> str:
    """The same for the same call, so that nothing here depends on chance."""
    return hashlib.sha256(json.dumps(answer.arguments).encode()).hexdigest()[:12]


def _openai_call(answer: Answer, arguments: str) -> dict[str, Any]:
    function = {"name": answer.tool, "arguments": arguments}
    return {"index": 0, "id": f"call_{_call_id(answer)}", "type": "function", "function": function}


def _tool_use(answer: Answer) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{_call_id(answer)}", "name": answer.tool}


def _message(named: Mapping[str, str]) -> dict[str, Any]:
    kept: dict[str, Any] = {**named, "type": "message", "role": "assistant", "content": []}
    return {**kept, "stop_reason": None, "stop_sequence": None}


def _openai_usage() -> dict[str, int]:
    return {"prompt_tokens": USAGE[0], "completion_tokens": USAGE[1], "total_tokens": sum(USAGE)}


def _anthropic_usage() -> dict[str, int]:
    none = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    return {"input_tokens": USAGE[0], "output_tokens": USAGE[1], **none}


def main() -> None:
    """Serve until somebody presses Ctrl-C."""
    parser = argparse.ArgumentParser(description="A fake language model on the loopback address.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    with FakeLlm(parser.parse_args().port) as llm, suppress(KeyboardInterrupt):
        sys.stdout.write(f"{llm.url}\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
