"""The whole core: store, gateway, agents, HTTP and socket, joined and alive."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from core.api.approvals import AnswerApproval, ApprovalAsked, ListApprovals
from core.api.base import Actor, ActorKind, Event, MailboxName, PlatformName, Record, Seq, SessionId
from core.api.errors import AlreadyDecided, HomeBusy, InvalidInput, NotFound, Refused, Unavailable
from core.api.mail import PostMail
from core.api.mailboxes import GetMailbox, PauseMailbox, ResumeMailbox
from core.api.platforms import ListPlatforms, PlatformState
from core.api.profiles import ListProfiles
from core.api.sessions import (
    GetSession,
    InterruptSession,
    ListSessions,
    OpenSession,
    RunEnded,
    RunOutput,
    SendMessage,
    SessionActive,
    SessionOpened,
    SessionState,
)
from core.api.system import CoreStarted, GetConfig, GetHealth, ListEvents, Shutdown
from core.api.transcripts import EntryKind, ReadTranscript
from core.connect import attach
from core.home import prepare
from core.host import open_core
from core.kernel import Kernel

OPERATOR = Actor(ActorKind.OPERATOR, "ana")
LOCAL = PlatformName("local")
DESK = SessionId("local:dm:desk")
CONFIG = """
http: {port: 0}
agents:
  main: {runner: scripted, pace: 0}
  echo: {runner: scripted, scenario: builtin:echo, pace: 0}
core: {drain_s: 5}
"""


@asynccontextmanager
async def core(home: Path, config: str = CONFIG) -> AsyncIterator[Kernel]:
    """A core on a home of its own."""
    await asyncio.to_thread(_prepared, home, config)
    kernel = await open_core(home)
    try:
        yield kernel
    finally:
        await kernel.stop(0, "the test is over")


def _prepared(home: Path, config: str) -> None:
    prepare(home)
    (home / "config.yaml").write_text(config)


async def _until(kernel: Kernel, kind: type[Event], after: int = 0) -> Record:
    return await _first(kernel.subscribe(after=Seq(after)), kind)


async def _first(records: AsyncIterator[Record], kind: type[Event]) -> Record:
    async with asyncio.timeout(20):
        async for record in records:
            if isinstance(record.event, kind):
                return record
    raise AssertionError(kind)


async def _http_up(kernel: Kernel) -> tuple[str, str]:
    key = await asyncio.to_thread(Path(kernel.health.view(Seq(0)).key_file).read_text)
    async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(20):
        while True:
            try:
                await client.get(f"{kernel.gateway.http.url}/healthz")
            except httpx.HTTPError:
                await asyncio.sleep(0)
            else:
                return kernel.gateway.http.url, key.strip()


async def test_a_fresh_home_comes_up_with_its_platforms_agents_and_endpoint(tmp_path: Path) -> None:
    """An empty configuration is a working core."""
    async with core(tmp_path / "home", "http: {port: 0}\n") as kernel:
        await _http_up(kernel)
        health = await kernel.query(GetHealth())
        assert health.problems == ()
        assert health.http_url.startswith("http://127.0.0.1:")
        assert health.boot == 1
        platforms = (await kernel.query(ListPlatforms())).platforms
        assert {view.name: view.state for view in platforms} == dict.fromkeys(
            ("api", "hooks", "local"), PlatformState.CONNECTED
        )
        profiles = (await kernel.query(ListProfiles())).profiles
        assert [profile.name for profile in profiles] == ["main"]
        settings = {item.key: item for item in (await kernel.query(GetConfig())).settings}
        assert settings["http.port"].origin == "config.yaml:1"


async def test_a_second_core_on_the_same_home_is_refused_with_the_pid(tmp_path: Path) -> None:
    """And the first goes on."""
    async with core(tmp_path / "home") as kernel:
        with pytest.raises(HomeBusy) as caught:
            await open_core(tmp_path / "home")
        assert caught.value.facts["pid"] == (await kernel.query(GetHealth())).pid


async def test_a_busy_port_is_a_named_problem_and_the_rest_works(tmp_path: Path) -> None:
    """The console still opens and sessions still run."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = CONFIG.replace("port: 0", f"port: {port}")
        async with core(tmp_path / "home", config) as kernel:
            health = await kernel.query(GetHealth())
            assert health.http_url == ""
            assert str(port) in health.problems[0]
            await kernel.execute(OpenSession(platform=LOCAL, chat="desk", text="hi"), actor=OPERATOR)
            await _until(kernel, RunEnded)


