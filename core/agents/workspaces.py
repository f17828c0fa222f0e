"""The folder that an agent may use: every path is checked, every change is shown as a diff before it is written."""

import difflib
import hashlib
import os
import re
from pathlib import Path

import msgspec

from core.api.base import AgentName, SessionId
from core.api.errors import Refused

TEXT_LIMIT = 65_536
_NAME_LIMIT = 255
_READABLE_LETTERS = 40
_DIGEST_LETTERS = 16


class Edit(msgspec.Struct, frozen=True):
    """A change that is proposed. before: what the file holds now, None while it is not there."""

    path: Path
    before: str | None
    after: str
    diff: str


def folder(home: Path, agent: AgentName, session_id: SessionId) -> Path:
    """The folder of one session; different for every session, whatever letters its id has."""
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", session_id)[:_READABLE_LETTERS].strip("-")
    unique = hashlib.sha256(session_id.encode()).hexdigest()[:_DIGEST_LETTERS]
    return home / "workspaces" / agent / f"{readable}-{unique}"


def propose(workspace: Path, name: str, text: str) -> Edit:
    """The change that would put `text` into the file. Reads the disk: call it off the loop.

    Raises Refused when the path leaves the workspace, is no plain file, or the text is too long.
    """
    path = _inside(workspace, name)
    if len(text) > TEXT_LIMIT:
        raise Refused(f"longer than {TEXT_LIMIT} characters", rule="text_limit")
    before = _content(path)
    lines = difflib.unified_diff(
        (before or "").splitlines(keepends=True),
        text.splitlines(keepends=True),
        fromfile=name if before is not None else "/dev/null",
        tofile=name,
    )
    return Edit(path, before, text, "".join(line if line.endswith("\n") else f"{line}\n" for line in lines))


def carry_out(workspace: Path, edit: Edit) -> None:
    """Write what was approved. Blocks: call it off the loop.

    Raises Refused when the file or its folder is not what it was when the change was shown.
    """
    name = str(edit.path.relative_to(workspace.resolve()))
    path = _inside(workspace, name)
    if path != edit.path or _content(path) != edit.before:
        raise Refused(f"{name} changed since it was shown", rule="stale_edit")
    _make_private(path.parent)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8", errors="replace") as file:
            file.write(edit.after)
    except OSError as error:
        raise Refused(f"cannot write {name}: {error.strerror}", rule="workspace") from error


def _make_private(path: Path) -> None:
    """Make a folder and those above it; mkdir alone would give its mode to the last one only."""
    for each in (*reversed(path.parents), path):
        each.mkdir(mode=0o700, exist_ok=True)


def _inside(workspace: Path, name: str) -> Path:
    root = workspace.resolve()
    is_plain = (
        bool(name)
        and "\0" not in name
        and all(len(part.encode(errors="replace")) <= _NAME_LIMIT for part in Path(name).parts)
    )
    path = (root / name).resolve() if is_plain else root
    if path == root or not path.is_relative_to(root) or Path(name).is_absolute():
        raise Refused(f"{name!r} is not a file inside the workspace", rule="workspace")
    return path


def _content(path: Path) -> str | None:
    try:
        if path.stat().st_size > 4 * TEXT_LIMIT:
            raise Refused(f"{path.name} is too large to be changed", rule="text_limit")
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Refused(f"cannot read {path.name}: {error.strerror}", rule="workspace") from error
