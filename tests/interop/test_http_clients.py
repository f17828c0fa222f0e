"""The official OpenAI client and schemathesis against our server on a real socket."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from core.api.runs import Stop, TextDelta, TurnEnded
from tests.support.fake_inbox import FakeInbox
from tests.support.http_calls import KEY
from tests.support.http_core import http_core

pytestmark = pytest.mark.interop

HERE = Path(__file__).parent


async def run(*command: str | Path, cwd: Path) -> tuple[int, str]:
    """Run a program without proxies; its exit code and all that it said."""
    environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


async def played(script: str, inbox: FakeInbox, other_bin: Path, folder: Path) -> Any:
    """What a script of the other environment saw of a server in front of this inbox."""
    async with http_core(inbox) as core:
        code, said = await run(other_bin / "python", HERE / script, f"{core.url}/v1", KEY, "coder", cwd=folder)
    assert code == 0, said
    return json.loads(said.splitlines()[-1])


async def test_the_official_client_talks_to_us(other_bin: Path, tmp_path: Path) -> None:
    """Models, plain, streamed and continued answers, and errors as its own exceptions."""
    inbox = FakeInbox()
    seen = await played("openai_session.py", inbox, other_bin, tmp_path)
    assert seen.pop("version")
    assert seen == {
        "models": ["default", "main", "coder"],
        "model": "coder",
        "plain": "Hello there",
        "finish": "stop",
        "total": 5,
        "streamed": {"text": "Hello there", "finish": "stop", "total": 5, "model": "coder"},
        "continued": {"by_header": True, "apart": True, "by_history": True},
        "failed": {
            "key": "AuthenticationError invalid_api_key",
            "model": "NotFoundError model_not_found",
            "body": "BadRequestError unsupported_n",
        },
    }
    assert [item.text for item in inbox.received] == ["hello", "tell me", "one", "two", "three", "four"]
    chats = [item.source.chat for item in inbox.received]
    assert chats[2] == chats[3]
    assert chats[4] == chats[5]
    assert len(set(chats)) == 4


async def test_the_official_client_learns_of_failures(other_bin: Path, tmp_path: Path) -> None:
    """A run that fails is an exception with its code, also after the first words."""
    script = (TextDelta(text="par"), TurnEnded(stop=Stop.ERROR, error="it broke", code="upstream_down"))
    seen = await played("openai_failures.py", FakeInbox(script), other_bin, tmp_path)
    assert seen == {"whole": "502 upstream_down", "streamed": "upstream_down", "text": "par"}


async def test_the_endpoint_is_true_to_its_document(other_bin: Path, tmp_path: Path) -> None:
    """Schemathesis reads the document, sends what fits and what does not, and finds no difference."""
    lines: list[str] = []
    inbox = FakeInbox()
    async with http_core(inbox, log=lines) as core:
        code, said = await run(
            other_bin / "st",
            "run",
            f"{core.url}/v1/openapi.json",
            "--header",
            f"Authorization: Bearer {KEY}",
            "--checks",
            "all",
            # The document cannot say that the last message must be the user's and that the model must exist.
            "--exclude-checks",
            "positive_data_acceptance",
            "--phases",
            "examples,coverage,fuzzing",
            "--max-examples",
            "60",
            "--seed",
            "1",
            "--warnings",
            "off",
            "--continue-on-failure",
            cwd=tmp_path,
        )
    assert code == 0, said
    assert lines == []
    assert inbox.received
