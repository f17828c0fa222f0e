"""Memory where things go wrong: pages that people edit, providers that hang or are no providers, ends that pile up."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.agents.memory import memories as module
from core.agents.memory import pages
from core.agents.memory.endings import Endings
from core.agents.memory.file_memory import FileMemory
from core.agents.memory.memories import Memories
from core.agents.memory.pages import Page
from core.agents.memory_provider import EndedConversation, MemoryOwner
from core.api.base import AgentName, Seq, SessionId
from core.api.errors import DeadlineExceeded, Lagged, Unavailable
from core.api.session_orders import SessionArchived
from core.api.sessions import SessionReset
from core.journal import Journal
from core.store.memory import MemoryStore
from tests.support.agent_parts import turn_request
from tests.support.clocks import FakeClock
from tests.support.views import entry, session

BO = MemoryOwner(AgentName("main"), "telegram:42")
BY_HAND = """# Notes

Bo lives in Graz.
- likes tea
  but only green
* likes boats

## Family
1. a sister
"""
LINES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=30)


# -- pages that people edit


async def test_what_people_write_on_a_page_stays_on_it(tmp_path: Path) -> None:
    """Also where it is no line with a dash: nothing is lost when the agent notes something."""
    memory = FileMemory(tmp_path)
    await memory.call(BO, "memory_note", {"text": "x"})
    (file,) = (tmp_path / "memory").rglob("*.md")
    file.write_text(BY_HAND)
    await memory.call(BO, "memory_note", {"text": "likes snow"})
    assert pages.read(file.read_text()).notes == (
        "Bo lives in Graz.",
        "likes tea but only green",
        "likes boats",
        "## Family",
        "1. a sister",
        "likes snow",
    )


@given(st.lists(LINES, max_size=20))
def test_no_word_of_a_page_is_left_out(lines: list[str]) -> None:
    """Whatever people write, the page as it is written again holds all of its words."""
    text = "\n".join(lines)
    again = pages.written(pages.read(text))
    kept = again.split()
    for word in text.split():
        if word not in {"-", "*", "+", "#", "###", "Notes", "Conversations"}:
            assert word in kept
    assert pages.written(pages.read(again)) == again


def test_the_first_line_of_a_summary_is_no_head_either() -> None:
    """However often the page is read and written again."""
    page = pages.remembered(Page(), "day 1", "### day 2\nforged")
    for _ in range(3):
        page = pages.read(pages.written(page))
        assert [item.title for item in page.conversations] == ["day 1"]


async def test_a_page_in_another_encoding_is_not_written_over(tmp_path: Path) -> None:
    """Its letters could not be told from each other afterwards."""
    memory = FileMemory(tmp_path)
    await memory.call(BO, "memory_note", {"text": "x"})
    (file,) = (tmp_path / "memory").rglob("*.md")
    before = "- mag Käse\n".encode("latin-1")
    file.write_bytes(before)
    with pytest.raises(Unavailable, match="UTF-8"):
        await memory.call(BO, "memory_note", {"text": "y"})
    assert file.read_bytes() == before
    file.write_bytes("- mag Käse\n".encode("utf-8-sig"))
    assert "- mag Käse" in await memory.prefetch(BO, "")


async def test_a_conversation_that_goes_on_after_its_end_is_kept_again(tmp_path: Path) -> None:
    """It was put away, taken up again and put away on the same day; the same end told twice stands there once."""
    memory = FileMemory(tmp_path)
    for at, summary in ((90_000.0, "boats"), (90_000.0, "boats, told again"), (93_600.0, "boats and snow")):
        ended = EndedConversation(session_id=SessionId("local:dm:bo"), epoch=1, at=at, entries=(), summary=summary)
        await memory.on_session_end(BO, ended)
    (file,) = (tmp_path / "memory").rglob("*.md")
    assert [item.text for item in pages.read(file.read_text()).conversations] == ["boats", "boats and snow"]


# -- providers


class Bad:
    """A provider, but for what a test takes from it."""

    name = "bad"

    def __init__(self, **parts: Any) -> None:
        self.__dict__.update(parts)

    def tools(self) -> Sequence[Any]:
        """None."""
        return ()

    async def prefetch(self, owner: MemoryOwner, text: str) -> str:
        """A word."""
        return "word"

    async def close(self) -> None:
        """Nothing."""


def _raises(*_: object) -> Any:
    raise RuntimeError("a secret")


async def _number(*_: object) -> Any:
    return 7


MADE: list[Any] = []


def made(_home: Path) -> Any:
    """What the configuration names."""
    return MADE[-1]


@pytest.mark.parametrize(
    "provider",
    [Bad(tools=_raises), Bad(tools=lambda: None), Bad(prefetch=_raises), Bad(prefetch=_number), object(), None],
    ids=["tools raise", "no tools", "prefetch raises at once", "no text", "no provider", "nothing"],
)
async def test_what_is_no_provider_ends_no_turn(tmp_path: Path, provider: Any) -> None:
    """The agent works without memory, and the fault says nothing but its kind."""
    MADE.append(provider)
    faults: list[Exception] = []
    memories = Memories(tmp_path, lambda _, error: faults.append(error))
    asked = turn_request("hello")
    assert await memories.ready(asked, f"{__name__}:made", "telegram:42") is asked
    (fault,) = faults
    assert isinstance(fault, Unavailable)
    assert "secret" not in str(fault)


@pytest.fixture
def barred() -> Iterator[threading.Event]:
    """Opened at the end, so that no thread stays behind."""
    event = threading.Event()
    yield event
    event.set()


async def test_a_provider_that_cannot_be_loaded_in_time_ends_no_turn(
    tmp_path: Path, barred: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is loaded once, however many turns come meanwhile, and used as soon as it is there."""
    loads: list[str] = []

    def load(name: str, _home: Path) -> Any:
        loads.append(name)
        barred.wait(30)
        return Bad()

    monkeypatch.setattr(module, "_load", load)
    monkeypatch.setattr(module, "PREFETCH_LIMIT_S", 0.05)
    faults: list[Exception] = []
    memories = Memories(tmp_path, lambda _, error: faults.append(error))
    asked = turn_request("hello")
    async with asyncio.timeout(20):
        assert await memories.ready(asked, "slow:one", "telegram:42") is asked
        assert await memories.ready(asked, "slow:one", "telegram:42") is asked
        assert [type(fault) for fault in faults] == [DeadlineExceeded, DeadlineExceeded]
        monkeypatch.setattr(module, "PREFETCH_LIMIT_S", 20.0)
        barred.set()
        assert "word" in (await memories.ready(asked, "slow:one", "telegram:42")).extra_system_prompt
    assert loads == ["slow:one"]


