"""The official OpenAI client against `hermes-console serve`: what it read is what the shell shows."""

import asyncio
import json
import re
import sys
from pathlib import Path

import pytest

from tests.interop.test_http_clients import HERE, run

pytestmark = pytest.mark.interop

CONFIG = "http: {port: 0}\nagents:\n  main: {runner: scripted, scenario: builtin:echo, pace: 0}\n"


async def console(home: Path, *arguments: str) -> str:
    """What a shell command prints."""
    code, said = await run(sys.executable, "-m", "console", "--home", str(home), *arguments, cwd=home)
    assert code == 0, said
    return said


async def test_every_text_of_the_official_client_is_on_record(other_bin: Path, tmp_path: Path) -> None:
    """Models, plain, streamed, continued by header and by history; each session shows the same texts."""
    home = tmp_path / "home"
    await asyncio.to_thread(home.mkdir, 0o700)
    await asyncio.to_thread((home / "config.yaml").write_text, CONFIG)
    core = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "console", "--home", str(home), "serve"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert core.stderr is not None
    try:
        url = ""
        async with asyncio.timeout(30):
            while not url and (line := await core.stderr.readline()):
                if found := re.search(rb"http://127\.0\.0\.1:\d+", line):
                    url = found.group().decode()
        key = (await asyncio.to_thread((home / "secrets" / "api_key").read_text)).strip()
        code, said = await run(other_bin / "python", HERE / "openai_session.py", f"{url}/v1", key, "main", cwd=tmp_path)
        assert code == 0, said
        seen = json.loads(said.splitlines()[-1])
        assert (seen["plain"], seen["streamed"]["text"]) == ("hello", "tell me")
        assert seen["continued"] == {"by_header": True, "apart": True, "by_history": True}
        sessions = json.loads(await console(home, "sessions", "list", "--json"))["sessions"]
        details = [json.loads(await console(home, "sessions", "show", item["id"], "--json")) for item in sessions]
        shown = [[entry["text"] for entry in detail["entries"]] for detail in details]
        assert sorted(shown) == sorted(
            [
                ["hello", "hello"],
                ["tell me", "tell me"],
                ["one", "one", "two", "two"],
                ["three", "three", "four", "four"],
            ]
        )
        assert {detail["session"]["state"] for detail in details} == {"idle"}
        assert all(detail["ages_s"]["last_outcome"] >= 0 for detail in details)
        await console(home, "core", "stop")
        async with asyncio.timeout(20):
            assert await core.wait() == 0
    finally:
        if core.returncode is None:
            core.kill()
            await core.wait()
        await core.stderr.read()
