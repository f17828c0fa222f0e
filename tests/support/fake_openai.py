"""An OpenAI-compatible endpoint on loopback that behaves well or badly, as a test wishes."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from tests.support.loopback import Loopback, read_request

WORDS = ("Hello", " there", " ana")


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """One piece of a streamed answer."""
    return {
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}],
    } | more


USAGE = {"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}}


class Talk:
    """One request and its connection."""

    def __init__(self, headers: dict[str, str], body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        self.headers = headers
        self.body = body
        self._writer = writer

    async def head(self, status: int = 200, kind: str = "text/event-stream", **headers: str) -> None:
        """Begin an answer whose end is the end of the connection."""
        lines = [f"HTTP/1.1 {status} Fine", f"content-type: {kind}", "connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.raw(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def raw(self, data: bytes) -> None:
        """Bytes as they are."""
        self._writer.write(data)
        await self._writer.drain()

    async def data(self, *objects: dict[str, Any]) -> None:
        """Events with these objects."""
        for item in objects:
            await self.raw(b"data: " + json.dumps(item).encode() + b"\n\n")

    async def whole(self, status: int, found: object, **headers: str) -> None:
        """A JSON answer at once."""
        await self.head(status, "application/json", **headers)
        await self.raw(json.dumps(found).encode())


Behaviour = Callable[["FakeOpenai", Talk], Awaitable[None]]


def whole_call(name: str, arguments: object, *, call_id: str = "call_a") -> dict[str, Any]:
    """A tool call in one piece. arguments: an object, or a text that is sent as it is."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": text}}


def wants(
    *calls: dict[str, Any], text: str = "", finish: str | None = "tool_calls", usage: tuple[int, int] = (10, 2)
) -> Behaviour:
    """An answer that wants tools, streamed in small pieces by index. usage: tokens asked and answered."""

    async def behave(server: "FakeOpenai", talk: Talk) -> None:
        del server
        await talk.head()
        if text:
            await talk.data(chunk({"content": text}))
        for index, call in enumerate(calls):
            whole = call["function"]["arguments"]
            first = call | {"index": index, "function": {"name": call["function"]["name"], "arguments": ""}}
            pieces = [whole[start : start + 7] for start in range(0, len(whole), 7)]
            rest = [{"index": index, "function": {"arguments": piece}} for piece in pieces]
            await talk.data(*(chunk({"tool_calls": [piece]}) for piece in (first, *rest)))
        if finish is not None:
            await talk.data(chunk(finish=finish))
            counts = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
            await talk.data({"choices": [], "usage": counts})

    return behave


class FakeOpenai(Loopback):
    """The endpoint. modes: behaviours of the next requests, themselves or by name; the last one stays.

    requests: what was asked so far. step: released once for each word of `slow`.
    hung_up: set when the client has gone while an answer was open.
    """

    def __init__(self, *modes: str | Behaviour) -> None:
        super().__init__()
        self.modes: list[str | Behaviour] = list(modes or ("ok",))
        self.requests: list[Talk] = []
        self.step = asyncio.Semaphore(0)
        self.asked = asyncio.Event()
        self.hung_up = asyncio.Event()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                answer = group.create_task(self._answer(reader, writer))
                await answer
        except* (ConnectionError, asyncio.IncompleteReadError):
            self.hung_up.set()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first_line, headers, body = await read_request(reader)
        talk = Talk(headers | {":path": first_line}, body, writer)
        self.requests.append(talk)
        mode = self.modes.pop(0) if len(self.modes) > 1 else self.modes[0]
        self.asked.set()
        async with asyncio.TaskGroup() as group:
            gone = group.create_task(self._watch(reader))
            await (MODES[mode] if isinstance(mode, str) else mode)(self, talk)
            gone.cancel()

    async def _watch(self, reader: asyncio.StreamReader) -> None:
        # A client says nothing more; the end of its bytes means that it has gone.
        await reader.read()
        self.hung_up.set()
        raise ConnectionError("the client hung up")


async def _ok(server: FakeOpenai, talk: Talk) -> None:
    del server
    await talk.head()
    await talk.raw(b": keep-alive\n\nevent: ping\n\n")
    await talk.data(chunk({"role": "assistant", "content": ""}), *(chunk({"content": word}) for word in WORDS))
    await talk.data(chunk(finish="stop"))
    if "stream_options" in talk.body:
        await talk.data(USAGE)
    await talk.raw(b"data: [DONE]\n\n")


async def _slow(server: FakeOpenai, talk: Talk) -> None:
    await talk.head()
    for word in WORDS:
        await server.step.acquire()
        await talk.data(chunk({"content": word}))
    await talk.data(chunk(finish="stop"))


async def _silent(server: FakeOpenai, talk: Talk) -> None:
    del server
    await talk.head()
    await talk.data(chunk({"content": WORDS[0]}))
    await asyncio.Event().wait()


