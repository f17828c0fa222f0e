"""Where the relay meets agents and conversations: whole answers, one turn at a time, told once, under whose terms."""

import asyncio
import json
import time
from pathlib import Path

import httpx
import pytest

from core.api.base import AgentName, SessionId, TaskId
from core.api.errors import MailboxFull
from core.api.relay_tasks import CancelRelay, RelayState, RelayTaskId, SendRelay
from core.api.sessions import GetSession
from core.api.tasks import ANSWER_LIMIT, CancelTask, ListTasks, RetryTask, TaskState
from core.api.transcripts import EntryKind
from core.conversations import SessionConversations
from core.gateway.mirroring import Mirroring
from core.kernel import Kernel
from core.relay import signing
from core.relay.answer_waits import AnswerWaits
from core.relay_office import Post, RelayOffice
from core.secrets import Secret
from tests.support.fake_openai import FakeOpenai
from tests.support.relay_cores import ECHO, KEYS, bind, messages, model, peer_line, relaying, some_messages
from tests.support.runtime_core import DESK, OPERATOR, core, entries, opened, session, some, started, task, was_answered

A, *_ = KEYS


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


async def post(kernel: Kernel, wire_id: str, text: str, conversation: str = "talk") -> int:
    """A message of alpha to a core: its status."""
    body = json.dumps({"task_id": wire_id, "content": text, "session_key": conversation}).encode()
    headers = signing.signed_headers([Secret(KEYS[A])], wire_id, time.time(), body)
    async with httpx.AsyncClient(base_url=kernel.gateway.http.url, trust_env=False) as client:
        answer = await client.post("/relay", content=body, headers={"content-type": "application/json", **headers})
    return answer.status_code


class FullPost:
    """Has no room for anything."""

    async def send(self, target: str, text: str, *, key: str) -> None:
        """Never."""
        del text, key
        raise MailboxFull("1000 messages wait already", bound="capacity", fix="later", target=target)


def office(kernel: Kernel, post: Post | None = None) -> RelayOffice:
    """The office over a core, as the core makes it. post: another way to chats."""
    gateway = kernel.gateway
    conversations = SessionConversations(
        lanes=gateway.lanes,
        sessions=gateway.sessions,
        operations=gateway.operations,
        sends_to=gateway.turns.sends_to,
    )
    return RelayOffice(
        kernel,
        kernel.agents,
        conversations,
        notes=Mirroring(lanes=gateway.lanes, clock=kernel._clock, ids=kernel._ids),
        post=post or gateway.delivering.sending,
        clock=kernel._clock,
        waits=AnswerWaits(),
    )


async def test_an_answer_is_given_whole_however_long_it_is(tmp_path: Path) -> None:
    """A task keeps only its beginning."""
    async with relaying(tmp_path / "b", "beta", ECHO, peer_line("alpha", A)) as beta:
        text = "word " * ANSWER_LIMIT
        assert await post(beta, "long", text) == 202
        await some_messages(beta, 1, states=(RelayState.COMPLETED,))
        found = await beta.relay.inbound.find("alpha", "long")
        assert found.answer == text.strip()


async def test_messages_of_one_conversation_are_done_one_after_the_other(tmp_path: Path) -> None:
    """Each is a task and a turn of its own, also while one goes on; another conversation does not wait."""
    async with (
        FakeOpenai("slow", "ok") as server,
        relaying(tmp_path / "b", "beta", model(server), peer_line("alpha", A)) as beta,
    ):
        for wire_id, conversation in (("one", "talk"), ("two", "talk"), ("three", "other")):
            assert await post(beta, wire_id, wire_id, conversation) == 202
            await asyncio.wait_for(server.asked.wait(), 20)
        [done] = await some_messages(beta, 1, states=(RelayState.COMPLETED,))
        assert done.id == "alpha/three"
        assert len(server.requests) == 2
        for _ in range(3):
            server.step.release()
        await some_messages(beta, 3, states=(RelayState.COMPLETED,))
        assert len((await beta.query(ListTasks())).tasks) == 3
        said = [item["content"] for item in server.requests[2].body["messages"] if item["role"] == "user"]
        assert said == ["one", "two"]


async def test_a_task_that_an_operator_stops_is_a_message_that_was_canceled(tmp_path: Path) -> None:
    """The peer is told so."""
    async with (
        FakeOpenai("silent") as server,
        relaying(tmp_path / "b", "beta", model(server), peer_line("alpha", A)) as beta,
    ):
        await post(beta, "one", "hi")
        await asyncio.wait_for(server.asked.wait(), 20)
        [found] = (await beta.query(ListTasks())).tasks
        await beta.execute(CancelTask(task_id=found.id, reason="not today"), actor=OPERATOR)
        [came] = await some_messages(beta, 1, states=(RelayState.CANCELED,))
        assert (came.task_id, came.error) == (found.id, "not today")


