"""One runner for each session: taken, given back, replaced, reset, reaped."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.agent_settings import AcpSettings, AgentSettings, OpenaiSettings, ScriptedSettings
from core.agents.runner import TurnRequest
from core.agents.runners import CLOSE_LIMIT_S, Runners
from core.api.base import AgentName, RunId, SessionId
from core.api.errors import ConfigError, ConflictError, DeadlineExceeded, Overloaded, Refused, Unavailable
from core.api.policies import Runtime
from core.api.profiles import ResetReport
from core.api.runs import RunnerState, RunReport, Stop, TurnEnded
from core.ids import IdSource
from core.supervisor import Supervisor
from tests.support.agent_parts import secret
from tests.support.clocks import FakeClock
from tests.support.fake_tools import FakeTools
from tests.support.puppets import Puppet, Puppeteer

A, B = AgentName("a"), AgentName("b")
S = [SessionId(f"local:dm:{name}") for name in ("ana", "ben", "cid", "dan")]
RUN = RunId("r-1")
SETTINGS = OpenaiSettings(base_url="http://localhost:1/v1", model="small")


class Rig:
    """Runners over puppets. changed: sessions whose runner changed; stopped: runs that were told to stop."""

    def __init__(self, home: Path, puppets: Puppeteer) -> None:
        self.puppets = puppets
        self.clock = FakeClock()
        self.errors: list[tuple[str, Exception]] = []
        self.supervisor = Supervisor(self.clock, lambda *_: None, lambda *told: self.errors.append(told))
        self.changed: list[SessionId] = []
        self.stopped: list[tuple[RunId, str]] = []
        self.asked: set[SessionId] = set()
        self.runners = Runners(
            clock=self.clock,
            ids=IdSource(self.clock),
            supervisor=self.supervisor,
            home=home,
            secret=secret,
            random=random.Random(1).random,
            tools=FakeTools(),
            stop_run=self._stop,
            has_open_action=lambda session_id: session_id in self.asked,
            on_change=self.changed.append,
        )

    def _stop(self, run_id: RunId, reason: str) -> bool:
        self.stopped.append((run_id, reason))
        return True

    async def used(
        self, session_id: SessionId, settings: AgentSettings = SETTINGS, *, agent: AgentName = A, **more: Any
    ) -> Puppet:
        """A turn that is over: the runner that was taken for it, idle again."""
        puppet = await self.runners.take(session_id, agent, settings, **more)
        self.runners.give_back(session_id, is_usable=True)
        assert isinstance(puppet, Puppet)
        return puppet

    def state(self, session_id: SessionId) -> RunnerState | None:
        """Of the session's runner."""
        view = self.runners.view(session_id)
        return view.state if view is not None else None


async def silent(puppet: Puppet, request: TurnRequest) -> AsyncIterator[RunReport]:
    """A turn without a word."""
    del puppet, request
    yield TurnEnded(stop=Stop.END_TURN)


@pytest.fixture
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    """Runners that are all closed at the end."""
    puppets = Puppeteer(monkeypatch)
    puppets.turn = silent
    made = Rig(tmp_path, puppets)
    yield made
    await made.runners.close()
    assert await made.supervisor.stop(deadline_s=5.0) == []
    assert made.errors == []
    assert len(made.runners) == 0
    assert all(puppet.closed.is_set() for puppet in puppets.made)


async def test_a_session_keeps_its_runner(rig: Rig) -> None:
    """From turn to turn; each session has its own, with a generation of its own."""
    first = await rig.used(S[0])
    assert await rig.used(S[0]) is first
    assert await rig.used(S[1]) is not first
    assert (rig.runners.generation(S[0]), rig.runners.generation(S[1])) == (1, 2)
    assert (len(rig.runners), rig.runners.count(A), rig.runners.generation(S[2])) == (2, 2, 0)


async def test_a_runner_is_given_what_it_needs(rig: Rig) -> None:
    """Settings, a folder of its own, the policy in the words of the facade."""
    await rig.used(S[0], AcpSettings(command=("x",)))
    agent, settings, context = rig.puppets.asked[0]
    assert (agent, settings) == (A, AcpSettings(command=("x",)))
    assert context.policy.runtime_type is Runtime.PROCESS
    assert context.workspace.parent == context.home / "workspaces" / A


