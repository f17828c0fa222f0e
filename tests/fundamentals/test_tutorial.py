"""The facade as a tutorial: read it from top to bottom. A real core on an empty home, and four verbs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.api.base import Actor, ActorKind, PlatformName, SessionId
from core.api.errors import InvalidInput, NotFound
from core.api.port import Hermes
from core.api.sessions import (
    GetSession,
    ListSessions,
    MessageQueued,
    OpenSession,
    ResetSession,
    RunEnded,
    SendMessage,
    SendReceipt,
    SessionState,
    Voice,
)
from core.api.system import GetConfig, GetHealth
from core.api.transcripts import EntryKind, ReadTranscript
from core.connect import open_embedded

ANA = Actor(ActorKind.OPERATOR, "ana")
CONFIG = "http: {enabled: false}\nplatforms:\n  local: {kind: loopback}\nagents:\n  main: {runner: scripted, pace: 0}\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a configuration that opens no port and lets its agent answer at once."""
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    return folder


@pytest.fixture
async def hermes(home: Path) -> AsyncIterator[Hermes]:
    """A running core."""
    opened = await asyncio.to_thread(open_embedded, home)
    yield opened
    await opened.close()


async def begin(hermes: Hermes, text: str) -> SendReceipt:
    """Begin a conversation in the console's own chat."""
    return await hermes.execute(OpenSession(platform=PlatformName("local"), chat="ana", text=text), actor=ANA)


async def until_idle(hermes: Hermes, key: SessionId) -> None:
    """Follow the journal until the session's run has ended and nothing waits."""
    page = await hermes.query(ListSessions())
    view = (await hermes.query(GetSession(session_id=key))).session
    if view.state is SessionState.IDLE and view.last_outcome is not None:
        return
    records = hermes.subscribe(after=page.seq)
    async for record in records:
        if isinstance(record.event, RunEnded) and record.event.session.id == key and not record.event.session.run:
            break
    await records.aclose()  # type: ignore[attr-defined]  # an asynchronous generator is closed where it is left


async def test_a_question_changes_nothing_and_has_an_answer(hermes: Hermes) -> None:
    """Verb one: query. Here: how the core is, and which configuration is in force."""
    health = await hermes.query(GetHealth())
    config = await hermes.query(GetConfig())
    assert health.session_count == 0
    assert health.problems == ()
    assert {setting.key: setting.value for setting in config.settings}["http.enabled"] == "false"


async def test_an_order_has_a_receipt(hermes: Hermes) -> None:
    """Verb two: execute. Its receipt comes when the change is stored, not when all of it has happened."""
    receipt = await begin(hermes, "hello")
    page = await hermes.query(ListSessions())
    assert [view.id for view in page.sessions] == [receipt.session_id]


async def test_facts_come_in_order_without_a_gap(hermes: Hermes) -> None:
    """Verb three: subscribe. What happened after a snapshot comes from its seq on, then what happens live."""
    before = await hermes.query(ListSessions())
    receipt = await begin(hermes, "hello")
    seen: list[str] = []
    records = hermes.subscribe(after=before.seq)
    async for record in records:
        if record.durable and record.subject == receipt.session_id:
            seen.append(type(record.event).__name__)
        if isinstance(record.event, RunEnded):
            break
    await records.aclose()  # type: ignore[attr-defined]  # an asynchronous generator is closed where it is left
    assert seen[0] in {"SessionOpened", "MessageQueued"}
    assert seen.index("MessageQueued") < seen.index("RunStarted") < seen.index("RunEnded")


async def test_an_event_carries_the_whole_new_view(hermes: Hermes) -> None:
    """Nobody has to ask what changed: the event's view and the answer to a query are the same thing."""
    receipt = await begin(hermes, "hello")
    await until_idle(hermes, receipt.session_id)
    latest = None
    head = (await hermes.query(ListSessions())).seq
    records = hermes.subscribe(after=type(head)(0))
    async for record in records:
        if isinstance(record.event, MessageQueued | RunEnded) and record.durable:
            latest = record.event.session
        if record.seq >= head:
            break
    await records.aclose()  # type: ignore[attr-defined]  # an asynchronous generator is closed where it is left
    now = (await hermes.query(GetSession(session_id=receipt.session_id))).session
    assert latest is not None
    assert (latest.id, latest.entry_count) == (now.id, now.entry_count)
    assert latest.version <= now.version


async def test_what_was_said_stands_in_the_transcript(hermes: Hermes) -> None:
    """A message and its answer, each stored once, in order."""
    receipt = await begin(hermes, "hello")
    await until_idle(hermes, receipt.session_id)
    page = await hermes.query(ReadTranscript(session_id=receipt.session_id))
    spoken = [entry for entry in page.entries if entry.kind in {EntryKind.USER, EntryKind.NOTE, EntryKind.AGENT}]
    assert spoken[0].text == "hello"
    assert spoken[-1].kind is EntryKind.AGENT
    assert spoken[-1].text


async def test_the_same_key_is_accepted_once(hermes: Hermes) -> None:
    """A caller who did not hear the receipt may send again without being heard twice."""
    key = (await begin(hermes, "hello")).session_id
    order = SendMessage(session_id=key, text="and again", voice=Voice.USER, idempotency_key="k-1")
    first = await hermes.execute(order, actor=ANA)
    again = await hermes.execute(order, actor=ANA)
    assert not first.is_duplicate
    assert again.is_duplicate
    assert again.message_id == first.message_id


async def test_a_mistake_is_a_named_error(hermes: Hermes) -> None:
    """Errors say what is wrong by type and code, with facts a program can read."""
    with pytest.raises(NotFound) as missing:
        await hermes.query(GetSession(session_id=SessionId("local:dm:nobody")))
    with pytest.raises(InvalidInput) as wrong:
        await hermes.query(ListSessions(limit=0))
    assert missing.value.code == "not_found"
    assert wrong.value.facts["field"] == "limit"


async def test_a_reset_begins_anew_and_keeps_the_record(hermes: Hermes) -> None:
    """The agent forgets; the transcript stays, marked with its epoch."""
    key = (await begin(hermes, "hello")).session_id
    await until_idle(hermes, key)
    before = await hermes.query(ReadTranscript(session_id=key))
    receipt = await hermes.execute(ResetSession(session_id=key, reason="a test"), actor=ANA)
    after = await hermes.query(ReadTranscript(session_id=key))
    assert receipt.epoch == 1
    assert [entry.id for entry in after.entries[: len(before.entries)]] == [entry.id for entry in before.entries]


async def test_what_was_acknowledged_is_there_after_a_restart(home: Path) -> None:
    """Verb four: close. The next core on the same home goes on where the last one stopped."""
    first = await asyncio.to_thread(open_embedded, home)
    key = (await begin(first, "remember this")).session_id
    await until_idle(first, key)
    boot = (await first.query(GetHealth())).boot
    await first.close()
    second = await asyncio.to_thread(open_embedded, home)
    page = await second.query(ReadTranscript(session_id=key))
    health = await second.query(GetHealth())
    await second.close()
    assert page.entries[0].text == "remember this"
    assert health.boot == boot + 1
