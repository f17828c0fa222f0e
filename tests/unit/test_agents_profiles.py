"""Agents in three places: made, changed, removed, read again, held back; what survives a restart."""

import asyncio
from pathlib import Path

import pytest

from core.agent_settings import PolicySettings, ScriptedSettings
from core.agents.admission import Ended
from core.api.base import AgentName, RunId, SessionId
from core.api.errors import ConflictError, HermesError, InvalidInput, NotFound, Refused, StoreError
from core.api.profiles import (
    CreateProfile,
    DeleteProfile,
    DisableProfile,
    EnableProfile,
    GetDefaultProfile,
    GetProfile,
    LimitAgent,
    ListProfiles,
    ListRunners,
    PauseAgent,
    PoolChanged,
    PoolState,
    PoolView,
    ProfileChanged,
    ProfileDeleted,
    ProfileOrigin,
    ProfileView,
    ResetReport,
    ResetRunners,
    ResumeAgent,
    RunnersReset,
    SyncProfile,
    UpdateProfile,
)
from core.store.base import Batch, Put
from core.store.memory import MemoryStore
from tests.support.profile_rig import ANA, profile_rig

MAIN, NEW, FILED = AgentName("main"), AgentName("new"), AgentName("filed")
R = [RunId(f"r{number}") for number in range(6)]
SCRIPT = "runner: scripted\npace: 0.25\n"


def pool_of(view: ProfileView) -> PoolView:
    """Of an agent that can be used."""
    assert view.pool is not None
    return view.pool


async def test_an_agent_is_made_used_and_shown(tmp_path: Path) -> None:
    """Its row and its event are one write, by the name of who ordered it."""
    async with profile_rig(tmp_path) as rig:
        view = await rig.order(CreateProfile(name=NEW, settings={"runner": "scripted", "seed": 7}))
        assert (view.name, view.origin, view.version, view.is_enabled) == (NEW, ProfileOrigin.STORED, 1, True)
        assert (view.settings["seed"], view.settings["pace"], view.limit) == (7, 1.0, 64)
        assert rig.profiles.get(NEW) == ScriptedSettings(seed=7)
        assert rig.profiles.names() == [MAIN, NEW]
        (record,) = await rig.stored()
        assert (record.subject, record.actor) == (NEW, ANA)
        assert record.event == ProfileChanged(profile=view, what="created")
        assert await rig.ask(GetProfile(name=NEW)) == view
        assert [item.name for item in (await rig.ask(ListProfiles())).profiles] == [MAIN, NEW]
        assert rig.pool.join(NEW, R[0], 0.0)


async def test_an_allowlist_that_nobody_can_have_meant_keeps_an_agent_from_working(tmp_path: Path) -> None:
    """Also where it stands in the configuration: the agent says which pattern, and takes no work."""
    broken = ScriptedSettings(policy=PolicySettings(allow=("exec:ls", "ls -la")))
    async with profile_rig(tmp_path, agents={"main": ScriptedSettings(), "broken": broken}) as rig:
        view = await rig.ask(GetProfile(name=AgentName("broken")))
        assert "config.yaml: agents.broken.policy.allow" in view.problem
        assert "TOOL:GLOB" in view.problem
        assert rig.profiles.refusal("broken")


@pytest.mark.parametrize(
    ("command", "error", "field"),
    [
        (CreateProfile(name=AgentName("Bad Name"), settings={}), InvalidInput, "name"),
        (CreateProfile(name=NEW, settings={"runner": "none"}), InvalidInput, "settings.runner"),
        (CreateProfile(name=NEW, settings={"policy": {"ask": "maybe"}}), InvalidInput, "settings.policy.ask"),
        (CreateProfile(name=NEW, settings={"runner": "openai"}), InvalidInput, "settings.base_url"),
        (CreateProfile(name=MAIN, settings={}), Refused, None),
        (UpdateProfile(name=NEW, settings={}), NotFound, None),
        (UpdateProfile(name=MAIN, settings={}), Refused, None),
        (DeleteProfile(name=NEW), NotFound, None),
        (DeleteProfile(name=MAIN), Refused, None),
        (SyncProfile(name=NEW), NotFound, None),
        (PauseAgent(name=NEW), NotFound, None),
        (EnableProfile(name=NEW), NotFound, None),
        (LimitAgent(name=MAIN, limit=-1), InvalidInput, "limit"),
        (LimitAgent(name=MAIN, limit=5000), InvalidInput, "limit"),
        (ResetRunners(agent=NEW), NotFound, None),
    ],
)
async def test_what_cannot_be_changes_nothing(
    tmp_path: Path, command: CreateProfile, error: type[HermesError], field: str | None
) -> None:
    """It is refused with the field that is wrong; no row, no event, no agent."""
    async with profile_rig(tmp_path) as rig:
        with pytest.raises(error) as caught:
            await rig.order(command)
        assert caught.value.facts.get("field") == field
        assert await rig.stored() == []
        assert await rig.store.scan("") == []
        assert rig.profiles.names() == [MAIN]


