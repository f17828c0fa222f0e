"""A Hermes API of runs on loopback; what a run does is told by the text that begins it."""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from tests.support.loopback import Loopback, read_request

KEY = "sk-very-secret-1234"
WORDS = ("Hello", " there", " ana")
COMMAND = "rm -rf build"


class Run:
    """One run. asked: requests that wait; stopped: somebody asked for its end; lapse: set to let its wait time out."""

    def __init__(self, server: "FakeHermesRuns", run_id: str, body: dict[str, Any]) -> None:
        self.server = server
        self.id = run_id
        self.body = body
        self.events: asyncio.Queue[dict[str, Any] | None] | None = asyncio.Queue()
        self.status: dict[str, Any] = {"run_id": run_id, "status": "running", "last_event": "", "updated_at": 1000.0}
        self.asked: deque[asyncio.Future[str]] = deque()
        self.choices: list[dict[str, Any]] = []
        self.stopped = asyncio.Event()
        self.dropped = asyncio.Event()
        self.lapse = asyncio.Event()

    def say(self, name: str, **more: Any) -> None:
        """An event, in the queue if that is still there."""
        if not name.startswith("message."):
            self.note(last_event=name)
        event = {"event": name, "run_id": self.id, "timestamp": self.status["updated_at"], **more}
        if self.events is not None:
            self.events.put_nowait(event)

    def note(self, **more: Any) -> None:
        """Change the status; its own clock goes on by ten seconds."""
        self.status |= {"updated_at": self.status["updated_at"] + 10.0, **more}

    def words(self, *words: str) -> None:
        """Pieces of the answer."""
        for word in words:
            self.say("message.delta", delta=word)

    def end(self, how: str, **more: Any) -> None:
        """Over."""
        self.status |= {"status": how, **more}
        self.say(f"run.{how}", **more)
        if self.events is not None:
            self.events.put_nowait(None)

    def completed(self, output: str = "".join(WORDS)) -> None:
        """Over, with an answer."""
        self.end("completed", output=output, usage={"input_tokens": 11, "output_tokens": 3, "total_tokens": 14})

    def ask(self, command: str = COMMAND, **more: Any) -> asyncio.Future[str]:
        """Ask for approval; the choice."""
        self.asked.append(asyncio.get_running_loop().create_future())
        self.note(status="waiting_for_approval")
        event = {"command": command, "description": "deletes files", "pattern_key": "rm", "pattern_keys": ["rm"]}
        self.say("approval.request", choices=["once", "session", "always", "deny"], **(event | more))
        self.server.waits.set()
        return self.asked[-1]

    def answer(self, body: dict[str, Any]) -> int:
        """How many requests took the answer."""
        self.choices.append(body)
        self.server.answered.set()
        count = len(self.asked) if body.get("all") else min(1, len(self.asked))
        for _ in range(count):
            self.asked.popleft().set_result(body["choice"])
        if count:
            self.note(status="running")
            self.say("approval.responded", choice=body["choice"], resolved=count)
        return count

    async def drop(self) -> None:
        """Break the stream of events off; what was in the queue is gone."""
        await self.server.following.wait()
        if self.events is not None:
            await self.events.join()
        self.events = None
        self.dropped.set()


Behaviour = Callable[[Run], Awaitable[None]]


