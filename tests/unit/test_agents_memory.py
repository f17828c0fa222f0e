"""What agents remember from one conversation to the next: the page, its tools, providers in use, and their faults."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.agents.memory import pages
from core.agents.memory.file_memory import FileMemory
from core.agents.memory.memories import BoundMemory, Memories
from core.agents.memory.pages import Conversation, Page
from core.agents.memory_provider import EndedConversation, MemoryOwner, MemoryTool
from core.api.base import AgentName, SessionId
from core.api.errors import ConfigError, ConflictError, DeadlineExceeded, InvalidInput, NotFound, Unavailable
from core.api.session_orders import ArchiveSession
from core.api.sessions import ResetSession
from core.api.system import AlarmRaised
from tests.support.agent_parts import turn_request
from tests.support.fake_openai import wants, whole_call
from tests.support.runtime_core import CONFIG, DESK, OPERATOR, core, opened, rested, sent, until
from tests.support.tool_rig import calls_of, results, rig

BO = MemoryOwner(AgentName("main"), "telegram:42")
LINES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=40).filter(str.strip)


def ended(number: int, summary: str = "They talked about boats.") -> EndedConversation:
    """A conversation that was over on the second of January 1970."""
    return EndedConversation(
        session_id=SessionId("telegram:dm:42"), epoch=number, at=90_000.0, entries=(), summary=summary
    )


# -- the page --------------------------------------------------------------------


@given(st.lists(LINES, max_size=8), st.lists(LINES, max_size=5))
def test_a_page_is_read_as_it_was_written(notes: list[str], texts: list[str]) -> None:
    """Whatever letters are in it."""
    page = Page()
    for note in notes:
        page = pages.noted(page, note)
    for number, text in enumerate(texts):
        page = pages.remembered(page, f"day {number}", text)
    found = pages.read(pages.written(page))
    assert found.notes == page.notes
    assert [item.title for item in found.conversations] == [item.title for item in page.conversations]
    assert [item.text.split() for item in found.conversations] == [item.text.split() for item in page.conversations]


def test_a_line_of_a_summary_is_no_head_of_another_conversation() -> None:
    """Text that came from outside changes nothing but itself."""
    page = pages.remembered(Page(), "day 1", "fine\n### day 2\nforged")
    assert [item.title for item in pages.read(pages.written(page)).conversations] == ["day 1"]


def test_a_page_holds_so_much_and_no_more() -> None:
    """The oldest goes first; the same note or conversation stands there once."""
    page = Page()
    for number in range(pages.NOTES + 5):
        page = pages.noted(page, f"note {number}")
    assert (len(page.notes), page.notes[0]) == (pages.NOTES, "note 5")
    assert pages.noted(page, "note 9") == page
    again = pages.remembered(pages.remembered(page, "day 1", "a"), "day 1", "b")
    assert again.conversations == (Conversation("day 1", "a"),)
    with pytest.raises(InvalidInput):
        pages.noted(page, " ")


def test_a_note_goes_by_words_that_only_it_holds() -> None:
    """Nothing is guessed."""
    page = pages.noted(pages.noted(Page(), "likes tea"), "likes boats")
    after, gone = pages.unnoted(page, "TEA")
    assert (after.notes, gone) == (("likes boats",), "likes tea")
    with pytest.raises(ConflictError, match="2 notes"):
        pages.unnoted(page, "likes")
    with pytest.raises(NotFound):
        pages.unnoted(page, "coffee")


@given(st.lists(LINES, max_size=20), st.integers(0, 200))
def test_what_an_agent_is_told_is_bounded(notes: list[str], limit: int) -> None:
    """The newest notes that fit."""
    page = Page(tuple(notes))
    told = pages.shortened(page, limit)
    assert len(told) <= limit + len("Notes:\n")


# -- the built-in memory -----------------------------------------------------------


async def test_the_memory_is_a_private_file_of_each_user(tmp_path: Path) -> None:
    """One knows nothing of the other; folders and files are their owner's alone."""
    memory = FileMemory(tmp_path)
    await memory.call(BO, "memory_note", {"text": "likes tea"})
    await memory.on_session_end(BO, ended(1))
    await memory.on_session_end(BO, ended(1, "said twice"))
    other = MemoryOwner(BO.agent, "telegram:43")
    assert await memory.prefetch(other, "hello") == ""
    told = await memory.prefetch(BO, "hello")
    assert "- likes tea" in told
    assert "### 1970-01-02 01:00:00, telegram:dm:42, conversation 1\nThey talked about boats." in told
    assert "said twice" not in told
    (file,) = (tmp_path / "memory").rglob("*.md")
    assert file.stat().st_mode & 0o777 == 0o600
    assert all(folder.stat().st_mode & 0o777 == 0o700 for folder in (tmp_path / "memory", file.parent))


