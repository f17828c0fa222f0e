"""Where agents keep files, and how what is given to them is saved."""

import asyncio
import base64
from pathlib import Path

import pytest

from core.agents.tools.assets import Attachments, asset_name, given, save_asset, set_up
from core.agents.tools.folders import agent_folder, group_folder, safe_name, system_folder, user_folder, workspace_of
from core.api.base import AgentName
from core.api.errors import InvalidInput, Refused, Unavailable
from tests.support.clocks import FakeClock

MAIN = AgentName("main")
IDS = [
    "telegram:42",
    "telegram/42",
    "telegram:42 ",
    "..",
    "a/../../b",
    "x" * 500,
    "\u202e",
    "T:42",
    "\ud800",
    ".hidden",
]


def test_every_user_has_a_folder_of_its_own_below_the_agents(tmp_path: Path) -> None:
    """Whatever letters the id has; what is readable of it stays readable."""
    found = {user_folder(tmp_path, MAIN, item) for item in IDS}
    assert len(found) == len(IDS)
    assert all(path.parent == tmp_path / "workspaces" / "main" / "users" for path in found)
    assert all((len(path.name) < 100 and not path.name.startswith(".")) or path.name[1:].isalnum() for path in found)
    assert user_folder(tmp_path, MAIN, "telegram:42").name.startswith("telegram-42.")
    assert safe_name("harmless-1") == "harmless-1"


def test_users_groups_and_the_system_never_meet(tmp_path: Path) -> None:
    """An id that is called like another kind's folder stays among its own."""
    folders = {
        agent_folder(tmp_path, MAIN),
        user_folder(tmp_path, MAIN, "system"),
        group_folder(tmp_path, MAIN, "system"),
        system_folder(tmp_path, MAIN),
    }
    assert len(folders) == 4


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_agent_or_user_is_an_error(tmp_path: Path, blank: str) -> None:
    """It names the field."""
    with pytest.raises(InvalidInput) as caught:
        user_folder(tmp_path, AgentName("main"), blank)
    assert caught.value.facts["field"] == "user"
    with pytest.raises(InvalidInput):
        agent_folder(tmp_path, AgentName(blank))


def test_a_runner_works_in_its_users_folder_and_tasks_in_the_systems(tmp_path: Path) -> None:
    """A folder that the profile names is for all; one that holds the core's own files is refused."""
    assert workspace_of(tmp_path, MAIN, "local:ana", "") == user_folder(tmp_path, MAIN, "local:ana")
    assert workspace_of(tmp_path, MAIN, "tasks:cron", "") == system_folder(tmp_path, MAIN)
    assert workspace_of(tmp_path, MAIN, "cron:cron", "") == system_folder(tmp_path, MAIN)
    assert workspace_of(tmp_path, MAIN, "group:telegram:55", "") == group_folder(tmp_path, MAIN, "telegram:55")
    assert workspace_of(tmp_path, MAIN, "", "") == system_folder(tmp_path, MAIN)
    assert workspace_of(tmp_path, MAIN, "local:ana", "work") == tmp_path / "work"
    for own in (".", "..", "secrets", "secrets/x", "agents", "agents/x", "work/../agents", "/"):
        with pytest.raises(Refused):
            workspace_of(tmp_path, MAIN, "local:ana", own)


def test_a_workspace_has_its_folders_for_its_owner_alone(tmp_path: Path) -> None:
    """Made twice it is the same."""
    root = user_folder(tmp_path, MAIN, "local:ana")
    set_up(root)
    set_up(root)
    for name in (".agents/skills", "data", "assets"):
        assert (root / name).stat().st_mode & 0o777 == 0o700


def test_an_asset_has_the_time_before_its_name_and_never_lies_over_another(tmp_path: Path) -> None:
    """Two of one moment get two names; both can be read by their owner alone."""
    first = save_asset(tmp_path / "assets", "../../etc/pass\nwd", b"one", 1_700_000_000_000_000_001)
    second = save_asset(tmp_path / "assets", "/x/pass\nwd", b"two", 1_700_000_000_000_000_001)
    assert first == (tmp_path / "assets" / "1700000000000000001_pass_wd").absolute()
    assert second.name == "1700000000000000002_pass_wd"
    assert (first.read_bytes(), second.read_bytes()) == (b"one", b"two")
    assert first.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("name", "plain"), [("", "file"), ("..", "file"), ("a/b/", "b"), ("C:\\x\\y.txt", "y.txt"), ("\x1b[2J", "_[2J")]
)
def test_the_name_of_an_asset_is_harmless(name: str, plain: str) -> None:
    """Only the last part, printable, never empty, never a dot."""
    assert asset_name(name) == plain
    assert len(asset_name("\u20ac" * 500).encode()) <= 120


