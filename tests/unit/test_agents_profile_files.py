"""Agents as files: read strictly, written whole, broken ones shown and the rest at work."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.agent_settings import ScriptedSettings
from core.agents.profiles.files import SIZE_LIMIT_BYTES, written
from core.api.base import AgentName
from core.api.errors import ConfigError, ConflictError, InvalidInput, NotFound, Refused
from core.api.profiles import (
    CreateProfile,
    DeleteProfile,
    DisableProfile,
    ProfileChanged,
    ProfileDeleted,
    ProfileOrigin,
    SyncProfile,
    UpdateProfile,
)
from core.config.text import parse
from core.store.memory import MemoryStore
from tests.support.profile_rig import profile_rig
from tests.support.tree import ROOT

MAIN, NEW, FILED = AgentName("main"), AgentName("new"), AgentName("filed")
SCRIPT = "runner: scripted\npace: 0.25\n"


async def test_a_file_is_an_agent_of_its_name(tmp_path: Path) -> None:
    """Read at the start, enabled, shown with where it stands."""
    async with profile_rig(tmp_path, filed=SCRIPT) as rig:
        view = rig.profiles.view(FILED)
        assert (view.origin, view.file, view.problem) == (ProfileOrigin.FILE, "agents/filed.yaml", "")
        assert rig.profiles.get(FILED) == ScriptedSettings(pace=0.25)
        assert rig.pool.has(FILED)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("runner: scripted\npaec: 1\n", "agents/bad.yaml:2: paec is not a key (did you mean pace?)"),
        ("runner: scripted\npace: 1\npace: 2\n", "agents/bad.yaml:3: pace is there twice"),
        ("runner: scripted\npolicy:\n  ask: no-way\n", 'agents/bad.yaml:3: policy.ask cannot be "no-way"'),
        ("pace: 1\n", "agents/bad.yaml:1: runner is missing"),
        ("", "agents/bad.yaml:1: runner is missing"),
        ("runner: [\n", "agents/bad.yaml:2: "),
        ("runner: &x scripted\n", "anchors (&name) are not taken"),
        ("runner: openai\nbase_url: http://x/v1\nmodel: m\nkey: sk-1\n", "agents/bad.yaml:4: key must be a reference"),
        ("runner: scripted\n#" + "x" * SIZE_LIMIT_BYTES, "is larger than"),
    ],
)
async def test_a_broken_file_is_shown_and_the_rest_starts(tmp_path: Path, text: str, problem: str) -> None:
    """With file, line, key and fix; it is refused for work, and nothing of its content is shown."""
    async with profile_rig(tmp_path, bad=text, filed=SCRIPT) as rig:
        view = rig.profiles.view(AgentName("bad"))
        assert problem in view.problem
        assert "sk-1" not in view.problem
        assert (view.settings, view.pool) == ({}, None)
        assert rig.profiles.find("bad") is None
        with pytest.raises(Refused):
            rig.profiles.get("bad")
        rig.profiles.get(FILED)


async def test_what_is_no_agent_in_the_folder_is_named_or_left_alone(tmp_path: Path) -> None:
    """A wrong ending and a wrong name are told; drafts and notes are not looked at."""
    (tmp_path / "agents").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "agents" / "pipe.yaml", 0o600)
    (tmp_path / "agents" / "latin.yaml").write_bytes(b"runner: scripted\ndescription: \xe9\n")
    (tmp_path / "agents" / "notes.md").write_text("hello", encoding="utf-8")
    async with profile_rig(tmp_path) as rig:
        for name in ("My Agent.yaml", ".draft.yaml", "other.yml"):
            rig.write(name, SCRIPT)
        await rig.profiles.open()
        assert rig.profiles.names() == ["My Agent", "latin", MAIN, "other", "pipe"]
        problems = {name: rig.profiles.view(name).problem for name in rig.profiles.names()}
        assert "has not the name of an agent" in problems[AgentName("My Agent")]
        assert "rename it to other.yaml" in problems[AgentName("other")]
        assert "is not a file" in problems[AgentName("pipe")]
        assert "agents/latin.yaml:2 is not UTF-8" in problems[AgentName("latin")]


async def test_a_file_that_others_may_write_is_not_used(tmp_path: Path) -> None:
    """It says which programs are started."""
    async with profile_rig(tmp_path) as rig:
        rig.write("filed.yaml", SCRIPT).chmod(0o666)
        with pytest.raises(ConfigError, match="can be written by others"):
            await rig.order(SyncProfile(name=FILED))
        (tmp_path / "agents").chmod(0o777)
        await rig.profiles.open()
        assert "can be written by others" in rig.profiles.view(AgentName("agents")).problem


async def test_the_same_name_in_two_places_is_used_from_neither(tmp_path: Path) -> None:
    """Both are named; once one of them is gone the other is used."""
    store = MemoryStore()
    async with profile_rig(tmp_path, store=store) as rig:
        await rig.order(CreateProfile(name=NEW, settings={"seed": 1}))
    agents: dict[str, Any] = {"main": ScriptedSettings(pace=0.5)}
    async with profile_rig(tmp_path, store=store, agents=agents, new=SCRIPT, main=SCRIPT) as rig:
        assert "in config.yaml and agents/main.yaml" in rig.profiles.view(MAIN).problem
        assert "in agents/new.yaml and the store" in rig.profiles.view(NEW).problem
        with pytest.raises(Refused):
            await rig.order(UpdateProfile(name=NEW, settings={"seed": 2}))
        assert (await rig.order(DeleteProfile(name=NEW))).stopped == 0
        assert rig.profiles.get(NEW) == ScriptedSettings(pace=0.25)
        (tmp_path / "agents" / "main.yaml").unlink()
        assert (await rig.order(SyncProfile(name=MAIN))).problem == ""
        assert rig.profiles.get(MAIN) == ScriptedSettings(pace=0.5)
        rig.write("late.yaml", SCRIPT)
        with pytest.raises(Refused, match="is there already"):
            await rig.order(CreateProfile(name=AgentName("late"), settings={}))
    await store.close()


async def test_a_file_may_say_what_the_built_in_agent_is(tmp_path: Path) -> None:
    """Nobody wrote that one down, so nothing of anybody's is overridden."""
    async with profile_rig(tmp_path, agents={"main": ScriptedSettings()}, main=SCRIPT) as rig:
        assert rig.profiles.get(MAIN) == ScriptedSettings(pace=0.25)
        assert rig.profiles.view(MAIN).is_default


