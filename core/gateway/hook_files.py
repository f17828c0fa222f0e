"""The folders of hooks: those that come with the program, and those of the home. Read off the loop."""

from collections.abc import Collection
from pathlib import Path

import msgspec

from core import atomic
from core.api.errors import ConfigError
from core.config.text import Tree, parse
from core.gateway.hook import HANDLER, MANIFEST, HookManifest, manifest, missing

FOLDER = "hooks"
COUNT_LIMIT = 200
SIZE_LIMIT_BYTES = 65_536
_OTHERS_MAY_WRITE = 0o022


class HookFolder(msgspec.Struct, frozen=True, kw_only=True):
    """A folder as it was read. manifest: None when it cannot be used, and problem says why."""

    name: str
    folder: Path
    is_builtin: bool
    manifest: HookManifest | None = None
    problem: str = ""

    @property
    def handler(self) -> Path:
        """The file with its function."""
        return self.folder / HANDLER


def builtin_folder() -> Path:
    """Where those lie that come with the program."""
    return Path(__file__).with_name("builtin_hooks")


def read_all(home: Path) -> list[HookFolder]:
    """All folders, those of the home last. Of two with one name the second is broken. Blocks."""
    found: dict[str, HookFolder] = {}
    for folder in _folders(builtin_folder()):
        read = read_one(folder, is_builtin=True)
        found[read.name] = read
    for folder in _folders(home / FOLDER):
        read = read_one(folder, is_builtin=False)
        if read.name in found:
            why = f"{folder.name}/{MANIFEST}: name is taken by {found[read.name].folder} (choose another)"
            read = HookFolder(name=_free(folder.name, found), folder=folder, is_builtin=False, problem=why)
        found[read.name] = read
    return list(found.values())


def _free(name: str, taken: Collection[str]) -> str:
    """A name for a row of its own."""
    if name not in taken:
        return name
    number = 2
    while f"{name}.{number}" in taken:
        number += 1
    return f"{name}.{number}"


def read_one(folder: Path, *, is_builtin: bool) -> HookFolder:
    """One folder. Blocks."""
    try:
        read = _manifest(folder, is_builtin=is_builtin)
    except ConfigError as error:
        return HookFolder(name=folder.name, folder=folder, is_builtin=is_builtin, problem=error.message)
    except OSError as error:
        # Somebody is at work in it at this moment.
        problem = f"{folder.name}/: {error.strerror} (reload it)"
        return HookFolder(name=folder.name, folder=folder, is_builtin=is_builtin, problem=problem)
    return HookFolder(name=read.name, folder=folder, is_builtin=is_builtin, manifest=read)


def _folders(above: Path) -> list[Path]:
    try:
        inside = sorted(path for path in above.iterdir() if path.is_dir() and path.name[:1] not in {".", "_"})
    except OSError:
        return []
    return inside[:COUNT_LIMIT]


def _manifest(folder: Path, *, is_builtin: bool) -> HookManifest:
    tree = _tree(folder)
    read = manifest(tree, folder.name)
    handler = folder / HANDLER
    if not handler.is_file():
        raise missing(folder.name, HANDLER, "write a function handle(event_type, context) into it")
    if not is_builtin:
        for path in (folder, folder / MANIFEST, handler):
            if path.stat().st_mode & _OTHERS_MAY_WRITE:
                where = f"{folder.name}/{path.name if path != folder else ''}"
                fix = f"chmod go-w {path}"
                raise ConfigError(f"{where}: others may write it ({fix})", file=where, line=None, key="", fix=fix)
    return read


def _tree(folder: Path) -> Tree:
    file = folder / MANIFEST
    name = f"{folder.name}/{MANIFEST}"
    try:
        body = atomic.read(file, SIZE_LIMIT_BYTES)
    except FileNotFoundError:
        raise missing(folder.name, MANIFEST, "write events: [agent:end] into it") from None
    except OSError as error:
        # Only one that is too large has no words of the system.
        fix = "make it readable" if error.strerror else f"at most {SIZE_LIMIT_BYTES} bytes"
        problem = error.strerror or f"is too large ({fix})"
        raise ConfigError(f"{name}: {problem}", file=name, line=None, key="", fix=fix) from error
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{name}: not UTF-8", file=name, line=None, key="", fix="save it as UTF-8") from None
    return parse(text, name)
