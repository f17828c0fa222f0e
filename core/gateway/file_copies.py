"""Files of messages on their way to an agent: copied to where it may read them, and named so in what it gets.

Messages and transcripts keep the path on the shelf of the core. It holds a token that nobody can guess, so whoever
names it was told of the file. A copy is made when a turn begins, also again after a restart or for another agent.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from core.api.base import AgentName
from core.api.sessions import MessageView
from core.api.transcripts import EntryView
from core.gateway import file_shelf
from core.gateway.ports import Agents

MOST = 200
_NOT_THERE = "a file that is no longer there"


class FileCopies:
    """What agents are told of files, in the words of each. At most MOST of one turn, the newest, are looked after."""

    def __init__(self, home: Path, agents: Agents) -> None:
        self._shelf = str(home / "files")
        self._pattern = file_shelf.in_notes(home / "files")
        self._agents = agents

    async def of_turn(
        self, agent: AgentName, user: str, messages: Sequence[MessageView], history: Sequence[EntryView]
    ) -> tuple[Sequence[MessageView], Sequence[EntryView]]:
        """What is answered and what was said before, as that agent can read it."""
        texts = [*(item.text for item in history), *(item.text for item in messages)]
        names = await self._names(agent, user, texts)
        if not names:
            return messages, history
        return (
            [msgspec.structs.replace(item, text=self._put(item.text, names)) for item in messages],
            [msgspec.structs.replace(item, text=self._put(item.text, names)) for item in history],
        )

    async def of_text(self, agent: AgentName, user: str, text: str) -> str:
        """A text for a turn that goes on."""
        return self._put(text, await self._names(agent, user, [text]))

    async def _names(self, agent: AgentName, user: str, texts: Iterable[str]) -> Mapping[str, str]:
        found: dict[str, None] = {}
        for text in texts:
            # Most say nothing of files, and a history is long.
            for path in self._pattern.findall(text) if self._shelf in text else ():
                found.pop(path, None)
                found[path] = None
        paths = list(found)[-MOST:]
        if not paths:
            return {}
        names = await asyncio.to_thread(self._agents.give, agent, user, [Path(path) for path in paths])
        return dict(zip(paths, names, strict=True))

    def _put(self, text: str, names: Mapping[str, str]) -> str:
        if self._shelf not in text:
            return text

        def name(match: re.Match[str]) -> str:
            return names.get(match.group()) or _NOT_THERE

        return self._pattern.sub(name, text)