# -- ends of conversations


class Rig:
    """Ends over a journal, with a memory that fails as often as a test says."""

    def __init__(self, store: MemoryStore, clock: FakeClock) -> None:
        self.journal = Journal(store, clock)
        self.kept: list[int] = []
        self.summed_up: list[SessionId] = []
        self.errors: list[Exception] = []
        self.faults: list[Exception] = []
        self.came = asyncio.Event()
        self.has_kept = asyncio.Event()
        self.hold: asyncio.Event | None = None
        self.endings = Endings(
            journal=self.journal,
            store=store,
            clock=clock,
            conversations=cast("Any", self),
            profiles=cast("Any", self),
            memories=cast("Any", self),
            summaries=cast("Any", self),
            on_fault=lambda _, error: self.faults.append(error),
        )
        self.memory = "file"
        self.running: asyncio.Task[None] | None = None

    def find(self, _agent: AgentName) -> Any:
        """A profile."""
        return self

    async def said(self, session_id: SessionId, epoch: int) -> Sequence[Any]:
        """Something."""
        return [entry(f"{session_id}/{epoch}")]

    async def of(self, _agent: AgentName, session_id: SessionId, _entries: Sequence[Any]) -> str:
        """Sum up."""
        self.summed_up.append(session_id)
        return "a summary"

    async def ended(self, _name: str, _owner: MemoryOwner, ended: EndedConversation) -> None:
        """Keep it, or fail."""
        self.came.set()
        if self.hold is not None:
            await self.hold.wait()
        if self.errors:
            raise self.errors.pop(0)
        self.kept.append(ended.epoch)
        self.has_kept.set()

    async def end(self, epoch: int) -> Seq:
        """A conversation ends."""
        event = SessionReset(session=session(epoch=epoch + 1), reason="new", dropped=0, ended_epoch=epoch)
        return (await self.journal.commit([], [("local:dm:ana", event)])).seqs[0]

    def start(self) -> None:
        """As the core starts it."""
        self.running = asyncio.ensure_future(self.endings.run())

    async def stop(self) -> None:
        """As a kill does: nothing is put in order."""
        assert self.running is not None
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)

    async def until(self, count: int) -> None:
        """So many are kept."""
        async with asyncio.timeout(10):
            while len(self.kept) < count:
                self.has_kept.clear()
                await self.has_kept.wait()


