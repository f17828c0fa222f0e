"""Agents behind ACP as processes: how they begin, what they see, and that nothing of them stays."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.agents.tools.sandbox import Sandbox
from core.api.errors import ConfigError, HermesError, Refused, Unavailable
from core.api.policies import ExecutionPolicy, Runtime, WorkspaceAccess
from core.api.runs import (
    Stop,
    TextDelta,
)
from tests.support.acp_runners import AcpRunners, said
from tests.support.agent_parts import (
    KEY,
    InstantClock,
    Reading,
    end_of,
    text_of,
    turn_request,
)
from tests.support.fake_tools import FakeTools


async def test_a_line_that_is_too_long_ends_agent_and_turn(acp: AcpRunners) -> None:
    """As a breach of the protocol."""
    runner = await acp.open()
    end = end_of(await said(runner, "oversize"))
    assert (end.stop, end.code) == (Stop.DIED, "protocol")
    assert "33554432 bytes" in end.error
    assert not runner.is_alive


async def test_an_agent_sees_no_secret_but_its_own(acp: AcpRunners, monkeypatch: pytest.MonkeyPatch) -> None:
    """An allow-list, and what its profile names; its own secret is not shown when it tells it."""
    monkeypatch.setenv("TELEGRAM_TOKEN", "of-the-gateway")
    seen = json.loads(text_of(await said(await acp.open(environment={"COLOUR": "red"}), "environment")))
    assert "TELEGRAM_TOKEN" not in seen
    assert (seen["COLOUR"], seen["PATH"], seen["AGENT_KEY"]) == ("red", os.environ["PATH"], "***")


async def test_what_an_agent_started_ends_with_it(acp: AcpRunners) -> None:
    """At close, and at once though it heeds no TERM."""
    runner = await acp.open("--deaf-to-term", clock=InstantClock())
    pid = int(text_of(await said(runner, "child")))
    await runner.close()
    assert not runner.is_alive
    async with asyncio.timeout(20):
        while await asyncio.to_thread(_runs, pid):  # noqa: ASYNC110 - it is not our child
            await asyncio.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_an_agent_that_heeds_no_cancel_takes_no_further_turn(
    acp: AcpRunners, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next turn waits for the end of the one that was left, for a while; then the agent is ended."""
    monkeypatch.setattr("core.agents.child_turns._SETTLE_LIMIT_S", 0.05)
    runner = await acp.open()
    reading = Reading(runner.turn(turn_request("deaf")))
    await reading.until(TextDelta)
    await reading.leave()
    end = end_of(await said(runner, "answer"))
    assert (end.stop, end.error) == (Stop.DIED, "it did not end the turn before")
    assert not runner.is_alive


@pytest.mark.parametrize(
    ("option", "words", "fix"),
    [
        ("--needs-login", "must be logged in: Authentication required", "Log in: run fake-agent login"),
        ("--needs-configuration", "needs configuration: Internal error: no provider", "configure a provider"),
        ("--version-2", "speaks version 2", "version 1"),
        ("--exits", "ended at its start: exit code 7: bad ***", "by hand"),
    ],
)
async def test_an_agent_that_cannot_begin_says_why(acp: AcpRunners, option: str, words: str, fix: str) -> None:
    """With what is to be done; nothing of it is left, and it takes no turn."""
    runner = acp.make(option, "--says-at-start", "bad " + KEY)
    with pytest.raises(Unavailable, match=words.replace("*", r"\*")) as raised:
        await runner.open()
    assert fix in str(raised.value.facts["fix"])
    assert KEY not in raised.value.message
    await runner.close()
    assert not runner.is_alive


class Wrapping(FakeTools):
    """Puts a word before the command line, as a sandbox does."""

    def wrapped(self, argv: Any, **more: Any) -> list[str]:
        """Through env. Raises Refused as the test says."""
        if self.why:
            raise Refused(self.why, rule="runtime")
        assert more["policy"].runtime_type is Runtime.BWRAP
        visible = (*more["readable"], Path("/usr"))
        assert any(Path(sys.executable).resolve().is_relative_to(place) for place in visible)
        return ["env", "WRAPPED=1", *argv]


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"command": ("no-such-agent",)}, Unavailable),
        ({"secrets": {"A": "env:MISSING"}}, ConfigError),
        ({"tools": Wrapping(why="no bwrap here"), "policy": ExecutionPolicy(runtime_type=Runtime.BWRAP)}, Refused),
    ],
)
async def test_what_is_missing_keeps_it_from_starting(
    acp: AcpRunners, more: dict[str, Any], error: type[HermesError]
) -> None:
    """A program, a secret, a sandbox: none is replaced by something weaker."""
    runner = acp.make(**more)
    with pytest.raises(error):
        await runner.open()
    assert not runner.is_alive


async def test_a_policy_is_kept_by_what_carries_the_agent(acp: AcpRunners) -> None:
    """It runs through the sandbox; a run that wants other bounds than those is refused."""
    policy = ExecutionPolicy(runtime_type=Runtime.BWRAP)
    runner = await acp.open(policy=policy, tools=Wrapping())
    assert json.loads(text_of(await said(runner, "environment", policy=policy)))["WRAPPED"] == "1"
    stricter = msgspec.structs.replace(policy, workspace_access=WorkspaceAccess.NONE)
    end = end_of(await said(runner, "answer", policy=stricter))
    assert (end.stop, end.code) == (Stop.ERROR, "policy_unavailable")


async def test_an_agent_in_a_sandbox_sees_its_workspace_alone(acp: AcpRunners, tmp_path: Path) -> None:
    """It starts there with all that it needs, and ends with all that it started."""
    sandbox = Sandbox()
    await sandbox.open()
    policy = ExecutionPolicy(runtime_type=Runtime.BWRAP, network_enabled=False)
    if why := sandbox.refusal(policy):
        pytest.skip(why)
    hidden = tmp_path / "hidden"
    await asyncio.to_thread(hidden.touch)
    runner = await acp.open(policy=policy, tools=sandbox)
    assert text_of(await said(runner, f"looks {hidden}", policy=policy)) == "False"
    assert text_of(await said(runner, f"looks {tmp_path / 'workspace'}", policy=policy)) == "True"
    assert int(text_of(await said(runner, "child", policy=policy))) < 100
    end = end_of(await said(runner, "dies", policy=policy))
    assert (end.stop, end.error) == (Stop.DIED, "exit code 3: boom: ***")


async def test_a_description_says_what_runs(acp: AcpRunners) -> None:
    """With its process, its own name and version, and where it works."""
    runner = await acp.open()
    facts = runner.describe()
    assert (facts["agent"], facts["version"], facts["protocol"]) == ("Fake agent", "1.2", "ACP 1")
    assert (facts["mode"], facts["model"]) == ("default", "small")
    assert int(facts["pid"]) > 1
    assert facts["command"].endswith("fake_acp_agent.py")
    status = await asyncio.to_thread(Path(facts["workspace"]).stat)
    assert status.st_mode & 0o777 == 0o700
