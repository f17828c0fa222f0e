"""What of the home no agent may be given as its workspace, whatever links lead there."""

from pathlib import Path

from core.api.errors import Refused

CORE_FOLDERS = ("secrets", "agents", "memory", "files", "hooks")
"""Folders of the home that no agent may be given: what is in them decides what agents may do."""


def check_apart(workspace: Path, home: Path) -> Path:
    """The folder that a workspace really is, links followed; it need not be there yet. Blocks: call it off the loop.

    Raises Refused when the home or what the core keeps there is in it, or it is in what the core keeps.
    """
    try:
        folder, root = workspace.resolve(), home.resolve()
        kept = [(root / name).resolve() for name in CORE_FOLDERS]
    except (OSError, RuntimeError, ValueError):
        # Links that lead in a circle, letters that no file name can have.
        raise _refused(f"the workspace {str(workspace)!r} leads nowhere") from None
    if any(each.is_relative_to(folder) for each in (root, *kept)) or any(folder.is_relative_to(each) for each in kept):
        raise _refused(f"the workspace leads to {folder}, which the core keeps for itself")
    return folder


def _refused(message: str) -> Refused:
    return Refused(message, rule="workspace", field="workspace", fix="name a folder of its own")
