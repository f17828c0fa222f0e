"""redis-server and nats-server as durable queues: started here on loopback in a throw-away folder, and ended again.

Redis: a stream with a consumer group, or a list and a list of what is being worked on; the caller chooses. Every
sender and taker has a connection of its own. NATS: a work-queue stream on disk, one pull consumer whose messages are
dealt out to the takers, because asking for each alone is many times slower. Its acknowledgements are not awaited, as
ours are not; those of redis are, since its client knows no other way.
"""

import asyncio
import contextlib
import importlib
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.mail_load import BODY, CALLERS, Send, Take, awaited, awaited_cycle

_START_TRIES = 100
_START_PAUSE_S = 0.05
_PULL = 200
_BLOCK_S = 0.2


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _running(command: list[str], libraries: Sequence[str] = ()) -> Iterator[None]:
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)} if libraries else None
    server = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


async def _answering(port: int) -> None:
    for _ in range(_START_TRIES):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(_START_PAUSE_S)
        else:
            writer.close()
            await writer.wait_closed()
            return
    raise RuntimeError("the server does not answer")


async def run_redis(case: str, seconds: float, folder: str, *, sync: str, binary: str, shape: str) -> dict[str, float]:
    """One run. sync: always or everysec; shape: list or stream; binary: path of redis-server."""
    port = _free_port()
    # When it was only unpacked, its libraries lie beside it.
    unpacked = Path(binary).parents[1] if "mail-redis" in binary else None
    libraries = sorted({str(path.parent) for path in unpacked.glob("lib/*/*.so*")}) if unpacked else []
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
    command += ["--appendonly", "yes", "--appendfsync", sync]
    with _running(command, libraries):
        await _answering(port)
        async with contextlib.AsyncExitStack() as stack:
            return await _redis_load(case, seconds, port, stack, shape)


async def _redis_load(
    case: str, seconds: float, port: int, stack: contextlib.AsyncExitStack, shape: str
) -> dict[str, float]:
    redis = importlib.import_module("redis.asyncio")

    async def clients() -> list[Any]:
        made: list[Any] = []
        for _ in range(CALLERS):
            client = await stack.enter_async_context(
                redis.Redis(host="127.0.0.1", port=port, single_connection_client=True)
            )
            await client.ping()
            made.append(client)
        return made

    senders = await clients()
    takers = await clients() if case == "cycle" else senders
    if shape == "stream":
        await senders[0].xgroup_create("mail", "all", mkstream=True)
        send, take = _by_stream(senders, takers)
    else:
        send, take = _by_list(senders, takers)
    return await (awaited_cycle(seconds, send, take) if case == "cycle" else awaited(seconds, send))


def _by_list(senders: list[Any], takers: list[Any]) -> tuple[Send, Take]:
    async def send(number: int) -> None:
        await senders[number].lpush("mail", BODY)

    async def take(number: int) -> int:
        body = await takers[number].blmove("mail", f"held{number}", _BLOCK_S, "RIGHT", "LEFT")
        if body is None:
            return 0
        await takers[number].lrem(f"held{number}", 1, body)
        return 1

    return send, take


def _by_stream(senders: list[Any], takers: list[Any]) -> tuple[Send, Take]:
    async def send(number: int) -> None:
        await senders[number].xadd("mail", {"body": BODY})

    async def take(number: int) -> int:
        found = await takers[number].xreadgroup(
            "all", f"taker{number}", {"mail": ">"}, count=1, block=int(1000 * _BLOCK_S)
        )
        if not found:
            return 0
        entries = next(iter(found.values()))[0] if isinstance(found, dict) else found[0][1]
        await takers[number].xack("mail", "all", entries[0][0])
        return 1

    return send, take


async def run_nats(case: str, seconds: float, folder: str, *, sync: str, binary: str) -> dict[str, float]:
    """One run. sync: always, or default (a flush every two minutes)."""
    port = _free_port()
    always = "sync_interval: always" if sync == "always" else ""
    config = Path(folder) / "nats.conf"
    config.write_text(f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{folder}/js"\n {always} }}\n')
    with _running([binary, "-c", str(config)]):
        await _answering(port)
        async with _stream(port) as stream:

            async def send(_: int) -> None:
                await stream.publish("mail", BODY)

            if case == "enqueue":
                return await awaited(seconds, send)
            async with _dealt(stream) as take:
                return await awaited_cycle(seconds, send, take)


@contextlib.asynccontextmanager
async def _stream(port: int) -> AsyncIterator[Any]:
    nats = importlib.import_module("nats")
    client = await nats.connect(f"nats://127.0.0.1:{port}", allow_reconnect=False)
    try:
        stream = client.jetstream(timeout=30)
        await stream.add_stream(name="MAIL", subjects=["mail"], storage="file", retention="workqueue")
        yield stream
    finally:
        await client.close()


@contextlib.asynccontextmanager
async def _dealt(stream: Any) -> AsyncIterator[Take]:
    ready: asyncio.Queue[Any] = asyncio.Queue()
    subscription = await stream.pull_subscribe("mail", durable="all")

    async def pull() -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                for message in await subscription.fetch(_PULL, timeout=1):
                    ready.put_nowait(message)

    async def take(_: int) -> int:
        message = await ready.get()
        await message.ack()
        return 1

    pulling = asyncio.ensure_future(pull())
    try:
        yield take
    finally:
        pulling.cancel()
        await asyncio.gather(pulling, return_exceptions=True)
