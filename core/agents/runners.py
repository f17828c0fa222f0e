"""One runner for each session: made when it is needed, kept while the conversation goes on, let go when it is idle."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from core.agent_settings import AgentSettings
from core.agents.adapters import Adapter, load_adapter
from core.agents.kept import Kept, Make, Tally, fits, is_alive, make_of, runner_view
from core.agents.places import check_apart
from core.agents.ports import Bots, Courier, ToolHost
from core.agents.profile import model_of, with_model
from core.agents.runner import Runner, RunnerContext
from core.agents.tools import assets, folders
from core.api.base import AgentName, RunId, SessionId
from core.api.errors import ConflictError, DeadlineExceeded, InvalidInput, Overloaded, Refused, Unavailable
from core.api.profiles import ResetReport
from core.api.runs import RunnerView
from core.clock import Clock, mark
from core.ids import IdSource
from core.secrets import Secret
from core.supervisor import Supervisor
from core.waits import breathe

CLOSE_LIMIT_S = 3.0
"""A runner that takes longer to close is left to itself, and nobody waits longer for one."""

_REAP_EVERY_S = 1.0
_BREATHE_EVERY = 200


def _nobody(session_id: SessionId) -> None:
    del session_id


def _never(session_id: SessionId) -> bool:
    del session_id
    return False


class Runners:
    """All runners. A session uses its own from take() to give_back().

    stop_run: tells a run to stop; False when it is gone. has_open_action: whether a session's runner is asked about
    something that is not decided, so that it must stay. on_change: a session's runner came, went, or is another.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        ids: IdSource,
        supervisor: Supervisor,
        home: Path,
        secret: Callable[[str], Secret],
        random: Callable[[], float],
        tools: ToolHost,
        stop_run: Callable[[RunId, str], bool],
        has_open_action: Callable[[SessionId], bool] = _never,
        on_change: Callable[[SessionId], None] = _nobody,
    ) -> None:
        self._clock = clock
        self._ids = ids
        self._supervisor = supervisor
        self._home = home
        self._secret = secret
        self._random = random
        self._tools = tools
        self._stop_run = stop_run
        self._has_open_action = has_open_action
        self._on_change = on_change
        self._adapters: dict[str, Adapter] = {}
        self._set_up: set[Path] = set()
        self._preparing: set[asyncio.Future[None]] = set()
        self._makes: dict[AgentName, Make] = {}
        self._limits: dict[AgentName, int] = {}
        self._kept: dict[SessionId, Kept] = {}
        # Of each agent, in the order in which they were used last.
        self._of_agent: dict[AgentName, dict[SessionId, Kept]] = {}
        self._tallies: dict[AgentName, Tally] = {}
        self._closing: dict[SessionId, asyncio.Task[None]] = {}
        self._generation = 0
        self._reap_at = 0.0
        self._is_closed = False
        self.courier: Courier | None = None
        self.bots: Bots | None = None

    def __len__(self) -> int:
        return len(self._kept)

    def count(self, agent: AgentName) -> int:
        """Runners of an agent that are kept."""
        return len(self._of_agent.get(agent, ()))

    def tally(self, agent: AgentName) -> Tally:
        """Counts of an agent, to be read and added to."""
        return self._tallies.setdefault(agent, Tally())

    async def take(
        self,
        session_id: SessionId,
        agent: AgentName,
        settings: AgentSettings,
        *,
        model: str = "",
        user: str = "",
        run_id: RunId | None = None,
    ) -> Runner:
        """The session's runner, open; another one when the present one is of other settings, stale or dead.

        model: in place of the agent's own; another one means another runner. user: whose session it is.
        Raises ConflictError while the session uses it, Overloaded when no further one may be kept, DeadlineExceeded
        when it does not open in time, Unavailable while the core stops, and what its adapter raises.
        """
        if self._is_closed:
            raise Unavailable("the core stops", what="runners")
        make = self._make(agent, settings)
        answers = model_of(with_model(settings, model))
        kept = self._kept.get(session_id)
        if kept is not None and kept.is_busy:
            raise ConflictError(f"the runner of {session_id} is at work", key=session_id)
        # One that was made for nobody, as for a summary, works in another folder.
        is_theirs = kept is not None and user in {"", kept.user}
        if kept is not None and kept.runner is not None and is_theirs and fits(kept, make, answers):
            self._use(session_id, kept, user, run_id)
            return kept.runner
        if kept is not None:
            self._let_go(session_id, kept)
        # An older copy of the profile may say otherwise; the present one is what admission goes by.
        self._make_room(agent, self._limits.get(agent, settings.max_runners))
        kept = self._reserve(session_id, make, answers, user, run_id)
        return await self._open(session_id, kept, model)

    def give_back(self, session_id: SessionId, *, is_usable: bool) -> None:
        """End the use of a runner. One that is not usable, dead, or stale by now is let go."""
        kept = self._kept.get(session_id)
        if kept is None or not kept.is_busy:
            return
        kept.is_busy, kept.run_id, kept.active = False, None, mark(self._clock)
        if not is_usable or kept.is_stale or not is_alive(kept):
            self._let_go(session_id, kept)
            return
        mine = self._of_agent[kept.make.agent]
        mine[session_id] = mine.pop(session_id)
        self._on_change(session_id)

    def forget(self, session_id: SessionId) -> None:
        """Let the session's runner go, after its turn when it has one."""
        kept = self._kept.get(session_id)
        if kept is not None:
            self._retire(session_id, kept)

    def note_mode(self, session_id: SessionId, mode: str, *, asks: bool) -> None:
        """Take note of the mode that a runner works in."""
        kept = self._kept.get(session_id)
        if kept is not None and (kept.mode, kept.asks) != (mode, asks):
            kept.mode, kept.asks = mode, asks
            self._on_change(session_id)

    def refresh(self, agent: AgentName, settings: AgentSettings) -> ResetReport:
        """Put other settings of an agent to use: runners made of others go, the busy ones after their turn."""
        make = self._make(agent, settings)
        self._limits[agent] = settings.max_runners
        replaced = marked = 0
        for session_id, kept in list(self._of_agent.get(agent, {}).items()):
            if kept.make.fingerprint == make.fingerprint:
                kept.make = make
            elif self._retire(session_id, kept):
                replaced += 1
            else:
                marked += 1
        return ResetReport(replaced=replaced, marked=marked, stopped=0)

    def reset(
        self,
        *,
        agent: AgentName | None = None,
        session_id: SessionId | None = None,
        user: str = "",
        is_hard: bool = False,
        reason: str = "",
    ) -> ResetReport:
        """Let runners go, the busy ones after their turn. What is given narrows it.

        is_hard: the runs of busy ones are told to stop.
        """
        replaced = marked = stopped = 0
        for found, kept in self._selected(agent, session_id, user):
            self.tally(kept.make.agent).reset_count += 1
            if self._retire(found, kept):
                replaced += 1
            elif is_hard and kept.run_id is not None and self._stop_run(kept.run_id, reason or "the runner is reset"):
                stopped += 1
            else:
                marked += 1
        return ResetReport(replaced=replaced, marked=marked, stopped=stopped)

    async def reap(self) -> int:
        """Let runners go that nobody used for long, and dead ones. Returns how many. Cheap when asked often."""
        now = self._clock.monotonic()
        if now < self._reap_at:
            return 0
        self._reap_at = now + _REAP_EVERY_S
        count = 0
        for number, (session_id, kept) in enumerate(list(self._kept.items()), start=1):
            if number % _BREATHE_EVERY == 0:
                await breathe()
            if self._kept.get(session_id) is kept and self._is_due(session_id, kept, now):
                self._let_go(session_id, kept)
                self.tally(kept.make.agent).reaped_count += 1
                count += 1
        return count

    def generation(self, session_id: SessionId) -> int:
        """Of the session's present runner; 0 when it has none. Grows over all runners of this start of the core."""
        kept = self._kept.get(session_id)
        return kept.generation if kept is not None else 0

    def view(self, session_id: SessionId) -> RunnerView | None:
        """The session's runner; None when it has none."""
        kept = self._kept.get(session_id)
        return runner_view(session_id, kept) if kept is not None else None

    def views(self, agent: AgentName | None = None, limit: int | None = None) -> list[RunnerView]:
        """Runners of one agent or of all, the busy ones first, each in the order of their last use; at most `limit`."""
        found = list(self._selected(agent, None, ""))
        found.sort(key=lambda item: (not item[1].is_busy, -item[1].active.mono))
        return [runner_view(session_id, kept) for session_id, kept in found[:limit]]

    async def close(self) -> None:
        """Let all of them go, and no other come. May be called twice."""
        self._is_closed = True
        for session_id, kept in list(self._kept.items()):
            self._let_go(session_id, kept)
        left = {*self._closing.values(), *self._preparing}
        if left:
            await asyncio.wait(left, timeout=2 * CLOSE_LIMIT_S)

    def _selected(
        self, agent: AgentName | None, session_id: SessionId | None, user: str
    ) -> Sequence[tuple[SessionId, Kept]]:
        pool = self._kept if agent is None else self._of_agent.get(agent, {})
        if session_id is not None:
            pool = {session_id: pool[session_id]} if session_id in pool else {}
        return [(found, kept) for found, kept in pool.items() if user in {"", kept.user}]

    def _make(self, agent: AgentName, settings: AgentSettings) -> Make:
        make = self._makes.get(agent)
        if make is None or make.settings is not settings:
            make = self._makes[agent] = make_of(agent, settings)
        return make

    def _use(self, session_id: SessionId, kept: Kept, user: str, run_id: RunId | None) -> None:
        kept.is_busy, kept.run_id, kept.user = True, run_id, user or kept.user
        kept.active = mark(self._clock)
        # A run that goes on shows its session itself, with what it does next.
        if run_id is None:
            self._on_change(session_id)

    def _make_room(self, agent: AgentName, limit: int) -> None:
        mine = self._of_agent.get(agent, {})
        if not limit or len(mine) < limit:
            return
        for session_id, kept in mine.items():
            if not kept.is_busy and not self._has_open_action(session_id):
                self._let_go(session_id, kept)
                return
        raise Overloaded(f"agent {agent} keeps {limit} runners, all in use", bound="max_runners", limit=limit)

    def _reserve(self, session_id: SessionId, make: Make, model: str, user: str, run_id: RunId | None) -> Kept:
        self._generation += 1
        now = mark(self._clock)
        kept = Kept(make, model, user, self._generation, now, now, run_id)
        self._kept[session_id] = kept
        self._of_agent.setdefault(make.agent, {})[session_id] = kept
        self._on_change(session_id)
        return kept

    async def _open(self, session_id: SessionId, kept: Kept, model: str) -> Runner:
        try:
            if (before := self._closing.get(session_id)) is not None:
                # Two at a time would work in the same folder.
                await asyncio.wait({before}, timeout=CLOSE_LIMIT_S)
            runner = kept.runner = await self._created(kept, model)
            await _opened(runner, kept.make)
        except BaseException:
            self._let_go(session_id, kept)
            raise
        if self._kept.get(session_id) is not kept:
            raise Unavailable("the core stops", what="runners")
        kept.is_open = True
        kept.asks = runner.capabilities.approvals
        self._on_change(session_id)
        return runner

    def folder(self, agent: AgentName, user: str, own: str) -> Path | None:
        """Where a runner of that agent works for a user, links followed; None when it may not. Blocks."""
        try:
            return check_apart(folders.workspace_of(self._home, agent, user, own), self._home)
        except (InvalidInput, Refused):
            return None

    async def _created(self, kept: Kept, model: str) -> Runner:
        make = kept.make
        if make.kind not in self._adapters:
            self._adapters[make.kind] = await asyncio.to_thread(load_adapter, make.kind)
        settings = with_model(make.settings, model)
        workspace = folders.workspace_of(self._home, make.agent, kept.user, settings.workspace)
        await self._prepare(workspace)
        context = RunnerContext(
            clock=self._clock,
            ids=self._ids,
            home=self._home,
            workspace=workspace,
            secret=self._secret,
            random=self._random,
            tools=self._tools,
            policy=make.policy,
            courier=self.courier,
            bots=self.bots,
        )
        return self._adapters[make.kind].create(make.agent, settings, context)

    async def _prepare(self, workspace: Path) -> None:
        # Looked at each time: a link may have been put there since it was set up.
        is_new = workspace not in self._set_up
        # A thread cannot be called back: the stop waits for it.
        making = asyncio.get_running_loop().run_in_executor(None, _prepared, workspace, self._home, is_new)
        self._preparing.add(making)
        making.add_done_callback(self._preparing.discard)
        await asyncio.shield(making)
        self._set_up.add(workspace)

    def _is_due(self, session_id: SessionId, kept: Kept, now: float) -> bool:
        if kept.is_busy or self._has_open_action(session_id):
            return False
        return kept.is_stale or now - kept.active.mono >= kept.make.settings.idle_s or not is_alive(kept)

    def _retire(self, session_id: SessionId, kept: Kept) -> bool:
        """Let a runner go as soon as that harms nobody. True when that is at once."""
        if kept.is_busy or self._has_open_action(session_id):
            if not kept.is_stale:
                kept.is_stale = True
                self._on_change(session_id)
            return False
        self._let_go(session_id, kept)
        return True

    def _let_go(self, session_id: SessionId, kept: Kept) -> None:
        """Forget a runner and close it in a job of its own: nobody waits for a process that does not want to end."""
        if self._kept.get(session_id) is kept:
            del self._kept[session_id]
            mine = self._of_agent[kept.make.agent]
            del mine[session_id]
            if not mine:
                del self._of_agent[kept.make.agent]
            self._on_change(session_id)
        runner, kept.runner = kept.runner, None
        if runner is None:
            return
        task = self._supervisor.spawn(f"runner-close:{session_id}:{kept.generation}", _closed(runner))
        self._closing[session_id] = task

        def ended(_: asyncio.Task[None]) -> None:
            if self._closing.get(session_id) is task:
                del self._closing[session_id]

        task.add_done_callback(ended)


def _prepared(workspace: Path, home: Path, is_new: bool) -> None:
    folder = check_apart(workspace, home)
    if is_new:
        assets.set_up(folder)


async def _opened(runner: Runner, make: Make) -> None:
    limit_s = make.settings.open_limit_s
    scope = asyncio.timeout(limit_s)
    try:
        async with scope:
            await runner.open()
    except TimeoutError:
        if not scope.expired():
            raise
        what = f"the runner of {make.agent} did not open within {limit_s:g} s"
        raise DeadlineExceeded(what, what="runner", limit_s=limit_s) from None


async def _closed(runner: Runner) -> None:
    try:
        async with asyncio.timeout(CLOSE_LIMIT_S):
            await runner.close()
    except Exception:  # noqa: BLE001 - it is let go in any case, and nobody waits for it
        return
