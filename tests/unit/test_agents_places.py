"""What of the home no agent is given, links followed."""

import socket
from pathlib import Path

import pytest

from core.agents.places import CORE_FOLDERS, check_apart
from core.agents.tools import workspaces
from core.agents.tools.assets import set_up
from core.api.errors import Refused
from core.home import FILE_NAME, LOCK_NAME, SOCKET_NAME, prepare
from core.settings import StoreSettings

STORE_NAME = StoreSettings().url.removeprefix("sqlite:")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home as a core has it, with all that is kept there."""
    made = tmp_path / "above" / "home"
    prepare(made)
    (made / "agents").mkdir(mode=0o700)
    for name in (STORE_NAME, LOCK_NAME):
        (made / name).write_text("kept")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(made / SOCKET_NAME))
    return made


@pytest.mark.parametrize("name", [*CORE_FOLDERS, "secrets/x", "agents/x/y", ".", "..", "../..", "/", "work/../agents"])
@pytest.mark.parametrize("is_link", [False, True])
def test_what_the_core_keeps_is_no_workspace(name: str, is_link: bool, home: Path) -> None:
    """By its name, by a link, by a link on the way, and not while it is not there yet."""
    workspace = home / name
    if is_link:
        workspace = home / "workspaces" / "link"
        workspace.symlink_to(home / name)
    with pytest.raises(Refused, match="keeps for itself") as caught:
        check_apart(workspace, home)
    assert (caught.value.facts["rule"], caught.value.facts["field"]) == ("workspace", "workspace")
    (home / "alias").symlink_to(workspace.parent)
    with pytest.raises(Refused, match="keeps for itself"):
        check_apart(home / "alias" / workspace.name, home)


@pytest.mark.parametrize("name", CORE_FOLDERS)
def test_a_folder_that_the_core_keeps_elsewhere_is_kept_too(name: str, home: Path, tmp_path: Path) -> None:
    """The home has a link to it then; neither it nor what lies above it is given."""
    far = tmp_path / "far" / name
    far.mkdir(parents=True)
    moved = home / name
    moved.mkdir(exist_ok=True)
    moved.rename(tmp_path / "before")
    moved.symlink_to(far)
    for workspace in (moved, far, far / "x", far.parent):
        with pytest.raises(Refused, match="keeps for itself"):
            check_apart(workspace, home)


def test_a_home_that_is_a_link_is_the_same_home(home: Path, tmp_path: Path) -> None:
    """By either of its names."""
    alias = tmp_path / "alias"
    alias.symlink_to(home)
    for workspace, named in ((home / "agents", alias), (alias / "agents", home), (alias, home), (home, alias)):
        with pytest.raises(Refused, match="keeps for itself"):
            check_apart(workspace, named)
    assert check_apart(alias / "work", alias) == home / "work"


def test_every_other_folder_is_a_workspace(home: Path, tmp_path: Path) -> None:
    """As it really is; one that only begins with the same letters, too."""
    (home / "link").symlink_to(tmp_path / "srv")
    for name, real in {
        "work/here": home / "work/here",
        "workspaces/main/system": home / "workspaces/main/system",
        "agents-work": home / "agents-work",
        "link": tmp_path / "srv",
    }.items():
        assert check_apart(home / name, home) == real


@pytest.mark.parametrize("name", ["circle", "circle/x", "a\0b"])
def test_a_workspace_that_leads_nowhere_is_refused(name: str, home: Path) -> None:
    """Links in a circle; letters that no file name can have."""
    (home / "circle").symlink_to("circle")
    with pytest.raises(Refused, match="leads nowhere"):
        check_apart(home / name, home)


@pytest.mark.parametrize("name", [FILE_NAME, STORE_NAME, LOCK_NAME, SOCKET_NAME])
def test_a_file_of_the_home_is_no_workspace_either(name: str, home: Path) -> None:
    """Settings, store, lock, socket: nothing is read, written or made there."""
    before = sorted(home.rglob("*"))
    workspace = check_apart(home / name, home)
    set_up(workspace)
    for path in ("x", ".", "../config.yaml", f"../{name}"):
        with pytest.raises(Refused):
            workspaces.read(workspace, path)
        with pytest.raises(Refused):
            workspaces.carry_out(workspace, workspaces.propose(workspace, path, "mine"))
    assert sorted(home.rglob("*")) == before