async def test_a_change_is_merged_and_null_goes_back_to_the_default(tmp_path: Path) -> None:
    """What goes on keeps its slot; the limit and the runners follow."""
    async with profile_rig(tmp_path) as rig:
        settings = {"pace": 0.0, "seed": 3, "concurrency": 1}
        before = await rig.order(CreateProfile(name=NEW, settings=settings))
        rig.pool.join(NEW, R[0], 0.0)
        rig.pool.join(NEW, R[1], 0.0)
        changes = {"pace": None, "concurrency": 2, "policy": {"ask": "off"}}
        after = await rig.order(UpdateProfile(name=NEW, settings=changes, version=1))
        assert (after.version, after.settings["pace"], after.settings["seed"], after.limit) == (2, 1.0, 3, 2)
        assert (after.settings["policy"]["ask"], after.policy.ask.value) == ("off", "off")
        assert after.fingerprint != before.fingerprint
        assert rig.woken == [R[1]]
        event = (await rig.stored())[-1].event
        assert isinstance(event, ProfileChanged)
        assert (event.what, event.profile.version, event.profile.settings) == ("changed", 2, after.settings)


async def test_a_change_of_what_was_not_looked_at_conflicts(tmp_path: Path) -> None:
    """The version says what was looked at; without one the check is left out."""
    async with profile_rig(tmp_path) as rig:
        await rig.order(CreateProfile(name=NEW, settings={}))
        await rig.order(UpdateProfile(name=NEW, settings={"seed": 1}, version=1))
        with pytest.raises(ConflictError) as caught:
            await rig.order(UpdateProfile(name=NEW, settings={"seed": 2}, version=1))
        assert (caught.value.facts["expected"], caught.value.facts["found"]) == (1, 2)
        assert (await rig.order(UpdateProfile(name=NEW, settings={"seed": 2}))).version == 3


async def test_a_change_that_cannot_be_names_the_setting_and_leaves_all(tmp_path: Path) -> None:
    """Also one that only fails together with what was there before."""
    async with profile_rig(tmp_path) as rig:
        view = await rig.order(CreateProfile(name=NEW, settings={"seed": 1}))
        with pytest.raises(InvalidInput) as caught:
            await rig.order(UpdateProfile(name=NEW, settings={"runner": "acp", "command": ["a"]}))
        assert caught.value.facts["field"] == "settings.seed"
        assert await rig.ask(GetProfile(name=NEW)) == view


async def test_a_removed_agent_stops_its_runs(tmp_path: Path) -> None:
    """Those that wait and those that go on; its name is free again."""
    async with profile_rig(tmp_path) as rig:
        await rig.order(CreateProfile(name=NEW, settings={"concurrency": 1}))
        await rig.order(PauseAgent(name=NEW))
        await rig.order(ResumeAgent(name=NEW))
        rig.pool.join(NEW, R[0], 0.0)
        rig.pool.join(NEW, R[1], 0.0)
        assert (await rig.order(DeleteProfile(name=NEW))).stopped == 2
        assert rig.stopped == [R[1], R[0]]
        assert (await rig.stored())[-1].event == ProfileDeleted(name=NEW)
        assert rig.profiles.find(NEW) is None
        with pytest.raises(NotFound):
            rig.profiles.get(NEW)
        rig.pool.leave(NEW, R[0], Ended.NEUTRAL, 0.0)
        assert (await rig.order(CreateProfile(name=NEW, settings={}))).version == 1


