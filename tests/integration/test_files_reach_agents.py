"""Files of messages in a whole core: the agent that is told of one can read it, in its box, after a restart, too."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.api.base import AgentName
from core.api.policies import ExecutionPolicy, Runtime
from core.api.sessions import ChatKind, Source
from core.gateway.adapters.loopback import LoopbackPlatform
from core.gateway.platform import FileKind, Inbound, InboundFile
from core.kernel import Kernel
from tests.support.fake_openai import Behaviour, FakeOpenai, Talk, wants, whole_call
from tests.support.runtime_core import DESK, LOCAL, core, entries, rested, session, was_answered
from tests.support.tool_rig import results

PNG = b"\x89PNG\r\n\x1a\nand so on"
CONFIG = """
http: {{enabled: false}}
agents:
  main:
    runner: openai
    base_url: {url}
    model: small
    tools: [exec, read]
    vision: {vision}
    policy: {{security: full}}
  other: {{runner: acp, command: [nothing]}}
  shared: {{runner: scripted, workspace: yard}}
core: {{drain_s: 0}}
"""
NAMED = re.compile(r"\[document (\S+) \(text/plain\), 11 bytes: ([^\]]+)\]")
needs_bwrap = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")


@pytest.fixture(autouse=True)
def fetching(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loopback connection hands out files, by what they hold."""

    async def fetch(self: object, ref: str) -> AsyncIterator[bytes]:
        _ = self
        yield PNG if ref == "png" else b"hello world"

    monkeypatch.setattr(LoopbackPlatform, "fetch", fetch, raising=False)


def config(server: FakeOpenai, *, vision: bool = False) -> str:
    """A core whose main agent asks that endpoint."""
    return CONFIG.format(url=server.url, vision=str(vision).lower())


async def tell(kernel: Kernel, text: str, *files: InboundFile) -> None:
    """A message from the desk."""
    source = Source(platform=LOCAL, kind=ChatKind.DM, chat="desk")
    inbound = Inbound(platform=LOCAL, source=source, sender_id="bo", sender_name="Bo", text=text, files=files)
    await kernel.gateway.intake.take_in(inbound)


def letter(ref: str = "text") -> InboundFile:
    """A text file that came along."""
    return InboundFile(kind=FileKind.DOCUMENT, ref=ref, name="letter.txt", mime="text/plain")


def name_in(talk: Talk) -> str:
    """What the model was told that the file is called."""
    found = NAMED.findall(str(talk.body["messages"][-1]["content"]))
    return str(found[-1][1])


def uses(tool: str) -> Behaviour:
    """A model that looks at the file that it was told of."""

    async def behave(server: FakeOpenai, talk: Talk) -> None:
        name = name_in(talk)
        arguments: dict[str, Any] = {"path": name} if tool == "read" else {"command": f"cat '{name}'"}
        await wants(whole_call(tool, arguments))(server, talk)

    return behave


async def test_the_read_tool_reads_the_path_that_the_message_names(tmp_path: Path) -> None:
    """The transcript keeps the path of the core; the agent is told its own, which stays below its folder."""
    home = tmp_path / "home"
    async with FakeOpenai(uses("read"), "ok") as server, core(home, config(server)) as kernel:
        await tell(kernel, "what is in it?", letter())
        await session(kernel, was_answered)
        assert name_in(server.requests[0]).startswith("assets/")
        assert results(server.requests[1].body["messages"]) == [("call_a", "hello world")]
        [first, *_] = await entries(kernel)
        assert f"11 bytes: {home / 'files' / 'in'}" in first.text


@needs_bwrap
async def test_a_boxed_tool_reads_it_too(tmp_path: Path) -> None:
    """Nothing of the home but the workspace is in its box."""
    async with FakeOpenai(uses("exec"), "ok") as server, core(tmp_path / "home", config(server)) as kernel:
        await tell(kernel, "", letter())
        await session(kernel, was_answered)
        assert results(server.requests[1].body["messages"]) == [("call_a", "hello world")]


