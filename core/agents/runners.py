"""One runner for each session: made when it is needed, kept while the conversation goes on, let go when it is idle."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from core.agents import workspaces
from core.agents.adapters import Adapter, load_adapter
from core.agents.runner import Runner, RunnerContext
from core.api.base import AgentName, SessionId
from core.clock import Clock
from core.ids import IdSource
from core.secrets import Secret
from core.settings import AgentSettings, OpenaiSettings, ScriptedSettings

IDLE_LIMIT_S = 600.0
_CLOSE_LIMIT_S = 3.0
_KINDS: dict[type[AgentSettings], str] = {ScriptedSettings: "scripted", OpenaiSettings: "openai"}


def kind_of(settings: AgentSettings) -> str:
    """Name of the adapter that the settings are for."""
    return _KINDS[type(settings)]


class _Kept(msgspec.Struct):
    """A runner and who uses it. is_stale: to be let go once its turn is over."""

    agent: AgentName
    runner: Runner
    is_stale: bool = False


class Runners:
    """All runners. A session uses its own from take() to give_back()."""

    def __init__(
        self,
        *,
        agents: Mapping[str, AgentSettings],
        clock: Clock,
        ids: IdSource,
        home: Path,
        secret: Callable[[str], Secret],
        random: Callable[[], float],
    ) -> None:
        self._agents = agents
        self._clock = clock
        self._ids = ids
        self._home = home
        self._secret = secret
        self._random = random
        self._adapters: dict[str, Adapter] = {}
        self._busy: dict[SessionId, _Kept] = {}
        # In the order in which they became idle, so that reaping looks at the first ones only.
        self._idle: dict[SessionId, tuple[float, _Kept]] = {}

    def __len__(self) -> int:
        return len(self._busy) + len(self._idle)

    async def take(self, session_id: SessionId, agent: AgentName) -> Runner:
        """The session's runner, open. Raises what its adapter raises when it cannot start."""
        found = self._idle.pop(session_id, None)
        if found is not None:
            kept = found[1]
            if kept.agent == agent:
                self._busy[session_id] = kept
                return kept.runner
            await _closed(kept.runner)
        runner = (await self._adapter(agent)).create(agent, self._agents[agent], self._context(session_id, agent))
        try:
            await runner.open()
        except BaseException:
            await _closed(runner)
            raise
        self._busy[session_id] = _Kept(agent, runner)
        return runner

    async def give_back(self, session_id: SessionId, *, is_usable: bool) -> None:
        """End the use of a runner. One that is not usable, or was forgotten meanwhile, is let go."""
        kept = self._busy.pop(session_id, None)
        if kept is None:
            return
        if is_usable and not kept.is_stale:
            self._idle[session_id] = (self._clock.monotonic(), kept)
        else:
            await _closed(kept.runner)

    async def forget(self, session_id: SessionId) -> None:
        """Let the session's runner go, after its turn when it has one."""
        if session_id in self._busy:
            self._busy[session_id].is_stale = True
        found = self._idle.pop(session_id, None)
        if found is not None:
            await _closed(found[1].runner)

    async def reap(self) -> int:
        """Let runners go that have been idle for ten minutes. Returns how many."""
        now = self._clock.monotonic()
        count = 0
        while self._idle:
            session_id, (since, kept) = next(iter(self._idle.items()))
            if now - since < IDLE_LIMIT_S:
                break
            del self._idle[session_id]
            await _closed(kept.runner)
            count += 1
        return count

    async def close(self) -> None:
        """Let all of them go."""
        left = [kept for _, kept in self._idle.values()] + list(self._busy.values())
        self._idle.clear()
        self._busy.clear()
        for kept in left:
            await _closed(kept.runner)

    async def _adapter(self, agent: AgentName) -> Adapter:
        name = kind_of(self._agents[agent])
        if name not in self._adapters:
            self._adapters[name] = await asyncio.to_thread(load_adapter, name)
        return self._adapters[name]

    def _context(self, session_id: SessionId, agent: AgentName) -> RunnerContext:
        return RunnerContext(
            clock=self._clock,
            ids=self._ids,
            home=self._home,
            workspace=workspaces.folder(self._home, agent, session_id),
            secret=self._secret,
            random=self._random,
        )


async def _closed(runner: Runner) -> None:
    try:
        async with asyncio.timeout(_CLOSE_LIMIT_S):
            await runner.close()
    except Exception:  # noqa: BLE001 - it is let go in any case, and nobody waits for it
        return