@pytest.mark.parametrize("settings", [SETTINGS, ScriptedSettings(), AcpSettings(command=("x",))])
@pytest.mark.parametrize("kept", ["secrets", "agents", "."])
async def test_no_agent_is_given_what_the_core_keeps_for_itself(
    kept: str, settings: AgentSettings, rig: Rig, tmp_path: Path
) -> None:
    """Whatever drives it and wherever links lead; also when one was put there after the folder was used."""
    (tmp_path / kept).mkdir(exist_ok=True)
    (tmp_path / "link").symlink_to(tmp_path / kept)
    before = await asyncio.to_thread(lambda: sorted(tmp_path.rglob("*")))
    for own in (kept, f"{kept}/x" if kept != "." else "..", "link", *(["link/x"] if kept != "." else [])):
        with pytest.raises(Refused, match="keeps for itself"):
            await rig.runners.take(S[0], A, msgspec.structs.replace(settings, workspace=own))
    assert await asyncio.to_thread(lambda: sorted(tmp_path.rglob("*"))) == before
    shared = msgspec.structs.replace(settings, workspace="work")
    await rig.used(S[0], shared)
    (tmp_path / "work").rename(tmp_path / "gone")
    (tmp_path / "work").symlink_to(tmp_path / kept)
    with pytest.raises(Refused, match="keeps for itself"):
        await rig.runners.take(S[1], A, shared)
    assert len(rig.puppets.made) == 1


async def test_other_settings_mean_another_runner(rig: Rig) -> None:
    """Unless only limits differ that the core keeps itself."""
    first = await rig.used(S[0])
    assert await rig.used(S[0], msgspec.structs.replace(SETTINGS, concurrency=1)) is first
    second = await rig.used(S[0], msgspec.structs.replace(SETTINGS, system_prompt="Be brief."))
    assert second is not first
    await rig.clock.advance(0)
    assert first.closed.is_set()
    assert await rig.used(S[0], SETTINGS, agent=B) is not second
    assert (rig.runners.count(A), rig.runners.count(B)) == (0, 1)


async def test_another_model_means_another_runner(rig: Rig) -> None:
    """Made with it; the agent's own is not another."""
    first = await rig.used(S[0])
    assert await rig.used(S[0], model="small") is first
    assert await rig.used(S[0], model="large") is not first
    settings = rig.puppets.asked[-1][1]
    assert isinstance(settings, OpenaiSettings)
    assert settings.model == "large"
    view = rig.runners.view(S[0])
    assert view is not None
    assert view.model == "large"
    scripted = await rig.used(S[1], ScriptedSettings())
    assert await rig.used(S[1], ScriptedSettings(), model="large") is scripted


async def test_a_dead_or_unusable_runner_is_replaced(rig: Rig) -> None:
    """Whether it died in its turn, at rest, or was given back as unfit."""
    first = await rig.used(S[0])
    first.is_dead = True
    assert rig.state(S[0]) is RunnerState.DEAD
    second = await rig.used(S[0])
    assert second is not first
    await rig.runners.take(S[0], A, SETTINGS)
    rig.runners.give_back(S[0], is_usable=False)
    assert rig.state(S[0]) is None
    third = await rig.runners.take(S[0], A, SETTINGS)
    assert isinstance(third, Puppet)
    third.is_dead = True
    rig.runners.give_back(S[0], is_usable=True)
    assert rig.state(S[0]) is None
    assert rig.runners.generation(S[0]) == 0


async def test_two_cannot_use_one_runner(rig: Rig) -> None:
    """The second is refused and the first not disturbed; giving back twice changes nothing."""
    await rig.runners.take(S[0], A, SETTINGS)
    with pytest.raises(ConflictError):
        await rig.runners.take(S[0], A, SETTINGS)
    rig.runners.give_back(S[0], is_usable=True)
    rig.runners.give_back(S[0], is_usable=False)
    assert rig.state(S[0]) is RunnerState.IDLE


async def test_a_soft_reset_waits_for_the_turn(rig: Rig) -> None:
    """Idle ones go at once, a busy one is stale and goes when it is given back."""
    await rig.runners.take(S[0], A, SETTINGS, run_id=RUN)
    idle = await rig.used(S[1])
    assert rig.runners.reset(agent=A) == ResetReport(replaced=1, marked=1, stopped=0)
    assert (rig.state(S[0]), rig.state(S[1])) == (RunnerState.STALE, None)
    await rig.clock.advance(0)
    assert idle.closed.is_set()
    assert not rig.puppets.made[0].closed.is_set()
    rig.runners.give_back(S[0], is_usable=True)
    assert rig.state(S[0]) is None
    assert (rig.stopped, rig.runners.tally(A).reset_count) == ([], 2)


