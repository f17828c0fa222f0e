"""Tasks use sessions: each message in the commit that tells what became of it, its answer where it is wanted."""

import pytest

from core.agents.ports import Handover
from core.api.base import Actor, ActorKind, PlatformName, SessionId, TaskId
from core.api.errors import InvalidInput, Overloaded, Unavailable
from core.api.sessions import (
    ChatKind,
    GetSession,
    Mode,
    Outcome,
    RunEnded,
    SendReceipt,
    Source,
)
from core.api.system import AlarmRaised
from core.api.tasks import Routing
from core.conversations import SessionConversations, destination
from core.gateway.adapters.loopback import LoopbackPlatform
from core.gateway.platform import Outbound
from core.pages import Pages
from core.store.base import Put
from core.store.memory import MemoryStore
from tests.support.gateway import SESSION, Gateway, gateway, inbound

ANA = Actor(ActorKind.OPERATOR, "ana")
TASK = TaskId("t1")


class Desk:
    """The conversations of a gateway, and what the maker of a task was told."""

    def __init__(self, built: Gateway) -> None:
        self.built = built
        self.talks = SessionConversations(
            lanes=built.lanes,
            sessions=built.sessions,
            operations=built.operations,
            sends_to=lambda platform: platform == "people",
        )
        self.told: list[SendReceipt] = []
        self.stored: list[SendReceipt] = []

    def _pages(self, receipt: SendReceipt) -> Pages:
        self.told.append(receipt)
        return Pages(
            puts=[Put(f"task/{receipt.message_id}", b"{}")],
            events=[("t1", AlarmRaised(what="task", error=receipt.message_id))],
            done=lambda: self.stored.append(receipt),
        )

    async def hand_over(self, session_id: str, text: str = "do it", **more: object) -> SendReceipt:
        """A task of ana's for the agent main."""
        whole: dict[str, object] = {
            "session_id": session_id, "agent": "main", "text": text, "sender": "ana", "mode": Mode.FOLLOWUP,
            "task_id": TASK, "actor": ANA, "pages": self._pages, **more,
        }  # fmt: skip
        return await self.talks.hand_over(Handover(**whole))


async def test_a_task_has_a_session_of_its_own_where_nothing_is_sent() -> None:
    """The run knows the task; its maker is told in the same commit, and hears once it is stored."""
    async with gateway() as built:
        desk = Desk(built)
        session_id = desk.talks.new_session_id(TASK)
        receipt = await desk.hand_over(session_id, model="big", title="a job")
        assert (receipt.session_id, receipt.outcome) == (session_id, Outcome.DIRECT)
        assert desk.stored == desk.told == [receipt]
        assert await built.store.count("task/") == 1
        run = await built.agents.begun(1)
        assert [(message.task_id, message.model) for message in run.messages] == [(TASK, "big")]
        assert desk.talks.live_run(session_id) == run.run_id
        run.answer("done")
        (ended,) = await built.until(RunEnded)
        assert isinstance(ended, RunEnded)
        assert (ended.session.title, ended.session.unsent) == ("a job", 0)
        await built.settled()
        assert desk.talks.live_run(session_id) is None


async def test_a_task_waits_in_the_session_of_a_chat_and_is_never_joined_with_others() -> None:
    """Its message is listed, and its maker knows that it waits."""
    async with gateway() as built:
        desk = Desk(built)
        await built.sessions.receive(inbound("hello"))
        run = await built.agents.begun(1)
        await built.sessions.receive(inbound("and", mode=Mode.FOLLOWUP))
        receipt = await desk.hand_over(SESSION)
        assert receipt.outcome is Outcome.QUEUED
        assert [message.text for message in desk.talks.waiting(SESSION)] == ["and", "do it"]
        run.answer("hi")
        (await built.agents.begun(2)).answer("ok")
        third = await built.agents.begun(3)
        assert [message.text for message in third.messages] == ["do it"]
        third.answer("ok")
        await built.until(RunEnded, 3)


