"""Bots from a chat: `/relay` lists those that it reaches, writes to one, and the answer comes back to the chat."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core.api.relay_targets import PauseRelay
from core.api.relay_tasks import RelayState
from core.gateway.adapters.loopback import LoopbackPlatform
from core.gateway.platform import Limits
from tests.integration.test_chat_in_a_core import Desk
from tests.support.relay_cores import ECHO, KEYS, bind, messages, peer_line, relaying
from tests.support.runtime_core import OPERATOR

A, *_ = KEYS


@asynccontextmanager
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    """A core whose loopback connection is one that people write to, and that knows a peer."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(LoopbackPlatform, "limits", Limits())
    async with relaying(tmp_path / "a", "alpha", ECHO, peer_line("beta", A)) as kernel:
        yield Desk(kernel)


async def test_a_chat_writes_to_a_bot_and_gets_its_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bot's own words stand in the chat; no agent here is asked to say something about them."""
    async with (
        desk(tmp_path, monkeypatch) as at,
        relaying(tmp_path / "b", "beta", ECHO, peer_line("alpha", A)) as beta,
    ):
        assert await at.reply("/relay") == "This chat reaches no bots."
        await bind(at.kernel, "beta", beta)
        assert await at.reply("/relay") == "- beta"
        said = await at.reply("/relay beta\nsix times seven?")
        assert (await at.told("answers:")).text == "beta answers: six times seven?"
        [sent] = await messages(at.kernel)
        assert said == f"On its way to beta, as `{sent.id}`; the answer comes here."
        assert (sent.state, sent.sender, sent.session_id) == (RelayState.COMPLETED, "local:bo", "local:dm:desk")


async def test_a_chat_is_told_that_its_message_waits_for_the_end_of_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is kept, and not on its way."""
    async with desk(tmp_path, monkeypatch) as at:
        await bind(at.kernel, "beta", "http://127.0.0.1:9")
        await at.kernel.execute(PauseRelay(reason="maintenance"), actor=OPERATOR)
        assert (await at.reply("/relay beta hello")).startswith("Kept for beta, for the relay is paused, as `")
        assert [item.state for item in await messages(at.kernel)] == [RelayState.QUEUED]


async def test_what_cannot_be_sent_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bot of another chat is none of this one."""
    async with desk(tmp_path, monkeypatch) as at:
        await bind(at.kernel, "gamma", "http://127.0.0.1:9", platform="local", chat="elsewhere", peer="beta")
        assert await at.reply("/relay") == "This chat reaches no bots."
        assert "gamma" in await at.reply("/relay gamma hello")
        assert "told" in await at.reply("/relay gamma")
        assert await messages(at.kernel) == ()


async def test_a_bot_that_is_not_reached_is_said_in_the_chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With why, once all attempts have failed."""
    async with desk(tmp_path, monkeypatch) as at:
        await bind(at.kernel, "beta", "http://127.0.0.1:9")
        await at.reply("/relay beta hello")
        assert (await at.told("Relay to beta: ")).text