async def test_an_operator_can_stop_what_a_peer_sent(tmp_path: Path) -> None:
    """The agent is stopped, and the peer is told so."""
    async with (
        FakeOpenai("silent") as server,
        relaying(tmp_path / "b", "beta", model(server), peer_line("alpha", A)) as beta,
    ):
        await post(beta, "one", "hi")
        await asyncio.wait_for(server.asked.wait(), 20)
        receipt = await beta.execute(CancelRelay(id=RelayTaskId("alpha/one"), reason="not today"), actor=OPERATOR)
        assert [(item.state, item.error) for item in receipt.tasks] == [(RelayState.CANCELED, "not today")]
        [found] = (await beta.query(ListTasks())).tasks
        assert found.state is TaskState.CANCELLED
        await asyncio.wait_for(server.hung_up.wait(), 20)


async def test_an_answer_is_told_once_under_one_key(tmp_path: Path) -> None:
    """A crash between telling and noting that tells twice leaves one message; another key is another message."""
    async with core(tmp_path / "home") as kernel:
        await opened(kernel, "hello")
        await session(kernel, was_answered)
        for key in ("k1", "k1", "k2"):
            await office(kernel).tell(DESK, "the answer", bot="beta", is_answer=True, key=key)

        async def both() -> bool | None:
            found = [entry for entry in await entries(kernel) if entry.author == "beta"]
            return len(found) == 2 or None

        await some(both)
        said = [entry for entry in await entries(kernel) if entry.author == "beta"]
        assert {(entry.kind, entry.text) for entry in said} == {(EntryKind.USER, "the answer")}


async def test_an_answer_for_which_a_chat_has_no_room_yet_is_not_told(tmp_path: Path) -> None:
    """It is told again later, and stands in the transcript once then."""
    async with core(tmp_path / "home") as kernel:
        await opened(kernel, "hello")
        await session(kernel, was_answered)
        with pytest.raises(MailboxFull):
            await office(kernel, FullPost()).tell(DESK, "42", bot="beta", is_answer=True, key="k", by="local:bo")
        assert [entry for entry in await entries(kernel) if "beta" in entry.author] == []


async def test_an_answer_to_a_task_is_worked_on_under_the_terms_of_the_task(tmp_path: Path) -> None:
    """Not under what the agent may do by now."""
    async with core(tmp_path / "home") as kernel:
        receipt = await started(kernel, "ask the bot")
        over = await task(kernel, receipt.task.id, TaskState.IDLE, TaskState.DONE)
        await office(kernel).tell(over.session_id, "the answer", bot="beta", is_answer=True, key="k")

        async def found() -> bool | None:
            said = await entries(kernel, over.session_id)
            return any(entry.author == "beta" for entry in said) or None

        await some(found)
        view = (await kernel.query(GetSession(session_id=over.session_id))).session
        assert view.source.chat == over.id


async def test_ids_of_conversations_and_agents_are_checked(tmp_path: Path) -> None:
    """What can be none is none; an agent that is not there is not found; work that is over stays so."""
    async with core(tmp_path / "home") as kernel:
        at = office(kernel)
        assert (at.exists(DESK), at.exists(SessionId("nonsense"))) == (True, False)
        assert (at.find(None), at.find("echo"), at.find("nobody")) == ("main", "echo", None)
        odd = at.session_of("alpha", "a b/c:d=é", AgentName("main"))
        assert at.exists(odd)
        await at.cancel(TaskId("gone"), "no reason")
        assert await messages(kernel) == ()


async def test_what_an_operator_has_tried_again_reaches_who_asked(tmp_path: Path) -> None:
    """It failed there and here; the answer that there is after all is late on both sides, and in the conversation."""
    async with (
        FakeOpenai("404", "404", "ok") as server,
        relaying(tmp_path / "a", "alpha", ECHO, peer_line("beta", A)) as alpha,
        relaying(tmp_path / "b", "beta", model(server), peer_line("alpha", A, alpha.gateway.http.url)) as beta,
    ):
        await bind(alpha, "beta", beta)
        await opened(alpha, "hello")
        await session(alpha, was_answered)
        order = SendRelay(to=("beta",), text="six times seven?", session_id=DESK)
        await alpha.execute(order, actor=OPERATOR)
        await some_messages(alpha, 1, states=(RelayState.FAILED,))
        [work] = (await beta.query(ListTasks())).tasks
        await beta.execute(RetryTask(task_id=work.id), actor=OPERATOR)

        async def late() -> bool | None:
            both = [*await messages(alpha), *await messages(beta)]
            said = [entry for entry in await entries(alpha) if entry.author == "beta"]
            return (all(item.is_late for item in both) and bool(said)) or None

        await some(late)
        [here], [there] = await messages(alpha), await messages(beta)
        assert (here.state, there.state, here.answer) == (RelayState.FAILED, RelayState.FAILED, there.answer)
        assert (await beta.relay.inbound.find("alpha", here.id)).answer