async def test_a_change_rewrites_the_file(tmp_path: Path) -> None:
    """Whole, for its owner alone, with the comments above the first key."""
    text = "# Ours.\n\n" + SCRIPT + "# gone\nsystem_prompt: |\n  one\n  two\n"
    async with profile_rig(tmp_path, filed=text) as rig:
        view = await rig.order(UpdateProfile(name=FILED, settings={"pace": None, "description": "yes"}, version=1))
        assert (view.version, view.settings["pace"], view.settings["description"]) == (2, 1.0, "yes")
        path = tmp_path / "agents" / "filed.yaml"
        after = path.read_text(encoding="utf-8")
        assert after.startswith("# Ours.\n# Written by hermes-console.")
        assert after.endswith("runner: scripted\nsystem_prompt: |\n  one\n  two\ndescription: 'yes'\n")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [item.name for item in path.parent.iterdir()] == ["filed.yaml"]
        event = (await rig.stored())[-1].event
        assert event == ProfileChanged(profile=view, what="changed")
        await rig.order(UpdateProfile(name=FILED, settings={"seed": 1}))
        assert path.read_text(encoding="utf-8").count("# Written by") == 1
        with pytest.raises(ConflictError):
            await rig.order(UpdateProfile(name=FILED, settings={"seed": 2}, version=2))