async def _mute(server: FakeOpenai, talk: Talk) -> None:
    del server, talk
    await asyncio.Event().wait()


async def _drop(server: FakeOpenai, talk: Talk) -> None:
    del server, talk


async def _broken(server: FakeOpenai, talk: Talk) -> None:
    del server
    await talk.raw(b"HTTP/1.1 200 Fine\r\ncontent-type: text/event-stream\r\ncontent-length: 9999\r\n\r\n")
    await talk.data(chunk({"content": WORDS[0]}))


async def _no_done(server: FakeOpenai, talk: Talk) -> None:
    del server
    await talk.head()
    await talk.data(*(chunk({"content": word}) for word in WORDS))


async def _crlf(server: FakeOpenai, talk: Talk) -> None:
    del server
    await talk.head()
    for item in (*(chunk({"content": word}) for word in WORDS), chunk(finish="length")):
        for letter in b"data: " + json.dumps(item).encode() + b"\r\n\r\n":
            await talk.raw(bytes([letter]))


async def _garbage(server: FakeOpenai, talk: Talk) -> None:
    del server
    await talk.head()
    await talk.data(chunk({"content": WORDS[0]}))
    await talk.raw(b"data: {not json}\n\n")


async def _oversized(server: FakeOpenai, talk: Talk) -> None:
    del server
    await talk.head()
    await talk.raw(b"data: ")
    for _ in range(9):
        await talk.raw(b"x" * 1_048_576)


async def _empty(server: FakeOpenai, talk: Talk) -> None:
    del server
    await talk.head()


async def _tools(server: FakeOpenai, talk: Talk) -> None:
    del server
    await talk.head()
    first = {"index": 0, "id": "call_a", "type": "function", "function": {"name": "get_time", "arguments": ""}}
    await talk.data(chunk({"tool_calls": [first]}))
    for piece in ('{"zone"', ': "UTC"}'):
        await talk.data(chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}))
    await talk.data(chunk(finish="tool_calls"))


async def _reasons(server: FakeOpenai, talk: Talk) -> None:
    del server
    await talk.head()
    await talk.data(chunk({"reasoning_content": "hm "}), chunk({"reasoning": "well"}), chunk({"content": "yes"}))
    await talk.data(chunk(finish="content_filter"))


async def _plain(server: FakeOpenai, talk: Talk) -> None:
    del server
    message = {"role": "assistant", "content": "all at once"}
    usage = {"prompt_tokens": 5, "completion_tokens": 3}
    await talk.whole(200, {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage})


async def _no_usage(server: FakeOpenai, talk: Talk) -> None:
    if "stream_options" in talk.body:
        await talk.whole(400, {"error": {"message": "unknown field stream_options", "type": "invalid_request_error"}})
    else:
        await _ok(server, talk)


async def _echoes_key(server: FakeOpenai, talk: Talk) -> None:
    del server
    key = talk.headers.get("authorization", "").removeprefix("Bearer ")
    await talk.whole(401, {"error": {"message": f"Incorrect API key provided: {key}", "code": "invalid_api_key"}})


def _refuses(status: int, error: object, **headers: str) -> Behaviour:
    async def behave(server: FakeOpenai, talk: Talk) -> None:
        del server
        await talk.whole(status, {"error": error}, **headers)

    return behave


async def _error_midway(server: FakeOpenai, talk: Talk) -> None:
    del server
    await talk.head()
    await talk.data(chunk({"content": WORDS[0]}), {"error": {"message": "the engine fell over", "code": 503}})


async def _error_first(server: FakeOpenai, talk: Talk) -> None:
    del server
    await talk.head()
    await talk.data({"error": {"message": "busy", "type": "overloaded_error"}})


MODES: dict[str, Behaviour] = {
    "ok": _ok,
    "slow": _slow,
    "silent": _silent,
    "mute": _mute,
    "drop": _drop,
    "broken": _broken,
    "no_done": _no_done,
    "crlf": _crlf,
    "garbage": _garbage,
    "oversized": _oversized,
    "empty": _empty,
    "tools": _tools,
    "exec": wants(whole_call("exec", {"command": "uptime"})),
    "reasons": _reasons,
    "plain": _plain,
    "no_usage": _no_usage,
    "401": _echoes_key,
    "404": _refuses(404, {"message": "no such model", "code": "model_not_found"}),
    "400": _refuses(400, {"message": "too long", "code": "context_length_exceeded"}),
    "429": _refuses(429, {"message": "slow down"}, retry_after="7"),
    "429_long": _refuses(429, {"message": "come back tomorrow"}, retry_after="86400"),
    "quota": _refuses(429, {"message": "pay first", "code": "insufficient_quota"}),
    "500": _refuses(500, "something broke"),
    "body_error": _refuses(200, {"message": "no capacity", "code": 503}),
    "error_midway": _error_midway,
    "error_first": _error_first,
}
