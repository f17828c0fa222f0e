"""Files that are given to agents: saved beside their work under names that never meet."""

import asyncio
import base64
import binascii
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.agents.tools import folders
from core.agents.tools.workspaces import copy_below, create_below, make_below
from core.api.base import AgentName
from core.api.errors import InvalidInput, Unavailable
from core.clock import Clock

_NAME_BYTES = 120
_TRIES = 1000


def asset_name(name: str) -> str:
    """The last part of a name, harmless in a folder and on a screen; never empty."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    plain = "".join(letter if letter.isprintable() else "_" for letter in last).strip(". ")
    return plain.encode(errors="replace")[:_NAME_BYTES].decode(errors="ignore") or "file"


def save_asset(folder: Path, name: str, body: bytes, unix_ns: int) -> Path:
    """Write a file as UNIX-NANOSECONDS_NAME, for its owner alone; never over another, nor through a link. Blocks.

    Raises Unavailable when it cannot be written.
    """
    plain = asset_name(name)
    for number in range(unix_ns, unix_ns + _TRIES):
        path = folder / f"{number}_{plain}"
        try:
            # The folder lies in what an agent may change, so it may have become a link.
            handle = create_below(folder.parent, path)
        except FileExistsError:
            continue
        except OSError as error:
            raise Unavailable(f"cannot save {plain}: {error.strerror}", what="assets") from error
        with os.fdopen(handle, "wb") as file:
            file.write(body)
        return path.absolute()
    raise Unavailable(f"cannot save {plain}: its names are taken", what="assets")


def given(workspace: Path, source: Path, *, is_relative: bool) -> str:
    """Copy a file under its own name, which nobody else has, to where its agent may read and change it. Blocks.

    What the agent can call it, "" when it cannot be copied. One that is there already stays as its agent left it.
    """
    place = folders.ASSETS / asset_name(source.name)
    try:
        copy_below(workspace, workspace / place, source)
    except OSError:
        return ""
    return str(place if is_relative else workspace / place)


def set_up(workspace: Path) -> None:
    """Make what belongs into a workspace, where it is not there; what its agent has put in the way stays. Blocks."""
    for folder in folders.inside(workspace):
        with suppress(OSError):
            make_below(workspace, folder)


class Attachments:
    """What comes along with tasks: contents are saved for the agent, which is told where."""

    def __init__(self, home: Path, clock: Clock) -> None:
        self._home = home
        self._clock = clock

    async def kept(self, agent: AgentName, given: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        """The attachments with a `path` in place of `data_base64`; others as they are.

        Raises InvalidInput for contents that are no base64, Unavailable when they cannot be saved.
        """
        if not any("data_base64" in item for item in given):
            return given
        folder = folders.system_folder(self._home, agent) / folders.ASSETS
        return tuple([await self._one(folder, item, place) for place, item in enumerate(given)])

    async def _one(self, folder: Path, item: dict[str, Any], place: int) -> dict[str, Any]:
        if "data_base64" not in item:
            return item
        body = decoded(item["data_base64"], place)
        unix_ns = int(self._clock.now() * 1_000_000_000)
        path = await asyncio.to_thread(save_asset, folder, str(item.get("name", "file")), body, unix_ns)
        rest = {name: value for name, value in item.items() if name != "data_base64"}
        return {**rest, "path": str(path), "size_bytes": len(body)}


def decoded(data: object, place: int) -> bytes:
    """The contents of an attachment. Raises InvalidInput that names it."""
    try:
        return base64.b64decode(str(data).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        field = f"attachments.{place}.data_base64"
        raise InvalidInput(f"{field} is no base64", field=field, value="", fix="encode the contents") from error