class FakeHermesRuns(Loopback):
    """The server. bodies: what runs were begun with; runs: by order. waits: a request for approval is open;
    answered: somebody has tried to answer; following: somebody reads events; begun: a run was asked for;
    refusals: statuses of the next beginnings.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[dict[str, Any]] = []
        self.runs: list[Run] = []
        self.refusals: list[int] = []
        self.waits = asyncio.Event()
        self.answered = asyncio.Event()
        self.following = asyncio.Event()
        self.begun = asyncio.Event()
        self.ignores_stop = False
        self.polls = 0

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await self._one(reader, writer):
            pass

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first_line, headers, body = await read_request(reader)
        method, path, _ = first_line.split()
        if headers.get("authorization") != f"Bearer {KEY}":
            given = headers.get("authorization", "")
            await _reply(writer, 401, {"error": {"message": f"bad key {given}", "code": "invalid_api_key"}})
            return True
        parts = path.removeprefix("/v1/").split("/")
        if parts[0] != "runs":
            await _reply(writer, 404, {"error": {"message": "nothing here"}})
        elif len(parts) == 1:
            await self._begin(writer, body)
        else:
            return await self._about(writer, method, parts, body)
        return True

    async def _begin(self, writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
        self.bodies.append(body)
        self.begun.set()
        if self.refusals:
            await _reply(
                writer, self.refusals.pop(0), {"error": {"message": "too many", "code": "rate_limit_exceeded"}}
            )
            return
        if body["input"] == "mute":
            await asyncio.Event().wait()
        run = Run(self, f"run_{len(self.runs):04x}", body)
        self.runs.append(run)
        self.following.clear()
        task = asyncio.get_running_loop().create_task(self._live(run))
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        await _reply(writer, 202, {"run_id": run.id, "status": "started"})

    async def _live(self, run: Run) -> None:
        behaviour = asyncio.get_running_loop().create_task(_behave(run))
        stop = asyncio.get_running_loop().create_task(run.stopped.wait())
        try:
            await asyncio.wait({behaviour, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not behaviour.done():
                run.asked.clear()
                run.end("cancelled")
            else:
                behaviour.result()
        finally:
            behaviour.cancel()
            stop.cancel()

    async def _about(self, writer: asyncio.StreamWriter, method: str, parts: list[str], body: dict[str, Any]) -> bool:
        run = next((item for item in self.runs if item.id == parts[1]), None)
        if run is None:
            await _reply(writer, 404, {"error": {"message": "Run not found", "code": "run_not_found"}})
            return True
        match method, parts[2:]:
            case "GET", []:
                self.polls += 1
                await _reply(writer, 200, run.status)
            case "GET", ["events"]:
                await self._stream(writer, run)
                return False
            case "POST", ["approval"]:
                count = run.answer(body)
                code = {"error": {"message": "none pending", "code": "approval_not_pending"}}
                await _reply(writer, 200 if count else 409, {"resolved": count} if count else code)
            case _:
                if not self.ignores_stop:
                    run.stopped.set()
                await _reply(writer, 200, {"run_id": run.id, "status": "stopping"})
        return True

    async def _stream(self, writer: asyncio.StreamWriter, run: Run) -> None:
        writer.write(
            b"HTTP/1.1 200 Fine\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n: keepalive\n\n"
        )
        await writer.drain()
        self.following.set()
        dropped = asyncio.get_running_loop().create_task(run.dropped.wait())
        try:
            while run.events is not None:
                get = asyncio.get_running_loop().create_task(run.events.get())
                try:
                    await asyncio.wait({get, dropped}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    get.cancel()
                if not get.done():
                    return
                event = get.result()
                line = b": stream closed\n\n" if event is None else b"data: " + json.dumps(event).encode() + b"\n\n"
                writer.write(line)
                await writer.drain()
                if run.events is not None:
                    run.events.task_done()
                if event is None:
                    return
        finally:
            dropped.cancel()
            run.events = None


async def _reply(writer: asyncio.StreamWriter, status: int, found: object) -> None:
    body = json.dumps(found).encode()
    writer.write(f"HTTP/1.1 {status} Fine\r\ncontent-type: application/json\r\n".encode())
    writer.write(f"content-length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()


async def _behave(run: Run) -> None:
    name = run.body["input"].split()[-1]
    await BEHAVIOURS.get(name, _answers)(run)


async def _answers(run: Run) -> None:
    run.words(*WORDS)
    run.say("reasoning.available", text="".join(WORDS))
    run.completed()


async def _thinks(run: Run) -> None:
    run.say("reasoning.available", text="hm")
    run.say("weather.changed", wind=3)
    run.say("weather.changed", wind=4)
    run.completed("done")


async def _endless(run: Run) -> None:
    run.words(WORDS[0])
    await asyncio.Event().wait()


async def _dies(run: Run) -> None:
    run.words(WORDS[0])
    await run.drop()
    run.server.runs.remove(run)


async def _fails(run: Run) -> None:
    run.words(WORDS[0])
    run.end("failed", error=f"no luck\nwith {KEY}")


async def _tools(run: Run) -> None:
    run.say("tool.started", tool="terminal", preview=COMMAND)
    choice = await run.ask()
    run.say("tool.completed", tool="terminal", duration=0.1, error=choice == "deny")
    run.completed(f"it was {choice}")


async def _lapses(run: Run) -> None:
    run.say("tool.started", tool="terminal", preview=COMMAND)
    run.ask()
    await run.lapse.wait()
    run.asked.clear()
    run.say("tool.completed", tool="terminal", duration=0.1, error=True)
    run.completed("nobody answered")


async def _deaf(run: Run) -> None:
    run.ask()
    run.asked.clear()
    await run.lapse.wait()
    run.completed("went on")


async def _two(run: Run) -> None:
    for name in ("terminal", "execute_code"):
        run.say("tool.started", tool=name, preview="")
    first, second = run.ask("one"), run.ask("two")
    run.say("reasoning.available", text="both are asked")
    run.completed(f"one {await first}, two {await second}")


async def _overtaken(run: Run) -> None:
    for name in ("terminal", "execute_code", "web_search"):
        run.say("tool.started", tool=name, preview="")
    first, second = run.ask("one"), run.ask("two")
    run.say("tool.completed", tool="web_search", duration=0.1, error=False)
    run.completed(f"one {await first}, two {await second}")


async def _drops(run: Run) -> None:
    run.words(WORDS[0])
    await run.drop()
    run.completed()


async def _drops_then_asks(run: Run) -> None:
    run.words(WORDS[0])
    await run.drop()
    run.completed(f"it was {await run.ask()}")


async def _asks_then_drops(run: Run) -> None:
    choice = run.ask()
    await run.lapse.wait()
    await run.drop()
    run.completed(f"it was {await choice}")


BEHAVIOURS: dict[str, Behaviour] = {
    "answer": _answers,
    "thinks": _thinks,
    "endless": _endless,
    "dies": _dies,
    "fails": _fails,
    "tools": _tools,
    "lapses": _lapses,
    "deaf": _deaf,
    "two": _two,
    "overtaken": _overtaken,
    "drops": _drops,
    "drops_then_asks": _drops_then_asks,
    "asks_then_drops": _asks_then_drops,
}