async def test_an_answer_goes_to_the_chat_that_a_task_names() -> None:
    """Besides its own session, also when the message waited over a restart."""
    sent: list[Outbound] = []
    original = LoopbackPlatform.send

    async def send(self: LoopbackPlatform, message: Outbound) -> str:
        sent.append(message)
        return await original(self, message)

    store = MemoryStore()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LoopbackPlatform, "send", send)
        async with gateway(store) as built:
            desk = Desk(built)
            routing = Routing(channel="local", to="desk", reply_to="m7", thread_id="3")
            await desk.hand_over(desk.talks.new_session_id(TASK), deliver=routing)
            await built.agents.begun(1)
        async with gateway(store, boot=2) as built:
            await built.restart.recover()
            await built.restart.resume()
            (await built.agents.begun(1)).answer("done")
            await built.until(RunEnded, 2)
            await built.sent(Desk(built).talks.new_session_id(TASK))
    assert [(item.source.chat, item.source.thread, item.reply_to, item.text) for item in sent] == [
        ("desk", "3", "m7", "done")
    ]


async def test_what_cannot_be_handed_over_leaves_nothing() -> None:
    """Another agent's session, no id, a full queue, a core that stops: the maker hears no word of success."""
    async with gateway(queue_limit=1) as built:
        desk = Desk(built)
        await built.sessions.receive(inbound("one"))
        run = await built.agents.begun(1)
        for session_id, agent in ((SESSION, "other"), (SessionId("what"), "main")):
            with pytest.raises(InvalidInput) as caught:
                await desk.hand_over(session_id, agent=agent)
            assert caught.value.facts["field"] == "session_id"
        await built.sessions.receive(inbound("two"))
        with pytest.raises(Overloaded):
            await desk.hand_over(SESSION)
        built.sessions.is_draining = True
        with pytest.raises(Unavailable):
            await desk.hand_over(SESSION)
        assert desk.stored == []
        assert await built.store.count("task/") == 0
        run.answer("ok")
        (await built.agents.begun(2)).answer("ok")
        await built.until(RunEnded, 2)


async def test_a_task_is_stopped_wherever_it_is() -> None:
    """One that waits is let go, one that runs is interrupted, one that is over is neither."""
    async with gateway() as built:
        desk = Desk(built)
        session_id = desk.talks.new_session_id(TASK)
        first = await desk.hand_over(session_id)
        run = await built.agents.begun(1)
        second = await desk.hand_over(session_id, "later")

        async def stop(receipt: SendReceipt | None) -> bool:
            message_id = None if receipt is None else receipt.message_id
            return await desk.talks.stop(session_id, message_id=message_id, reason="no", actor=ANA)

        assert await stop(second)
        assert desk.talks.waiting(session_id) == []
        assert await stop(first)
        await built.until(RunEnded)
        await built.settled()
        assert run.reason == "no"
        assert [await stop(receipt) for receipt in (first, second, None)] == [False] * 3
        assert not await desk.talks.stop(SessionId("local:dm:none"), message_id=None, reason="", actor=ANA)
        assert len(built.agents.runs) == 1


async def test_a_note_is_a_followup_of_an_operator() -> None:
    """It waits for the run that goes on."""
    async with gateway() as built:
        desk = Desk(built)
        session_id = desk.talks.new_session_id(TASK)
        await desk.hand_over(session_id)
        run = await built.agents.begun(1)
        await desk.talks.note(session_id, "mind the gap", ANA)
        detail = await built.inspection.get_session(GetSession(session_id=session_id))
        assert [(message.voice, message.effective_mode) for message in detail.messages[1:]] == [("note", Mode.FOLLOWUP)]
        run.answer("ok")
        (await built.agents.begun(2)).answer("ok")
        await built.until(RunEnded, 2)


@pytest.mark.parametrize(
    ("routing", "expected"),
    [
        (Routing(), None),
        (Routing(channel="local"), None),
        (Routing(to="x"), None),
        (Routing(channel="local", to="x"), Source(platform=PlatformName("local"), kind=ChatKind.DM, chat="x")),
        (
            Routing(channel="local", to="x", group_id="g"),
            Source(platform=PlatformName("local"), kind=ChatKind.GROUP, chat="x"),
        ),
        (
            Routing(channel="local", to="x", thread_id="t"),
            Source(platform=PlatformName("local"), kind=ChatKind.THREAD, chat="x", thread="t"),
        ),
    ],
)
def test_a_routing_names_a_chat_or_none(routing: Routing, expected: Source | None) -> None:
    """A platform and a chat of it are needed."""
    assert destination(routing) == expected