async def test_agents_orders_and_limits_survive_a_restart(tmp_path: Path) -> None:
    """What was made, paused, limited, disabled is so again, with who said it and why."""
    store = MemoryStore()
    async with profile_rig(tmp_path, store=store) as rig:
        await rig.order(CreateProfile(name=NEW, settings={"seed": 7}))
        await rig.order(UpdateProfile(name=NEW, settings={"seed": 8}))
        await rig.order(PauseAgent(name=NEW, reason="looks\nwrong"))
        await rig.order(LimitAgent(name=MAIN, limit=3))
        await rig.order(DisableProfile(name=MAIN, reason="at night"))
    async with profile_rig(tmp_path, store=store) as rig:
        new, main = (pool_of(rig.profiles.view(name)) for name in (NEW, MAIN))
        assert (new.state, new.reason, new.changed_by) == (PoolState.PAUSED, "looks wrong", "ana")
        assert (main.state, main.reason, main.limit, main.configured_limit) == (PoolState.DISABLED, "at night", 3, 64)
        assert rig.profiles.view(NEW).version == 2
        assert rig.profiles.refusal(MAIN) == "agent main is disabled"
        with pytest.raises(Refused):
            rig.profiles.get(MAIN)
        assert rig.profiles.find(MAIN) is not None
        assert not rig.pool.join(NEW, R[0], 0.0)
        await rig.order(ResumeAgent(name=NEW))
        await rig.order(EnableProfile(name=MAIN))
        await rig.order(LimitAgent(name=MAIN, limit=0))
        assert rig.woken == [R[0]]
        assert await rig.store.scan("pool/") == []
    async with profile_rig(tmp_path, store=store) as rig:
        assert pool_of(rig.profiles.view(NEW)).state is PoolState.READY
        assert rig.profiles.refusal(MAIN) == ""
    await store.close()


async def test_a_damaged_order_keeps_the_agent_paused(tmp_path: Path) -> None:
    """Nobody knows whether it was stopped, so it does not start by itself; the core does."""
    store = MemoryStore()
    async with profile_rig(tmp_path, store=store) as rig:
        await rig.order(PauseAgent(name=MAIN))
        await rig.order(CreateProfile(name=NEW, settings={}))
    for key in ("pool/main", "profile/new"):
        row = await store.get(key)
        assert row is not None

        await store.commit(Batch([Put(key, b"{")]))
    async with profile_rig(tmp_path, store=store) as rig:
        main = pool_of(rig.profiles.view(MAIN))
        assert main.state is PoolState.PAUSED
        assert "damaged" in main.reason
        assert "damaged" in rig.profiles.view(NEW).problem
        with pytest.raises(Refused, match="damaged"):
            rig.profiles.get(NEW)
        assert (await rig.order(UpdateProfile(name=NEW, settings={"runner": "scripted"}))).problem == ""
        rig.profiles.get(NEW)
    await store.close()


async def test_pausing_says_so_before_and_after(tmp_path: Path) -> None:
    """The stored event shows the state that it brings about."""
    async with profile_rig(tmp_path) as rig:
        view = await rig.order(PauseAgent(name=MAIN, reason="wait"))
        assert pool_of(view).state is PoolState.PAUSED
        assert (await rig.stored())[-1].event == PoolChanged(profile=view, reason="wait")
        view = await rig.order(LimitAgent(name=MAIN, limit=2))
        assert (await rig.stored())[-1].event == PoolChanged(profile=view, reason="wait")
        view = await rig.order(ResumeAgent(name=MAIN))
        assert (await rig.stored())[-1].event == PoolChanged(profile=view)
        view = await rig.order(DisableProfile(name=MAIN))
        assert (await rig.stored())[-1].event == ProfileChanged(profile=view, what="disabled")
        assert not view.is_enabled


async def test_a_degraded_agent_is_told_live_and_resumed_by_an_operator(tmp_path: Path) -> None:
    """It came by itself, so nothing is stored; the operator's word is."""
    async with profile_rig(tmp_path) as rig:
        for run_id in R[:5]:
            rig.pool.join(MAIN, run_id, rig.clock.monotonic())
            rig.pool.leave(MAIN, run_id, Ended.FAILED, rig.clock.monotonic())
        rig.profiles.publish_changed()
        rig.profiles.publish_changed()
        (record,) = rig.records
        assert isinstance(record.event, PoolChanged)
        pool = pool_of(record.event.profile)
        assert (record.durable, pool.state, pool.failure_count) == (False, PoolState.DEGRADED, 5)
        assert pool.retry is not None
        assert pool.retry.at - rig.clock.now() == pytest.approx(30.0)
        view = await rig.order(ResumeAgent(name=MAIN))
        assert (pool_of(view).state, pool_of(view).failure_count) == (PoolState.READY, 0)
        assert (await rig.stored())[-1].event == PoolChanged(profile=view)