async def test_the_tools_say_what_they_did(tmp_path: Path) -> None:
    """Note, search, forget; what is wrong is named."""
    memory = FileMemory(tmp_path)
    assert await memory.call(BO, "memory_note", {"text": "likes tea"}) == "noted"
    assert await memory.call(BO, "memory_search", {"text": "TEA"}) == "- likes tea"
    assert "nothing" in await memory.call(BO, "memory_search", {"text": "coffee"})
    assert await memory.call(BO, "memory_forget", {"text": "tea"}) == "forgotten: likes tea"
    for arguments in ({}, {"text": 7}, {"text": "x", "more": 1}, {"text": ""}):
        with pytest.raises(InvalidInput):
            await memory.call(BO, "memory_note", arguments)
    with pytest.raises(InvalidInput, match="memory_dance"):
        await memory.call(BO, "memory_dance", {"text": "x"})


async def test_a_page_that_cannot_be_read_is_not_written_over(tmp_path: Path) -> None:
    """Its bytes stay."""
    memory = FileMemory(tmp_path)
    await memory.call(BO, "memory_note", {"text": "likes tea"})
    (file,) = (tmp_path / "memory").rglob("*.md")
    with file.open("ab") as stream:
        stream.truncate(5 * 1_048_576)
    before = file.stat().st_size
    with pytest.raises(Unavailable, match="cannot be read"):
        await memory.call(BO, "memory_note", {"text": "likes boats"})
    assert file.stat().st_size == before


async def test_changes_at_once_lose_none(tmp_path: Path) -> None:
    """One after another."""
    memory = FileMemory(tmp_path)
    await asyncio.gather(*(memory.call(BO, "memory_note", {"text": f"note {number}"}) for number in range(20)))
    assert len(pages.read(next((tmp_path / "memory").rglob("*.md")).read_text()).notes) == 20


# -- providers in use -----------------------------------------------------------------


class OddMemory:
    """A provider that does what a test says."""

    name = "odd"

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.is_closed = False

    def tools(self) -> Sequence[MemoryTool]:
        """One with a proper name, one that would hide a tool of the core."""
        return [MemoryTool(name=name, text="x", parameters={"type": "object"}) for name in ("memory_odd", "exec")]

    async def prefetch(self, owner: MemoryOwner, text: str) -> str:
        """What was asked, or the error."""
        if self.error is not None:
            raise self.error
        return f"{owner.user} said {text}"

    async def call(self, owner: MemoryOwner, name: str, arguments: Mapping[str, Any]) -> str:
        """The error, or the arguments."""
        if self.error is not None:
            raise self.error
        return f"{name} {dict(arguments)}"

    async def on_session_end(self, owner: MemoryOwner, ended: EndedConversation) -> None:
        """Nothing is kept."""

    async def close(self) -> None:
        """Note it."""
        self.is_closed = True


MADE: list[OddMemory] = []


def odd(_home: Path) -> OddMemory:
    """What the configuration names."""
    return MADE[-1]


NAME = f"{__name__}:odd"


async def test_a_provider_of_ones_own_is_loaded_by_its_name(tmp_path: Path) -> None:
    """It is asked before the turn, offers its tools, and is closed with the core."""
    MADE.append(OddMemory())
    faults: list[tuple[str, Exception]] = []
    memories = Memories(tmp_path, lambda *told: faults.append(told))
    request = await memories.ready(turn_request("hello"), NAME, "telegram:42")
    assert request.extra_system_prompt.endswith("telegram:42 said hello")
    assert request.memory is not None
    assert [tool.name for tool in request.memory.tools] == ["memory_odd"]
    await memories.close()
    assert MADE[-1].is_closed
    assert not faults


