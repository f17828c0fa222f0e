"""Orders from a chat that need the whole core: tasks beside a conversation, work by the clock, agents."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core.api.approvals import ApprovalAsked
from core.api.jobs import ListJobs
from core.api.sessions import ChatKind, Source
from core.api.tasks import ListTasks, TaskState
from core.gateway.adapters.loopback import LoopbackPlatform
from core.gateway.platform import Inbound, Limits, Outbound
from core.kernel import Kernel
from tests.support.chat_rig import FakeGate
from tests.support.runtime_core import LOCAL, core, some, until


class Desk:
    """A person at the loopback connection."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.gate = FakeGate()
        kernel.gateway.intake._gate = self.gate
        self._count = 0

    @property
    def sent(self) -> tuple[Outbound, ...]:
        """What the chat was told."""
        platform = self.kernel.gateway.platforms.get(LOCAL)
        assert isinstance(platform, LoopbackPlatform)
        return platform.sent_to("desk")

    async def reply(self, text: str, *, by: str = "bo") -> str:
        """What an order is answered."""
        self._count += 1
        native_id = f"n{self._count}"
        source = Source(platform=LOCAL, kind=ChatKind.DM, chat="desk")
        inbound = Inbound(
            platform=LOCAL, source=source, sender_id=by, sender_name=by.title(), text=text, native_id=native_id
        )
        await self.kernel.gateway.intake.receive(inbound)

        async def found() -> str | None:
            return next((item.text for item in self.sent if item.reply_to == native_id), None)

        return await some(found)

    async def told(self, words: str) -> Outbound:
        """The first message that holds these words."""

        async def found() -> Outbound | None:
            return next((item for item in self.sent if words in item.text), None)

        return await some(found)


@asynccontextmanager
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    """A core whose loopback connection is one that people write to."""
    monkeypatch.setattr(LoopbackPlatform, "limits", Limits())
    async with core(tmp_path / "home") as kernel:
        yield Desk(kernel)


async def test_what_is_done_in_the_background_asks_and_answers_in_the_chat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its approval is shown where it was begun, can be given there, and the result comes there."""
    async with desk(tmp_path, monkeypatch) as at:
        assert "beside this conversation" in await at.reply("/bg !sh ls")
        asked = (await until(at.kernel, ApprovalAsked)).approval
        assert asked.session_id.startswith("tasks:")
        shown = await at.told("**Approval")
        assert asked.id[-6:] in shown.text
        assert "task" in await at.reply("/agents")
        assert "approved by local:bo" in await at.reply("/approve")

        async def done() -> bool | None:
            tasks = (await at.kernel.query(ListTasks())).tasks
            return True if [task.state for task in tasks] == [TaskState.DONE] else None

        await some(done)


async def test_work_by_the_clock_is_made_and_changed_from_a_chat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answers go to the chat that made it; somebody who is no admin cannot."""
    async with desk(tmp_path, monkeypatch) as at:
        assert await at.reply("/cron") == "There are no jobs."
        assert "Its answers come here" in await at.reply("/cron add tea every 30m !sh ls")
        [job] = (await at.kernel.query(ListJobs())).jobs
        assert (job.name, job.spec.schedule, job.spec.deliver) == ("tea", "every 30m", "local:desk")
        assert "is paused" in await at.reply("/cron pause tea")
        assert "paused" in await at.reply("/cron list")
        assert "goes on" in await at.reply("/cron resume tea")
        assert "already" in (await at.reply("/cron add tea every 30m more")).lower()
        at.gate.admins = {"ada"}
        assert "You may not use /cron" in await at.reply("/cron remove tea")
        assert "is removed" in await at.reply("/cron remove tea", by="ada")
        assert (await at.kernel.query(ListJobs())).jobs == ()


async def test_agents_and_connections_are_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the console knows them."""
    async with desk(tmp_path, monkeypatch) as at:
        assert "scripted" in await at.reply("/profile")
        assert "local (loopback): connected" in await at.reply("/platform")
        assert "Model of main" in await at.reply("/model")
        assert "You are Bo (`bo`) at local, as admin." in await at.reply("/whoami")


async def test_programs_and_the_consoles_own_chat_are_not_told_what_agents_ask(tmp_path: Path) -> None:
    """They have other ways to know, and nobody there could make anything of it."""
    async with core(tmp_path / "home") as kernel:
        at = Desk(kernel)
        await at.kernel.gateway.intake.take_in(
            Inbound(
                platform=LOCAL,
                source=Source(platform=LOCAL, kind=ChatKind.DM, chat="desk"),
                sender_id="bo",
                sender_name="Bo",
                text="!sh ls",
            )
        )
        asked = (await until(at.kernel, ApprovalAsked)).approval
        assert "approved" in await at.reply(f"/approve {asked.id[-6:]}")
        await at.told("ls")
        assert not any("**Approval" in item.text for item in at.sent)
