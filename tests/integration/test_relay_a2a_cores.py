"""Two cores as users start them, one of which calls the other over Agent2Agent."""

import asyncio
from pathlib import Path

from tests.interop_a2a.town import Shell, core

LIMIT_S = 50


async def test_one_core_asks_another_over_agent2agent(tmp_path: Path) -> None:
    """The answer of the agent over there comes back; one order is one message on both sides; a cancel is told."""
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    async with asyncio.timeout(LIMIT_S), core(tmp_path / "here") as here, core(tmp_path / "there") as there:
        ours, theirs = Shell(here.home), Shell(there.home)
        # The token that `wrong` bears here is the one by which `friend` is known there.
        bot = ("--bot", f"them={there.url}", "--protocol", "a2a", "--peer", "wrong")
        code, said = await ours.say("add_binding", "--platform", "*", "--chat-id", "*", *bot)
        assert code == 0, said
        answered = await ours.data("send", "--to", "them", "--wait", "hello")
        assert (answered["task"]["state"], answered["answer"]) == ("completed", "You said hello")
        failed = await ours.data("send", "--to", "them", "--wait", "fail")
        assert (failed["task"]["state"], failed["task"]["error"]) == ("failed", "out of luck")
        stalled = (await ours.data("send", "--to", "them", "stall"))["tasks"][0]["id"]
        await ours.until(stalled, "working")
        await ours.data("cancel", stalled, "--yes")
        assert (await ours.until(stalled, "canceled"))["remote_id"] == stalled
        assert (await theirs.until(f"friend/{stalled}", "canceled"))["peer"] == "friend"
        assert "friend" in (await theirs.say("peers"))[1]
