"""A whole core with an agent that tells everything it knows: none of it is stored, shown or logged."""

import json
import sys
from pathlib import Path

import pytest

from core.api.approvals import ListApprovals
from core.api.base import Seq
from core.api.profiles import GetProfile
from tests.support import lying_agent
from tests.support.lying_agent import asks
from tests.support.runtime_core import MAIN, core, desk, entries, opened, rested

AGENT_KEY = "first-line-'\"1234\nsecond-line-\\5678"
CORE_KEY = "of-the-core-0000"


async def test_no_secret_reaches_a_disk_or_a_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Database, events, transcript, profile: only the file that holds the secret holds it."""
    monkeypatch.setenv("HERMES_SECRET_X", CORE_KEY)
    monkeypatch.setenv("KEY_OF_THE_AGENT", AGENT_KEY)
    home = tmp_path / "home"
    steps = {
        "session/prompt": ["!environment", asks("1", {"toolCallId": "c", "rawInput": {"command": "ls"}}), "!exit 3"]
    }
    agent = {
        "runner": "acp",
        "command": [sys.executable, "-SE", lying_agent.__file__, json.dumps(steps)],
        "secrets": {"AGENT_KEY": "env:KEY_OF_THE_AGENT"},
        "policy": {"runtime_type": "process", "host": "gateway"},
    }
    config = {"http": {"enabled": False}, "agents": {"main": agent}, "core": {"drain_s": 0}}
    async with core(home, json.dumps(config)) as kernel:
        await opened(kernel, "tell me everything")
        await rested(kernel)
        shown: list[object] = [await desk(kernel), await entries(kernel)]
        profile = await kernel.query(GetProfile(name=MAIN))
        approvals = await kernel.query(ListApprovals())
        shown += [profile, approvals]
        async for record in kernel.subscribe(after=Seq(0)):
            shown.append(record)
            if record.seq >= await kernel.journal.head():
                break
    written = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    for secret in ("first-line-", "second-line-", CORE_KEY):
        assert secret not in repr(shown)
        assert secret.encode() not in written
    assert b"***" in written
