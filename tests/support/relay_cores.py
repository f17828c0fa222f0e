"""Whole cores on loopback that relay to each other, and agents of theirs that forward what they are told to."""

import base64
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from core.api.bindings import ANY_CHAT, AddBinding, Bot
from core.api.relay_tasks import ListRelayTasks, RelayTaskFilter, RelayTaskView
from core.kernel import Kernel
from tests.support.fake_openai import Behaviour, FakeOpenai, Talk, chunk, wants, whole_call
from tests.support.runtime_core import OPERATOR, core, some

KEYS = {f"RELAY_TEST_{name}": "whsec_" + base64.b64encode(name.encode() * 24).decode() for name in "ABC"}
"""What cores prove themselves with, as variables of the environment: one for each pair."""

LOOPBACK = ("127.0.0.0/8", "::1/128")
GO_ON = "go on"

_CONFIG = """
http: {{port: 0}}
agents:
  main: {agent}
core: {{drain_s: 0}}
relay:
  name: {name}
  attempt_limit_s: 5
  retries_s: [0.05, 0.05]
  schedule_s: []
  peers:
{peers}
"""
ECHO = "{runner: scripted, scenario: builtin:echo, pace: 0}"


def peer_line(name: str, key: str, callback: str = "") -> str:
    """One entry of relay.peers. callback: a core that is to be told, "" for one that asks."""
    told = f", callback: '{callback}/relay/answers', callback_networks: [127.0.0.0/8]" if callback else ""
    return f"    {name}: {{keys: [env:{key}]{told}}}\n"


def model(server: FakeOpenai, policy: str = "{security: full}") -> str:
    """An agent with the tool `relay` that such a server plays."""
    return f"{{runner: openai, base_url: {server.url}, model: small, tools: [relay], policy: {policy}}}"


@asynccontextmanager
async def relaying(home: Path, name: str, agent: str, *peers: str) -> AsyncGenerator[Kernel]:
    """A core with such an agent and peers."""
    config = _CONFIG.format(name=name, agent=agent, peers="".join(peers) or "    {}\n")
    async with core(home, config) as kernel:
        yield kernel


async def bind(
    kernel: Kernel, name: str, other: Kernel | str, *, platform: str = ANY_CHAT, chat: str = ANY_CHAT, peer: str = ""
) -> None:
    """Chats of a core reach another one under a name, which is that of the peer too."""
    url = other if isinstance(other, str) else other.gateway.http.url
    bot = Bot(name=name, url=url, peer=peer or name, networks=LOOPBACK)
    await kernel.execute(AddBinding(platform=platform, chat=chat, bots=(bot,)), actor=OPERATOR)


def forwarding(to: str, text: str = GO_ON, *, wait_s: float = 0.0) -> Behaviour:
    """A model that sends a text to a bot for every message with GO_ON, says hello to all else, and says on what a tool
    gave when it waits for that.
    """
    count = 0

    async def behave(server: FakeOpenai, talk: Talk) -> None:
        nonlocal count
        last = talk.body["messages"][-1]
        if last["role"] == "user" and GO_ON in str(last["content"]):
            count += 1
            call = whole_call("relay", {"to": to, "text": text, "wait_s": wait_s}, call_id=f"call_{count}")
            await wants(call)(server, talk)
            return
        said = str(last["content"]) if wait_s and last["role"] == "tool" else "hello"
        await talk.head()
        await talk.data(chunk({"content": said}), chunk(finish="stop"))

    return behave


async def messages(kernel: Kernel, **only: Any) -> tuple[RelayTaskView, ...]:
    """Messages in the ledger of a core, the latest first."""
    page = await kernel.query(ListRelayTasks(only=RelayTaskFilter(**only)))
    return page.tasks


async def some_messages(kernel: Kernel, count: int, **only: Any) -> tuple[RelayTaskView, ...]:
    """The same once there are so many."""

    async def found() -> tuple[RelayTaskView, ...] | None:
        there = await messages(kernel, **only)
        return there if len(there) >= count else None

    return await some(found)
