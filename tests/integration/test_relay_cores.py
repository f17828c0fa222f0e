"""Whole cores that relay to each other over HTTP: an agent asks an agent, once, and loops end."""

import asyncio
import json
import time
from pathlib import Path

import httpx
import pytest

from core.agents.policy.patterns import exact_pattern
from core.api.base import SessionId
from core.api.relay_targets import GetRelayGraph, PauseRelay
from core.api.relay_tasks import RelayDirection, RelayReason, RelayState, RelayTaskView
from core.api.tasks import ListTasks
from core.api.transcripts import EntryKind, EntryView
from core.kernel import Kernel
from core.relay import signing
from core.secrets import Secret
from tests.support.fake_openai import FakeOpenai
from tests.support.relay_cores import (
    ECHO,
    GO_ON,
    KEYS,
    bind,
    forwarding,
    messages,
    model,
    peer_line,
    relaying,
    some_messages,
)
from tests.support.runtime_core import (
    DESK,
    OPERATOR,
    answered,
    asked,
    entries,
    opened,
    sent,
    session,
    some,
    was_answered,
    when,
)
from tests.support.tool_rig import results

A, B, C = KEYS
QUESTION = "what is six times seven?"


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


async def entry_of(kernel: Kernel, author: str, session_id: SessionId = DESK) -> EntryView:
    """What somebody said in a session."""

    async def found() -> EntryView | None:
        return next((entry for entry in await entries(kernel, session_id) if entry.author == author), None)

    return await some(found)


async def post(kernel: Kernel, wire_id: str, text: str = "hi") -> tuple[int, dict[str, str]]:
    """A message of alpha to a core, signed now: status and answer."""
    body = json.dumps({"task_id": wire_id, "content": text, "status": "working"}).encode()
    headers = signing.signed_headers([Secret(KEYS[A])], wire_id, time.time(), body)
    async with httpx.AsyncClient(base_url=kernel.gateway.http.url, trust_env=False) as client:
        answer = await client.post("/relay", content=body, headers={"content-type": "application/json", **headers})
    return answer.status_code, answer.json()


@pytest.mark.parametrize("is_told", [False, True])
async def test_an_agent_asks_an_agent_elsewhere_and_gets_the_answer(tmp_path: Path, *, is_told: bool) -> None:
    """It comes into the conversation that asked, as a message of the bot; asked for, or told at a callback."""
    async with (
        FakeOpenai(forwarding("beta", QUESTION)) as server,
        relaying(tmp_path / "a", "alpha", model(server), peer_line("beta", A)) as alpha,
        relaying(
            tmp_path / "b", "beta", ECHO, peer_line("alpha", A, alpha.gateway.http.url if is_told else "")
        ) as beta,
    ):
        await bind(alpha, "beta", beta)
        await opened(alpha, f"please {GO_ON}")
        answer = await entry_of(alpha, "beta")
        assert (answer.kind, answer.text) == (EntryKind.USER, QUESTION)
        [sent] = await messages(alpha)
        assert (sent.direction, sent.state, sent.answer) == (RelayDirection.OUT, RelayState.COMPLETED, QUESTION)
        assert (sent.sender, sent.session_id, sent.attempt_count) == ("main", DESK, 1)
        [came] = await messages(beta)
        assert (came.id, came.direction, came.state) == (f"alpha/{sent.id}", RelayDirection.IN, RelayState.COMPLETED)
        assert came.session_id is not None
        assert came.session_id.startswith("relay:dm:alpha@main:t=")
        assert came.path == ("alpha",)
        assert len((await beta.query(ListTasks())).tasks) == 1
        if is_told:

            async def found() -> RelayTaskView | None:
                return next((task for task in await messages(beta) if task.attempt_count), None)

            assert (await some(found)).last_status == 200