@needs_bwrap
async def test_a_boxed_program_reads_it_by_its_whole_name(tmp_path: Path) -> None:
    """A child process may be in any folder by then, so it is told the absolute path, which is the same in its box."""
    home = tmp_path / "home"
    async with FakeOpenai() as server, core(home, config(server)) as kernel:
        source = home / "files" / "in" / "0123_letter.txt"
        await asyncio.to_thread(source.parent.mkdir, parents=True, exist_ok=True)
        await asyncio.to_thread(source.write_text, "hello world")
        runs = kernel.agents.runs
        [name] = await asyncio.to_thread(runs.give, AgentName("other"), "local:bo", [source])
        folder = await asyncio.to_thread(runs.workspace, AgentName("other"), "local:bo")
        assert folder is not None
        assert name == str(folder / "assets" / source.name)
        policy = ExecutionPolicy(runtime_type=Runtime.BWRAP)
        line = kernel.agents.tools.wrapped(["cat", name], policy=policy, workspace=folder)
        child = await asyncio.create_subprocess_exec(*line, stdout=asyncio.subprocess.PIPE)
        async with asyncio.timeout(20):
            out, _ = await child.communicate()
        assert out == b"hello world"
        [shared] = await asyncio.to_thread(runs.give, AgentName("shared"), "local:bo", [source])
        assert (shared, await asyncio.to_thread((home / "yard" / shared).read_text)) == (
            f"assets/{source.name}",
            "hello world",
        )
        assert list(await asyncio.to_thread(runs.give, AgentName("nobody"), "local:bo", [source])) == [""]


async def test_it_is_there_after_a_restart_and_after_the_original_has_gone(tmp_path: Path) -> None:
    """What was said before names the copy, in which the agent has written meanwhile."""
    home = tmp_path / "home"
    async with FakeOpenai("ok") as server:
        async with core(home, config(server)) as kernel:
            await tell(kernel, "keep this", letter())
            await session(kernel, was_answered)
            name = name_in(server.requests[0])
            folder = await asyncio.to_thread(kernel.agents.runs.workspace, AgentName("main"), "local:bo")
            assert folder is not None
            await asyncio.to_thread((folder / name).write_text, "changed")
        await asyncio.to_thread(shutil.rmtree, home / "files")
        async with core(home, config(server)) as kernel:
            await tell(kernel, "what was it?")
            await rested(kernel, DESK)
            assert f"bytes: {name}]" in server.requests[-1].body["messages"][0]["content"]
            assert await asyncio.to_thread((folder / name).read_text) == "changed"


@pytest.mark.parametrize("vision", [True, False])
async def test_a_model_that_can_see_is_shown_pictures(tmp_path: Path, vision: bool) -> None:
    """Only where the profile says so; what is no picture stays a name, whatever it is called."""
    async with FakeOpenai("ok") as server, core(tmp_path / "home", config(server, vision=vision)) as kernel:
        picture = InboundFile(kind=FileKind.PHOTO, ref="png", name="cat.png", mime="image/png")
        forged = InboundFile(kind=FileKind.PHOTO, ref="text", name="dog.png", mime="image/png")
        await tell(kernel, "what is it?", picture, forged)
        await session(kernel, was_answered)
        content = server.requests[0].body["messages"][-1]["content"]
        if not vision:
            assert isinstance(content, str)
            return
        assert [part["type"] for part in content] == ["text", "image_url"]
        assert content[1]["image_url"]["url"].startswith("data:image/png;base64,iVBORw0KGgphbmQgc28gb24")
        assert "cat.png" in content[0]["text"]
        assert "dog.png" in content[0]["text"]


@pytest.mark.parametrize("text", ["look", ""])
async def test_a_message_that_comes_again_fetches_its_files_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """A redelivery after a reconnect is known before anything is loaded, and is a duplicate like any other."""
    fetched: list[str] = []

    async def fetch(self: object, ref: str) -> AsyncIterator[bytes]:
        _ = self
        fetched.append(ref)
        yield b"hello world"

    monkeypatch.setattr(LoopbackPlatform, "fetch", fetch)
    source = Source(platform=LOCAL, kind=ChatKind.DM, chat="desk")
    inbound = Inbound(
        platform=LOCAL,
        source=source,
        sender_id="bo",
        sender_name="Bo",
        text=text,
        native_id="n1",
        files=(letter("a"), letter("b")),
    )
    async with FakeOpenai("ok") as server, core(tmp_path / "home", config(server)) as kernel:
        taken = [await kernel.gateway.intake.take_in(inbound) for _ in range(3)]
        await session(kernel, was_answered)
    assert [item.is_duplicate for item in taken] == [False, True, True]
    assert fetched == ["a", "b"]
