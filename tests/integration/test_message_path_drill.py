"""The message path drill: what a chat can be sure of while its agent is busy, waits, or is ordered about by a stranger.

Printed with `pytest -s`.
"""

import asyncio
import sys
from pathlib import Path

import pytest

from core.api.approvals import ApprovalAsked, ApprovalDecided
from core.api.base import SessionId
from core.api.errors import Unauthorised
from core.api.sessions import ChatKind, Mode, RunEnded, Source
from core.gateway.platform import Inbound
from core.settings import SessionSettings
from tests.support.chat_rig import PEOPLE, Chat, FakeGate, chat, until
from tests.support.fake_agents import FakeAgents
from tests.support.runtime_core import DESK, LOCAL, core
from tests.support.runtime_core import until as told

WITHIN_S = 10.0
"""Far more than it takes: a deadline against a hang, and no measure of speed."""

WORDS = ("one", "two", "three", "four", "five")


def _line(what: str, *cells: object) -> None:
    sys.stdout.write(f"{what:<58} {'  '.join(str(cell) for cell in cells)}\n")


async def test_an_unauthorised_stop_in_a_shared_session_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a stranger nor a member who does not own the turn stops it; the answer comes all the same."""
    async with chat(monkeypatch, per_user_in_groups=False) as built:
        built.gate.strangers, built.gate.admins = {"eve"}, {"ada"}
        session_id = SessionId(f"{PEOPLE}:group:8841")
        await built.say("work", kind=ChatKind.GROUP)
        run = await built.agents.begun(1)
        await built.say("more", kind=ChatKind.GROUP)
        before = built.view(session_id)
        row = (await built.store.scan("session/"))[0]
        for text in ("/stop", "/new", "/reset", "/stpo"):
            with pytest.raises(Unauthorised):
                await built.say(text, by="eve", kind=ChatKind.GROUP)
        answer = await built.reply("/stop", by="cy", kind=ChatKind.GROUP)
        assert "somebody else's" in answer
        after = built.view(session_id)
        assert (await built.store.scan("session/"))[0].revision == row.revision
        assert (after.epoch, after.queue_depth, after.lane_holder) == (before.epoch, 1, before.lane_holder)
        assert run.reason is None
        run.answer("the work is done")
        (await built.agents.begun(2)).answer("and more")
        await until(lambda: "and more" in built.texts)
        assert [text for text in built.texts if text != answer] == ["the work is done", "and more"]
        _line("unauthorised /stop in a shared session", "refused", "turn ended by itself", built.texts[-2:])


async def test_approve_resolves_a_session_that_waits(tmp_path: Path) -> None:
    """It is carried out though the run waits for it: the second one of the same turn of the chat, too."""
    async with core(tmp_path / "home") as kernel:
        kernel.gateway.intake._gate = FakeGate()

        async def say(text: str, native_id: str) -> None:
            source = Source(platform=LOCAL, kind=ChatKind.DM, chat="desk")
            inbound = Inbound(
                platform=LOCAL, source=source, sender_id="bo", sender_name="Bo", text=text, native_id=native_id
            )
            await kernel.gateway.intake.receive(inbound)

        took: list[float] = []
        async with asyncio.timeout(WITHIN_S):
            for number, command in enumerate(("ls", "pwd")):
                seq = await kernel.journal.head()
                await say(f"!sh {command}", f"m{number}")
                asked = await told(kernel, ApprovalAsked, after=seq)
                began = asyncio.get_running_loop().time()
                await say("/approve", f"a{number}")
                decided = await told(kernel, ApprovalDecided, after=seq)
                ended = await told(kernel, RunEnded, after=seq)
                took.append(asyncio.get_running_loop().time() - began)
                assert decided.approval.id == asked.approval.id
                assert decided.approval.decided_by == f"{LOCAL}:bo"
                assert ended.session.id == DESK
        platform = kernel.gateway.platforms.get(LOCAL)
        assert platform is not None
        await until(lambda: sum("approved" in item.text for item in _sent(platform)) >= 2)
        times = ", ".join(f"{took_s * 1000:.0f} ms" for took_s in took)
        _line("/approve while the session waits", "2 of 2 decided", f"run went on after {times}")


def _sent(platform: object) -> tuple:
    return platform.sent_to("desk")  # type: ignore[attr-defined]  # the loopback one


@pytest.mark.parametrize("burst_s", [0.0, SessionSettings().burst_s], ids=["apart", "as they come"])
@pytest.mark.parametrize("mode", list(Mode))
async def test_five_rapid_messages_to_a_busy_session_are_all_answered_in_order(
    monkeypatch: pytest.MonkeyPatch, mode: Mode, burst_s: float
) -> None:
    """In every mode: each is in one turn or steered into one, none is lost, and their order is that of arrival.

    Whether lines of one burst are joined or not.
    """
    agents = FakeAgents()
    async with chat(monkeypatch, agents=agents, mode=mode, collect_s=0.05, burst_s=burst_s) as built:
        await built.say("work")
        if mode is Mode.COLLECT:
            await agents.begun(1)
        first = await agents.begun(1)
        # It stops when it is told to, but not before all five are there.
        agents.obeys = False
        async with asyncio.timeout(WITHIN_S):
            for text in WORDS:
                await built.say(text)
        first.answer("work")
        seen = await _answered(built, agents, len(first.steered) if mode is Mode.STEER else 0)
        assert seen == list(WORDS)
        assert built.view(SessionId(f"{PEOPLE}:dm:8841")).queue_depth == 0
        stored = [entry.text for entry in await built.lanes.entries(SessionId(f"{PEOPLE}:dm:8841"), None, 100)]
        assert [text for text in stored if text in WORDS] == list(WORDS)
        turns = " | ".join("+".join(message.text for message in run.messages) for run in agents.runs[1:]) or "-"
        _line(
            f"five rapid messages, {mode.value}, burst {burst_s:g} s",
            f"{len(seen)} of 5 in order",
            f"steered {len(first.steered)}",
            turns,
        )


async def _answered(built: Chat, agents: FakeAgents, steered: int) -> list[str]:
    """Answer turn by turn; what people said, in the order in which the agent got it."""
    seen = list(agents.runs[0].steered) if steered else []
    number = 1
    while len(seen) < len(WORDS):
        number += 1
        run = await agents.begun(number)
        seen += [message.text for message in run.messages]
        run.answer(f"answer {number}")
    await until(lambda: len(built.people.sent) >= number)
    await until(lambda: built.view(SessionId(f"{PEOPLE}:dm:8841")).lane_holder is None)
    return seen
