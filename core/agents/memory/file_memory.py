"""The built-in memory: a page of Markdown for each agent and user, below HOME/memory, readable by its owner alone."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from core import atomic
from core.agents.memory import pages
from core.agents.memory.pages import Page
from core.agents.memory_provider import EndedConversation, MemoryOwner, MemoryTool
from core.agents.tools.folders import safe_name
from core.agents.tools.workspaces import make_private
from core.api.errors import InvalidInput, Unavailable

FOLDER = "memory"
PREFETCH_LIMIT = 8_000
_RESULT_LIMIT = 8_000
_FILE_LIMIT_BYTES = 4 * 1_048_576
_NOBODY = "nobody"

T = TypeVar("T")


class _Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: Annotated[str, Meta(min_length=1, max_length=pages.NOTE_LIMIT)]


def _tool(name: str, text: str, about: str) -> MemoryTool:
    parameters = {
        "type": "object",
        "properties": {"text": {"type": "string", "description": about}},
        "required": ["text"],
        "additionalProperties": False,
    }
    return MemoryTool(name=name, text=text, parameters=parameters)


_TOOLS = (
    _tool("memory_note", "Keep a short note about this user for later conversations.", "What to keep, in one line."),
    _tool("memory_forget", "Let go of a note about this user.", "Words of the note."),
    _tool("memory_search", "Search notes and earlier conversations with this user.", "Words that must all be there."),
)


class FileMemory:
    """Pages in a folder. One change of a page at a time; what people change by hand counts from the next turn on."""

    name = "file"

    def __init__(self, home: Path) -> None:
        self._folder = home / FOLDER
        self._lock = asyncio.Lock()

    def tools(self) -> Sequence[MemoryTool]:
        """Note, forget, search."""
        return _TOOLS

    async def prefetch(self, owner: MemoryOwner, text: str) -> str:
        """The notes and the newest conversations. Raises Unavailable when the page cannot be read."""
        del text
        return pages.shortened(await asyncio.to_thread(self._read, owner), PREFETCH_LIMIT)

    async def call(self, owner: MemoryOwner, name: str, arguments: Mapping[str, Any]) -> str:
        """Carry out one of the tools. Raises InvalidInput, NotFound, ConflictError, Unavailable."""
        words = _words(arguments)
        if name == "memory_note":
            await self._change(owner, lambda page: (pages.noted(page, words), ""))
            return "noted"
        if name == "memory_forget":
            return "forgotten: " + await self._change(owner, lambda page: pages.unnoted(page, words))
        if name == "memory_search":
            page = await asyncio.to_thread(self._read, owner)
            return pages.found_lines(page, words, _RESULT_LIMIT) or "nothing is remembered that holds these words"
        names = ", ".join(tool.name for tool in _TOOLS)
        raise InvalidInput(f"there is no tool {name}", field="name", value=name[:80], fix=f"one of {names}")

    async def on_session_end(self, owner: MemoryOwner, ended: EndedConversation) -> None:
        """Put the summary on the page. Raises Unavailable."""
        # To the second: one that was taken up again ends twice, and what was said since then is kept, too.
        at = datetime.fromtimestamp(ended.at, UTC)
        title = f"{at:%Y-%m-%d %H:%M:%S}, {ended.session_id}, conversation {ended.epoch}"
        await self._change(owner, lambda page: (pages.remembered(page, title, ended.summary), ""))

    async def close(self) -> None:
        """Nothing is held open."""

    async def _change(self, owner: MemoryOwner, change: Callable[[Page], tuple[Page, T]]) -> T:
        async with self._lock:
            return await asyncio.to_thread(self._changed, owner, change)

    def _changed(self, owner: MemoryOwner, change: Callable[[Page], tuple[Page, T]]) -> T:
        before = self._read(owner)
        after, found = change(before)
        if after != before:
            path = self._path(owner)
            try:
                make_private(path.parent)
                atomic.write(path, pages.written(after).encode(errors="replace"))
            except OSError as error:
                raise Unavailable(f"the memory cannot be written: {error.strerror}", what="memory") from error
        return found

    def _read(self, owner: MemoryOwner) -> Page:
        try:
            return pages.read(atomic.read(self._path(owner), _FILE_LIMIT_BYTES).decode("utf-8-sig"))
        except FileNotFoundError:
            return Page()
        # A page that cannot be read is never written over.
        except UnicodeDecodeError as error:
            raise Unavailable("the memory cannot be read: it is not UTF-8 (save it as UTF-8)", what="memory") from error
        except OSError as error:
            reason = error.strerror or "the page is too large"
            raise Unavailable(f"the memory cannot be read: {reason}", what="memory") from error

    def _path(self, owner: MemoryOwner) -> Path:
        return self._folder / safe_name(owner.agent) / f"{safe_name(owner.user or _NOBODY)}.md"


def _words(arguments: Mapping[str, Any]) -> str:
    try:
        return msgspec.convert(dict(arguments), _Words).text
    except msgspec.ValidationError as error:
        raise InvalidInput(f"wrong arguments: {error}", field="text", fix="an object with text") from None


def create(home: Path) -> FileMemory:
    """The memory of a home. Nothing is read before it is needed."""
    return FileMemory(home)