def test_what_cannot_be_saved_says_so(tmp_path: Path) -> None:
    """A folder that is a file."""
    (tmp_path / "assets").write_text("no folder")
    with pytest.raises(Unavailable):
        save_asset(tmp_path / "assets", "x", b"", 1)


async def test_contents_of_an_attachment_become_a_path(tmp_path: Path) -> None:
    """Others stay as they are."""
    given = ({"name": "a.txt", "data_base64": base64.b64encode(b"hi").decode()}, {"url": "https://example.org/x"})
    kept = await Attachments(tmp_path, FakeClock()).kept(MAIN, given)
    path = Path(str(kept[0]["path"]))
    assert await asyncio.to_thread(path.read_bytes) == b"hi"
    assert path.parent == system_folder(tmp_path, MAIN) / "assets"
    assert kept[0]["size_bytes"] == 2
    assert "data_base64" not in kept[0]
    assert kept[1] == given[1]
    with pytest.raises(InvalidInput, match=r"attachments\.0\.data_base64"):
        await Attachments(tmp_path, FakeClock()).kept(MAIN, ({"data_base64": "??"},))


def test_a_link_that_an_agent_put_in_its_workspace_leads_the_core_nowhere(tmp_path: Path) -> None:
    """It may change what is in there: neither folders nor attachments are then made elsewhere."""
    workspace, kept = tmp_path / "w", tmp_path / "agents"
    workspace.mkdir()
    kept.mkdir()
    for name in (".agents", "assets"):
        (workspace / name).symlink_to(kept)
    set_up(workspace)
    with pytest.raises(Unavailable):
        save_asset(workspace / "assets", "main.yaml", b"runner: scripted", 1)
    assert not list(kept.iterdir())
    assert (workspace / "data").is_dir()


def test_a_file_is_given_as_a_copy_that_is_the_agents_own(tmp_path: Path) -> None:
    """Made once, whole, for its owner alone; what its agent made of it stays, also when the original is gone."""
    source, work = tmp_path / "in" / "0123_cat.txt", tmp_path / "work"
    source.parent.mkdir()
    source.write_text("meow")
    assert given(work, source, is_relative=True) == "assets/0123_cat.txt"
    assert given(work, source, is_relative=False) == str(work / "assets" / "0123_cat.txt")
    copy = work / "assets" / "0123_cat.txt"
    assert (copy.read_text(), copy.stat().st_mode & 0o777) == ("meow", 0o600)
    assert copy.stat().st_ino != source.stat().st_ino
    copy.write_text("purr")
    source.unlink()
    assert given(work, source, is_relative=True) == "assets/0123_cat.txt"
    assert (copy.read_text(), [item.name for item in copy.parent.iterdir()]) == ("purr", [copy.name])


def test_a_file_is_given_through_no_link(tmp_path: Path) -> None:
    """Whatever an agent has put in its way: nothing outside is written, read, or told of."""
    source, work, outside = tmp_path / "0123_cat.txt", tmp_path / "work", tmp_path / "outside"
    source.write_text("meow")
    outside.mkdir()
    work.mkdir()
    (work / "assets").symlink_to(outside)
    assert given(work, source, is_relative=True) == ""
    (work / "assets").unlink()
    (work / "assets").mkdir()
    (work / "assets" / source.name).symlink_to(outside / "x")
    assert given(work, source, is_relative=True) == ""
    assert list(outside.iterdir()) == []
    link = tmp_path / "0124_link.txt"
    link.symlink_to(source)
    assert given(work, link, is_relative=True) == ""
    assert given(work, tmp_path / "0125_gone.txt", is_relative=True) == ""
    assert [item.name for item in (work / "assets").iterdir()] == [source.name]
