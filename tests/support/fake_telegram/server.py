"""The server: tokens, polls that wait, faults, files, and webhooks that are delivered when a test says so."""

import asyncio
import contextlib
from typing import Any, Self

import httpx

from tests.support.fake_telegram.faults import Fault, Faults
from tests.support.fake_telegram.http import Malformed, Reply, Request, json_reply, read_request, write_reply
from tests.support.fake_telegram.methods import Methods
from tests.support.fake_telegram.params import checked, method_named
from tests.support.fake_telegram.people import People
from tests.support.fake_telegram.world import ApiError, Bot, Chat, Json, World, bad

POLL_LIMIT = 100
_PARTS = 3


class FakeTelegram:
    """A Bot API on a free port of loopback, for as long as it is entered. It can be stopped and started again on
    the same port; its world goes on meanwhile.

    calls: every call so far, as (method, parameters). acknowledged: updates that a bot will not get again, by its
    number. is_deaf: requests are read and never answered.
    """

    def __init__(self) -> None:
        self.world = World()
        self.people = People(self.world)
        self.faults = Faults()
        self.calls: list[tuple[str, Json]] = []
        self.is_deaf = False
        self.acknowledged: dict[int, list[Json]] = {}
        self._methods = Methods(self.world)
        self._server: asyncio.Server | None = None
        self._port = 0
        self._lines: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening, and break every line."""
        if self._server is not None:
            self._server.close()
        self.break_lines()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None

    def break_lines(self) -> None:
        """Break every line that stands, in the middle of whatever goes on."""
        for writer in list(self._lines):
            writer.transport.abort()

    def fail(self, fault: Fault) -> None:
        """Let something go wrong."""
        self.faults.add(fault)

    def repeat(self, bot: Bot, *numbers: int) -> None:
        """Deliver updates again that were acknowledged, by their places in `acknowledged`."""
        for number in numbers:
            bot.queue.append(self.acknowledged[bot.id][number])
        bot.wakes.set()

    def texts(self, chat: Chat, bot: Bot | None = None) -> list[str]:
        """What bots wrote into a chat, as it is shown now."""
        return [str(message.get("text", message.get("caption", ""))) for message in self.of_bots(chat, bot)]

    def of_bots(self, chat: Chat, bot: Bot | None = None) -> list[Json]:
        """The messages that bots wrote into a chat."""
        wanted = {bot.id} if bot is not None else {item.id for item in self.world.bots.values()}
        return [item for item in chat.messages.values() if item.get("from", {}).get("id") in wanted]

    async def until(self, is_so: Any) -> None:
        """Wait until something is so, looking whenever a call has changed the world."""
        while not is_so():
            self.world.changed.clear()
            await self.world.changed.wait()

    async def deliver(self, bot: Bot) -> list[int]:
        """Call the webhook with what waits, one after the other; stops at a refusal. The statuses."""
        statuses: list[int] = []
        headers = {"X-Telegram-Bot-Api-Secret-Token": bot.webhook.get("secret_token", "")}
        async with httpx.AsyncClient(trust_env=False) as client:
            while bot.queue:
                answer = await client.post(bot.webhook["url"], json=bot.queue[0], headers=headers)
                statuses.append(answer.status_code)
                if not answer.is_success:
                    break
                bot.queue.pop(0)
        return statuses

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._lines.add(writer)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._one(reader, writer):
                    pass
        finally:
            self._lines.discard(writer)
            self._tasks.discard(task)
            writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        try:
            request = await read_request(reader)
        except Malformed:
            return await write_reply(writer, _refused(bad("the request cannot be read")))
        if request is None:
            return False
        reply = await self._reply(request)
        if self.is_deaf:
            await asyncio.Event().wait()
        return reply is not None and await write_reply(writer, reply)

    async def _reply(self, request: Request) -> Reply | None:
        """The answer; None when the line breaks instead."""
        parts = request.path.strip("/").split("/")
        is_file = parts[0] == "file"
        if is_file:
            parts = parts[1:]
        bot = self.world.bots.get(parts[0].removeprefix("bot"))
        if bot is None or not parts[0].startswith("bot"):
            return json_reply(404, {"ok": False, "error_code": 404, "description": "Not Found"})
        if bot.is_revoked:
            return _refused(ApiError(401, "Unauthorized"))
        if is_file:
            return self._file(parts)
        method = method_named(parts[1]) if len(parts) == _PARTS - 1 else None
        if method is None:
            return _refused(ApiError(404, "Not Found: method not found"))
        fault = self.faults.take(method)
        if fault is None:
            return await self._answered(bot, method, request)
        done = await self._answered(bot, method, request) if fault.is_done or fault.kind == "cut" else None
        return await _spoilt(fault, done)

    async def _answered(self, bot: Bot, method: str, request: Request) -> Reply:
        try:
            params = checked(method, request.params, request.files)
            self.calls.append((method, params))
            if method == "getUpdates":
                result: Any = await self._updates(bot, params)
            else:
                result = self._methods.call(bot, method, params)
        except ApiError as error:
            return _refused(error)
        return json_reply(200, {"ok": True, "result": result})

    async def _updates(self, bot: Bot, params: Json) -> list[Json]:
        if bot.webhook:
            raise ApiError(
                409,
                "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the "
                "webhook first",
            )
        limit, timeout = params.get("limit", POLL_LIMIT), params.get("timeout", 0)
        if not 1 <= limit <= POLL_LIMIT or timeout < 0:
            raise bad("wrong limit or timeout")
        if params.get("allowed_updates"):
            bot.kinds = tuple(params["allowed_updates"])
        self._acknowledge(bot, params.get("offset", 0))
        bot.poll_count += 1
        if bot.poll is not None and not bot.poll.done():
            bot.poll.set_result(None)
        mine = bot.poll = asyncio.get_running_loop().create_future()
        await self._wait(bot, mine, timeout)
        if mine.done():
            raise ApiError(
                409,
                "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
            )
        return bot.queue[:limit]

    async def _wait(self, bot: Bot, mine: "asyncio.Future[None]", timeout_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not bot.queue and not mine.done():
                    bot.wakes.clear()
                    wake = asyncio.ensure_future(bot.wakes.wait())
                    waits: list[asyncio.Future[Any]] = [wake, mine]
                    try:
                        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        wake.cancel()

    def _acknowledge(self, bot: Bot, offset: int) -> None:
        done = [update for update in bot.queue if update["update_id"] < offset]
        bot.queue = [update for update in bot.queue if update["update_id"] >= offset]
        self.acknowledged.setdefault(bot.id, []).extend(done)
        if done:
            self.world.changed.set()

    def _file(self, parts: list[str]) -> Reply:
        file_id = parts[-1].partition(".")[0]
        found = self.world.files.get(file_id) if len(parts) == _PARTS else None
        if found is None:
            return _refused(ApiError(404, "Not Found"))
        return Reply(200, found[1], "application/octet-stream")


def _refused(error: ApiError) -> Reply:
    value: Json = {"ok": False, "error_code": error.status, "description": error.description}
    return json_reply(error.status, {**value, "parameters": error.parameters} if error.parameters else value)


async def _spoilt(fault: Fault, done: Reply | None) -> Reply | None:
    if fault.kind == "hang":
        await asyncio.Event().wait()
    if fault.kind == "drop":
        return None
    if fault.kind == "garbage":
        return Reply(fault.status, b"<html>not what you asked for", "text/html")
    if fault.kind == "cut" and done is not None:
        done.cut_at = len(done.body) // 2
        return done
    return _refused(ApiError(fault.status, fault.description, **fault.parameters))