async def test_an_agent_that_waits_hands_the_answer_of_another_on(tmp_path: Path) -> None:
    """Alpha asks beta, beta asks gamma and waits: what gamma says is in beta's answer, and in no message of its own."""
    async with (
        FakeOpenai(forwarding("beta", GO_ON)) as model_a,
        FakeOpenai(forwarding("gamma", QUESTION, wait_s=20)) as model_b,
        relaying(tmp_path / "a", "alpha", model(model_a), peer_line("beta", A)) as alpha,
        relaying(
            tmp_path / "b",
            "beta",
            model(model_b),
            peer_line("alpha", A, alpha.gateway.http.url),
            peer_line("gamma", B),
        ) as beta,
        relaying(tmp_path / "c", "gamma", ECHO, peer_line("beta", B, beta.gateway.http.url)) as gamma,
    ):
        await bind(alpha, "beta", beta)
        await bind(beta, "gamma", gamma)
        await opened(alpha, f"please {GO_ON}")
        answer = await entry_of(alpha, "beta")
        assert answer.text == f"gamma answers: {QUESTION}"
        [came] = await messages(beta, direction=RelayDirection.IN)
        assert came.session_id is not None
        assert [entry.author for entry in await entries(beta, came.session_id) if entry.kind is EntryKind.USER] == [
            "alpha"
        ]
        assert len(model_b.requests) == 2


async def test_what_is_delivered_twice_is_done_once(tmp_path: Path) -> None:
    """Five copies of one signed message, at once and after the answer: one task, one answer."""
    async with relaying(tmp_path / "b", "beta", ECHO, peer_line("alpha", A)) as beta:
        first = await asyncio.gather(*[post(beta, "one") for _ in range(5)])
        assert {status for status, _ in first} <= {200, 202}
        await some_messages(beta, 1, states=(RelayState.COMPLETED,))
        status, said = await post(beta, "one")
        assert (status, said["content"]) == (200, "hi")
        [came] = await messages(beta)
        assert came.repeats == 5
        assert len((await beta.query(ListTasks())).tasks) == 1


async def test_a_triangle_of_agents_that_send_everything_on_ends_at_the_limit(tmp_path: Path) -> None:
    """Alpha, beta, gamma, alpha ...: one of them keeps the message that went too far, dead, with its path."""
    async with (
        FakeOpenai(forwarding("beta")) as model_a,
        FakeOpenai(forwarding("gamma")) as model_b,
        FakeOpenai(forwarding("alpha")) as model_c,
        relaying(tmp_path / "a", "alpha", model(model_a), peer_line("beta", A), peer_line("gamma", C)) as alpha,
        relaying(tmp_path / "b", "beta", model(model_b), peer_line("alpha", A), peer_line("gamma", B)) as beta,
        relaying(tmp_path / "c", "gamma", model(model_c), peer_line("beta", B), peer_line("alpha", C)) as gamma,
    ):
        cores = {"alpha": alpha, "beta": beta, "gamma": gamma}
        for name, to in (("alpha", "beta"), ("beta", "gamma"), ("gamma", "alpha")):
            await bind(cores[name], to, cores[to])
        await opened(alpha, GO_ON)

        async def dead() -> RelayTaskView | None:
            found = [task for core in cores.values() for task in await messages(core, reason=RelayReason.LOOP)]
            return found[0] if found else None

        last = await some(dead)
        assert last.state is RelayState.DEAD
        assert last.path == ("alpha", "beta", "gamma", "alpha", "beta", "gamma")
        assert "alpha > beta > gamma > alpha > beta > gamma > alpha" in last.error
        delivered = [task for core in cores.values() for task in await messages(core, direction=RelayDirection.IN)]
        assert len(delivered) == 5


async def test_an_agent_is_asked_about_a_message_to_a_bot_like_about_any_other(tmp_path: Path) -> None:
    """The operator sees the bot, where it is, and all of the text; a no sends nothing."""
    async with (
        FakeOpenai(forwarding("beta")) as server,
        relaying(tmp_path / "a", "alpha", model(server, "{}"), peer_line("beta", A)) as alpha,
    ):
        await bind(alpha, "beta", "http://127.0.0.1:9")
        await opened(alpha, GO_ON)
        view = await asked(alpha)
        assert (view.tool, view.target, view.detail) == ("relay", "beta", GO_ON)
        assert view.title == "relay beta (http://127.0.0.1:9)"
        assert view.offers[0].pattern == exact_pattern("relay", "beta")
        await answered(alpha, view, allow=False, reason="not now")
        await session(alpha, was_answered)
        assert results(server.requests[1].body["messages"])[0][1].startswith("denied: not now")
        assert await messages(alpha) == ()
        told = server.requests[0].body["tools"][0]["function"]
        assert (told["name"], told["parameters"]["properties"]["to"]["description"]) == ("relay", "The bot: beta.")


