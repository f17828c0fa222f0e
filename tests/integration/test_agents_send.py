"""The tool `send` in a whole core: asked for like any other, delivered once, noted where it went."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from core.agents.policy.patterns import exact_pattern
from core.api.approvals import ListApprovals
from core.api.base import AgentName, SessionId
from core.api.runs import ToolKind
from core.api.tasks import TaskState
from core.api.transcripts import EntryKind
from core.gateway.adapters.loopback import LoopbackPlatform
from core.gateway.platform import Limits
from core.kernel import Kernel
from tests.support.fake_openai import FakeOpenai, wants, whole_call
from tests.support.runtime_core import (
    DESK,
    LOCAL,
    answered,
    asked,
    core,
    entries,
    opened,
    session,
    started,
    task,
    was_answered,
    when,
)
from tests.support.tool_rig import results

FRIEND = SessionId("local:dm:friend")
HELLO = whole_call("send", {"target": "local:friend", "text": "tea is\nready"})
CONFIG = """
http: {{enabled: false}}
agents:
  main: {{runner: openai, base_url: {url}, model: small, tools: [send], policy: {policy}}}
  echo: {{runner: scripted, scenario: builtin:echo, pace: 0}}
core: {{drain_s: 0}}
"""


@asynccontextmanager
async def talking(tmp_path: Path, *modes: Any, policy: str = "{}") -> AsyncIterator[tuple[Kernel, FakeOpenai]]:
    """A core whose main agent is such a model."""
    async with (
        FakeOpenai(*modes) as server,
        core(tmp_path / "home", CONFIG.format(url=server.url, policy=policy)) as kernel,
    ):
        yield kernel, server


def told(kernel: Kernel, chat: str) -> list[str]:
    """What was sent into a chat."""
    platform = kernel.gateway.platforms.get(LOCAL)
    assert isinstance(platform, LoopbackPlatform)
    return [item.text for item in platform.sent_to(chat)]


async def test_a_message_is_asked_for_then_delivered_and_noted_where_it_went(tmp_path: Path) -> None:
    """The operator is shown the chat and the whole text; the other session's agent knows of it."""
    async with talking(tmp_path, wants(HELLO), "ok") as (kernel, server):
        await opened(kernel, "hi", chat="friend", agent=AgentName("echo"))
        await session(kernel, was_answered, FRIEND)
        before = told(kernel, "friend")
        await opened(kernel, "tell my friend")
        view = await asked(kernel)
        assert (view.tool, view.target, view.kind, view.detail) == (
            "send",
            "local:friend",
            ToolKind.OTHER,
            "tea is\nready",
        )
        assert view.offers[0].pattern == exact_pattern("send", "local:friend")
        assert told(kernel, "friend") == before
        await answered(kernel, view)
        await session(kernel, was_answered)
        await when(lambda: told(kernel, "friend") == [*before, "tea is\nready"])
        [(_, result)] = results(server.requests[1].body["messages"])
        assert result.startswith("queued for local:friend as s")
        noted = (await entries(kernel, FRIEND))[-1]
        assert (noted.kind, noted.author, noted.text) == (EntryKind.AGENT, "main (sent)", "tea is\nready")


@pytest.mark.parametrize(
    ("policy", "is_sent"),
    [
        ("{allow: ['send:local:*'], ask: 'off'}", True),
        ("{security: full}", True),
        ("{allow: ['send:other:*', 'exec:*'], ask: 'off'}", False),
        ("{security: deny}", False),
    ],
)
async def test_the_policy_decides_about_the_chat(tmp_path: Path, policy: str, is_sent: bool) -> None:
    """Nobody is asked, and nothing is sent where it says no."""
    async with talking(tmp_path, wants(HELLO), "ok", policy=policy) as (kernel, server):
        await opened(kernel, "tell my friend")
        await session(kernel, was_answered)
        assert (await kernel.query(ListApprovals())).approvals == ()
        [(_, result)] = results(server.requests[1].body["messages"])
        if is_sent:
            await when(lambda: told(kernel, "friend") == ["tea is\nready"])
        else:
            assert result.startswith("denied: the policy refuses it")
            assert told(kernel, "friend") == []


async def test_a_no_sends_nothing_and_the_model_is_told(tmp_path: Path) -> None:
    """With the reason."""
    async with talking(tmp_path, wants(HELLO), "ok") as (kernel, server):
        await opened(kernel, "tell my friend")
        await answered(kernel, await asked(kernel), allow=False, reason="not now")
        await session(kernel, was_answered)
        assert results(server.requests[1].body["messages"])[0][1].startswith("denied: not now")
        assert told(kernel, "friend") == []


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("nowhere:1", "no connection is called 'nowhere'"),
        ("local:a, local:b", "means 2 chats; send to one at a time"),
        ("home", "local has no home chat"),
        ("local:No such room", "is called 'No such room'"),
    ],
)
async def test_what_can_never_be_sent_is_refused_before_anybody_is_asked(tmp_path: Path, target: str, why: str) -> None:
    """The model is told what to write instead."""
    call = whole_call("send", {"target": target, "text": "x"})
    async with talking(tmp_path, wants(call), "ok") as (kernel, server):
        await opened(kernel, "go")
        await session(kernel, was_answered)
        assert why in results(server.requests[1].body["messages"])[0][1]
        assert (await kernel.query(ListApprovals())).approvals == ()


async def test_the_origin_is_the_chat_of_the_conversation_and_is_not_noted_twice(tmp_path: Path) -> None:
    """Two calls are two messages; the answer comes besides. In a task there is no such chat."""
    first = whole_call("send", {"target": "origin", "text": "one moment"})
    second = whole_call("send", {"target": "origin", "text": "one moment"}, call_id="call_b")
    async with talking(tmp_path, wants(first, second), "ok", policy="{security: full}") as (kernel, server):
        await opened(kernel, "go")
        await session(kernel, was_answered)
        await when(lambda: told(kernel, "desk").count("one moment") == 2)
        assert "one moment" not in [entry.text for entry in await entries(kernel)]
        server.modes = [wants(first), "ok"]
        receipt = await started(kernel, "go")
        await task(kernel, receipt.task.id, TaskState.DONE)
        assert "comes from no chat" in results(server.requests[-1].body["messages"])[0][1]


async def test_a_key_sends_once_whoever_asks_again(tmp_path: Path) -> None:
    """A run that is tried again may repeat its call; nothing is noted a second time."""
    async with talking(tmp_path, "ok") as (kernel, _):
        await opened(kernel, "hi", chat="friend", agent=AgentName("echo"))
        await session(kernel, was_answered, FRIEND)
        sending = kernel.gateway.delivering.sending
        target, source = sending.addressed("local:friend", DESK)
        agent = AgentName("main")
        sent = [await sending.send_from(DESK, source, "tea", agent=agent, key=key) for key in ("1", "1", "2")]
        assert (target, [len(ids) for ids in sent]) == ("local:friend", [1, 0, 1])
        await when(lambda: told(kernel, "friend").count("tea") == 2)
        assert [entry.author for entry in await entries(kernel, FRIEND)].count("main (sent)") == 2


async def test_a_connection_whose_callers_wait_takes_no_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is asked about what cannot be carried out."""
    monkeypatch.setattr(LoopbackPlatform, "limits", Limits(opens_chats=True, sends_answers=False))
    async with talking(tmp_path, wants(HELLO), "ok") as (kernel, server):
        await opened(kernel, "go")
        await session(kernel, was_answered)
        assert "takes no messages" in results(server.requests[1].body["messages"])[0][1]
