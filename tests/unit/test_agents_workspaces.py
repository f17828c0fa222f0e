"""The folder of an agent: nothing leaves it, nothing is written that was not shown."""

from pathlib import Path

import pytest

from core.agents.tools import workspaces
from core.agents.tools.workspaces import TEXT_LIMIT, carry_out, propose
from core.api.errors import Refused


def test_a_change_is_shown_and_then_written(tmp_path: Path) -> None:
    """A diff against what is there; nothing is on disk before carry_out."""
    workspace = tmp_path / "w"
    edit = propose(workspace, "notes/a.txt", "one\ntwo\n")
    assert not workspace.exists()
    assert edit.diff.splitlines()[:2] == ["--- /dev/null", "+++ notes/a.txt"]
    carry_out(workspace, edit)
    assert (workspace / "notes" / "a.txt").read_text() == "one\ntwo\n"
    second = propose(workspace, "notes/a.txt", "one\n2")
    assert second.diff.splitlines()[-4:] == [" one", "-two", "+2", "\\ No newline at end of file"]
    modes = [path.stat().st_mode & 0o777 for path in (workspace, workspace / "notes", workspace / "notes" / "a.txt")]
    assert modes == [0o700, 0o700, 0o600]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "/etc/passwd", "a/../../x", "a\0b", "x" * 300, "./", "link/x", "far.txt"]
)
def test_no_path_leaves_the_workspace(name: str, tmp_path: Path) -> None:
    """Neither by dots, nor as an absolute path, nor through a symbolic link."""
    workspace = tmp_path / "w"
    workspace.mkdir()
    (workspace / "link").symlink_to(tmp_path)
    (workspace / "far.txt").symlink_to(tmp_path / "far.txt")
    with pytest.raises(Refused):
        propose(workspace, name, "text")
    assert [path.name for path in tmp_path.iterdir()] == ["w"]


def test_what_changed_since_it_was_shown_is_not_written(tmp_path: Path) -> None:
    """The approval was for another change; and a link that appeared meanwhile is not followed."""
    edit = propose(tmp_path, "a.txt", "new\n")
    (tmp_path / "a.txt").write_text("somebody else's\n")
    with pytest.raises(Refused, match="changed"):
        carry_out(tmp_path, edit)
    workspace = tmp_path / "w"
    edit = propose(workspace, "b.txt", "new\n")
    workspace.mkdir()
    (workspace / "b.txt").symlink_to(tmp_path / "outside.txt")
    with pytest.raises(Refused):
        carry_out(workspace, edit)
    assert not (tmp_path / "outside.txt").exists()


def test_what_is_no_file_or_too_large_is_refused(tmp_path: Path) -> None:
    """A folder, a huge file, a huge text."""
    (tmp_path / "d").mkdir()
    (tmp_path / "big").write_bytes(b"x" * (5 * TEXT_LIMIT))
    for name, text in (("d", "x"), ("big", "x"), ("small", "x" * (TEXT_LIMIT + 1))):
        with pytest.raises(Refused):
            propose(tmp_path, name, text)


def test_a_change_that_is_hard_to_compare_is_shown_soon(tmp_path: Path) -> None:
    """A model can make two texts for which the shortest difference takes minutes; all of the new one is shown."""
    letters = [chr(0x100 + number) for number in range(101)]
    (tmp_path / "a.txt").write_text("\n".join(letters * 300))
    edit = propose(tmp_path, "a.txt", "\n".join(letters[::-1] * 300))
    assert edit.diff.count("\n+") > 30_000


@pytest.mark.parametrize("is_write", [True, False])
def test_a_link_that_appears_after_the_check_is_not_followed(
    is_write: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that runs in the same folder puts it in place of a folder, between looking and opening."""
    workspace, outside = tmp_path / "w", tmp_path / "outside"
    (workspace / "docs").mkdir(parents=True)
    outside.mkdir()
    (outside / "key.txt").write_text("secret")
    (workspace / "docs" / "key.txt").write_text("secret")
    edit = propose(workspace, "docs/key.txt", "mine")
    name = "make_private" if is_write else "_inside"
    before = getattr(workspaces, name)

    def then_swapped(*given: object) -> object:
        found = before(*given)
        (workspace / "docs").rename(workspace / "old")
        (workspace / "docs").symlink_to(outside)
        return found

    monkeypatch.setattr(workspaces, name, then_swapped)
    with pytest.raises(Refused):
        carry_out(workspace, edit) if is_write else workspaces.read(workspace, "docs/key.txt")
    assert (outside / "key.txt").read_text() == "secret"