async def test_an_agent_hears_of_a_pause_and_of_bots_that_are_not_there(tmp_path: Path) -> None:
    """Nothing is sent, and the reason is in the result of the tool."""
    async with (
        FakeOpenai(forwarding("beta")) as server,
        relaying(tmp_path / "a", "alpha", model(server), peer_line("beta", A)) as alpha,
    ):
        await opened(alpha, GO_ON)
        await session(alpha, was_answered)
        assert "no bot beta" in results(server.requests[1].body["messages"])[0][1]
        await bind(alpha, "beta", "http://127.0.0.1:9")
        await alpha.execute(PauseRelay(reason="an audit"), actor=OPERATOR)
        await sent(alpha, GO_ON)
        await when(lambda: len(server.requests) >= 4)
        assert "the relay is paused: an audit" in results(server.requests[3].body["messages"])[-1][1]
        assert await messages(alpha) == ()


async def test_a_bot_that_cannot_be_reached_is_a_note_and_no_turn(tmp_path: Path) -> None:
    """The conversation says so; the agent is not woken by it."""
    async with (
        FakeOpenai(forwarding("beta")) as server,
        relaying(tmp_path / "a", "alpha", model(server), peer_line("beta", A)) as alpha,
    ):
        await bind(alpha, "beta", "http://127.0.0.1:9")
        await opened(alpha, GO_ON)
        note = await entry_of(alpha, "beta (relay)")
        assert note.kind is EntryKind.AGENT
        assert note.text.startswith("Relay to beta: ")
        [dead] = await messages(alpha)
        assert (dead.state, dead.attempt_count) == (RelayState.DEAD, 3)
        assert len(server.requests) == 2


async def test_a_core_that_was_stopped_in_between_answers_after_its_next_start(tmp_path: Path) -> None:
    """The message was taken, the answer was not asked for yet: it is there, done once."""
    async with FakeOpenai("slow") as server:
        async with relaying(tmp_path / "b", "beta", model(server), peer_line("alpha", A)) as beta:
            status, _ = await post(beta, "one")
            assert status == 202
            await asyncio.wait_for(server.asked.wait(), 20)
        server.modes = ["ok"]
        async with relaying(tmp_path / "b", "beta", model(server), peer_line("alpha", A)) as beta:
            [came] = await some_messages(beta, 1, states=(RelayState.COMPLETED,))
            assert came.answer == "Hello there ana"
            status, said = await post(beta, "one")
            assert (status, said["content"]) == (200, "Hello there ana")
            assert len((await beta.query(ListTasks())).tasks) == 1


async def test_an_agent_that_waits_for_a_bot_that_is_not_there_is_told_so(tmp_path: Path) -> None:
    """As the result of its call, and with no note besides."""
    async with (
        FakeOpenai(forwarding("beta", wait_s=20)) as server,
        relaying(tmp_path / "a", "alpha", model(server), peer_line("beta", A)) as alpha,
    ):
        await bind(alpha, "beta", "http://127.0.0.1:9")
        await opened(alpha, GO_ON)
        await session(alpha, was_answered)
        assert results(server.requests[1].body["messages"])[0][1].startswith("no answer from beta: ")
        assert not [entry for entry in await entries(alpha) if entry.author == "beta (relay)"]


async def test_the_graph_knows_us_by_one_name_over_restarts(tmp_path: Path) -> None:
    """Also a core that nobody gave a name: what came before the start is no edge to somebody else."""
    edges: list[list[tuple[str, str]]] = []
    for wire_id in ("w1", "w2"):
        async with relaying(tmp_path / "b", "hermes-console", ECHO, peer_line("alpha", A)) as b:
            assert (await post(b, wire_id))[0] == 202
            graph = await b.query(GetRelayGraph())
            edges.append([(edge.source, edge.target) for edge in graph.edges])
    assert edges[0] == edges[1]
    assert edges[0][0][1].startswith("hermes-console~")