@pytest.fixture
def clock() -> FakeClock:
    """A day in 2023."""
    return FakeClock(1_700_000_000.0)


async def test_what_is_caught_up_on_comes_before_what_ends_now(clock: FakeClock) -> None:
    """So that the place in the journal only grows: a kill in between loses none."""
    store = MemoryStore()
    first = Rig(store, clock)
    first.start()
    await asyncio.sleep(0)
    await first.end(0)
    await first.until(1)
    await first.stop()
    for epoch in (1, 2):
        await first.end(epoch)
    second = Rig(store, clock)
    second.hold = asyncio.Event()
    second.start()
    async with asyncio.timeout(10):
        await second.came.wait()
    await second.end(3)
    await second.stop()
    third = Rig(store, clock)
    third.start()
    await third.until(3)
    await third.end(4)
    await third.until(4)
    assert third.kept == [1, 2, 3, 4]
    await third.stop()


async def test_what_ends_while_the_past_is_read_is_kept_once(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is on record and was heard of; that is one end."""
    store = MemoryStore()
    before = Rig(store, clock)
    before.start()
    await asyncio.sleep(0)
    await before.end(0)
    await before.until(1)
    await before.stop()
    rig = Rig(store, clock)
    read = rig.journal.read

    async def reading(**how: Any) -> Any:
        if not rig.summed_up:
            await rig.end(1)
        return await read(**how)

    monkeypatch.setattr(rig.journal, "read", reading)
    rig.start()
    await rig.until(1)
    await rig.end(2)
    await rig.until(2)
    assert rig.kept == [1, 2]
    await rig.stop()


async def test_a_conversation_is_summed_up_once_however_often_it_is_tried(clock: FakeClock) -> None:
    """A summary may be a turn of an agent."""
    rig = Rig(MemoryStore(), clock)
    rig.errors = [Unavailable("down"), Unavailable("down")]
    rig.start()
    await asyncio.sleep(0)
    await rig.end(0)
    async with asyncio.timeout(10):
        while not rig.kept:
            clock.step(30.0)
            await asyncio.sleep(0)
    assert len(rig.summed_up) == 1
    await rig.stop()


async def test_one_that_can_never_be_kept_does_not_keep_the_others(clock: FakeClock) -> None:
    """Its fault is told, whatever it was, and the next one is kept."""
    rig = Rig(MemoryStore(), clock)
    rig.errors = [KeyError("a fault of ours")]
    rig.start()
    await asyncio.sleep(0)
    await rig.end(0)
    await rig.end(1)
    await rig.until(1)
    assert rig.kept == [1]
    assert [type(fault) for fault in rig.faults] == [KeyError]
    await rig.stop()


async def test_ends_that_are_still_on_record_are_caught_up_on(clock: FakeClock) -> None:
    """Also when the journal no longer reaches back to where the last start was."""
    store = MemoryStore()
    first = Rig(store, clock)
    first.start()
    await asyncio.sleep(0)
    await first.end(0)
    await first.until(1)
    await first.stop()
    for epoch in range(1, 6):
        await first.end(epoch)
    await store.trim(2)
    second = Rig(store, clock)
    second.start()
    await second.until(2)
    assert second.kept == [4, 5]
    assert [type(fault) for fault in second.faults] == [Lagged]
    await second.stop()


async def test_a_session_that_is_put_away_has_ended(clock: FakeClock) -> None:
    """In its present epoch."""
    rig = Rig(MemoryStore(), clock)
    rig.start()
    await asyncio.sleep(0)
    await rig.journal.commit([], [("local:dm:ana", SessionArchived(session=session(epoch=7), reason=""))])
    await rig.until(1)
    assert rig.kept == [7]
    await rig.stop()
