"""Where agents keep files: a folder for each agent, in it one for each user and group, and one for work without a user.

    HOME/workspaces/AGENT/.agents/skills/
    HOME/workspaces/AGENT/users/USER/{.agents/skills,data,assets}/
    HOME/workspaces/AGENT/groups/GROUP/{.agents/skills,data,assets}/
    HOME/workspaces/AGENT/system/{.agents/skills,data,assets}/

Names are made safe and stay different, whatever letters an id has.
"""

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from core.agents.places import CORE_FOLDERS
from core.api.base import AgentName
from core.api.errors import InvalidInput, Refused
from core.api.platforms import CRON_PLATFORM, GROUP_OWNER, TASKS_PLATFORM

SKILLS = Path(".agents", "skills")
DATA = Path("data")
ASSETS = Path("assets")
# How users of sessions that belong to a task or a job alone, or to all in a chat, begin.
_TASKS = (f"{TASKS_PLATFORM}:", f"{CRON_PLATFORM}:")
_GROUP = f"{GROUP_OWNER}:"
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_READABLE_LETTERS = 40
_DIGEST_LETTERS = 16


def safe_name(text: str) -> str:
    """A folder's name for an id: the id itself where that is harmless, else what is readable of it and a digest."""
    if _PLAIN.fullmatch(text):
        return text
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", text)[:_READABLE_LETTERS].strip("-")
    return f"{readable}.{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:_DIGEST_LETTERS]}"


def agent_folder(home: Path, agent: AgentName) -> Path:
    """Of one agent. Raises InvalidInput for a blank name."""
    return home / "workspaces" / _checked("agent", agent)


def user_folder(home: Path, agent: AgentName, user: str) -> Path:
    """Of one user of an agent, as PLATFORM:ID. Raises InvalidInput for a blank one."""
    return agent_folder(home, agent) / "users" / _checked("user", user)


def group_folder(home: Path, agent: AgentName, group: str) -> Path:
    """Of one group of an agent. Raises InvalidInput for a blank one."""
    return agent_folder(home, agent) / "groups" / _checked("group", group)


def system_folder(home: Path, agent: AgentName) -> Path:
    """Of an agent's work without a user, such as tasks on a schedule. Raises InvalidInput for a blank name."""
    return agent_folder(home, agent) / "system"


def _checked(field: str, text: str) -> str:
    if not text.strip():
        raise InvalidInput(f"the {field} has no name", field=field, value=text, fix=f"name the {field}")
    return safe_name(text)


def workspace_of(home: Path, agent: AgentName, user: str, own: str) -> Path:
    """The folder of a runner. own: of the profile, relative to the home and shared by all its sessions; "" is none.

    Raises Refused for one that by its name holds what the core itself keeps; where links lead, check_apart() sees.
    """
    if not own:
        if not user or user.startswith(_TASKS):
            return system_folder(home, agent)
        if user.startswith(_GROUP):
            return group_folder(home, agent, user.removeprefix(_GROUP))
        return user_folder(home, agent, user)
    path, root = Path(os.path.normpath(home / own)), Path(os.path.normpath(home))
    if root.is_relative_to(path) or any(path.is_relative_to(root / kept) for kept in CORE_FOLDERS):
        raise Refused(
            f"workspace {own} of agent {agent} holds what the core keeps for itself",
            rule="workspace",
            field="workspace",
            fix="name a folder of its own",
        )
    return path


def inside(workspace: Path) -> Sequence[Path]:
    """What belongs into the folder of a user, a group or the system."""
    return [workspace / SKILLS, workspace / DATA, workspace / ASSETS]