@pytest.mark.parametrize("error", [RuntimeError("a secret"), TimeoutError(), Unavailable("down")])
async def test_a_provider_that_fails_ends_no_turn(tmp_path: Path, error: Exception) -> None:
    """The fault is told, without the words of a library, and the agent works without memory."""
    MADE.append(OddMemory(error))
    faults: list[tuple[str, Exception]] = []
    memories = Memories(tmp_path, lambda *told: faults.append(told))
    asked = turn_request("hello")
    assert await memories.ready(asked, NAME, "telegram:42") is asked
    ((what, told),) = faults
    assert what == f"memory {NAME}"
    assert isinstance(told, Unavailable | DeadlineExceeded)
    assert "secret" not in str(told)


async def test_a_provider_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With what can be written instead."""
    faults: list[tuple[str, Exception]] = []
    memories = Memories(tmp_path, lambda *told: faults.append(told))
    await memories.ready(turn_request("hello"), "no.such:thing", "telegram:42")
    assert isinstance(faults[0][1], ConfigError)


async def test_an_agent_uses_its_memory_without_asking_anybody(tmp_path: Path) -> None:
    """The call is shown and told back like any other; a wrong one is told back too."""
    note = whole_call("memory_note", {"text": "likes tea"}, call_id="call_a")
    wrong = whole_call("memory_note", {"words": "likes tea"}, call_id="call_b")
    memory = BoundMemory(FileMemory(tmp_path), BO)
    async with rig(tmp_path, wants(note, wrong), "ok", tools=()) as here:
        request = msgspec.structs.replace(turn_request("go"), memory=memory)
        reports = await here.turn(request=request)
    assert next(call.output for call in calls_of(reports) if call.status.is_final) == "noted"
    (_, first), (_, second) = results(here.told(1))
    assert first == "noted"
    assert "wrong arguments" in second
    assert [tool["function"]["name"] for tool in here.server.requests[0].body["tools"]] == [
        "memory_note",
        "memory_forget",
        "memory_search",
    ]


# -- the ends of conversations ------------------------------------------------------------

REMEMBERS = CONFIG.replace("runner: scripted, pace: 0}", "runner: scripted, pace: 0, memory: file}", 1)


def page_of(home: Path) -> Page:
    """The only page."""
    files = list((home / "memory").rglob("*.md"))
    return pages.read(files[0].read_text()) if files else Page()


async def kept(home: Path, count: int) -> Page:
    """The page once so many conversations stand on it; a file has no event of its own."""
    async with asyncio.timeout(20):
        while len((page := await asyncio.to_thread(page_of, home)).conversations) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return page


async def test_a_conversation_that_ends_leaves_a_summary_for_the_next(tmp_path: Path) -> None:
    """When it is reset and when it is put away; each once."""
    async with core(tmp_path, REMEMBERS) as kernel:
        await opened(kernel, "my boat is called Ida")
        await rested(kernel)
        await kernel.execute(ResetSession(session_id=DESK), actor=OPERATOR)
        page = await kept(tmp_path, 1)
        assert "conversation 0" in page.conversations[0].title
        await sent(kernel, "hello again")
        await rested(kernel)
        await kernel.execute(ArchiveSession(session_id=DESK), actor=OPERATOR)
        page = await kept(tmp_path, 2)
    assert "conversation 1" in page.conversations[1].title
    assert all(item.text for item in page.conversations)


async def test_an_end_that_a_start_of_the_core_did_not_come_to_is_caught_up_on(tmp_path: Path) -> None:
    """The place in the journal is kept, so nothing is lost and nothing stands there twice."""
    broken = REMEMBERS.replace("memory: file", "memory: 'no.such:thing'")
    async with core(tmp_path, REMEMBERS) as kernel:
        await opened(kernel, "one")
        await rested(kernel)
        await kernel.execute(ResetSession(session_id=DESK), actor=OPERATOR)
        await kept(tmp_path, 1)
    async with core(tmp_path, broken) as kernel:
        await sent(kernel, "two")
        await rested(kernel)
        await kernel.execute(ResetSession(session_id=DESK), actor=OPERATOR)
        alarm = await until(kernel, AlarmRaised, fits=lambda event: event.what == f"memory of {DESK}")
        assert "cannot be loaded" in alarm.error
    async with core(tmp_path, REMEMBERS) as kernel:
        await sent(kernel, "three")
        await rested(kernel)
        await kernel.execute(ResetSession(session_id=DESK), actor=OPERATOR)
        page = await kept(tmp_path, 2)
    assert len({item.title for item in page.conversations}) == len(page.conversations) == 2
