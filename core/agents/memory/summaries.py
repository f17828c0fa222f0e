"""A summary of a conversation that is over, by a runner of its own: the session's may be at work on the next one."""

import asyncio
from collections.abc import Sequence

from core.agents import compaction
from core.agents.adapters import CAPABILITIES
from core.agents.profile import kind_of
from core.agents.profiles.profiles import Profiles
from core.agents.runners import Runners
from core.api.base import AgentName, SessionId
from core.api.errors import HermesError
from core.api.transcripts import EntryView

_PREFIX = "memory:"


class Summaries:
    """By the agent where it can make one, else by rule."""

    def __init__(self, profiles: Profiles, runners: Runners) -> None:
        self._profiles = profiles
        self._runners = runners

    async def of(self, agent: AgentName, session_id: SessionId, entries: Sequence[EntryView]) -> str:
        """What came of a conversation. Raises only CancelledError."""
        try:
            return await self._by_agent(agent, session_id, entries) or compaction.digest(entries)
        except (HermesError, TimeoutError):
            return compaction.digest(entries)
        except Exception:  # noqa: BLE001 - whatever an adapter raises, a digest is better than nothing
            return compaction.digest(entries)

    async def _by_agent(self, agent: AgentName, session_id: SessionId, entries: Sequence[EntryView]) -> str:
        settings = self._profiles.find(agent)
        if settings is None or not CAPABILITIES[kind_of(settings)].summarizes:
            return ""
        key = SessionId(_PREFIX + session_id)
        runner = await self._runners.take(key, agent, settings)
        try:
            async with asyncio.timeout(settings.compaction.timeout_s):
                return (await runner.summarize(compaction.spoken(entries), model=settings.fast_model)).strip()
        finally:
            self._runners.give_back(key, is_usable=False)