async def test_a_hard_reset_tells_runs_to_stop(rig: Rig) -> None:
    """With the reason that was given."""
    await rig.runners.take(S[0], A, SETTINGS, run_id=RUN)
    await rig.used(S[1])
    report = rig.runners.reset(is_hard=True, reason="new key")
    assert report == ResetReport(replaced=1, marked=0, stopped=1)
    assert rig.stopped == [(RUN, "new key")]
    rig.runners.give_back(S[0], is_usable=True)
    assert len(rig.runners) == 0


async def test_a_reset_reaches_what_it_names(rig: Rig) -> None:
    """An agent, a session, a user, or their overlap."""
    await rig.used(S[0], user="ana")
    await rig.used(S[1], user="ben")
    await rig.used(S[2], agent=B, user="ana")
    assert rig.runners.reset(session_id=S[3]).replaced == 0
    assert rig.runners.reset(agent=B, user="ben").replaced == 0
    assert rig.runners.reset(session_id=S[1]).replaced == 1
    assert rig.runners.reset(user="ana").replaced == 2
    assert len(rig.runners) == 0


async def test_a_change_of_the_profile_replaces_the_runners_it_concerns(rig: Rig) -> None:
    """Those that are made of what changed; the others take the new limits on."""
    await rig.used(S[0])
    await rig.runners.take(S[1], A, SETTINGS)
    await rig.used(S[2], agent=B)
    shorter = msgspec.structs.replace(SETTINGS, idle_s=1.0)
    assert rig.runners.refresh(A, shorter) == ResetReport(replaced=0, marked=0, stopped=0)
    other = msgspec.structs.replace(shorter, model="large")
    await rig.clock.advance(2)
    assert await rig.runners.reap() == 1
    await rig.used(S[0], shorter)
    assert rig.runners.refresh(A, other) == ResetReport(replaced=1, marked=1, stopped=0)
    assert rig.state(S[2]) is RunnerState.IDLE
    rig.runners.give_back(S[1], is_usable=True)
    assert rig.state(S[1]) is None


async def test_idle_and_dead_runners_are_reaped_and_no_others(rig: Rig) -> None:
    """Idle for as long as the profile says; never a busy one, never one that an operator is asked about."""
    for session_id in S[:3]:
        await rig.used(session_id)
    await rig.runners.take(S[3], A, SETTINGS)
    rig.asked.add(S[0])
    await rig.clock.advance(599)
    assert await rig.runners.reap() == 0
    await rig.used(S[1])
    await rig.clock.advance(2)
    assert await rig.runners.reap() == 1
    assert [rig.state(session_id) for session_id in S] == [
        RunnerState.IDLE,
        RunnerState.IDLE,
        None,
        RunnerState.BUSY,
    ]
    rig.puppets.made[1].is_dead = True
    await rig.clock.advance(2)
    assert await rig.runners.reap() == 1
    rig.asked.clear()
    await rig.clock.advance(2)
    assert await rig.runners.reap() == 1
    assert rig.runners.tally(A).reaped_count == 3


async def test_a_stale_runner_with_an_open_action_goes_once_it_is_decided(rig: Rig) -> None:
    """A decision must find the runner that asked."""
    await rig.used(S[0])
    rig.asked.add(S[0])
    rig.runners.forget(S[0])
    assert rig.state(S[0]) is RunnerState.STALE
    assert await rig.runners.reap() == 0
    rig.asked.clear()
    await rig.clock.advance(1)
    assert await rig.runners.reap() == 1


async def test_at_the_bound_the_longest_idle_runner_makes_room(rig: Rig) -> None:
    """Of that agent; while all are in use none is made."""
    settings = msgspec.structs.replace(SETTINGS, max_runners=2)
    await rig.used(S[0], settings)
    await rig.used(S[1], settings)
    await rig.used(S[0], settings)
    await rig.used(S[3], settings, agent=B)
    await rig.runners.take(S[2], A, settings)
    assert [rig.state(session_id) is not None for session_id in S] == [True, False, True, True]
    await rig.runners.take(S[0], A, settings)
    with pytest.raises(Overloaded) as caught:
        await rig.runners.take(S[1], A, settings)
    assert caught.value.facts["limit"] == 2
    rig.runners.refresh(A, msgspec.structs.replace(settings, max_runners=3))
    await rig.runners.take(S[1], A, settings)