async def test_a_file_is_only_changed_as_it_was_read(tmp_path: Path) -> None:
    """What somebody writes meanwhile is not lost; a link is left alone, a broken file too."""
    async with profile_rig(tmp_path, filed=SCRIPT, broken="runner: [\n") as rig:
        path = rig.write("filed.yaml", SCRIPT + "seed: 9\n")
        with pytest.raises(ConflictError, match="sync the agent first"):
            await rig.order(UpdateProfile(name=FILED, settings={"seed": 1}))
        await rig.order(SyncProfile(name=FILED))
        with pytest.raises(InvalidInput):
            await rig.order(UpdateProfile(name=FILED, settings={"seed": "x"}))
        assert path.read_text(encoding="utf-8") == SCRIPT + "seed: 9\n"
        path.rename(tmp_path / "elsewhere.yaml")
        with pytest.raises(NotFound):
            await rig.order(UpdateProfile(name=FILED, settings={"seed": 1}))
        path.symlink_to(tmp_path / "elsewhere.yaml")
        with pytest.raises(Refused, match="is a link"):
            await rig.order(UpdateProfile(name=FILED, settings={"seed": 1}))
        with pytest.raises(Refused):
            await rig.order(UpdateProfile(name=AgentName("broken"), settings={"seed": 1}))
        assert rig.profiles.view(FILED).settings["seed"] == 9


async def test_a_file_with_one_wrong_key_can_be_mended_from_here(tmp_path: Path) -> None:
    """Null takes the key away."""
    async with profile_rig(tmp_path, filed="runner: scripted\ncolour: red\n") as rig:
        assert rig.profiles.view(FILED).problem
        assert (await rig.order(UpdateProfile(name=FILED, settings={"colour": None}))).problem == ""
        rig.profiles.get(FILED)


async def test_syncing_reads_one_file_again(tmp_path: Path) -> None:
    """A new one, a changed one, one that is gone; a broken one changes nothing and says why."""
    async with profile_rig(tmp_path) as rig:
        rig.write("filed.yaml", SCRIPT)
        assert (await rig.order(SyncProfile(name=FILED))).version == 1
        rig.write("filed.yaml", "runner: scripted\npace: fast\n")
        with pytest.raises(ConfigError) as caught:
            await rig.order(SyncProfile(name=FILED))
        facts = caught.value.facts
        assert (facts["file"], facts["line"], facts["key"]) == ("agents/filed.yaml", 2, "pace")
        assert facts["fix"]
        assert rig.profiles.get(FILED) == ScriptedSettings(pace=0.25)
        rig.write("filed.yaml", "runner: scripted\nconcurrency: 2\n")
        view = await rig.order(SyncProfile(name=FILED))
        assert (view.version, view.limit) == (2, 2)
        assert (await rig.stored())[-1].event == ProfileChanged(profile=view, what="synced")
        await rig.order(DisableProfile(name=FILED))
        with pytest.raises(Refused) as refused:
            await rig.order(DeleteProfile(name=FILED))
        assert "agents/filed.yaml" in str(refused.value.facts["fix"])
        (tmp_path / "agents" / "filed.yaml").unlink()
        gone = await rig.order(SyncProfile(name=FILED))
        assert "is gone" in gone.problem
        assert (await rig.stored())[-1].event == ProfileDeleted(name=FILED)
        assert rig.profiles.names() == [MAIN]
        assert not rig.pool.has(FILED)


async def test_the_agent_of_the_page_is_one(tmp_path: Path) -> None:
    """And what the page says about a mistake in it is what is said."""
    page = (ROOT / "docs" / "concepts" / "agents.md").read_text(encoding="utf-8")
    example = page.partition("```yaml\n")[2].partition("```")[0]
    message = page.partition("```text\n")[2].partition("```")[0].strip()
    async with profile_rig(tmp_path, coder=example, other="runner: scripted\n\npolicy:\n  ask: on_miss\n") as rig:
        view = rig.profiles.view(AgentName("coder"))
        assert (view.problem, view.runner, view.limit) == ("", "acp", 2)
        assert rig.profiles.view(AgentName("other")).problem.replace("other", "coder") == message


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=30),
    st.sampled_from(
        ["yes", "no", "on", "null", "~", "", "1e3", "0o17", "0x1F", "- a", "a: b", "# c", "1_000", "x\n y\n"]
    ),
)
_KEYS = st.from_regex(r"[a-z][a-z0-9_.-]{0,8}", fullmatch=True)


@given(st.dictionaries(_KEYS, st.one_of(_SCALARS, st.lists(_SCALARS, max_size=3), st.dictionaries(_KEYS, _SCALARS))))
def test_what_is_written_reads_back_as_it_was(values: dict[str, Any]) -> None:
    """Also words that other versions of YAML take for numbers or truth."""
    assert parse(written(values), "x").values == values
