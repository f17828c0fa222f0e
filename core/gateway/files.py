"""Files of messages: fetched once the sender is let in, kept below the home, named in the text for the agent."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from core.api.base import PlatformName
from core.clock import Clock
from core.gateway import file_shelf
from core.gateway.abilities import Fetches
from core.gateway.delivery import one_line
from core.gateway.file_shelf import Opened, plain_name
from core.gateway.platform import Inbound, InboundFile, Platform, PlatformError
from core.settings import FileSettings

_LOOK_EVERY_S = 3600.0
_MIME_LIMIT = 80


class _NotFetched(Exception):
    """Why a file is not there, for people."""


class InboundFiles:
    """Implements intake.Files. platform_of: the connection of that name, None when there is none."""

    def __init__(
        self,
        *,
        home: Path,
        settings: FileSettings,
        clock: Clock,
        platform_of: Callable[[PlatformName], Platform | None],
    ) -> None:
        self._root = home / "files"
        self._settings = settings
        self._clock = clock
        self._platform_of = platform_of

    async def kept(self, inbound: Inbound) -> Inbound:
        """The message with its files fetched and named in its text: where each is, or why it is not there."""
        settings = self._settings
        notes: list[str] = []
        try:
            async with asyncio.timeout(settings.deadline_s):
                for item in inbound.files[: settings.most]:
                    # One after the other, so that those that are there by the deadline count.
                    note = await self._note(inbound.platform, item)
                    notes.append(note)
        except TimeoutError:
            # What the rest of them needs is unknown: the message itself must not wait for it.
            late = f"not fetched within {settings.deadline_s:g} s"
            notes += [_missing(item, late) for item in inbound.files[len(notes) : settings.most]]
        notes += [_missing(item, f"more than {settings.most} at once") for item in inbound.files[settings.most :]]
        text = "\n\n".join([part for part in (inbound.text, "\n".join(notes)) if part])
        return msgspec.structs.replace(inbound, text=text)

    async def run(self) -> None:
        """Remove old files now and then, until cancelled."""
        while True:
            await self.forget_old()
            await self._clock.sleep(_LOOK_EVERY_S)

    async def forget_old(self) -> int:
        """Remove files that are older than they are kept. Returns how many."""
        oldest_at = self._clock.now() - self._settings.keep_s
        return await asyncio.to_thread(file_shelf.sweep, self._root, oldest_at)

    async def _note(self, platform: PlatformName, item: InboundFile) -> str:
        try:
            path, size = await self._fetched(platform, item)
        except _NotFetched as error:
            return _missing(item, str(error))
        return file_shelf.noted(_about(item), size, path)

    async def _fetched(self, platform: PlatformName, item: InboundFile) -> tuple[Path, int]:
        limit = self._settings.limit_bytes
        if item.size_bytes is not None and item.size_bytes > limit:
            raise _NotFetched(f"it has {item.size_bytes:,} bytes, and {limit:,} are taken")
        adapter = self._platform_of(platform)
        if not isinstance(adapter, Fetches):
            raise _NotFetched(f"{platform} hands out no files")
        opened: Opened | None = None
        try:
            opened = await asyncio.to_thread(
                file_shelf.created, self._root, file_shelf.IN, item.name or item.kind.value, self._clock.now()
            )
            size = await self._filled(opened, adapter, item.ref, limit)
            await asyncio.to_thread(opened.file.close)
        except BaseException as error:
            if opened is not None:
                await asyncio.to_thread(file_shelf.discard, opened)
            raise _reason(error) from error
        return opened.path, size

    async def _filled(self, opened: Opened, adapter: Fetches, ref: str, limit: int) -> int:
        size = 0
        pieces = adapter.fetch(ref)
        try:
            async for piece in pieces:
                size += len(piece)
                if size > limit:
                    raise _NotFetched(f"it has more than {limit:,} bytes")
                await asyncio.to_thread(opened.file.write, piece)
        finally:
            close = getattr(pieces, "aclose", None)
            if close is not None:
                with suppress(Exception):
                    await close()
        return size


def _reason(error: BaseException) -> BaseException:
    """What to raise in place of whatever fetching raised; an adapter's own words may hold a secret."""
    match error:
        case _NotFetched() | asyncio.CancelledError():
            return error
        case PlatformError():
            return _NotFetched(one_line(error.message))
        case OSError():
            return _NotFetched(f"it cannot be kept: {(error.strerror or 'an error of the disk').lower()}")
        case Exception():
            return _NotFetched(f"the adapter failed with {type(error).__name__}")
        case _:
            return error


def _about(item: InboundFile) -> str:
    mime = "".join(sign for sign in item.mime if sign.isalnum() or sign in "/+-.")[:_MIME_LIMIT]
    name = plain_name(item.name) if item.name else "without a name"
    return f"{item.kind.value} {name}" + (f" ({mime})" if mime else "")


def _missing(item: InboundFile, why: str) -> str:
    return f"[{_about(item)} is not here: {why}]"