async def test_an_http_caller_and_the_console_see_the_same_texts(tmp_path: Path) -> None:
    """Plain, streamed and continued; the session is on record before the answer begins."""
    async with core(tmp_path / "home") as kernel:
        url, key = await _http_up(kernel)
        headers = {"Authorization": f"Bearer {key}", "X-Hermes-Session-Id": "curl-1"}
        ask = {"model": "echo", "messages": [{"role": "user", "content": "one"}]}
        async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=20) as client:
            plain = await client.post("/v1/chat/completions", json=ask)
            assert plain.json()["choices"][0]["message"]["content"] == "one"
            ask["messages"] = [{"role": "user", "content": "two words"}]
            streamed = await client.post("/v1/chat/completions", json={**ask, "stream": True})
        chunks = [line[6:] for line in streamed.text.splitlines() if line.startswith("data: ")]
        assert chunks[-1] == "[DONE]"
        deltas = [json.loads(chunk)["choices"] for chunk in chunks[:-1]]
        assert "".join(item[0]["delta"].get("content") or "" for item in deltas if item) == "two words"
        page = await kernel.query(ListSessions())
        assert len(page.sessions) == 1
        transcript = await kernel.query(ReadTranscript(session_id=page.sessions[0].id))
        assert [(entry.kind, entry.text) for entry in transcript.entries] == [
            (EntryKind.USER, "one"),
            (EntryKind.AGENT, "one"),
            (EntryKind.USER, "two words"),
            (EntryKind.AGENT, "two words"),
        ]


async def test_an_approval_waits_for_the_operator_and_the_run_goes_on(tmp_path: Path) -> None:
    """The session says that it waits; the first decision wins."""
    async with core(tmp_path / "home") as kernel:
        stream = kernel.subscribe(after=Seq(0))
        await kernel.execute(OpenSession(platform=LOCAL, chat="desk", text="!sh ls"), actor=OPERATOR)
        asked = await _until(kernel, ApprovalAsked)
        assert isinstance(asked.event, ApprovalAsked)
        approval = asked.event.approval
        assert approval.session_id == DESK
        async for record in stream:
            if isinstance(record.event, SessionActive) and record.event.session.state is SessionState.WAITING:
                break
        detail = await kernel.query(GetSession(session_id=DESK))
        assert detail.session.state is SessionState.WAITING
        assert detail.session.open_approvals == 1
        assert (await kernel.query(GetHealth())).open_approval_count == 1
        answer = AnswerApproval(approval_id=approval.id, allow=True, digest=approval.digest)
        await kernel.execute(answer, actor=OPERATOR)
        with pytest.raises(AlreadyDecided):
            await kernel.execute(answer, actor=OPERATOR)
        ended = await _until(kernel, RunEnded)
        assert isinstance(ended.event, RunEnded)
        assert ended.event.outcome.answered
        assert ended.event.session.open_approvals == 0


async def test_an_interrupt_frees_a_session_that_waits_for_an_approval(tmp_path: Path) -> None:
    """The approval is withdrawn, not denied in somebody's name."""
    async with core(tmp_path / "home") as kernel:
        await kernel.execute(OpenSession(platform=LOCAL, chat="desk", text="!sh ls"), actor=OPERATOR)
        await _until(kernel, ApprovalAsked)
        receipt = await kernel.execute(InterruptSession(session_id=DESK, reason="wrong"), actor=OPERATOR)
        assert receipt.is_released
        approvals = (await kernel.query(ListApprovals())).approvals
        assert [approval.state.value for approval in approvals] == ["withdrawn"]