async def test_a_runner_that_does_not_open_leaves_nothing_behind(rig: Rig) -> None:
    """Its error is the caller's, its place is free, and it is closed."""

    def broken() -> None:
        raise ConfigError("no such program", key="command")

    rig.puppets.opening = broken
    with pytest.raises(ConfigError):
        await rig.runners.take(S[0], A, SETTINGS)
    assert rig.state(S[0]) is None
    rig.puppets.opening = None
    assert await rig.used(S[0]) is rig.puppets.made[1]


async def test_opening_has_a_deadline(rig: Rig) -> None:
    """The profile's; who waits is told so."""
    rig.puppets.hangs_at_open = True
    with pytest.raises(DeadlineExceeded):
        await rig.runners.take(S[0], A, msgspec.structs.replace(SETTINGS, open_limit_s=0.01))
    assert rig.state(S[0]) is None


async def test_a_runner_that_opens_shows_and_can_be_given_up(rig: Rig) -> None:
    """Cancelled half way, it is closed."""
    rig.puppets.hangs_at_open = True
    task = asyncio.ensure_future(rig.runners.take(S[0], A, SETTINGS))
    await rig.puppets.opened.wait()
    assert rig.state(S[0]) is RunnerState.OPENING
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rig.state(S[0]) is None


async def test_nobody_waits_for_a_runner_that_does_not_close(rig: Rig) -> None:
    """The caller goes on at once; the session's next runner waits for it, but not for ever."""
    first = await rig.used(S[0])
    first.hangs_at_close = True
    rig.runners.forget(S[0])
    assert rig.state(S[0]) is None
    began = asyncio.get_running_loop().time()
    assert await rig.used(S[0]) is not first
    assert asyncio.get_running_loop().time() - began >= CLOSE_LIMIT_S / 2


async def test_after_the_end_no_runner_is_made(rig: Rig) -> None:
    """One that was opening meanwhile is closed too."""
    rig.puppets.hangs_at_open = True
    task = asyncio.ensure_future(rig.runners.take(S[0], A, msgspec.structs.replace(SETTINGS, open_limit_s=0.05)))
    await rig.puppets.opened.wait()
    await rig.runners.close()
    with pytest.raises((Unavailable, DeadlineExceeded)):
        await task
    with pytest.raises(Unavailable):
        await rig.runners.take(S[1], A, SETTINGS)


async def test_views_show_who_uses_what(rig: Rig) -> None:
    """The busy ones first; mode and whether it asks as the runner said last."""
    await rig.used(S[0], user="ana")
    await rig.runners.take(S[1], A, SETTINGS, user="ben", run_id=RUN)
    await rig.used(S[2], agent=B)
    assert [view.session_id for view in rig.runners.views()] == [S[1], S[2], S[0]] or [
        view.session_id for view in rig.runners.views()
    ] == [S[1], S[0], S[2]]
    assert rig.runners.views(limit=2) == rig.runners.views()[:2]
    (busy, idle) = rig.runners.views(A)
    assert (busy.run_id, busy.user, busy.state, busy.kind) == (RUN, "ben", RunnerState.BUSY, "openai")
    assert (idle.run_id, idle.user, idle.asks) == (None, "ana", True)
    rig.changed.clear()
    rig.runners.note_mode(S[1], "yolo", asks=False)
    rig.runners.note_mode(S[1], "yolo", asks=False)
    view = rig.runners.view(S[1])
    assert view is not None
    assert (view.mode, view.asks, rig.changed) == ("yolo", False, [S[1]])


async def test_every_change_is_told(rig: Rig) -> None:
    """Reserved, open, idle, busy, stale, gone."""
    await rig.runners.take(S[0], A, SETTINGS)
    assert rig.changed == [S[0]] * 2
    rig.runners.give_back(S[0], is_usable=True)
    await rig.runners.take(S[0], A, SETTINGS)
    rig.runners.forget(S[0])
    rig.runners.forget(S[0])
    rig.runners.give_back(S[0], is_usable=True)
    assert rig.changed == [S[0]] * 6