async def test_a_setting_that_is_changed_later_wins_over_the_order_before(tmp_path: Path) -> None:
    """Disabled by order, then enabled by its profile: enabled."""
    async with profile_rig(tmp_path) as rig:
        view = await rig.order(CreateProfile(name=NEW, settings={"enabled": False}))
        assert (view.is_enabled, pool_of(view).reason) == (False, "its profile says enabled: false")
        assert (await rig.order(EnableProfile(name=NEW))).is_enabled
        await rig.order(DisableProfile(name=NEW, reason="no"))
        assert (await rig.order(UpdateProfile(name=NEW, settings={"seed": 1}))).is_enabled is False
        assert (await rig.order(UpdateProfile(name=NEW, settings={"enabled": True}))).is_enabled
        rig.profiles.get(NEW)


async def test_an_order_is_carried_out_whoever_waits_for_it(tmp_path: Path) -> None:
    """A caller who leaves does not leave row and pool in disagreement."""
    async with profile_rig(tmp_path) as rig:
        task = asyncio.ensure_future(rig.order(PauseAgent(name=MAIN)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await rig.order(LimitAgent(name=MAIN, limit=1))
        assert pool_of(rig.profiles.view(MAIN)).state is PoolState.PAUSED
        assert len(await rig.stored()) == 2


async def test_a_store_that_fails_leaves_everything_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither agent nor order counts before it is stored."""
    async with profile_rig(tmp_path) as rig:

        async def refuse(*_: object, **__: object) -> None:
            raise StoreError("full", cause="full")

        monkeypatch.setattr(rig.journal, "commit", refuse)
        for command in (CreateProfile(name=NEW, settings={}), PauseAgent(name=MAIN), SyncProfile(name=MAIN)):
            with pytest.raises(StoreError):
                await rig.order(command)
        assert rig.profiles.names() == [MAIN]
        assert rig.pool.join(MAIN, R[0], 0.0)


async def test_defaults_can_be_looked_at_before(tmp_path: Path) -> None:
    """And an agent made of them is one."""
    async with profile_rig(tmp_path) as rig:
        defaults = await rig.ask(GetDefaultProfile(name=NEW))
        view = await rig.order(CreateProfile(name=NEW, settings=defaults.settings))
        assert view.settings == defaults.settings


async def test_runners_are_listed_and_reset(tmp_path: Path) -> None:
    """Who did it and what came of it is in the journal."""
    async with profile_rig(tmp_path) as rig:
        session = SessionId("s")
        await rig.runners.take(session, MAIN, rig.profiles.get(MAIN), user="ana", run_id=R[0])
        listed = await rig.ask(ListRunners(agent=MAIN))
        assert [view.session_id for view in listed.runners] == [session]
        with pytest.raises(InvalidInput):
            await rig.ask(ListRunners(limit=0))
        report = await rig.order(ResetRunners(user="ana", is_hard=True, reason="new key"))
        assert report == ResetReport(replaced=0, marked=0, stopped=1)
        assert rig.stopped == [R[0]]
        event = (await rig.stored())[-1].event
        assert event == RunnersReset(scope="user ana", report=report, reason="new key")
        pool = pool_of(rig.profiles.view(MAIN))
        assert (pool.runner_count, pool.reset_count) == (1, 1)
        rig.runners.give_back(session, is_usable=True)


async def test_secrets_of_an_agent_are_made_known_before_it_is_used(tmp_path: Path) -> None:
    """And shown by their kind alone."""
    async with profile_rig(tmp_path) as rig:
        settings = {"runner": "acp", "command": ["agent"], "secrets": {"KEY": "env:SOME_KEY"}}
        view = await rig.order(CreateProfile(name=NEW, settings=settings))
        assert rig.learned == {"env:SOME_KEY"}
        assert view.settings["secrets"] == {"KEY": "env:***"}
        changed = await rig.order(UpdateProfile(name=NEW, settings={"secrets": view.settings["secrets"]}))
        assert changed.fingerprint == view.fingerprint
