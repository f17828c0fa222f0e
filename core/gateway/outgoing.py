"""Files that answers name: a line ``MEDIA:PATH`` of an answer is that file, if the agent may send it."""

import asyncio
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from core.api.base import AgentName
from core.clock import Clock
from core.gateway import file_shelf
from core.gateway.file_shelf import NotSendable, plain_name
from core.gateway.platform import Limits, Outbound, OutboundFile
from core.settings import FileSettings

_LINE = re.compile(r"^[ \t]*MEDIA:[ \t]*(\S.*?)[ \t]*$")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")


class Named(msgspec.Struct, frozen=True):
    """A text, and the files that it names. lines: of the text, None for each file in its place."""

    lines: tuple[str | None, ...]
    paths: tuple[str, ...]


class Outgoing:
    """Copies what is to be sent to the shelf of the core.

    workspace_of: an agent's folder for a user, None where there is none that files may be sent from; it may block.
    """

    def __init__(
        self,
        *,
        home: Path,
        settings: FileSettings,
        clock: Clock,
        workspace_of: Callable[[AgentName, str], Path | None],
    ) -> None:
        self._shelf = home / "files"
        self._settings = settings
        self._clock = clock
        self._workspace_of = workspace_of

    async def attached(self, outbound: Outbound, limits: Limits, *, agent: AgentName, user: str) -> Outbound:
        """The message with the files that its text names, and instead of each that may not be sent a line that says so.

        Never raises: an answer is not lost for the sake of a file.
        """
        found = named(outbound.text)
        if not found.paths:
            return outbound
        workspace = await asyncio.to_thread(self._workspace_of, agent, user)
        roots = [self._shelf] if workspace is None else [workspace, self._shelf]
        files: list[OutboundFile] = []
        lines: list[str] = []
        paths = iter(enumerate(found.paths))
        for line in found.lines:
            if line is not None:
                lines.append(line)
                continue
            # What cannot be sent counts too: a text may name any number of files.
            number, path = next(paths)
            try:
                files.append(await self._copied(path, roots, limits, number))
            except NotSendable as error:
                lines.append(f"[{plain_name(path)} is not sent: {error}]")
        return msgspec.structs.replace(outbound, text="\n".join(lines).strip("\n"), files=(*outbound.files, *files))

    async def copied(self, paths: Sequence[str], limits: Limits) -> tuple[OutboundFile, ...]:
        """Files of the shelf that an operator wants sent. Raises NotSendable, which names the file."""
        found: list[OutboundFile] = []
        for path in paths:
            try:
                found.append(await self._copied(path, [self._shelf], limits, len(found)))
            except NotSendable as error:
                raise NotSendable(f"{path[:200]}: {error}") from error
        return tuple(found)

    @property
    def shelf(self) -> Path:
        """The folder that files may always be sent from."""
        return self._shelf

    async def _copied(self, path: str, roots: Sequence[Path], limits: Limits, count: int) -> OutboundFile:
        if not limits.file_bytes:
            raise NotSendable("this platform takes no files")
        if count >= self._settings.most:
            raise NotSendable(f"{self._settings.most} files at once are the most")
        limit = min(limits.file_bytes, self._settings.limit_bytes)
        try:
            return await asyncio.to_thread(
                file_shelf.copied, self._shelf, path, roots, at=self._clock.now(), limit_bytes=limit
            )
        except (OSError, ValueError) as error:
            raise NotSendable("it cannot be read") from error


def named(text: str) -> Named:
    """The files that a text names, outside of its code blocks."""
    lines: list[str | None] = []
    paths: list[str] = []
    fence = ""
    for line in text.split("\n") if "MEDIA:" in text else ():
        mark = _FENCE.match(line)
        if mark is not None:
            marker = mark.group(1)
            if not fence:
                fence = marker
            elif marker.startswith(fence):
                fence = ""
        match = None if fence else _LINE.match(line)
        if match is None:
            lines.append(line)
        else:
            lines.append(None)
            paths.append(match.group(1).strip("\"'`"))
    return Named(tuple(lines), tuple(paths))