async def test_a_restart_finishes_what_a_stop_left(tmp_path: Path) -> None:
    """A hung run is put back by an orderly stop and runs under the next start."""
    home = tmp_path / "home"
    async with core(home) as kernel:
        await kernel.execute(OpenSession(platform=LOCAL, chat="desk", text="!hang"), actor=OPERATOR)
        await kernel.execute(SendMessage(session_id=DESK, text="hello"), actor=OPERATOR)
    async with core(home) as kernel:
        health = await kernel.query(GetHealth())
        assert health.boot == 2
        started = [item.event for item in (await kernel.query(ListEvents(subject="core"))).records]
        assert [event.queued for event in started if isinstance(event, CoreStarted)] == [0, 2]
        # Output is not stored: who looks after it came does not see it.
        records = kernel.subscribe(after=Seq(0))
        receipt = await kernel.execute(InterruptSession(session_id=DESK), actor=OPERATOR)
        assert receipt.is_released
        await _first(records, RunOutput)


async def test_a_shell_on_the_socket_does_what_the_console_does(tmp_path: Path) -> None:
    """The same verbs, the same errors, over the socket."""
    home = tmp_path / "home"
    async with core(home) as kernel:
        await _until(kernel, CoreStarted)
        remote = await attach(home)
        receipt = await remote.execute(OpenSession(platform=LOCAL, chat="desk", text="hi"), actor=OPERATOR)
        assert receipt.session_id == DESK
        with pytest.raises(NotFound):
            await remote.query(GetSession(session_id=SessionId("local:dm:nobody")))
        with pytest.raises(InvalidInput):
            await remote.query(ListSessions(limit=0))
        async for record in remote.subscribe(after=Seq(0)):
            if isinstance(record.event, SessionOpened):
                break
        await remote.close()
        assert (await kernel.query(GetHealth())).session_count == 1


async def test_a_shutdown_command_stops_everything_and_lets_the_home_go(tmp_path: Path) -> None:
    """The next core can have it at once."""
    home = tmp_path / "home"
    async with core(home) as kernel:
        receipt = await kernel.execute(Shutdown(reason="night", drain_s=0), actor=OPERATOR)
        assert receipt.drain_s == 0
        async with asyncio.timeout(20):
            await kernel.stopped.wait()
        with pytest.raises(Unavailable):
            await kernel.query(GetHealth())
    async with core(home) as kernel:
        assert (await kernel.query(GetHealth())).boot == 2


async def test_every_word_of_the_facade_has_one_handler(tmp_path: Path) -> None:
    """No command and no query leads nowhere."""
    from core.api.codec import COMMANDS, QUERIES

    async with core(tmp_path / "home") as kernel:
        assert kernel.words == frozenset(COMMANDS) | frozenset(QUERIES)


async def test_an_operator_pauses_what_waits_for_sessions_on_their_mailbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message is taken in and waits, the health says why, and after the resume it is answered."""
    monkeypatch.setattr("core.gateway.restart._NUDGE_EVERY_S", 0.05)
    box = MailboxName("sessions")
    async with core(tmp_path / "home") as kernel:
        await kernel.execute(PauseMailbox(mailbox=box, reason="upgrade"), actor=OPERATOR)
        await kernel.execute(OpenSession(platform=LOCAL, chat="desk", text="hi"), actor=OPERATOR)
        assert (await kernel.query(GetMailbox(mailbox=box))).tally.queued == 1
        assert (await kernel.query(GetSession(session_id=DESK))).session.state is SessionState.QUEUED
        assert any("sessions is paused" in problem for problem in (await kernel.query(GetHealth())).problems)
        with pytest.raises(Refused):
            await kernel.execute(PostMail(mailbox=box, payload="hi"), actor=OPERATOR)
        await kernel.execute(ResumeMailbox(mailbox=box), actor=OPERATOR)
        ended = await _until(kernel, RunEnded)
        assert isinstance(ended.event, RunEnded)
        assert ended.event.outcome.answered
        while (view := await kernel.query(GetMailbox(mailbox=box))).tally.in_flight:  # noqa: ASYNC110 - told first,
            await asyncio.sleep(0)  # true in memory right after
        assert (view.tally.done, view.tally.difference) == (1, 0)
